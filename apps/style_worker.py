"""Paintings for the page: each in a thread of its own, one at a time, so that a visitor watches it and may stop it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..style import Painting, Progress

EVERY = 5
"""Steps between two looks: a preview is made of each."""

_turn = threading.Lock()


@dataclass
class Work:
    """A painting that is being made.

    Attributes:
        content: uint8 (H, W, 3).
        style: Likewise.
        options: Keywords of `StyleTransfer`.
        preview: The latest picture; None before the first.
        losses: (share of the work done, parts of the loss) at each look.
        done: Share of the work, in [0, 1].
        eta_seconds: Estimated time left.
        painting: The result, once there is one.
        problem: What kept it from being made.
    """

    content: NDArray[np.uint8]
    style: NDArray[np.uint8]
    options: dict[str, Any]
    preview: NDArray[np.uint8] | None = None
    losses: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    done: float = 0.0
    eta_seconds: float = 0.0
    painting: Painting | None = None
    problem: Exception | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Work:
        """Begin, or wait for the turn of this visitor."""
        self._thread = threading.Thread(target=self._paint, daemon=True)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether it is still being made."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End it at the next look; the picture so far is kept."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it is done."""
        assert self._thread is not None
        self._thread.join(seconds)

    def _paint(self) -> None:
        from ..style import StyleTransfer

        try:
            with _turn:
                transfer = StyleTransfer(**self.options).fit(self.style)
                self.painting = transfer.transform(self.content, on_step=self._look, every=EVERY)
        except Exception as problem:  # a thread's error would be lost; the page shows it
            self.problem = problem

    def _look(self, progress: Progress) -> bool:
        self.preview = progress.preview
        self.losses.append((progress.done, progress.losses))
        self.done, self.eta_seconds = progress.done, progress.eta_seconds
        return self._stop.is_set()
