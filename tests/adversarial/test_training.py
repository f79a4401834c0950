"""Learning from attacked pictures: the search, both losses, and what comes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.adversarial.training import AdversarialTraining, adversary_named, divergence
from striate.core.checks import TrainingError, UsageError
from striate.core.classifier import Classifier
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.datasets.load_classes import load_classes


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


def test_trades_starts_beside_the_picture_as_its_algorithm_1_does() -> None:
    net, (images, labels) = network(), batch()
    torch.manual_seed(5)
    found = AdversarialTraining(0.1, steps=1, method="trades").perturb(net, images, labels)
    torch.manual_seed(5)
    start = (images + 0.001 * torch.randn_like(images)).clamp(0, 1).requires_grad_(True)
    loss = nn.KLDivLoss(reduction="batchmean")(F.log_softmax(net.eval()(start), 1), F.softmax(net(images), 1))
    loss.backward()
    assert start.grad is not None
    expected = (start.detach() + 0.125 * start.grad.sign() - images).clamp(-0.1, 0.1) + images
    torch.testing.assert_close(found, expected.clamp(0, 1))


def test_the_ramp_reaches_the_whole_epsilon_after_its_epochs() -> None:
    training = AdversarialTraining(0.3, steps=4, step_size=0.15, ramp_epochs=2)
    reached = [training.at_epoch(epoch) for epoch in range(4)]
    assert [one.epsilon for one in reached] == pytest.approx([0.1, 0.2, 0.3, 0.3])
    assert [one.step_size_ for one in reached] == pytest.approx([0.05, 0.1, 0.15, 0.15])


def test_a_training_climbs_its_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    perturb = AdversarialTraining.perturb

    def noted(self: AdversarialTraining, *batch: Any) -> torch.Tensor:
        seen.append(self.epsilon)
        return perturb(self, *batch)

    monkeypatch.setattr(AdversarialTraining, "perturb", noted)
    ramp = AdversarialTraining(0.2, steps=1, ramp_epochs=1)
    Classifier(network="lenet5").fit(bars(), epochs=3, batch_size=80, adversary=ramp, device="cpu", seed=0)
    assert seen == [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]


def test_the_search_computes_no_gradient_of_a_weight() -> None:
    net, (images, labels) = network(), batch()
    asked: list[str] = []
    for name, parameter in net.named_parameters():
        parameter.register_hook(lambda gradient, name=name: asked.append(name))
    training = AdversarialTraining(0.1, steps=2)
    training.perturb(net, images, labels)
    assert asked == []
    training(net, images, labels, F.cross_entropy)["robust"].backward()
    assert asked


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


def test_trades_shows_batch_norm_the_pictures_and_the_perturbed_ones_apart() -> None:
    """As yaodongyu/TRADES, trades.py: in one batch each would be normalised by the mean of both."""
    images, labels = batch()
    training = AdversarialTraining(0.3, steps=2, method="trades")
    net, same = network(), network()
    torch.manual_seed(2)
    terms = training(net, images, labels, F.cross_entropy)
    torch.manual_seed(2)
    found = training.perturb(same, images, labels)
    clean, robust = same(images), same(found)
    torch.testing.assert_close(terms["class"], F.cross_entropy(clean, labels))
    torch.testing.assert_close(terms["divergence"], 6 * divergence(robust, clean))
    torch.testing.assert_close(net[1].running_mean, same[1].running_mean)
    together = network()(torch.cat((images, found))).chunk(2)
    assert abs(F.cross_entropy(together[0], labels) - terms["class"]) > 1e-3


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


def test_the_shipped_robust_reader_withstands_what_fools_the_plain_one(shared_data: Path) -> None:
    data = load_classes(shared_data / "mnist", "test").subset(np.arange(60))
    images = torch.from_numpy(np.stack([data.image(i)[..., :1] for i in range(60)])).permute(0, 3, 1, 2) / 255
    right = {}
    for name in ("lenet5-mnist", "mnist-robust"):
        net = Classifier.from_pretrained(name).network_
        assert net is not None
        labels = net(images).argmax(1)
        torch.manual_seed(0)
        found = AdversarialTraining(0.3, steps=20, step_size=0.05).perturb(net, images, labels)
        right[name] = (net(found).argmax(1) == labels).float().mean().item()
    assert right["lenet5-mnist"] < 0.1
    assert right["mnist-robust"] > 0.9


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
        ({"epsilon": "0.3"}, "epsilon above 0, up to 1"),
        ({"epsilon": 0.1, "steps": 0}, "steps to be a whole number"),
        ({"epsilon": 0.1, "steps": 2.5}, "steps to be a whole number"),
        ({"epsilon": 0.1, "step_size": 0}, "step_size to be a positive number"),
        ({"epsilon": 0.1, "beta": float("nan")}, "beta to be a positive number"),
        ({"epsilon": 0.1, "method": "trade"}, "trades"),
        ({"epsilon": 0.1, "ramp_epochs": -1}, "ramp_epochs to be a whole number, 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(keywords: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AdversarialTraining(**keywords)  # type: ignore[arg-type]


def test_words_make_the_adversary_that_they_say() -> None:
    assert adversary_named("pgd,epsilon=0.3,steps=4,step_size=0.15,ramp_epochs=2") == AdversarialTraining(
        0.3, steps=4, step_size=0.15, ramp_epochs=2
    )
    assert adversary_named("trades,epsilon=8/255,beta=4") == AdversarialTraining(8 / 255, method="trades", beta=4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pdg,epsilon=0.3", "did you mean 'pgd'"),
        ("pgd,eps=0.3", "did you mean 'steps'|did you mean 'epsilon'"),
        ("pgd,epsilon=much", "a number for epsilon; got 'much'; write pgd,epsilon=8/255"),
        ("pgd,epsilon=1/0", "a number for epsilon; got '1/0'"),
        ("pgd,epsilon=0.3,steps=2.5", "a number for steps"),
        ("trades", "an adversary with an epsilon; got 'trades'; write trades,epsilon=8/255"),
        ("pgd,epsilon=8", "epsilon above 0, up to 1"),
    ],
)
def test_words_that_make_none_are_refused(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        adversary_named(words)


def test_mixed_pictures_have_no_label_to_lead_away_from() -> None:
    with pytest.raises(UsageError, match="mixup or cutmix"):
        Classifier(network="lenet5").fit(bars(), augmentation="none,mixup=1", adversary=AdversarialTraining(0.1))


def test_gradients_that_are_no_numbers_are_said() -> None:
    net, (images, labels) = network(), batch()
    with torch.no_grad():
        net[4].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="finite gradients"):
        AdversarialTraining(0.1).perturb(net, images, labels)
