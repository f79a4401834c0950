"""The half of the Fool page that changes a picture until a classifier is wrong about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..adversarial import ATTACKS
from ..adversarial.victims import GIVES
from ..core.checks import StriateError
from ..core.class_pictures import centred_ink
from . import attack_worker, models, pick, show
from .any_classifier import BAG
from .attack_worker import Asked, Job
from .draw_pad import draw_pad
from .fool_outcome import ended, panel
from .samples import RENDERED, SAMPLES

JOB = "attack-job"
EVERY = 0.5  # seconds between two looks at an attack that goes on
FIRST = "small-cifar10"  # the one that knows a sample: the cat
MOST_SIDE = 640  # pixels: the largest sample; a gradient at the size of a camera's picture takes seconds
MOST_SIDE_BAG = 300  # a bag of words takes 50 ms for such a picture, and 200 ms for one of 600 pixels
DIGITS = tuple("0123456789")
TITLES = {
    "pgd": "PGD: many small steps",
    "fgsm": "FGSM: one step",
    "apgd": "Auto-PGD: steps that find their size",
    "ensemble": "Ensemble: four attacks in turn",
    "fab": "FAB: along the boundary, back to the picture",
    "deepfool": "DeepFool: the shortest way out",
    "carlini-wagner": "Carlini-Wagner: smallest change, by search",
    "szegedy": "L-BFGS, the first attack (Szegedy)",
    "square": "Square: by chance, from scores",
    "hopskipjump": "HopSkipJump: from answers alone",
    "one-pixel": "A few pixels, by evolution",
    "noise": "Noise, to compare",
}
# All attacks but `universal`, which makes one change for many pictures. A visitor waits, so what takes minutes with the
# defaults has smaller ones here: a query takes 14 ms with small-cifar10, and the defaults of the three below ask 1,200,
# 3,000 and 40,000 of them. (Streamlit would show a docstring here.)
SHORTER: dict[str, tuple[tuple[str, Any], ...]] = {
    "carlini-wagner": (("searches", 3), ("steps", 50)),
    "hopskipjump": (("steps", 8), ("samples", 20)),
    "one-pixel": (("population", 100), ("generations", 20)),
}
MEASURES = {"linf": "Largest", "l2": "On average"}


def sidebar() -> tuple[str, dict[str, Any], bool] | None:
    """Ask whom to fool and how; return the weights, keywords of `Asked` but the picture, and if the button is pressed.

    The strength is `level`, in 255ths; an L2 budget needs the picture's size, see `budget`.
    """
    with st.sidebar:
        known = [*models.choices("classify"), *models.choices("bow")]
        weights = st.selectbox(
            "Classifier to fool", known, index=known.index(FIRST), format_func=models.title, key="attack-weights"
        )
        try:
            kind, names = attack_worker.about(weights)
        except StriateError as problem:
            show.error("This model cannot be used", problem)
            return None
        if names != DIGITS:
            pick.uploader()
        gives = GIVES.index("scores" if kind == BAG else "gradients")
        methods = [name for name in TITLES if GIVES.index(ATTACKS[name].needs) <= gives]
        method = st.selectbox("Attack", methods, format_func=TITLES.__getitem__, key="attack-method")
        asked = {"weights": weights, "method": method, **strength(method)}
        any_other = "any other class"
        target = st.selectbox("It shall say", [any_other, *names], key=f"attack-target-{weights}")
        sure = st.slider(
            "And be this sure at least", 0, 99, 0, format="%d %%", key="attack-sure", help="0 stops at the first error."
        )
        seed = st.number_input("Seed", 0, 10_000, 0, key="attack-seed")
        pressed = st.button("Attack", type="primary", width="stretch", key="attack-go")
    asked |= {"target": None if target == any_other else target, "confidence": sure / 100 or None, "seed": int(seed)}
    return weights, asked, pressed


def strength(method: str) -> dict[str, Any]:
    """Ask how much may change, as the attack measures it; return `options` and `level`."""
    shorter = SHORTER.get(method, ())
    if method == "one-pixel":
        pixels = st.slider("Strength", 1, 64, 5, format="%d pixels", key="attack-pixels")
        return {"options": (*shorter, ("pixels", pixels)), "level": None}
    if ATTACKS[method].minimal:
        st.caption("This attack looks for the smallest change by itself.")
        return {"options": shorter, "level": None}
    measure = st.segmented_control(
        "What counts", list(MEASURES), default="linf", format_func=MEASURES.__getitem__, key="attack-measure"
    ) or "linf"  # fmt: skip
    level = st.slider(
        "Strength", 1, 64, 8 if measure == "linf" else 4, format="%d / 255", key=f"attack-level-{measure}",
        help="How far a value may move: the farthest of all, or the root of the mean square.",
    )  # fmt: skip
    return {"options": (*shorter, ("distance", measure)), "level": level}


def budget(level: int | None, options: tuple[tuple[str, Any], ...], image: NDArray[np.uint8]) -> str | None:
    """Return a budget as the command takes it; a level "on average" is that of each value, rounded to 0.001."""
    if level is None:
        return None
    return f"{level}/255" if dict(options)["distance"] == "linf" else f"{level / 255 * image.size**0.5:.3f}"


def picture(weights: str) -> pick.Picture | None:
    """Let the visitor draw a digit, or choose a picture; None while nothing is drawn.

    Raises:
        ImageError: What came is no picture.
    """
    if attack_worker.about(weights)[1] == DIGITS:
        left, right = st.columns([1, 2])
        with left:
            drawn = draw_pad("fool-digit")
        if drawn is None:
            right.info("Draw a digit in the black field, then press Attack.", icon=":material/draw:")
            return None
        framed = centred_ink(drawn)
        right.image(framed, width=140, alt="The drawing as the network sees it", output_format="PNG")
        right.caption("As the network sees it: 28 × 28 pixels.")
        return pick.Picture(framed.tobytes().hex(), "digit.png", framed)
    samples = sorted(SAMPLES, key=lambda entry: (entry.key != "cat", entry.source == RENDERED))  # photographs first
    pick.gallery(samples)
    chosen = pick.picture(samples)
    side = MOST_SIDE_BAG if attack_worker.about(weights)[0] == BAG else MOST_SIDE
    small = show.preview(chosen.image, side)
    if small is chosen.image:
        return chosen
    st.caption(f"Made smaller, to {small.shape[1]} × {small.shape[0]} pixels, for speed; the downloads have it.")
    name = f"{Path(chosen.name).stem}-{side}.png"
    return pick.Picture(f"{chosen.key}-{side}", name, small)


@st.fragment(run_every=EVERY)
def live(job: Job) -> None:
    """Show an attack that goes on, and the whole page anew when it has ended."""
    if not job.running:
        st.rerun()
    with st.columns(3)[0]:
        panel("Original", job.asked.picture.image)
    share, text = (job.step / job.steps, f"{job.step} of {job.steps}") if job.steps else (0.0, "Beginning")
    st.progress(min(1.0, share), text=text)
    if st.button("Stop", icon=":material/stop:", key="attack-stop"):
        job.stop.set()


def page() -> None:
    """Show this half."""
    settings = sidebar()
    if settings is None:
        return
    weights, asked, pressed = settings
    try:
        chosen = picture(weights)
    except StriateError as problem:
        show.error("This picture cannot be used", problem)
        return
    level, wanted = asked.pop("level"), None
    if chosen is not None:
        wanted = Asked(chosen, epsilon=budget(level, asked["options"], chosen.image), **asked)
    job: Job | None = st.session_state.get(JOB)
    if pressed and wanted is not None:
        if job is not None:
            job.stop.set()
        job = st.session_state[JOB] = attack_worker.start(wanted)
    if job is None:
        if chosen is not None:
            with st.columns(3)[0]:
                panel("Original", chosen.image)
            st.info("Choose a picture, an attack and its strength, and press Attack; most take seconds, some minutes.")
    elif job.running:
        live(job)
    elif job.error is not None:
        show.error("This cannot be attacked", job.error)
    elif job.stopped:
        st.info("Stopped. Press Attack to begin again.")
    else:
        if wanted is not None and wanted.differs(job.asked):
            st.caption("This is the result of earlier settings: press Attack for those of now.")
        ended(job)
