"""Normalization layers, as torch.nn has them, through `ops`."""

from __future__ import annotations

from torch import Tensor, nn

from .. import ops


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` through `ops.batch_norm`; `momentum=None` averages over all batches seen."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        update = not self.training or self.track_running_stats
        return ops.batch_norm(
            input,
            self.weight,
            self.bias,
            self.running_mean if update else None,
            self.running_var if update else None,
            by_batch,
            momentum,
            self.eps,
        )
