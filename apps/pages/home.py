"""The web page's router: `striate app` runs it with safe options, `streamlit run apps/pages/home.py` without them.

It stands among the pages because Streamlit takes a folder `pages` beside its script for an application of its own, and
would show a visitor who comes by a page's address that page without this frame.
"""

from __future__ import annotations

import streamlit as st

from striate.apps.brand import LOGO, icon

st.set_page_config(
    page_title="Striate",
    page_icon=icon(),
    layout="wide",
    menu_items={"About": "**Striate**: computer vision from the first convolution up. Apache-2.0."},
)
st.logo(LOGO, size="large")

PAGES = [
    st.Page("detect.py", title="Detect", icon=":material/select_all:", url_path="detect", default=True),
    st.Page("classify.py", title="Classify", icon=":material/draw:", url_path="classify"),
    st.Page("segment.py", title="Segment", icon=":material/texture:", url_path="segment"),
    st.Page("style.py", title="Style", icon=":material/brush:", url_path="style"),
    st.Page("compare.py", title="Compare", icon=":material/balance:", url_path="compare"),
    st.Page("fool.py", title="Fool", icon=":material/psychology_alt:", url_path="fool"),
]

st.navigation(PAGES, position="top").run()
