"""What a user would notice: it learns, forgets nothing when saved, and refuses what it cannot do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.checkpoints import save_checkpoint
from striate.core.checks import CheckpointError, DataError, ImageError, ModelError, TrainingError, UsageError
from striate.core.classifier import Classifier
from striate.core.datasets.classes import from_arrays
from striate.core.datasets.masks import MaskDataset
from striate.segmentation import LabelMap, Segmenter

NAMES = ("background", "disc", "square")
QUICK = {"batch_size": 4, "augmentation": "none", "device": "cpu", "ema_decay": 0.9, "warmup_epochs": 1.0}


def shapes(count: int = 8, size: int = 64, seed: int = 0, names: tuple[str, ...] = NAMES) -> MaskDataset:
    """Bright discs and squares on a dark, noisy ground; a strip of each mask is ignored."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    pictures, masks = [], []
    for _ in range(count):
        mask = np.zeros((size, size), np.uint8)
        (cy, cx), (top, left) = rng.integers(14, size - 14, 2), rng.integers(4, size - 22, 2)
        mask[top : top + 18, left : left + 18] = 2
        mask[(y - cy) ** 2 + (x - cx) ** 2 < 11**2] = 1
        colours = np.array([(40, 40, 60), (210, 90, 60), (70, 180, 220)])
        pictures.append((colours[mask] + rng.normal(0, 12, (size, size, 3))).clip(0, 255).astype(np.uint8))
        mask[:, -2:] = 255
        masks.append(mask)
    return MaskDataset(pictures, masks, names)


def fresh(**keywords: object) -> Segmenter:
    return Segmenter(options={"size": "n"}, image_size=(64, 64), **keywords)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned() -> Segmenter:
    return fresh().fit(shapes(), val=shapes(4, seed=1), epochs=40, learning_rate=5e-3, **QUICK)


@pytest.fixture
def picture() -> np.ndarray:
    return shapes(1, seed=2).image(0)


def test_learns_eight_pictures(learned: Segmenter, picture: np.ndarray) -> None:
    figures = learned.evaluate(shapes(4, seed=3))
    assert figures["miou"] > 0.85
    assert learned.names == NAMES
    found = learned.predict(picture)
    assert isinstance(found, LabelMap)
    assert found.labels.shape == (64, 64)
    assert set(found.speed) == {"load", "network"}
    assert learned.history_ is not None
    assert learned.history_.rows[-1]["miou"] > 0.8
    assert {"cross_entropy_loss", "dice", "pixel_accuracy"} <= learned.history_.rows[-1].keys()
    assert learned.mean is not None
    assert 0.1 < learned.mean[0] < 0.5


def test_save_and_load_give_the_same_answers(learned: Segmenter, picture: np.ndarray, tmp_path: Path) -> None:
    path = learned.save(tmp_path / "shapes.safetensors", licence="CC0")
    expected = learned.predict(picture, probabilities=True)
    for again in (Segmenter.load(path), Segmenter.from_pretrained(path)):
        assert repr(again) == repr(learned)
        np.testing.assert_array_equal(again.predict(picture, probabilities=True).probabilities, expected.probabilities)
    half = learned.save(tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    assert (Segmenter.load(half).predict(picture).labels == expected.labels).mean() > 0.99


def test_every_kind_of_source_and_lists(learned: Segmenter, picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(picture).save(path)
    expected = learned.predict(picture).labels
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    sources = [str(path), path, path.read_bytes(), Image.fromarray(picture), tensor]
    results = learned.predict(sources)
    assert all(np.array_equal(found.labels, expected) for found in results)
    assert [found.source for found in results] == [str(path), str(path), None, None, None]
    np.testing.assert_array_equal(learned.predict(picture[:, :, ::-1], channels="bgr").labels, expected)
    assert learned.predict([]) == []


def test_probabilities_only_on_demand(learned: Segmenter, picture: np.ndarray) -> None:
    assert learned.predict(picture).probabilities is None
    found = learned.predict(picture, probabilities=True, flip=True, scales=(1, 1.5))
    assert found.probabilities is not None
    assert found.probabilities.shape == (3, 64, 64)
    np.testing.assert_array_equal(found.probabilities.argmax(0), found.labels)


def test_tiles_above_the_pixel_budget_give_nearly_the_same(learned: Segmenter, tmp_path: Path) -> None:
    large = np.concatenate([np.concatenate([shapes(1, seed=s + t).image(0) for s in range(5)], 1) for t in (0, 9)])
    whole = learned.predict(large).labels
    cut = Segmenter.load(learned.save(tmp_path / "a.safetensors"))
    cut.whole_pixels, cut.tile, cut.overlap = 10_000, 192, 96
    assert (cut.predict(large).labels == whole).mean() > 0.98
    with pytest.raises(ImageError, match=r"at most 1,?000"):
        learned.predict(large, max_pixels=1000)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (65, 31)])
def test_pictures_of_any_size(learned: Segmenter, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    found = learned.predict(image)
    assert found.labels.shape == size
    assert found.draw_on(image).shape[2] == 3


def test_predicting_leaves_the_network_as_it_was(learned: Segmenter, picture: np.ndarray) -> None:
    assert learned.network_ is not None
    before = {name: t.clone() for name, t in learned.network_.state_dict().items()}
    learned.predict(picture)
    assert not learned.network_.training
    assert all(torch.equal(t, before[name]) for name, t in learned.network_.state_dict().items())


def test_a_training_that_was_cut_goes_on_bit_for_bit(tmp_path: Path) -> None:
    options = {"epochs": 4, "val": shapes(2, seed=1), "loss": "cross_entropy+dice", "balance": 0.5, **QUICK}
    whole = fresh().fit(shapes(), run_dir=tmp_path / "whole", **options)  # type: ignore[arg-type]

    def stop(progress: object) -> None:
        if progress.epoch == 3 and progress.step == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    cut = fresh()
    with pytest.raises(KeyboardInterrupt):
        cut.fit(shapes(), run_dir=tmp_path / "cut", on_progress=stop, **options)  # type: ignore[arg-type]
    assert cut.network_ is None
    cut.fit(shapes(), run_dir=tmp_path / "cut", resume=True, **options)  # type: ignore[arg-type]
    assert whole.history_ is not None
    assert cut.history_ is not None
    assert whole.history_.column("loss") == cut.history_.column("loss")
    assert whole.network_ is not None
    assert cut.network_ is not None
    assert all(torch.equal(t, cut.network_.state_dict()[n]) for n, t in whole.network_.state_dict().items())
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert {"best.safetensors", "last.safetensors", "history.csv", "history.svg"} <= names
    best = Segmenter.load(tmp_path / "cut" / "best.safetensors")
    assert best.names == NAMES
    with pytest.raises(TrainingError, match=r"the training in .*loss \['cross_entropy\+dice', 0\.5\]"):
        fresh().fit(shapes(), run_dir=tmp_path / "cut", resume=True, **{**options, "balance": 1.0})  # type: ignore[arg-type]


def test_other_classes_start_their_last_layers_anew(learned: Segmenter, tmp_path: Path) -> None:
    again = Segmenter.load(learned.save(tmp_path / "a.safetensors"))
    assert again.network_ is not None
    before = {name: t.clone() for name, t in again.network_.state_dict().items()}
    other = MaskDataset(shapes().pictures, [np.minimum(shapes().mask(i), 1) for i in range(8)], ("ground", "thing"))
    again.fit(other, epochs=1, learning_rate=1e-9, **QUICK)  # type: ignore[arg-type]
    assert again.names == ("ground", "thing")
    after = again.network_.state_dict()
    assert after["network.network.classes.weight"].shape[0] == 2
    torch.testing.assert_close(after["network.network.stem.conv.weight"], before["network.network.stem.conv.weight"])


def test_an_fcn_learns_from_a_classifier() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    classifier = Classifier(network="resnet18", image_size=32).fit(
        from_arrays(pictures, np.arange(8) % 2, ("a", "b")), epochs=1, batch_size=4
    )
    segmenter = Segmenter(network="fcn16s", backbone="resnet18", image_size=(64, 64))
    options = {**QUICK, "ema_decay": 0.0}
    segmenter.fit(shapes(4), classifier=classifier, epochs=1, learning_rate=1e-9, **options)  # type: ignore[arg-type]
    mine, theirs = segmenter.network_, classifier.network_
    assert mine is not None
    assert theirs is not None
    torch.testing.assert_close(
        mine.state_dict()["network.network.backbone.layer3.1.conv2.weight"],
        theirs.state_dict()["network.layer3.1.conv2.weight"],
    )
    assert segmenter.predict(shapes(1).image(0)).labels.shape == (64, 64)


def test_what_it_refuses(learned: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a segmenter with weights; got one that was never trained; call fit"):
        Segmenter().predict(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UsageError, match=r"network to be one of pyramid.*'pyramyd'; did you mean 'pyramid'"):
        Segmenter(network="pyramyd")
    with pytest.raises(UsageError, match=r"precision to be one of auto"):
        Segmenter(precision="fp8")
    with pytest.raises(UsageError, match=r"image_size as \(height, width\), multiples of 32.*\(100, 64\)"):
        Segmenter(image_size=(100, 64))
    with pytest.raises(UsageError, match="tiles of 64 to 8192 pixels"):
        Segmenter(tile=16)
    with pytest.raises(UsageError, match=r"loss to be one of"):
        fresh().fit(shapes(), loss="hinge")
    with pytest.raises(UsageError, match=r"monitor to be one of miou"):
        fresh().fit(shapes(), monitor="map")
    with pytest.raises(UsageError, match="balance to lie between 0 and 1"):
        fresh().fit(shapes(), balance=2)
    with pytest.raises(UsageError, match=r"option to be one of.*'epoch'; did you mean 'epochs'"):
        fresh().fit(shapes(), epoch=3)
    with pytest.raises(DataError, match=r"masks of the classes \('a', 'b'\)"):
        fresh(names=("a", "b")).fit(shapes())
    with pytest.raises(DataError, match="pictures of the classes"):
        learned.evaluate(shapes(names=("background", "square", "disc")))
    foreign = save_checkpoint(tmp_path / "foreign.safetensors", {}, {"kind": "Detector"})
    with pytest.raises(CheckpointError, match="a Segmenter checkpoint; got one of kind 'Detector'"):
        Segmenter.load(foreign)
