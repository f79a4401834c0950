"""Colours moved from one picture to another."""

from __future__ import annotations

import pytest
import torch
from skimage.exposure import match_histograms

from striate.style.colours import luminance, matched_histograms, matched_luminance, matched_moments, with_luminance

GENERATOR = torch.Generator().manual_seed(0)
STYLE = torch.rand(1, 3, 20, 30, generator=GENERATOR) ** 2
CONTENT = torch.rand(1, 3, 24, 25, generator=GENERATOR) * torch.tensor([0.2, 0.9, 0.5])[:, None, None]


def test_moments_become_the_content_s() -> None:
    found, wanted = matched_moments(STYLE, CONTENT)[0].flatten(1), CONTENT[0].flatten(1)
    torch.testing.assert_close(found.mean(1), wanted.mean(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cov(found), torch.cov(wanted), rtol=0, atol=1e-4)


def test_histograms_become_the_content_s_as_in_scikit_image() -> None:
    found = matched_histograms(STYLE, CONTENT)[0].permute(1, 2, 0).numpy()
    theirs = match_histograms(STYLE[0].permute(1, 2, 0).numpy(), CONTENT[0].permute(1, 2, 0).numpy(), channel_axis=-1)
    assert abs(found - theirs).max() < 1e-5


def test_values_that_are_equal_stay_equal() -> None:
    style = (STYLE * 7).round() / 7  # eight values of 600 pixels, as a drawing of few colours has
    style[..., :15] = 0.0
    content = (CONTENT * 255).round() / 255
    found = matched_histograms(style, content)[0].permute(1, 2, 0).numpy()
    pictures = [images[0].permute(1, 2, 0).numpy() for images in (style, content)]
    assert abs(found - match_histograms(*pictures, channel_axis=-1)).max() < 1e-5
    assert (found[:, :15] == found[0, 0]).all()


def test_luminance_has_the_content_s_mean_and_deviation() -> None:
    found, wanted = matched_luminance(STYLE, CONTENT), luminance(CONTENT)
    assert float(found.mean()) == pytest.approx(float(wanted.mean()), abs=1e-5)
    assert float(found.std()) == pytest.approx(float(wanted.std()), rel=0.01)


def test_another_luminance_keeps_the_chroma() -> None:
    pale = CONTENT * 0.3 + 0.3
    found = with_luminance(pale, luminance(pale) + 0.1)
    torch.testing.assert_close(found, pale + 0.1)
    assert with_luminance(CONTENT, torch.ones_like(CONTENT)).max() <= 1
