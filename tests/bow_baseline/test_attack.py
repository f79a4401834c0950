"""What tells one attack from another, so that no answer to the one is taken for an answer to the other."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from striate.bow_baseline.attack import identity
from striate.core.checks import UsageError


def darken(model, image, label, rng, *, by=10):  # type: ignore[no-untyped-def]
    return np.maximum(image, by) - by


def step(epsilon: float):  # type: ignore[no-untyped-def]
    return lambda model, image, label, rng: image + epsilon


def around(attack):  # type: ignore[no-untyped-def]
    def twice(model, image, label, rng):  # type: ignore[no-untyped-def]
        return attack(model, attack(model, image, label, rng), label, rng)

    return twice


@dataclass
class Pgd:
    epsilon: float = 0.1
    model: object = None

    def __call__(self, model, image, label, rng):  # type: ignore[no-untyped-def]
        return image

    def run(self, model, image, label, rng):  # type: ignore[no-untyped-def]
        return image


class Named(Pgd):
    options: ClassVar = {"epsilon": 3}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (partial(darken, by=1), partial(darken, by=2)),
        (partial(darken, by=1), darken),
        (partial(partial(darken), by=1), partial(partial(darken), by=2)),
        (partial(darken, 1), partial(darken, 2)),
        (lambda m, i, y, r: i, lambda m, i, y, r: i + 1),
        (lambda m, i, y, r: i + 2, lambda m, i, y, r: i + 1),
        (lambda m, i, y, r, by=2: i + by, lambda m, i, y, r, by=1: i + by),
        (lambda m, i, y, r, *, by=2: i + by, lambda m, i, y, r, *, by=1: i + by),
        (lambda m, i, y, r: [p for p in i if p > 2], lambda m, i, y, r: [p for p in i if p > 3]),
        (step(0.1), step(0.2)),
        (around(step(0.1)), around(step(0.2))),
        (around(partial(darken, by=1)), around(partial(darken, by=2))),
        (Pgd(0.1), Pgd(0.2)),
        (Pgd(0.1).run, Pgd(0.2).run),
        (Pgd(0.1).run, Pgd(0.1)),
        (Named(), Pgd()),
    ],
)
def test_different_attacks_are_told_apart(one, other) -> None:  # type: ignore[no-untyped-def]
    assert identity("a", one) != identity("a", other)
    assert identity("a", one) == identity("a", one)


def test_the_same_attack_made_again_is_the_same() -> None:
    for make in (lambda: step(0.1), lambda: partial(darken, by=np.float32(2)), lambda: Pgd(0.3), lambda: Pgd(0.3).run):
        assert identity("a", make()) == identity("a", make())
    assert identity("a", min)["name"] == "builtins.min"


@pytest.mark.parametrize("attack", [Pgd(model=object()), partial(darken, by=object()), around(Pgd()), step(np.nan)])
def test_what_cannot_be_told_by_plain_values_needs_options(attack) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        UsageError, match=r"an attack 'pgd' that can be told from others.*give it an attribute `options`"
    ):
        identity("pgd", attack)


def test_options_stand_for_what_an_attack_holds() -> None:
    assert identity("a", Named(model=object()))["options"] == {"epsilon": 3}
    attack = around(Pgd())
    attack.options = {"pgd": 0.1}
    assert identity("a", attack)["options"] == {"pgd": 0.1}
