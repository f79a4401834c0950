"""Colours of classes: far apart, above all those of the classes of streets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from striate.core.draw import PALETTE
from striate.segmentation import LabelMap
from striate.segmentation.class_colours import FURTHER, STREETS, class_colours, numbered_colours

CAMVID = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip


def nearest_two(colours: tuple[tuple[int, int, int], ...]) -> tuple[float, float]:
    """Return the least distance between any two colours in CIELAB, and by CIEDE2000."""
    lab = rgb2lab(np.array(colours, np.uint8)[None])[0]
    pairs = list(combinations(lab, 2))
    return min(float(np.linalg.norm(a - b)) for a, b in pairs), min(float(deltaE_ciede2000(a, b)) for a, b in pairs)


def test_no_two_classes_of_streets_look_alike() -> None:
    plain, perceived = nearest_two(class_colours(CAMVID))
    assert plain > 54  # as numbers of classes had it: 14, and 33 or less for sky and road, building and tree
    assert perceived > 32


def test_colours_of_streets_go_by_name_and_not_by_number() -> None:
    labels = np.zeros((1, 1), np.uint8)
    assert LabelMap(labels, CAMVID).colours == tuple(STREETS.values())
    assert class_colours(("road", "SKY")) == (STREETS["road"], STREETS["sky"])
    assert class_colours(("background", "Road", "Sky")) == PALETTE[:3]  # one is unknown: no mixture of two palettes


def test_more_colours_keep_away_from_those_before() -> None:
    for colour in FURTHER:
        assert all(min(nearest_two((colour, other))) > 18 for other in (*PALETTE, *FURTHER) if other != colour)


@pytest.mark.parametrize("count", [0, 1, 8, 11, 24, 40, 255])
def test_colours_are_one_for_each_class_and_never_depend_on_how_many_there_are(count: int) -> None:
    colours = numbered_colours(count)
    assert len(set(colours)) == len(colours) == count
    assert colours == numbered_colours(255)[:count]
