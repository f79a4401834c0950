"""Which split a training is judged by."""

import pytest

from striate.core.checks import DataError
from striate.core.datasets.splits import validation_split


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
