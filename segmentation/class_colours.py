"""Colours of classes in drawings and masks: for the classes of streets by name, for others by number."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

from ..core.datasets.mask_files import Colour
from ..core.draw import PALETTE

STREETS: dict[str, Colour] = {
    "sky": (0, 185, 245),
    "building": (80, 60, 15),
    "pole": (255, 210, 230),
    "road": (125, 0, 85),
    "pavement": (245, 0, 255),
    "tree": (5, 135, 0),
    "signsymbol": (230, 250, 0),
    "fence": (255, 170, 75),
    "car": (0, 90, 215),
    "pedestrian": (255, 0, 60),
    "bicyclist": (0, 255, 215),
}
"""CamVid's classes in hues that streets are usually drawn in. They were moved apart by search until the nearest two
differed by 55 in CIELAB, and by 33 in CIEDE2000; in CamVid's own colours Road and Fence differ by 24, Pavement and Car
by 9."""

# Each lies as far as can be from the colours of `PALETTE` and those before it (CIELAB, and CIEDE2000), neither nearly
# black nor nearly white; none is within 28 of another. Among the eight of `PALETTE` blue and sky blue are, at 26.
FURTHER: tuple[Colour, ...] = (
    (85, 0, 170), (238, 221, 221), (187, 0, 51), (34, 255, 119), (119, 119, 0), (0, 255, 255), (102, 51, 0), (0, 85, 0),
    (153, 136, 255), (255, 153, 136), (187, 0, 136), (170, 187, 136), (238, 0, 255), (0, 119, 119), (85, 51, 85),
    (68, 170, 0),
)  # fmt: skip

GOLDEN = 0.618034
"""Hues a golden section apart keep their distance however many there are."""


def class_colours(names: Sequence[str]) -> tuple[Colour, ...]:
    """Return a colour for each class: those of `STREETS` where it knows all names, else `numbered_colours`."""
    own = [STREETS[name.lower()] for name in names if name.lower() in STREETS]
    return tuple(own) if len(own) == len(names) else numbered_colours(len(names))


def numbered_colours(count: int) -> tuple[Colour, ...]:
    """Return colours by class id: `core.draw`'s, which stay apart under colour blindness, 16 more, then hues."""
    known = (*PALETTE, *FURTHER)
    more = [
        colorsys.hsv_to_rgb(GOLDEN * i % 1, (0.9, 0.55)[i % 2], (0.95, 0.6, 0.8)[i % 3])
        for i in range(count - len(known))
    ]
    return (*known, *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in more))[:count]
