"""RoI align and pooling: both roads against plain loops after torchvision's definition; the kernels' gradients."""

from __future__ import annotations

from math import ceil, floor

import pytest
import torch

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel
ROADS = pytest.mark.parametrize("road", ["torch", pytest.param("auto", marks=kernel)], ids=["torch", "kernels"])

# (image, x1, y1, x2, y2), in numbers that float32 holds exactly: inside, partly outside, outside, thin, upside down
BOXES = (
    (0, 0.5, 1.25, 5.5, 6.0), (1, -2.0, -3.0, 3.25, 4.0), (0, 4.0, 4.0, 30.0, 20.0), (1, 2.5, 1.5, 2.5, 6.5),
    (1, 40.0, 40.0, 50.0, 50.0), (0, 5.0, 6.0, 2.0, 3.0), (1, 0.0, 0.0, 7.0, 7.0),
)  # fmt: skip


def boxes() -> torch.Tensor:
    return torch.tensor(BOXES)


RAW = {
    "roi_align": lambda: (torch.randn(2, 4, 7, 8).requires_grad_(), boxes(), [2, 3], 0.5, 2, True),
    "roi_align_gradient": lambda: (torch.randn(7, 4, 2, 3), boxes(), [2, 4, 7, 8], 0.5, 2, True, True),
    "roi_pool": lambda: (torch.randn(2, 4, 7, 8).requires_grad_(), boxes(), [2, 3], 0.5),
    "roi_pool_gradient": lambda: (
        torch.randn(7, 4, 2, 3), boxes(), torch.zeros(7, 4, 2, 3, dtype=torch.int32), [2, 4, 7, 8], True,
    ),
}  # fmt: skip


def in_order(function):
    def ordered(x, boxes):
        torch.use_deterministic_algorithms(True)
        try:
            y = function(x, boxes)
            return torch.autograd.grad(y, x, torch.empty_like(y))[0].detach()
        finally:
            torch.use_deterministic_algorithms(False)

    return ordered


SHAPES = ((2, 64, 64, 64), (128, 5))
COMPILE = {
    "roi align": (lambda x, b: ops.roi_align(x, b, 7, 0.25), SHAPES),
    "roi align, two samples": (lambda x, b: ops.roi_align(x, b, 7, 0.25, 2, True), SHAPES, {"dtype": torch.float32}),
    "roi align, in order": (in_order(lambda x, b: ops.roi_align(x, b, 7)), SHAPES),
    "roi pool": (lambda x, b: ops.roi_pool(x, b, 7, 0.25), SHAPES),
    "roi pool, in order": (in_order(lambda x, b: ops.roi_pool(x, b, 7)), SHAPES),
}


def bilinear(x, h, v):
    """Read (C, H, W) at one point as torchvision's bilinear_interpolate does."""
    height, width = x.shape[1:]
    if h < -1 or h > height or v < -1 or v > width:
        return x.new_zeros(x.shape[0])
    h, v = max(h, 0.0), max(v, 0.0)
    h0, v0 = int(h), int(v)
    h1, v1 = h0 + 1, v0 + 1
    if h0 >= height - 1:
        h0 = h1 = height - 1
        h = float(h0)
    if v0 >= width - 1:
        v0 = v1 = width - 1
        v = float(v0)
    a, b = h - h0, v - v0
    return (1 - a) * ((1 - b) * x[:, h0, v0] + b * x[:, h0, v1]) + a * ((1 - b) * x[:, h1, v0] + b * x[:, h1, v1])


def align_by_loops(x, boxes, size, scale, ratio, aligned):
    out = x.new_zeros((len(boxes), x.shape[1], *size))
    for k, (image, *corners) in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0) for c in corners)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        gh, gw = (ratio, ratio) if ratio > 0 else (ceil(height / size[0]), ceil(width / size[1]))
        for i in range(size[0]):
            for j in range(size[1]):
                for a in range(gh):
                    for b in range(gw):
                        h = y1 + i * height / size[0] + (a + 0.5) * height / size[0] / gh
                        v = x1 + j * width / size[1] + (b + 0.5) * width / size[1] / gw
                        out[k, :, i, j] += bilinear(x[int(image)], h, v) / max(gh * gw, 1)
    return out


def pool_by_loops(x, boxes, size, scale):
    def rounded(v):
        return int(abs(v) + 0.5) * (1 if v >= 0 else -1)

    out = x.new_zeros((len(boxes), x.shape[1], *size))
    for k, (image, *corners) in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (rounded(c * scale) for c in corners)
        step_h, step_w = max(y2 - y1 + 1, 1) / size[0], max(x2 - x1 + 1, 1) / size[1]
        for i in range(size[0]):
            for j in range(size[1]):
                rows = [min(max(y1 + e, 0), x.shape[2]) for e in (floor(i * step_h), ceil((i + 1) * step_h))]
                columns = [min(max(x1 + e, 0), x.shape[3]) for e in (floor(j * step_w), ceil((j + 1) * step_w))]
                part = x[int(image), :, rows[0] : rows[1], columns[0] : columns[1]].flatten(1)
                if part.numel():
                    out[k, :, i, j] = part.max(1).values
    return out


@ROADS
@pytest.mark.parametrize("aligned", [False, True], ids=["as it was", "aligned"])
@pytest.mark.parametrize(("ratio", "scale"), [(-1, 1.0), (2, 0.5), (0, 0.25)])
def test_align_is_torchvisions(ratio, scale, aligned, road) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 8)
    with ops.kernels(road):
        found = ops.roi_align(x, boxes(), (2, 3), scale, ratio, aligned)
    expected = align_by_loops(x.double(), boxes(), (2, 3), scale, ratio, aligned)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@ROADS
@pytest.mark.parametrize(("size", "scale"), [((2, 3), 1.0), ((3, 2), 0.5), ((7, 7), 0.25), ((1, 1), 1.0)])
def test_pool_is_torchvisions(size, scale, road) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 8)
    with ops.kernels(road):
        found = ops.roi_pool(x, boxes(), size, scale)
    assert torch.equal(found, pool_by_loops(x, boxes(), size, scale))


FUNCTIONS = {
    "align": lambda x: ops.roi_align(x, boxes().to(x.dtype), (2, 3), 0.5),
    "align, two samples": lambda x: ops.roi_align(x, boxes().to(x.dtype), 2, 1.0, 2, True),
    "pool": lambda x: ops.roi_pool(x, boxes().to(x.dtype), (2, 3), 0.5),
}


@kernel
@pytest.mark.parametrize("ordered", [False, True], ids=["atomics", "in order"])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_gradients_agree_with_float64(function, ordered) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 8).requires_grad_()
    torch.use_deterministic_algorithms(ordered)
    try:
        assert_exact_enough(function, [x], terms=64)  # worst seen: 0.05 of the tolerance
    finally:
        torch.use_deterministic_algorithms(False)


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_half_precision(function, dtype) -> None:
    torch.manual_seed(0)
    assert_exact_enough(function, [torch.randn(2, 5, 7, 8).to(dtype).requires_grad_()], terms=64)


@kernel
def test_many_programs_strides_and_int64_offsets(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    x = torch.randn(2, 20, 7, 16)[..., ::2].requires_grad_()
    for function in FUNCTIONS.values():
        assert_exact_enough(function, [x], terms=64)


@ROADS
@pytest.mark.parametrize("aligned", [False, True], ids=["as it was", "aligned"])
def test_boxes_far_larger_than_the_map_are_torchvisions(aligned, road) -> None:
    torch.manual_seed(0)
    x, far = torch.randn(2, 5, 7, 8), torch.tensor([[0, -20.0, -9.5, 40.0, 33.0], [1, 3.0, -70.0, 90.0, 4.0]])
    with ops.kernels(road):
        found = ops.roi_align(x, far, (1, 2), aligned=aligned)
    expected = align_by_loops(x.double(), far, (1, 2), 1.0, -1, aligned)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)


@kernel
def test_a_wild_box_costs_no_more_than_the_map_has_pixels() -> None:
    """It has 10^9 samples a row, at 0.5, 1.5, ...; 8 of them are on the map."""
    x = torch.ones(1, 2, 7, 8).requires_grad_()
    y = ops.roi_align(x, torch.tensor([[0, 0.0, 0.0, 1e9, 7.0]]), 1)
    assert y.flatten().tolist() == pytest.approx([8e-9] * 2)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert slope.sum().item() == pytest.approx(1.6e-8)


@ROADS
def test_boxes_by_image_none_and_where_there_is_no_image(road) -> None:
    x = torch.randn(2, 3, 5, 6).requires_grad_()
    with ops.kernels(road):
        for function in (ops.roi_align, ops.roi_pool):
            listed = [torch.tensor([[1.0, 1, 4, 4]]), torch.tensor([[0.0, 0, 2, 3], [2, 2, 5, 4]])]
            rows = torch.tensor([[0.0, 1, 1, 4, 4], [1, 0, 0, 2, 3], [1, 2, 2, 5, 4]])
            assert torch.equal(function(x, listed, 2), function(x, rows, 2))
            none = function(x, torch.zeros(0, 5), 2)
            assert none.shape == (0, 3, 2, 2)
            away = torch.tensor([[2.0, 0, 0, 3, 3], [-1, 0, 0, 3, 3], [0, float("nan"), 0, 3, 3]])
            away = torch.cat((away, torch.tensor([[0, 0, 0, float("inf"), 3], [0, 0, float("-inf"), 3, 3]])))
            y = function(x, away, 2)
            assert not y.any()
            (slope,) = torch.autograd.grad(y.sum(), x)
            assert not slope.any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ops.roi_align(x, torch.zeros(3, 4), 2), r"boxes \(K, 5\) on cpu; got \(3, 4\)"),
        (lambda x: ops.roi_pool(x, [torch.zeros(3, 4)], 2), r"boxes \(L, 4\) for each of 2 images; got 1 of shapes"),
        (lambda x: ops.roi_pool(x[:, :, :0], torch.zeros(3, 5), 2), "a map .* with pixels"),
        (lambda x: ops.roi_align(x, torch.zeros(3, 5), 0), "at least one bin each way; got 0"),
    ],
    ids=["columns", "images", "empty", "bins"],
)
def test_errors(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call(torch.zeros(2, 3, 5, 6))


def test_layers() -> None:
    x = torch.randn(2, 3, 5, 6)
    assert torch.equal(layers.RoIAlign(2, 0.5, 2, True)(x, boxes()), ops.roi_align(x, boxes(), 2, 0.5, 2, True))
    assert torch.equal(layers.RoIPool((2, 3), 0.5)(x, boxes()), ops.roi_pool(x, boxes(), (2, 3), 0.5))
