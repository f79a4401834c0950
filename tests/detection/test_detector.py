"""What a user would notice: it learns eight pictures, forgets nothing when saved, and refuses what it cannot do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.augment import Augmentation
from striate.core.checkpoints import save_checkpoint
from striate.core.checks import CheckpointError, DataError, ImageError, ModelError, UsageError
from striate.core.datasets import BoxDataset, load_boxes
from striate.core.datasets.synthetic import write_synthetic
from striate.core.images import load_image
from striate.detection import Detector

CALM = Augmentation(mosaic=0, scale=0.1, translate=0.05)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> BoxDataset:
    folder = tmp_path_factory.mktemp("eight")
    write_synthetic(folder, 8, 2, scene="shapes", seed=0)
    return load_boxes(folder, "train")


@pytest.fixture(scope="module")
def learned(eight: BoxDataset) -> Detector:
    """A detector that has seen the eight pictures a hundred times."""
    detector = Detector(image_size=128)
    return detector.fit(
        eight, epochs=100, batch_size=4, learning_rate=3e-3, augmentation=CALM, device="cpu", ema_decay=0.9
    )


@pytest.fixture
def picture(eight: BoxDataset) -> np.ndarray:
    return load_image(eight[0].image)


def same(first: object, second: object) -> bool:
    return all(np.array_equal(getattr(first, k), getattr(second, k)) for k in ("boxes", "scores", "class_ids"))


def test_learns_eight_pictures(learned: Detector, eight: BoxDataset) -> None:
    figures = learned.evaluate(eight)
    assert figures["map50"] > 0.9
    assert figures["map"] > 0.6
    found = learned.predict(eight[0].image)
    assert found.counts() == {n: int((eight[0].class_ids == i).sum()) for i, n in enumerate(eight.names)}
    assert found.source == str(eight[0].image)
    assert set(found.speed) == {"load", "network", "decode"}
    assert learned.history_ is not None
    assert learned.history_.column("loss")[-1] < 0.7 * learned.history_.column("loss")[0]


def test_save_and_load_give_the_same_answers(learned: Detector, picture: np.ndarray, tmp_path: Path) -> None:
    path = learned.save(tmp_path / "shapes.safetensors", licence="Apache-2.0")
    for again in (Detector.load(path), Detector.from_pretrained(path)):
        assert repr(again) == repr(learned)
        assert same(again.predict(picture), learned.predict(picture))


def test_half_the_file_and_nearly_the_same_answer(learned: Detector, picture: np.ndarray, tmp_path: Path) -> None:
    whole, half = learned.save(tmp_path / "a.safetensors"), learned.save(tmp_path / "b.safetensors", half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    again = Detector.load(half)
    assert again.network_ is not None
    assert {p.dtype for p in again.network_.parameters()} == {torch.float32}
    np.testing.assert_allclose(again.predict(picture).boxes, learned.predict(picture).boxes, atol=0.5)


@pytest.mark.parametrize("kind", ["path", "bytes", "pillow", "tensor", "bgr"])
def test_every_kind_of_source_gives_the_same_boxes(learned: Detector, eight: BoxDataset, kind: str) -> None:
    path = eight[0].image
    image = load_image(path)
    source, channels = {
        "path": (str(path), "rgb"),
        "bytes": (path.read_bytes(), "rgb"),
        "pillow": (Image.fromarray(image), "rgb"),
        "tensor": (torch.from_numpy(image).permute(2, 0, 1), "rgb"),
        "bgr": (image[..., ::-1], "bgr"),
    }[kind]
    assert same(learned.predict(source, channels=channels), learned.predict(image))


def test_a_list_gives_a_list_and_each_picture_its_own_answer(learned: Detector, eight: BoxDataset) -> None:
    paths = [sample.image for sample in eight][:3]
    together = learned.predict(paths)
    assert isinstance(together, list)
    assert all(same(one, learned.predict(path)) for one, path in zip(together, paths, strict=True))
    assert learned.predict([]) == []


def test_boxes_scale_with_the_picture(learned: Detector, picture: np.ndarray) -> None:
    twice = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    small, large = learned.predict(picture), learned.predict(twice)
    assert len(small) == len(large)
    order = [int(np.abs(large.boxes - 2 * box).sum(axis=1).argmin()) for box in small.boxes]
    np.testing.assert_allclose(large.boxes[order], 2 * small.boxes, atol=8)


def test_thresholds_and_classes_select(learned: Detector, picture: np.ndarray) -> None:
    everything = learned.predict(picture, confidence=0.01)
    assert len(everything) >= len(learned.predict(picture, confidence=0.5))
    assert set(learned.predict(picture, classes=["circle"]).labels) <= {"circle"}
    assert len(learned.predict(picture, classes=[])) == 0


@pytest.mark.parametrize("shape", [(1, 1), (20, 3000), (3000, 20), (33, 65)])
def test_odd_pictures(learned: Detector, shape: tuple[int, int]) -> None:
    found = learned.predict(np.zeros((*shape, 3), np.uint8))
    assert found.size == shape
    assert len(found) == 0 or found.boxes[:, [2, 3]].max() <= max(shape)


def test_predict_leaves_the_network_as_it_was(learned: Detector, picture: np.ndarray) -> None:
    network = learned.network_
    assert network is not None
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    try:
        learned.predict(picture)
        assert network.training
    finally:
        network.eval()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_fine_tuning_for_other_classes_keeps_all_but_the_last_layers(learned: Detector, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "data", 2, 1, scene="blood_smear", size=(60, 80), seed=0)
    tuned = Detector.load(learned.save(tmp_path / "old.safetensors"))
    tuned.fit(tmp_path / "data", epochs=1, batch_size=2, learning_rate=1e-9, device="cpu")
    assert tuned.names == ("Platelets", "RBC", "WBC")
    assert tuned.network_ is not None
    assert learned.network_ is not None
    old, new = learned.network_.state_dict(), tuned.network_.state_dict()
    torch.testing.assert_close(old["backbone.stage1.0.conv.weight"], new["backbone.stage1.0.conv.weight"])
    assert not torch.allclose(old["heads.0.classes.weight"], new["heads.0.classes.weight"], atol=1e-3)


def test_a_training_that_fails_leaves_the_detector_as_it_was(learned: Detector, tmp_path: Path) -> None:
    write_synthetic(tmp_path, 2, 1, scene="blood_smear", size=(60, 80), seed=0)
    tuned = Detector.load(learned.save(tmp_path / "old.safetensors"))

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned.fit(tmp_path, epochs=1, batch_size=2, learning_rate=1.0, device="cpu", on_progress=stop)
    assert tuned.names == learned.names
    assert tuned.network_ is not None
    assert learned.network_ is not None
    assert not tuned.network_.training
    for name, tensor in learned.network_.state_dict().items():
        assert torch.equal(tensor, tuned.network_.state_dict()[name])


def test_training_on_a_folder_validates_on_its_val_split(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "data", 4, 2, scene="shapes", seed=0)
    detector = Detector(image_size=64)
    detector.fit(tmp_path / "data", epochs=1, batch_size=2, run_dir=tmp_path / "run", device="cpu")
    assert detector.history_ is not None
    assert {"map", "map50"} <= set(detector.history_.rows[0])
    assert Detector.load(tmp_path / "run" / "best.safetensors").names == detector.names


def test_detector_without_weights() -> None:
    for use in (lambda d: d.predict(np.zeros((8, 8, 3), np.uint8)), lambda d: d.save("a.safetensors")):
        with pytest.raises(
            ModelError, match="expected a detector with weights; got one that was never trained; call fit"
        ):
            use(Detector(names=("a",)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda d, p: d.predict(p, confidence=2), UsageError, "confidence to lie between 0 and 1; got 2"),
        (lambda d, p: d.predict(p, classes=["cirle"]), UsageError, "did you mean 'circle'"),
        (lambda d, p: d.predict(b"not a picture"), ImageError, "expected"),
        (lambda d, p: d.predict("nowhere.png"), ImageError, "nowhere.png"),
        (lambda d, p: d.evaluate("nowhere"), DataError, "nowhere"),
        (lambda d, p: d.fit("nowhere"), DataError, "nowhere"),
        (lambda d, p: d.evaluate(BoxDataset([], ("cat",), Path(), "val", "voc")), DataError, "the classes .'circle'"),
        (lambda d, p: d.fit("nowhere", epocs=3), UsageError, "did you mean 'epochs'"),
        (lambda d, p: Detector(size="xl"), UsageError, "size to be one of n, s"),
        (lambda d, p: Detector(precision="fp16"), UsageError, "precision to be one of auto, fp32, bf16"),
        (lambda d, p: Detector(image_size=5), UsageError, "image_size from 32 to 4096"),
        (lambda d, p: Detector.from_pretrained("cels"), ModelError, "cels"),
    ],
)
def test_bad_input(learned: Detector, picture: np.ndarray, call: object, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        call(learned, picture)


def test_weights_that_do_not_fit_are_refused_by_name(learned: Detector, tmp_path: Path) -> None:
    assert learned.network_ is not None
    tensors = dict(learned.network_.state_dict())
    tensors.pop("backbone.stage1.0.conv.weight")
    config = {"names": ["a", "b", "c"], "image_size": 128}
    path = save_checkpoint(tmp_path / "a.safetensors", tensors, {"kind": "Detector", "config": config})
    with pytest.raises(CheckpointError, match=r"backbone\.stage1\.0\.conv\.weight"):
        Detector.load(path)
    config["unheard_of"] = 1
    path = save_checkpoint(tmp_path / "b.safetensors", tensors, {"kind": "Detector", "config": config})
    with pytest.raises(CheckpointError, match="unheard_of"):
        Detector.load(path)
