"""The only door for pictures: load, save, resize, letterbox, tiles; uint8 RGB outside, float32 in [0, 1] inside.

The loader's contract: `load_image` never returns an image above the pixel budget, never runs longer than the time
budget (how that is bounded, and where only the pixel budget bounds it: `decode.py`), never writes to disk, never
fetches, raises only `ImageError`, gives RGB uint8 (H, W, 3) with the EXIF orientation applied. It sets nothing that is
shared by the process, so it may run in any number of threads.
"""

from __future__ import annotations

import io
import os
import stat
import time
from glob import glob
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from .atomic import atomic_write
from .checks import ImageError, UsageError
from .colours import pixels_of, rgb_from_array, rgb_from_tensor
from .decode import Budget, decode, header_size
from .letterbox import Letterbox, plan_letterbox

__all__ = [
    "Letterbox", "Source", "encode_image", "image_size", "letterbox", "list_images", "load_image", "resize",
    "save_image", "tiles", "to_image", "to_tensor",
]  # fmt: skip

Source = str | Path | bytes | Image.Image | np.ndarray | torch.Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MAX_PIXELS = 50_000_000
MAX_BYTES = 64 * 2**20
MAX_SECONDS = 10.0
HEADER_BYTES = 2**16


def load_image(
    source: Source,
    *,
    channels: str = "rgb",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> np.ndarray:
    """Load a picture from anywhere but the network.

    Files and bytes: JPEG, PNG, WebP, BMP, TIFF or GIF, recognised by content; of an animation the first frame. How
    16-bit, palette, transparent, CMYK and float pictures become RGB is said in `colours.py`. Arrays: (H, W),
    (H, W, 1), (H, W, 3) or (H, W, 4) of bool, uint8, uint16 (divided by 257) or float in [0, 1]. Tensors: (1, H, W),
    (3, H, W) or (4, H, W), of the same types.

    Args:
        source: Path, file content, Pillow picture, array or tensor. A Pillow picture that is not loaded yet is decoded
            by Pillow on its own: only the pixel budget holds for it.
        channels: "rgb" or "bgr": the order in an array or a tensor (OpenCV's is "bgr"). A file knows its own.
        max_pixels: Largest height * width, checked before decoding.
        max_bytes: Largest file, checked before reading.
        max_seconds: Time budget for reading and decoding.

    Returns:
        A new uint8 (H, W, 3) RGB array.

    Raises:
        ImageError: Whatever is wrong with the picture, in three parts.
    """
    budget = Budget(max_pixels, max_bytes, time.monotonic() + max_seconds, max_seconds)
    if channels not in ("rgb", "bgr"):
        raise ImageError('channels to be "rgb" or "bgr"', repr(channels), 'pass channels="bgr" for OpenCV\'s arrays')
    if isinstance(source, torch.Tensor):
        return rgb_from_tensor(source, channels, budget.check_size)
    if isinstance(source, np.ndarray):
        return rgb_from_array(source, channels, budget.check_size)
    if channels == "bgr":
        raise ImageError(
            'channels="bgr" with an array or a tensor',
            f'channels="bgr" with {type(source).__name__}',
            "leave channels out: a file knows the order of its colours, and the result is always RGB",
        )
    if isinstance(source, Image.Image):
        return _from_pillow(source, budget)
    data, name = _content(source, budget)
    return decode(data, budget, name)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) as `load_image` would give them, reading no more than needed; raises ImageError."""
    budget = Budget(MAX_PIXELS, MAX_BYTES, time.monotonic() + MAX_SECONDS, MAX_SECONDS)
    name = str(path)
    try:
        # 64 KiB hold the header of nearly every JPEG and PNG; a set of 118,000 pictures is not read through for it.
        return header_size(read_file(name, budget, HEADER_BYTES), budget, name)
    except ImageError:
        return header_size(read_file(name, budget, MAX_BYTES + 1), budget, name)


def save_image(image: np.ndarray, path: str | Path, *, quality: int = 95) -> Path:
    """Write an image as PNG, JPEG or WebP by the suffix of `path`, all or nothing.

    Args:
        image: uint8 (H, W, 3) RGB.
        path: Where to; the folder must exist. An older file is replaced only once the new one is complete on disk.
        quality: For JPEG and WebP, 1 to 100.

    Raises:
        ImageError: Wrong array or unknown suffix.
        SaveError: The disk is full or read-only, the folder is missing; an older file is kept as it was.
    """
    path = Path(path)
    data = encode_image(image, path.suffix, quality=quality)
    return atomic_write(path, lambda file: file.write(data))


def encode_image(image: np.ndarray, format: str = "png", *, quality: int = 95) -> bytes:
    """Encode uint8 (H, W, 3) RGB as "png", "jpeg" ("jpg") or "webp"; no metadata is written."""
    suffix = "." + format.lower().removeprefix(".")
    if suffix not in WRITTEN:
        raise ImageError(f"a format out of {', '.join(WRITTEN)}", repr(format), "choose .png to keep every pixel")
    check_image(image)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, WRITTEN[suffix], quality=quality)
    return stream.getvalue()


def to_tensor(images: np.ndarray | list[np.ndarray]) -> torch.Tensor:
    """Turn one uint8 (H, W, 3) image, or a list of one size, into float32 (N, 3, H, W) in [0, 1]."""
    batch = [images] if isinstance(images, np.ndarray) else list(images)
    if not batch:
        raise ImageError("at least one image", "an empty list", "pass an image")
    for image in batch:
        check_image(image)
    shapes = {image.shape for image in batch}
    if len(shapes) > 1:
        raise ImageError("images of one size", f"sizes {sorted(shapes)}", "letterbox or resize them first")
    stacked = torch.from_numpy(np.stack(batch))
    return stacked.permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255.0)


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """Turn a float (3, H, W) or (1, 3, H, W) tensor into uint8 (H, W, 3), clamped to [0, 1] and rounded."""
    image = tensor.detach()
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise ImageError(
            "a float tensor of shape (3, H, W) in [0, 1]",
            f"{tensor.dtype} of shape {tuple(tensor.shape)}",
            "pass one image of the batch, channels first",
        )
    image = image.to("cpu", torch.float32).clamp(0.0, 1.0).mul(255.0).round()
    return np.ascontiguousarray(image.to(torch.uint8).permute(1, 2, 0).numpy())


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (height, width): averaging areas when shrinking, bilinear when growing."""
    check_image(image)
    height, width = size
    if height < 1 or width < 1:
        raise UsageError("a size of at least 1x1", f"{size}", "pass (height, width) in pixels")
    if (height, width) == image.shape[:2]:
        return image.copy()
    shrinking = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def letterbox(image: np.ndarray, size: tuple[int, int], *, fill: int = 114) -> tuple[np.ndarray, Letterbox]:
    """Fit an image onto a canvas without changing its shape; the rest of the canvas is grey.

    Args:
        image: uint8 (H, W, 3).
        size: (height, width) of the canvas.
        fill: Grey level 0..255 around the picture.

    Returns:
        The canvas uint8 (height, width, 3) and the `Letterbox` that moves boxes there and back.
    """
    check_image(image)
    plan = plan_letterbox((image.shape[0], image.shape[1]), size)
    height, width = plan.fitted
    canvas = np.full((plan.height, plan.width, 3), fill, dtype=np.uint8)
    canvas[plan.pad_top : plan.pad_top + height, plan.pad_left : plan.pad_left + width] = resize(image, (height, width))
    return canvas, plan


def tiles(height: int, width: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Cover a picture with squares of side `tile` that share at least `overlap` pixels with their neighbours.

    Returns:
        (x0, y0, x1, y1) half-open, row by row, all inside the picture; smaller than `tile` only where the picture is.
    """
    if height < 1 or width < 1 or tile < 1 or not 0 <= overlap < tile:
        raise UsageError(
            "height, width and tile of at least 1 and an overlap from 0 to below tile",
            f"height {height}, width {width}, tile {tile}, overlap {overlap}",
            "choose for instance tile=640, overlap=128",
        )
    return [
        (x, y, min(x + tile, width), min(y + tile, height))
        for y in _starts(height, tile, overlap)
        for x in _starts(width, tile, overlap)
    ]


def list_images(path: str | Path) -> list[Path]:
    """List the pictures of a file, a folder (not its sub-folders) or a glob pattern, by name; raises ImageError."""
    path = Path(path)
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file()]
    elif path.is_file():
        found = [path]
    else:
        found = [entry for entry in map(Path, glob(str(path), recursive=True)) if entry.is_file()]
    if not found:
        raise ImageError("a picture, a folder with pictures or a pattern", f"no picture at {path}", "check the path")
    return sorted(found)


def check_image(image: np.ndarray) -> None:
    """Raise ImageError unless `image` is a non-empty uint8 (H, W, 3) array."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError("a uint8 RGB image of shape (H, W, 3)", got, "pass what load_image returns")
    if image.size == 0:
        raise ImageError("an image of at least 1x1 pixel", f"shape {image.shape}", "pass what load_image returns")


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile - overlap)) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _content(source: object, budget: Budget) -> tuple[bytes, str]:
    """Return the bytes of a file, or bytes as they are, with a name for messages."""
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), "the bytes"
    elif isinstance(source, str | Path):
        name = str(source)
        if name.startswith(("http://", "https://", "ftp://")):
            raise ImageError("a file on this machine", f"an address: {name}", "download the picture first")
        data = read_file(name, budget, budget.max_bytes + 1)
    else:
        raise ImageError(
            "a path, bytes, a Pillow picture, an array or a tensor", type(source).__name__, "pass one of those"
        )
    _check_bytes(len(data), budget, name)
    return data, name


def read_file(name: str, budget: Budget, most: int) -> bytes:
    """Return at most the first `most` bytes of a regular file within the budget; raises ImageError."""
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
            raise ImageError("a picture file", f"{what}: {name}", "pass the path of a regular file")
        _check_bytes(status.st_size, budget, name)
        with open(name, "rb") as file:
            return file.read(most)
    except FileNotFoundError:
        raise ImageError("a picture file", f"no file at {name}", "check the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            "a picture file that can be read", f"{error}: {name}", "check the path and its rights"
        ) from error


def _check_bytes(length: int, budget: Budget, name: str) -> None:
    if length > budget.max_bytes:
        raise ImageError(
            f"a file of at most {budget.max_bytes:,} bytes",
            f"{length:,} bytes or more: {name}",
            "save it smaller, or raise max_bytes if you trust it",
        )


def _from_pillow(picture: Image.Image, budget: Budget) -> np.ndarray:
    name = "the Pillow picture"
    try:
        budget.check_size(picture.height, picture.width, name)
        picture.load()
        return pixels_of(picture, name)
    except ImageError:
        raise
    except Exception as error:  # any of Pillow's plugins may be behind it
        raise ImageError("a Pillow picture that can be loaded", f"{error}", "open the file again") from error
