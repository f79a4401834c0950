"""The segmenter as an ONNX file: picture in, scores of every class for every pixel out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from ..core.checks import UsageError
from ..core.class_network import Normalized
from ..core.datasets.synthetic import blood_smear
from ..core.export import export_onnx
from ..core.images import resize, to_tensor
from .model import PixelNet

PARITY_PICTURES = 16


class Scores(nn.Module):
    """A network with its one output in a tuple, as `export_onnx` takes it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Compute the scores (N, classes, H, W)."""
        return (self.network(images),)


def export_segmenter(network: Normalized, path: str | Path, size: tuple[int, int], metadata: dict[str, Any]) -> float:
    """Write a segmenter as ONNX for one size (height, width) of pictures; see `core.export.export_onnx`.

    Raises:
        UsageError: A size that does not fit the network's stride.
        ExportError: As `export_onnx`.
    """
    inner = cast(PixelNet, network.network)
    if any(side % inner.stride or side < inner.least for side in size):
        fix = f"pad pictures to multiples of {inner.stride}"
        raise UsageError(f"a size of multiples of {inner.stride} from {inner.least}", f"{size[0]} x {size[1]}", fix)
    pictures = [resize(blood_smear(seed)[0], size) for seed in range(PARITY_PICTURES)]
    about = {
        **metadata,
        "input": "images: float32 (1, 3, height, width), RGB in [0, 1]",
        "outputs": "scores: (1, classes, height, width), unnormalized; the largest along axis 1 is the class",
        "height": size[0],
        "width": size[1],
    }
    inputs = [to_tensor(picture) for picture in pictures]
    return export_onnx(Scores(network.eval()), inputs, path, outputs=("scores",), metadata=about)
