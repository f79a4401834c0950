"""Descriptors of a picture that several bags of words are asked about one after another: made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from .descriptors import Describer, Descriptors

_kept: ContextVar[dict[str, Descriptors] | None] = ContextVar("descriptors", default=None)


@contextmanager
def describing_once() -> Iterator[None]:
    """Keep the descriptors of every picture that is described in the block, in this thread, until its end.

    Where predictions are timed it is not used: the first to be asked would pay for the others.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def describe(describer: Describer, image: NDArray[np.uint8]) -> Descriptors:
    """Return the descriptors of a picture, uint8 (H, W, 3), those kept within `describing_once`."""
    kept = _kept.get()
    if kept is None:
        return describer.describe(image)
    options = json.dumps([type(describer).__qualname__, describer.keywords(), image.shape], sort_keys=True)
    key = hashlib.sha256(options.encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
    if key not in kept:
        kept[key] = describer.describe(image)
    return kept[key]
