"""Histograms over words, and the lattice, against loops in float64."""

import numpy as np
import pytest

from striate.bow_baseline.encoding import GridEncoder, HardEncoder, LlcEncoder, SoftEncoder
from striate.bow_baseline.word_encoding import WordEncoder
from striate.tests.bow_baseline.test_encoder import descriptors, values

EVERYTHING = [np.arange(90)]


def distances(encoder: WordEncoder, row: np.ndarray) -> np.ndarray:
    return ((row.astype(np.float64) - encoder.centroids_) ** 2).sum(1)


def plain(encoder: WordEncoder, code) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All codes of the picture by a loop, their sums and their maxima."""
    codes = np.zeros((90, encoder.words))
    for i, row in enumerate(descriptors().values):
        chosen, weights = code(row)
        codes[i, chosen] = weights
    return codes, codes.sum(0), np.maximum(codes.max(0), 0)


def compare(encoder: WordEncoder, code, tolerance: float) -> None:
    codes, sums, maxima = plain(encoder, code)
    np.testing.assert_allclose(encoder.codes(descriptors()).toarray(), codes, atol=tolerance)
    np.testing.assert_allclose(encoder.encode(descriptors(), EVERYTHING)[0], sums, atol=tolerance * 90)
    encoder.pool = "max"
    np.testing.assert_allclose(encoder.encode(descriptors(), EVERYTHING)[0], maxima, atol=tolerance)


def test_hard_assignment_counts_nearest_words() -> None:
    encoder = HardEncoder(words=15).fit(values())
    compare(encoder, lambda row: (distances(encoder, row).argmin(), 1.0), 1e-7)
    expected = [distances(encoder, row).argmin() for row in descriptors().values]
    assert encoder.words_of(descriptors()).tolist() == expected


@pytest.mark.parametrize("neighbours", [1, 4, 15])
def test_soft_assignment_by_a_gaussian_of_the_distance(neighbours: int) -> None:
    encoder = SoftEncoder(words=15, neighbours=neighbours, bandwidth=0.7).fit(values())
    nearest = [distances(encoder, row).min() for row in values()]
    assert encoder.spread_ == pytest.approx(np.sqrt(np.mean(nearest)), rel=1e-5)
    sigma = 0.7 * np.sqrt(np.mean(nearest))

    def code(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        squared = distances(encoder, row)
        chosen = np.argsort(squared)[:neighbours]
        weights = np.exp(-squared[chosen] / (2 * sigma**2))
        return chosen, weights / weights.sum()

    compare(encoder, code, 1e-5)  # observed: 8e-7


def test_soft_assignment_where_all_rows_are_words() -> None:
    rows = np.eye(6, dtype=np.float32)
    encoder = SoftEncoder(words=6, neighbours=3).fit(rows)
    picture = descriptors(6)
    object.__setattr__(picture, "values", rows)
    np.testing.assert_allclose(encoder.codes(picture).toarray().max(1), 1)


def test_locality_constrained_codes_rebuild_the_descriptor() -> None:
    encoder = LlcEncoder(words=15, neighbours=4, ridge=1e-3, pool="sum").fit(values())

    def code(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.argsort(distances(encoder, row))[:4]
        away = encoder.centroids_[chosen].astype(np.float64) - row
        gram = away @ away.T
        weights = np.linalg.solve(gram + 1e-3 * np.trace(gram) * np.eye(4), np.ones(4))
        return chosen, weights / weights.sum()

    compare(encoder, code, 2e-4)  # observed: 3e-7
    codes = encoder.codes(descriptors()).toarray()
    np.testing.assert_allclose(codes.sum(1), 1, atol=1e-5)
    rebuilt = ((codes @ encoder.centroids_ - descriptors().values) ** 2).sum(1)
    alone = [distances(encoder, row).min() for row in descriptors().values]
    assert (rebuilt <= np.array(alone) + 1e-5).all()


def test_a_descriptor_that_is_its_own_neighbours() -> None:
    encoder = LlcEncoder(words=3, neighbours=3)
    encoder.restore({"centroids": np.ones((3, 16), np.float32)})
    picture = descriptors()
    picture.values[:] = 1
    np.testing.assert_allclose(encoder.codes(picture).toarray(), 1 / 3, rtol=1e-6)


def test_cells_of_the_lattice() -> None:
    encoder = GridEncoder(components=3, levels=4).fit(values())
    rows = encoder.projection_.transform(descriptors().values).astype(np.float64)
    spread = encoder.projection_.transform(values()).std(0)
    cells = np.zeros(90, np.int64)
    for i, row in enumerate(rows):
        for value, side in zip(row, spread, strict=True):
            cells[i] = 4 * cells[i] + np.clip(int(np.floor(value / side)) + 2, 0, 3)
    assert encoder.words_of(descriptors()).tolist() == cells.tolist()
    assert encoder.encode(descriptors(), EVERYTHING)[0].tolist() == np.bincount(cells, minlength=64).tolist()
    nearest = ((rows[:, None] - encoder.centroids_) ** 2).sum(2).argmin(1)
    assert nearest.tolist() == cells.tolist()  # centroids_ are the middles of the cells
