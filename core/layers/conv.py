"""Convolutions, as torch.nn has them, through `ops`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .. import ops


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` through `ops.conv2d`; all padding modes."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode == "zeros":
            return ops.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return ops.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
