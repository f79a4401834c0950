"""Kernel matrices and the explicit map, against scikit-learn."""

import numpy as np
import pytest
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.metrics.pairwise import (
    additive_chi2_kernel,
    chi2_kernel,
    euclidean_distances,
    linear_kernel,
    rbf_kernel,
)

from striate.bow_baseline.kernels import KERNELS, chi2_map, default_gamma, mean_square, training_matrix


def histograms(count: int, bins: int = 40, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """Histograms of sum 1, half of their bins empty."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.7, (count, bins)) + np.eye(bins)[rng.integers(bins, size=count)]
    return (counts / counts.sum(1, keepdims=True)).astype(dtype)


ORACLES = {
    "linear": lambda a, b: linear_kernel(a, b),
    "intersection": lambda a, b: np.minimum(a[:, None], b[None]).sum(2),
    "chi2": lambda a, b: chi2_kernel(a, b, gamma=0.7),
    "chi2-additive": lambda a, b: (a.sum(1)[:, None] + b.sum(1)[None] + additive_chi2_kernel(a, b)) / 2,
    "chi2-map": lambda a, b: linear_kernel(*(AdditiveChi2Sampler(sample_steps=2).fit_transform(x) for x in (a, b))),
    "rbf": lambda a, b: rbf_kernel(a, b, gamma=0.7),
}


@pytest.mark.parametrize("name", KERNELS)
def test_matrices_equal_scikit_learns(name: str) -> None:
    a, b = histograms(7), histograms(5, seed=1)
    np.testing.assert_allclose(KERNELS[name].matrix(a, b, 0.7), ORACLES[name](a, b), rtol=1e-9, atol=1e-12)


def test_the_additive_chi_squared_kernel_is_a_sum_of_twice_xy_over_x_plus_y() -> None:
    a, b = histograms(3), histograms(4, seed=1)
    total = a[:, None] + b[None]
    plain = (2 * a[:, None] * b[None] / np.where(total > 0, total, 1)).sum(2)
    np.testing.assert_allclose(KERNELS["chi2-additive"].matrix(a, b, 1.0), plain, atol=1e-12)
    # the map is an approximation: Vedaldi and Zisserman 2012 give some per cent for three numbers a bin
    np.testing.assert_allclose(KERNELS["chi2-map"].matrix(a, b, 1.0), plain, atol=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_map_equals_scikit_learns_number_by_number(dtype: type) -> None:
    x = histograms(6, dtype=dtype)
    mapped = chi2_map(x)
    assert mapped.dtype == dtype
    assert mapped.shape == (6, KERNELS["chi2-map"].factor * 40)
    np.testing.assert_allclose(mapped, AdditiveChi2Sampler(sample_steps=2).fit_transform(x), atol=1e-6)
    assert (mapped.reshape(6, 3, 40)[:, :, x[0] == 0][0] == 0).all()


@pytest.mark.parametrize("name", ["linear", "chi2-map"])
def test_the_training_matrix_is_summed_over_blocks_of_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.bow_baseline.kernels.COLUMNS", 11 * 7)  # blocks of 7 of 40 columns
    x = histograms(11, dtype=np.float32)
    x.flags.writeable = False
    np.testing.assert_allclose(training_matrix(KERNELS[name], x, 1.0), ORACLES[name](x, x), atol=1e-6)
    np.testing.assert_allclose(training_matrix(KERNELS["intersection"], x, 1.0).diagonal(), 1, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if kernel.terms])
def test_additive_kernels_are_the_sum_of_their_terms(name: str) -> None:
    a, b = histograms(4), histograms(5, seed=1)
    kernel = KERNELS[name]
    for row, expected in zip(a, kernel.matrix(a, b, 1.0), strict=True):
        terms = kernel.terms(row, b)
        np.testing.assert_allclose(terms.sum(1), expected, atol=1e-12)
        assert (terms[:, row == 0] == 0).all()  # a word that is not there says nothing


def test_the_width_is_one_over_the_mean_distance_of_two_pictures() -> None:
    x = histograms(30)
    squares = euclidean_distances(x, squared=True)
    assert default_gamma(KERNELS["rbf"], x, 0) == pytest.approx(30 * 29 / squares.sum())
    assert default_gamma(KERNELS["chi2"], x, 0) == pytest.approx(-30 * 29 / additive_chi2_kernel(x).sum())
    assert default_gamma(KERNELS["linear"], x, 0) == 1
    assert default_gamma(KERNELS["rbf"], np.ones((4, 3)), 0) == 1  # all alike: any width will do


def test_mean_square() -> None:
    x = histograms(600)
    assert mean_square(KERNELS["intersection"], x, 1.0) == pytest.approx(1)
    assert mean_square(KERNELS["linear"], 2 * x[:9], 1.0) == pytest.approx(4 * (x[:9] ** 2).sum(1).mean())
