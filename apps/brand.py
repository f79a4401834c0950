"""The sign of the project: bars in a round field, the stimulus that cells of the striate cortex answer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

INK, FIELD, TEXT = "#0f766e", "#ccece7", "#12211f"

LOGO = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 158 40" width="158" height="40">
<defs><clipPath id="field"><circle cx="20" cy="20" r="17"/></clipPath></defs>
<circle cx="20" cy="20" r="17" fill="{FIELD}"/>
<g clip-path="url(#field)" transform="rotate(32 20 20)" stroke="{INK}" stroke-width="4.6">
<path d="M5.5 0V40M15.2 0V40M24.8 0V40M34.5 0V40"/></g>
<text x="47" y="28.5" font-family="Source Sans, Source Sans 3, Helvetica, Arial, sans-serif" font-size="25"
font-weight="700" letter-spacing="-0.3" fill="{TEXT}">Striate</text></svg>"""


def icon(side: int = 64) -> Image.Image:
    """Return the sign as an RGBA picture, for the browser's tab.

    It is computed here, because Streamlit fetches named icons for the tab from another server.
    """
    import numpy as np  # here: the command line reads the colours of this file and must start at once
    from PIL import Image

    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side - 0.5
    angle = np.deg2rad(32.0)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi * 4.1)
    image = np.empty((side, side, 4), np.uint8)
    image[..., :3] = np.where(wave[..., None] > 0, _rgb(INK), _rgb(FIELD))
    image[..., 3] = np.clip((0.49 - np.hypot(x, y)) * side, 0, 1) * 255
    return Image.fromarray(image)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
