"""Peak memory of a piece of work, measured from inside the process."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
from types import TracebackType

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to clear_refs it sets the peak to what is resident now (Linux 4.0, Documentation/filesystems/proc.rst)."""


class PeakMemory:
    """By how many bytes the process's resident memory rises at most within a `with` block.

    Linux itself keeps the peak (VmHWM), which is reset as the block begins: memory of torch and OpenCV counts, which
    tracemalloc does not see, and no peak is too short. Free memory is handed back to the system first, else what an
    earlier block has left over would not count again. Blocks do not nest, and what other threads take counts as well.

    Args:
        collect: Free what only refers to itself first, 0.15 s where torch is loaded; else the block may free it.

    Attributes:
        peak: Bytes after the block; None where the system does not tell (macOS, Windows, some containers).

    Example:
        >>> with PeakMemory() as memory:
        ...     numbers = bytearray(1000)
    """

    def __init__(self, *, collect: bool = True) -> None:
        self.collect = collect
        self.peak: int | None = None
        self._before: int | None = None

    def __enter__(self) -> PeakMemory:
        if self.collect:
            gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None  # glibc's alone
        if trim is not None:
            trim(0)
        try:
            RESET.write_text(RESET_PEAK)
            self._before = status_bytes("VmRSS")
        except OSError:
            self._before = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            self.peak = max(0, status_bytes("VmHWM") - self._before)


def status_bytes(name: str) -> int:
    """Return a size that Linux tells about this process, such as "VmRSS".

    Raises:
        OSError: Another system, or one that does not tell it.
    """
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {name} in {STATUS}")
