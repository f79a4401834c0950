"""A field to draw in with a finger or a mouse: the drawing comes back as a picture, white ink on black."""

from __future__ import annotations

import base64
import binascii

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..core.checks import ImageError
from ..core.images import load_image

SIDE = 280
PREFIX = "data:image/png;base64,"

HTML = f"""<div class="pad">
<canvas width="{SIDE}" height="{SIDE}" role="img" aria-label="Field to draw in"></canvas>
<button type="button">Clear</button></div>"""

CSS = f"""
.pad {{ display: flex; flex-direction: column; gap: .5rem; width: {SIDE}px; max-width: 100%; }}
canvas {{ width: 100%; background: #000; border-radius: .5rem; touch-action: none; cursor: crosshair; }}
button {{ font: inherit; padding: .4rem; border: 1px solid #0f766e; border-radius: .5rem; background: none;
  color: inherit; cursor: pointer; }}
button:hover, button:focus-visible {{ background: #ccece7; color: #12211f; }}
"""

# The component's state outlives a run of the page, but its canvas may not: what was drawn is put back from `data`.
JS = """
export default function ({ parentElement, setStateValue, data }) {
  const canvas = parentElement.querySelector("canvas"), pen = canvas.getContext("2d");
  if (canvas.dataset.ready) return;
  canvas.dataset.ready = "yes";
  const clear = () => { pen.fillStyle = "#000"; pen.fillRect(0, 0, canvas.width, canvas.height); };
  clear();
  if (data) { const kept = new Image(); kept.onload = () => pen.drawImage(kept, 0, 0); kept.src = data; }
  pen.lineWidth = canvas.width / 13; pen.lineCap = pen.lineJoin = "round"; pen.strokeStyle = "#fff";
  let drawing = false;
  const at = (event) => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  canvas.onpointerdown = (event) => {
    drawing = true; canvas.setPointerCapture(event.pointerId);
    pen.beginPath(); pen.moveTo(...at(event)); pen.lineTo(...at(event)); pen.stroke();
  };
  canvas.onpointermove = (event) => { if (drawing) { pen.lineTo(...at(event)); pen.stroke(); } };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (drawing) { drawing = false; setStateValue("png", canvas.toDataURL("image/png")); }
  };
  parentElement.querySelector("button").onclick = () => { clear(); setStateValue("png", ""); };
}
"""


def draw_pad(key: str) -> NDArray[np.uint8] | None:
    """Show the field; return the drawing, uint8 (H, W, 3) RGB, or None while it is empty.

    Raises:
        ImageError: what came is no picture.
    """
    pad = st.components.v2.component("striate-draw-pad", html=HTML, css=CSS, js=JS)
    kept = st.session_state.get(f"{key}-drawing", "")
    given = pad(key=key, data=kept, default={"png": kept}, on_png_change=lambda: None)
    text = str(given.get("png") or "")
    st.session_state[f"{key}-drawing"] = text
    if not text:
        return None
    try:
        data = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ImageError("a drawing as PNG", str(error), "draw it again") from error
    return load_image(data, max_pixels=4 * SIDE * SIDE)
