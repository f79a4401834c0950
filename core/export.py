"""Export to ONNX, with a gate: no file appears unless it computes what the network computes."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import ops
from .atomic import atomic_write
from .checks import ExportError

OPSET = 18


def export_onnx(
    network: nn.Module,
    inputs: Sequence[Tensor],
    path: str | Path,
    *,
    outputs: Sequence[str],
    metadata: Mapping[str, Any],
    tolerance: float = 1e-3,
) -> float:
    """Write a network as ONNX after comparing it, in ONNX Runtime, with the original on every input.

    Args:
        network: Takes one tensor, returns as many tensors as `outputs` has names.
        inputs: At least one tensor, all of the one shape that the file will accept.
        path: Ends in .onnx; a file that is there is replaced only when the new one is whole and agrees.
        outputs: Names of the outputs; the input is called "images".
        metadata: Stored in the file as JSON under the key "striate".
        tolerance: Largest difference allowed, relative to the largest value of each output.

    Returns:
        The largest relative difference seen.

    Raises:
        ExportError: The extra `export` is not installed, the network cannot be exported, or the results differ.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ExportError("a file name that ends in .onnx", str(path), "name the file like model.onnx")
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it, and says so less clearly
    except ImportError as error:
        fix = "install the extra: pip install striate[export]"
        raise ExportError("onnx, onnxruntime and onnxscript", f"{error.name} missing", fix) from error

    private = network.cpu().eval()
    with tempfile.TemporaryDirectory() as folder, ops.kernels("torch"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        file = Path(folder) / "model.onnx"
        quiet = logging.getLogger("torch.onnx")
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                private, (inputs[0],), str(file), input_names=["images"], output_names=list(outputs),
                opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
        except Exception as error:
            fix = "keep to the layers of striate.core.layers"
            raise ExportError("a network that ONNX can express", f"{type(error).__name__}: {error}", fix) from error
        finally:
            quiet.setLevel(level)
        model = onnx.load(str(file))
        onnx.helper.set_model_props(model, {"striate": json.dumps(dict(metadata))})
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        worst = max(_difference(private(x), session.run(None, {"images": x.numpy()})) for x in inputs)
    if not worst <= tolerance:
        raise ExportError(
            f"outputs within {tolerance:g} of the network's",
            f"{worst:g} on {len(inputs)} inputs",
            "report this network",
        )
    atomic_write(path, lambda file: file.write(content))
    return worst


def _difference(ours: Sequence[Tensor], theirs: Sequence[Any]) -> float:
    """Largest difference of any output, relative to that output's largest value."""
    return max(
        float(np.abs(mine.numpy() - other).max() / max(1e-6, float(mine.abs().max())))
        for mine, other in zip(ours, theirs, strict=True)
    )
