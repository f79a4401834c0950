"""The runtimes that are measured beside us on a CPU, and the check that all compute the same thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from torch import Tensor

from striate.benchmarks.harness import Differs

# float32 through sixty layers: the runtimes differ by about 1e-5 of the largest logit; a wrong layer differs by 1e-1.
TOLERANCE = 1e-3
# bfloat16 keeps eight bits: 0.4 % a layer, which adds up to some per cent of the largest logit.
TOLERANCE_BF16 = 0.1


def flat(outputs: object) -> list[np.ndarray]:
    """Return every tensor in nested lists and tuples, in order, as arrays."""
    if isinstance(outputs, Tensor):
        return [outputs.detach().numpy()]
    if isinstance(outputs, np.ndarray):
        return [outputs]
    assert isinstance(outputs, list | tuple)
    return [array for output in outputs for array in flat(output)]


def agree(name: str, got: object, expected: object) -> None:
    """Stop unless two candidates computed the same thing."""
    pairs = list(zip(flat(got), flat(expected), strict=True))
    worst = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
    if worst > (TOLERANCE_BF16 if "bfloat16" in name else TOLERANCE):
        raise Differs(f"{name} differs from eager torch by {worst:.1e} of the largest value: nothing was timed")


def onnx_runtime(path: Path, x: np.ndarray) -> Callable[[], object]:
    """Return a call of ONNX Runtime, one thread, all graph optimizations on."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})


def opencv_dnn(path: Path, x: np.ndarray, outputs: tuple[str, ...]) -> Callable[[], object]:
    """Return a call of OpenCV DNN for the named outputs."""
    network = cv2.dnn.readNetFromONNX(str(path))

    def call() -> object:
        network.setInput(x)
        return network.forward(outputs)

    return call
