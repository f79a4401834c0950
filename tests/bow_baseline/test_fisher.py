"""Fisher vectors and VLAD against loops in float64, mixtures against scikit-learn's."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from striate.bow_baseline import mixture as mixtures
from striate.bow_baseline.encoding import FisherEncoder, VladEncoder
from striate.bow_baseline.mixture import LEAST_VARIANCE, Mixture, em_pass, fit_mixture
from striate.bow_baseline.vocabulary import Vocabulary
from striate.core.checks import DataError
from striate.tests.bow_baseline.test_encoder import descriptors, values

EVERYTHING = [np.arange(90)]


def theirs_of(mixture: Mixture) -> GaussianMixture:
    found = GaussianMixture(len(mixture.weights), covariance_type="diag")
    found.weights_, found.means_, found.covariances_ = (a.astype(np.float64) for a in vars(mixture).values())
    found.weights_ /= found.weights_.sum()
    found.precisions_cholesky_ = 1 / np.sqrt(found.covariances_)
    return found


def plain_fisher(encoder: FisherEncoder, rows: np.ndarray) -> np.ndarray:
    """Sanchez et al. 2013, equations 16 and 17, with posteriors below 1e-4 left out."""
    mixture = encoder.mixture_
    weights, means, variances = (a.astype(np.float64) for a in vars(mixture).values())
    by_mean, by_variance = np.zeros(means.shape), np.zeros(means.shape)
    for row in rows.astype(np.float64):
        densities = [
            w * np.prod(np.exp(-((row - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v))
            for w, m, v in zip(weights, means, variances, strict=True)
        ]
        shares = np.array(densities) / np.sum(densities)
        for k, share in enumerate(shares * (shares >= 1e-4)):
            away = (row - means[k]) / np.sqrt(variances[k])
            by_mean[k] += share * away
            by_variance[k] += share * (away**2 - 1)
    scale = 1 / (len(rows) * np.sqrt(weights))[:, None]
    return np.concatenate([by_mean * scale, by_variance * scale / np.sqrt(2)]).ravel()


def test_fisher_vectors_as_a_loop() -> None:
    encoder = FisherEncoder(words=5, components=6).fit(values())
    rows = encoder.projection_.transform(descriptors().values)
    expected = plain_fisher(encoder, rows)
    found = encoder.encode(descriptors(), EVERYTHING)[0]
    assert found.shape == (60,)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())  # observed: 1e-6
    shares = theirs_of(encoder.mixture_).predict_proba(rows)
    np.testing.assert_allclose(encoder.codes(descriptors()), shares, atol=1e-4)
    assert encoder.words_of(descriptors()).tolist() == shares.argmax(1).tolist()


def test_the_sample_itself_has_a_gradient_near_zero() -> None:
    encoder = FisherEncoder(words=3, components=6, passes=400)
    rows = values(2000)
    encoder.fit(rows)
    whole = np.abs(encoder._pool(encoder.projection_.transform(rows), [np.arange(2000)])).mean()
    part = np.abs(encoder._pool(encoder.projection_.transform(rows[:50]), [np.arange(50)])).mean()
    assert whole < 0.1 * part


@pytest.mark.parametrize("intra", [False, True])
def test_vlad_as_a_loop(intra: bool) -> None:
    encoder = VladEncoder(words=7, components=None, intra=intra).fit(values())
    sums = np.zeros((7, 16))
    for row in descriptors().values.astype(np.float64):
        word = ((row - encoder.centroids_) ** 2).sum(1).argmin()
        sums[word] += row - encoder.centroids_[word]
    if intra:
        sums = np.array([s / np.linalg.norm(s) if s.any() else s for s in sums])
    np.testing.assert_allclose(encoder.encode(descriptors(), EVERYTHING)[0], sums.ravel(), atol=1e-5)


def test_a_pass_as_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixtures.blocks, "__defaults__", (77,))
    rows = values(600, width=5)
    start = Mixture(np.full(4, 0.25, np.float32), rows[:4], np.full((4, 5), 0.05, np.float32))
    theirs = theirs_of(start)
    found, density = em_pass(rows, start, np.zeros(5))
    assert density == pytest.approx(theirs.score(rows), rel=1e-5)
    theirs.reg_covar = 0
    _, logarithms = theirs._e_step(rows.astype(np.float64))
    theirs._m_step(rows.astype(np.float64), logarithms)
    np.testing.assert_allclose(found.weights, theirs.weights_, atol=1e-5)
    np.testing.assert_allclose(found.means, theirs.means_, atol=1e-5)
    np.testing.assert_allclose(found.variances, theirs.covariances_, atol=1e-5)


def test_a_fit_as_scikit_learns_from_the_same_start() -> None:
    rows = values(3000, width=6)
    found = fit_mixture(rows, 8, passes=60, tolerance=1e-4)
    words = Vocabulary(words=8, passes=5, seed=0).fit(rows)
    start = mixtures._from_words(rows, words.centroids_, np.zeros(6))
    counts = [rows[words.labels_ == k] for k in range(8)]
    np.testing.assert_allclose(start.variances, [part.var(0) for part in counts], rtol=1e-3)
    theirs = GaussianMixture(
        8, covariance_type="diag", weights_init=np.bincount(words.labels_) / 3000, means_init=start.means,
        precisions_init=1 / start.variances, max_iter=60, tol=1e-4,
    ).fit(rows.astype(np.float64))  # fmt: skip
    assert theirs_of(found).score(rows) == pytest.approx(theirs.score(rows), abs=1e-3)  # nats a row; observed: 2e-6
    np.testing.assert_allclose(found.means, theirs.means_, atol=0.01)


def test_equal_rows_do_not_make_a_component_of_no_width() -> None:
    rows = values(500)
    rows[::2] = 0
    found = fit_mixture(rows, 4)
    assert (found.variances >= 0.999 * LEAST_VARIANCE * rows.var(0)).all()
    assert all(np.isfinite(a).all() for a in vars(found).values())
    flat = fit_mixture(np.ones((20, 3), np.float32), 2)
    assert all(np.isfinite(a).all() for a in vars(flat).values())
    assert np.isfinite(flat.posteriors(np.ones((2, 3), np.float32))[0]).all()


def test_one_row_is_no_mixture() -> None:
    with pytest.raises(DataError, match="at least 2 rows for a mixture; got 1; take more descriptors"):
        fit_mixture(np.ones((1, 3), np.float32), 1)
