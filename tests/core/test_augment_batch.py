"""Augmentation of batches: what each change does, and that it depends on nothing but its numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.core.augment_batch import PRESETS, BatchAugmentation, augment_batch, centre, mix_batch, preset
from striate.core.checks import UsageError
from striate.core.counter_random import uniforms


def numbers(options: BatchAugmentation, count: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.from_numpy(uniforms(seed, 0, np.arange(count), options.numbers(*size)))


def changed(images: Tensor, seed: int = 0, **strengths) -> Tensor:
    options = BatchAugmentation(**strengths)
    size = (images.shape[2], images.shape[3])
    return augment_batch(images, numbers(options, len(images), size, seed), options, size)


def test_uniform_numbers_are_a_function_of_their_place() -> None:
    whole = uniforms(3, 5, np.arange(10), 4)
    assert np.array_equal(uniforms(3, 5, np.array([7, 2]), 4), whole[[7, 2]])
    assert np.array_equal(uniforms(3, 5, np.arange(10), 9)[:, :4], whole)
    assert not np.array_equal(uniforms(4, 5, np.arange(10), 4), whole)
    assert not np.array_equal(uniforms(3, 6, np.arange(10), 4), whole)
    assert not np.array_equal(uniforms(3, -1, np.arange(10), 4), whole)


def test_uniform_numbers_are_uniform() -> None:
    many = uniforms(0, 0, np.arange(20_000), 8)
    assert many.min() >= 0
    assert many.max() < 1
    assert many.mean(0) == pytest.approx(0.5, abs=0.01)
    assert many.var(0) == pytest.approx(1 / 12, abs=0.003)
    assert np.abs(np.corrcoef(many.T) - np.eye(8)).max() < 0.03
    assert abs(np.corrcoef(many[:-1, 0], many[1:, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_asked_nothing_changed(channels: int) -> None:
    images = torch.rand(4, channels, 9, 7)
    assert torch.equal(changed(images), images)
    cut = augment_batch(images, torch.zeros(4, 16), BatchAugmentation(), (5, 5))
    assert torch.equal(cut, images[:, :, 2:7, 1:6])


def test_a_picture_smaller_than_its_frame_stands_in_zeros() -> None:
    images = torch.rand(2, 1, 28, 27)
    framed = centre(images, (32, 32))
    assert torch.equal(framed[:, :, 2:30, 3:30], images)
    assert framed.sum() == pytest.approx(float(images.sum()))


def test_words_for_an_augmentation() -> None:
    assert preset("objects") == PRESETS["objects"]
    assert preset("objects,cutmix=1,outside=zeros") == replace(PRESETS["objects"], cutmix=1.0, outside="zeros")
    for words, message in (
        ("object", "augmentation to be one of none, .*did you mean 'objects'"),
        ("none,mixip=1", "field of an augmentation.*did you mean 'mixup'"),
        ("none,mixup=much", "a number for mixup; got 'much'; write none,mixup=0.5"),
        ("none,flip=3", "flip"),
    ):
        with pytest.raises(UsageError, match=message):
            preset(words)


def test_flip_mirrors_about_half_of_the_pictures() -> None:
    images = torch.rand(400, 1, 6, 6)
    got = changed(images, flip=0.5)
    same = (got - images).abs().amax((1, 2, 3)) < 1e-5
    mirrored = (got - images.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert bool((same ^ mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_translation_moves_by_at_most_its_share() -> None:
    images = torch.zeros(300, 1, 33, 33)
    images[:, :, 16, 16] = 1
    got = changed(images, translate=0.25, outside="zeros")
    y, x = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    weight = got[:, 0]
    assert torch.allclose(weight.sum((1, 2)), torch.ones(300), atol=1e-4)
    dx, dy = ((weight * axis).sum((1, 2)) - 16 for axis in (x, y))
    for moved in (dx, dy):
        assert (moved - moved.round()).abs().max() < 1e-3  # whole pixels, so nothing is blurred
        assert moved.abs().max() <= 0.25 * 33 + 1e-3
        assert moved.abs().max() > 0.2 * 33


def test_rotation_keeps_what_is_round_and_turns_what_is_long() -> None:
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    disc = torch.sigmoid(10 - (x**2 + y**2).sqrt())[None, None].expand(50, 1, 41, 41)
    assert (changed(disc, rotate=40, outside="border") - disc).abs().max() < 0.05
    bar = torch.exp(-((y / 2) ** 2))[None, None].expand(50, 1, 41, 41)
    got = changed(bar, rotate=40, outside="zeros")[:, 0]
    angles = torch.atan2(2 * (got * x * y).sum((1, 2)), (got * (x**2 - y**2)).sum((1, 2))) / 2
    assert angles.abs().max().rad2deg() < 41
    assert angles.abs().max().rad2deg() > 30


def test_rotation_does_not_shear_pictures_that_are_not_square() -> None:
    y, x = torch.meshgrid(torch.arange(31.0) - 15, torch.arange(61.0) - 30, indexing="ij")
    disc = torch.sigmoid(10 - (x**2 + y**2).sqrt())[None, None].expand(20, 1, 31, 61)
    assert (changed(disc, rotate=40, outside="border") - disc).abs().max() < 0.05


def test_crops_stay_inside_and_fill_the_result() -> None:
    x = torch.linspace(0, 1, 64)[None, None, None, :].expand(200, 1, 64, 64).contiguous()
    options = BatchAugmentation(crop=0.25, aspect=0.3)
    got = augment_batch(x, numbers(options, 200, (32, 32)), options, (32, 32))
    assert got.shape == (200, 1, 32, 32)
    span = got[:, 0, 16, -1] - got[:, 0, 16, 0]
    assert span.min() > 0.3  # the smallest part is half a side wide, narrowed by its shape
    assert span.max() <= 1.0
    assert got[:, 0, 16, 0].std() > 0.05  # from anywhere


def test_elastic_distortion_is_smooth_and_of_the_asked_strength() -> None:
    x = torch.linspace(0, 1, 28)[None, None, None, :].expand(64, 1, 28, 28).contiguous()
    moved = changed(x, elastic=1.2, outside="border") - x
    assert 0.005 < moved.std() < 0.1  # of a side: about a pixel of 28
    rough = (moved[:, :, 1:] - moved[:, :, :-1]).abs().max()
    assert rough < 0.08
    assert not torch.equal(moved[0], moved[1])


def test_colour() -> None:
    images = torch.rand(200, 3, 8, 8) * 0.4 + 0.3
    bright = changed(images, brightness=0.3).mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert 0.69 < bright.min() < 0.8
    assert 1.2 < bright.max() < 1.31
    contrast = changed(images, contrast=0.3).flatten(1).std(1) / images.flatten(1).std(1)
    assert 0.69 < contrast.min() < 0.8
    grey = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(changed(grey, saturation=0.9), grey, atol=1e-5)
    shift = (changed(images, pca=0.1) - images).mean((2, 3))
    assert torch.allclose(shift.std(0), torch.tensor([0.0125, 0.0127, 0.0127]), atol=0.004)
    assert torch.equal(changed(images[:, :1], saturation=0.5, pca=0.1), images[:, :1])  # grey has neither


def test_cutout_is_a_square_of_its_size() -> None:
    images = torch.ones(100, 1, 20, 20)
    cut = changed(images, cutout=0.5) < 1
    area = cut.flatten(1).sum(1)
    assert area.max() == 100
    assert area.min() >= 20  # its middle lies inside
    assert changed(images, cutout=0.5)[cut].unique().tolist() == [0.5]


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing_keeps_shares_and_pictures_in_step(kind: str) -> None:
    images, targets = torch.eye(4)[:, :, None, None].expand(4, 4, 16, 16).contiguous(), torch.eye(4)
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        mixed, shares = mix_batch(images, targets, BatchAugmentation(**{kind: 0.5}), generator)
        assert torch.allclose(mixed.mean((2, 3)), shares, atol=1e-5)
        assert torch.allclose(shares.sum(1), torch.ones(4))
        assert (shares.diagonal() >= 0).all()


def test_beta_numbers_have_the_right_spread() -> None:
    one = torch.zeros(2, 1, 1, 1)
    one[0] = 1
    generator = torch.Generator().manual_seed(0)
    for alpha in (0.2, 1.0, 3.0):
        options = BatchAugmentation(mixup=alpha)
        draws = torch.tensor([mix_batch(one, torch.eye(2), options, generator)[1][0, 0] for _ in range(2000)])
        assert draws.mean() == pytest.approx(0.5, abs=0.03)
        assert draws.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


def test_a_picture_alone_is_changed_as_in_a_batch() -> None:
    images = torch.rand(5, 3, 12, 12)
    for options in PRESETS.values():
        rows = numbers(options, 5, (12, 12))
        together = augment_batch(images, rows, options, (12, 12))
        alone = augment_batch(images[3:4], rows[3:4], options, (12, 12))
        torch.testing.assert_close(together[3:4], alone, atol=1e-6, rtol=0)
        assert together.min() >= 0
        assert together.max() <= 1


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"flip": 1.5}, "flip to lie between 0 and 1; got 1.5"),
        ({"rotate": -3}, "rotate of 0 or more; got -3"),
        ({"outside": "wrap"}, "outside to be one of zeros, border, reflection; got 'wrap'"),
    ],
)
def test_bad_strengths(keywords: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        BatchAugmentation(**keywords)
