"""An attack as `bow_baseline.compare.Comparison` takes it: one picture at a time, on models of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attack import Attack
from .budgets import converted
from .hopskipjump import HopSkipJump
from .victims import GIVES, Victim, victim


class Contest:
    """(model, picture, its class id, generator) -> picture of the same size that the model may get wrong.

    A black box attack without a budget of its own gets the attack's, so that all models face changes of one size: in
    the same distance the same number; in L2, for a budget in Linf, that of the smallest ball that holds the other,
    epsilon sqrt(H W 3), whose pictures are changed by at most epsilon in the root mean square, as the attack's are.

    Args:
        attack: For models that give what it needs.
        black_box: For the others, such as bags of words; None is `HopSkipJump()`.
        epsilon: Budget of both, each in its distance; None is each attack's own.
        about: More that tells this contest from others, such as a digest of the attacks' code.

    Attributes:
        options: All settings as text, a part of the comparison's cache key.
    """

    def __init__(
        self,
        attack: Attack,
        *,
        black_box: Attack | None = None,
        epsilon: float | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.attack, self.black_box, self.epsilon = attack, black_box or HopSkipJump(), epsilon
        told = {"attack": repr(attack), "black_box": repr(self.black_box), "epsilon": epsilon}
        self.options: dict[str, Any] = {**told, **(about or {})}

    def __call__(
        self, model: Any, image: NDArray[np.uint8], class_id: int, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return the changed picture; the original where the model is wrong already."""
        asked = victim(model)
        chosen, seed = self._chosen(asked), int(rng.integers(2**31))
        epsilon = self._budget(image.size) if chosen is self.black_box else self.epsilon
        found: NDArray[np.uint8] = chosen.run(asked, image, class_id, epsilons=epsilon, seed=seed).image
        return found

    def method_on(self, model: Any) -> str:
        """Return the name of the attack that a model gets."""
        return self._chosen(victim(model)).name

    def _chosen(self, asked: Victim) -> Attack:
        enough = GIVES.index(asked.gives) >= GIVES.index(self.attack.needs)
        return self.attack if enough else self.black_box

    def _budget(self, numbers: int) -> float | None:
        """Return the black box attack's budget for a picture of so many numbers; None is its own, or none at all."""
        if self.epsilon is not None or self.black_box.epsilon is not None or self.attack.epsilon is None:
            return self.epsilon
        return converted(self.attack.epsilon, self.attack.distance.name, self.black_box.distance.name, numbers)
