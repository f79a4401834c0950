"""The web page's router: `striate app` runs it with safe options, `streamlit run apps/home.py` without them."""

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
    st.Page("pages/detect.py", title="Detect", icon=":material/select_all:", url_path="detect", default=True),
]

st.navigation(PAGES, position="top").run()
