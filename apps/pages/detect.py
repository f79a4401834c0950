"""Detect: a picture goes in, boxes come out. A plain script that Streamlit runs from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from striate.apps import pick, show, worker
from striate.apps.models import card, choices, title
from striate.core.checks import StriateError
from striate.core.images import encode_image
from striate.detection import Detections, Detector


def sidebar() -> tuple[str, dict[str, Any]] | None:
    """Ask for the picture, the model and the thresholds; return the model and the options of `predict`."""
    with st.sidebar:
        pick.uploader()
        names = choices("detect")
        weights = st.selectbox(
            "Model",
            names,
            format_func=title,
            key="model",
            help="Shipped weights, and the files in the folder that STRIATE_WEIGHTS names.",
        )
        if weights is None:
            no_model()
            return None
        try:
            with st.spinner("Loading the model"):
                model = worker.detector(weights)
        except StriateError as problem:
            show.error("This model cannot be used", problem)
            return None
        return weights, thresholds(weights, model)


def thresholds(weights: str, model: Detector) -> dict[str, Any]:
    """Show the sliders and the class filter; they start from the model's own values."""
    # The keys name the weights, so that another model starts from its own values and not from the last one's.
    keys = [f"{setting}-{weights}" for setting in ("confidence", "iou", "classes")]
    confidence = st.slider(
        "Confidence",
        0.05,
        0.95,
        float(model.confidence),
        0.01,
        key=keys[0],
        help="Boxes with a lower score are left out.",
    )
    overlap = st.slider(
        "IoU threshold",
        0.10,
        0.95,
        float(model.iou_threshold),
        0.01,
        key=keys[1],
        help="Of two boxes of one class that overlap more than this, the weaker goes.",
    )
    classes = st.pills(
        "Classes", list(model.names), selection_mode="multi", key=keys[2], help="None chosen: all count."
    )
    st.button("Reset", icon=":material/restart_alt:", type="tertiary", on_click=reset, args=(keys,))
    options: dict[str, Any] = {"confidence": confidence, "iou_threshold": overlap}
    if classes:
        options["classes"] = list(classes)
    return options


def reset(keys: list[str]) -> None:
    """Forget the settings with these keys, so that the next run starts from the model's values."""
    for key in keys:
        st.session_state.pop(key, None)


def find(picture: pick.Picture, weights: str, options: dict[str, Any]) -> Detections:
    """Predict, unless this visitor's last answer was to the same question (choosing a row asks nothing new)."""
    question = (picture.key, weights, repr(options))
    kept = st.session_state.get("answer")
    if kept is None or kept[0] != question:
        with st.spinner("Looking"):
            kept = (question, worker.detect(picture.image, weights, **options))
        st.session_state["answer"] = kept
    return kept[1]


def figures(found: Detections) -> None:
    """Show the numbers that matter in one row."""
    columns = st.columns(3)
    columns[0].metric("Found", len(found))
    columns[1].metric("Mean score", f"{found.scores.mean():.2f}" if len(found) else "–")
    columns[2].metric("Time", f"{sum(found.speed.values()):.0f} ms", help=speed_text(found.speed))


def speed_text(speed: dict[str, float]) -> str:
    """Write where the time went."""
    return ", ".join(f"{step.replace('_', ' ')} {milliseconds:.1f} ms" for step, milliseconds in speed.items())


def boxes_table(found: Detections) -> np.ndarray:
    """Show the detections; return the rows that are chosen, or all when none is."""
    if not len(found):
        return np.zeros(0, dtype=np.int64)
    left, top, right, bottom = found.boxes.T
    data = pd.DataFrame(
        {
            "class": found.labels,
            "score": found.scores.astype(float),
            "x": left,
            "y": top,
            "w": right - left,
            "h": bottom - top,
        }
    )
    pixels = {name: st.column_config.NumberColumn(format="%.0f", width=42) for name in "xywh"}
    score = st.column_config.ProgressColumn(format="%.2f", min_value=0.0, max_value=1.0, width=100)
    chosen = st.dataframe(
        data,
        height=280,
        column_config={"score": score, **pixels},
        on_select="rerun",
        selection_mode="multi-row",
        key="rows",
        alt="The detections: class, score and box of each",
    )
    rows = [row for row in chosen["selection"]["rows"] if row < len(found)]
    return np.array(rows or range(len(found)), dtype=np.int64)


def counts_chart(found: Detections) -> None:
    """Show how many of each class there are, in the colours of their boxes."""
    counts = found.counts()
    data = pd.DataFrame({"class": list(counts), "count": list(counts.values())})
    bars = (
        alt.Chart(data)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("count:Q", axis=None, scale=alt.Scale(domain=[0, max(1, *counts.values())])),
            y=alt.Y("class:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False, labelFontSize=13)),
            color=alt.Color(
                "class:N", legend=None, scale=alt.Scale(domain=list(counts), range=show.colours(len(counts)))
            ),
        )
    )
    text = bars.mark_text(align="left", dx=4).encode(text="count:Q", color=alt.value("#12211f"))
    st.altair_chart((bars + text).properties(height=28 * len(counts) + 10), alt="Number of detections of each class")


def downloads(found: Detections, picture: pick.Picture) -> None:
    """Offer the drawn picture and the detections as files."""
    stem = picture.sample or "picture"
    with st.container(horizontal=True):
        # The PNG is drawn at full size only when somebody asks for it.
        drawn = lambda: encode_image(found.draw_on(picture.image), "png")  # noqa: E731
        button("PNG", drawn, f"{stem}-boxes.png", "image/png")
        button("JSON", found.to_json(), f"{stem}-boxes.json", "application/json")
        button("CSV", found.to_csv(), f"{stem}-boxes.csv", "text/csv")


def button(label: str, data: str | Callable[[], bytes], file_name: str, mime: str) -> None:
    """Show one download button that does not run the page again."""
    st.download_button(
        label, data, file_name, mime, key=f"download-{label}", icon=":material/download:", on_click="ignore"
    )


def no_model() -> None:
    """Say what to do when there is no model at all."""
    st.warning("There is no detector on this machine yet.", icon=":material/model_training:")
    st.code("striate detect train DATA --out runs/first", language="bash")
    st.caption("Put the trained file into the folder that STRIATE_WEIGHTS names, then load this page again.")


def page() -> None:
    """Show the page."""
    st.title("Detect")
    st.caption("Choose a sample or upload your own picture: the model draws a box around every object it knows.")
    settings = sidebar()
    pick.gallery()
    if settings is None:
        return
    weights, options = settings
    try:
        picture = pick.picture()
    except StriateError as problem:
        show.error("This picture cannot be read", problem)
        return
    try:
        results(picture, weights, options)
        with st.expander("About this model", icon=":material/description:"):
            st.markdown(card(weights))
    except StriateError as problem:  # such as weights that were removed after they had been loaded
        show.error("This picture could not be searched", problem)


def results(picture: pick.Picture, weights: str, options: dict[str, Any]) -> None:
    """Show the picture on the left, what was found on the right."""
    found = find(picture, weights, options)
    view, details = st.columns([3, 2], gap="medium")
    with details:
        figures(found)
        counts_chart(found)
        rows = boxes_table(found)
        downloads(found, picture)
    with view:
        shown = show.preview(found[rows].draw_on(picture.image))
        st.image(shown, width="stretch", alt=found.summary(), output_format="JPEG")
        show.caption(picture)
        if not len(found):
            st.info("Nothing found. Lower the confidence, or choose a picture of something this model knows.")
        show.code(show.detect_python(picture, weights, options), show.detect_command(picture, weights, options))


page()
