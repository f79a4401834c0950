"""Convolution, norm, sum and activation as one call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import ops

# Activation of ops.fused_conv2d -> oneDNN's name of it. Of relu, relu6, hardsigmoid and hardtanh oneDNN's turn NaN
# into a number, so they are a pass of their own (1 % of VGG-16, up to 4 % of ResNet-50 in bfloat16).
POSTS = {"leaky_relu": "leaky_relu", "silu": "swish", "sigmoid": "sigmoid", "tanh": "tanh", "hardswish": "hardswish"}

PACKED = (torch.float32, torch.bfloat16)


class FusedConv2d(nn.Module):
    """act(conv(x) + bias [+ other]): (N, C, H, W) -> (N, K, OH, OW), computed in its weight's dtype.

    Args:
        conv: Where geometry comes from.
        weight: Folded weight (K, C / groups, R, S).
        bias: Folded bias (K,).
        activation: One of `ops.ACTIVATIONS`, or None.
        slope: Negative slope of leaky_relu.
        overwrite: The sum may be written into `other`, which nobody reads afterwards.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        weight: Tensor,
        bias: Tensor,
        activation: str | None = None,
        slope: float = 0.01,
        overwrite: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.activation, self.slope, self.overwrite = activation, slope, overwrite
        stride, padding, dilation = ((int(v[0]), int(v[1])) for v in (conv.stride, conv.padding, conv.dilation))
        self.window = (stride, padding, dilation, conv.groups)
        self.geometry = (list(padding), list(stride), list(dilation), conv.groups)  # in oneDNN's order
        self.packed: Tensor | None = None
        self.post = (POSTS.get(activation or "", "none"), [slope] if activation == "leaky_relu" else [], "")
        self.register_load_state_dict_post_hook(_unpack)

    def pack(self, shape: torch.Size) -> None:
        """Bring the weight into oneDNN's layout for inputs of this shape; others stay right, a little slower."""
        if len(shape) == 4 and self.weight.dtype in PACKED:
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.geometry, list(shape))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": None}  # oneDNN's layout can be neither copied nor pickled

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Convolve, add the bias and `other` (N, K, OH, OW), activate."""
        x = x.to(self.weight.dtype)
        other = None if other is None else other.to(x.dtype)
        if self.packed is None or ops.uses_triton(x) or x.dim() != 4 or not self._holds(x, other):
            return self._step_by_step(x, other)
        mkldnn = torch.ops.mkldnn
        if other is None:
            y = mkldnn._convolution_pointwise(x, self.packed, self.bias, *self.geometry, *self.post)
            return y if self.post[0] != "none" else self._activate(y)
        other = other.contiguous(memory_format=torch.channels_last)
        rest: tuple[object, ...] = (self.packed, self.bias, *self.geometry, "add", 1.0, None, [], None)
        if self.overwrite:
            y = mkldnn._convolution_pointwise_.binary(other, x, *rest)
        else:
            y = mkldnn._convolution_pointwise.binary(x, other, *rest)
        return self._activate(y)

    def _step_by_step(self, x: Tensor, other: Tensor | None) -> Tensor:
        if other is not None and not self._holds(x, other):
            return self._activate(ops.conv2d(x, self.weight, self.bias, *self.window) + other)
        return ops.fused_conv2d(
            x, self.weight, self.bias, *self.window, residual=other, activation=self.activation, slope=self.slope
        )

    def _activate(self, y: Tensor) -> Tensor:
        return y if self.activation is None else ops.activation(y, self.activation, self.slope, inplace=True)

    def _holds(self, x: Tensor, other: Tensor | None) -> bool:
        """Whether `other` has the convolution's shape: at another size than the example's it may be broadcast."""
        if other is None:
            return True
        windows = zip(x.shape[-2:], self.weight.shape[2:], *self.window[:3], strict=True)
        sides = [(size + 2 * pad - gap * (taps - 1) - 1) // step + 1 for size, taps, step, pad, gap in windows]
        return list(other.shape) == [*x.shape[:-3], len(self.weight), *sides]


def _unpack(layer: FusedConv2d, _: Any) -> None:
    """Drop the packed weights of before `load_state_dict`."""
    layer.packed = None


def onednn_has_fused_convolution() -> bool:
    """Whether this torch has the (private) operations that Inductor uses for frozen convolutions."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
