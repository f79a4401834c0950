"""Style: a picture painted in the style of another, watched while it is made."""

from __future__ import annotations

import shlex
from functools import partial

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from striate.apps import pick, show, style_fast_part
from striate.apps.samples import RENDERED, SAMPLES
from striate.apps.server import MAX_UPLOAD_MB
from striate.apps.style_worker import Work
from striate.apps.training_bar import duration
from striate.core.checks import StriateError
from striate.core.images import load_image, resize
from striate.style.painting import Painting
from striate.style.patterns import PATTERNS, pattern
from striate.style.transfer import COLOURS

# Longer side and steps at the coarsest scale.
PRESETS = {"Preview, 256": (256, 120), "512": (512, 200), "1024": (1024, 200)}
OWN = "Your own"
WORK = "style-work"
LOOK_SECONDS = 1.0


def sidebar() -> dict[str, object]:
    """Ask how to paint."""
    with st.sidebar:
        preset = st.radio("Size", list(PRESETS), help="The longer side. Larger ones begin from smaller ones.")
        strength = st.slider("Strength", 0.0, 1.0, 1.0, 0.05, help="0 leaves the picture as it is.")
        weight = st.select_slider("Style against content", [1, 3, 10, 30, 100], 10)
        scale = st.slider("Size of the strokes", 0.25, 2.0, 1.0, 0.25)
        colours = st.selectbox("Colours", COLOURS, format_func=lambda one: "of the style" if one == "style" else
                               f"of the picture ({one})")  # fmt: skip
        seed = st.number_input("Seed", 0, 9999, 0)
    size, steps = PRESETS[preset or "512"]
    return {
        "size": size, "steps": steps, "strength": strength, "style_weight": float(weight or 10), "style_scale": scale,
        "colours": colours, "seed": int(seed),
    }  # fmt: skip


@st.cache_data(show_spinner=False)
def drawn(name: str) -> NDArray[np.uint8]:
    """Return a pattern, drawn once."""
    return pattern(name)


def style_picture() -> tuple[str, NDArray[np.uint8] | None]:
    """Let the visitor choose a style; None while an own one is missing."""
    name = st.segmented_control("Style", [*PATTERNS, OWN], default="strokes", key="style-name") or "strokes"
    if name != OWN:
        return name, drawn(name)
    upload = st.file_uploader("A picture in whose style", type=list(pick.FORMATS), max_upload_size=MAX_UPLOAD_MB)
    return "style.png", None if upload is None else load_image(upload.getvalue())


def watch(work: Work) -> None:
    """Show a painting while it is made, with a way to end it; the page runs once more when it is done."""
    if not work.running:
        st.rerun()
    work.watched()
    ahead = work.ahead
    waits = f"Waits for {ahead} other painting{'s' * (ahead > 1)}" if ahead else "Begins"
    left = f"about {duration(work.eta_seconds)} left" if work.losses else waits
    st.progress(min(1.0, work.done), text=left)
    if st.button("Stop and keep the picture", icon=":material/stop_circle:", key="style-stop"):
        work.stop()
    if work.preview is not None:
        st.image(show.preview(work.preview), width="stretch", alt="The painting so far", output_format="PNG")
    curves(work)


def curves(work: Work) -> None:
    """Show how the parts of the loss fell."""
    rows = [{"done": done, "part": name, "loss": value} for done, row in work.losses for name, value in row.items()]
    if not rows:
        return
    lines = alt.Chart(pd.DataFrame(rows)).mark_line().encode(
        x=alt.X("done:Q", title="share of the work", axis=alt.Axis(format="%")),
        y=alt.Y("loss:Q", scale=alt.Scale(type="log"), title="loss"),
        color=alt.Color("part:N", title=None),
    )  # fmt: skip
    st.altair_chart(lines.properties(height=220), alt="Parts of the loss while painting")


def result(work: Work, painting: Painting) -> None:
    """Show the painting beside what it is made of, and offer it as a file."""
    if work.abandoned:
        st.info("It was ended here because nobody watched and others waited.", icon=":material/info:")
    elif painting.notice:
        st.info(painting.notice.capitalize() + ".", icon=":material/info:")
    image = painting.image
    before = resize(work.content, (image.shape[0], image.shape[1]))
    share = st.slider("Before and after", 0, 100, 100, format="%d %%", help="How much of the painting is shown.")
    edge = round(image.shape[1] * share / 100)
    both = np.concatenate((image[:, :edge], before[:, edge:]), 1)
    if 0 < edge < image.shape[1]:
        both[:, max(0, edge - 1) : edge + 1] = 255
    st.image(show.preview(both), width="stretch", alt="The painting and the picture side by side", output_format="PNG")
    with st.container(horizontal=True):
        for label, suffix, bits in (("PNG", "png", 8), ("PNG, 16 bits", "png", 16), ("JPEG", "jpg", 8)):
            data, mime = partial(work.file, suffix, bits), "image/jpeg" if suffix == "jpg" else "image/png"
            file_name = f"painting.{suffix}"
            st.download_button(label, data, file_name, mime, icon=":material/download:", on_click="ignore")
    curves(work)


def code(content: pick.Picture, style: str, options: dict[str, object]) -> None:
    """Show the settings as a program and as a command."""
    keywords = ", ".join(f"{name}={value!r}" for name, value in options.items())
    drawn_by = f"pattern({style!r})" if style in PATTERNS else repr(style)
    lines = ["from striate.style import StyleTransfer", "from striate.style.patterns import pattern", ""]
    lines += [
        f"transfer = StyleTransfer({keywords})",
        f"painting = transfer.fit({drawn_by}).transform({content.name!r})",
    ]
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    command = f"striate style {shlex.quote(content.name)} {shlex.quote(style)} -o painting.png {flags}"
    show.code("\n".join([*lines, 'painting.save("painting.png")']), command)


def page() -> None:
    """Show the page."""
    st.title("Style")
    st.caption("A picture is painted anew until a network sees the textures of another in it.")
    options = sidebar()
    pick.uploader()
    # Photographs of things first, then what a microscope saw, then what is rendered.
    samples = sorted(SAMPLES, key=lambda entry: (entry.source == RENDERED, entry.key == "stained-tissue"))
    pick.gallery(samples)
    try:
        content = pick.picture(samples)
        name, style = style_picture()
    except StriateError as problem:
        show.error("This picture cannot be used", problem)
        return
    work: Work | None = st.session_state.get(WORK)
    busy = work is not None and work.running
    left, right = st.columns([1, 2], gap="medium")
    with left:
        st.image(show.preview(content.image, 480), width="stretch", caption="Content", alt="The picture to paint")
        if style is not None:
            st.image(show.preview(style, 480), width="stretch", caption="Style", alt="The style", output_format="PNG")
        if st.button("Paint", type="primary", width="stretch", disabled=busy or style is None) and style is not None:
            st.session_state[WORK] = work = Work(content.image, style, options).start()
    with right:
        if work is None:
            st.info("Choose a picture and a style, then press Paint.", icon=":material/brush:")
        elif work.running:
            st.fragment(watch, run_every=LOOK_SECONDS)(work)
        elif work.painting is not None:
            result(work, work.painting)
        elif isinstance(work.problem, StriateError):
            show.error("This cannot be painted", work.problem)
        elif work.problem is not None:
            raise work.problem
        else:
            st.info("It was ended before it began.", icon=":material/info:")
    code(content, name, options)
    st.divider()
    style_fast_part.show_part(content)


page()
