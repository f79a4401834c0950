"""Steps of optimizers, in place, over all parameters at once. `core/optimizers.py` has the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import switch
from .switch import operation

LIMITS = "dense parameters and gradients, float32 state"


def _directed(p: Tensor, g: Tensor, weight_decay: float, maximize: bool) -> Tensor:
    g = -g if maximize else g
    return g.add(p, alpha=weight_decay) if weight_decay else g


@operation("optimizer_step", forward=("sgd_update",), limits=LIMITS)
@torch.no_grad()
def sgd_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    buffers: Sequence[Tensor],
    *,
    rate: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """Take a step of stochastic gradient descent with momentum, as torch.optim.SGD does.

    On the Triton road one launch updates all parameters of a device and dtype.

    Args:
        parameters: Dense tensors of any shapes, changed in place; all on one road.
        gradients: One a parameter, in its shape and dtype.
        buffers: One a parameter, float32, changed in place: the momentum. Not looked at if `momentum` is 0.
        rate: Learning rate.
        momentum: Share of the buffer that stays.
        dampening: Share of the gradient that does not enter the buffer.
        weight_decay: What of the parameter is added to its gradient.
        nesterov: Step along the gradient plus `momentum` times the buffer.
        maximize: Go up.
        first: Fill the buffers with the gradients, whatever they held.

    Raises:
        UsageError: Sparse gradients, state that is not float32, other dtypes and strides (Triton road).

    Source: Sutskever et al. 2013, in torch's form, where the rate does not enter the buffer.
    """
    if not parameters:
        return
    if switch.uses_triton(parameters[0]):
        from ..kernels import optimizer_step as family

        family.sgd_step(
            parameters, gradients, buffers, rate, momentum, dampening, weight_decay, nesterov, maximize, first
        )
        return
    for i, (p, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        g = _directed(p, gradient, weight_decay, maximize)
        if momentum:
            buffers[i].copy_(g if first else buffers[i] * momentum + g * (1 - dampening))
            g = g.add(buffers[i], alpha=momentum) if nesterov else buffers[i]
        p.sub_(g * rate)


@operation("optimizer_step", forward=("adam_update",), limits=LIMITS)
@torch.no_grad()
def adam_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    maxima: Sequence[Tensor] | None = None,
    *,
    step: int,
    rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """Take a step of Adam, or of AdamW, as torch.optim does.

    On the Triton road one launch updates all parameters of a device and dtype.

    Args:
        parameters: Dense tensors of any shapes, changed in place; all on one road.
        gradients: One a parameter, in its shape and dtype.
        means: One a parameter, float32, changed in place: the moving average of gradients, 0 before the first step.
        squares: The same for squared gradients.
        maxima: The same for the largest `squares` so far (amsgrad), or None.
        step: Which step this is, from 1.
        rate: Learning rate.
        betas: What stays of `means` and of `squares`.
        eps: Added to the root of `squares`.
        weight_decay: What of the parameter is added to its gradient; if `decoupled`, what `rate` times is taken off it.
        decoupled: AdamW.
        maximize: Go up.

    Raises:
        UsageError: Sparse gradients, state that is not float32, other dtypes and strides (Triton road).

    Source: Kingma and Ba 2015; Loshchilov and Hutter 2019 for `decoupled`; Reddi et al. 2018 for `maxima`.
    """
    if not parameters:
        return
    beta1, beta2 = betas
    if switch.uses_triton(parameters[0]):
        from ..kernels import optimizer_step as family

        family.adam_step(
            parameters, gradients, means, squares, maxima, step, rate, beta1, beta2, eps, weight_decay, decoupled,
            maximize,
        )  # fmt: skip
        return
    for i, (p, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        g = _directed(p, gradient, 0.0 if decoupled else weight_decay, maximize)
        if decoupled:
            p.mul_(1 - rate * weight_decay)
        means[i].lerp_(g.to(means[i]), 1 - beta1)
        squares[i].mul_(beta2).add_(g.to(squares[i]).square(), alpha=1 - beta2)
        largest = squares[i]
        if maxima is not None:
            largest = torch.maximum(maxima[i], squares[i], out=maxima[i])
        p.sub_(rate / (1 - beta1**step) * means[i] / ((largest / (1 - beta2**step)).sqrt() + eps))
