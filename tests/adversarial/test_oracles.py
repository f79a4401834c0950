"""The same attacks by foolbox and torchattacks, on the same network, pictures and budgets."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.adversarial import Apgd, CarliniWagner, DeepFool, Fgsm, HopSkipJump, Pgd
from striate.adversarial.attack import Attack
from striate.adversarial.criteria import Misclassified
from striate.adversarial.distances import DISTANCES
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable, of_classifier
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import Set

EPSILON = 0.12


class Scores(nn.Module):
    """A victim as a module, which foolbox and torchattacks take."""

    def __init__(self, victim: Attackable) -> None:
        super().__init__()
        self.victim, self.network = victim, victim.network

    def forward(self, x: Tensor) -> Tensor:
        return self.victim.scores(x)


class Batch:
    """A victim with pictures, for us and for them."""

    def __init__(self, victim: Attackable, images: list, labels: list[int]) -> None:
        self.victim, self.x, self.y = victim, to_tensor(images), torch.tensor(labels)
        self.module = Scores(victim).eval()

    def problem(self, distance: str, epsilon: float | None) -> Problem:
        goal = ClassGoal(Misclassified(), self.y)
        return Problem.of(self.victim, self.x, goal, DISTANCES[distance], epsilon)

    def ours(self, attack: Attack, epsilon: float | None) -> Tensor:
        return attack.perturb(self.problem(attack.distance.name, epsilon)).detach()

    def foolbox(self, name: str, epsilon: float | None, **options: Any) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, at import and about numbers made of tensors
            foolbox = pytest.importorskip("foolbox")
            model = foolbox.PyTorchModel(self.module, bounds=(0, 1))
            attack = getattr(foolbox.attacks, name)(**options)
            return attack(model, self.x, self.y, epsilons=epsilon)[1].detach()

    def torchattacks(self, name: str, **options: Any) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torchattacks = pytest.importorskip("torchattacks")
            return getattr(torchattacks, name)(self.module, **options)(self.x, self.y).detach()

    def fooled(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return self.module(pictures).argmax(1) != self.y

    def mean_distance(self, pictures: Tensor) -> float:
        fooled = self.fooled(pictures)
        return float((pictures - self.x).flatten(1).norm(dim=1)[fooled].mean())


@pytest.fixture
def random_net(small: Attackable, images) -> Batch:
    return Batch(small, images, small.probabilities(images).argmax(1).tolist())


@pytest.fixture(scope="module")
def batch(digits: Set) -> Batch:
    return Batch(of_classifier(digits.model), digits.images, digits.labels)


@pytest.fixture(scope="module")
def few(batch: Batch, digits: Set) -> Batch:
    return Batch(batch.victim, digits.images[:6], digits.labels[:6])


@pytest.fixture(params=["random", "digits"])
def either(request: pytest.FixtureRequest) -> Batch:
    return request.getfixturevalue("random_net" if request.param == "random" else "batch")


@pytest.mark.parametrize(("distance", "epsilon"), [("linf", EPSILON), ("l2", 1.5)])
def test_fgsm_is_foolboxs(either: Batch, distance: str, epsilon: float) -> None:
    ours = either.ours(Fgsm(distance=distance), epsilon)
    theirs = either.foolbox(f"{distance.capitalize()}FastGradientAttack", epsilon)
    assert (ours - theirs).abs().max() < 1e-5


@pytest.mark.parametrize(("distance", "epsilon"), [("linf", EPSILON), ("l2", 1.5)])
def test_pgd_from_the_picture_is_foolboxs(either: Batch, distance: str, epsilon: float) -> None:
    ours = either.ours(Pgd(distance=distance, steps=7, step_size=0.2, random_start=False, early_stop=False), epsilon)
    name = {"linf": "LinfPGD", "l2": "L2PGD"}[distance]
    theirs = either.foolbox(name, epsilon, rel_stepsize=0.2, steps=7, random_start=False)
    # A sign of a gradient of 1e-9 may differ in the last bit of a sum; it moves one value by a step.
    assert ((ours - theirs).abs() > 1e-5).float().mean() < 0.002


def test_momentum_is_torchattacks_mifgsm(either: Batch) -> None:
    attack = Pgd(steps=7, step_size=0.2, momentum=1.0, random_start=False, early_stop=False)
    theirs = either.torchattacks("MIFGSM", eps=EPSILON, alpha=0.2 * EPSILON, steps=7, decay=1.0)
    assert ((either.ours(attack, EPSILON) - theirs).abs() > 1e-5).float().mean() < 0.002


def test_pgd_with_early_stop_fools_as_many(batch: Batch) -> None:
    ours = batch.fooled(batch.ours(Pgd(steps=20), 0.08))
    theirs = batch.fooled(batch.foolbox("LinfPGD", 0.08, rel_stepsize=2.5 / 20, steps=20))
    assert ours.sum() >= theirs.sum() - 1  # both start at random


def test_apgd_fools_as_many_as_torchattacks(batch: Batch) -> None:
    ours = batch.fooled(batch.ours(Apgd(steps=20), 0.07))
    theirs = batch.fooled(batch.torchattacks("APGD", eps=0.07, steps=20))
    assert ours.sum() >= theirs.sum() - 1


@pytest.mark.parametrize("distance", ["l2", "linf"])
def test_deepfool_is_as_near_as_foolboxs(few: Batch, distance: str) -> None:
    ours = few.ours(DeepFool(distance=distance), None)
    theirs = few.foolbox(f"{distance.capitalize()}DeepFoolAttack", None)
    norm = DISTANCES[distance].between
    assert few.fooled(ours).all()
    assert norm(ours, few.x).mean() <= 1.01 * norm(theirs, few.x)[few.fooled(theirs)].mean()


def test_carlini_wagner_is_as_near_as_foolboxs(few: Batch) -> None:
    ours = few.ours(CarliniWagner(steps=40, searches=2, constant=1.0), None)
    options = {"binary_search_steps": 2, "steps": 40, "stepsize": 0.05, "initial_const": 1.0}
    theirs = few.foolbox("L2CarliniWagnerAttack", None, **options)
    assert few.fooled(ours).sum() >= few.fooled(theirs).sum()
    assert few.mean_distance(ours) <= 1.02 * few.mean_distance(theirs)


def test_hopskipjump_is_as_near_as_foolboxs(random_net: Batch) -> None:
    ours = random_net.ours(HopSkipJump(steps=8, samples=50), None)
    options = {"steps": 8, "initial_gradient_eval_steps": 50, "max_gradient_eval_steps": 1000}
    theirs = random_net.foolbox("HopSkipJumpAttack", None, **options)
    assert random_net.fooled(ours).all()
    assert random_net.mean_distance(ours) <= 1.15 * random_net.mean_distance(theirs)  # both are random
