"""Comparisons for the page: one at a time, the latest kept with the models that it trained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from .duel import as_command, as_python, compared

if TYPE_CHECKING:
    from ..bow_baseline.compare import Stage
    from ..bow_baseline.disagreements import Answer
    from ..bow_baseline.results import Results
    from ..bow_baseline.summary import Summary

MOST_KEPT = 4
MOST = (40, 20)
"""A visitor waits for the answer: of larger sets so many pictures a class are trained on and measured on."""

_running = threading.Lock()


@dataclass(frozen=True)
class Asked:
    """What a visitor asked for, as keywords of `duel.compared`."""

    data: str
    contenders: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    per_class: tuple[int, ...] = ()
    corruptions: str = "none"
    severities: tuple[int, ...] = (2, 4)
    resamples: int = 2000
    most: tuple[int, ...] = MOST

    def python(self) -> str:
        """Write the call that answers it."""
        return as_python(asdict(self))

    def command(self) -> str:
        """Write the command that answers it."""
        return as_command(asdict(self))


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
    return compared(**asdict(asked), on_progress=_on_progress)
