"""Highway layer."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops
from .linear import Linear


class Highway(nn.Module):
    """y = T(x) H(x) + (1 - T(x)) x with T = sigmoid (Srivastava, Greff and Schmidhuber 2015, equation 3).

    (N, features) -> (N, features). The gate's bias starts negative, so that at first the layer passes its input on.

    Args:
        features: Width.
        bias: What the gate's bias starts with; their range is -1 to -3.
    """

    def __init__(self, features: int, bias: float = -2.0) -> None:
        super().__init__()
        self.transform, self.gate = Linear(features, features), Linear(features, features)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a part, carry the rest."""
        gate = ops.activation(self.gate(x), "sigmoid")
        return gate * ops.activation(self.transform(x), "relu") + (1 - gate) * x
