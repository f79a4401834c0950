"""Overlap of boxes: both roads against plain Python, pycocotools and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from striate.core import ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel


def random_boxes(count: int, seed: int, side: float = 100) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, side, (count, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(1, side / 2, (count, 2))), axis=1)
    return torch.from_numpy(boxes).float().to(torch.get_default_device())


RAW = {"box_iou": lambda: (random_boxes(5, 0), random_boxes(3, 1), True)}

COMPILE = {
    "overlap over the union": (lambda a, b: ops.box_iou(a.detach(), b.detach()), ((100, 4), (2000, 4))),
    "overlap over the second": (lambda a, b: ops.box_iou(a.detach(), b.detach(), "second"), ((100, 4), (2000, 4))),
    "overlap, int64 offsets": (
        lambda a, b: ops.box_iou(a.detach(), b.detach()), ((100, 4), (2000, 4)), {"wide": True, "dtype": torch.float32},
    ),
}  # fmt: skip

DEGENERATE = torch.tensor(
    [
        [0.0, 0, 10, 10],
        [5.0, 5, 5, 9],  # no width
        [10.0, 10, 0, 0],  # inside out: no area
        [0.0, 0, 10, 10],
        [float("nan"), 0, 10, 10],
        [10.0, 0, 20, 10],  # touches the first
    ]
)


def plain(a: list[float], b: list[float], over: str) -> float:
    if np.isnan([*a, *b]).any():
        return float("nan")
    inter = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [max(0, c[2] - c[0]) * max(0, c[3] - c[1]) for c in (a, b)]
    whole = areas[0] + areas[1] - inter if over == "union" else areas[1]
    return inter / whole if whole else 0.0


@pytest.mark.parametrize("over", ["union", "second"])
def test_torch_road_equals_pycocotools(over) -> None:
    first, second = random_boxes(30, 0), random_boxes(20, 1)
    widths = [torch.cat((b[:, :2], b[:, 2:] - b[:, :2]), 1).numpy() for b in (first.double(), second.double())]
    crowd = np.full(20 if over == "union" else 30, over == "second", np.uint8)
    theirs = coco_mask.iou(*widths, crowd) if over == "union" else coco_mask.iou(widths[1], widths[0], crowd).T
    with ops.kernels("torch"):
        np.testing.assert_allclose(ops.box_iou(first, second, over).numpy(), theirs, atol=1e-6)
        exact = ops.box_iou(first.double(), second.double(), over)
    assert exact.dtype == torch.float64
    np.testing.assert_allclose(exact.numpy(), theirs, atol=1e-12)


@kernel
@pytest.mark.parametrize("over", ["union", "second"])
@pytest.mark.parametrize("shape", [(40, 23), (1, 70), (17, 1)], ids=["uneven", "one row", "one column"])
def test_both_roads_agree_to_the_last_bit(small_tiles, over, shape) -> None:
    first, second = random_boxes(shape[0], 2), random_boxes(shape[1], 3)
    found = ops.box_iou(first, second, over)
    assert small_tiles.names == ["box_iou_forward"]
    with ops.kernels("torch"):
        assert torch.equal(found, ops.box_iou(first, second, over))


@kernel
@pytest.mark.parametrize("road", ["triton", "torch"])
@pytest.mark.parametrize("over", ["union", "second"])
def test_degenerate_boxes_are_defined(road, over) -> None:
    boxes = DEGENERATE.to(torch.get_default_device())
    with ops.kernels(road):
        found = ops.box_iou(boxes, boxes, over).cpu()
    expected = [[plain(a, b, over) for b in boxes.tolist()] for a in boxes.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, device="cpu"), rtol=0, atol=0, equal_nan=True)


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_boxes_give_float32_overlaps(dtype) -> None:
    first, second = random_boxes(9, 4).to(dtype), random_boxes(7, 5).to(dtype)
    found = ops.box_iou(first, second)
    assert found.dtype == torch.float32
    with ops.kernels("torch"):
        assert torch.equal(found, ops.box_iou(first.float(), second.float()))
        assert torch.equal(found, ops.box_iou(first, second))


@kernel
def test_int64_offsets_and_strides(monkeypatch, small_tiles) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    first, second = random_boxes(40, 6)[::2], random_boxes(20, 7).T.contiguous().T
    found = ops.box_iou(first, second)
    with ops.kernels("torch"):
        assert torch.equal(found, ops.box_iou(first, second))


@kernel
def test_no_boxes(count_launches) -> None:
    some, none = random_boxes(3, 8), torch.zeros(0, 4)
    for road in ("auto", "torch"):
        with ops.kernels(road):
            assert ops.box_iou(some, none).shape == (3, 0)
            assert ops.box_iou(none, some).shape == (0, 3)
    assert count_launches.names == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda b: ops.box_iou(b, b, "first"), "over to be one of union, second; got 'first'"),
        (lambda b: ops.box_iou(b, b[:, :3]), r"boxes \(M, 4\) and \(N, 4\) of floats; got float32 \(3, 3\)"),
        (lambda b: ops.box_iou(b.long(), b), r"of floats; got int64 \(3, 4\)"),
        (lambda b: ops.box_iou(b, b.requires_grad_()), "boxes without a gradient; got boxes that require one; detach"),
    ],
    ids=["over", "shape", "integers", "gradient"],
)
def test_errors_say_what_was_expected(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call(random_boxes(3, 9))
    with torch.no_grad():
        boxes = random_boxes(3, 9).requires_grad_()
        assert not ops.box_iou(boxes, boxes).requires_grad
