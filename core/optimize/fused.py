"""Convolution, norm, sum and activation as one call."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import ops

# Activation of ops.fused_conv2d -> oneDNN's name and its parameters after the slope; None where oneDNN has none.
POSTS: dict[str, tuple[str, list[float]] | None] = {
    "relu": ("relu", []),
    "leaky_relu": ("leaky_relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "silu": ("swish", []),
    "sigmoid": ("sigmoid", []),
    "tanh": ("tanh", []),
    "hardsigmoid": ("hardsigmoid", []),
    "hardswish": ("hardswish", []),
    "hardtanh": ("hardtanh", [-1.0, 1.0]),
}


class FusedConv2d(nn.Module):
    """act(conv(x) + bias [+ other]): (N, C, H, W) -> (N, K, OH, OW), computed in its weight's dtype.

    Args:
        conv: Where geometry comes from.
        weight: Folded weight (K, C / groups, R, S).
        bias: Folded bias (K,).
        activation: One of `POSTS`, or None.
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
        post = None if activation is None else POSTS[activation]
        name, scalars = post or ("none", [])
        self.post = (name, [slope] if activation == "leaky_relu" else scalars, "")

    def pack(self, shape: torch.Size) -> None:
        """Bring the weight into oneDNN's layout for inputs of this shape; others stay right, a little slower."""
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.geometry, list(shape))

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Convolve, add the bias and `other` (N, K, OH, OW), activate."""
        x = x.to(self.weight.dtype)
        if self.packed is None or ops.uses_triton(x):
            return ops.fused_conv2d(
                x, self.weight, self.bias, *self.window, residual=None if other is None else other.to(x.dtype),
                activation=self.activation, slope=self.slope,
            )  # fmt: skip
        mkldnn = torch.ops.mkldnn
        if other is None:
            return mkldnn._convolution_pointwise(x, self.packed, self.bias, *self.geometry, *self.post)
        inside = "relu" if self.activation == "relu" else None  # after a sum oneDNN's call takes no other
        other = other.to(x.dtype).contiguous(memory_format=torch.channels_last)
        rest: tuple[object, ...] = (self.packed, self.bias, *self.geometry, "add", 1.0, inside, [], None)
        if self.overwrite:
            y = mkldnn._convolution_pointwise_.binary(other, x, *rest)
        else:
            y = mkldnn._convolution_pointwise.binary(x, other, *rest)
        if self.activation in (None, inside):
            return y
        return ops.activation(y, self.activation, self.slope, inplace=True)


def onednn_has_fused_convolution() -> bool:
    """Whether this torch has the (private) operations that Inductor uses for frozen convolutions."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
