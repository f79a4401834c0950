"""Rendered scenes: the same for a seed, exact boxes, sizes as in real smears, fast."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from striate.core.checks import DataError, UsageError
from striate.core.datasets import load_boxes
from striate.core.datasets.smear import PLATELET, RED, WHITE, Cell, Slide
from striate.core.datasets.synthetic import (
    SCENES,
    SHAPE_NAMES,
    SMEAR_NAMES,
    blood_smear,
    shapes_scene,
    write_synthetic,
)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("size", [(480, 640), (96, 128), (300, 90)], ids=["full", "small", "upright"])
def test_scene(scene: str, size: tuple[int, int]) -> None:
    render, names, _ = SCENES[scene]
    image, boxes, class_ids = render(5, size)
    assert image.shape == (*size, 3)
    assert (image.dtype, boxes.dtype, class_ids.dtype) == (np.uint8, np.float32, np.int64)
    assert len(boxes) == len(class_ids) >= 1
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [size[1], size[0]]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert (class_ids < len(names)).all()
    again = render(5, size)
    for a, b in zip((image, boxes, class_ids), again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (render(6, size)[0] != image).any()


def test_global_randomness_is_neither_used_nor_changed() -> None:
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    blood_smear(0, (96, 128))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_sizes_follow_the_blood_cell_set() -> None:
    """Medians of BCCD's train split at 640x480: platelets 39x38, red 105x101, white 204x179."""
    sides: list[list[float]] = [[], [], []]
    counts = np.zeros(3)
    for seed in range(25):
        _, boxes, class_ids = blood_smear(seed)
        for box, class_id in zip(boxes, class_ids, strict=True):
            sides[class_id].append(float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]))))
        counts += np.bincount(class_ids, minlength=3)
    medians = [np.median(side) for side in sides]
    assert medians[PLATELET] == pytest.approx(38.5, rel=0.15)
    assert medians[RED] == pytest.approx(103, rel=0.1)
    assert medians[WHITE] == pytest.approx(191, rel=0.12)
    assert 8 <= counts[RED] / 25 <= 18
    assert counts[WHITE] / 25 == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("class_id", [PLATELET, RED, WHITE], ids=SMEAR_NAMES)
def test_boxes_are_those_of_the_light_absorbed(class_id: int) -> None:
    """A cell alone on a slide: all but a trace of its colour lies in the box, and the box is no wider than the cell."""
    for seed in range(5):
        slide = Slide(300, 300, np.random.default_rng(seed))
        box = slide.add(Cell(150, 140, 60, class_id))
        assert box is not None
        x1, y1, x2, y2 = map(int, box)
        dark = np.clip(slide.absorbed, 0, None).sum(axis=2)
        assert dark[y1:y2, x1:x2].sum() > 0.999 * dark.sum()
        shadow = np.argwhere(dark > 0.05 * dark.max())
        slack = 12 if class_id == PLATELET else 4  # platelets fade towards their edge
        assert np.abs(shadow.min(axis=0) - [y1, x1]).max() <= slack
        assert np.abs(shadow.max(axis=0) + 1 - [y2, x2]).max() <= slack


def test_a_cell_outside_shows_nothing() -> None:
    slide = Slide(50, 50, np.random.default_rng(0))
    assert slide.add(Cell(500, 500, 20, RED)) is None
    assert not slide.absorbed.any()


def test_colours_are_those_of_a_stained_smear() -> None:
    image, boxes, class_ids = blood_smear(3)
    paper = np.median(image[np.sort(image.sum(axis=2).ravel())[-30000] <= image.sum(axis=2)], axis=0)
    assert paper.min() > 180
    x1, y1, x2, y2 = boxes[class_ids == WHITE][0].astype(int)
    nucleus = image[y1:y2, x1:x2].reshape(-1, 3)
    nucleus = nucleus[nucleus[:, 1] < 110]
    assert len(nucleus) > 300
    red, green, blue = nucleus.mean(axis=0)
    assert blue > red > green


def test_shapes_are_told_apart_by_their_pixels() -> None:
    """In its box a square fills everything, a circle pi/4, a triangle half."""
    fills: dict[str, list[float]] = {name: [] for name in SHAPE_NAMES}
    for seed in range(30):
        image, boxes, class_ids = shapes_scene(seed)
        for (x1, y1, x2, y2), class_id in zip(boxes.astype(int), class_ids, strict=True):
            part = image[y1:y2, x1:x2].astype(int)
            centre = part[part.shape[0] * 2 // 3, part.shape[1] // 2]
            fills[SHAPE_NAMES[class_id]].append((np.abs(part - centre).max(axis=2) < 45).mean())
    assert np.median(fills["square"]) > 0.97
    assert np.median(fills["circle"]) == pytest.approx(np.pi / 4, abs=0.05)
    assert np.median(fills["triangle"]) == pytest.approx(0.5, abs=0.06)


def test_a_smear_takes_less_than_a_tenth_of_a_second() -> None:
    blood_smear(0)
    spent = []
    for seed in range(5):
        began = time.process_time()
        blood_smear(seed)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.1  # seen: 0.04 s on one core


@pytest.mark.parametrize("format", ["voc", "yolo", "coco"])
def test_written_set_loads(format: str, tmp_path: Path) -> None:
    folder = write_synthetic(tmp_path / "set", 3, 2, scene="shapes", size=(64, 96), seed=4, format=format)
    train, val = load_boxes(folder, "train", on_bad_label="error"), load_boxes(folder, "val", on_bad_label="error")
    assert (len(train), len(val), train.format) == (3, 2, format)
    assert train.report == val.report == []
    pictures = {sample.image.read_bytes() for sample in [*train, *val]}
    assert len(pictures) == 5
    again = write_synthetic(tmp_path / "again", 3, 2, scene="shapes", size=(64, 96), seed=4, format=format)
    assert {sample.image.read_bytes() for split in ("train", "val") for sample in load_boxes(again, split)} == pictures
    with pytest.raises(DataError, match="a folder without split 'train'"):
        write_synthetic(folder, 1, 1, scene="shapes", size=(64, 96), format=format)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scene to be one of blood_smear, shapes; got 'smears'"):
        write_synthetic(tmp_path / "x", 1, 1, scene="smears")
    with pytest.raises(UsageError, match="at least 16x16 pixels; got 20x8"):
        shapes_scene(0, (8, 20))
    with pytest.raises(UsageError, match="at least 32x32 pixels; got 8x8"):
        blood_smear(0, (8, 8))
    with pytest.raises(UsageError, match="at least one picture"):
        write_synthetic(tmp_path / "x", 0, 0)
    assert not (tmp_path / "x").exists()
