"""The likeliest class, found without resizing what is clear, beside torch's argmax of everything resized."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.segmentation import likeliest as module
from striate.segmentation.likeliest import likeliest, likeliest_resized


def scores(height: int, width: int, classes: int = 5, coarse: int = 4) -> Tensor:
    """Scores in which neighbours mostly agree."""
    rng = np.random.default_rng(height * width)
    blocks = rng.standard_normal((classes, height // coarse + 1, width // coarse + 1))
    whole = np.repeat(np.repeat(blocks, coarse, 1), coarse, 2)[:, :height, :width]
    return torch.from_numpy((whole + 0.1 * rng.standard_normal(whole.shape)).astype(np.float32))


def dense(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """All scores resized by torch itself, in float64."""
    whole = nn.functional.interpolate(values[None].double(), size=size, mode="bilinear", align_corners=False)
    return whole[0].argmax(0).numpy().astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "step"),
    [(12, 17, 4), (1, 1, 32), (1, 9, 2), (7, 1, 8), (5, 6, 16), (24, 30, 2)],
    ids=["pyramid", "one cell", "one row", "one column", "fcn16s", "fine"],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_argmax_of_all_scores_resized(
    height: int, width: int, step: int, layout: torch.memory_format
) -> None:
    values, size = scores(height, width), (height * step, width * step)
    found = likeliest_resized(values[None].contiguous(memory_format=layout)[0], size)
    assert (found.dtype, found.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(found, dense(values, size))


@pytest.mark.parametrize("size", [(12, 17), (36, 51), (50, 70), (48, 69)], ids=["1", "3", "no multiple", "two steps"])
def test_other_ratios_are_resized_whole(size: tuple[int, int]) -> None:
    values = scores(12, 17)
    np.testing.assert_array_equal(likeliest_resized(values, size), dense(values, size))


def test_only_where_classes_meet_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    values, seen = torch.zeros(3, 20, 30), []
    values[1, :, 15:] = 1
    between = module._between

    def counted(cells: np.ndarray, y: np.ndarray, x: np.ndarray, step: int) -> np.ndarray:
        seen.append(len(y))
        return between(cells, y, x, step)

    monkeypatch.setattr(module, "_between", counted)
    found = likeliest_resized(values, (80, 120))
    np.testing.assert_array_equal(found, dense(values, (80, 120)))
    assert seen == [21]  # one column of squares, half a cell beyond the picture at both ends


def test_squares_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1000)
    values = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 13, 11)).astype(np.float32))
    np.testing.assert_array_equal(likeliest_resized(values, (52, 44)), dense(values, (52, 44)))


def test_of_equal_values_the_first_class() -> None:
    values = torch.tensor([[0.0, 1.0, 2.0, -3.0], [0.0, 2.0, 2.0, -3.0], [-1.0, 2.0, 1.0, -2.0]])
    np.testing.assert_array_equal(likeliest(values), [0, 1, 0, 2])
    np.testing.assert_array_equal(likeliest(values[:1]), [0, 0, 0, 0])
