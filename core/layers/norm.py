"""Normalization layers, as torch.nn has them, through `ops`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .. import ops


def _normalize(layer: Any, x: Tensor, **after: Any) -> Tensor:
    """Run a batch norm layer; `momentum=None` averages over all batches seen."""
    layer._check_input_dim(x)
    momentum = 0.0 if layer.momentum is None else layer.momentum
    if layer.training and layer.track_running_stats and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if layer.momentum is None:
            momentum = 1.0 / float(layer.num_batches_tracked)
    by_batch = layer.training or (layer.running_mean is None and layer.running_var is None)
    update = not layer.training or layer.track_running_stats
    return ops.batch_norm(
        x,
        layer.weight,
        layer.bias,
        layer.running_mean if update else None,
        layer.running_var if update else None,
        by_batch,
        momentum,
        layer.eps,
        **after,
    )


class BatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` through `ops.batch_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        return _normalize(self, input)


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` through `ops.batch_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        return _normalize(self, input)


class BatchNorm3d(nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d` through `ops.batch_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        return _normalize(self, input)


class BatchNormAct2d(nn.BatchNorm2d):
    """Batch norm, sum and activation in one pass: (N, C, H, W) -> act(norm(x) + residual).

    Args:
        num_features: C.
        activation: One of `ops.ACTIVATIONS`, or None.
        slope: See `ops.activation`.
        keywords: Those of `torch.nn.BatchNorm2d`, whose state_dict it has.
    """

    def __init__(
        self, num_features: int, activation: str | None = "relu", slope: float = 0.01, **keywords: Any
    ) -> None:
        super().__init__(num_features, **keywords)
        self.activation, self.slope = activation, slope

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        return _normalize(self, input, residual=residual, activation=self.activation, slope=self.slope)


class LocalResponseNorm(nn.LocalResponseNorm):
    """`torch.nn.LocalResponseNorm` through `ops.local_response_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
