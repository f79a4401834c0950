"""Cross-entropy, the loss of classification and of segmentation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from . import switch
from .switch import operation


@operation(
    "cross_entropy",
    forward=("cross_entropy_forward", "cross_entropy_total"),
    backward=("cross_entropy_backward",),
    limits="class numbers as targets",
)
def cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Take minus the logarithm of the probability that scores give to the true class.

    The mean divides by the summed weights of the targets that count, so it is NaN when none does, as torch's. The loss
    has the scores' dtype, float32 under autocast.

    Memory of a training step on the Triton road, at its peak, in bytes a score: 8, which are the scores (read in their
    own dtype) and their gradient, and 4 in half precision; nothing else is kept. torch keeps the logarithms of the
    probabilities and makes their gradient on the way: 12, or 16 while the caller holds the scores as well, and 12 or 14
    in half precision under autocast, which copies to float32. (Derived from what is saved, not measured.)

    On the Triton road a target outside [0, C) that is not `ignore_index` makes the loss NaN, because an exception would
    have to wait for the device; a CPU tensor raises IndexError, as in torch.

    Args:
        x: (N, C) or (N, C, H, W), unnormalized scores.
        target: (N,) or (N, H, W), class numbers in int64, int32 or uint8; for masks pass `ignore_index=255`.
        weight: (C,), the weight of each class.
        ignore_index: Class number that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: Share of the target's probability spread evenly over all classes, in [0, 1].

    Raises:
        UsageError: Shapes that do not fit, an unknown reduction, targets that are probabilities (Triton road).

    Source: Szegedy et al. 2016, section 7, for label smoothing.

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(2, 4), torch.tensor([3, 255]), ignore_index=255)
        tensor(1.3863)
    """
    if not switch.uses_triton(x):
        if not target.is_floating_point():
            target = target.long()  # torch knows other integers in some of its variants only
        return F.cross_entropy(
            x, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )
    from ..kernels import cross_entropy as family

    return family.cross_entropy(x, target, weight, ignore_index, reduction, label_smoothing)
