"""Fool: a picture is changed until a network is wrong about it, or one of nothing is found that it is sure about."""

from __future__ import annotations

import streamlit as st

from striate.apps import fool_nothing, fool_picture

PICTURE, NOTHING = "Change a picture", "Pictures of nothing"
ABOUT = {
    PICTURE: "A change that one hardly sees, and a network takes a picture for something else (Szegedy et al. 2014).",
    NOTHING: "Pictures that show nothing, and that a network takes for something (Nguyen, Yosinski and Clune 2015).",
}


def page() -> None:
    """Show the page."""
    st.title("Fool")
    half = st.segmented_control("How", list(ABOUT), default=PICTURE, key="fool-half", label_visibility="collapsed")
    half = half or PICTURE
    st.caption(ABOUT[half])
    (fool_picture if half == PICTURE else fool_nothing).page()


page()
