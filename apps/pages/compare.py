"""Compare: bags of words and networks learn from the same pictures; who is ahead, where they part, and why."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from striate.apps import duel_worker, pick, show
from striate.apps.draw_pad import draw_pad
from striate.apps.duel import RENDERED, own_sets
from striate.apps.duel_worker import Asked
from striate.bow_baseline.compare import Stage
from striate.bow_baseline.occlusion import painted
from striate.bow_baseline.report import charts, sheet, told
from striate.bow_baseline.report_tables import tables
from striate.bow_baseline.results import Results
from striate.bow_baseline.summary import Summary
from striate.core.checks import StriateError

OFFERED = ("bow", "bow-pyramid", "bow-fisher", "cnn", "lenet5", "mlp", "linear")
FIRST = ("bow", "bow-pyramid", "linear")
CURVE = (5, 15)
PLAN = "compare-asked"


def sidebar() -> Asked | None:
    """Ask what to compare; return the last comparison that was started."""
    with st.sidebar:
        sets = [RENDERED, *(str(path) for path in own_sets())]
        data = st.selectbox(
            "Pictures",
            sets,
            format_func=lambda one: "Rendered scenes" if one == RENDERED else one.rsplit("/", 1)[-1],
            help="A set of six kinds of rendered scenes, and the sets in the folder that STRIATE_DATA names.",
            key="compare-data",
        )
        chosen = st.multiselect("Contenders", OFFERED, default=FIRST, key="compare-contenders")
        curve = st.toggle("Learning curves", value=False, help=f"Also with {CURVE[0]} and {CURVE[1]} pictures a class.")
        spoil = st.toggle("Corruptions", value=False, help="Noise, blur, JPEG and others, in two severities.")
        if st.button("Compare", type="primary", disabled=len(chosen) < 2, width="stretch"):
            st.session_state[PLAN] = Asked(
                data or RENDERED,
                tuple(chosen),
                per_class=CURVE if curve else (),
                corruptions="all" if spoil else "none",
            )
        if len(chosen) < 2:
            st.caption("Choose at least two contenders.")
    return st.session_state.get(PLAN)


def run(asked: Asked) -> tuple[Results, Summary]:
    """Compare, with a bar for those who wait."""
    bar = st.progress(0.0, text="Reading the pictures")

    def tell(stage: Stage) -> None:
        bar.progress(stage.done / stage.total, text=stage.what.capitalize())

    found = duel_worker.duel(asked, tell)
    bar.empty()
    return found


def figures(results: Results, summary: Summary) -> None:
    """Show the tables."""
    for table in tables(summary, results.config):
        st.subheader(table.title)
        st.dataframe(pd.DataFrame(table.rows, columns=list(table.columns)), hide_index=True, width="stretch")
        st.caption(table.note)


def plots(summary: Summary) -> None:
    """Show the charts, on white: they are pictures to the browser, and know nothing of the page's colours."""
    columns = st.columns(2)
    for i, (heading, draw) in enumerate(charts(summary).values()):
        with columns[i % 2]:
            st.caption(heading)
            st.image(draw("white"), width="stretch", alt=heading)


def parted(results: Results, summary: Summary) -> None:
    """Show the pictures on which the duel's two disagree."""
    if not summary.disagreements:
        st.info("They agree on every picture that one of them names right.", icon=":material/handshake:")
        return
    st.caption("The picture; what spoke for its answer to the one that is right; the same of the one that is wrong.")
    for one in summary.disagreements:
        picture = sheet(results.test.image(one.index), one)
        st.image(picture, alt=told(one), caption=told(one), output_format="PNG")


def try_one(results: Results, summary: Summary) -> None:
    """Let the visitor choose a picture, and both decide."""
    way = st.segmented_control("Input", ["Picture", "Draw"], default="Picture", label_visibility="collapsed")
    if way == "Draw":
        image = draw_pad("compare")
    else:
        pick.uploader()
        pick.gallery()
        image = show.preview(pick.picture().image, 320)
    if image is None:
        st.info("Draw in the black field.", icon=":material/draw:")
        return
    names = summary.duel or (results.names[0],)
    columns = st.columns(1 + len(names))
    columns[0].image(image, width="stretch", caption="The picture", alt="The picture", output_format="PNG")
    for column, name in zip(columns[1:], names, strict=True):
        said = duel_worker.decide(results, name, image)
        column.metric(said.contender, said.label, f"{said.probability:.0%}", delta_color="off")
        heat = painted(image, said.heat)
        column.image(heat, width="stretch", caption=said.method, alt=f"What {name} saw", output_format="PNG")
    st.caption("Orange speaks for the answer, blue against it. They know these classes only: "
               f"{', '.join(results.test.names)}.")  # fmt: skip


def page() -> None:
    """Show the page."""
    st.title("Compare")
    st.caption("Bags of visual words and networks learn from the same pictures and answer the same questions.")
    asked = sidebar()
    if asked is None:
        st.info("Choose contenders in the sidebar and press Compare; it takes from seconds to a minute or two.")
        return
    try:
        results, summary = run(asked)
        st.markdown(f"**{summary.verdict()}**")
        table, curves, apart, trial = st.tabs(["Table", "Curves", "Disagreements", "Try a picture"])
        with table:
            figures(results, summary)
        with curves:
            plots(summary)
        with apart:
            parted(results, summary)
        with trial:
            try_one(results, summary)
        show.code(asked.python(), asked.command())
    except StriateError as problem:
        show.error("These cannot be compared", problem)


page()
