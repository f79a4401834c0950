"""How to train: the options, the optimizer and the learning rate over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from .checks import UsageError, fraction, positive, unknown
from .optimizers import SGD, Adam, AdamW

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "step", "plateau", "constant")
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        epochs: Passes over the pictures.
        batch_size: Pictures in a step, over all devices together.
        optimizer: A name in `OPTIMIZERS`; "sgd" is with Nesterov momentum.
        learning_rate: The highest learning rate.
        momentum: Of SGD; Adam's beta1.
        weight_decay: Not applied to norms and biases.
        schedule: "cosine" down to `final_factor`; "step": times 0.1 after 60 and 85 % of the epochs; "plateau": times
            0.3 after `plateau_patience` epochs without a better figure; "constant".
        warmup_epochs: Epochs of linear growth from 0, fractions allowed.
        final_factor: Where the cosine ends, as a share of `learning_rate`.
        plateau_patience: See `schedule`.
        ema_decay: Decay of the averaged weights that are validated and kept; 0 for no averaging.
        clip_norm: Longest gradient, 0 for no clipping.
        patience: Stop after this many epochs without a better figure; 0 never stops.
        validate_every: Epochs between validations; the last epoch is always validated.
        precision: A key of `PRECISIONS`; "bf16" and "fp16" compute products in 16 bits and keep the weights in 32.
        device: "auto", "cpu" or "cuda".
        workers: Processes that prepare pictures; 0 prepares them in this one.
        seed: Seed of everything.

    Raises:
        UsageError: A value out of range, or an unknown name.
    """

    epochs: int = 100
    batch_size: int = 16
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.05
    schedule: str = "cosine"
    warmup_epochs: float = 3.0
    final_factor: float = 0.01
    plateau_patience: int = 10
    ema_decay: float = 0.998
    clip_norm: float = 10.0
    patience: int = 0
    validate_every: int = 1
    precision: str = "fp32"
    device: str = "auto"
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "validate_every", "plateau_patience"):
            positive(name, getattr(self, name))
        for name in ("momentum", "final_factor", "ema_decay"):
            fraction(name, getattr(self, name))
        for name in ("epochs", "batch_size", "validate_every", "plateau_patience", "patience", "workers", "seed"):
            if int(getattr(self, name)) != getattr(self, name):
                raise UsageError(f"{name} as a whole number", repr(getattr(self, name)), "round it")
        for name in ("momentum", "ema_decay"):
            if getattr(self, name) == 1:
                raise UsageError(f"{name} below 1", "1", "nothing would ever be learned; pass 0.9, say")
        for name in ("weight_decay", "warmup_epochs", "clip_norm", "patience", "workers", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} of 0 or more", repr(getattr(self, name)), f"pass {name} of 0 or more")
        known = (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS))
        for name, names in (*known, ("device", ("auto", "cpu", "cuda"))):
            if getattr(self, name) not in names:
                raise unknown(name, str(getattr(self, name)), names)


def make_options(**options: Any) -> TrainingOptions:
    """Build the options from keywords.

    Raises:
        UsageError: An option that does not exist, with the closest one, or a value out of range.
    """
    known = [field.name for field in fields(TrainingOptions)]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return TrainingOptions(**options)


def multiply(module: nn.Module, *, learning_rate: float = 1.0, weight_decay: float = 1.0) -> None:
    """Multiply learning rate and weight decay of a module's parameters, those of its children included.

    Discriminative rates (Howard and Ruder 2018): `multiply(network, learning_rate=0.1)`, then
    `multiply(network.head, learning_rate=1.0)` for a layer that starts anew.
    """
    for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay)):
        if not 0 <= value < math.inf:
            raise UsageError(f"{name} multiplied by 0 or more", repr(value), "pass 0.1, say")
    for child in module.modules():
        child.multipliers = (learning_rate, weight_decay)  # type: ignore[assignment]


def make_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Build the optimizer; norms and biases (all parameters of one dimension) get no weight decay.

    Each group has a "rate", by which its learning rate is multiplied; see `multiply`. Its steps take the road of the
    parameters: torch's own on the CPU, one launch a group on a GPU.
    """
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for p in module.parameters(recurse=False):
            if p.requires_grad and p not in seen:  # two modules may share one
                seen.add(p)
                rate, decay = getattr(module, "multipliers", (1.0, 1.0))
                found.setdefault((rate, decay * options.weight_decay if p.ndim > 1 else 0.0), []).append(p)
    groups = [{"params": ps, "weight_decay": decay, "rate": rate} for (rate, decay), ps in found.items()]
    if options.optimizer == "sgd":
        nesterov = options.momentum > 0
        return SGD(groups, options.learning_rate, momentum=options.momentum, nesterov=nesterov)
    adam = AdamW if options.optimizer == "adamw" else Adam
    return adam(groups, options.learning_rate, betas=(options.momentum, 0.999))


def learning_rate(options: TrainingOptions, done: float, step: float, plateau_factor: float) -> float:
    """Return the learning rate after `done` epochs.

    Args:
        options: Schedule, warm-up and highest rate.
        done: Epochs done, with fractions.
        step: One step as a share of an epoch: the first step of a warm-up is not at 0.
        plateau_factor: What the plateau schedule has come down to.
    """
    share = min(1.0, done / options.epochs)
    if options.schedule == "cosine":
        factor = options.final_factor + (1 - options.final_factor) * (1 + math.cos(math.pi * share)) / 2
    elif options.schedule == "step":
        factor = 0.1 ** ((share >= 0.6) + (share >= 0.85))
    else:
        factor = plateau_factor if options.schedule == "plateau" else 1.0
    warm = min(1.0, (done + step) / options.warmup_epochs) if options.warmup_epochs else 1.0
    return options.learning_rate * factor * warm


def train_mode(model: nn.Module) -> None:
    """Set the training mode, but for frozen batch norms: they keep the statistics that they were borrowed with."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine and not module.weight.requires_grad:
            module.eval()
