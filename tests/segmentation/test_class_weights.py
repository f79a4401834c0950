"""Median frequency weights, counted by hand."""

import numpy as np
import pytest

from striate.core.datasets.masks import MaskDataset
from striate.segmentation.class_weights import median_frequency


def dataset(*masks: list[int]) -> MaskDataset:
    arrays = [np.array([mask], np.uint8) for mask in masks]
    return MaskDataset(arrays, arrays, ("a", "b", "c", "never"))


def test_frequencies_count_only_pictures_with_the_class() -> None:
    # a: 6 of the 12 pixels that count; b: 5 of 12; c: 1 of the 8 pixels of the picture that has it.
    weights = median_frequency(dataset([0, 0, 0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 255, 255]))
    middle = 5 / 12
    assert weights.tolist() == pytest.approx([middle / (6 / 12), 1.0, middle / (1 / 8), 1.0])
    assert weights.dtype == np.float32


def test_masks_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset([0, 1])
    first = median_frequency(data)
    monkeypatch.setattr(MaskDataset, "mask", lambda *_: pytest.fail("read again"))
    assert np.array_equal(median_frequency(data), first)


def test_nothing_but_ignored_pixels() -> None:
    assert median_frequency(dataset([255, 255])).tolist() == [1, 1, 1, 1]
