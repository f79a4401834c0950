"""Budgets of one size in other distances, so that attacks of different kinds stand on one axis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import UsageError
from .attack import Attack
from .problem import Step
from .results import Result, Results


def converted(epsilon: float, given: str, wanted: str, numbers: int) -> float | None:
    """Return the budget in the distance `wanted` for one in `given`, of a picture of so many numbers; None for no such.

    From Linf to L2 it is that of the smallest ball that holds the other, epsilon sqrt(H W 3): pictures are changed by
    at most epsilon in the root mean square, as those inside the other are.
    """
    if given == wanted:
        return epsilon
    return epsilon * math.sqrt(numbers) if (given, wanted) == ("linf", "l2") else None


def run_within(
    attack: Attack, model: Any, images: Sequence[NDArray[np.uint8]], labels: Sequence[Any],
    epsilons: Sequence[float], distance: str | None, *, seed: int = 0, on_step: Callable[[Step], None] | None = None,
) -> list[Results]:  # fmt: skip
    """Run an attack within budgets in any distance.

    Args:
        attack: What changes pictures.
        model: As `Attack.run`'s.
        images: uint8 (H, W, 3) each, of any sizes.
        labels: One for each.
        epsilons: Budgets.
        distance: Of the budgets; None is the attack's. In another one they are converted for each size of pictures.
        seed: As `Attack.run`'s.
        on_step: As `Attack.run`'s.

    Returns:
        Results of all pictures for each budget.

    Raises:
        UsageError: A distance from which there is no way to the attack's.
    """
    own = attack.distance.name
    if distance is None or distance == own:
        found: list[Results] = attack.run(
            model, list(images), list(labels), epsilons=list(epsilons), seed=seed, on_step=on_step
        )
        return found
    by_size: dict[int, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        by_size[image.size].append(row)
    merged: list[dict[int, Result]] = [{} for _ in epsilons]
    for numbers, rows in by_size.items():
        budgets = [wide for one in epsilons if (wide := converted(one, distance, own, numbers)) is not None]
        if len(budgets) < len(epsilons):
            fix = f"give the budgets in {own}"
            raise UsageError(f"budgets in {own}, for {attack.name}", f"budgets in {distance}", fix)
        some = attack.run(
            model, [images[row] for row in rows], [labels[row] for row in rows], epsilons=budgets, seed=seed,
            on_step=on_step,
        )  # fmt: skip
        for results, whole in zip(some, merged, strict=True):
            whole.update(zip(rows, results, strict=True))
    return [Results([whole[row] for row in range(len(images))]) for whole in merged]
