"""Sets of pictures and masks: what they give, count, split, and refuse."""

from pathlib import Path

import numpy as np
import pytest

from striate.core.checks import DataError, UsageError
from striate.core.datasets.load_masks import load_masks
from striate.core.datasets.mask_code import MaskCode
from striate.core.datasets.masks import MaskDataset
from striate.tests.core.datasets.mask_sets import squares

NAMES = ("ground", "square")


def arrays(count: int = 4) -> MaskDataset:
    pictures = [np.full((20, 30, 3), 10 * i, np.uint8) for i in range(count)]
    return MaskDataset(pictures, [squares() for _ in range(count)], NAMES)


def test_arrays_are_pictures_and_masks() -> None:
    dataset = arrays()
    image, mask = dataset.pair(2)
    assert image.shape == (20, 30, 3)
    assert image[0, 0, 0] == 20
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, squares())
    assert dataset.colours == ((0, 0, 0), (128, 0, 0))
    assert (dataset.source(2), dataset.mask_source(2)) == ("train picture 2", "train mask 2")


def test_pixels_are_counted_once_and_ignored_ones_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = squares()
    mask[0] = 255
    dataset = MaskDataset([np.zeros((20, 30), np.uint8)] * 2, [mask, squares()], NAMES)
    assert dataset.histograms.tolist() == [[600 - 60 - 30, 60, 30], [540, 60, 0]]
    assert dataset.counts() == {"ground": 510 + 540, "square": 120}
    monkeypatch.setattr(MaskDataset, "mask", lambda *_: pytest.fail("read again"))
    assert dataset.subset([1]).counts() == {"ground": 540, "square": 60}


def test_a_part_split_off_is_the_same_for_a_seed_and_shares_nothing() -> None:
    rest, part = arrays(10).split_off(0.2, seed=3)
    again = arrays(10).split_off(0.2, seed=3)[1]
    levels = [{int(d.image(i)[0, 0, 0]) for i in range(len(d))} for d in (rest, part, again)]
    assert (len(rest), len(part), part.split) == (8, 2, "val")
    assert not levels[0] & levels[1]
    assert levels[1] == levels[2] != set()
    other = {int(d.image(i)[0, 0, 0]) for d in [arrays(10).split_off(0.2, seed=4)[1]] for i in range(2)}
    assert other != levels[1]


def test_the_fingerprint_knows_pixels_names_and_meaning() -> None:
    first = arrays().fingerprint()
    assert arrays().fingerprint() == first
    changed = [squares() for _ in range(4)]
    changed[0][0, 0] = 1
    others = [
        MaskDataset(arrays().pictures, changed, NAMES),
        MaskDataset(arrays().pictures, arrays().masks, ("a", "b")),
        MaskDataset(arrays().pictures, arrays().masks, NAMES, code=MaskCode.foreground()),
    ]
    assert len({first, *(other.fingerprint() for other in others)}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": [squares()]}, "a mask for every picture; got 2 and 1"),
        ({"names": ()}, "at least one class name"),
        ({"names": tuple(map(str, range(255)))}, "at most 254 classes; got 255"),
        ({"colours": ((0, 0, 0),)}, "a colour for every class; got 1 colours and 2 names"),
    ],
)
def test_sets_that_do_not_fit_together(change: dict, message: str) -> None:
    whole = {"pictures": [squares()] * 2, "masks": [squares()] * 2, "names": NAMES}
    with pytest.raises(DataError, match=message):
        MaskDataset(**whole | change)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (squares(7), r"values out of 0-1 and 255 \(ignored\); got 7 in train mask 0; add lines such as '7 NAME'"),
        (squares().astype(np.int64), "a mask as uint8"),
        (np.zeros((0, 3), np.uint8), "a mask as uint8"),
        (np.zeros((5, 4), np.uint8), "as large as its picture; got 4x5 for a picture of 30x20"),
        (np.zeros((30, 20), np.uint8), "turned by its EXIF orientation"),
    ],
)
def test_masks_that_are_none(mask: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        MaskDataset([squares()], [mask], NAMES).pair(0)


def test_shares_and_sets_that_cannot_be_split() -> None:
    with pytest.raises(UsageError, match="share between 0 and 1"):
        arrays().split_off(1.0)
    with pytest.raises(DataError, match="at least two pictures"):
        arrays(1).split_off(0.5)


def test_camvid_and_nuclei_have_the_pixels_that_their_pages_say(shared_data: Path) -> None:
    streets = load_masks(shared_data / "camvid", "val")
    assert len(streets) == 101
    assert len(streets.names) == 11
    assert streets.names[0] == "Sky"
    assert streets.pair(0)[1].shape == (360, 480)
    assert streets.histograms.sum() == 101 * 360 * 480
    nuclei = load_masks(shared_data / "nuclei", "train").subset(range(5))
    assert nuclei.names == ("background", "foreground")
    assert set(np.unique(nuclei.mask(0)).tolist()) == {0, 1}
