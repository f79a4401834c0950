"""Normalization of rows against scikit-learn's and by hand."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize as theirs
from sklearn.utils.estimator_checks import check_estimator

from striate.bow_baseline.normalization import KINDS, Normalization, normalize
from striate.core.checks import UsageError

ROWS = np.array([[3, -4, 0], [0, 0, 0], [1e-3, 2e-3, 5e-3]], np.float32)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_as_scikit_learns(kind: str) -> None:
    np.testing.assert_allclose(normalize(ROWS, kind), theirs(ROWS, kind), rtol=1e-6)


def test_signed_square_roots() -> None:
    np.testing.assert_allclose(normalize(ROWS, "power")[0], [(3 / 7) ** 0.5, -((4 / 7) ** 0.5), 0], rtol=1e-6)
    np.testing.assert_allclose(normalize(ROWS, "root"), normalize(ROWS, "power"), rtol=1e-6)  # two ways to one vector
    assert normalize(ROWS, "none") is ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_stay_and_so_does_the_dtype(kind: str) -> None:
    for dtype in (np.float32, np.float64):
        found = normalize(ROWS.astype(dtype), kind)
        assert found.dtype == dtype
        assert not found[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learns_own_checks(kind: str) -> None:
    for check in check_estimator(Normalization(kind=kind), on_fail=None, on_skip=None):
        assert check["status"] in ("passed", "skipped"), (check["check_name"], check["exception"])
    np.testing.assert_array_equal(Normalization(kind=kind).fit_transform(ROWS), normalize(ROWS, kind))


def test_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match="normalization to be one of none, l1, l2, root, power; got 'l3'"):
        normalize(ROWS, "l3")
    with pytest.raises(UsageError, match="normalization to be one of"):
        Normalization(kind="l3").fit(ROWS)
