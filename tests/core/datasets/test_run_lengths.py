"""Run lengths are pycocotools', both ways, and damaged ones are refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.core.checks import DataError
from striate.core.datasets.run_lengths import decode_runs, encode_runs

coco_mask = pytest.importorskip("pycocotools.mask")

MASKS = {
    "empty": np.zeros((5, 7), bool),
    "full": np.ones((5, 7), bool),
    "first pixel": np.eye(6, 4, dtype=bool),
    "last pixel": np.eye(6, 4, dtype=bool)[::-1, ::-1],
    "random": np.random.default_rng(0).random((60, 50)) < 0.5,
    "long runs": np.random.default_rng(0).random((40, 50)).repeat(30, 0).repeat(30, 1) < 0.5,
    "one pixel": np.ones((1, 1), bool),
}


@pytest.mark.parametrize("name", MASKS)
def test_pycocotools_writes_and_reads_the_same(name: str) -> None:
    mask = MASKS[name]
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_runs(mask)
    assert ours["counts"].encode() == theirs["counts"]
    assert ours["size"] == theirs["size"]
    assert np.array_equal(decode_runs(theirs), mask)
    assert np.array_equal(decode_runs(encode_runs(mask, compressed=False)), mask)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"size": [2, 2]}, "with size and counts; got KeyError"),
        ({"size": [2, 2], "counts": [1, 2]}, r"add up to height \* width; got 2 counts"),
        ({"size": [2, 2], "counts": [5, -1]}, "add up"),
        ({"size": [10, 10], "counts": [2**62] * 4 + [100]}, "add up"),  # a sum that wraps to 100
        ({"size": [10**6, 10**6], "counts": [10**12]}, "add up"),
        ({"size": [2, 2], "counts": "\x01"}, "character 1 in counts"),
        ({"size": [2, 2], "counts": "o"}, "IndexError"),
        ({"size": [2, 2], "counts": "ooooooooooooooooo"}, "character 111"),
        ({"size": "ab", "counts": []}, "ValueError"),
        ({"size": [1, 1], "counts": [[1]]}, "add up"),
    ],
)
def test_damaged_run_lengths(runs: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_runs(runs)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_text_is_a_mask_or_a_data_error(text: str) -> None:
    with contextlib.suppress(DataError):
        assert decode_runs({"size": [4, 4], "counts": text}).shape == (4, 4)
