"""Errors in three parts."""

import pickle
from typing import Any

import pytest

from striate.core import checks
from striate.core.checks import StriateError, UsageError, closest, fraction, positive, unknown, whole


def test_three_parts_and_one_sentence() -> None:
    error = UsageError("a number", "'x'", "pass one")
    assert str(error) == "expected a number; got 'x'; pass one"
    assert (error.expected, error.got, error.fix) == ("a number", "'x'", "pass one")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", StriateError.__subclasses__())
def test_errors_survive_the_way_out_of_a_worker(kind: type[StriateError]) -> None:
    again = pickle.loads(pickle.dumps(kind("a", "b", "c")))
    assert type(again) is kind
    assert again.fix == "c"


def test_unknown_lists_and_suggests() -> None:
    error = unknown("size", "medum", ["small", "medium"], checks.DataError)
    assert isinstance(error, checks.DataError)
    assert str(error) == "expected size to be one of small, medium; got 'medum'; did you mean 'medium'?"
    assert "choose one of those names" in str(unknown("size", "zzz", ["small"]))
    assert "(none)" in str(unknown("size", "zzz", []))


def test_closest_is_none_when_nothing_is_near() -> None:
    assert closest("zebra", ["cat", "dog"]) is None


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "abc", None])
def test_positive(value: Any) -> None:
    positive("n", 1e-9)
    with pytest.raises(UsageError, match="n to be a positive number"):
        positive("n", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "abc", None])
def test_fraction(value: Any) -> None:
    fraction("p", 0)
    fraction("p", 1)
    with pytest.raises(UsageError, match="p to lie between 0 and 1"):
        fraction("p", value)


@pytest.mark.parametrize("value", [2, 2.5, 3.0, True, "abc", None, float("nan")])
def test_whole(value: object) -> None:
    whole("n", 3, 3)
    with pytest.raises(UsageError, match="n to be a whole number, 3 or more; got"):
        whole("n", value, 3)
