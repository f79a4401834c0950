"""COCO's run lengths: column by column, how many pixels are outside, inside, outside, ...; as numbers or as text.

The text is pycocotools' own: each number, from the third on its difference to the last but one, in groups of five bits
from the lowest up, with a sixth bit where more follow, each as the character 48 further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import DataError
from ..images import MAX_PIXELS


def encode_runs(mask: NDArray[np.bool_], *, compressed: bool = True) -> dict[str, Any]:
    """Return {"size": [height, width], "counts": text or list of numbers} of a mask, bool (H, W)."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat)).astype(np.int8))) if flat.size else np.zeros(0, int)
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return {"size": list(mask.shape), "counts": _text(counts) if compressed else counts}


def decode_runs(runs: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the mask of run lengths, bool (H, W).

    Raises:
        DataError: A size above the pixel budget, counts that are negative or do not add up to it, or damaged text.
    """
    try:
        height, width = (int(side) for side in runs["size"])
        counts = runs["counts"]
        numbers = _numbers(counts) if isinstance(counts, str | bytes) else np.array(counts, np.int64)
        good = height > 0 and width > 0 and height * width <= MAX_PIXELS
        # Bounded first: a sum of counts near 2^62 wraps to any size, and repeating them would write past the mask.
        good = good and numbers.ndim == 1 and len(numbers) <= 2 * height * width + 2
        good = good and bool(((numbers >= 0) & (numbers <= height * width)).all())
        good = good and int(numbers.sum()) == height * width
    except (KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        got = f"{type(error).__name__} {error}"
        raise DataError("run lengths with size and counts", got, "export the annotations again") from error
    if not good:
        got = f"{len(numbers)} counts for size {runs['size']}"
        raise DataError("run lengths that add up to height * width", got, "export the annotations again")
    flat = np.repeat(np.arange(len(numbers)) % 2 == 1, numbers)
    return flat.reshape((height, width), order="F")


def _text(counts: Sequence[int]) -> str:
    letters = []
    for i, count in enumerate(counts):
        left = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = left & 31
            left >>= 5
            more = left != (-1 if bits & 16 else 0)
            letters.append(chr(bits + 32 * more + 48))
    return "".join(letters)


def _numbers(text: str | bytes) -> NDArray[np.int64]:
    codes = text if isinstance(text, bytes) else text.encode("ascii")
    counts: list[int] = []
    at = 0
    while at < len(codes):
        value, shift, more = 0, 0, True
        while more:
            code = codes[at] - 48
            if not 0 <= code < 64 or shift > 60:
                raise ValueError(f"character {codes[at]} in counts")
            value |= (code & 31) << shift
            more, shift, at = bool(code & 32), shift + 5, at + 1
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return np.array(counts, np.int64)
