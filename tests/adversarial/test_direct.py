"""The direct encoding: polynomial mutation against its definition, pixels that become pictures, files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from striate.adversarial.direct import DirectEncoding, check_size, grey_pictures, hsv_pictures, polynomial_steps
from striate.core.checks import CheckpointError, UsageError

SIZE = (8, 10)


def test_polynomial_steps_have_deb_s_density() -> None:
    """P(delta) = (strength + 1) / 2 * (1 - |delta|)^strength, whose distribution function is written down here."""
    for strength in (1.0, 15.0):
        steps = polynomial_steps(np.random.default_rng(0).random(20_000, dtype=np.float32), strength)

        def below(delta: np.ndarray, power: float = strength + 1) -> np.ndarray:
            tail = 0.5 * (1 - np.abs(delta)) ** power
            return np.where(delta < 0, tail, 1 - tail)

        assert kstest(steps, below).pvalue > 0.01
        assert np.abs(np.abs(steps).mean() - 1 / (strength + 2)) < 0.01 / (strength + 2) * 3


def test_the_share_of_pixels_that_change_is_halved_every_thousand_generations() -> None:
    encoding, rng = DirectEncoding(rate=0.2), np.random.default_rng(0)
    parents = [np.full((64, 64, 1), 0.5, np.float32)] * 20
    for generation, share in ((1, 0.2), (999, 0.2), (1000, 0.1), (2500, 0.05)):
        children = encoding.mutate(parents, generation, rng)
        assert np.mean([child != 0.5 for child in children]) == pytest.approx(share, rel=0.05)
    assert (parents[0] == 0.5).all()  # parents stay as they are


def test_mutation_stays_inside_the_range() -> None:
    encoding, rng = DirectEncoding(rate=1.0, strength=1.0), np.random.default_rng(0)
    children = encoding.mutate(encoding.random(50, SIZE, 3, rng), 1, rng)
    assert all(child.min() >= 0 and child.max() <= 1 and child.dtype == np.float32 for child in children)


def test_random_genomes_are_uniform_noise() -> None:
    genomes = DirectEncoding().random(40, SIZE, 1, np.random.default_rng(0))
    assert kstest(np.stack(genomes).ravel(), "uniform").pvalue > 0.01
    assert genomes[0].shape == (*SIZE, 1)


def test_brightness_and_hue_become_pictures() -> None:
    grey = grey_pictures(np.float32([[[[0.0], [0.5], [1.0]]]]))[0]
    assert grey.tolist() == [[[0] * 3, [128] * 3, [255] * 3]]
    colours = np.float32([[[[0, 1, 1], [1 / 3, 1, 1], [2 / 3, 1, 0.5], [0.2, 0, 1]]]])
    assert hsv_pictures(colours)[0].tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 128], [255, 255, 255]]]


def test_pictures_are_those_of_the_encoding_s_channels() -> None:
    encoding, rng = DirectEncoding(), np.random.default_rng(0)
    for channels in (1, 3):
        picture = encoding.pictures(encoding.random(2, SIZE, channels, rng), SIZE, channels)[1]
        assert picture.shape == (*SIZE, 3)
        assert picture.dtype == np.uint8
        assert bool((picture == picture[..., :1]).all()) is (channels == 1)


def test_genomes_come_back_from_their_arrays() -> None:
    encoding = DirectEncoding()
    genomes = encoding.random(3, SIZE, 1, np.random.default_rng(0))
    back = encoding.unpack(encoding.pack(genomes), 3, SIZE, 1)
    assert all(np.array_equal(a, b) for a, b in zip(genomes, back, strict=True))


def test_arrays_that_are_no_genomes_are_refused() -> None:
    encoding = DirectEncoding()
    right = encoding.pack(encoding.random(3, SIZE, 1, np.random.default_rng(0)))
    for wrong in ({}, {"pixels": right["pixels"] + 1}, {"pixels": right["pixels"][:2]}):
        with pytest.raises(CheckpointError, match=r"pixels \(3, 8, 10, 1\) in \[0, 1\]"):
            encoding.unpack(wrong, 3, SIZE, 1)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="rate to lie between 0 and 1"):
        DirectEncoding(rate=1.5)
    with pytest.raises(UsageError, match="strength to be a positive number"):
        DirectEncoding(strength=0)
    for size in ((4, 64), (64, 2000), (64,), (64, 6.5)):
        with pytest.raises(UsageError, match="8 to 1024 pixels"):
            check_size(size)  # type: ignore[arg-type]
