"""The detector as an ONNX file: picture in, decoded boxes and scores out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.datasets.synthetic import blood_smear
from ..core.export import export_onnx
from ..core.images import letterbox, to_tensor
from .model import anchor_points, expected_boxes, flatten_maps

PARITY_PICTURES = 16


class Decoder(nn.Module):
    """The network with its maps decoded: (N, 3, H, W) -> boxes (N, A, 4) in canvas pixels, scores (N, A, classes)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Decode every cell; thresholds and suppression are left to the reader of the file."""
        maps = self.network(images)
        distances, classes = flatten_maps(maps)
        return expected_boxes(*anchor_points(maps), distances), classes.sigmoid()


def export_detector(network: nn.Module, path: str | Path, canvas: tuple[int, int], metadata: dict[str, Any]) -> float:
    """Write the detector as ONNX for one canvas (height, width); see `core.export.export_onnx`."""
    pictures = [letterbox(blood_smear(seed)[0], canvas)[0] for seed in range(PARITY_PICTURES)]
    about = {
        **metadata,
        "input": "images: float32 (1, 3, height, width), RGB in [0, 1], letterboxed with grey 114",
        "outputs": "boxes: (1, cells, 4) xyxy in canvas pixels; scores: (1, cells, classes); suppression is yours",
        "height": canvas[0],
        "width": canvas[1],
    }
    inputs = [to_tensor(picture) for picture in pictures]
    return export_onnx(Decoder(network), inputs, path, outputs=("boxes", "scores"), metadata=about)
