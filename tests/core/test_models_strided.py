"""The network of strided convolutions."""

import pytest
import torch
from torch import nn

from striate.core.checks import UsageError
from striate.core.models import build, summarize


def test_it_is_the_papers_network_with_its_linear_layer_written_as_a_convolution() -> None:
    ours = build("strided", 10)
    theirs = nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    values = [value.flatten() for value in ours.state_dict().values()]
    like = theirs.state_dict()
    theirs.load_state_dict({name: v.view_as(like[name]) for name, v in zip(like, values, strict=True)})
    images = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(ours(images), theirs(images))
    assert summarize(ours, (1, 28, 28)).parameters == 166_406


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (30, 1), (4, 1)], ids=["digits", "colour", "30", "4"])
def test_it_reads_the_whole_map_of_any_size(side: int, channels: int) -> None:
    network = build("strided", 5, channels, side, widths=(4, 8, 6))
    assert network(torch.rand(2, channels, side, side)).shape == (2, 5)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="three widths, of two convolutions and of a layer"):
        build("strided", 10, widths=(16, 32))
    with pytest.raises(UsageError, match="image_size to be a whole number, 4 or more"):
        build("strided", 10, image_size=3)
