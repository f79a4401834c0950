"""What a painting is while it is made (`Progress`) and when it is done (`Painting`): pictures, losses, settings."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.atomic import atomic_write
from ..core.checks import ImageError, UsageError
from ..core.images import WRITTEN, encode_image, to_image
from ..core.pixels import Step

KEYWORD = b"striate"
"""Of the settings in a PNG's text."""


@dataclass(frozen=True)
class Progress:
    """Where a painting stands; losses and preview are read from the device only when they are asked for.

    Attributes:
        scale: From 1.
        scales: How many there will be.
        height: Of the picture at this scale.
        width: Likewise.
        step: Steps done at this scale.
        steps: Of this scale.
        done: Share of the whole work that is done, in [0, 1].
        seconds: Since the painting began or went on.
        eta_seconds: Estimated time left.
    """

    scale: int
    scales: int
    height: int
    width: int
    step: int
    steps: int
    done: float
    seconds: float
    eta_seconds: float
    _step: Step
    _finish: Callable[[Tensor], Tensor]

    @property
    def losses(self) -> dict[str, float]:
        """The parts of the loss before the last move, weights included."""
        return self._step.losses

    @cached_property
    def preview(self) -> NDArray[np.uint8]:
        """The picture so far, uint8 (height, width, 3), colours as they will be."""
        return to_image(self._finish(self._step.pixels))


@dataclass
class Painting:
    """What `StyleTransfer.transform` and `TextureSynthesis.transform` return.

    Attributes:
        pixels: float32 (1, 3, H, W) in [0, 1], on the CPU.
        losses: One row a step: "scale" from 1, then the parts of the loss, weights included.
        settings: JSON data: the constructor's keywords and what the run was given.
        notice: Why it ended early, or what was done otherwise than asked, in sentences; "" for nothing.
        finished: Whether all steps were taken.
        state: To go on from: `transform(..., state=painting.state)`; `core.checkpoints.save_state` writes it.
    """

    pixels: Tensor
    losses: list[dict[str, float]]
    settings: dict[str, Any]
    notice: str = ""
    finished: bool = True
    state: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def image(self) -> NDArray[np.uint8]:
        """The picture, uint8 (H, W, 3) RGB."""
        return to_image(self.pixels)

    @property
    def image16(self) -> NDArray[np.uint16]:
        """The picture, uint16 (H, W, 3) RGB."""
        values = self.pixels[0].clamp(0, 1).double().mul(65535).round().permute(1, 2, 0).numpy()
        return np.ascontiguousarray(values.astype(np.uint16))

    def save(self, path: str | Path, *, bits: int = 8, quality: int = 95) -> Path:
        """Write the picture, all or nothing; a PNG keeps the settings as JSON in its text, under "striate".

        Args:
            path: Ends in .png or .tif (8 or 16 bits), .jpg or .webp (8 bits).
            bits: Of a channel.
            quality: For JPEG and WebP, 1 to 100.

        Raises:
            UsageError: Bits that the format does not have.
            ImageError: An unknown suffix.
            SaveError: The file cannot be written.
        """
        path = Path(path)
        data = self.encode(path.suffix, bits=bits, quality=quality)
        return atomic_write(path, lambda file: file.write(data))

    def encode(self, format: str, *, bits: int = 8, quality: int = 95) -> bytes:
        """Return what `save` writes, for a format such as "png"; raises UsageError and ImageError as it does."""
        suffix = check_format(format, bits)
        if suffix in (".tif", ".tiff") or bits == 16:
            data = _encoded(self.image16 if bits == 16 else self.image, suffix)
        else:
            data = encode_image(self.image, suffix, quality=quality)
        if suffix == ".png":
            data = _with_text(data, json.dumps(self.settings, sort_keys=True))
        return data


def check_format(format: str, bits: int) -> str:
    """Return the suffix of a format such as "png" or ".png" that a painting can be written in.

    Raises:
        UsageError: Bits that the format does not have.
        ImageError: An unknown format.
    """
    suffix = "." + format.lower().removeprefix(".")
    if suffix not in (*WRITTEN, ".tif", ".tiff"):
        known = ", ".join((*WRITTEN, ".tif", ".tiff"))
        raise ImageError(f"a format out of {known}", repr(format), "choose .png to keep every pixel")
    if bits not in (8, 16) or (bits == 16 and suffix not in (".png", ".tif", ".tiff")):
        fix = "pass bits=8, or write .png or .tif with bits=16"
        raise UsageError("8 bits, or 16 in a .png or .tif", f"{bits} in a {suffix}", fix)
    return suffix


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the settings that `Painting.save` wrote into a PNG.

    Raises:
        ImageError: A file that cannot be read, no PNG, or one without settings.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        got = f"{error.strerror or error}: {path}"
        raise ImageError("a PNG that was painted here", got, "check the path") from error
    place = 8
    while data[:8] == b"\x89PNG\r\n\x1a\n" and place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] == b"iTXt" and data[place + 8 :].startswith(KEYWORD + b"\0"):
            settings: dict[str, Any] = json.loads(data[place + 8 + len(KEYWORD) + 5 : place + 8 + length])
            return settings
        place += 12 + length
    raise ImageError("a PNG that was painted here", f"one without settings: {path}", "pass what Painting.save wrote")


def _encoded(image: NDArray[Any], suffix: str) -> bytes:
    good, data = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]))
    if not good:
        raise ImageError(f"a picture that {suffix} can hold", f"{image.dtype} {image.shape}", "write a .png")
    return data.tobytes()


def _with_text(png: bytes, text: str) -> bytes:
    """Put UTF-8 text behind the header (PNG, third edition, 11.3.3.4: keyword, flags, language, translation)."""
    content = b"iTXt" + KEYWORD + b"\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[:33] + chunk + png[33:]
