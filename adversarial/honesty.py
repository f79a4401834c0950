"""Checks before a claim of robustness: does the attack work, or does the model only hide its gradients?

Athalye, Carlini and Wagner 2018, Obfuscated gradients give a false sense of security, section 3.1, and Carlini et al.
2019, On evaluating adversarial robustness: signs that a failing attack says nothing about the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, ModelError
from ..core.images import Source, load_image, to_tensor
from .criteria import Misclassified
from .distances import DISTANCES, distance_named
from .goals import ClassGoal
from .inputs import make_inputs
from .noise import Noise
from .pgd import Pgd
from .problem import Problem
from .square import Square
from .victims import victim

LONGER, HUGE = "pgd, five times the steps", "pgd, huge budget"
ZERO_SHARE = 0.1
"""Of pictures without any gradient, from which on gradients count as hidden."""
SLACK = 0.02
"""By which a stronger attack may do worse by chance; of fewer than 50 pictures, one. A huge budget has no chance."""
NEARLY_ONE = 0.99
"""The huge budget in Linf, where 1 is no budget."""


@dataclass(frozen=True)
class Check:
    """One question.

    Attributes:
        question: What was asked.
        passed: Whether the answer is what an honest model gives; None where too few were fooled to tell.
        detail: The figures.
    """

    question: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Honesty:
    """All answers; `verdict` says "gradient masking" where one of them is wrong, "undecided" where too few were fooled.

    That all attacks fail alike is what hidden gradients look like, and what a budget too small for anybody looks like:
    only a larger budget tells which. So rates that are no larger than what chance may make of their differences are
    not compared.

    Attributes:
        checks: The questions in turn.
        rates: Success rate by attack.
        distance: Of the budget.
        epsilon: Budget of all attacks but the one called huge.
    """

    checks: tuple[Check, ...]
    rates: dict[str, float]
    distance: str
    epsilon: float

    @property
    def masked(self) -> bool:
        """Whether any check failed."""
        return any(check.passed is False for check in self.checks)

    @property
    def undecided(self) -> bool:
        """Whether no check failed, but some could not have."""
        return not self.masked and any(check.passed is None for check in self.checks)

    @property
    def verdict(self) -> str:
        """One line for people."""
        failed = [check.question for check in self.checks if check.passed is False]
        if failed:
            return f"gradient masking: {'; '.join(failed)}; no claim of robustness holds"
        ball = f"within {self.distance} {self.epsilon:.4g}"
        if self.undecided:
            some = any(rate for name, rate in self.rates.items() if name != HUGE)
            return (
                f"undecided: {'too few pictures were' if some else 'nothing was'} fooled {ball}, pass a larger budget"
            )
        return f"no sign of gradient masking {ball}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"verdict": self.verdict, "masked": self.masked, "undecided": self.undecided, **asdict(self)}

    def __str__(self) -> str:
        signs = {True: "ok ", False: "NO ", None: "?  "}
        lines = [f"{signs[check.passed]} {check.question}: {check.detail}" for check in self.checks]
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
        epsilon: Budget, best one that fools about half of the pictures; None is the distance's usual one.
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
    budget, pictures = norm.usual if epsilon is None else epsilon, [load_image(one) for one in images]
    few, many = Pgd(distance=distance, steps=steps), Pgd(distance=distance, steps=5 * steps)
    attacks = {
        "noise": (Noise(distance=distance), budget),
        "pgd": (few, budget),
        LONGER: (many, budget),
        "square": (Square(distance=distance, queries=queries), budget),
        HUGE: (many, whole_range(distance, pictures)),
    }
    found = {
        name: attack.run(asked, pictures, labels, epsilons=size, seed=seed) for name, (attack, size) in attacks.items()
    }
    right = int(found["pgd"].correct.sum())
    if not right:
        raise DataError("pictures that the model names right", "none", "pass more, or check their labels")
    rates = {name: results.success_rate for name, results in found.items()}
    zero = zero_gradients(asked, pictures, labels)
    there = Check("gradients are there", zero < ZERO_SHARE, f"{zero:.1%} of {right} pictures have none")
    return Honesty((there, *_compared(rates, max(SLACK, 1 / right) + 1e-9)), rates, distance, float(budget))


def whole_range(distance: str, images: Sequence[NDArray[np.uint8]]) -> float:
    """Return a budget within which any picture can become any other, or nearly: in L2 the diagonal sqrt(3 H W).

    Of pictures of several sizes, uint8 (H, W, 3), that of the largest: it holds all of a smaller one's, too.
    """
    return NEARLY_ONE if distance == "linf" else math.sqrt(max((image.size for image in images), default=1))


def _compared(rates: dict[str, float], slack: float) -> tuple[Check, ...]:
    """Return the questions that compare attacks; three have no answer where no rate exceeds the slack."""
    longer, huge, white = rates[LONGER], rates[HUGE], max(rates["pgd"], rates[LONGER])
    few = max(rate for name, rate in rates.items() if name != HUGE) <= slack

    def check(question: str, passed: bool, first: float, second: float) -> Check:
        return Check(question, None if few else passed, f"{first:.1%} against {second:.1%}")

    return (
        check("more steps are not weaker", longer >= rates["pgd"] - slack, longer, rates["pgd"]),
        check("a black box is not stronger", rates["square"] <= white + slack, rates["square"], white),
        check("noise is not stronger", rates["noise"] <= white + slack, rates["noise"], white),
        Check("a huge budget fools all", huge >= 1 - SLACK, f"{huge:.1%}"),
    )


def zero_gradients(model: Any, images: Sequence[Source], labels: Any = None) -> float:
    """Return the share of rightly named pictures at which the gradient of the loss is zero everywhere; NaN for none."""
    asked = victim(model)
    inputs = make_inputs(asked, list(images), labels, None, Misclassified(), None)
    flat: list[bool] = []
    for rows in inputs.batches():
        pictures = to_tensor([inputs.images[row] for row in rows]).to(asked.device)
        goal = ClassGoal(Misclassified(), *inputs.ids(rows, asked.device))
        problem = Problem.of(asked, pictures, goal, DISTANCES["l2"])
        _, _, gradient = problem.gradient(pictures, goal.loss)
        flat += (gradient.flatten(1).abs().amax(1) == 0).tolist()
    return float(np.mean(flat)) if flat else float("nan")
