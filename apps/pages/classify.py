"""Classify: draw a digit, or choose a picture; the network says what it takes it for, and what its first layer sees."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from striate.apps import pick, show, worker
from striate.apps.brand import INK
from striate.apps.draw_pad import draw_pad
from striate.apps.models import card, choices, title
from striate.core.checks import StriateError
from striate.core.class_pictures import centred_ink
from striate.core.classification import Classification
from striate.core.classifier import Classifier

MOST_BARS = 10
DIGITS = tuple("0123456789")


def sidebar() -> tuple[str, Classifier] | None:
    """Ask for the model and the picture; return the model's name and the model."""
    with st.sidebar:
        weights = st.selectbox(
            "Model",
            choices("classify"),
            format_func=title,
            key="classify-model",
            help="Shipped weights, and the files in the folder that STRIATE_WEIGHTS names.",
        )
        if weights is None:
            no_model()
            return None
        try:
            with st.spinner("Loading the model"):
                model = worker.classifier(weights)
        except StriateError as problem:
            show.error("This model cannot be used", problem)
            return None
        size = f"{model.image_size} × {model.image_size}"
        st.caption(f"{len(model.names)} classes, {size} pixels, {'grey' if model.channels == 1 else 'colour'}")
        return weights, model


def drawing() -> NDArray[np.uint8] | None:
    """Let the visitor draw; return the drawing as MNIST frames its digits."""
    drawn = draw_pad("digit")
    if drawn is None:
        return None
    framed = centred_ink(drawn)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.image(framed, width=84, alt="The drawing as the network sees it", output_format="PNG")
        st.caption("As the network sees it: 28 × 28 pixels, centred as MNIST's digits are.")
    return framed


def photograph() -> NDArray[np.uint8]:
    """Let the visitor choose a sample or upload a picture."""
    pick.uploader()
    pick.gallery()
    picture = pick.picture()
    st.image(show.preview(picture.image), width="stretch", alt=picture.name, output_format="JPEG")
    show.caption(picture)
    return picture.image


def bars(found: Classification) -> None:
    """Show the likeliest classes."""
    top = found.top(MOST_BARS)
    names = [name for name, _ in top]
    if set(found.names) == set(DIGITS):
        names, top = list(DIGITS), [(name, float(found.probabilities[found.names.index(name)])) for name in DIGITS]
    data = pd.DataFrame(top, columns=["class", "probability"])
    chart = (
        alt.Chart(data)
        .mark_bar(cornerRadiusEnd=3, color=INK)
        .encode(
            x=alt.X("probability:Q", axis=None, scale=alt.Scale(domain=[0, 1.12])),
            y=alt.Y("class:N", title=None, sort=names, axis=alt.Axis(ticks=False, domain=False, labelFontSize=13)),
        )
    )
    text = chart.mark_text(align="left", dx=4, color="#12211f").encode(
        text=alt.Text("probability:Q", format=".1%"), color=alt.value("#12211f")
    )
    st.altair_chart((chart + text).properties(height=24 * len(data) + 10), alt=f"Probabilities: {found}")


def seen(image: NDArray[np.uint8], weights: str) -> None:
    """Show the maps of the first convolution."""
    maps = worker.first_maps(image, weights)
    if len(maps):
        st.caption("What the first convolution makes of it, filter by filter")
        st.image(show.mosaic(maps), width="stretch", alt="Maps of the first convolution", output_format="PNG")


def results(image: NDArray[np.uint8], weights: str) -> None:
    """Say what the picture shows."""
    found = worker.classify(image, weights)
    columns = st.columns([2, 1])
    columns[0].metric("The network says", found.label, help=str(found))
    columns[1].metric("Probability", f"{found.score:.1%}")
    bars(found)
    seen(image, weights)
    show.code(show.classify_python(weights), show.classify_command(weights))


def no_model() -> None:
    """Say what to do when there is no model at all."""
    st.warning("There is no classifier on this machine yet.", icon=":material/model_training:")
    st.code("striate classify train DATA --out runs/first", language="bash")
    st.caption("Put the trained file into the folder that STRIATE_WEIGHTS names, then load this page again.")


def page() -> None:
    """Show the page."""
    st.title("Classify")
    st.caption("Draw a digit or choose a picture: the network tells what it sees, and how sure it is.")
    settings = sidebar()
    if settings is None:
        return
    weights, model = settings
    ways = ["Draw", "Picture"]
    first = ways[0] if model.names == DIGITS else ways[1]
    way = st.segmented_control("Input", ways, default=first, key=f"way-{weights}", label_visibility="collapsed")
    left, right = st.columns([2, 3], gap="large")
    try:
        with left:
            image = drawing() if (way or first) == "Draw" else photograph()
        with right:
            if image is None:
                st.info("Draw a digit in the black field, as large as you like.", icon=":material/draw:")
            else:
                results(image, weights)
        with st.expander("About this model", icon=":material/description:"):
            st.markdown(card(weights))
    except StriateError as problem:
        show.error("This picture cannot be used", problem)


page()
