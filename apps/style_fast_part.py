"""The part of the Style page that paints at once, by networks that have learned a style before."""

from __future__ import annotations

import shlex

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..core.checks import StriateError
from ..core.images import encode_image
from ..style import FastStyle
from ..style.fast_paint import COLOURS
from . import models, pick, show

TASK = FastStyle.task
SIDES = (512, 1024, 2048)
"""Longer sides of the painting: 0.5, 2 and 8 seconds on one core for squares."""


@st.cache_resource(max_entries=4, show_spinner=False)
def painter(name: str) -> FastStyle:
    """Return a painter, loaded once."""
    return FastStyle.from_pretrained(name)


@st.cache_data(max_entries=16, show_spinner="Painting ...")
def painted(
    name: str, key: str, _image: NDArray[np.uint8], size: int, strength: float, colours: str
) -> NDArray[np.uint8]:
    """Return a painting, uint8 (H, W, 3); one that was asked for a moment ago is not made again."""
    return painter(name).transform(_image, size=size, strength=strength, colours=colours).image


def show_part(content: pick.Picture) -> None:
    """Ask for a style that was learned, paint the picture in it, show it and offer it as a file."""
    names = models.choices(TASK)
    st.subheader("At once")
    st.caption("Networks that have learned one style each paint in a moment what takes minutes above.")
    with st.container(horizontal=True):
        name = st.selectbox("Learned style", names, format_func=models.title, key="style-fast-name")
        size = st.segmented_control("Longer side", SIDES, default=SIDES[0], key="style-fast-side") or SIDES[0]
        colours = st.selectbox("Colours of", COLOURS, format_func=_colours, key="style-fast-colours")
    strength = st.slider("How much of the painting", 0.0, 1.0, 1.0, 0.05, key="style-fast-strength")
    try:
        image = painted(name, content.key, content.image, size, strength, colours)
    except StriateError as problem:
        show.error("This cannot be painted", problem)
        return
    st.image(show.preview(image), width="stretch", alt=f"The picture painted by {name}", output_format="PNG")
    st.download_button(
        "PNG", encode_image(image), "painted.png", "image/png", icon=":material/download:", on_click="ignore",
        key="style-fast-png",
    )  # fmt: skip
    with st.expander("About this painter"):
        st.markdown(models.card(name))
    show.code(*code(content.name, name, {"size": size, "strength": strength, "colours": colours}))


def code(picture: str, name: str, options: dict[str, object]) -> tuple[str, str]:
    """Return the settings as a program and as a command."""
    keywords = "".join(f", {key}={value!r}" for key, value in options.items())
    lines = [
        "from striate.style import FastStyle",
        "",
        f"painter = FastStyle.from_pretrained({name!r})",
        f'painter.transform({picture!r}{keywords}).save("painted.png")',
    ]
    words = ["striate", "style-fast", "apply", picture, "--weights", name, "-o", "painted.png"]
    for key, value in options.items():
        words += [f"--{key}", str(value)]
    return "\n".join(lines), shlex.join(words)


def _colours(colours: str) -> str:
    return "the style" if colours == "style" else "the picture"
