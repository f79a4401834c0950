"""The half of the Fool page that finds pictures of nothing, by evolution or by gradient, while one looks on."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ..adversarial.contact_sheet import percent
from ..adversarial.lineage import switches
from . import fool_worker, models, show
from .fool_worker import ASCENT, EVOLUTION, Asked, Job

JOB = "fool-job"
COLUMNS = 5
TILE = 132
EVERY = 1.0  # seconds between two looks at a job that goes on
WAYS = {EVOLUTION: "Evolution", ASCENT: "Gradient ascent"}
ENCODINGS = {"cppn": "Networks that paint (CPPN)", "direct": "Pixels"}


def sidebar() -> Asked | None:
    """Ask whom to fool and how; return what was asked for when the button was pressed."""
    with st.sidebar:
        first = st.selectbox("Classifier to fool", _networks(), format_func=models.title, key="fool-weights")
        others = [one for one in (*_networks(), *models.choices("bow")) if one != first]
        second = st.selectbox(
            "And at once",
            [None, *others],
            format_func=lambda one: "no other" if one is None else models.title(one),
            help="Pictures count for as much as the model says that is less sure. Both must know the same classes.",
            key="fool-second",
        )
        way = st.segmented_control("How", list(WAYS), default=EVOLUTION, format_func=WAYS.__getitem__, key="fool-way")
        encoding = st.radio(
            "Pictures are made of", list(ENCODINGS), format_func=ENCODINGS.__getitem__, disabled=way == ASCENT,
            key="fool-encoding",
        )  # fmt: skip
        seed = st.number_input("Seed", 0, 10_000, 0, key="fool-seed")
        pressed = st.button("Fool it", type="primary", width="stretch")
    weights = tuple(one for one in (first, second) if one)
    return Asked(way or EVOLUTION, weights, encoding, int(seed)) if pressed else None


def grid(job: Job) -> None:
    """Show the champions with what the models say."""
    for start in range(0, len(job.images), COLUMNS):
        columns = st.columns(COLUMNS)
        for column, number in zip(columns, range(start, min(start + COLUMNS, len(job.images))), strict=False):
            name, image = job.names[number], job.images[number]
            sure = percent(job.confidences[number]) if job.confidences else "…"
            large = image.repeat(max(1, TILE // image.shape[0]), 0).repeat(max(1, TILE // image.shape[1]), 1)
            column.image(large, width="stretch", alt=f"A picture made for {name}", output_format="PNG")
            column.text(f"{name}  {sure}")


@st.fragment(run_every=EVERY)
def live(job: Job) -> None:
    """Show a job that goes on, and the whole page anew when it has ended."""
    if not job.running:
        st.rerun()
    unit = "Generation" if job.asked.way == EVOLUTION else "Step"
    st.progress(min(1.0, job.done / job.total), text=f"{unit} {job.done} of {job.total}")
    if st.button("Stop here", icon=":material/stop:", key="fool-stop"):
        job.stop.set()
    grid(job)
    if len(job.curve) > 1:
        frame = pd.DataFrame(job.curve, columns=["least sure", "median"])
        st.line_chart(frame, x_label="generation", y_label="confidence", height=200)


def ended(job: Job) -> None:
    """Show what came out, judged from the PNGs, with downloads."""
    found = job.found
    assert found is not None
    fooled = sum(one.fooled for one in found)
    st.markdown(f"**{fooled} of {len(found)} classes: every model says so of a picture that shows nothing.**")
    grid(job)
    st.caption("How sure the models are of the pictures as they come back from PNG; of several, the one less sure.")
    names = st.selectbox("Picture", range(len(found)), format_func=lambda one: found[one].name, key="fool-one")
    one = found[names]
    left, right = st.columns([1, 2])
    left.image(one.image, width="stretch", alt=f"The picture made for {one.name}", output_format="PNG")
    rows = [
        (models.title(weights), label, percent(sure))
        for weights, label, sure in zip(job.asked.weights, one.labels, one.each, strict=True)
    ]
    right.dataframe(
        pd.DataFrame(rows, columns=["model", "calls it", f"sure of {one.name}"]), hide_index=True, width="stretch"
    )
    if one.ancestors:
        moved = switches(one.ancestors)
        right.caption(
            f"{len(one.ancestors)} ancestors; the line changed its class {moved} times: "
            + " → ".join(dict.fromkeys(step.lived_as for step in one.ancestors))
        )
    right.download_button(
        "PNG with settings", one.to_png(), f"{job.asked.way}-{names}.png", "image/png", icon=":material/download:"
    )
    right.download_button("Table of all", found.to_csv(), "fooling.csv", "text/csv", icon=":material/download:")
    show.code(job.asked.python(), job.asked.command())


def page() -> None:
    """Show this half."""
    asked = sidebar()
    before: Job | None = st.session_state.get(JOB)
    if asked is not None:
        if before is not None:
            before.stop.set()
        st.session_state[JOB] = fool_worker.start(asked)
    job: Job | None = st.session_state.get(JOB)
    if job is None:
        st.info("Choose a classifier in the sidebar and press Fool it; digits take from seconds to a minute.")
    elif job.error is not None:
        show.error("This cannot be fooled", job.error)
    elif job.running:
        live(job)
    else:
        ended(job)


def _networks() -> list[str]:
    """Return the classifiers that can be chosen, the quickest first; ImageNet's would take hours."""
    quick = [one for one in models.choices("classify") if "imagenet" not in one]
    return sorted(quick, key=lambda one: "lenet" not in one)
