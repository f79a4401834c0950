"""Models that are cheap to fool: probabilities from the mean colours of a picture's quarters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ("north", "east", "south", "west")


class Quarters:
    """Names the quarter of a picture that is brightest; a black box with `predict_proba`.

    Args:
        names: Class names; in another order the quarters go with their names.
        sharp: Factor of the scores.
    """

    def __init__(self, names: tuple[str, ...] = NAMES, sharp: float = 40.0) -> None:
        self.names, self.sharp, self.asked = names, sharp, 0

    def predict_proba(self, pictures: list[Any]) -> NDArray[np.float32]:
        """Return softmax of the quarters' brightness."""
        self.asked += len(pictures)
        grey = np.stack([np.asarray(one, np.float64).mean(2) for one in pictures]) / 255
        half = grey.shape[1] // 2
        parts = {"north": grey[:, :half, :half], "east": grey[:, :half, half:]}
        parts |= {"south": grey[:, half:, half:], "west": grey[:, half:, :half]}
        scores = self.sharp * np.stack([parts[name].mean((1, 2)) for name in self.names], 1)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return (powers / powers.sum(1, keepdims=True)).astype(np.float32)
