"""Segment: a picture goes in, a class for every pixel comes out, and single objects are counted."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from striate.apps import pick, show, worker
from striate.apps.brand import INK
from striate.apps.models import card, choices, title
from striate.apps.samples import RENDERED, SAMPLES, Sample
from striate.core.checks import StriateError
from striate.core.datasets.mask_files import encode_mask
from striate.core.images import encode_image
from striate.segmentation import LabelMap, Segmenter
from striate.segmentation.counting import objects_of
from striate.segmentation.instance_overlay import draw_instances
from striate.segmentation.instances import METHODS, Instances
from striate.segmentation.metrics import BACKGROUND
from striate.segmentation.stains import haematoxylin

NOTHING = "nothing"
CLASSES, OBJECTS, PICTURE = "Classes", "Objects", "Picture"
LEAST_AREA = 20  # pixels; what is smaller on a photograph is noise more often than an object
NUCLEUS = "nucleus"
# Samples that show a class; the page begins with one that the model knows. (Streamlit would show a docstring here.)
SUITED = {NUCLEUS: ("stained-tissue",), "RBC": ("smear-1", "smear-2", "smear-3")}


def sidebar() -> tuple[str, Segmenter, dict[str, Any], float] | None:
    """Ask for picture and model; return its name, the model, the options of `predict` and the opacity."""
    with st.sidebar:
        pick.uploader()
        weights = st.selectbox(
            "Model",
            choices("segment"),
            format_func=title,
            key="segment-model",
            help="Shipped weights, and the files in the folder that STRIATE_WEIGHTS names.",
        )
        if weights is None:
            no_model()
            return None
        try:
            with st.spinner("Loading the model"):
                model = worker.segmenter(weights)
        except StriateError as problem:
            show.error("This model cannot be used", problem)
            return None
        opacity = st.slider("Opacity", 0, 100, 50, 5, format="%d %%", key="opacity", help="Of the colours.")
        flip = st.toggle("Mirror image too", key="flip", help="Average over the picture and its mirror image.")
        return weights, model, {"flip": True} if flip else {}, opacity / 100


def counting(weights: str, names: Sequence[str]) -> dict[str, Any] | None:
    """Ask which objects to count; return the keywords of `objects_of`."""
    things = [name for name in names if name != BACKGROUND]
    with st.sidebar:
        # The key names the weights, because another model has other classes.
        name = st.selectbox(
            "Count objects of",
            [NOTHING, *things],
            index=1 if len(things) == 1 else 0,
            key=f"count-{weights}",
            help="Single objects, such as nuclei. Not every class comes in objects: sky does not.",
        )
        if name == NOTHING:
            return None
        method = st.segmented_control(
            "Objects that touch",
            METHODS,
            default=METHODS[0],
            key="method",
            format_func={"watershed": "part them", "components": "count as one"}.__getitem__,
        )
        least = st.number_input("Smallest, in pixels", 1, 10_000, LEAST_AREA, 5, key="least-area")
    return {"name": name, "method": method or METHODS[0], "least_area": int(least)}


def staining(picture: pick.Picture, names: Sequence[str]) -> bool:
    """Ask, where the model knows nuclei, whether to look at their stain only; tissue from the samples begins so."""
    if NUCLEUS not in names:
        return False
    with st.sidebar:
        return st.toggle(
            "Blue stain only",
            value=picture.sample in SUITED[NUCLEUS],
            key=f"stain-{picture.key}",
            help="Of stained tissue, take the haematoxylin of the nuclei apart from other stains first.",
        )


def kept(slot: str, question: tuple[object, ...], answer: Callable[[], Any]) -> Any:
    """Return this visitor's last answer if the question is the same (a toggle asks nothing new), else ask."""
    before = st.session_state.get(slot)
    if before is None or before[0] != question:
        before = (question, answer())
        st.session_state[slot] = before
    return before[1]


def legend(found: LabelMap, weights: str) -> list[str]:
    """Show a box to tick for each class that is there, the largest first; return the chosen ones."""
    areas = found.areas()
    there = sorted((name for name in found.names if areas[name]["pixels"]), key=lambda name: -areas[name]["share"])
    chosen = []
    with st.container(horizontal=True, gap="small"):
        for name in there:
            label = f"![]({swatch(found.colours[found.names.index(name)])}) {plain(name)}"
            if st.checkbox(label, value=name != BACKGROUND, key=f"class-{weights}-{name}"):
                chosen.append(name)
    return chosen


def swatch(colour: tuple[int, int, int]) -> str:
    """Return a square of a colour as an address that holds it."""
    square = encode_image(np.full((16, 16, 3), colour, np.uint8), "png")
    return f"data:image/png;base64,{base64.b64encode(square).decode()}"


def plain(name: str) -> str:
    """Return a class name so that no part of it is taken for markup."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()<>#+-.!|:$~" else letter for letter in name)


def figures(found: LabelMap, instances: Instances | None) -> None:
    """Show the numbers that matter in one row."""
    columns = st.columns(3)
    if instances is None:
        name, area = max(found.areas().items(), key=lambda pair: pair[1]["share"])
        columns[0].metric("Classes found", sum(area["pixels"] > 0 for area in found.areas().values()))
        columns[1].metric("Largest", f"{100 * area['share']:.0f} %", help=name)
    else:
        median = instances.summary()["median"]
        columns[0].metric("Objects", len(instances))
        columns[1].metric("Median area", "–" if median is None else f"{median:.0f} px")
    steps = ", ".join(f"{step} {milliseconds:.0f} ms" for step, milliseconds in found.speed.items())
    columns[2].metric("Time", f"{sum(found.speed.values()):.0f} ms", help=steps)


def areas_table(found: LabelMap) -> None:
    """Show pixels and share of every class."""
    rows = [
        {"colour": swatch(colour), "class": name, "share": 100 * area["share"], "pixels": int(area["pixels"])}
        for colour, (name, area) in zip(found.colours, found.areas().items(), strict=True)
    ]
    st.dataframe(
        pd.DataFrame(rows).sort_values("share", ascending=False),
        hide_index=True,
        column_config={
            "colour": st.column_config.ImageColumn(" ", width=36),
            "share": st.column_config.ProgressColumn(format="%.1f %%", min_value=0.0, max_value=100.0, width=110),
            "pixels": st.column_config.NumberColumn(format="localized"),
        },
        alt="Pixels and share of every class",
    )


def sizes_chart(instances: Instances) -> None:
    """Show how large the objects are."""
    if len(instances) < 2:
        return
    data = pd.DataFrame({"area": instances.areas})
    bars = (
        alt.Chart(data)
        .mark_bar(color=INK)
        .encode(
            x=alt.X("area:Q", bin=alt.Bin(maxbins=24), title="area of an object, pixels"),
            y=alt.Y("count()", title=None, axis=alt.Axis(tickMinStep=1)),
        )
    )
    st.altair_chart(bars.properties(height=140), alt=f"How large the objects are: {instances.summary()}")


def downloads(found: LabelMap, instances: Instances | None, drawn: np.ndarray, picture: pick.Picture) -> None:
    """Offer the mask, what is shown, and the tables as files."""
    stem = picture.sample or "picture"
    with st.container(horizontal=True):
        button("Mask", lambda: encode_mask(found.labels, found.colours), f"{stem}-mask.png", "image/png")
        button("Overlay", lambda: encode_image(drawn, "png"), f"{stem}-overlay.png", "image/png")
        button("Areas", found.to_csv(), f"{stem}-areas.csv", "text/csv")
        if instances is not None:
            button("Objects", instances.to_csv(), f"{stem}-objects.csv", "text/csv")


def button(label: str, data: str | Callable[[], bytes], file_name: str, mime: str) -> None:
    """Show one download button that does not run the page again."""
    st.download_button(
        label, data, file_name, mime, key=f"segment-{label}", icon=":material/download:", on_click="ignore"
    )


def no_model() -> None:
    """Say what to do when there is no model at all."""
    st.warning("There is no segmenter on this machine yet.", icon=":material/model_training:")
    st.code("striate segment train DATA --out runs/first", language="bash")
    st.caption("Put the trained file into the folder that STRIATE_WEIGHTS names, then load this page again.")


def suited(names: Sequence[str]) -> tuple[list[Sample], bool]:
    """Return the samples, those of the model's classes first, then photographs; and whether the model knows any."""
    keys = [key for name, keys in SUITED.items() if name in names for key in keys]
    return sorted(SAMPLES, key=lambda entry: (entry.key not in keys, entry.source == RENDERED)), bool(keys)


def page() -> None:
    """Show the page."""
    st.title("Segment")
    st.caption("Choose a sample or upload your own picture: the model gives a class to every pixel of it.")
    settings = sidebar()
    if settings is None:
        return
    weights, model, options, opacity = settings
    samples, known = suited(model.names)
    pick.gallery(samples)
    objects = counting(weights, model.names)
    try:
        picture = pick.picture(samples)
        if not known and picture.sample:
            few = ", ".join(plain(name) for name in model.names[:6]) + (", …" if len(model.names) > 6 else "")
            st.info(f"No sample shows what this model knows ({few}): upload a picture.", icon=":material/upload:")
        results(picture, weights, options, objects, opacity, blue=staining(picture, model.names))
        with st.expander("About this model", icon=":material/description:"):
            st.markdown(card(weights))
    except StriateError as problem:
        show.error("This picture could not be segmented", problem)


def results(
    picture: pick.Picture,
    weights: str,
    options: dict[str, Any],
    objects: dict[str, Any] | None,
    opacity: float,
    *,
    blue: bool,
) -> None:
    """Show the picture on the left, what was found on the right."""
    question = (picture.key, weights, repr(options), blue)
    with st.spinner("Looking"):
        found = kept(
            "segmented",
            question,
            lambda: worker.segment(haematoxylin(picture.image) if blue else picture.image, weights, **options),
        )
        instances = None
        if objects is not None:
            instances = kept("counted", (*question, repr(objects)), lambda: objects_of(found, **objects))
    view, details = st.columns([3, 2], gap="medium")
    with view:
        ways = [CLASSES, *([OBJECTS] if instances is not None else []), PICTURE]
        first = OBJECTS if instances is not None else CLASSES
        key = f"view-{weights}-{len(ways)}"
        way = st.segmented_control("Show", ways, default=first, key=key, label_visibility="collapsed") or first
        chosen = legend(found, weights) if way == CLASSES else []
        drawn = picture.image
        if way == CLASSES:
            drawn = found.draw_on(picture.image, opacity=opacity, classes=chosen, legend=False)
        elif way == OBJECTS and instances is not None:
            drawn = draw_instances(picture.image, instances, opacity=opacity)
        st.image(show.preview(drawn), width="stretch", alt=found.summary(), output_format="PNG")
        show.caption(picture)
        downloads(found, instances, drawn, picture)
    with details:
        figures(found, instances)
        areas_table(found)
        if instances is not None:
            sizes_chart(instances)
        if instances is not None and not len(instances):
            st.info("No objects found. Make the smallest one smaller, or choose a picture of what this model knows.")
    show.code(
        show.segment_python(picture, weights, options, objects, blue=blue),
        show.segment_command(picture, weights, options, objects, blue=blue),
    )


page()
