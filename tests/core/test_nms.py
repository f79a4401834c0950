"""Suppression: both roads keep exactly the boxes that the plain loop keeps, in its order."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError
from striate.tests.core.test_boxes import random_boxes

kernel = pytest.mark.kernel


def problem(count: int, seed: int = 0, *, side: float = 100, classes: int = 3, levels: int = 0):
    """Boxes, scores (with `levels` so many different ones) and class ids."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, count) / levels if levels else rng.random(count)
    device = torch.get_default_device()
    labels = torch.from_numpy(rng.integers(0, classes, count)).to(device)
    return random_boxes(count, seed, side), torch.from_numpy(scores).float().to(device), labels


def plain(boxes, scores, labels, threshold: float) -> list[int]:
    """The greedy loop, each operation rounded to float32."""
    f = np.float32
    boxes, scores = boxes.float().cpu().numpy(), scores.float().nan_to_num(nan=-torch.inf).cpu().numpy()
    labels = [0] * len(boxes) if labels is None else labels.tolist()
    kept: list[int] = []
    for j in np.argsort(-scores, kind="stable").tolist():
        for i in kept:
            a, b = boxes[i], boxes[j]
            inter = max(f(0), min(a[2], b[2]) - max(a[0], b[0])) * max(f(0), min(a[3], b[3]) - max(a[1], b[1]))
            areas = [max(f(0), c[2] - c[0]) * max(f(0), c[3] - c[1]) for c in (a, b)]
            if labels[i] == labels[j] and inter > f(threshold) * (areas[0] + areas[1] - inter):
                break
        else:
            kept.append(j)
    return kept


@pytest.fixture(params=["one launch", "matrix", "torch"])
def road(request, monkeypatch):
    """Take each of the three ways in turn."""
    if request.param == "matrix":
        from striate.core.kernels import nms

        monkeypatch.setattr(nms, "MOST_IN_ONE_LAUNCH", 0)
    with ops.kernels("torch" if request.param == "torch" else "auto"):
        yield request.param


def padded(count: int):
    boxes, scores, labels = problem(count)
    order = scores[None].sort(descending=True).indices
    return boxes[None], order, labels[None], torch.tensor([count - 1])


RAW = {
    "nms_padded": lambda: (*padded(20), 0.5, 9),
    "soft_nms": lambda: (*problem(6)[:2], 0.3, 0.5, True, 0.001),
}


def several(boxes, scores):
    labels = torch.zeros(scores.shape, dtype=torch.int64)
    return ops.nms_padded(boxes, scores, 0.5, class_ids=labels, counts=labels[:, 0], max_kept=300)


def alone(boxes, scores):
    return ops.nms_padded(boxes, scores, 0.5)


def soft(boxes, scores):
    from striate.core.kernels import nms

    return [nms.soft_nms(boxes.detach(), scores.detach(), 0.3, 0.5, gaussian, 0.001) for gaussian in (True, False)]


FLOAT = {"gradient": False, "dtype": torch.float32}
COMPILE = {
    "nms, one launch": (alone, ((2, 1000, 4), (2, 1000)), FLOAT),
    "nms, one launch, classes, counts": (several, ((2, 1000, 4), (2, 1000)), FLOAT),
    "nms, one launch, one box": (alone, ((1, 1, 4), (1, 1)), FLOAT),
    "nms, matrix": (alone, ((2, 3000, 4), (2, 3000)), FLOAT),
    "nms, matrix, classes, counts": (several, ((2, 3000, 4), (2, 3000)), FLOAT),
    "nms, matrix, bf16": (several, ((2, 3000, 4), (2, 3000)), {"gradient": False}),
    "soft nms": (soft, ((3000, 4), (3000,)), FLOAT),
    "soft nms, few": (soft, ((30, 4), (30,)), FLOAT),
}

PROBLEMS = {
    "no box": problem(0),
    "one box": problem(1),
    "less than a tile": problem(40),
    "several tiles": problem(150),
    "equal scores": problem(100, levels=4),
    "hardly any overlap": problem(130, side=4000),
    "one place": problem(100, side=3),
}


@kernel
@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("name", PROBLEMS)
def test_keeps_what_the_plain_loop_keeps(road, name, threshold) -> None:
    boxes, scores, labels = (t.to(torch.get_default_device()) for t in PROBLEMS[name])
    assert ops.nms(boxes, scores, threshold).tolist() == plain(boxes, scores, None, threshold)
    assert ops.batched_nms(boxes, scores, labels, threshold).tolist() == plain(boxes, scores, labels, threshold)


@kernel
def test_overlap_of_exactly_the_threshold_stays(road) -> None:
    boxes = torch.tensor([[0.0, 0, 2, 1], [0.0, 0, 1, 1], [0.0, 0, 2, 1]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert ops.nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert ops.nms(boxes, scores, 1.0).tolist() == [0, 1, 2]


@kernel
def test_coordinates_without_spare_bits(road) -> None:
    """Boxes far from the origin, IoU next to the threshold: moving classes apart would round them together."""
    at = 2.0**23
    boxes = torch.tensor([[at, 0, at + 3, 1], [at + 1, 0, at + 4, 1], [at + 1, 0, at + 3, 1]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([2, 2, 1000])
    assert ops.batched_nms(boxes, scores, labels, 0.4).tolist() == [0, 2]
    assert ops.batched_nms(boxes, scores, labels, 0.5).tolist() == [0, 1, 2]


@kernel
def test_empty_and_nan_boxes_and_nan_scores(road) -> None:
    nan, inf = float("nan"), float("inf")
    boxes = torch.tensor([[0.0, 0, 9, 9], [nan, 0, 9, 9], [3.0, 3, 3, 9], [9.0, 9, 0, 0], [0.0, 0, 9, 9], [0, 0, 9, 9]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.7, nan, -inf])
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 2, 3, 0]
    assert ops.nms(boxes, scores, 0.0).tolist() == [1, 2, 3, 0]
    assert ops.nms(boxes[4:], scores[4:], 0.5).tolist() == [0]
    crossed = torch.tensor([[30.0, 0, 0, 9], [0.0, 0, 9, 9], [0, 20, 9, -20]])  # a negative area would hit everything
    assert ops.nms(crossed, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 1, 2]


@kernel
@pytest.mark.parametrize("limit", [None, 3, 70], ids=["all", "three", "more than there are"])
def test_several_images_padded(road, limit) -> None:
    boxes, scores, labels = (
        torch.stack(parts) for parts in zip(problem(70, 1), problem(70, 2), problem(70, 3), strict=True)
    )
    counts = torch.tensor([70, 0, 33])
    found = ops.nms_padded(boxes, scores, 0.4, class_ids=labels, counts=counts, max_kept=limit)
    assert found.indices.shape == (3, limit or 70)
    for image, count in enumerate(counts.tolist()):
        kept = plain(boxes[image, :count], scores[image, :count], labels[image, :count], 0.4)[:limit]
        assert found.indices[image].tolist() == kept + [-1] * (found.indices.shape[1] - len(kept))
        assert found.counts[image] == len(kept)


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_strides_and_boxes_with_gradients(road, dtype) -> None:
    boxes, scores, labels = problem(40)
    boxes = boxes.to(dtype).T.contiguous().T.requires_grad_()
    found = ops.batched_nms(boxes, scores.to(dtype), labels.int(), 0.5)
    assert not found.requires_grad
    assert found.tolist() == plain(boxes.detach(), scores.to(dtype), labels, 0.5)


@kernel
def test_which_kernels_run(count_launches, monkeypatch) -> None:
    from striate.core.kernels import nms

    boxes, scores, _ = problem(5)
    ops.nms(boxes, scores, 0.5)
    monkeypatch.setattr(nms, "MOST_IN_ONE_LAUNCH", 4)
    ops.nms(boxes, scores, 0.5)
    monkeypatch.setattr(nms, "MOST_WORDS", 4)
    ops.nms(boxes, scores, 0.5)
    ops.nms(boxes[:0], scores[:0], 0.5)
    assert count_launches.names == ["nms_greedy", "nms_matrix", "nms_reduce", "nms_greedy"]


@pytest.mark.parametrize("count", [200, 700], ids=["one block", "several blocks"])
@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_torch_road_equals_opencv(count, threshold) -> None:
    boxes, scores, labels = problem(count, 5, side=300)
    sides = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)
    with ops.kernels("torch"):
        found = ops.nms(boxes, scores, threshold).tolist()
        apart = ops.batched_nms(boxes, scores, labels, threshold).tolist()
        assert ops.nms(boxes.double(), scores, threshold).tolist() == found
    assert found == np.ravel(cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, threshold)).tolist()
    theirs = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), labels.tolist(), 0.0, threshold)
    assert apart == np.ravel(theirs).tolist()


BOXES, SCORES = torch.zeros(2, 4), torch.zeros(2)
ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "threshold": (lambda: ops.nms(BOXES, SCORES, 1.5), "iou_threshold to lie between 0 and 1; got 1.5"),
    "boxes": (lambda: ops.nms(BOXES[:, :3], SCORES, 0.5), r"boxes \(M, 4\) and scores \(M,\); got \(2, 3\) and \(2,\)"),
    "scores": (lambda: ops.nms(BOXES, SCORES[:1], 0.5), r"got \(2, 4\) and \(1,\); pass xyxy and one score a box"),
    "integers": (lambda: ops.nms(BOXES.long(), SCORES, 0.5), "boxes and scores of floats; got torch.int64"),
    "labels": (lambda: ops.batched_nms(BOXES, SCORES, SCORES, 0.5), r"class ids of integers \(2,\); got torch.float32"),
    "images": (lambda: ops.nms_padded(BOXES, SCORES, 0.5), r"boxes \(B, M, 4\) and scores \(B, M\)"),
    "counts": (
        lambda: ops.nms_padded(BOXES[None], SCORES[None], 0.5, counts=torch.zeros(2)),
        r"counts of integers \(1,\); got torch.float32 \(2,\)",
    ),
    "limit": (lambda: ops.nms_padded(BOXES[None], SCORES[None], 0.5, max_kept=0), "max_kept to be a positive number"),
}


@pytest.mark.parametrize(("call", "words"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_expected(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call()
