"""Letterbox: pixels and boxes go to the canvas and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.core.checks import UsageError
from striate.core.images import letterbox
from striate.core.letterbox import plan_letterbox

sides = st.integers(1, 3000)


def test_known_case() -> None:
    canvas, plan = letterbox(np.full((50, 100, 3), 7, np.uint8), (64, 64))
    assert (plan.scale, plan.pad_left, plan.pad_top, plan.height, plan.width) == (0.64, 0, 16, 64, 64)
    assert canvas.shape == (64, 64, 3)
    assert (canvas[16:48] == 7).all()
    assert (canvas[:16] == 114).all()
    assert (canvas[48:] == 114).all()
    moved = plan.to_canvas(np.array([[0, 0, 100, 50], [10, 10, 20, 20]]))
    np.testing.assert_allclose(moved, [[0, 16, 64, 48], [6.4, 22.4, 12.8, 28.8]], rtol=1e-6)
    assert moved.dtype == np.float32


def test_fill() -> None:
    canvas, _ = letterbox(np.zeros((10, 20, 3), np.uint8), (20, 20), fill=200)
    assert canvas[0, 0, 0] == 200


@pytest.mark.parametrize("shape", [(1, 1, 3), (10, 20000, 3), (20000, 10, 3), (7, 7, 3)])
def test_extreme_shapes_keep_a_pixel(shape: tuple[int, int, int]) -> None:
    canvas, plan = letterbox(np.full(shape, 255, np.uint8), (416, 416))
    assert canvas.shape == (416, 416, 3)
    assert (canvas == 255).all(axis=2).sum() == plan.fitted[0] * plan.fitted[1] >= 1
    whole = np.array([[0, 0, shape[1], shape[0]]])
    np.testing.assert_allclose(plan.to_original(plan.to_canvas(whole)), whole, rtol=1e-5)


@given(sides, sides, sides, sides, st.data())
def test_there_and_back(height: int, width: int, canvas_height: int, canvas_width: int, data: st.DataObject) -> None:
    plan = plan_letterbox((height, width), (canvas_height, canvas_width))
    fitted_height, fitted_width = plan.fitted
    assert fitted_height == canvas_height or fitted_width == canvas_width
    assert 0 <= plan.pad_top <= canvas_height - fitted_height
    assert 0 <= plan.pad_left <= canvas_width - fitted_width
    xs = sorted(data.draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    ys = sorted(data.draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    boxes = np.array([[xs[0], ys[0], xs[1], ys[1]]])
    moved = plan.to_canvas(boxes)
    assert (moved >= -1e-3).all()
    assert (moved <= np.array([canvas_width, canvas_height] * 2) * (1 + 1e-6)).all()
    # float32 on the canvas: 2^-24 of the canvas side, times the scale back.
    tolerance = 2**-22 * max(canvas_height, canvas_width) * max(height / fitted_height, width / fitted_width) + 1e-3
    np.testing.assert_allclose(plan.to_original(moved), boxes, atol=tolerance)


def test_to_original_clips_and_no_boxes_stay_no_boxes() -> None:
    plan = plan_letterbox((50, 100), (64, 64))
    assert plan.to_original(np.array([[-5, -5, 99, 99]])).tolist() == [[0, 0, 100, 50]]
    assert plan.to_canvas(np.zeros((0, 4))).shape == (0, 4)
    assert plan.to_original([]).shape == (0, 4)  # type: ignore[arg-type]


def test_refusals() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        plan_letterbox((0, 5), (64, 64))
    with pytest.raises(UsageError, match=r"boxes of shape \(N, 4\); got shape \(4,\)"):
        plan_letterbox((5, 5), (64, 64)).to_canvas(np.zeros(4))
