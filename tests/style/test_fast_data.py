"""Crops of pictures to learn painting on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from striate.core.checks import DataError, ImageError
from striate.core.images import save_image
from striate.style import fast_data
from striate.style.fast_data import ContentCrops
from striate.tests.style.stand_ins import disc, stripes


def test_a_crop_depends_on_seed_epoch_and_index_alone() -> None:
    pictures = [disc(90, 130), stripes(40, 40)]
    one, two, other = (ContentCrops(pictures, 64, 8, seed) for seed in (0, 0, 1))
    keys = [(epoch, index) for epoch in range(2) for index in range(8)]
    first = [one[key][0] for key in keys]
    assert all(np.array_equal(crop, two[key][0]) for crop, key in zip(first, reversed(keys), strict=True)) is False
    assert all(np.array_equal(crop, two[key][0]) for crop, key in zip(first, keys, strict=True))
    assert not all(np.array_equal(crop, other[key][0]) for crop, key in zip(first, keys, strict=True))
    assert {crop.shape for crop in first} == {(64, 64, 3)}
    assert len({crop.tobytes() for crop in first}) > 12
    assert len(one) == 8


def test_pictures_of_any_size_and_shape_are_cut() -> None:
    pictures = [disc(1, 1), disc(3, 200), disc(400, 20)]
    crops = ContentCrops(pictures, 64, 12, 0)
    batch = crops.collate([crops[0, index] for index in range(12)])
    assert batch["images"].shape == (12, 3, 64, 64)
    assert 0 <= batch["images"].min() < batch["images"].max() <= 1
    assert set(batch["sources"]) <= {"number 0", "number 1", "number 2"}


def test_a_folder_s_sub_folders_count_and_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    save_image(disc(), tmp_path / "one.png")
    save_image(stripes(), tmp_path / "a" / "b" / "two.jpg")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    crops = ContentCrops(tmp_path, 64, 4, 0)
    assert sorted(crops.names) == ["one.png", "two.jpg"]
    assert crops[0, 0][0].shape == (64, 64, 3)


def test_pictures_are_kept_reduced_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    crops = ContentCrops([disc(600, 900)], 64, 4, 0)
    crops[0, 0]
    assert crops.cache[0].shape == (160, 240, 3)
    monkeypatch.setattr(fast_data, "CACHE_BYTES", 1000)
    crops = ContentCrops([disc(600, 900)], 64, 4, 0)
    assert crops[0, 0][0].shape == (64, 64, 3)
    assert not crops.cache


def test_what_cannot_be_learned_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pictures to learn painting on; got none in .*; a few hundred natural"):
        ContentCrops(tmp_path, 64, 4, 0)
    with pytest.raises(DataError, match="pictures to learn painting on; got an empty list"):
        ContentCrops([], 64, 4, 0)
    with pytest.raises(DataError, match="a folder with pictures, or a list of pictures; got no folder: "):
        ContentCrops(tmp_path / "none", 64, 4, 0)
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    with pytest.raises(ImageError, match=r"broken\.png"):
        ContentCrops(tmp_path, 64, 4, 0)
