"""Averages over views, by hand."""

import pytest
import torch
from torch import Tensor

from striate.core.checks import UsageError
from striate.core.views import over_views


def scores(images: Tensor) -> Tensor:
    """Three numbers that know where things are."""
    weights = torch.linspace(-1, 1, 3 * images[0].numel(), dtype=images.dtype).reshape(-1, 3)
    return images.flatten(1) @ weights


def test_one_is_the_picture_alone() -> None:
    images = torch.rand(2, 3, 6, 5)
    assert torch.equal(over_views(scores, images, "one"), scores(images))


def test_flip_is_the_mean_with_the_mirror_image() -> None:
    images = torch.rand(2, 3, 6, 5)
    expected = scores((images + torch.flip(images, (3,))) / 2)
    torch.testing.assert_close(over_views(scores, images, "flip"), expected)


def test_shift_adds_both_corners_with_the_border_mirrored() -> None:
    x = torch.rand(2, 1, 6, 5)
    lower_right = torch.cat((x[:, :, 1:2], x[:, :, :-1]), 2)
    lower_right = torch.cat((lower_right[..., 1:2], lower_right[..., :-1]), 3)
    upper_left = torch.cat((x[:, :, 1:], x[:, :, -2:-1]), 2)
    upper_left = torch.cat((upper_left[..., 1:], upper_left[..., -2:-1]), 3)
    views = [(x, 1 / 4), (lower_right, 1 / 8), (upper_left, 1 / 8)]
    expected = sum(share * (scores(one) + scores(one.flip(3))) for one, share in views)
    torch.testing.assert_close(over_views(scores, x, "shift"), expected)


def test_views_that_are_not_known_are_refused() -> None:
    with pytest.raises(
        UsageError, match="expected views to be one of one, flip, shift; got 'flips'; did you mean 'flip'"
    ):
        over_views(scores, torch.rand(1, 3, 6, 5), "flips")
