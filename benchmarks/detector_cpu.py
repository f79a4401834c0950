"""Detector inference on the CPU, one thread: Striate against eager torch, ONNX Runtime and OpenCV DNN.

All run the same network on the same picture, batch 1: ours optimized, eager as it was trained, the other two from an
ONNX file. All are float32 but one row, which is what `predict` runs where the CPU multiplies bfloat16 in hardware. The
first case is the network alone, its six maps; the second decodes every cell to a box, which is what the file of
`Detector.export` does. Before the clock starts the outputs are compared.
`detector_cpu.py [WEIGHTS] [--rounds N] [--dry]`; --dry prints the table and keeps nothing.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn

from striate.benchmarks.harness import Row, keep, measure, new_run
from striate.benchmarks.peers import agree, onnx_runtime, opencv_dnn
from striate.benchmarks.report import table
from striate.core.datasets.synthetic import blood_smear
from striate.core.export import export_onnx
from striate.core.images import letterbox, to_tensor
from striate.core.optimize import has_bfloat16, optimize
from striate.detection import Detector
from striate.detection.data import canvas_for
from striate.detection.export import Decoder
from striate.detection.model import STRIDES

SUBJECT = "detector_cpu"
THREADS = 1


class Maps(nn.Module):
    """The network with its maps in one flat tuple, as ONNX wants its outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network: distances and classes of each scale, in turn."""
        return tuple(tensor for scale in self.network(images) for tensor in scale)


def network_rows(detector: Detector, run: str, rounds: int) -> list[Row]:
    """Time the network on one letterboxed picture, alone and with every cell decoded."""
    image = blood_smear(seed=7)[0]
    height, width = canvas_for(image.shape[:2], detector.image_size)
    x = to_tensor(letterbox(image, (height, width))[0])
    network = detector.network_
    assert network is not None
    fast = {"striate, float32": optimize(network, x)}
    if has_bfloat16(torch.device("cpu")):
        fast["striate, bfloat16"] = optimize(network, x, precision="bf16")
    cases: list[tuple[str, Callable[[Any], nn.Module], tuple[str, ...]]] = [
        ("network", Maps, tuple(f"{name}{stride}" for stride in STRIDES for name in ("distances", "classes"))),
        ("network and decoding", Decoder, ("boxes", "scores")),
    ]
    rows = []
    for title, wrap, outputs in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "detector.onnx"
            export_onnx(wrap(copy.deepcopy(network)), [x], path, outputs=outputs, metadata={})
            candidates: dict[str, Callable[[], object]] = {
                "torch, eager": partial(wrap(network), x),
                **{name: partial(wrap(ours), x) for name, ours in fast.items()},
                "ONNX Runtime": onnx_runtime(path, x.numpy()),
                "OpenCV DNN": opencv_dnn(path, x.numpy(), outputs),
            }
        with torch.inference_mode():
            for name, call in candidates.items():
                agree(name, call(), candidates["torch, eager"]())
            case = f"{title}, {width}x{height}"
            rows += measure(SUBJECT, case, candidates, baseline="ONNX Runtime", run=run, threads=THREADS, rounds=rounds)
    return rows


def predict_rows(detector: Detector, run: str, rounds: int) -> list[Row]:
    """Time predict() as a user calls it: an array in, Detections out."""
    image = blood_smear(seed=7)[0]
    case = f"predict(), {image.shape[1]}x{image.shape[0]} array"
    call = {"striate": lambda: detector.predict(image)}
    return measure(SUBJECT, case, call, baseline="striate", run=run, threads=THREADS, rounds=rounds)


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", default="cells")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    detector, run = Detector.from_pretrained(options.weights), new_run()
    rows = network_rows(detector, run, options.rounds) + predict_rows(detector, run, options.rounds)
    if not options.dry:
        keep(rows)
    print(table(rows))


if __name__ == "__main__":
    main()
