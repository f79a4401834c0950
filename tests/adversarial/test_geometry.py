"""What the wrapper does to pictures is what the models do to them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import make_attack
from striate.adversarial.geometry import CanvasGeometry, ClassGeometry, PaddedGeometry, resized
from striate.adversarial.victims import Attackable, BlackBox, of_classifier, victim
from striate.core.checks import ModelError, UsageError
from striate.core.class_pictures import square
from striate.core.classifier import Classifier
from striate.core.images import letterbox, resize, to_tensor
from striate.tests.adversarial.stand_ins import NAMES, pictures

SIZES = [
    pytest.param((64, 64), (28, 28), id="smaller, no whole ratio"),
    pytest.param((64, 96), (32, 48), id="halves"),
    pytest.param((20, 31), (45, 70), id="larger"),
    pytest.param((300, 211), (37, 26), id="much smaller"),
    pytest.param((12, 12), (12, 12), id="the same"),
]


@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_resizing_is_opencvs_but_for_its_rounding(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = pictures(1, *size)[0]
    ours = resized(to_tensor(image), wanted)[0].permute(1, 2, 0).numpy() * 255
    # Half a level for rounding; enlarging has weights of 11 bits, rounded twice: 0.8 was the most seen.
    apart = np.abs(ours - resize(image, wanted))
    assert apart.max() <= (0.51 if wanted[0] <= size[0] else 1.0)
    assert apart.mean() < 0.3


def test_gradients_pass_the_geometry() -> None:
    x = torch.rand(1, 3, 9, 7, requires_grad=True)
    weights = torch.rand(1, 1, 4, 4)
    geometry = ClassGeometry(5, 4, 1)
    (gradient,) = torch.autograd.grad((geometry(x) * weights).sum(), x)
    direction = torch.rand(1, 3, 9, 7)
    with torch.no_grad():  # linear: no limit is needed
        ahead = (geometry(x + direction) * weights).sum() - (geometry(x) * weights).sum()
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead), rel=1e-4)
    assert gradient[0, :, 0].abs().max() == 0  # the row that the middle square leaves out


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("side", "image_size"), [(28, 28), (32, 28), (28, 32)], ids=["whole", "middle", "zeros around"]
)
def test_classifiers_cut_pictures_so(channels: int, side: int, image_size: int) -> None:
    image = pictures(1, 50, 41)[0]
    expected = torch.from_numpy(square(image, side, channels))[None].float() / 255
    found = ClassGeometry(side, side, channels)(to_tensor(image), exact=True)
    assert (found - expected).abs().max() <= 1.01 / 255  # a tie may be rounded the other way
    assert ((found - expected).abs() > 1e-3).float().mean() < 0.02
    assert ClassGeometry(side, image_size, channels)(to_tensor(image)).shape == (1, channels, image_size, image_size)


def test_detectors_and_segmenters_fit_pictures_so() -> None:
    image = pictures(1, 50, 41)[0]
    canvas, _ = letterbox(image, (64, 96))
    found = CanvasGeometry((64, 96))(to_tensor(image), exact=True)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(found - canvas).max() <= 1.01
    padded = PaddedGeometry(32)(to_tensor(image))
    assert padded.shape == (1, 3, 64, 64)
    expected = np.pad(image, ((0, 14), (0, 23), (0, 0)), mode="reflect")
    np.testing.assert_array_equal((padded[0].permute(1, 2, 0).numpy() * 255).round(), expected)


@pytest.mark.parametrize("name", ["lenet5-mnist", "small-fashion", "small-cifar10", "scenes15-cnn"])
def test_wrappers_agree_with_shipped_classifiers_at_any_size(name: str) -> None:
    classifier = Classifier.from_pretrained(name)
    wrapped = of_classifier(classifier)
    images = [pictures(1, *size, seed=1)[0] for size in ((28, 28), (61, 45), (130, 200))]
    wrapped.check(images, classifier.predict_proba(images))
    wrapped.check([], classifier.predict_proba([]))


def test_a_wrapper_that_disagrees_is_refused() -> None:
    classifier = Classifier.from_pretrained("small-cifar10")
    wrapped, images = of_classifier(classifier), pictures(2, 32, 32)
    wrapped.network.std *= 0.2
    with pytest.raises(ModelError, match=r"the model's own probabilities within 0.08; got a difference of 0\.\d+"):
        wrapped.check(images, classifier.predict_proba(images))
    with pytest.raises(ModelError, match=r"one score for each class; got scores \(2, 10\), answers \(2, 4\)"):
        wrapped.check(images, np.zeros((2, 4), np.float32))


def test_no_gradients_for_parameters_and_the_model_is_left_alone(net: nn.Module) -> None:
    classifier = Classifier.from_pretrained("lenet5-mnist")
    wrapped = of_classifier(classifier)
    assert not any(p.requires_grad for p in wrapped.network.parameters())
    assert all(p.requires_grad for p in classifier.network_.parameters())
    with pytest.raises(ModelError, match=r"a network in eval mode; got one in train mode"):
        Attackable(copy.deepcopy(net).train(), NAMES)
    with pytest.raises(UsageError, match="precision to be one of fp32, bf16; got 'fp8'"):
        of_classifier(classifier, precision="fp8")


def test_bfloat16_products(images: list[np.ndarray]) -> None:
    classifier = Classifier.from_pretrained("small-cifar10")
    wrapped = of_classifier(classifier, precision="bf16")
    wrapped.check(images, classifier.predict_proba(images))
    assert wrapped.scores(to_tensor(images)).dtype == torch.float32


def test_anything_that_names_pictures_is_a_victim() -> None:
    class Labels:
        names = NAMES

        def predict(self, pictures):
            return ["b", 2][: len(pictures)]

    class Scores:
        names = NAMES

        def predict_proba(self, pictures):
            return np.full((len(pictures), 4), 0.25)

    decided = victim(Labels())
    assert decided.gives == "decisions"
    assert decided.probabilities(pictures(2)).argmax(1).tolist() == [1, 2]
    scored = victim(Scores())
    assert scored.gives == "scores"
    assert scored.scores(to_tensor(pictures(2))).exp().tolist() == pytest.approx(np.full((2, 4), 0.25))
    assert victim(scored) is scored
    assert isinstance(scored, BlackBox)
    with pytest.raises(UsageError, match="a classifier, or a model with names and predict; got int"):
        victim(3)
    with pytest.raises(ModelError, match="a classifier with weights"):
        victim(Classifier())


def test_only_what_the_network_sees_is_changed() -> None:
    """A classifier cuts the middle square of a picture; noise beside it would be distance for nothing."""
    classifier, image = Classifier.from_pretrained("lenet5-mnist"), pictures(1, 40, 90)[0]
    seen = of_classifier(classifier).seen(40, 90)
    assert seen is not None
    assert seen[0, 0].any(0).nonzero().flatten().tolist() == list(range(25, 65))
    assert of_classifier(classifier).seen(28, 28) is None
    found = make_attack("pgd", epsilon=0.2, steps=2, early_stop=False).run(classifier, image)
    changed = (found.image != found.original).any(2)
    assert changed[:, 25:65].mean() > 0.9
    assert not changed[:, :25].any()
    assert not changed[:, 65:].any()
    box = make_attack("pgd", epsilon=0.2, steps=2, early_stop=False).run(classifier, image, mask=(0, 0, 30, 20))
    rows, columns = np.nonzero((box.image != box.original).any(2))
    assert rows.max() < 20
    assert columns.min() >= 25
    assert columns.max() < 30
