"""Convolutions that halve their maps themselves, without pooling: the network of robust digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from ..checks import UsageError, whole
from ..layers import Conv2d, Linear, ReLU


class StridedNet(nn.Module):
    """Two 4x4 convolutions of stride 2, one over the whole map that is left, and scores: (N, C, S, S) -> (N, classes).

    After Wong and Kolter 2018, Provable defenses against adversarial examples via the convex outer adversarial
    polytope, whose network for MNIST has the default's widths, 166,406 parameters; Wong, Rice and Kolter 2020 train it,
    too. Differs from it in writing the layer over the whole map as a convolution, as C5 of LeNet-5 is: the same sums,
    but no map has to be laid out anew for it. With widths of 32, 64 and 256 the gradient of 256 pictures takes 24 ms
    where it took 32 (bfloat16, one core of an AMD EPYC with AVX-512).

    Args:
        classes: Number of classes.
        in_channels: Of the pictures.
        image_size: Side of the square pictures, 4 or more.
        widths: Of the two convolutions, and of the layer over the whole map.

    Raises:
        UsageError: Not three widths, or pictures of fewer than four pixels.
    """

    head = "fc"
    maps: ClassVar[dict[str, str]] = {name: name for name in ("relu1", "relu2", "relu3")}

    def __init__(
        self,
        classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        widths: Sequence[int] = (16, 32, 100),
    ) -> None:
        super().__init__()
        if len(widths) != 3:
            raise UsageError(
                "three widths, of two convolutions and of a layer", repr(widths), "pass widths=(16, 32, 100)"
            )
        whole("image_size", image_size, least=4)
        first, second, third = widths
        self.conv1, self.relu1 = Conv2d(in_channels, first, 4, stride=2, padding=1), ReLU()
        self.conv2, self.relu2 = Conv2d(first, second, 4, stride=2, padding=1), ReLU()
        self.conv3, self.relu3 = Conv2d(second, third, image_size // 4), ReLU()
        self.fc = Linear(third, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the scores."""
        x = self.relu2(self.conv2(self.relu1(self.conv1(images))))
        return self.fc(self.relu3(self.conv3(x)).flatten(1))
