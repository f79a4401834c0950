"""A classifier learns, is saved and loaded, goes on, is refused what is wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from striate.core.augment_batch import BatchAugmentation
from striate.core.checks import CheckpointError, DataError, ModelError, UsageError
from striate.core.class_network import freeze_all_but
from striate.core.class_pictures import ClassPictures, centred_ink, square, statistics
from striate.core.classifier import Classifier
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.datasets.load_classes import load_classes
from striate.core.models import build
from striate.detection import Detector


def stripes(count: int = 96, size: int = 28, seed: int = 0, names: tuple[str, ...] = ("across", "down", "both")):
    """Pictures of stripes across, down, or both, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(names)
    phase = rng.integers(0, 6, (count, 1, 1))
    y, x = np.mgrid[:size, :size]
    across, down = (((axis[None] + phase) // 3 % 2) for axis in (y, x))
    kind = labels[:, None, None]
    pictures = np.where(kind == 0, across, np.where(kind == 1, down, across ^ down))
    noisy = 60 + 120 * pictures + rng.normal(0, 20, pictures.shape)
    return from_arrays(noisy.clip(0, 255).astype(np.uint8), labels, names)


@pytest.fixture(scope="module")
def trained() -> Classifier:
    torch.manual_seed(0)
    return Classifier(network="lenet5").fit(stripes(), val=stripes(seed=1), epochs=12, batch_size=16, seed=0)


def test_it_learns(trained: Classifier) -> None:
    figures = trained.evaluate(stripes(seed=2))
    assert figures["top1"] > 0.95
    assert trained.names == ("across", "down", "both")
    assert trained.mean == pytest.approx(statistics(ClassPictures(stripes(), 28, 1))[0])
    assert trained.history_.rows[-1]["top1"] > 0.9


def test_lenet_of_1998_sees_digits_framed_and_scaled_as_then() -> None:
    classifier = Classifier(network="lenet5-1998").fit(stripes(24), epochs=1, batch_size=8, augmentation="digits")
    white, black = (torch.full((1, 1, 28, 28), value, dtype=torch.uint8) for value in (255, 0))
    ready = classifier._ready()
    seen = [ready.network.normalize(ready._seen(images)) for images in (white, black)]
    assert seen[0].shape == (1, 1, 32, 32)
    assert seen[0][0, 0, 16, 16] == pytest.approx(1.175, abs=1e-5)
    assert seen[0][0, 0, 1, 16] == pytest.approx(-0.1, abs=1e-5)
    assert float(seen[1].max()) == pytest.approx(-0.1, abs=1e-5)


def test_one_picture_alone_is_itself_in_a_list(trained: Classifier) -> None:
    images = [stripes(seed=3).image(i) for i in range(6)]
    together = trained.predict(images)
    for image, found in zip(images, together, strict=True):
        alone = trained.predict(image)
        assert alone.label == found.label
        np.testing.assert_allclose(alone.probabilities, found.probabilities, atol=1e-3)
    assert trained.predict([]) == []


def test_saved_and_loaded(trained: Classifier, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "stripes.safetensors")
    again = Classifier.load(path)
    assert repr(again) == repr(trained)
    images = [stripes(seed=4).image(i) for i in range(4)]
    np.testing.assert_array_equal(again.predict_proba(images), trained.predict_proba(images))
    with pytest.raises(CheckpointError, match="a Detector checkpoint; got one of kind 'Classifier'"):
        Detector.load(path)


def test_predict_leaves_the_network_as_it_was(trained: Classifier) -> None:
    before = {name: tensor.clone() for name, tensor in trained.network_.state_dict().items()}
    trained.predict_proba([stripes().image(0)], dropout_samples=2)
    trained.evaluate(stripes(seed=5))
    assert not trained.network_.training
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.network_.state_dict().items())


def test_it_goes_on_with_other_classes(trained: Classifier, tmp_path: Path) -> None:
    copy = Classifier.load(trained.save(tmp_path / "start.safetensors"))
    first = copy.network_.network.conv1.weight.clone()
    copy.fit(stripes(names=("flat", "steep")), epochs=1, batch_size=16, learning_rate=1e-6)
    assert copy.names == ("flat", "steep")
    assert copy.network_.network.fc3.out_features == 2
    assert torch.allclose(copy.network_.network.conv1.weight, first, atol=1e-4)


def test_last_layers_only(trained: Classifier, tmp_path: Path) -> None:
    copy = Classifier.load(trained.save(tmp_path / "start.safetensors"))
    before = {name: tensor.clone() for name, tensor in copy.network_.state_dict().items()}
    copy.fit(stripes(seed=6), epochs=1, batch_size=16, train_layers=1, ema_decay=0)
    changed = {name for name, tensor in copy.network_.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"network.fc3.weight", "network.fc3.bias"}
    assert all(p.requires_grad for p in copy.network_.parameters())


def test_freezing_too_much() -> None:
    with pytest.raises(UsageError, match="1 to 5 layers to train; got 6"):
        freeze_all_but(build("lenet5", 3), 6)


def test_a_training_that_fails_leaves_everything(trained: Classifier, tmp_path: Path) -> None:
    copy = Classifier.load(trained.save(tmp_path / "start.safetensors"))
    network, before = copy.network_, repr(copy)
    with pytest.raises(UsageError, match="1 to 5 layers to train; got 9"):
        copy.fit(stripes(names=("flat", "steep")), epochs=1, train_layers=9)
    assert copy.network_ is network
    assert repr(copy) == before
    fresh = Classifier(network="small", image_size=28, channels=1, options={"widths": [8]})
    with pytest.raises(UsageError, match="layers to train"):
        fresh.fit(stripes(12), epochs=1, train_layers=99)
    assert (fresh.network_, fresh.names, fresh.mean) == (None, (), None)
    fresh.fit(stripes(12), epochs=1, batch_size=4, train_layers=1)
    assert not fresh.network_.network.whiten.weight.requires_grad
    assert fresh.network_.network.fc.weight.requires_grad


def test_resumed_training_is_the_same(tmp_path: Path) -> None:
    keywords = {"batch_size": 16, "seed": 1, "augmentation": "digits", "epochs": 3}
    whole = Classifier(network="lenet5").fit(stripes(48), run_dir=tmp_path / "a", **keywords)

    class Stop(Exception):
        pass

    def stop(progress) -> None:
        if progress.epoch == 2 and progress.step == 1:
            raise Stop

    part = Classifier(network="lenet5")
    with pytest.raises(Stop):
        part.fit(stripes(48), run_dir=tmp_path / "b", on_progress=stop, **keywords)
    assert part.network_ is None
    part.fit(stripes(48), run_dir=tmp_path / "b", resume=True, **keywords)
    assert part.network_ is not None
    for ours, theirs in zip(part.network_.state_dict().values(), whole.network_.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "keywords",
    [
        {"smoothing": 0.1, "class_weights": True, "l1": 1e-5},
        {"augmentation": BatchAugmentation(mixup=0.2, cutmix=1.0)},
        {"augmentation": "photos", "optimizer": "sgd", "learning_rate": 0.01},
    ],
    ids=str,
)
def test_other_ways_to_train(keywords: dict) -> None:
    classifier = Classifier(network="small", image_size=16, options={"widths": [8, 8], "dropout": 0.1}, views="flip")
    colour = stripes(32).pictures[..., None].repeat(3, 3)
    data = ClassDataset(colour, stripes(32).labels, ("a", "b", "c"))
    classifier.fit(data, epochs=1, batch_size=16, **keywords)
    assert np.isfinite(classifier.predict(data.image(0)).probabilities).all()
    noisy = classifier.predict_proba([data.image(0)], dropout_samples=3)
    assert noisy.sum() == pytest.approx(1, abs=1e-5)


def test_pictures_come_in_one_size() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = 255  # the middle square
    assert square(image, 20, 3).shape == (3, 20, 20)
    assert square(image, 20, 3).min() > 200
    assert square(image, 20, 1).shape == (1, 20, 20)
    grey = ClassPictures(stripes(6, 28), 28, 3)
    assert grey.images([0, 1]).shape == (2, 3, 28, 28)
    scaled = ClassPictures(stripes(6, 28), 16, 1)
    assert scaled.images([5]).shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"network": "lenet6"}, "network to be one of .* got 'lenet6'; did you mean 'lenet5'"),
        ({"views": "five"}, "views to be one of one, flip, shift"),
        ({"channels": 2}, "1 or 3 channels of 8 to 4096 pixels; got 2 channels"),
        ({"image_size": 4}, "got 3 channels of 4 pixels"),
        ({"precision": "fp8"}, "precision to be one of auto, fp32, bf16"),
    ],
)
def test_bad_keywords(keywords: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Classifier(**keywords)


def test_bad_training() -> None:
    with pytest.raises(UsageError, match=r"option to be one of epochs.*got 'epoch'; did you mean 'epochs'"):
        Classifier(network="lenet5").fit(stripes(12), epoch=3)
    with pytest.raises(UsageError, match="augmentation to be one of none, digits, objects, photos; got 'heavy'"):
        Classifier(network="lenet5").fit(stripes(12), augmentation="heavy")
    with pytest.raises(UsageError, match=r"options of 'lenet5'; got .*'width'"):
        Classifier(network="lenet5", options={"width": 3}).fit(stripes(12))
    with pytest.raises(ModelError, match="a classifier with weights; got one that was never trained"):
        Classifier().predict(np.zeros((8, 8, 3), np.uint8))


def test_other_classes_to_evaluate(trained: Classifier) -> None:
    with pytest.raises(DataError, match=r"pictures of the classes .*read it with names=classifier.names"):
        trained.evaluate(stripes(names=("a", "b", "c")))


def test_ink_is_framed_as_mnist_frames_it(shared_data: Path) -> None:
    apart = []
    for digit in load_classes(shared_data / "mnist", "test").pictures[:100]:
        drawn = cv2.copyMakeBorder(cv2.resize(digit, None, fx=8, fy=8), 40, 16, 5, 60, cv2.BORDER_CONSTANT, value=0)
        framed = centred_ink(np.repeat(drawn[..., None], 3, 2))
        assert framed.shape == (28, 28, 3)
        apart.append(np.abs(framed[..., 0].astype(int) - digit).mean() / digit.mean())
    assert np.mean(apart) < 0.35  # seen: 0.28; half a pixel off the middle gives 0.48 to 0.57
    assert centred_ink(np.zeros((9, 9, 3), np.uint8)).max() == 0


def test_first_maps() -> None:
    classifier = Classifier(network="small", image_size=16, options={"widths": [8]})
    classifier.fit(from_arrays(np.zeros((8, 16, 16, 3), np.uint8), [0, 1] * 4), epochs=1, batch_size=4)
    assert classifier.first_maps(np.zeros((16, 16, 3), np.uint8)).shape == (24, 15, 15)
    flat = Classifier(network="mlp").fit(stripes(12), epochs=1, batch_size=4)
    assert flat.first_maps(stripes(12).image(0)).shape == (0, 1, 1)
