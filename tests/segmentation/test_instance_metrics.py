"""Counts and matches of objects, by hand and on true nuclei."""

from pathlib import Path

import numpy as np
import pytest

from striate.core.checks import DataError, UsageError
from striate.core.datasets.load_masks import load_masks
from striate.core.datasets.masks import MaskDataset
from striate.segmentation.instance_metrics import count_agreement, match_instances, true_instances
from striate.segmentation.instances import find_instances


def test_counts() -> None:
    assert count_agreement([10, 20, 0], [11, 15, 1]) == {
        "true": 30,
        "found": 27,
        "relative_error": pytest.approx(-0.1),
        "mean_relative_error": pytest.approx((0.1 + 0.25 + 1) / 3),
        "within_tenth": pytest.approx(1 / 3),
    }
    with pytest.raises(DataError, match="two counts for every picture; got 1 and 0"):
        count_agreement([1], [])
    with pytest.raises(DataError, match="two counts"):
        count_agreement([], [])


def test_matches() -> None:
    true, found = np.zeros((4, 30), np.int32), np.zeros((4, 30), np.int32)
    true[:, 0:10], true[:, 10:20], true[:, 20:24] = 1, 2, 3
    found[:, 0:8], found[:, 10:15], found[:, 26:28] = 2, 1, 4  # IoU 0.8, exactly 0.5, and none
    figures = match_instances(true, found)
    assert figures == {"hits": 1, "true": 3, "found": 3, "f1": pytest.approx(1 / 3), "iou": pytest.approx(0.8)}
    assert match_instances(true, true)["f1"] == 1.0
    assert match_instances(true, true, iou_threshold=1)["f1"] == 1.0
    assert match_instances(true, found, iou_threshold=1)["hits"] == int(
        sum(np.array_equal(true == i, found == j) for i in range(1, true.max() + 1) for j in range(1, found.max() + 1))
    )
    assert match_instances(true * 0, true * 0) == {"hits": 0, "true": 0, "found": 0, "f1": 1.0, "iou": 0.0}
    with pytest.raises(DataError, match="two maps of one size"):
        match_instances(true, found[:2])
    with pytest.raises(UsageError, match=r"iou_threshold from 0\.5 to 1; got 0\.3"):
        match_instances(true, found, iou_threshold=0.3)


def test_true_objects_need_an_instance_map() -> None:
    mask = np.zeros((3, 3), np.uint8)
    with pytest.raises(DataError, match="an instance map of 16 bits; got class ids: train mask 0"):
        true_instances(MaskDataset([mask], [mask], ("a", "b")), 0)


def test_nuclei_are_counted_from_their_true_foreground(shared_data: Path) -> None:
    """The upper bound for a segmenter: 40 pictures of the half that the depth was not tuned on."""
    nuclei = load_masks(shared_data / "nuclei", "train")
    nuclei = nuclei.subset([i for i in range(1, len(nuclei), 2) if nuclei.mask(i).size < 200_000][:40])
    true = [true_instances(nuclei, i) for i in range(len(nuclei))]
    parted = [find_instances(nuclei.mask(i)) for i in range(len(nuclei))]
    pieces = [find_instances(nuclei.mask(i), method="components") for i in range(len(nuclei))]
    counts = [[len(found) for found in some] for some in (true, parted, pieces)]
    assert abs(count_agreement(counts[0], counts[1])["relative_error"]) < 0.05
    assert count_agreement(counts[0], counts[2])["relative_error"] < -0.1
    f1 = [
        np.mean([match_instances(t.labels, f.labels)["f1"] for t, f in zip(true, some, strict=True)])
        for some in (parted, pieces)
    ]
    assert f1[0] > 0.93
    assert f1[1] < f1[0] - 0.03
