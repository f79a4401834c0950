"""Every figure is torchmetrics' and a plain reference's; none is NaN; what is absent is said."""

import importlib
import json
import math

import numpy as np
import pytest
import torch

from striate.core.checks import DataError
from striate.segmentation import metrics
from striate.segmentation.metrics import SegmentationMetric, confusion_matrix, evaluate_masks

NAMES = ("sky", "road", "car", "pole")


@pytest.fixture(scope="module")
def theirs():
    """torchmetrics. It imports torchvision, whose CUDA build needs its own operators left aside on a CPU torch."""
    real = torch.library.register_fake

    def register(name, *args, **keywords):
        return (lambda f: f) if str(name).startswith("torchvision::") else real(name, *args, **keywords)

    patch = pytest.MonkeyPatch()
    patch.setattr(torch.library, "register_fake", register)
    try:
        yield importlib.import_module("torchmetrics")
    except ImportError as error:
        pytest.skip(f"torchmetrics is not installed: {error}")
    finally:
        patch.undo()


def masks(count: int = 4, classes: int = 4, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    truth = [rng.integers(0, classes, (23 + i, 31), dtype=np.uint8) for i in range(count)]
    told = [np.where(rng.random(t.shape) < 0.6, t, rng.integers(0, classes, t.shape)).astype(np.uint8) for t in truth]
    for t in truth:
        t[rng.random(t.shape) < 0.1] = 255
    return truth, told


def plain(truth: list[np.ndarray], told: list[np.ndarray], classes: int) -> dict[str, float]:
    """The definitions, class by class, in sets of pixels."""
    t, p = np.concatenate([m.ravel() for m in truth]), np.concatenate([m.ravel() for m in told])
    t, p = t[t != 255], p[t != 255]
    iou, dice, recall, weighted = [], [], [], 0.0
    for k in range(classes):
        both, either = np.sum((t == k) & (p == k)), np.sum((t == k) | (p == k))
        if either:
            iou.append(both / either)
            dice.append(2 * both / (np.sum(t == k) + np.sum(p == k)))
            weighted += np.mean(t == k) * iou[-1]
        if np.any(t == k):
            recall.append(both / np.sum(t == k))
    return {
        "miou": np.mean(iou), "dice": np.mean(dice), "class_accuracy": np.mean(recall),
        "pixel_accuracy": np.mean(t == p), "frequency_weighted_iou": weighted,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_the_plain_ones(seed: int) -> None:
    truth, told = masks(seed=seed)
    found = evaluate_masks(truth, told, NAMES)
    for name, value in plain(truth, told, 4).items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    by_picture = [plain([t], [p], 4) for t, p in zip(truth, told, strict=True)]
    for name in ("miou", "dice"):
        mean = np.mean([figures[name] for figures in by_picture])
        assert found[{"miou": "miou_per_image", "dice": "dice_per_image"}[name]] == pytest.approx(mean, rel=1e-12)
    assert (found["count"], found["pixels"]) == (4, sum(int((t != 255).sum()) for t in truth))


def test_figures_are_torchmetrics(theirs) -> None:
    truth, told = masks()
    t = torch.from_numpy(np.concatenate([m.ravel() for m in truth])).long()
    p = torch.from_numpy(np.concatenate([m.ravel() for m in told])).long()
    options = {"task": "multiclass", "num_classes": 4, "ignore_index": 255}
    found, functional = evaluate_masks(truth, told, NAMES), theirs.functional
    pairs = {
        "miou": functional.jaccard_index(p, t, average="macro", **options),
        "frequency_weighted_iou": functional.jaccard_index(p, t, average="weighted", **options),
        "pixel_accuracy": functional.accuracy(p, t, average="micro", **options),
        "class_accuracy": functional.accuracy(p, t, average="macro", **options),
        "dice": functional.f1_score(p, t, average="macro", **options),
        "dice_micro": functional.f1_score(p, t, average="micro", **options),
    }
    for name, value in pairs.items():
        assert found[name] == pytest.approx(float(value), abs=2e-7), name
    assert found["confusion"] == functional.confusion_matrix(p, t, **options).tolist()
    iou = functional.jaccard_index(p, t, average="none", **options)
    assert list(found["class_iou"].values()) == pytest.approx(iou.tolist(), abs=2e-7)


def test_absent_classes_are_listed_and_count_for_nothing() -> None:
    truth, told = masks(classes=2)
    found = evaluate_masks(truth, told, NAMES)
    assert found["absent"] == ["car", "pole"]
    assert found["class_iou"]["car"] is None
    assert found["class_recall"]["pole"] is None
    assert found["miou"] == evaluate_masks(truth, told, NAMES[:2])["miou"]
    told[0][0, 0] = 3  # predicted, but never true: an IoU of 0, and no recall
    truth[0][0, 0] = 0
    found = evaluate_masks(truth, told, NAMES)
    assert found["absent"] == ["car"]
    assert found["class_iou"]["pole"] == 0.0
    assert found["class_recall"]["pole"] is None


def test_dice_leaves_the_background_out() -> None:
    truth, told = masks(classes=2)
    found = evaluate_masks(truth, told, ("background", "nucleus"))
    assert found["dice"] == found["dice_micro"] == found["class_dice"]["nucleus"]
    assert found["dice"] < evaluate_masks(truth, told, ("ground", "nucleus"))["dice"]
    assert evaluate_masks(truth, [np.zeros_like(t) for t in truth], ("background",) * 1 + ("x",))["dice"] == 0.0


@pytest.mark.parametrize("boundary", [True, False])
@pytest.mark.parametrize("case", ["no picture", "all ignored", "one class", "empty picture"])
def test_nothing_is_ever_nan(case: str, boundary: bool) -> None:
    metric = SegmentationMetric(NAMES, boundary=boundary)
    fill = {"all ignored": 255, "one class": 1, "empty picture": 0}
    if case != "no picture":
        size = (0, 5) if case == "empty picture" else (4, 5)
        metric.update(np.full(size, fill[case], np.uint8), np.ones(size, np.uint8))
    found = metric.result()
    assert "NaN" not in json.dumps(found)
    assert found["miou"] == (1.0 if case == "one class" else 0.0)


def test_masks_one_by_one_or_all_at_once_and_from_anew() -> None:
    truth, told = masks()
    metric = SegmentationMetric(NAMES, boundary=True)
    for pair in zip(truth, told, strict=True):
        metric.update(*pair)
    assert metric.result() == evaluate_masks(truth, told, NAMES, boundary=True)
    metric.reset()
    assert metric.result() == SegmentationMetric(NAMES, boundary=True).result()


def test_large_masks_are_counted_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, told = masks()
    whole = confusion_matrix(truth[0], told[0], 4)
    monkeypatch.setattr(metrics, "BAND", 100)
    assert np.array_equal(confusion_matrix(truth[0], told[0], 4), whole)


def test_parts_of_a_mask_and_turned_ones_are_counted() -> None:
    truth, told = masks()
    expected = confusion_matrix(truth[0].T.copy(), told[0].T.copy(), 4)
    assert np.array_equal(confusion_matrix(truth[0].T, told[0].T, 4), expected)


def test_a_count_above_what_float32_holds() -> None:
    mask = np.zeros((4201, 4201), np.uint8)  # 17.6 million, odd: float32 has every number up to 16.8 only
    assert confusion_matrix(mask, mask, 2)[0, 0] == 4201**2


@pytest.mark.parametrize(
    ("truth", "told", "message"),
    [
        (np.zeros((3, 4), np.uint8), np.zeros((4, 3), np.uint8), "as large as the truth"),
        (np.zeros((3, 4), int), np.zeros((3, 4), np.uint8), r"uint8 \(H, W\); got int64 \(3, 4\) as truth"),
        (np.zeros((3, 4), np.uint8), np.zeros((3, 4, 1), np.uint8), "as prediction"),
        (
            np.full((3, 4), 4, np.uint8),
            np.zeros((3, 4), np.uint8),
            "from 0 to 3, .* got truth up to 4",
        ),
        (np.zeros((3, 4), np.uint8), np.full((3, 4), 255, np.uint8), "prediction up to 255"),
    ],
)
def test_masks_that_cannot_be_counted(truth: np.ndarray, told: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SegmentationMetric(NAMES).update(truth, told)


def test_as_many_predictions_as_masks() -> None:
    with pytest.raises(DataError, match="a prediction for every mask; got 0 for 4"):
        evaluate_masks(masks()[0], [], NAMES)


def test_edges_are_averaged_over_the_pictures_that_have_the_class() -> None:
    truth, told = masks(2, 2)
    truth[1][:], told[1][:] = 0, 0
    found = evaluate_masks(truth, told, NAMES, boundary=True)
    first = evaluate_masks(truth[:1], told[:1], NAMES, boundary=True)["class_boundary_f"]
    assert found["class_boundary_f"]["road"] == first["road"]
    assert found["class_boundary_f"]["sky"] == pytest.approx((first["sky"] + 1) / 2)
    assert found["boundary_f"] == pytest.approx((first["road"] + (first["sky"] + 1) / 2) / 2)
    assert found["class_boundary_f"]["car"] is None
    assert math.isfinite(found["boundary_f"])
