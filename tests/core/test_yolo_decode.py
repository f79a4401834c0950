"""Decoding of an anchor-free head against plain formulas; both roads give the same candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from striate.core import ops
from striate.core.checks import UsageError
from striate.core.testing import tolerance

kernel = pytest.mark.kernel
STRIDES = (8, 16, 32)


def maps(images=2, classes=3, bins=16, sides=((4, 5), (2, 3), (1, 2)), seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def plane(channels, side):
        values = 3 * torch.randn((images, channels, *side), generator=generator, device="cpu")
        return values.to(dtype).to(torch.get_default_device())

    return [(plane(4 * bins, side), plane(classes, side)) for side in sides]


RAW = {
    "yolo_decode": lambda: ([d for d, _ in maps()], [c for _, c in maps()], [8, 16, 32], 0.3, True),
}


def decode(distances, classes, **keywords):
    return ops.yolo_decode([(distances.detach(), classes.detach())], [8], 0.3, **keywords)


SHAPES = ((1, 64, 80, 80), (1, 80, 80, 80))
COMPILE = {
    "yolo decode": (decode, SHAPES),
    "yolo decode, fp32": (decode, SHAPES, {"dtype": torch.float32}),
    "yolo decode, one class": (decode, (SHAPES[0], (1, 1, 80, 80))),
    "yolo decode, every class": (lambda d, c: decode(d, c, multi_label=True), SHAPES),
    "yolo decode, 10 bins, int64 offsets": (decode, ((1, 40, 80, 80), SHAPES[1]), {"wide": True}),
}


def plain(levels, confidence, multi_label, image):
    """(score, class, box) of every answer, best first, in float64."""
    answers = []
    for (distances, classes), stride in zip(levels, STRIDES, strict=False):
        p = expit(classes[image].double().cpu().numpy())
        d = distances[image].double().cpu().numpy()
        d = d.reshape(4, len(d) // 4, *d.shape[1:])
        reach = (softmax(d, axis=1) * np.arange(d.shape[1])[:, None, None]).sum(1) * stride
        for y, x in np.ndindex(p.shape[1:]):
            cx, cy, (left, top, right, bottom) = (x + 0.5) * stride, (y + 0.5) * stride, reach[:, y, x]
            for k in range(len(p)) if multi_label else [int(p[:, y, x].argmax())]:
                if p[k, y, x] >= confidence:
                    answers.append((p[k, y, x], k, (cx - left, cy - top, cx + right, cy + bottom)))
    return sorted(answers, key=lambda answer: -answer[0])


def assert_agrees(found, levels, confidence, multi_label=False, dtype=torch.float32):
    for image in range(len(levels[0][0])):
        answers, count = plain(levels, confidence, multi_label, image), int(found.counts[image])
        assert count == len(answers)
        assert found.class_ids[image, :count].tolist() == [k for _, k, _ in answers]
        scores, boxes = found.scores[image, :count].cpu(), found.boxes[image, :count].cpu()
        np.testing.assert_allclose(scores, [p for p, _, _ in answers], rtol=0, atol=tolerance(torch.float32))
        # Coordinates up to 15 strides of 32 pixels, sums of 16 terms; seen: 0.06 of the tolerance.
        limit = tolerance(torch.float32, 16) * 512
        np.testing.assert_allclose(boxes, np.array([b for *_, b in answers]).reshape(-1, 4), rtol=0, atol=limit)


CASES = {
    "three levels": {},
    "one class": {"classes": 1},
    "more classes than a tile": {"classes": 70, "sides": ((2, 3),)},
    "10 bins": {"bins": 10},
    "one cell": {"images": 1, "sides": ((1, 1),)},
    "one level without cells": {"sides": ((2, 3), (0, 3))},
}


@kernel
@pytest.mark.parametrize("road", ["auto", "torch"])
@pytest.mark.parametrize("multi_label", [False, True], ids=["best class", "every class"])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_plain_formulas(name, multi_label, road) -> None:
    levels = maps(**CASES[name])
    with ops.kernels(road):
        found = ops.yolo_decode(levels, STRIDES[: len(levels)], 0.4, multi_label=multi_label)
    answers = sum(d.shape[2] * d.shape[3] for d, _ in levels) * (levels[0][1].shape[1] if multi_label else 1)
    assert found.boxes.shape == (len(levels[0][0]), answers, 4)
    assert_agrees(found, levels, 0.4, multi_label)


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_maps_are_decoded_in_float32(dtype) -> None:
    levels = maps(dtype=dtype, seed=4)
    found = ops.yolo_decode(levels, STRIDES, 0.4)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert_agrees(found, levels, 0.4)


@kernel
@pytest.mark.parametrize("multi_label", [False, True], ids=["best class", "every class"])
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch, multi_label) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    levels = [(d.transpose(2, 3), c.transpose(2, 3)) for d, c in maps(seed=2)]
    found = ops.yolo_decode(levels, STRIDES, 0.4, multi_label=multi_label)
    assert small_tiles.names == ["yolo_decode_forward"] * 3
    assert_agrees(found, levels, 0.4, multi_label)


@kernel
@pytest.mark.parametrize("road", ["auto", "torch"])
@pytest.mark.parametrize("multi_label", [False, True], ids=["best class", "every class"])
def test_at_most_so_many_the_best_first_ties_in_order(road, multi_label) -> None:
    levels = maps(images=1, classes=2, sides=((3, 4),))
    levels[0][1].copy_(torch.arange(12).remainder(3).reshape(3, 4) - 1)  # three probabilities, in both classes
    with ops.kernels(road):
        found = ops.yolo_decode(levels, [8], 0.4, multi_label=multi_label, max_candidates=5)
        everything = ops.yolo_decode(levels, [8], 0.4, multi_label=multi_label)
    assert found.scores.shape == (1, 5)
    assert found.counts.tolist() == [5]
    assert everything.counts.tolist() == [16 if multi_label else 8]
    assert torch.equal(found.boxes, everything.boxes[:, :5])
    assert found.class_ids.tolist() == [[0, 1, 0, 1, 0] if multi_label else [0] * 5]


@kernel
def test_of_equal_classes_the_first_answers() -> None:
    levels = maps(images=1, classes=70, sides=((2, 2),))  # 70: in two tiles
    levels[0][1].fill_(1.0)[:, :2] = 0.0
    found = ops.yolo_decode(levels, [8], 0.4)
    assert found.class_ids.tolist() == [[2] * 4]


@kernel
@pytest.mark.parametrize("road", ["auto", "torch"])
@pytest.mark.parametrize("multi_label", [False, True], ids=["best class", "every class"])
def test_nan_is_not_found(road, multi_label) -> None:
    levels = maps(images=1, classes=2, sides=((1, 3),))
    levels[0][1].copy_(torch.tensor([[[float("nan"), 1.0, 3.0]], [[2.0, -30.0, float("nan")]]]))
    with ops.kernels(road):
        found = ops.yolo_decode(levels, [8], 0.0, multi_label=multi_label)
    # torch's maximum over the classes is NaN where one is
    assert found.counts.tolist() == [4 if multi_label else 1]
    assert found.class_ids[0, : found.counts[0]].tolist() == ([0, 1, 0, 1] if multi_label else [0])


@kernel
@pytest.mark.parametrize("road", ["auto", "torch"])
def test_no_image_and_nothing_found(road) -> None:
    with ops.kernels(road):
        assert ops.yolo_decode(maps(images=0), STRIDES, 0.5).boxes.shape == (0, 28, 4)
        assert ops.yolo_decode(maps(), STRIDES, 1.0).counts.tolist() == [0, 0]


def level(distances=(1, 64, 2, 2), classes=(1, 3, 2, 2)):
    return torch.zeros(distances), torch.zeros(classes)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.yolo_decode([level()], [8], 1.5), "confidence to lie between 0 and 1; got 1.5"),
        (lambda: ops.yolo_decode([level()], [8], 0.5, max_candidates=0), "max_candidates to be a positive number"),
        (lambda: ops.yolo_decode([level()], [8, 16], 0.5), "a stride for each level; got 2 for 1"),
        (lambda: ops.yolo_decode([], [], 0.5), "a stride for each level; got 0 for 0"),
        (lambda: ops.yolo_decode([level((1, 64, 2))], [8], 0.5), r"maps \(N, 4 \* bins, h, w\) and \(N, C, h, w\)"),
        (lambda: ops.yolo_decode([level((1, 64, 2, 3))], [8], 0.5), "one batch, one number of bins and of classes"),
        (lambda: ops.yolo_decode([level((1, 63, 2, 2))], [8], 0.5), r"4 \* bins channels.*got \(1, 63, 2, 2\)"),
        (
            lambda: ops.yolo_decode([(torch.zeros(1, 64, 2, 2, requires_grad=True), level()[1])], [8], 0.5),
            r"maps without a gradient; got maps that require one; decode under torch\.no_grad\(\)",
        ),
    ],
    ids=["confidence", "limit", "strides", "no level", "dimensions", "sizes", "bins", "gradient"],
)
def test_errors_say_what_was_expected(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call()
