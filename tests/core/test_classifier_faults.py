"""What people give a classifier that it cannot take, and what must not happen then."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.checkpoints import save_checkpoint
from striate.core.checks import CheckpointError, DataError, TrainingError, UsageError
from striate.core.class_pictures import ClassPictures, square, statistics
from striate.core.classifier import Classifier
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.datasets.load_classes import load_classes
from striate.tests.core.test_classifier import stripes


def test_a_tiny_file_does_not_fill_the_memory() -> None:
    assert square(np.zeros((1, 60_000, 3), np.uint8), 256, 3).shape == (3, 256, 256)
    assert square(np.zeros((60_000, 1, 3), np.uint8), 28, 1).shape == (1, 28, 28)


def test_statistics_are_of_so_many_pictures_and_right() -> None:
    pictures = ClassPictures(stripes(19), 28, 1)
    read = []
    real = pictures.images

    def noted(chosen):
        read.extend(chosen)
        return real(chosen)

    pictures.images = noted
    mean, std = statistics(pictures, most=10)
    assert len(read) <= 10
    values = real(read).double() / 255
    assert mean == pytest.approx([values.mean().item()], abs=1e-4)
    assert std == pytest.approx([values.std().item()], abs=1e-3)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"mean": (0.5, 0.5)}, r"1 finite numbers as mean; got \(0.5, 0.5\)"),
        ({"mean": 0.5}, "1 finite numbers as mean; got 0.5"),
        ({"std": (0.0,)}, "1 finite numbers as std, above 0"),
        ({"mean": (float("nan"),)}, "1 finite numbers as mean"),
        ({"std": ("x",)}, "1 finite numbers as std"),
    ],
)
def test_normalization_that_cannot_be(keywords: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Classifier(network="lenet5", **keywords)


def test_a_mean_alone_is_kept() -> None:
    classifier = Classifier(network="linear", mean=(0.5,)).fit(stripes(12), epochs=1, batch_size=4)
    assert classifier.mean == (0.5,)
    assert classifier.std == statistics(ClassPictures(stripes(12), 28, 1))[1]


def test_sizes() -> None:
    assert Classifier(network="mlp", image_size=16).fit(stripes(12), epochs=1, batch_size=4).image_size == 16
    with pytest.raises(UsageError, match="a picture size that 'lenet5' takes; got 64 pixels"):
        Classifier(network="lenet5", image_size=64).fit(stripes(12), epochs=1)


def test_shares_to_split_off() -> None:
    for share in (0, 1, 1.5, 10, -0.1):
        with pytest.raises(UsageError, match="a share between 0 and 1"):
            stripes(12).split_off(share)


def test_nothing_to_judge_by(tmp_path: Path) -> None:
    none = stripes(12).subset([])
    with pytest.raises(DataError, match="validation pictures; got none"):
        Classifier(network="linear").fit(stripes(12), val=none)
    classifier = Classifier(network="linear").fit(stripes(12), epochs=1, batch_size=4)
    with pytest.raises(DataError, match="pictures to measure on; got none"):
        classifier.evaluate(none)
    assert classifier.features([], "layers.0").shape[0] == 0


def test_unknown_monitor() -> None:
    with pytest.raises(UsageError, match="monitor to be one of top1, top5, val_loss, loss; got 'accuracy'"):
        Classifier(network="linear").fit(stripes(12), monitor="accuracy")


def test_a_damaged_body_is_left_out_up_to_a_limit(tmp_path: Path) -> None:
    data = stripes(60)
    for i, label in enumerate(data.labels):
        folder = tmp_path / "train" / data.names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.pictures[i]).save(folder / f"{i}.png")
    damaged = sorted((tmp_path / "train" / "down").iterdir())
    content = damaged[0].read_bytes()
    damaged[0].write_bytes(content[: len(content) - 200])
    train = load_classes(tmp_path, "train")
    assert len(train) == 60  # its header is good
    Classifier(network="linear").fit(train, epochs=1, batch_size=8)
    assert [line for line in train.report if str(damaged[0]) in line and "left out" in line]
    for path in damaged[1:5]:
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="at most 5% of unreadable files; got 5 of 60"):
        Classifier(network="linear").fit(load_classes(tmp_path, "train"), epochs=1, batch_size=8)
    assert damaged[0].read_bytes() == content[: len(content) - 200]


def test_frozen_norms_keep_their_statistics(tmp_path: Path) -> None:
    colour = from_arrays(stripes(24).pictures[..., None].repeat(3, 3), stripes(24).labels)
    first = Classifier(network="small", image_size=28, options={"widths": [8, 8]})
    first.fit(colour, epochs=1, batch_size=8)
    before = {name: tensor.clone() for name, tensor in first.network_.state_dict().items()}
    first.fit(colour, epochs=2, batch_size=8, train_layers=1)
    changed = {name for name, tensor in first.network_.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"network.fc.weight", "network.fc.bias"}


def test_the_body_learns_slower_than_the_head() -> None:
    classifier = Classifier(network="mlp").fit(stripes(24), epochs=1, batch_size=8)
    before = {name: tensor.clone() for name, tensor in classifier.network_.state_dict().items()}
    classifier.fit(stripes(24), epochs=1, batch_size=8, body_rate=1e-6, ema_decay=0, weight_decay=0)
    moved = {
        name: (tensor - before[name]).abs().max().item() for name, tensor in classifier.network_.state_dict().items()
    }
    assert moved["network.layers.0.weight"] < 1e-5 < 1e-4 < moved["network.layers.6.weight"]


def test_other_validation_pictures_are_another_training(tmp_path: Path) -> None:
    keywords = {"epochs": 2, "batch_size": 8, "run_dir": tmp_path}
    Classifier(network="linear").fit(stripes(24), val=stripes(12, seed=1), **keywords)
    for other in ({}, {"val": stripes(12, seed=2)}, {"val": stripes(12, seed=1), "monitor": "val_loss"}):
        with pytest.raises(TrainingError, match="val"):
            Classifier(network="linear").fit(stripes(24), **other, resume=True, **keywords)


def test_googlenets_auxiliary_classifiers_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = from_arrays(stripes(8, 32).pictures[..., None].repeat(3, 3), stripes(8).labels)
    classifier = Classifier(network="googlenet", image_size=32, options={"auxiliary": True})
    classifier.fit(colour, epochs=1, batch_size=4)
    assert classifier.predict(colour.image(0)).probabilities.shape == (3,)
    other = ClassDataset(colour.pictures, colour.labels % 2, ("a", "b"))
    built, build = [], Classifier._build

    def counted(*args):
        built.append(args)
        return build(*args)

    monkeypatch.setattr(Classifier, "_build", counted)
    classifier.fit(other, epochs=1, batch_size=4)
    assert classifier.network_.network.aux1.fc2.out_features == 2
    assert len(built) == 2  # the new network, and one for the names of its layers: not one for each of 360 tensors


def test_a_checkpoint_that_asks_for_all_the_memory(tmp_path: Path) -> None:
    config = {**Classifier(network="mlp", options={"hidden": [10**6, 10**6]}).config(), "names": ["a", "b"]}
    meta = {"kind": "Classifier", "config": config, "names": ["a", "b"]}
    path = save_checkpoint(tmp_path / "huge.safetensors", {"mean": torch.zeros(1, 1, 1)}, meta)
    with pytest.raises(CheckpointError, match="a Classifier checkpoint of this version"):
        Classifier.load(path)


def test_labels_that_would_need_billions_of_names() -> None:
    with pytest.raises(DataError, match="labels below 2, the number of pictures; got 4000000000"):
        from_arrays(np.zeros((2, 4, 4), np.uint8), [0, 4_000_000_000])
    with pytest.raises(DataError, match=r"pictures as uint8 .* got list"):
        from_arrays([[1]], [0])
