"""From the bytes of an untrusted picture file to pixels, within a pixel budget and a time budget.

How the time is bounded. No thread is killed and no process is started. Pillow pulls JPEG, PNG, GIF, BMP and
uncompressed TIFF through our reader in pieces of half a KiB, and the reader looks at the clock before each piece: at
50 megapixels the budget is overrun by half a second at most (a progressive JPEG of 20,000 scans in 1.8 MB: 10.3 s of
10 s). The reader also refuses to hand out more than four times the file's length, which stops files whose parts point
at each other. WebP and compressed TIFF are decoded by one call into C that cannot be interrupted: their time is bounded
by the pixel budget (50 megapixels take 1 to 3 s on one core), for TIFF after refusing strips that overlap and
compressions whose cost does not follow from the pixel count (see `TIFF_COMPRESSIONS`). The clock is looked at once more
after decoding, so that a late picture is refused, not returned. What cannot be bounded is a file system that hangs.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .checks import ImageError
from .colours import orientation_of, pixels_of

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
# Left out on purpose: JPEG inside TIFF (each strip may hold thousands of progressive scans), and lzma, zstd and webp
# (not in every build of libtiff).
TIFF_COMPRESSIONS = (
    "raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "tiff_ccitt", "group3", "group4",
)  # fmt: skip
PIECE = 512  # bytes; seven empty scans of a 50-megapixel progressive JPEG fit in, 0.4 s; 4096 bytes took 4 s
ALLOWED = "a picture as JPEG, PNG, WebP, BMP, TIFF or GIF"


@dataclass(frozen=True)
class Budget:
    """What one picture may cost.

    Attributes:
        max_pixels: Largest height * width.
        max_bytes: Largest file, in bytes.
        deadline: Value of `time.monotonic()` at which to give up.
        max_seconds: The time budget itself, for the message.
    """

    max_pixels: int
    max_bytes: int
    deadline: float
    max_seconds: float

    def check_size(self, height: int, width: int, name: str) -> None:
        """Raise ImageError for an empty picture or one above the pixel budget."""
        if height < 1 or width < 1:
            raise ImageError("a picture of at least 1x1 pixel", f"{width}x{height}: {name}", "save the picture again")
        if height * width > self.max_pixels:
            raise ImageError(
                f"a picture of at most {self.max_pixels:,} pixels",
                f"{width}x{height} = {height * width:,} pixels: {name}",
                "make it smaller or cut it into parts, or raise max_pixels if you trust it",
            )

    def check_time(self, name: str) -> None:
        """Raise ImageError when the time is up."""
        if time.monotonic() > self.deadline:
            raise ImageError(
                f"a picture that decodes within {self.max_seconds:g} s",
                f"a picture that takes longer: {name}",
                "save it again as a plain PNG or baseline JPEG, or raise max_seconds if you trust it",
            )


class _Reader(io.BytesIO):
    """The file as Pillow sees it: looks at the clock and at the total handed out before each read."""

    def __init__(self, data: bytes, budget: Budget, name: str) -> None:
        super().__init__(data)
        self._budget, self._name = budget, name
        self._left = 4 * len(data) + 2**20
        self.error: ImageError | None = None
        self.decoding = False

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            self._budget.check_time(self._name)
            piece = super().read(size)
            self._left -= len(piece)
            if self._left < 0:
                raise ImageError(
                    "a picture whose parts lie one after another",
                    f"a file whose parts overlap many times over: {self._name}",
                    "save the picture again with a trusted program",
                )
        except ImageError as error:
            self.error = error  # kept, because Pillow's parsers may swallow a ValueError
            raise
        if self.decoding and not piece and size != 0:
            # Said here because ImageFile.LOAD_TRUNCATED_IMAGES, which belongs to the process, would fill up with grey.
            raise OSError("the file ends too early")
        return piece


def decode(
    data: bytes, budget: Budget, name: str, pixels: Callable[[Image.Image, str], np.ndarray] = pixels_of
) -> np.ndarray:
    """Decode the bytes of a picture file.

    Args:
        data: The whole file.
        budget: Limits, see `Budget`.
        name: What to call the picture in messages.
        pixels: Makes the result of the loaded Pillow picture and the name; masks keep their values.

    Returns:
        uint8 (H, W, 3) RGB with the EXIF orientation applied, unless `pixels` makes something else; of an animated file
        the first frame.

    Raises:
        ImageError: Anything else than a whole picture in an allowed format within the budget.
    """
    reader = _Reader(data, budget, name)
    try:
        with Image.open(reader, formats=FORMATS) as picture:
            budget.check_size(picture.height, picture.width, name)
            _check_tiff(picture, len(data), name)
            picture.decodermaxblock = PIECE  # of this picture only, not of the library
            reader.decoding = True
            picture.load()
            result = pixels(picture, name)
    except ImageError:
        raise
    except Exception as error:  # Pillow's parsers raise nearly anything on hostile bytes; the contract is one type
        raise reader.error or _unreadable(data, name, error) from error
    if reader.error is not None:
        raise reader.error
    budget.check_time(name)
    return result


def header_size(data: bytes, budget: Budget, name: str) -> tuple[int, int]:
    """Return (height, width) as `decode` would give them, from the header alone."""
    reader = _Reader(data, budget, name)
    try:
        with Image.open(reader, formats=FORMATS) as picture:
            budget.check_size(picture.height, picture.width, name)
            swapped = orientation_of(picture.info.get("exif")) >= 5  # TIFF has no such block: Pillow turns it itself
            return (picture.width, picture.height) if swapped else (picture.height, picture.width)
    except ImageError:
        raise
    except Exception as error:
        raise reader.error or _unreadable(data, name, error) from error


def _check_tiff(picture: Image.Image, length: int, name: str) -> None:
    """Refuse TIFF files whose decoding cost does not follow from their pixel count."""
    if picture.format != "TIFF":
        return
    compression = str(picture.info.get("compression", "raw"))
    if compression not in TIFF_COMPRESSIONS:
        raise ImageError(
            "a TIFF file that is uncompressed or packed with LZW, Deflate, PackBits or CCITT",
            f"compression {compression}: {name}",
            "save it as PNG",
        )
    tags = picture.tag_v2  # type: ignore[attr-defined]
    lengths = tags.get(279) or tags.get(325) or ()  # StripByteCounts, TileByteCounts
    if sum(int(part) for part in lengths) > length:
        raise ImageError("a TIFF file whose strips do not overlap", f"overlapping strips: {name}", "save it as PNG")


def _unreadable(data: bytes, name: str, error: Exception) -> ImageError:
    """Say what is wrong with bytes that Pillow refused."""
    if not data:
        return ImageError(ALLOWED, f"an empty file: {name}", "save the picture again")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError("a picture of a reasonable number of pixels", f"{error}: {name}", "make it smaller")
    if isinstance(error, Image.UnidentifiedImageError):
        start = bytes(data[:8])
        return ImageError(ALLOWED, f"a file that starts with {start!r}: {name}", "convert it to PNG or JPEG")
    reason = str(error) or type(error).__name__
    return ImageError(ALLOWED + ", whole and undamaged", f"{reason}: {name}", "save or copy the picture again")
