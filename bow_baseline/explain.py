"""What each visual word and each place of a picture says for or against a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.images import check_image
from .bag import Bag
from .descriptors import Descriptors
from .nearest import NearestPictures
from .occlusion import painted
from .svm import KernelSvm
from .word_encoding import WordEncoder

Floats = NDArray[np.float32]

EXACT, LEFT_OUT = "exact", "leave-one-cell-out"
GRID = 8
"""Cells a side that are left out one by one where the score is no sum over words."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a bag of words' answer comes from: the word of every descriptor, and what it adds to the class's score.

    Attributes:
        label: The class that is explained.
        class_id: Its number.
        score: Its decision value.
        base: What is left of the score without any descriptor: the machine's intercept.
        words: int64 (n,), the visual word of each descriptor.
        centres: float32 (n, 2), x and y in pixels.
        radii: float32 (n,), half the width of each patch.
        contributions: float32 (n,), what each descriptor adds to the score, below 0 what it takes away.
        heat: float32 (H, W), the contributions, each spread over its patch.
        method: "exact": contributions and heat sum to score - base. "leave-one-cell-out": what the score loses without
            the descriptors of one cell of a grid, shared out among them; such losses need not sum to anything.
        source: Path of the picture, None if it came another way.
    """

    label: str
    class_id: int
    score: float
    base: float
    words: NDArray[np.int64]
    centres: Floats
    radii: Floats
    contributions: Floats
    heat: Floats
    method: str
    source: str | None = None

    def __len__(self) -> int:
        return len(self.words)

    def word_contributions(self) -> dict[int, float]:
        """Return what each word of the picture adds to the score, the most helpful first."""
        sums = np.bincount(self.words, self.contributions)
        there = np.unique(self.words)
        return {int(word): float(sums[word]) for word in there[np.argsort(-sums[there], kind="stable")]}

    def draw_on(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture, uint8 (H, W, 3), in grey with the heat on it: orange for the class, blue against it."""
        return painted(image, self.heat)

    def draw_words_on(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of the picture with a spot for each place, in the colour of its word.

        Of several descriptors at one place, as those of several scales, the one that says most is shown.
        """
        check_image(image)
        drawn = image.copy()
        spot = max(1, round(float(self.radii.min(initial=8)) / 4))
        for i in np.argsort(np.abs(self.contributions), kind="stable"):
            x, y = (round(float(v)) for v in self.centres[i])
            cv2.circle(drawn, (x, y), spot, _colour(int(self.words[i])), cv2.FILLED, cv2.LINE_AA)
        return drawn

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: label, score, base, method, the words that say most, all descriptors."""
        words = list(self.word_contributions().items())
        rows = zip(self.centres, self.radii, self.words, self.contributions, strict=True)
        return {
            "source": self.source,
            "label": self.label,
            "class_id": self.class_id,
            "score": round(self.score, 6),
            "base": round(self.base, 6),
            "method": self.method,
            "height": self.heat.shape[0],
            "width": self.heat.shape[1],
            "words_for": [{"word": word, "contribution": round(v, 6)} for word, v in words[:10] if v > 0],
            "words_against": [{"word": word, "contribution": round(v, 6)} for word, v in words[:-11:-1] if v < 0],
            "descriptors": [
                {
                    "centre": [round(float(v), 1) for v in centre],
                    "radius": round(float(radius), 1),
                    "word": int(word),
                    "contribution": round(float(contribution), 8),
                }
                for centre, radius, word, contribution in rows
            ],
        }

    def __str__(self) -> str:
        return f"{self.label}: score {self.score:.3f} of {len(self)} descriptors, {self.method}"


def explain(
    bag: Bag,
    decider: KernelSvm | NearestPictures,
    image: NDArray[np.uint8],
    class_id: int,
    label: str,
    source: str | None = None,
) -> Explanation:
    """Explain the score of a class on a picture, uint8 (H, W, 3).

    With an additive kernel on a histogram of words the score is intercept + a sum over words and cells, and what a word
    adds in a cell is shared out among the descriptors that count for it there, by how much they do (pooled by sum) or
    to the one that is largest (by max). Otherwise, and with a mirrored view, cells of a grid are left out one by one.
    """
    views = bag.describe(image)
    descriptors = views[0]
    words = bag.encoder.words_of(descriptors) if len(descriptors) else np.zeros(0, np.int64)
    vector = bag.of(views)
    score = float(decider.scores(vector[None])[0, class_id])
    encoder = bag.encoder if len(views) == 1 else None
    if isinstance(decider, KernelSvm) and decider.additive and isinstance(encoder, WordEncoder):
        method, base = EXACT, decider.intercept(class_id)
        shares = _shared_out(bag, encoder, descriptors, decider.contributions(vector, class_id))
    else:
        method = LEFT_OUT
        base = float(decider.scores(np.zeros_like(vector)[None])[0, class_id])
        shares = _left_out(bag, decider, views, class_id, score)
    heat = _spread(shares, descriptors)
    places = descriptors.centres, descriptors.radii, shares.astype(np.float32)
    return Explanation(label, class_id, score, base, words, *places, heat, method, source)


def _shared_out(
    bag: Bag, encoder: WordEncoder, descriptors: Descriptors, contributions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share what each word adds in each cell out among the cell's descriptors: (n,)."""
    found = np.zeros(len(descriptors))
    if not len(descriptors):
        return found
    codes = encoder.codes(descriptors)
    for cell, region in zip(contributions.reshape(-1, encoder.width), bag.pyramid.regions(descriptors), strict=True):
        numbers = np.flatnonzero(region) if region.dtype == bool else region
        rows, words, amounts = _entries(codes[numbers])
        if encoder.pool == "max":
            best = np.zeros(encoder.width)
            np.maximum.at(best, words, amounts)
            amounts = (amounts == best[words]) & (amounts > 0)  # equal ones share
        total = np.bincount(words, amounts, minlength=encoder.width)
        each = np.divide(cell, total, out=np.zeros(len(total)), where=total != 0)  # no entries: total is int64
        np.add.at(found, numbers[rows], each[words] * amounts)
    return found


def _entries(codes: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    entries = codes.tocoo()
    rows, words = entries.coords
    return rows, words, entries.data.astype(np.float64)


def _left_out(
    bag: Bag, decider: KernelSvm | NearestPictures, views: list[Descriptors], class_id: int, score: float
) -> NDArray[np.float64]:
    """Return what the score loses without each cell's descriptors, in all views, shared out among its own: (n,)."""
    cells = [_cells(view, mirrored) for view, mirrored in zip(views, (False, True), strict=False)]
    found = np.zeros(len(views[0]))
    for cell in np.unique(cells[0]):
        kept = [view.subset(places != cell) for view, places in zip(views, cells, strict=True)]
        without = float(decider.scores(bag.of(kept)[None])[0, class_id])
        inside = cells[0] == cell
        found[inside] = (score - without) / inside.sum()
    return found


def _cells(descriptors: Descriptors, mirrored: bool) -> NDArray[np.int64]:
    """Return the number of the grid's cell that each descriptor lies in, as the picture stands: (n,)."""
    height, width = descriptors.size
    columns, rows = ((descriptors.centres + 0.5) / (width, height) * GRID).astype(np.int64).clip(0, GRID - 1).T
    return rows * GRID + (GRID - 1 - columns if mirrored else columns)


def _spread(shares: NDArray[np.float64], descriptors: Descriptors) -> Floats:
    """Spread each share evenly over the pixels of its patch inside the picture: float32 (H, W), of the same sum."""
    height, width = descriptors.size
    centres, radii = descriptors.centres, descriptors.radii[:, None]
    last = np.array([width - 1, height - 1])
    low = np.clip(np.round(centres - radii + 0.5).astype(np.int64), 0, last)
    high = np.maximum(np.clip(np.round(centres + radii + 0.5).astype(np.int64), 1, last + 1), low + 1)
    level = shares / (high - low).prod(1)
    # what begins at one corner and ends at the other: summed along both sides it fills the patches
    steps = np.zeros((height + 1, width + 1))
    for x, y, sign in ((low, low, 1), (high, low, -1), (low, high, -1), (high, high, 1)):
        np.add.at(steps, (y[:, 1], x[:, 0]), sign * level)
    return steps.cumsum(0).cumsum(1)[:height, :width].astype(np.float32)


def _colour(word: int) -> tuple[int, int, int]:
    """Return a word's colour: hues by the golden ratio, so that neighbours in number are far apart."""
    hue = int(word * 0.6180339887 % 1 * 180)
    red, green, blue = cv2.cvtColor(np.array([[[hue, 200, 230]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue
