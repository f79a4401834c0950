"""The losses of the lectures: one call shape, weights for classes and for examples, means over what counts.

Each takes predictions first and returns the mean over the batch of its per-example losses,

    sum_n w_n l_n / sum_n w_n

with `example_weight` w (ones if none). Class scores are (N, C) with class numbers (N,), or (N, C, H, W) with (N, H, W):
then each pixel is an example. `class_weight` (C,) multiplies what a class (a channel) contributes; the mean is not
divided by it, unlike torch's and `ops.cross_entropy`'s, which is classification on the fused kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import UsageError

__all__ = [
    "contrastive", "cross_entropy", "euclidean", "hinge", "infogain", "multinomial_logistic", "sigmoid_cross_entropy",
    "smooth_l1",
]  # fmt: skip

TINY = 1e-20
"""Caffe's floor of a probability before its logarithm."""


def cross_entropy(
    scores: Tensor, target: Tensor, *, class_weight: Tensor | None = None, example_weight: Tensor | None = None
) -> Tensor:
    """Softmax and negative log-likelihood in one, stable for scores of any size: -log softmax(scores)[target].

    Example:
        >>> cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([0]))
        tensor(0.)
    """
    losses = _picked(-scores.log_softmax(1), target)
    return _mean(_weighed(losses, target, class_weight), example_weight)


def multinomial_logistic(
    probabilities: Tensor, target: Tensor, *, class_weight: Tensor | None = None, example_weight: Tensor | None = None
) -> Tensor:
    """Negative logarithm of the probability that was given to the true class: -log p[target], p at least 1e-20."""
    losses = _picked(-_log(probabilities), target)
    return _mean(_weighed(losses, target, class_weight), example_weight)


def infogain(
    probabilities: Tensor,
    target: Tensor,
    gain: Tensor,
    *,
    class_weight: Tensor | None = None,
    example_weight: Tensor | None = None,
) -> Tensor:
    """Multinomial logistic loss under a gain matrix: -sum_k H[target, k] log p_k; H = I gives the plain one.

    Args:
        probabilities: (N, C) or (N, C, H, W), summing to 1 over C.
        target: (N,) or (N, H, W) class numbers.
        gain: (C, C), H: what it is worth to say the column's class where the row's is true.
        class_weight: (C,).
        example_weight: As the target.
    """
    classes = probabilities.shape[1]
    if gain.shape != (classes, classes):
        raise UsageError(f"a gain matrix {(classes, classes)}", f"{tuple(gain.shape)}", "one row and column a class")
    _check(probabilities, target)
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < classes:
        got = f"{int(target.min())} to {int(target.max())}"
        raise UsageError(f"class numbers from 0 to {classes - 1}", got, "number the classes from 0")
    rows = gain[target].movedim(-1, 1).to(probabilities)
    losses = -(rows * _log(probabilities)).sum(1)
    return _mean(_weighed(losses, target, class_weight), example_weight)


def hinge(
    scores: Tensor,
    target: Tensor,
    *,
    norm: int = 1,
    margin: float = 1.0,
    class_weight: Tensor | None = None,
    example_weight: Tensor | None = None,
) -> Tensor:
    """One against all: sum_k max(0, margin - t_k s_k)^norm with t_k = 1 for the true class and -1 for the others.

    Args:
        scores: (N, C) or (N, C, H, W).
        target: (N,) or (N, H, W) class numbers.
        norm: 1 for the L1 hinge, 2 for the L2 (squared) hinge.
        margin: Where it begins.
        class_weight: (C,), of each class's own term.
        example_weight: As the target.
    """
    if norm not in (1, 2):
        raise UsageError("norm 1 or 2", repr(norm), "pass 1 for the L1 hinge, 2 for the squared one")
    _check(scores, target)
    sides = 2 * F.one_hot(target.long(), scores.shape[1]).movedim(-1, 1).to(scores) - 1
    terms = (margin - sides * scores).clamp(min=0) ** norm
    return _mean(_channels(terms, class_weight).sum(1), example_weight)


def sigmoid_cross_entropy(
    scores: Tensor, target: Tensor, *, class_weight: Tensor | None = None, example_weight: Tensor | None = None
) -> Tensor:
    """Independent yes-or-no questions: sum over channels of -t log s(x) - (1 - t) log(1 - s(x)), stable.

    Args:
        scores: (N, C, ...).
        target: (N, C, ...) in [0, 1].
        class_weight: (C,).
        example_weight: (N,), or (N, ...) for each pixel.
    """
    _same_shape(scores, target)
    terms = F.binary_cross_entropy_with_logits(scores, target.to(scores), reduction="none")
    return _mean(_channels(terms, class_weight).sum(1), example_weight)


def euclidean(
    predicted: Tensor, target: Tensor, *, class_weight: Tensor | None = None, example_weight: Tensor | None = None
) -> Tensor:
    """Half the squared distance of each example: 1/2 |predicted - target|^2, channel by channel.

    Args:
        predicted: (N, C, ...).
        target: As predicted.
        class_weight: (C,), of each channel.
        example_weight: (N,), or (N, ...).
    """
    _same_shape(predicted, target)
    terms = (predicted - target.to(predicted)) ** 2 / 2
    return _mean(_channels(terms, class_weight).sum(1), example_weight)


def smooth_l1(
    predicted: Tensor,
    target: Tensor,
    *,
    sigma: float = 1.0,
    class_weight: Tensor | None = None,
    example_weight: Tensor | None = None,
) -> Tensor:
    """Quadratic near 0, linear beyond 1 / sigma^2 (Girshick 2015, equation 3; sigma as in Faster R-CNN's code).

        f(x) = (sigma x)^2 / 2 where |x| < 1 / sigma^2, else |x| - 1 / (2 sigma^2); summed over channels.

    Args:
        predicted: (N, C, ...).
        target: As predicted.
        sigma: Where it bends.
        class_weight: (C,), of each channel.
        example_weight: (N,), or (N, ...).
    """
    if not sigma > 0:
        raise UsageError("sigma above 0", repr(sigma), "pass 1, or 3 as for region proposals")
    _same_shape(predicted, target)
    terms = F.smooth_l1_loss(predicted, target.to(predicted), reduction="none", beta=1 / sigma**2)
    return _mean(_channels(terms, class_weight).sum(1), example_weight)


def contrastive(
    first: Tensor, second: Tensor, same: Tensor, *, margin: float = 1.0, example_weight: Tensor | None = None
) -> Tensor:
    """Draw like pairs together, push unlike ones apart to a margin (Hadsell, Chopra and LeCun 2006, equation 4).

        l = 1/2 d^2 for a like pair, 1/2 max(0, margin - d)^2 for an unlike one, d = |first - second|

    Args:
        first: (N, D) features.
        second: (N, D), of the other of each pair.
        same: (N,), 1 or True for a like pair.
        margin: Distance from which an unlike pair is left alone.
        example_weight: (N,).
    """
    _same_shape(first, second)
    squared = (first - second).square().sum(1)
    # The root's slope is infinite at 0, where two equal features stand: there the gradient is 0, not NaN.
    distance = torch.where(squared > 0, squared.clamp(min=TINY).sqrt(), squared)
    apart = (margin - distance).clamp(min=0).square()
    return _mean(torch.where(same.bool(), squared, apart) / 2, example_weight)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(min=max(TINY, torch.finfo(probabilities.dtype).tiny)).log()


def _check(scores: Tensor, target: Tensor) -> None:
    if target.shape != (scores.shape[0], *scores.shape[2:]) or target.is_floating_point():
        wanted = (scores.shape[0], *scores.shape[2:])
        got = f"{target.dtype} {tuple(target.shape)}"
        raise UsageError(f"class numbers {wanted} for scores {tuple(scores.shape)}", got, "pass whole numbers from 0")


def _same_shape(predicted: Tensor, target: Tensor) -> None:
    if predicted.shape != target.shape or predicted.dim() < 2:
        got = f"{tuple(predicted.shape)} and {tuple(target.shape)}"
        raise UsageError("two tensors (N, C, ...) of one shape", got, "reshape one of them")


def _picked(values: Tensor, target: Tensor) -> Tensor:
    """Take (N, C, ...) at class numbers (N, ...)."""
    _check(values, target)
    return values.gather(1, target.long().unsqueeze(1)).squeeze(1)


def _weighed(losses: Tensor, target: Tensor, class_weight: Tensor | None) -> Tensor:
    return losses if class_weight is None else losses * class_weight.to(losses)[target.long()]


def _channels(terms: Tensor, class_weight: Tensor | None) -> Tensor:
    """Weigh the channels of (N, C, ...)."""
    if class_weight is None:
        return terms
    return terms * class_weight.to(terms).view(1, -1, *[1] * (terms.dim() - 2))


def _mean(losses: Tensor, example_weight: Tensor | None) -> Tensor:
    """Average (N, ...); a weight (N,) counts for all pixels of an example."""
    if example_weight is None:
        return losses.mean()
    weight = example_weight.to(losses)
    if weight.shape != losses.shape:
        if weight.shape != losses.shape[:1]:
            fix = "pass one weight for every example"
            raise UsageError(f"example_weight {tuple(losses.shape)}", f"{tuple(weight.shape)}", fix)
        weight = weight.view(-1, *[1] * (losses.dim() - 1)).expand_as(losses)
    return (losses * weight).sum() / weight.sum()
