"""Whom else an adversarial picture fools: the same model after JPEG, other networks, the bag of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..adversarial.results import Result

FOOLED, NOT_FOOLED, DISAGREED = "fooled", "not fooled", "disagreed before"
MOVED, STAYS = "other classes: another answer", "other classes: the same answer"


@dataclass(frozen=True)
class Look:
    """What is said of the picture before and after the attack.

    Attributes:
        who: Who says so, or after what.
        before: Class of the original.
        before_score: Its probability.
        after: Class of the adversarial picture.
        after_score: Its probability.
        verdict: One of this file's five.
    """

    who: str
    before: str
    before_score: float
    after: str
    after_score: float
    verdict: str


def after_jpeg(model: Any, found: Result) -> list[Look]:
    """Look again through JPEG of each of `transfer.QUALITIES`, at the original as well: it may suffice alone."""
    from ..adversarial.defended import jpeg
    from ..adversarial.transfer import QUALITIES

    pictures = [jpeg(quality)(one) for quality in QUALITIES for one in (found.original, found.image)]
    rows = model.predict_proba(pictures)
    return [
        _look(f"JPEG {quality}", model.names, rows[2 * place], rows[2 * place + 1], found)
        for place, quality in enumerate(QUALITIES)
    ]


def by_other(who: str, model: Any, found: Result) -> Look:
    """Ask another model; one that knows other classes cannot be fooled, but may change its answer."""
    before, after = model.predict_proba([found.original, found.image])
    return _look(who, model.names, before, after, found)


def _look(who: str, names: tuple[str, ...], before: Any, after: Any, found: Result) -> Look:
    first, second = int(before.argmax()), int(after.argmax())
    said = (names[first], names[second])
    return Look(who, said[0], float(before[first]), said[1], float(after[second]), _verdict(names, *said, found))


def _verdict(names: tuple[str, ...], before: str, after: str, found: Result) -> str:
    from ..adversarial.transfer import fools

    if set(names) != set(found.names):
        return STAYS if before == after else MOVED
    if before != found.label:
        return DISAGREED
    return FOOLED if fools(found, after) else NOT_FOOLED
