"""Training pictures: the canvas, repeatability by key, collation, crowd regions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from striate.core.augment import Augmentation
from striate.core.checks import DataError
from striate.core.datasets import BoxDataset, BoxSample, load_boxes
from striate.core.datasets.synthetic import shapes_scene, write_synthetic
from striate.core.images import save_image
from striate.detection.data import TrainingPictures, canvas_for, training_splits


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> BoxDataset:
    folder = tmp_path_factory.mktemp("shapes")
    write_synthetic(folder, 6, 1, scene="shapes", seed=1)
    return load_boxes(folder, "train")


@pytest.mark.parametrize(
    ("size", "image_size", "canvas"),
    [
        ((480, 640), 416, (320, 416)),
        ((640, 480), 416, (416, 320)),
        ((500, 500), 416, (416, 416)),
        ((10, 20000), 416, (32, 416)),
        ((1, 1), 100, (128, 128)),
    ],
)
def test_canvas(size: tuple[int, int], image_size: int, canvas: tuple[int, int]) -> None:
    assert canvas_for(size, image_size) == canvas


def test_a_key_gives_the_same_picture_whatever_came_before(dataset: BoxDataset) -> None:
    first = TrainingPictures(dataset, 128, Augmentation(), plain_from=9, seed=0)
    second = TrainingPictures(dataset, 128, Augmentation(), plain_from=9, seed=0)
    for index in range(6):
        second[(3, index)]
    a, b = first[(5, 2)][0], second[(5, 2)][0]
    assert (a.image == b.image).all()
    assert (a.boxes == b.boxes).all()
    assert (first[(6, 2)][0].image != a.image).any()


def test_last_epochs_are_without_mosaic(dataset: BoxDataset) -> None:
    still = Augmentation(mosaic=1, scale=0, translate=0, flip_horizontal=0, hue=0, saturation=0, value=0)
    pictures = TrainingPictures(dataset, 128, still, plain_from=1, seed=0)
    assert len(pictures[(1, 0)][0].boxes) == len(dataset[0].boxes)
    np.testing.assert_allclose(pictures[(1, 0)][0].boxes, pictures[(2, 0)][0].boxes)


def test_collate_pads_and_masks(dataset: BoxDataset) -> None:
    pictures = TrainingPictures(dataset, 128, Augmentation(mosaic=0), plain_from=9, seed=0)
    samples = [pictures[(0, i)] for i in range(4)]
    batch = pictures.collate(samples)
    assert batch["images"].shape == (4, 3, *pictures.canvas)
    counts = [len(sample.boxes) for sample, _ in samples]
    assert batch["mask"].sum(1).tolist() == counts
    assert batch["boxes"].shape == (4, max(counts), 4)
    assert (batch["images"][2].permute(1, 2, 0).numpy() == samples[2][0].image).all()
    assert batch["sources"] == [str(dataset[i].image) for i in range(4)]


def test_crowds_are_not_learned(tmp_path: Path) -> None:
    image, boxes, class_ids = shapes_scene(0)
    path = save_image(image, tmp_path / "a.png")
    crowd = np.zeros(len(boxes), bool)
    crowd[0] = True
    sample = BoxSample(path, boxes, class_ids, crowd, image.shape[1], image.shape[0])
    dataset = BoxDataset([sample], ("a", "b", "c"), tmp_path, "train", "synthetic")
    still = Augmentation(mosaic=0, scale=0, translate=0)
    assert len(TrainingPictures(dataset, 128, still, plain_from=0, seed=0)[(0, 0)][0].boxes) == len(boxes) - 1


def test_splits_of_a_folder(tmp_path: Path) -> None:
    write_synthetic(tmp_path, 2, 1, scene="shapes", seed=0)
    train, val = training_splits(tmp_path, None, (), fixed=True)
    assert val is not None
    assert (train.split, val.split, train.names) == ("train", "val", ("circle", "square", "triangle"))
    # a detector of the same classes in another order keeps its own order, one of other classes learns these
    order = ("square", "triangle", "circle")
    assert training_splits(tmp_path, None, order, fixed=False)[0].names == order
    assert training_splits(tmp_path, None, ("cat",), fixed=False)[0].names == train.names
    with pytest.raises(DataError, match="validation pictures of the classes"):
        training_splits(train, replace(val, names=order), (), fixed=True)
    with pytest.raises(DataError, match="validation pictures with boxes; got none in 0 pictures"):
        training_splits(train, replace(val, samples=[]), (), fixed=True)
