"""Paintings for the page: each in a thread of its own, one at a time, so that a visitor watches it and may stop it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..style import Painting, Progress

EVERY = 5
"""Steps between two looks: a preview is made of each."""

PATIENCE = 150.0
"""Seconds without a look after which a painting makes room for others: browsers wake a hidden tab once a minute."""
AWAKE = 0.2
"""Seconds between two looks of one that waits."""

_queue: list[Work] = []
_moved = threading.Condition()
"""Held to change the queue or to look at it: who paints stands first, who waits behind in order of arrival."""


@dataclass(eq=False)
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
        abandoned: Whether it ended because nobody had watched it for a while, and others were waiting.
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
    abandoned: bool = False
    _seen: float = field(default_factory=time.monotonic)
    _files: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Work:
        """Begin, or wait for the turn of this visitor."""
        self._thread = threading.Thread(target=self._wait_and_paint, daemon=True)
        with _moved:
            _queue.append(self)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether it is still being made, or waits for its turn."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def ahead(self) -> int:
        """How many paintings come first."""
        with _moved:
            return _queue.index(self) if self in _queue else 0

    def watched(self) -> None:
        """Tell that its visitor is still there."""
        self._seen = time.monotonic()

    def stop(self) -> None:
        """End it at the next look, where the picture so far is kept, or while it still waits."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it is done."""
        assert self._thread is not None
        self._thread.join(seconds)

    def file(self, format: str, bits: int) -> bytes:
        """Return the painting as a file of a format; encoded at the first call, then kept."""
        assert self.painting is not None
        if (format, bits) not in self._files:
            self._files[format, bits] = self.painting.encode(format, bits=bits)
        return self._files[format, bits]

    def _wait_and_paint(self) -> None:
        try:
            with _moved:
                while _queue[0] is not self and not self._ends():
                    _moved.wait(AWAKE)
            if not self._ends():
                self._paint()
        except Exception as problem:  # a thread's error would be lost; the page shows it
            self.problem = problem
        finally:
            with _moved:
                _queue.remove(self)
                _moved.notify_all()

    def _ends(self) -> bool:
        self.abandoned = len(_queue) > 1 and time.monotonic() - self._seen > PATIENCE
        return self._stop.is_set() or self.abandoned

    def _paint(self) -> None:
        from ..style import StyleTransfer

        transfer = StyleTransfer(**self.options).fit(self.style)
        self.painting = transfer.transform(self.content, on_step=self._look, every=EVERY)

    def _look(self, progress: Progress) -> bool:
        self.preview = progress.preview
        self.losses.append((progress.done, progress.losses))
        self.done, self.eta_seconds = progress.done, progress.eta_seconds
        return self._ends()
