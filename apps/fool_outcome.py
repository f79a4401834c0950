"""What an attack of the Fool page came to: three pictures, probabilities, whom else it fools, files to take along."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from ..adversarial.drawing import amplified
from ..adversarial.png import png_with_text
from ..adversarial.results import Result
from ..core.checks import StriateError
from . import attack_worker, models, show
from .attack_worker import Job
from .brand import INK
from .second_looks import FOOLED, Look

BEFORE = "#9fb3b0"
MOST_BARS = 6


def ended(job: Job) -> None:
    """Show what came out, judged from the PNG, whom else it fools, and files to take along."""
    found = job.found
    assert found is not None
    before, after = (_says(*pair) for pair in _answers(found))
    if found.success:
        st.markdown(f"**Fooled: {before} became {after}.**")
    else:
        st.markdown(f"**Not fooled: {before} before, {after} after.** Try more strength or another attack.")
    panels(found, before, after)
    norms = found.norms
    st.caption(
        f"Most that a value moved: {255 * norms['linf']:.0f} of 255. L2 {norms['l2']:.3g}, {norms['l0']:.0f} pixels, "
        f"PSNR {found.psnr:.1f} dB, SSIM {found.ssim:.3f}. {found.queries} queries, {found.gradients} gradients, "
        f"{found.seconds:.1f} s. Judged by the model itself, from the PNG."
    )
    bars(found)
    if found.success:
        who_else(job)
    downloads(job, found)
    show.code(job.asked.python(), job.asked.command())


def panels(found: Result, before: str, after: str) -> None:
    """Show the original, the amplified difference and the result side by side."""
    difference, factor = amplified(found.original, found.image)
    shown = (
        ("Original", found.original, before),
        ("What was added", difference, f"{factor} times as strong; grey is unchanged"),
        ("Result", found.image, after),
    )
    for column, (name, image, text) in zip(st.columns(3), shown, strict=True):
        with column:
            panel(name, image, text)


def panel(name: str, image: NDArray[np.uint8], text: str = "") -> None:
    """Show one picture, a line above and a line below."""
    times = max(1, 256 // max(image.shape[:2]))  # pixels stay pixels
    st.markdown(f"**{name}**")
    st.image(image.repeat(times, 0).repeat(times, 1), width="stretch", alt=name, output_format="PNG")
    st.text(text)


def bars(found: Result) -> None:
    """Show the likeliest classes before and after."""
    rows = {"before": found.probabilities_before, "after": found.probabilities_after}
    order = np.argsort(-np.maximum(*rows.values()), kind="stable")[:MOST_BARS]
    data = [
        {"class": found.names[one], "when": when, "probability": float(row[one])}
        for when, row in rows.items()
        for one in order
    ]
    chart = alt.Chart(pd.DataFrame(data)).mark_bar().encode(
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5), title=None),
        y=alt.Y("class:N", sort=[found.names[one] for one in order], title=None),
        yOffset=alt.YOffset("when:N", sort=list(rows)),
        color=alt.Color("when:N", sort=list(rows), title=None, scale=alt.Scale(range=[BEFORE, INK])),
    )  # fmt: skip
    st.altair_chart(chart.properties(height=36 * len(order) + 30), alt=f"Probabilities before and after: {found}")


def who_else(job: Job) -> None:
    """Show what the model says after JPEG, and what others say, chosen by the visitor; those of equal classes first."""
    left, right = st.columns(2, gap="medium")
    left.markdown(f"**After JPEG: {sum(one.verdict == FOOLED for one in job.jpeg)} of {len(job.jpeg)} still fool it**")
    with left:
        looks(job.jpeg, "quality")
    right.markdown("**Other models**")
    with right:
        same, others = candidates(job)
        chosen = st.multiselect(
            "Ask", [*same, *others], default=same, format_func=models.title, key=f"attack-others-{job.asked.weights}",
            help="Models of the same classes can be fooled; others only change their answer.",
        )  # fmt: skip
        with st.spinner("Asking"):
            looks([attack_worker.ask_other(job, one) for one in chosen], "model")


def candidates(job: Job) -> tuple[list[str], list[str]]:
    """Return the other models on this machine: those that know the same classes, and the rest."""
    assert job.found is not None
    same: list[str] = []
    others: list[str] = []
    for weights in (*models.choices("classify"), *models.choices("bow")):
        try:
            names = attack_worker.about(weights)[1]
        except StriateError:
            continue  # not on this machine: choosing it above says which command fetches it
        if weights != job.asked.weights:
            (same if set(names) == set(job.found.names) else others).append(weights)
    return same, others


def looks(found: list[Look], who: str) -> None:
    """Show what is said of the original and of the result."""
    rows = [
        (models.title(one.who), _says(one.before, one.before_score), _says(one.after, one.after_score), one.verdict)
        for one in found
    ]
    if rows:
        st.dataframe(pd.DataFrame(rows, columns=[who, "original", "result", "so it is"]), hide_index=True)


def downloads(job: Job, found: Result) -> None:
    """Offer the pictures as PNG, each with the settings in it."""
    stem = f"{Path(job.asked.picture.name).stem}-{models.title(job.asked.weights)}-{job.asked.method}"
    kinds = {
        "Result": found.image,
        "What was added": amplified(found.original, found.image)[0],
        "Side by side": found.draw(),
        "Original": found.original,
    }
    st.caption("As PNG, with the settings in the file:")
    with st.container(horizontal=True):
        for name, image in kinds.items():
            # Not named as the command names its picture, but the original is that picture.
            file_name = job.asked.picture.name if name == "Original" else f"{stem}-{name.lower().replace(' ', '-')}.png"
            st.download_button(
                name, png(image, job, found, name), str(Path(file_name).with_suffix(".png")), "image/png",
                key=f"attack-{name}", icon=":material/download:", on_click="ignore",
            )  # fmt: skip


def png(image: NDArray[np.uint8], job: Job, found: Result, shows: str) -> bytes:
    """Return a PNG whose text chunk holds the result's figures with what the page was asked, as JSON."""
    asked = {"shows": shows, "picture": job.asked.picture.name, "weights": job.asked.weights}
    return png_with_text(image, {**asked, "command": job.asked.command(), **found.to_dict()})


def _answers(found: Result) -> tuple[tuple[str, float], tuple[str, float]]:
    return (found.label_before, float(found.probabilities_before.max())), (found.label_after, found.confidence)


def _says(label: str, sure: float) -> str:
    return f"{label} {sure:.1%}"
