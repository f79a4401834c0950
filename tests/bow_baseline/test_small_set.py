"""The rendered set: repeatable, balanced, and telling nothing by colour."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from striate.bow_baseline.small_set import SCENES, scene, small_set
from striate.core.checks import UsageError


def test_sets_are_balanced_repeatable_and_apart() -> None:
    train, test = small_set(3, test_per_class=2)
    again, _ = small_set(3, test_per_class=2)
    other, _ = small_set(3, test_per_class=2, seed=1)
    assert train.names == test.names == tuple(SCENES)
    assert set(train.counts().values()) == {3}
    assert set(test.counts().values()) == {2}
    assert train.fingerprint() == again.fingerprint() != other.fingerprint()
    pictures = {one.tobytes() for data in (train, test, other) for one in data.pictures}
    assert len(pictures) == len(train) + len(test) + len(other)
    assert train.pictures.shape == (18, 80, 80, 3)


def test_colour_and_light_tell_no_class() -> None:
    train, test = small_set(16, test_per_class=10, side=32)
    seen = [np.c_[d.pictures.mean((1, 2)), d.pictures.std((1, 2))] for d in (train, test)]
    found = LogisticRegression(max_iter=5000).fit(seen[0], train.labels).score(seen[1], test.labels)
    assert found < 0.45  # 1/6 by chance; contrast alone tells smooth scenes from busy ones a little


@pytest.mark.parametrize("name", SCENES)
def test_each_scene_at_other_sizes(name: str) -> None:
    for side in (32, 65):
        picture = scene(name, 0, side)
        assert picture.shape == (side, side, 3)
        assert picture.std() > 5


def test_what_is_too_small() -> None:
    with pytest.raises(UsageError, match="at least 32 pixels"):
        scene("lake", 0, 20)
    with pytest.raises(UsageError, match="at least one picture of each class"):
        small_set(0)
