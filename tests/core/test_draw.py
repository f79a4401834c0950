"""Drawing: on a new picture, readable, and never in the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from striate.core.checks import ImageError, UsageError
from striate.core.draw import PALETTE, _luminance, colour_of, draw_boxes

GREY = 128


def canvas(height: int = 120, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def test_the_picture_is_not_changed() -> None:
    image = canvas()
    drawn = draw_boxes(image, np.array([[10, 30, 50, 60]]), np.array([0]), ["RBC"])
    assert (image == GREY).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn != GREY).any()


def test_frame_lies_on_the_edge_pixels_of_the_half_open_box() -> None:
    drawn = draw_boxes(canvas(), np.array([[10, 20, 50, 60]]), np.array([1]), line_width=1)
    changed = np.argwhere((drawn != GREY).any(axis=2))
    assert changed.min(axis=0).tolist() == [20, 10]
    assert changed.max(axis=0).tolist() == [59, 49]
    assert drawn[20, 30].tolist() == list(PALETTE[1])
    assert drawn[40, 30].tolist() == [GREY] * 3


def test_no_boxes_no_change() -> None:
    np.testing.assert_array_equal(draw_boxes(canvas(), np.zeros((0, 4)), np.zeros(0, int), []), canvas())


@pytest.mark.parametrize("box", [[0, 0, 160, 120], [100, 0, 160, 20], [0, 100, 30, 120], [150, 110, 160, 120]])
def test_labels_stay_inside(box: list[int]) -> None:
    """The plate is as large as in the middle of the picture, so no part of it was cut off."""
    plates = []
    for corners in (box, [60, 60, 100, 100]):
        colour = np.array(colour_of(0))
        with_label = draw_boxes(canvas(), np.array([corners]), np.array([0]), ["RBC 0.93"], line_width=1)
        without = draw_boxes(canvas(), np.array([corners]), np.array([0]), line_width=1)
        changed = np.argwhere((with_label != without).any(axis=2))
        assert (with_label == colour).all(axis=2).any()
        plates.append(changed.max(axis=0) - changed.min(axis=0))
    assert np.abs(plates[0] - plates[1]).max() <= 1  # where it covers its own frame one row does not change


def test_labels_of_one_place_do_not_cover_each_other() -> None:
    labels = ["first label", "second label"]
    boxes = np.array([[20, 60, 40, 100], [45, 60, 65, 100]])
    both = draw_boxes(canvas(), boxes, np.array([0, 1]), labels, line_width=1)
    for i in range(2):
        alone = draw_boxes(canvas(), boxes[i : i + 1], np.array([i]), [labels[i]], line_width=1)
        plate = (alone == np.array(colour_of(i))).all(axis=2).sum()
        kept = (both == np.array(colour_of(i))).all(axis=2).sum()
        assert kept > 0.8 * plate


@pytest.mark.parametrize("side", [16, 100, 640, 3000])
def test_text_can_be_read_at_any_size(side: int) -> None:
    """The letters differ from their plate and are at least nine pixels high, 1/60 of a large picture."""
    image = np.zeros((side, side, 3), np.uint8)
    drawn = draw_boxes(image, np.array([[side // 4, side // 2, side, side]]), np.array([0]), ["Hg"])
    plate = (drawn == np.array(PALETTE[0])).all(axis=2)
    rows = np.flatnonzero(plate.sum(axis=1) >= min(6, side // 4))
    assert rows.size >= max(9, side // 60)


def test_palette_is_apart_for_the_colour_blind_and_in_lightness() -> None:
    # Machado et al. 2009, severity 1, on linear RGB: protanopia, deuteranopia, tritanopia.
    matrices = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
    linear = (np.array(PALETTE) / 255) ** 2.2
    for matrix in matrices:
        seen = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2) * 255
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 999 * np.eye(len(seen))
        assert apart.min() > 20
    assert len(set(PALETTE)) == len(PALETTE)
    assert colour_of(len(PALETTE)) == PALETTE[0]


@pytest.mark.parametrize("class_id", range(len(PALETTE)))
def test_ink_contrasts_with_its_plate(class_id: int) -> None:
    drawn = draw_boxes(
        canvas(), np.array([[20, 60, 120, 100]]), np.array([class_id]), ["HHH"], line_width=1, text_size=24
    )
    ink = [colour for colour in ((0, 0, 0), (255, 255, 255)) if (drawn == np.array(colour)).all(axis=2).any()]
    assert len(ink) == 1
    light, dark = sorted([_luminance(ink[0]), _luminance(PALETTE[class_id])], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.1, level AA


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(0, 4), st.just(4)), elements=st.floats(-1e9, 1e9)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.text(max_size=8),
)
def test_any_boxes_and_any_text(boxes: np.ndarray, size: tuple[int, int], text: str) -> None:
    drawn = draw_boxes(canvas(*size), boxes, np.arange(len(boxes)), [text] * len(boxes))
    assert drawn.shape == (*size, 3)


def test_refusals() -> None:
    with pytest.raises(ImageError, match="uint8 RGB image"):
        draw_boxes(canvas() / 255.0, np.zeros((0, 4)), np.zeros(0))
    with pytest.raises(UsageError, match=r"N class ids and N labels; got boxes \(1, 4\), 2 class ids, no labels"):
        draw_boxes(canvas(), np.zeros((1, 4)), np.zeros(2))
    with pytest.raises(UsageError, match="1 class ids, 0 labels"):
        draw_boxes(canvas(), np.zeros((1, 4)), np.zeros(1), [])
    with pytest.raises(UsageError, match="finite boxes; got NaN"):
        draw_boxes(canvas(), np.array([[0, 0, np.nan, 1]]), np.zeros(1))
