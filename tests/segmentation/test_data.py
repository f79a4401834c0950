"""Pictures and masks move together, by nothing but (seed, epoch, index); no class is invented."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from striate.core import batches
from striate.core.augment import FILL
from striate.core.checks import DataError, UsageError
from striate.core.datasets.load_masks import load_masks
from striate.core.datasets.masks import MaskDataset
from striate.segmentation import data
from striate.segmentation.data import PRESETS, MaskAugmentation, TrainingMasks, augment_pair

NAMES = ("a", "b", "c", "d")


def painted(height: int = 60, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A mask of four classes, and a picture whose red says the class: 20, 70, 120, 170."""
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows > height * 0.45) * 2 + (columns > width * 0.6)).astype(np.uint8)
    return np.stack((20 + 50 * mask, 0 * mask, 0 * mask), -1).astype(np.uint8), mask


def drawn(options: MaskAugmentation, seed: int = 0, size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray]:
    return augment_pair(*painted(), np.random.default_rng(seed), size, options)


GEOMETRY = {
    "cut": MaskAugmentation(),
    "zoom in": MaskAugmentation((1.7, 2.0)),
    "zoom out": MaskAugmentation((0.4, 0.5)),
    "rotate": MaskAugmentation(rotate=180),
    "flips": MaskAugmentation(flip_horizontal=1, flip_vertical=1),
    "transpose": MaskAugmentation(transpose=1),
    "all": MaskAugmentation((0.5, 2.0), 30, 0.5, 0.5, 0.5),
}


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_stays_on_the_picture(name: str, seed: int) -> None:
    image, mask = drawn(GEOMETRY[name], seed)
    assert image.shape == (48, 64, 3)
    assert mask.shape == (48, 64)
    inside = mask != 255
    assert set(np.unique(mask[inside]).tolist()) <= {0, 1, 2, 3}
    assert inside.any()
    # Interpolated colours differ on edges only: a pixel's red is nearest to that of its own class nearly everywhere.
    nearest = np.rint((image[..., 0].astype(float) - 20) / 50)
    agree = (nearest == mask)[inside].mean()
    assert agree > (0.999 if name in ("cut", "flips", "transpose") else 0.93)
    plain_outside = (image == FILL).all(-1)
    assert (plain_outside | inside).mean() > 0.97


@pytest.mark.parametrize("name", ["cut", "flips", "transpose"])
def test_whole_pixels_are_not_blurred(name: str) -> None:
    for seed in range(5):
        image, mask = drawn(GEOMETRY[name], seed)
        inside = mask != 255
        assert np.array_equal(image[inside][:, 0], 20 + 50 * mask[inside])


def test_a_cut_is_a_part_of_the_picture_and_all_parts_are_drawn() -> None:
    image = np.zeros((10, 12, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(10)[:, None], np.arange(12)
    corners = set()
    for seed in range(200):
        part, mask = augment_pair(image, image[..., 0], np.random.default_rng(seed), (8, 9), MaskAugmentation())
        top, left = part[0, 0, :2].tolist()
        assert np.array_equal(part, image[top : top + 8, left : left + 9])
        assert np.array_equal(mask, part[..., 0])
        corners.add((top, left))
    assert corners == {(y, x) for y in range(3) for x in range(4)}


def test_a_small_picture_lies_whole_inside_the_part() -> None:
    for seed in range(5):
        image, mask = drawn(MaskAugmentation(), seed, (100, 120))
        assert (mask != 255).sum() == 60 * 80
        assert (image[mask == 255] == FILL).all()


def test_the_zoom_is_the_factor_asked_for() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    mask = np.zeros((200, 200), np.uint8)
    mask[80:120, 80:120] = 1
    for factor in (0.5, 2.0):
        options = MaskAugmentation((factor, factor))
        moved = augment_pair(image, mask, np.random.default_rng(0), (400, 400), options)[1]
        assert (moved == 1).sum() == pytest.approx(1600 * factor**2, rel=0.06)


def test_flips_are_as_frequent_as_asked_for() -> None:
    image, mask = painted()
    options = MaskAugmentation(flip_horizontal=0.3)
    flipped = 0
    for seed in range(300):
        moved = augment_pair(image, mask, np.random.default_rng(seed), (60, 80), options)[1]
        flipped += not np.array_equal(moved, mask)
    assert 0.22 < flipped / 300 < 0.38


def test_colours_change_and_masks_do_not() -> None:
    options = MaskAugmentation(hue=0.1, saturation=0.5, value=0.5)
    (image, mask), (plain, same) = drawn(options), drawn(MaskAugmentation())
    assert np.array_equal(mask, same)
    assert not np.array_equal(image, plain)


def dataset(count: int = 3) -> MaskDataset:
    image, mask = painted()
    return MaskDataset([np.roll(image, i, 1) for i in range(count)], [np.roll(mask, i, 1) for i in range(count)], NAMES)


def test_a_sample_is_a_function_of_seed_epoch_and_index() -> None:
    keys = [(0, 0), (0, 1), (1, 0)]
    first, again = (TrainingMasks(dataset(), (32, 40), "photos", seed=5) for _ in range(2))
    forward, backward = [first[key] for key in keys], [again[key] for key in reversed(keys)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    assert not np.array_equal(forward[0][0], forward[2][0])
    other_seed = TrainingMasks(dataset(), (32, 40), "photos", seed=6)
    assert not np.array_equal(other_seed[0, 0][0], forward[0][0])


def test_batches() -> None:
    pictures = TrainingMasks(dataset(), (32, 40), "none")
    batch = pictures.collate([pictures[4, i] for i in (2, 0)])
    assert batch["images"].shape == (2, 3, 32, 40)
    assert batch["masks"].shape == (2, 32, 40)
    assert str(batch["images"].dtype) == str(batch["masks"].dtype) == "torch.uint8"
    assert (batch["epoch"], batch["indices"].tolist()) == (4, [2, 0])
    assert batch["sources"] == ["train picture 2", "train picture 0"]
    assert len(pictures) == 3


def test_pictures_are_read_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = TrainingMasks(dataset(), (32, 40))
    pictures.free = 60 * 80 * 4  # room for one
    expected = [pictures[0, i][0] for i in range(2)]
    assert list(pictures.cache) == [0]
    assert pictures.free == 0
    assert all(np.array_equal(pictures[0, i][0], expected[i]) for i in range(2))
    monkeypatch.setattr(MaskDataset, "pair", lambda *_: pytest.fail("read again"))
    assert np.array_equal(pictures[0, 0][0], expected[0])
    assert data.CACHE_BYTES > 360 * 480 * 4 * 367  # all of CamVid


def test_workers_share_the_memory_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for workers, kept in ((1, 4), (2, 2), (4, 1)):
        monkeypatch.setattr(data, "CACHE_BYTES", 4 * 10 * 12 * 4)
        monkeypatch.setattr(batches, "get_worker_info", lambda n=workers: SimpleNamespace(num_workers=n))
        images = [np.zeros((10, 12, 3), np.uint8)] * 6
        pictures = TrainingMasks(MaskDataset(images, [np.zeros((10, 12), np.uint8)] * 6, ("a", "b")), (8, 8))
        for index in range(6):
            pictures[0, index]
        assert len(pictures.cache) == kept
    monkeypatch.setattr(batches, "get_worker_info", lambda: None)
    alone = TrainingMasks(pictures.dataset, (8, 8))
    for index in range(6):
        alone[0, index]
    assert len(alone.cache) == 4


def test_presets_and_what_is_refused() -> None:
    assert TrainingMasks(dataset(), (8, 8), PRESETS["microscopy"]).augmentation == data.mask_preset("microscopy")
    with pytest.raises(UsageError, match="augmentation to be one of none, photos, microscopy; got 'photo'"):
        data.mask_preset("photo")
    with pytest.raises(UsageError, match=r"size \(height, width\) of at least 1x1; got \(0, 3\)"):
        TrainingMasks(dataset(), (0, 3))
    with pytest.raises(UsageError, match=r"zoom as \(smallest, largest\)"):
        MaskAugmentation((2.0, 1.0))
    with pytest.raises(UsageError, match="rotate from 0 to 180"):
        MaskAugmentation(rotate=-1)
    with pytest.raises(UsageError, match="hue to lie between 0 and 1"):
        MaskAugmentation(hue=2)
    with pytest.raises(DataError, match="as large as its picture"):
        TrainingMasks(MaskDataset([painted()[0]], [np.zeros((3, 3), np.uint8)], NAMES), (8, 8))[0, 0]


def test_one_pixel_is_a_picture() -> None:
    one = MaskDataset([np.full((1, 1, 3), 9, np.uint8)], [np.ones((1, 1), np.uint8)], NAMES)
    mask = TrainingMasks(one, (5, 7), "none")[0, 0][1]
    assert (mask == 1).sum() == 1
    assert (mask == 255).sum() == 34
    assert TrainingMasks(one, (1, 1), "none")[0, 0][1].tolist() == [[1]]


def test_real_streets_keep_their_classes(shared_data: Path) -> None:
    streets = load_masks(shared_data / "camvid", "val").subset(range(4))
    pictures = TrainingMasks(streets, (360, 480), "photos", seed=1)
    for i in range(4):
        assert set(np.unique(pictures[0, i][1])) <= {*np.unique(streets.mask(i)), 255}


def test_double_size_repeats_every_pixel_and_transposing_swaps_the_sides() -> None:
    image, mask = painted()
    rng = np.random.default_rng(0)
    double = augment_pair(image, mask, rng, (120, 160), MaskAugmentation((2.0, 2.0)))[1]
    assert np.array_equal(double, mask.repeat(2, 0).repeat(2, 1))
    turned, moved = augment_pair(image, mask, rng, (80, 60), MaskAugmentation(transpose=1))
    assert np.array_equal(moved, mask.T)
    assert np.array_equal(turned, image.transpose(1, 0, 2))
