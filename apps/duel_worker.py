"""Comparisons for the page: one at a time, the latest kept with the models that it trained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from .duel import RENDERED, parse_contender, parse_corruptions, pictures

if TYPE_CHECKING:
    from ..bow_baseline.compare import Stage
    from ..bow_baseline.disagreements import Answer
    from ..bow_baseline.results import Results
    from ..bow_baseline.summary import Summary

MOST_KEPT = 4
MOST_PER_CLASS, MOST_TEST = 40, 20
"""A visitor waits for the answer: of larger sets so many pictures of each class are taken."""

_running = threading.Lock()


@dataclass(frozen=True)
class Asked:
    """What a visitor asked for: a set, contenders, points of the learning curve, corruptions, a seed."""

    data: str
    contenders: tuple[str, ...]
    per_class: tuple[int, ...] = ()
    corruptions: str = "none"
    seed: int = 0


def duel(asked: Asked, on_progress: Callable[[Stage], None] | None = None) -> tuple[Results, Summary]:
    """Return a comparison, from memory where it was asked before; waits while another one runs.

    Raises:
        StriateError: a set or contenders that cannot be used.
    """
    with _running:
        return _duel(asked, on_progress)


def decide(results: Results, name: str, image: NDArray[np.uint8]) -> Answer:
    """Ask one contender about any picture, uint8 (H, W, 3): its answer, and where it comes from."""
    from ..bow_baseline.disagreements import answer

    with _running:
        return answer(results, name, image)


@st.cache_resource(max_entries=MOST_KEPT, show_spinner=False)
def _duel(asked: Asked, _on_progress: Callable[[Stage], None] | None) -> tuple[Results, Summary]:
    from ..bow_baseline.compare import Comparison
    from ..bow_baseline.splits import some_per_class
    from ..bow_baseline.summary import summarize

    small = asked.data == RENDERED
    train, test = pictures(asked.data)
    counts = (min(min(data.counts().values()), most) for data, most in ((train, MOST_PER_CLASS), (test, MOST_TEST)))
    train, test = (some_per_class(data, count, 0) for data, count in zip((train, test), counts, strict=True))
    comparison = Comparison(
        [parse_contender(text, small) for text in asked.contenders],
        seeds=(asked.seed,),
        per_class=asked.per_class,
        corruptions=parse_corruptions(asked.corruptions),
        severities=(2, 4),
        resamples=2000,
    )
    results = comparison.run(train, test, on_progress=_on_progress)
    return results, summarize(results, count=2)
