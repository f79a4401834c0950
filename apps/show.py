"""Pieces that every page shows: an error in three parts, a preview, code for the current settings."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..core.checks import StriateError
from ..core.draw import colour_of
from ..core.images import resize
from .pick import Picture
from .samples import sample

PREVIEW_SIDE = 1280  # pixels; wider than any column of the page, and 30 times less to send than a camera's 24 Mpx


def error(title: str, problem: StriateError) -> None:
    """Show what was expected, what came and what to do. The parts are shown as plain text, never as markup."""
    with st.container(border=True):
        st.error(title, icon=":material/error:")
        for label, part in (("Expected", problem.expected), ("Got", problem.got), ("What to do", problem.fix)):
            left, right = st.columns([1, 5])
            left.markdown(f"**{label}**")
            right.text(part)


def preview(image: NDArray[np.uint8], side: int = PREVIEW_SIDE) -> NDArray[np.uint8]:
    """Return the picture no longer than `side` pixels, for showing."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    return resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))


def caption(picture: Picture) -> None:
    """Say which picture it is, how large, and where it comes from."""
    height, width = picture.image.shape[:2]
    source = sample(picture.sample).source if picture.sample else "uploaded, not kept"
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.text(picture.name)  # as plain text: a file's name is the visitor's, and may hold markup
        st.caption(f"{width} × {height} pixels, {source}")


def code(python: str, command: str) -> None:
    """Show the current settings as a program and as commands, each with a button to copy it."""
    as_python, as_command = st.tabs(["Copy as Python", "Copy as CLI"])
    as_python.code(python, language="python", wrap_lines=True)
    as_command.code(command, language="bash", wrap_lines=True)


def detect_python(picture: Picture, weights: str, options: dict[str, Any]) -> str:
    """Write the program that finds what the page shows."""
    lines = ["from striate.detection import Detector"]
    if picture.sample:
        lines.insert(0, "from striate.apps.samples import sample")
    source = f"sample({picture.sample!r}).image()" if picture.sample else repr(picture.name)
    keywords = "".join(f", {name}={value!r}" for name, value in options.items())
    lines += ["", f"detector = Detector.from_pretrained({weights!r})", f"found = detector.predict({source}{keywords})"]
    lines += ["print(found.summary())"]
    return "\n".join(lines)


def detect_command(picture: Picture, weights: str, options: dict[str, Any]) -> str:
    """Write the commands that find what the page shows."""
    first = "striate samples --out samples\n" if picture.sample else ""
    path = f"samples/{picture.name}" if picture.sample else picture.name
    words = ["striate", "detect", "predict", path, "--weights", weights]
    for name, value in options.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            words += [f"--{name.replace('_', '-')}", str(item)]
    return first + shlex.join([*words, "--out", "found"])


def classify_python(weights: str) -> str:
    """Write the program that names what a picture shows."""
    lines = ["from striate.core.classifier import Classifier", ""]
    lines += [
        f"classifier = Classifier.from_pretrained({weights!r})",
        'print(classifier.predict("picture.png").top(3))',
    ]
    return "\n".join(lines)


def classify_command(weights: str) -> str:
    """Write the command that does."""
    return shlex.join(["striate", "classify", "predict", "picture.png", "--weights", weights])


def segment_python(
    picture: Picture, weights: str, options: dict[str, Any], objects: dict[str, Any] | None, *, blue: bool = False
) -> str:
    """Write the program that finds what the page shows."""
    lines = ["from striate.segmentation import Segmenter"]
    if picture.sample:
        lines.insert(0, "from striate.apps.samples import sample")
    if objects is not None:
        lines.append("from striate.segmentation.counting import objects_of")
    source = f"sample({picture.sample!r}).image()" if picture.sample else repr(picture.name)
    if blue:
        lines.append("from striate.segmentation.stains import haematoxylin")
        if not picture.sample:
            lines.insert(0, "from striate.core.images import load_image")
        source = f"haematoxylin({source if picture.sample else f'load_image({source})'})"
    keywords = "".join(f", {name}={value!r}" for name, value in options.items())
    lines += ["", f"segmenter = Segmenter.from_pretrained({weights!r})"]
    lines += [f"found = segmenter.predict({source}{keywords})", "print(found.summary())"]
    if objects is not None:
        asked = "".join(f", {name}={value!r}" for name, value in objects.items())
        lines.append(f'print(len(objects_of(found{asked})), "objects")')
    return "\n".join(lines)


def segment_command(
    picture: Picture, weights: str, options: dict[str, Any], objects: dict[str, Any] | None, *, blue: bool = False
) -> str:
    """Write the commands that find what the page shows."""
    first = "striate samples --out samples\n" if picture.sample else ""
    path = f"samples/{picture.name}" if picture.sample else picture.name
    words = ["striate", "segment", "predict", path, "--weights", weights, *(f"--{name}" for name in options)]
    if objects is not None:
        asked = {"of": objects["name"], **{k.replace("_", "-"): v for k, v in objects.items() if k != "name"}}
        words += ["--instances", *(str(word) for name, value in asked.items() for word in (f"--{name}", value))]
    blue_only = ["--haematoxylin"] if blue else []
    return first + shlex.join([*words, *blue_only, "--out", "found", "--overlay", "--csv"])


def mosaic(maps: NDArray[np.float32], columns: int = 8, most: int = 64) -> NDArray[np.uint8]:
    """Lay maps (K, H, W) side by side as one grey picture; each spans black to white by itself."""
    maps = maps[:most]
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    grey = ((maps - low) / np.maximum(high - low, 1e-6) * 255).astype(np.uint8)
    factor = max(1, 64 // grey.shape[1])
    tiles = np.pad(
        grey.repeat(factor, 1).repeat(factor, 2), ((0, -len(grey) % columns), (2, 2), (2, 2)), constant_values=255
    )
    rows = tiles.reshape(-1, columns, *tiles.shape[1:]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(rows.reshape(-1, columns * tiles.shape[2]))


def colours(count: int) -> list[str]:
    """Return the colours in which the boxes of the first `count` classes are drawn, as #rrggbb."""
    return ["#{:02x}{:02x}{:02x}".format(*colour_of(index)) for index in range(count)]
