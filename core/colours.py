"""From pixels of any kind, as files, arrays and tensors have them, to uint8 RGB.

The rules: 1-bit becomes 0 and 255; 16-bit grey is divided by 257 (65535 -> 255, no stretching to the darkest and
brightest pixel); 32-bit integers must lie in 0..65535 and are treated likewise; floats must lie in [0, 1]; palettes are
looked up; grey is repeated; transparency is laid over white; CMYK, YCbCr and HSV are converted by formula, LAB
as to sRGB; colour profiles inside files are not applied.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from .checks import ImageError

LAYERED = ("LA", "La", "PA", "RGBA", "RGBa")
SizeCheck = Callable[[int, int, str], None]  # height, width, name -> raises ImageError when over the budget


def pixels_of(picture: Image.Image, name: str) -> np.ndarray:
    """Turn a loaded Pillow picture of any mode into uint8 (H, W, 3) RGB, EXIF orientation applied."""
    mode = picture.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        grey = grey_to_uint8(np.asarray(picture), name)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
    elif mode in LAYERED or "transparency" in picture.info:
        pixels = over_white(picture.convert("RGBA"))
    else:
        pixels = np.asarray(picture if mode == "RGB" else picture.convert("RGB"))
    return np.array(oriented(pixels, orientation_of(picture.info.get("exif"))), dtype=np.uint8, order="C")


def grey_to_uint8(values: np.ndarray, name: str) -> np.ndarray:
    """Reduce integer grey values 0..65535 (divided by 257) or float values in [0, 1] (times 255) to uint8, rounded."""
    floating = values.dtype.kind == "f"
    top = 1.0 if floating else 65535
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not (low >= 0 and high <= top):  # NaN fails both comparisons
        raise ImageError(
            "values from 0 to 1" if floating else "values from 0 to 65535",
            f"values from {low} to {high}: {name}",
            "scale the values yourself, for instance picture / picture.max(), so that the brightness is your choice",
        )
    if floating:
        return np.rint(values * 255.0).astype(np.uint8)
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def over_white(layered: Image.Image) -> np.ndarray:
    """Lay an RGBA picture over white, rounded to the nearest level: uint8 (H, W, 3)."""
    with Image.new("RGB", layered.size, (255, 255, 255)) as paper:
        paper.paste(layered, mask=layered.getchannel("A"))
        return np.asarray(paper)


def oriented(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror (H, W, C) pixels as EXIF tag 0x0112 asks (1 to 8)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def orientation_of(exif: bytes | None) -> int:
    """Read tag 0x0112 of an EXIF block, 1 when absent or damaged.

    Read by hand: a general EXIF parser copies every tag's data, and 65,535 tags may all point at the same megabytes.
    """
    block = (exif or b"").removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(block[:4]))
    if order is None or len(block) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(order + "H", block, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", block, at)
        if tag == 0x0112:
            return value if kind == 3 and 1 <= value <= 8 else 1
    return 1


def rgb_from_tensor(tensor: torch.Tensor, channels: str, check_size: SizeCheck) -> np.ndarray:
    """Turn a (1, H, W), (3, H, W) or (4, H, W) tensor into uint8 (H, W, 3), see `rgb_from_array`."""
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ImageError(
            "a tensor of shape (3, H, W)", f"shape {tuple(tensor.shape)}", "pass one image of a batch, channels first"
        )
    try:
        array = tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, quantised, without data
        raise ImageError("a plain tensor with data", f"{error}", "pass tensor.to_dense() or its values") from error
    return rgb_from_array(array.transpose(1, 2, 0), channels, check_size, "the tensor")


def rgb_from_array(array: np.ndarray, channels: str, check_size: SizeCheck, name: str = "the array") -> np.ndarray:
    """Turn an array of bool, uint8, uint16 (divided by 257) or float in [0, 1] into a new uint8 (H, W, 3) RGB array."""
    pixels = array[:, :, None] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ImageError(
            "an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)",
            f"shape {array.shape}",
            "pass one image, channels last",
        )
    check_size(pixels.shape[0], pixels.shape[1], name)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype.kind == "f" or pixels.dtype == np.uint16:
        pixels = grey_to_uint8(pixels, name)
    elif pixels.dtype != np.uint8:
        raise ImageError("bool, uint8, uint16 or float values", f"{pixels.dtype} in {name}", "convert to uint8 0..255")
    if channels == "bgr" and pixels.shape[2] > 1:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    if pixels.shape[2] == 4:
        pixels = over_white(Image.fromarray(np.ascontiguousarray(pixels)))
    elif pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.array(pixels, dtype=np.uint8, order="C")
