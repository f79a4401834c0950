"""A classifier made convolutional gives the scores of sliding it."""

import pytest
import torch
from torch import nn

from striate.core.checks import UsageError
from striate.core.layers import AdaptiveAvgPool2d, Conv2d, Linear, MaxPool2d, ReLU
from striate.core.models import MODELS, build
from striate.segmentation.convolutional import convolutionalize


class Unpadded(nn.Module):
    """Takes 20 x 24 pixels, stride 4, nothing padded: a window sees the window only."""

    head = "last"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(Conv2d(3, 6, 5), ReLU(), MaxPool2d(2), Conv2d(6, 8, 3), ReLU(), MaxPool2d(2))
        self.pool = AdaptiveAvgPool2d((3, 4))  # which at 20 x 24 does nothing, as VGG's at 224
        self.first, self.act, self.last = Linear(8 * 3 * 4, 16), ReLU(), Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(self.first(self.pool(self.features(x)).flatten(1))))


@torch.inference_mode()
def test_sliding_a_classifier_gives_the_same_scores() -> None:
    torch.manual_seed(0)
    classifier = Unpadded().eval()
    picture = torch.rand(2, 3, 20 + 4 * 3, 24 + 4 * 2)
    scores = convolutionalize(classifier, (20, 24))(picture)
    assert scores.shape == (2, 5, 4, 3)
    for row in range(4):
        for column in range(3):
            window = picture[:, :, 4 * row : 4 * row + 20, 4 * column : 4 * column + 24]
            torch.testing.assert_close(scores[:, :, row, column], classifier(window), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "se-resnet18", "squeezenet1.1", "mobilenet-v2", "lenet5"])
@torch.inference_mode()
def test_one_window_gives_the_classifiers_scores(name: str) -> None:
    torch.manual_seed(0)
    side = MODELS[name].image_size
    classifier = build(name, 7).eval()
    picture = torch.rand(1, MODELS[name].channels, side, side)
    expected = classifier(picture)
    whole = convolutionalize(classifier, (side, side))
    torch.testing.assert_close(whole(picture)[:, :, 0, 0], expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
    assert whole.head == classifier.head  # type: ignore[attr-defined]
    larger = whole.to("meta")(torch.zeros(1, MODELS[name].channels, side + 64, side + 32, device="meta"))
    assert larger.shape[2:] > (1, 1)


def test_padded_windows_keep_the_size_of_the_map_they_read() -> None:
    with torch.device("meta"):
        whole = convolutionalize(build("vgg11", 7).eval(), (224, 224), same=True)
        assert whole(torch.zeros(1, 3, 96, 160)).shape == (1, 7, 3, 5)


def test_the_classifier_stays_as_it_is() -> None:
    classifier = Unpadded()
    before = {name: t.clone() for name, t in classifier.state_dict().items()}
    whole = convolutionalize(classifier, (20, 24))
    nn.init.zeros_(whole.get_submodule("last").weight)  # type: ignore[arg-type]
    assert all(torch.equal(t, before[name]) for name, t in classifier.state_dict().items())
    assert whole.training == classifier.training


def test_what_cannot_be_made_convolutional() -> None:
    with pytest.raises(UsageError, match="a network with convolutions; got Mlp; use another classifier"):
        convolutionalize(build("mlp", 10), (28, 28))
    with pytest.raises(UsageError, match="a classifier that ends in linear layers"):
        convolutionalize(build("lenet5-1998", 10), (32, 32))  # its last layer measures distances

    class Branching(Unpadded):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(UsageError, match="a network without branches on values"):
        convolutionalize(Branching(), (20, 24))
    with pytest.raises(UsageError, match=r"pooling to one pixel.*'1', which pools \(6, 6\) to \(7, 7\); pass the size"):
        convolutionalize(nn.Sequential(Conv2d(3, 4, 1), AdaptiveAvgPool2d(7), nn.Flatten(), Linear(196, 2)), (6, 6))
