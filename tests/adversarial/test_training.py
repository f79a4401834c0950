"""Learning from attacked pictures: the search, both losses, and what comes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.adversarial.training import AdversarialTraining, divergence
from striate.core.checks import TrainingError, UsageError
from striate.core.classifier import Classifier
from striate.core.datasets.classes import ClassDataset, from_arrays


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3)).train()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 3


@pytest.mark.parametrize("method", ["pgd", "trades"])
def test_the_search_raises_its_loss_within_epsilon_and_leaves_the_network_alone(method: str) -> None:
    net, (images, labels) = network(), batch()
    net[0].eval()  # a frozen layer stays one
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(0)
    found = AdversarialTraining(0.1, steps=5, method=method).perturb(net, images, labels)
    assert (found - images).abs().max() <= 0.1 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert (net[0].training, net[1].training) == (False, True)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    net.eval()
    torch.manual_seed(0)
    noise = (images + 0.1 * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    with torch.no_grad():
        if method == "pgd":
            assert F.cross_entropy(net(found), labels) > F.cross_entropy(net(noise), labels) + 0.1
        else:
            assert divergence(net(found), net(images)) > 4 * divergence(net(noise), net(images))


def test_one_step_is_the_fast_method_by_hand() -> None:
    net, (images, labels) = network(), batch()
    torch.manual_seed(5)
    found = AdversarialTraining(0.1, steps=1).perturb(net, images, labels)
    torch.manual_seed(5)
    start = (images + 0.1 * (2 * torch.rand_like(images) - 1)).clamp(0, 1).requires_grad_(True)
    F.cross_entropy(net.eval()(start), labels).backward()
    assert start.grad is not None
    expected = (start.detach() + 0.125 * start.grad.sign() - images).clamp(-0.1, 0.1) + images
    torch.testing.assert_close(found, expected.clamp(0, 1))


def test_both_losses_are_the_papers() -> None:
    net, (images, labels) = network().eval(), batch()
    for method in ("pgd", "trades"):
        adversary = AdversarialTraining(0.1, steps=2, method=method, beta=3)
        torch.manual_seed(2)
        terms = adversary(net, images, labels, F.cross_entropy)
        torch.manual_seed(2)
        found = adversary.perturb(net, images, labels)
        if method == "pgd":
            assert terms.keys() == {"robust"}
            torch.testing.assert_close(terms["robust"], F.cross_entropy(net(found), labels))
        else:
            p, q = net(images).double().softmax(1), net(found).double().softmax(1)
            expected = 3 * (p * (p / q).log()).sum(1).mean()
            torch.testing.assert_close(terms["divergence"].double(), expected, atol=1e-6, rtol=1e-4)
            torch.testing.assert_close(terms["class"], F.cross_entropy(net(images), labels))


def bars() -> ClassDataset:
    """A bar that a small perturbation cannot hide, and one pixel, as telling, that it can."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    pictures = rng.integers(100, 156, (160, 28, 28)).astype(np.uint8)
    pictures[labels == 1, 8:20, 4:24] += 60
    pictures[:, ::2, ::2] = (120 + 16 * labels)[:, None, None]
    return from_arrays(pictures, labels, ("nothing", "bar"))


def robust_share(classifier: Classifier, data: ClassDataset, epsilon: float) -> float:
    """Of right answers under twenty steps of PGD."""
    images = torch.from_numpy(np.stack([data.image(i)[..., :1] for i in range(len(data))])).permute(0, 3, 1, 2) / 255
    labels, net = torch.from_numpy(data.labels), classifier.network_
    assert net is not None
    torch.manual_seed(0)
    found = AdversarialTraining(epsilon, steps=20).perturb(net, images, labels)
    with torch.no_grad():
        return (net(found).argmax(1) == labels).float().mean().item()


def test_a_classifier_that_learns_from_attacks_withstands_them() -> None:
    data, shares = bars(), {}
    for name, adversary in (("plain", None), ("pgd", AdversarialTraining(0.06, steps=3))):
        classifier = Classifier(network="lenet5", precision="fp32")
        classifier.fit(data, epochs=5, batch_size=16, learning_rate=3e-3, adversary=adversary, seed=0)
        shares[name] = robust_share(classifier, data, 0.06)
    assert shares["pgd"] > 0.75 > 0.55 > shares["plain"], shares


def test_a_training_goes_on_with_the_same_adversary_only(tmp_path: Path) -> None:
    data, options = bars(), {"epochs": 1, "batch_size": 40, "run_dir": tmp_path, "seed": 0}
    Classifier(network="lenet5").fit(data, adversary=AdversarialTraining(0.1, steps=1), **options)
    with pytest.raises(TrainingError, match="adversary"):
        Classifier(network="lenet5").fit(data, adversary=AdversarialTraining(0.2, steps=1), resume=True, **options)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"epsilon": 8}, "epsilon above 0, up to 1"),
        ({"epsilon": 0}, "epsilon above 0, up to 1"),
        ({"epsilon": 0.1, "steps": 0}, "whole number of steps"),
        ({"epsilon": 0.1, "steps": 2.5}, "whole number of steps"),
        ({"epsilon": 0.1, "step_size": 0}, "step_size above 0"),
        ({"epsilon": 0.1, "beta": float("nan")}, "beta above 0"),
        ({"epsilon": 0.1, "method": "trade"}, "trades"),
    ],
)
def test_numbers_out_of_range_are_refused(keywords: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AdversarialTraining(**keywords)  # type: ignore[arg-type]


def test_mixed_pictures_have_no_label_to_lead_away_from() -> None:
    with pytest.raises(UsageError, match="mixup or cutmix"):
        Classifier(network="lenet5").fit(bars(), augmentation="none,mixup=1", adversary=AdversarialTraining(0.1))


def test_gradients_that_are_no_numbers_are_said() -> None:
    net, (images, labels) = network(), batch()
    with torch.no_grad():
        net[4].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="finite gradients"):
        AdversarialTraining(0.1).perturb(net, images, labels)
