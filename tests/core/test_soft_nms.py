"""Soft-NMS against the paper's loop in plain Python; and that the compiler keeps its hands off the roundings."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError
from striate.tests.core.test_boxes import plain as plain_iou
from striate.tests.core.test_nms import problem

kernel = pytest.mark.kernel
METHODS = pytest.mark.parametrize("method", ["gaussian", "linear"])


def plain(boxes, scores, threshold: float, sigma: float, method: str, least: float) -> tuple[list[int], list[float]]:
    left = dict(enumerate(scores.double().tolist()))
    corners = boxes.double().tolist()
    kept, values = [], []
    while left and max(left.values()) >= least:
        best = max(left, key=lambda i: (left[i], -i))
        kept.append(best)
        values.append(left.pop(best))
        for i in left:
            iou = plain_iou(corners[best], corners[i], "union")
            if method == "gaussian":
                left[i] *= math.exp(-(iou**2) / sigma)
            elif iou > threshold:
                left[i] *= 1 - iou
    return kept, values


@kernel
@METHODS
@pytest.mark.parametrize("road", ["auto", "torch"])
@pytest.mark.parametrize("count", [0, 1, 13])
def test_agrees_with_the_plain_loop(road, method, count) -> None:
    boxes, scores, _ = problem(count, 7, side=20)
    with ops.kernels(road):
        kept, values = ops.soft_nms(boxes, scores, 0.3, 0.4, method, 0.05)
    expected, lowered = plain(boxes, scores, 0.3, 0.4, method, 0.05)
    assert kept.tolist() == expected
    assert (kept.dtype, values.dtype) == (torch.int64, torch.float32)
    # Scores of size 1, at most 13 factors each rounded twice; seen: 4e-8.
    torch.testing.assert_close(
        values.cpu().double(), torch.tensor(lowered, dtype=torch.float64, device="cpu"), atol=1e-6, rtol=0
    )


@kernel
@METHODS
def test_several_tiles(monkeypatch, method) -> None:
    from striate.core.kernels import launch

    run = launch.run
    monkeypatch.setattr(launch, "run", lambda *args, T, **keywords: run(*args, T=4, **keywords))
    boxes, scores, _ = problem(10, 8, side=20)
    kept, values = ops.soft_nms(boxes, scores, method=method, min_score=0.3)
    expected, lowered = plain(boxes, scores, 0.3, 0.5, method, 0.3)
    assert kept.tolist() == expected
    assert values.tolist() == pytest.approx(lowered, abs=1e-6)
    apart = torch.arange(6.0)[:, None] * 5 + torch.tensor([0.0, 0, 1, 1])
    assert ops.soft_nms(apart, torch.full((6,), 0.5), method=method)[0].tolist() == list(range(6))


@kernel
@METHODS
@pytest.mark.parametrize("road", ["auto", "torch"])
def test_equal_scores_equal_boxes_and_nan(road, method) -> None:
    nan = float("nan")
    boxes = torch.tensor(
        [[0.0, 0, 4, 4], [9.0, 9, 12, 12], [0.0, 0, 4, 4], [nan, 0, 4, 4], [0.0, 0, 4, 4], [2, 2, 2, 4]]
    )
    scores = torch.tensor([0.5, 0.5, 0.5, 0.4, nan, 0.3])
    with ops.kernels(road):
        kept, values = ops.soft_nms(boxes, scores, sigma=0.5, method=method, min_score=0.01)
    # The equal box loses all by 1 - IoU, and by e^-2 with the Gaussian; empty and NaN boxes overlap nothing.
    assert kept.tolist() == ([0, 1, 3, 5, 2] if method == "gaussian" else [0, 1, 3, 5])
    assert values.tolist()[:4] == pytest.approx([0.5, 0.5, 0.4, 0.3])


@kernel
@METHODS
@pytest.mark.parametrize("road", ["auto", "torch"])
def test_without_a_least_score_every_box_is_taken_once(road, method) -> None:
    boxes, scores, _ = problem(5, 7, side=20)
    with ops.kernels(road):
        kept, _ = ops.soft_nms(boxes, scores, method=method, min_score=-math.inf)
    assert sorted(kept.tolist()) == [0, 1, 2, 3, 4]


@kernel
def test_every_score_is_read_by_one_thread(monkeypatch) -> None:
    """Fewer scores than the 128 threads would be held twice, and one copy read after the other was lowered."""
    from striate.core.kernels import launch

    seen = []
    monkeypatch.setattr(launch, "run", lambda *args, T, num_warps=4, **keywords: seen.append((T, num_warps)))
    for count in (1, 100, 200, 5000):
        boxes, scores, _ = problem(count, 7, side=20)
        torch.ops.striate.soft_nms(boxes, scores, 0.3, 0.5, True, 0.1)
    assert seen == [(128, 4), (128, 4), (256, 4), (1024, 4)]


@METHODS
def test_torch_road_equals_opencv(method) -> None:
    boxes, scores, _ = problem(60, 9)
    boxes = boxes.round()  # OpenCV wants whole pixels here
    sides = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1).int().tolist()
    kind = cv2.dnn.SOFT_NMSMETHOD_SOFTNMS_GAUSSIAN if method == "gaussian" else cv2.dnn.SOFT_NMSMETHOD_SOFTNMS_LINEAR
    lowered, kept = cv2.dnn.softNMSBoxes(sides, scores.tolist(), 0.05, 0.3, 0, 0.5, kind)
    with ops.kernels("torch"):
        ours, values = ops.soft_nms(boxes.double(), scores.double(), 0.3, 0.5, method, 0.05)
    assert ours.tolist() == np.ravel(kept).tolist()
    np.testing.assert_allclose(values, np.ravel(lowered), atol=1e-6)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"method": "gausian"}, "method to be one of gaussian, linear; got 'gausian'; did you mean 'gaussian'"),
        ({"sigma": 0}, "sigma to be a positive number; got 0"),
        ({"iou_threshold": 2}, "iou_threshold to lie between 0 and 1; got 2"),
    ],
    ids=["method", "sigma", "threshold"],
)
def test_errors_say_what_was_expected(keywords, words) -> None:
    with pytest.raises(UsageError, match=words):
        ops.soft_nms(torch.zeros(2, 4), torch.zeros(2), **keywords)


def test_a_gradient_is_refused() -> None:
    with pytest.raises(UsageError, match="boxes and scores without a gradient; got some that require one; detach them"):
        ops.soft_nms(torch.zeros(2, 4), torch.zeros(2, requires_grad=True))


@pytest.mark.compile
def test_no_product_is_contracted(monkeypatch) -> None:
    """One rounding instead of two, in area + w h, would let the roads keep different boxes."""
    from striate.core.kernels import launch
    from striate.tests.core import test_compile as tier

    launches = []

    def note(kernel, grid, *args, num_warps=4, num_stages=3, **constants) -> None:
        launches.append(tier.Launch(kernel, args, {"num_warps": num_warps, "num_stages": num_stages}, constants))

    monkeypatch.setattr(launch, "run", note)
    monkeypatch.setattr(ops.switch, "uses_triton", lambda x: True)
    for count in (100, 2000):
        ops.nms_padded(torch.zeros(1, count, 4), torch.zeros(1, count), 0.5)
    ops.box_iou(torch.zeros(9, 4), torch.zeros(9, 4))
    texts = {entry.kernel.__name__: tier.compile_launch(entry, 90).ptx for entry in launches}
    for name in ("nms_greedy", "nms_matrix", "box_iou_forward"):
        assert "mul.rn" in texts[name]
        assert "fma" not in texts[name]
    assert "div.rn" in texts["box_iou_forward"]
    assert "div.full" not in texts["box_iou_forward"]  # one more unit in the last place
