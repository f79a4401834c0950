"""Video files, picture by picture: one at a time in memory, uint8 RGB (H, W, 3), by OpenCV's FFmpeg."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .checks import ImageError, SaveError, UsageError
from .images import MAX_PIXELS, check_image

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
CODEC = "mp4v"
"""MPEG-4 part 2: the one encoder for .mp4 that every build of OpenCV has. Players open it, most browsers do not."""
USUAL_RATE = 25.0  # where a file says none, or one that nobody can mean
LOWEST_RATE, HIGHEST_RATE = 0.002, 1000.0  # OpenCV takes a thousandth for none
LARGEST_TERM = 65535
"""MPEG-4 keeps a rate as a fraction of two such numbers; OpenCV makes the lower one a power of ten, 1000 at most."""

# Only containers that hold the pictures themselves. FFmpeg would also read play lists, which name other files and
# addresses on the network.
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
MATROSKA = b"\x1a\x45\xdf\xa3"


class Frame(NamedTuple):
    """One picture of a video.

    Attributes:
        number: From 0, counted over all pictures of the file.
        seconds: When it is shown.
        image: uint8 RGB (H, W, 3).
    """

    number: int
    seconds: float
    image: NDArray[np.uint8]


def is_video(path: str | Path) -> bool:
    """Whether a path is called like a video."""
    return Path(path).suffix.lower() in SUFFIXES


def frame_rate(path: str | Path) -> float:
    """Return the pictures a second of a video, 25 where it does not say; raises ImageError as `read_frames`."""
    capture = _opened(Path(path))
    try:
        return _rate(capture)
    finally:
        capture.release()


def read_frames(path: str | Path, *, every: int = 1, max_pixels: int = MAX_PIXELS) -> Iterator[Frame]:
    """Read a video's pictures in order, upright, until it ends or cannot be decoded any further.

    Args:
        path: An MP4, MOV, AVI, Matroska or WebM file; recognised by content.
        every: Give the first of so many pictures; the others are decoded, but not converted.
        max_pixels: Largest picture.

    Raises:
        ImageError: No such file, another format, no picture in it, or one above `max_pixels`.
        UsageError: `every` below 1.
    """
    if every < 1:
        raise UsageError("every as 1 or more", repr(every), "pass 1 for all pictures")
    path = Path(path)
    capture, number = _opened(path), -1
    try:
        rate = _rate(capture)
        height, width = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        if height * width > max_pixels:
            got = f"{width}x{height}: {path}"
            raise ImageError(f"a video of at most {max_pixels:,} pixels a picture", got, "scale it down first")
        while capture.grab():
            number += 1
            if number % every:
                continue
            found, image = capture.retrieve()
            if not found:
                break
            yield Frame(number, number / rate, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8))
    finally:
        capture.release()
    if number < 0:
        raise _unreadable(path, "no picture in it that can be decoded")


@contextmanager
def write_video(path: str | Path, rate: float) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Give a function that appends pictures; the file appears, whole, when the block ends without an error.

    Sides that are odd are made even by repeating the last row or column: the codec stores colours for 2 x 2 pixels.

    Args:
        path: Ends in .mp4.
        rate: Pictures a second; rounded to what the container can say, three digits behind the point up to 65, two up
            to 655, else one.

    Raises:
        UsageError: Another suffix, a rate below 0.002 or above 1000, a picture of another size than the first one.
        SaveError: The file cannot be written, or no picture came.
        ImageError: No picture.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4" or not 0 < rate <= HIGHEST_RATE or _told(rate) < LOWEST_RATE:
        got = f"{path.name!r} at {rate:g} pictures a second"
        raise UsageError(
            f"a file called .mp4, and a rate from {LOWEST_RATE:g} to {HIGHEST_RATE:g}", got, "pass 'out.mp4', 25"
        )
    # OpenCV knows the container by the suffix, so the temporary file keeps it.
    fresh = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.mp4")
    writer, size = cv2.VideoWriter(), (0, 0)

    def append(image: NDArray[np.uint8]) -> None:
        nonlocal size
        check_image(image)
        height, width = image.shape[:2]
        if not writer.isOpened():
            size = (height, width)
            even = (width + width % 2, height + height % 2)
            if not writer.open(str(fresh), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODEC), _told(rate), even):
                raise _unwritten(path, "OpenCV could not open it")
        if (height, width) != size:
            got = f"{width}x{height} after {size[1]}x{size[0]}"
            raise UsageError("pictures of one size", got, "scale them to the first one's size")
        even_sided = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        writer.write(cv2.cvtColor(even_sided, cv2.COLOR_RGB2BGR))

    try:
        yield append
        writer.release()
        if not fresh.is_file() or not fresh.stat().st_size:
            raise _unwritten(path, "no picture was appended" if size == (0, 0) else "nothing reached the disk")
        os.replace(fresh, path)
    except OSError as error:
        raise _unwritten(path, error.strerror or str(error)) from error
    finally:
        writer.release()
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _rate(capture: cv2.VideoCapture) -> float:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate <= HIGHEST_RATE else USUAL_RATE


def _told(rate: float) -> float:
    """Return the nearest rate that the container can say."""
    digits = next(digits for digits in (3, 2, 1) if round(rate * 10**digits) <= LARGEST_TERM)
    return round(rate, digits)


def _opened(path: Path) -> cv2.VideoCapture:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if not (head[4:8] in MP4_BOXES or riff or head[:4] == MATROSKA):
        raise _unreadable(path, "content of another kind")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise _unreadable(path, "content that cannot be decoded")
    return capture


def _unreadable(path: Path, got: str) -> ImageError:
    kinds = "a readable video (MP4, MOV, AVI, Matroska or WebM)"
    return ImageError(kinds, f"{got}: {path}", "check the file, or convert it with `ffmpeg -i FILE out.mp4`")


def _unwritten(path: Path, got: str) -> SaveError:
    return SaveError(f"to write {path}", got, "choose a folder that exists and may be written, and free some space")
