"""Which split a training is judged by."""

import pytest

from striate.core.checks import DataError
from striate.core.datasets.splits import measured_split, validation_split


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["train", "val"], "val"),
        (["train2017", "val2017"], "val2017"),
        (["val2014", "val", "val2017"], "val"),
        (["train", "test", "trainval", "val20171", "evaluation", "minival2014"], None),
        ([], None),
    ],
)
def test_validation_splits(splits: list[str], expected: str | None) -> None:
    assert validation_split(splits) == expected


def test_several_years_are_a_question() -> None:
    with pytest.raises(DataError, match="one validation split; got val2014, val2017; name the one"):
        validation_split(["val2017", "train", "val2014"])


@pytest.mark.parametrize(
    ("splits", "measured"),
    [
        (["train", "val2017"], "val2017"),
        (["train", "test"], "test"),
        (["train", "test", "val"], "val"),
        (["train"], "train"),
        (["train", "extra"], "val"),  # which the reader then does not find, and says what there is
    ],
)
def test_what_is_measured_on_where_nothing_is_asked_for(splits: list[str], measured: str) -> None:
    assert measured_split(splits) == measured
