"""Which pictures are trained on and measured on."""

from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline.splits import check_classes, readable, some_per_class, stratified, train_and_test
from striate.core.checks import DataError, UsageError
from striate.core.datasets.classes import from_arrays
from striate.tests.bow_baseline.stand_ins import as_folders, bands


def test_a_share_of_every_class_where_there_is_no_split(tmp_path: Path) -> None:
    train, test = train_and_test(as_folders(bands(10), tmp_path), test_share=0.3, seed=2)
    assert test.counts() == {"bright": 3, "dark": 3, "middle": 3}
    assert test.split == "test"
    assert not set(train.pictures) & set(test.pictures)
    assert len(train) + len(test) == 30


def test_given_splits_are_taken(tmp_path: Path) -> None:
    as_folders(bands(4), tmp_path, "train")
    as_folders(bands(2, seed=1), tmp_path, "val")
    assert [len(part) for part in train_and_test(tmp_path)] == [12, 6]
    as_folders(bands(3, seed=2), tmp_path, "test")
    assert [len(part) for part in train_and_test(tmp_path)] == [12, 9]
    assert [len(part) for part in train_and_test(tmp_path, split="val")] == [12, 6]


def test_the_training_split_is_nothing_to_measure_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a split to measure on; got 'train', which is trained on"):
        train_and_test(as_folders(bands(10), tmp_path), split="train")


def test_small_training_sets_lie_within_larger_ones() -> None:
    data = bands(9)
    few, more = (some_per_class(data, count, seed=4) for count in (2, 5))
    assert set(few.counts().values()) == {2}
    kept = {one.tobytes() for one in more.pictures}
    assert all(one.tobytes() in kept for one in few.pictures)
    assert some_per_class(data, 2, seed=5).fingerprint() != few.fingerprint()
    assert some_per_class(data, None, seed=4) is data


def test_a_part_keeps_the_shares_of_the_classes() -> None:
    pictures = np.arange(130, dtype=np.uint8).repeat(64).reshape(130, 8, 8)
    data = from_arrays(pictures, [0] * 100 + [1] * 27 + [2] * 3, ("many", "some", "few"))
    assert stratified(data, 20).counts() == {"many": 46, "some": 12, "few": 2}
    assert stratified(data, 20, seed=1).fingerprint() != stratified(data, 20).fingerprint()
    assert stratified(data, 44) is stratified(data, None) is data


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    root = as_folders(bands(3), tmp_path)
    data, _ = train_and_test(root, test_share=0.4)
    before, again = readable(data)[1], readable(data)[1]
    assert before == again
    data.pictures[0].write_bytes(data.pictures[1].read_bytes())
    assert readable(data)[1] != before
    changed = bands(3)
    other = changed.pictures.copy()
    other[4, 0, 0, 0] ^= 1
    assert readable(changed)[1] != readable(from_arrays(other, changed.labels, changed.names))[1]
    assert readable(changed)[1] != readable(from_arrays(changed.pictures, changed.labels[::-1], changed.names))[1]


def test_too_many_unreadable_files(tmp_path: Path) -> None:
    data, _ = train_and_test(as_folders(bands(4), tmp_path), test_share=0.3)
    for path in data.pictures[:3]:
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="at most 5% of unreadable files"):
        readable(data)


@pytest.mark.parametrize(
    ("labels", "per_class", "error", "said"),
    [
        ([0, 0, 1], (), DataError, "at least two pictures of each class to train on; got 1 of 'b'"),
        ([0, 0, 0], (), DataError, "got 0 of 'b'"),
        ([0, 0, 1, 1], (1,), UsageError, "from two pictures a class"),
        ([0, 0, 1, 1, 1], (3,), DataError, "3 pictures of each class; got 2 of 'a'"),
    ],
)
def test_sets_that_are_too_small(labels: list[int], per_class: tuple[int, ...], error: type, said: str) -> None:
    data = from_arrays(np.zeros((len(labels), 8, 8), np.uint8), labels, ("a", "b"))
    with pytest.raises(error, match=said):
        check_classes(data, data, per_class)


def test_sets_that_do_not_go_together() -> None:
    data = bands(2)
    with pytest.raises(DataError, match="test pictures of the classes"):
        check_classes(data, from_arrays(data.pictures, data.labels, ("a", "b", "c")), ())
    with pytest.raises(DataError, match="pictures to measure on"):
        check_classes(data, data.subset([]), ())
    alone = from_arrays(data.pictures, [0] * len(data), ("a",))
    with pytest.raises(DataError, match="at least two classes; got 1"):
        check_classes(alone, alone, ())
