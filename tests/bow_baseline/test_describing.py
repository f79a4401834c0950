"""Descriptors made once for several bags, and again after them."""

import numpy as np

from striate.bow_baseline.describing import describe, describing_once
from striate.bow_baseline.descriptors import DenseSift


class Counting(DenseSift):
    made = 0

    def describe(self, image):  # type: ignore[no-untyped-def]
        Counting.made += 1
        return super().describe(image)


def test_once_within_the_block_and_never_another_ones() -> None:
    one, two = np.random.default_rng(0).integers(0, 255, (2, 24, 24, 3)).astype(np.uint8)
    coarse, fine = Counting(step=6, bin_sizes=(4,)), Counting(step=3, bin_sizes=(4,))
    with describing_once():
        first, again = describe(coarse, one), describe(Counting(step=6, bin_sizes=(4,)), one.copy())
        assert Counting.made == 1
        assert again is first
        assert len(describe(fine, one)) > len(first)
        assert (describe(coarse, two).values != first.values).any()
        assert (describe(coarse, np.ascontiguousarray(one[:, ::-1])).values != first.values).any()
        assert Counting.made == 4
    np.testing.assert_array_equal(describe(coarse, one).values, first.values)
    describe(coarse, one)
    assert Counting.made == 6
