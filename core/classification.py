"""What a classifier says about one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classification:
    """Probabilities of the classes of one picture.

    Attributes:
        probabilities: float32 (classes,), sums to 1.
        names: Class names by class id.
        source: Path of the picture, None if it came another way.
    """

    probabilities: NDArray[np.float32]
    names: tuple[str, ...]
    source: str | None = None

    @property
    def class_id(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def label(self) -> str:
        """Its name."""
        return self.names[self.class_id]

    @property
    def score(self) -> float:
        """Its probability."""
        return float(self.probabilities[self.class_id])

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the likeliest classes and their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.names[i], float(self.probabilities[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: label, score, the five likeliest classes."""
        top = [{"label": name, "score": score} for name, score in self.top()]
        return {"source": self.source, "label": self.label, "score": self.score, "top": top}

    def __str__(self) -> str:
        return ", ".join(f"{name} {score:.1%}" for name, score in self.top(3))
