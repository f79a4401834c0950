"""Principal components against scikit-learn's."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from striate.bow_baseline import projection
from striate.bow_baseline.projection import Projected, Projection
from striate.core.checks import DataError, UsageError


def rows(count: int = 500, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(12, 12)) * 0.5 ** np.arange(12)
    return (rng.normal(size=(count, 12)) @ spread.T + 5).astype(np.float32)


@pytest.mark.parametrize("whiten", [False, True])
def test_as_scikit_learns(whiten: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection.blocks, "__defaults__", (77,))
    x = rows()
    ours, theirs = Projection(components=6, whiten=whiten).fit(x), PCA(6, whiten=whiten).fit(x.astype(np.float64))
    np.testing.assert_allclose(ours.variances_, theirs.explained_variance_, rtol=1e-6)
    signs = np.sign((ours.components_ * theirs.components_).sum(1))
    np.testing.assert_allclose(ours.components_ * signs[:, None], theirs.components_, atol=1e-5)
    found = ours.transform(rows(seed=1))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * signs, theirs.transform(rows(seed=1)), atol=2e-4)


def test_signs_are_settled() -> None:
    for seed in range(6):  # unsettled, they would all be positive once in 2^30
        components = Projection(components=5).fit(rows(seed=seed)).components_
        assert (components[np.arange(5), np.abs(components).argmax(1)] > 0).all()


def test_whitening_does_not_enlarge_what_is_rounding() -> None:
    x = np.repeat(rows()[:, :2], 2, axis=1)  # rank 2
    found = Projection(components=None, whiten=True).fit(x).transform(x)
    np.testing.assert_allclose(found[:, :2].std(0, ddof=1), 1, atol=1e-3)
    assert np.abs(found[:, 2:]).max() < 0.1
    assert not Projection(components=2, whiten=True).fit(np.ones((4, 3))).transform(np.ones((4, 3))).any()


def test_rows_projected_when_they_are_read(tmp_path) -> None:
    x = rows()
    x.tofile(tmp_path / "x")
    fitted = Projection(components=4).fit(np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape))
    lazy = Projected(np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape), fitted)
    assert (len(lazy), lazy.shape, lazy.dtype) == (500, (500, 4), np.float32)
    np.testing.assert_allclose(lazy[30:60], fitted.transform(x)[30:60], atol=1e-6)
    np.testing.assert_allclose(lazy[np.array([3, 9])], fitted.transform(x)[[3, 9]], atol=1e-6)


def test_scikit_learns_own_checks() -> None:
    for check in check_estimator(Projection(components=1), on_fail=None, on_skip=None):
        assert check["status"] in ("passed", "skipped"), (check["check_name"], check["exception"])


def test_errors() -> None:
    with pytest.raises(UsageError, match="1 to 12 components of 12 columns; got 13; keep fewer"):
        Projection(components=13).fit(rows())
    with pytest.raises(DataError, match=r"a matrix of finite numbers; got .*1 sample"):
        Projection().fit(rows(1))
    with pytest.raises(DataError, match="a matrix of finite numbers; got X has 3 features"):
        Projection(components=2).fit(rows()).transform(rows()[:, :3])
    with pytest.raises(NotFittedError):
        Projection().transform(rows())
