"""What an attack made of one picture (`Result`), and of many (`Results`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .changed import Changed
from .drawing import draw_result

__all__ = ["Result", "Results"]


@dataclass(frozen=True)
class Result(Changed):
    """One picture of a classifier, before and after.

    Attributes:
        image: After, uint8 (H, W, 3): as decoded from the PNG that `save` writes. The original where nothing was
            attacked.
        original: Before, uint8 (H, W, 3).
        label: The true class; the model's own where none was given.
        label_before: What the model said before.
        label_after: What it says about the decoded PNG.
        target: The class that was wanted, or None.
        success: The model's answer about the decoded PNG meets the criterion, inside the budget, and it was right
            before.
        probabilities_before: float32 (classes,).
        probabilities_after: float32 (classes,).
        names: Class names by class id.
        attack: The attack with its settings, as it would be typed.
        distance: The norm that counts for this attack.
        epsilon: The budget in that norm; None without one.
        queries: Forward passes of this picture, those for gradients included.
        gradients: Backward passes.
        seconds: Of the batch that it was part of, divided by its size.
        seed: Of the random numbers.
    """

    label: str
    label_before: str
    label_after: str
    target: str | None
    success: bool
    probabilities_before: NDArray[np.float32] = field(repr=False)
    probabilities_after: NDArray[np.float32] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    attack: str
    distance: str
    epsilon: float | None
    queries: int
    gradients: int
    seconds: float
    seed: int

    @property
    def correct(self) -> bool:
        """Whether the model was right before: others count neither as success nor as robust."""
        return self.label_before == self.label

    @property
    def confidence(self) -> float:
        """The probability of `label_after`."""
        return float(self.probabilities_after.max())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: all but the pictures; an infinite PSNR is None."""
        fields = (
            "success", "correct", "label", "label_before", "label_after", "confidence", "target", "attack", "distance",
            "epsilon", "queries", "gradients", "seconds", "seed",
        )  # fmt: skip
        return {**{name: getattr(self, name) for name in fields}, **self.figures()}

    def draw(self, *, side: int = 256) -> NDArray[np.uint8]:
        """Draw before, the amplified difference and after side by side with what the model says, uint8 (H, W, 3)."""
        before = f"{self.label_before} {self.probabilities_before.max():.1%}"
        after = f"{self.label_after} {self.confidence:.1%}"
        return draw_result(self.original, self.image, before, after, side)

    def __str__(self) -> str:
        if not self.correct:
            return f"{self.label_before}, not {self.label}: wrong before any attack"
        size = f"{self.distance} {self.norms[self.distance]:.4g}"
        if self.success:
            return f"{self.label_before} -> {self.label_after} {self.confidence:.1%}, {size}"
        stays = self.label_after == self.label_before
        became = f"{self.label_before} stays" if stays else f"{self.label_before} became only {self.label_after}"
        return f"{became} {self.confidence:.1%}, {size}"


class Results(Sequence[Result]):
    """What an attack made of several pictures, at one budget; a list with figures.

    Args:
        items: One for each picture, in the order of the pictures.
    """

    def __init__(self, items: Sequence[Result]) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        return Results(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.items)

    @property
    def success(self) -> NDArray[np.bool_]:
        """Which were fooled, (N,)."""
        return np.array([one.success for one in self.items], bool)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which were right before, (N,)."""
        return np.array([one.correct for one in self.items], bool)

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """The pictures after."""
        return [one.image for one in self.items]

    def distances(self, name: str | None = None) -> NDArray[np.float64]:
        """Return the norms of the successes, in the attack's own distance or the one named."""
        return np.array([one.norms[name or one.distance] for one in self.items if one.success])

    @property
    def clean_accuracy(self) -> float:
        """Share of the pictures that the model names right before the attack; NaN for none."""
        return _share(self.correct)

    @property
    def success_rate(self) -> float:
        """Share of those named right before that are fooled; NaN for none."""
        return _share(self.success[self.correct])

    @property
    def robust_accuracy(self) -> float:
        """Share of the pictures that are named right before, and were not fooled; NaN for none."""
        return _share(self.correct & ~self.success)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: the three rates, means, and one entry for each picture."""
        found = self.distances()
        return {
            "pictures": len(self),
            "clean_accuracy": self.clean_accuracy,
            "success_rate": self.success_rate,
            "robust_accuracy": self.robust_accuracy,
            "mean_distance": float(found.mean()) if len(found) else None,
            "queries": int(sum(one.queries for one in self.items)),
            "gradients": int(sum(one.gradients for one in self.items)),
            "seconds": float(sum(one.seconds for one in self.items)),
            "results": [one.to_dict() for one in self.items],
        }

    def __str__(self) -> str:
        if not self.items:
            return "no pictures"
        return (
            f"{len(self)} pictures: clean accuracy {self.clean_accuracy:.1%}, fooled {self.success_rate:.1%} of those, "
            f"robust accuracy {self.robust_accuracy:.1%}"
        )


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
