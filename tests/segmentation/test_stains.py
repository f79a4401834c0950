"""Stains are scikit-image's; a picture of haematoxylin is bright where nuclei are."""

import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2hed

from striate.core.checks import ImageError
from striate.segmentation.stains import haematoxylin, stain_amounts


@pytest.mark.parametrize("stain", [0, 1, 2], ids=["haematoxylin", "eosin", "DAB"])
def test_amounts_are_scikit_images(stain: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_allclose(stain_amounts(image, stain), rgb2hed(image)[..., stain], atol=1e-6)


def test_blue_nuclei_are_bright_and_brown_cytoplasm_is_not() -> None:
    image = data.immunohistochemistry()
    before = image.copy()
    grey = haematoxylin(image)
    assert (grey.shape, grey.dtype) == (image.shape, np.uint8)
    assert np.array_equal(image, before)
    assert (grey[..., 0] == grey[..., 1]).all()
    red, _, blue = np.moveaxis(image.astype(int), 2, 0)
    nuclei, cytoplasm, paper = (blue > red + 40), (red > blue + 60), (image.min(2) > 225)
    means = [grey[part, 0].mean() for part in (nuclei, cytoplasm, paper)]
    assert means[0] > 2 * means[1]
    assert means[1] > means[2]


def test_pictures_without_any_stain() -> None:
    for level in (0, 255):
        assert not haematoxylin(np.full((1, 1, 3), level, np.uint8)).any()
    with pytest.raises(ImageError, match="uint8 RGB"):
        haematoxylin(np.zeros((3, 3), np.uint8))
