"""Checks before a claim of robustness: does the attack work, or does the model only hide its gradients?

Athalye, Carlini and Wagner 2018, Obfuscated gradients give a false sense of security, section 3.1, and Carlini et al.
2019, On evaluating adversarial robustness: signs that a failing attack says nothing about the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..core.checks import DataError, ModelError
from ..core.images import Source, to_tensor
from .criteria import Misclassified
from .distances import DISTANCES, distance_named
from .goals import ClassGoal
from .inputs import make_inputs
from .noise import Noise
from .pgd import Pgd
from .problem import Problem
from .square import Square
from .victims import victim

ZERO_SHARE = 0.1
"""Of pictures without any gradient, from which on gradients count as hidden."""
SLACK = 0.02
"""By which a stronger attack may do worse by chance; of fewer than 50 pictures, one."""

HUGE = {"linf": 0.99, "l2": 50.0}
"""Budgets within which any picture can become any other, or nearly."""


@dataclass(frozen=True)
class Check:
    """One question.

    Attributes:
        question: What was asked.
        passed: Whether the answer is what an honest model gives.
        detail: The figures.
    """

    question: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Honesty:
    """All answers; `verdict` says "gradient masking" where one of them is wrong.

    Attributes:
        checks: The questions in turn.
        rates: Success rate by attack.
    """

    checks: tuple[Check, ...]
    rates: dict[str, float]

    @property
    def masked(self) -> bool:
        """Whether any check failed."""
        return not all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        """One line for people."""
        failed = [check.question for check in self.checks if not check.passed]
        if failed:
            return f"gradient masking: {'; '.join(failed)}; no claim of robustness holds"
        return "no sign of gradient masking"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"verdict": self.verdict, "masked": self.masked, **asdict(self)}

    def __str__(self) -> str:
        lines = [f"{'ok ' if check.passed else 'NO '} {check.question}: {check.detail}" for check in self.checks]
        return "\n".join([*lines, self.verdict])


def check_gradients(
    model: Any,
    images: Sequence[Source],
    labels: Any = None,
    *,
    distance: str = "linf",
    epsilon: float | None = None,
    steps: int = 20,
    queries: int = 200,
    seed: int = 0,
) -> Honesty:
    """Ask the five questions about a model on some pictures.

    Args:
        model: One that gives gradients; see `Attack.run`.
        images: Pictures of one or several sizes.
        labels: As `Attack.run`'s.
        distance: "linf" or "l2".
        epsilon: Budget; None is the distance's usual one.
        steps: Of PGD; five times as many are tried too.
        queries: Of Square.
        seed: Of all attacks.

    Raises:
        ModelError: A model without gradients. DataError: No picture that the model names right.
    """
    asked, norm = victim(model), distance_named(distance, ("linf", "l2"))
    if asked.gives != "gradients":
        fix = "ask this about a network"
        raise ModelError("a model that gives gradients", f"one that gives {asked.gives}", fix)
    budget = norm.usual if epsilon is None else epsilon
    few, many = Pgd(distance=distance, steps=steps), Pgd(distance=distance, steps=5 * steps)
    attacks = {
        "noise": (Noise(distance=distance), budget),
        "pgd": (few, budget),
        "pgd, five times the steps": (many, budget),
        "square": (Square(distance=distance, queries=queries), budget),
        "pgd, huge budget": (many, HUGE[distance]),
    }
    found = {
        name: attack.run(asked, list(images), labels, epsilons=size, seed=seed)
        for name, (attack, size) in attacks.items()
    }
    rates = {name: results.success_rate for name, results in found.items()}
    right = int(found["pgd"].correct.sum())
    if not right:
        raise DataError("pictures that the model names right", "none", "pass more, or check their labels")
    slack = max(SLACK, 1 / right) + 1e-9
    zero = zero_gradients(asked, images, labels)
    longer, huge = rates["pgd, five times the steps"], rates["pgd, huge budget"]
    white = max(rates["pgd"], longer)
    checks = (
        Check("gradients are there", zero < ZERO_SHARE, f"{zero:.1%} of {right} pictures have none"),
        Check("more steps are not weaker", longer >= rates["pgd"] - slack, _pair(longer, rates["pgd"])),
        Check("a black box is not stronger", rates["square"] <= white + slack, _pair(rates["square"], white)),
        Check("noise is not stronger", rates["noise"] <= white + slack, _pair(rates["noise"], white)),
        Check("a huge budget fools all", huge >= 1 - slack, f"{huge:.1%}"),
    )
    return Honesty(checks, rates)


def zero_gradients(model: Any, images: Sequence[Source], labels: Any = None) -> float:
    """Return the share of rightly named pictures at which the gradient of the loss is zero everywhere; NaN for none."""
    asked = victim(model)
    inputs = make_inputs(asked, list(images), labels, None, Misclassified(), None)
    flat: list[bool] = []
    for rows in inputs.batches():
        pictures = to_tensor([inputs.images[row] for row in rows]).to(asked.device)
        goal = ClassGoal(Misclassified(), *inputs.ids(rows, asked.device))
        problem = Problem.of(asked, pictures, goal, DISTANCES["l2"])
        with torch.enable_grad():
            _, _, gradient = problem.gradient(pictures, goal.loss)
        flat += (gradient.flatten(1).abs().amax(1) == 0).tolist()
    return float(np.mean(flat)) if flat else float("nan")


def _pair(first: float, second: float) -> str:
    return f"{first:.1%} against {second:.1%}"
