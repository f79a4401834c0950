"""One model that a picture is to fool, or several at once: `Jury`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import ModelError, UsageError, unknown
from .victims import GIVES, Attackable, by_scores, victim

COMBINATIONS = ("min", "product")


class Jury:
    """Models with the same classes that judge pictures together.

    Args:
        models: One model or a list: classifiers, anything with `names` and `predict_proba`, or what
            `victims.Attackable` and `victims.BlackBox` make.
        combine: The confidence of several in a class: the least of theirs ("min") or their product.

    Raises:
        UsageError: No model, an unknown combination, or models of other classes than the first one's.
        ModelError: A model that gives decisions only, which evolution has nothing to climb on.
    """

    def __init__(self, models: Any, *, combine: str = "min") -> None:
        if combine not in COMBINATIONS:
            raise unknown("combine", combine, COMBINATIONS)
        self.models = list(models) if isinstance(models, list | tuple) else [models]
        if not self.models:
            raise UsageError("a model to fool", "an empty list", "pass at least one")
        self.combine = combine
        self.victims = [victim(model) for model in self.models]
        self.names = tuple(self.victims[0].names)
        self.orders = [self._order(one.names) for one in self.victims]
        for one in self.victims:
            if GIVES.index(one.gives) < GIVES.index("scores"):
                fix = "choose a model with predict_proba"
                raise ModelError("a model that gives probabilities", f"one that gives {one.gives}", fix)

    def __len__(self) -> int:
        return len(self.models)

    def each(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the models' own probabilities of pictures uint8 (H, W, 3): float32 (models, N, classes).

        Raises:
            ModelError: Probabilities of another shape, or such that are not numbers.
        """
        rows = [np.asarray(one.probabilities(pictures), np.float32) for one in self.victims]
        return self._checked(rows, len(pictures))

    def confidences(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return how sure all models are of each class, float32 (N, classes), networks in float32.

        Where a model itself computes in bfloat16, scores near 20 are 0.06 apart, and evolution sees no small step: it
        stood still at 0.995 after 100 generations.
        """
        rows = [
            by_scores(partial(one.scores, exact=True), pictures, one.device)
            if isinstance(one, Attackable)
            else np.asarray(one.probabilities(pictures), np.float32)
            for one in self.victims
        ]
        return self.join(self._checked(rows, len(pictures)))

    def _checked(self, rows: list[NDArray[np.float32]], count: int) -> NDArray[np.float32]:
        for found in rows:
            if found.shape != (count, len(self.names)) or not np.isfinite(found).all():
                got = f"{found.shape}{'' if np.isfinite(found).all() else ' with NaN or infinity'}"
                expected = f"finite probabilities {(count, len(self.names))} of each picture and class"
                raise ModelError(expected, got, "check the model's predict_proba")
        return np.stack([found[:, order] for found, order in zip(rows, self.orders, strict=True)])

    def join(self, each: NDArray[np.float32]) -> NDArray[np.float32]:
        """Combine probabilities (models, ...) into one for all models."""
        return each.min(0) if self.combine == "min" else each.prod(0)

    def need_gradients(self) -> None:
        """Raise unless all models have gradients.

        Raises:
            ModelError: One that has none.
        """
        for model, one in zip(self.models, self.victims, strict=True):
            if one.gives != "gradients":
                fix = "use evolution (Evolution), which asks for probabilities only"
                raise ModelError("models with gradients", f"a {type(model).__name__} without", fix)

    def goal(self, pictures: Tensor, class_ids: Tensor, *, logits: bool = False) -> Tensor:
        """Return what ascent climbs, differentiable, float (N,).

        Args:
            pictures: float (N, 3, H, W) in [0, 1].
            class_ids: int64 (N,), in the order of `names`.
            logits: The scores before softmax, instead of the log-odds of the class, log p / (1 - p), whose gradient
                does not vanish as p comes near 1. Of several models the least, or the sum for "product".
        """
        rows = []
        for one, order in zip(self.victims, self.orders, strict=True):
            scores = one.scores(pictures)[:, order]
            own = scores.gather(1, class_ids[:, None])[:, 0]
            others = scores.scatter(1, class_ids[:, None], -torch.inf).logsumexp(1)
            rows.append(own if logits else own - others)
        stacked = torch.stack(rows)
        return stacked.amin(0) if self.combine == "min" else stacked.sum(0)

    def size(self) -> tuple[int, int] | None:
        """Return the largest size that the models say they see, (height, width); None where none says so."""
        sides = [side for model in self.models if isinstance(side := getattr(model, "image_size", None), int)]
        return (max(sides), max(sides)) if sides else None

    @property
    def channels(self) -> int:
        """1 where all models see grey pictures, else 3."""
        return 1 if all(getattr(model, "channels", 3) == 1 for model in self.models) else 3

    def class_ids(self, classes: Iterable[str] | None) -> NDArray[np.int64]:
        """Return the numbers of classes by name, all for None.

        Raises:
            UsageError: An unknown name, none at all, or one twice.
        """
        if classes is None:
            return np.arange(len(self.names))
        given = [classes] if isinstance(classes, str) else list(classes)
        for name in given:
            if name not in self.names:
                raise unknown("class", str(name), self.names)
        if not given or len(set(given)) < len(given):
            raise UsageError("classes, each once", repr(given), "leave classes out for all of them")
        return np.array([self.names.index(name) for name in given])

    def _order(self, names: Iterable[str]) -> list[int]:
        theirs = tuple(names)
        if sorted(theirs) != sorted(self.names):
            strange = sorted(set(theirs) ^ set(self.names))[:3]
            fix = "fool models of the same classes"
            raise UsageError(f"models of the {len(self.names)} classes of the first", f"others: {strange}", fix)
        return [theirs.index(name) for name in self.names]
