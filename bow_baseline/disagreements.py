"""Pictures that one contender names right and another wrong, with what each saw in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError
from .contender import probabilities
from .fitting import Run
from .occlusion import occlusion_map
from .results import Results


@dataclass(frozen=True)
class Answer:
    """What one contender said about a picture.

    Attributes:
        contender: Its name.
        label: Class that it named.
        probability: Of that class.
        heat: float32 (H, W), above 0 where the picture speaks for that class to this contender.
        method: How `heat` was found.
    """

    contender: str
    label: str
    probability: float
    heat: NDArray[np.float32]
    method: str


@dataclass(frozen=True)
class Disagreement:
    """A picture that one names right and another wrong.

    Attributes:
        index: In the test set.
        source: File or place of the picture.
        truth: Its class.
        right: The answer of the one.
        wrong: Of the other.
        confidence: Geometric mean of the two probabilities.
    """

    index: int
    source: str
    truth: str
    right: Answer
    wrong: Answer
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without the heat maps."""
        sides = {
            side: {name: getattr(answer, name) for name in ("contender", "label", "probability", "method")}
            for side, answer in (("right", self.right), ("wrong", self.wrong))
        }
        about = {name: getattr(self, name) for name in ("index", "source", "truth", "confidence")}
        return {**about, **sides}


def disagreements(results: Results, first: str, second: str, *, count: int = 4) -> list[Disagreement]:
    """Return the pictures on which two contenders most confidently disagree, with the first seed.

    Args:
        results: Of a comparison.
        first: Name of a contender.
        second: Name of another.
        count: At most so many pictures that the first names right, and as many that the second does.

    Raises:
        UsageError: Not one of the contenders.
        DataError: A contender whose own explanation has another size than the picture.
    """
    found = []
    for winner, loser in ((first, second), (second, first)):
        ours, theirs = results.probabilities(winner)[0], results.probabilities(loser)[0]
        labels = results.test.labels
        places = np.flatnonzero((ours.argmax(1) == labels) & (theirs.argmax(1) != labels))
        sure = np.sqrt(ours[places].max(1) * theirs[places].max(1))
        for at in np.argsort(-sure, kind="stable")[:count]:
            i = int(places[at])
            answers = _answer(results, winner, i, ours[i]), _answer(results, loser, i, theirs[i])
            truth = results.test.names[labels[i]]
            found.append(Disagreement(i, results.test.source(i), truth, *answers, float(sure[at])))
    return found


def explain(results: Results, name: str, image: NDArray[np.uint8], class_id: int) -> NDArray[np.float32]:
    """Return where a contender, trained with the first seed, sees a class in any picture: float32 (H, W).

    Raises:
        DataError: The contender's own explanation has another size than the picture, or is not finite.
    """
    contender, model = results.contender(name), results.model(name)
    heat = np.asarray((contender.explain or occlusion_map)(model, image, class_id), np.float32)
    if heat.shape != image.shape[:2] or not np.isfinite(heat).all():
        fix = "return one finite number for each pixel"
        raise DataError(f"an explanation {image.shape[:2]} from {name!r}", f"{heat.shape}", fix)
    return heat


def answer(results: Results, name: str, image: NDArray[np.uint8]) -> Answer:
    """Ask a contender, trained with the first seed, about any picture, and why it says so.

    Raises:
        UsageError: Not one of the contenders.
        DataError: See `explain`.
    """
    row = probabilities(results.model(name), [image], len(results.test.names), name)[0]
    class_id = int(row.argmax())
    heat = explain(results, name, image, class_id)
    return Answer(name, results.test.names[class_id], float(row[class_id]), heat, results.contender(name).method)


def _answer(results: Results, name: str, index: int, row: NDArray[np.float32]) -> Answer:
    contender, class_id = results.contender(name), int(row.argmax())
    run = Run(contender, results.seeds[0])
    asked = [results.config["test"], index, class_id, contender.method]
    identity = {**results.fitting.identity(run), "what": "explanation", "asked": asked}
    cell = results.cells.get(identity)
    if cell is None:
        heat = explain(results, name, results.test.image(index), class_id)
        results.cells.put(identity, {"heat": heat})
    else:
        heat = cell[0]["heat"]
    return Answer(name, results.test.names[class_id], float(row[class_id]), heat, contender.method)
