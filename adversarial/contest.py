"""An attack as `bow_baseline.compare.Comparison` takes it: one picture at a time, on models of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classifier import Classifier
from .attack import Attack
from .budgets import converted
from .hopskipjump import HopSkipJump
from .victims import GIVES, Victim, victim

KEPT = 2
"""Networks whose copies are kept: a comparison attacks one model's pictures after the other's."""


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
        self._wrapped: list[tuple[Classifier, Any, Victim]] = []

    def __call__(
        self, model: Any, image: NDArray[np.uint8], class_id: int, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return the changed picture; the original where the model is wrong already."""
        asked = self._victim(model)
        chosen, seed = self._chosen(asked), int(rng.integers(2**31))
        epsilon = self._budget(image.size) if chosen is self.black_box else self.epsilon
        found: NDArray[np.uint8] = chosen.run(asked, image, class_id, epsilons=epsilon, seed=seed).image
        return found

    def method_on(self, model: Any) -> str:
        """Return the name of the attack that a model gets."""
        return self._chosen(self._victim(model)).name

    def _victim(self, model: Any) -> Victim:
        """Return a model as attacks ask it; the private copies of a few networks are kept for the next picture."""
        if not isinstance(model, Classifier):
            return victim(model)  # no copy is made of those
        tensors = model.network_.state_dict(keep_vars=True).values() if model.network_ is not None else ()
        state = [(id(one), one._version) for one in tensors] + [model.image_size, model.channels, model.views]
        same = [found for kept, then, found in self._wrapped if kept is model and then == state]
        others = [one for one in self._wrapped if one[0] is not model]
        found = same[0] if same else victim(model)
        self._wrapped = [*others[-(KEPT - 1) :], (model, state, found)]  # the last one asked for at the end
        return found

    def _chosen(self, asked: Victim) -> Attack:
        enough = GIVES.index(asked.gives) >= GIVES.index(self.attack.needs)
        return self.attack if enough else self.black_box

    def _budget(self, numbers: int) -> float | None:
        """Return the black box attack's budget for a picture of so many numbers; None is its own, or none at all."""
        if self.epsilon is not None or self.black_box.epsilon is not None or self.attack.epsilon is None:
            return self.epsilon
        return converted(self.attack.epsilon, self.attack.distance.name, self.black_box.distance.name, numbers)
