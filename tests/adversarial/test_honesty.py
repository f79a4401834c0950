"""Whether gradients are honest: a network that shows them, one that hides them, and budgets that tell nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import Attackable, BlackBox, Noise
from striate.adversarial.honesty import HUGE, LONGER, Honesty, _compared, check_gradients, whole_range, zero_gradients
from striate.core.checks import DataError, ModelError
from striate.tests.adversarial.stand_ins import NAMES, pictures


def test_an_honest_network_shows_no_masking(small: Attackable, images) -> None:
    found = check_gradients(small, images, epsilon=0.05, steps=10, queries=60)
    assert not found.masked
    assert found.verdict == "no sign of gradient masking within linf 0.05"
    assert found.rates["pgd"] > found.rates["noise"]
    assert str(found).count("ok ") == 5
    assert found.to_dict()["masked"] is False


class Steps(nn.Module):
    """A network behind a staircase: its decisions are nearly the same, its gradients are zero."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net((x * 64).round() / 64)


def test_hidden_gradients_are_named(net: nn.Module, images) -> None:
    hidden = Attackable(Steps(net).eval(), NAMES)
    found = check_gradients(hidden, images, epsilon=0.1, steps=5, queries=60)
    assert found.masked
    assert found.verdict.startswith("gradient masking: gradients are there; a black box is not stronger")
    assert "no claim of robustness holds" in str(found)
    assert zero_gradients(hidden, images) == 1
    assert Noise().run(hidden, images).success_rate <= found.rates["square"]
    with pytest.raises(ModelError, match="a model that gives gradients; got one that gives scores"):
        check_gradients(BlackBox(hidden.probabilities, NAMES), images)
    wrong = [NAMES[(int(i) + 1) % 4] for i in hidden.probabilities(images).argmax(1)]
    with pytest.raises(DataError, match="pictures that the model names right; got none"):
        check_gradients(hidden, images, wrong)


def test_within_a_budget_that_fools_nobody_nothing_is_decided(linear: Attackable) -> None:
    given = [np.full((4, 4, 3), value, np.uint8) for value in (120, 160, 200, 255)]
    found = check_gradients(linear, given, epsilon=1 / 255, steps=3, queries=20)
    assert found.rates["pgd"] == found.rates[LONGER] == found.rates["square"] == found.rates["noise"] == 0
    assert (found.masked, found.undecided) == (False, True)
    assert found.verdict == "undecided: nothing was fooled within linf 0.003922, pass a larger budget"
    assert [check.passed for check in found.checks] == [True, None, None, None, True]
    assert str(found).count("?   ") == 3
    told = found.to_dict()
    assert (told["masked"], told["undecided"], told["epsilon"], told["distance"]) == (False, True, 1 / 255, "linf")
    larger = check_gradients(linear, given, epsilon=0.3, steps=10, queries=20)
    assert (larger.masked, larger.undecided) == (False, False)
    assert larger.verdict == "no sign of gradient masking within linf 0.3"


RATES = {"noise": 0.0, "pgd": 0.0, LONGER: 0.0, "square": 0.0, HUGE: 1.0}


@pytest.mark.parametrize(
    ("rates", "passed", "verdict"),
    [
        ({}, [None, None, None, True], "undecided: nothing was fooled within l2 0.5, pass a larger budget"),
        ({"square": 0.1}, [None, None, None, True], "undecided: too few pictures were fooled within l2 0.5"),
        ({"square": 0.2}, [True, False, True, True], "gradient masking: a black box is not stronger"),
        ({"noise": 0.2}, [True, True, False, True], "gradient masking: noise is not stronger"),
        ({"pgd": 0.2}, [False, True, True, True], "gradient masking: more steps are not weaker"),
        ({"pgd": 0.2, LONGER: 0.2}, [True, True, True, True], "no sign of gradient masking within l2 0.5"),
        ({HUGE: 0.9}, [None, None, None, False], "gradient masking: a huge budget fools all"),
    ],
)
def test_rates_and_what_they_say(rates: dict[str, float], passed: list[bool | None], verdict: str) -> None:
    """Of ten pictures, of which one may be fooled by chance."""
    both = RATES | rates
    found = Honesty(_compared(both, 0.1 + 1e-9), both, "l2", 0.5)
    assert [check.passed for check in found.checks] == passed
    assert found.verdict.startswith(verdict)
    assert found.masked == verdict.startswith("gradient masking")
    assert found.undecided == verdict.startswith("undecided")


def test_the_huge_budget_is_the_diagonal_of_the_largest_picture() -> None:
    large, small = np.zeros((224, 224, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    white, black = torch.ones(1, 3, 224, 224), torch.zeros(1, 3, 224, 224)
    assert whole_range("l2", [small, large]) == pytest.approx(float((white - black).norm()))
    assert whole_range("linf", [large]) == 0.99


def test_an_honest_network_of_large_pictures_shows_no_masking_in_l2(small: Attackable) -> None:
    found = check_gradients(small, pictures(3, 96, 96), distance="l2", epsilon=3.0, steps=4, queries=10)
    assert found.rates[HUGE] == 1
    assert not found.masked
