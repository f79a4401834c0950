"""The bag of words learns, is saved and loaded, names raw pictures as it names their vectors, measures itself."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from striate.bow_baseline.bow_classifier import BowClassifier
from striate.bow_baseline.encoding import ENCODERS
from striate.bow_baseline.kernels import KERNELS
from striate.bow_baseline.svm import KernelSvm
from striate.core.checks import CheckpointError
from striate.core.classifier import Classifier
from striate.core.datasets.classes import ClassDataset
from striate.core.datasets.load_classes import load_classes
from striate.core.images import save_image
from striate.core.weights import Table, register
from striate.tests.core.test_classifier import stripes

SIZE = 40
SMALL = {
    "describer_options": {"step": 6, "bin_sizes": [4]},
    "encoder": "hard",
    "words": 12,
    "encoder_options": {"passes": 2},
    "samples": 1000,
    "pyramid": "1x1+2x2",
}


def pictures(seed: int = 0, count: int = 48) -> ClassDataset:
    return stripes(count, size=SIZE, seed=seed)


@pytest.fixture(scope="module")
def trained() -> BowClassifier:
    return BowClassifier(**SMALL).fit(pictures())


def test_it_learns(trained: BowClassifier) -> None:
    figures = trained.evaluate(pictures(seed=1))
    assert figures["top1"] > 0.9
    cnn = Classifier(network="linear").fit(pictures(), epochs=1).evaluate(pictures(seed=1))
    assert list(figures) == list(cnn)  # one table for both
    assert trained.names == ("across", "down", "both")
    assert trained.figures_["pictures"] == 48
    assert trained.figures_["descriptors"] == 1000
    assert trained.figures_["cross_validated_top1"] > 0.8
    assert set(trained.figures_["seconds"]) == {"words", "vectors", "machines"}


def test_raw_pictures_are_named_as_the_vectors_seen_in_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    fit = KernelSvm.fit

    def watched(self: KernelSvm, vectors: np.ndarray, labels: np.ndarray, *, jobs: int | None) -> KernelSvm:
        seen.append(vectors.copy())
        return fit(self, vectors, labels, jobs=jobs)

    monkeypatch.setattr(KernelSvm, "fit", watched)
    data = pictures()
    classifier = BowClassifier(**SMALL).fit(data)
    images = [data.image(i) for i in range(len(data))]
    np.testing.assert_array_equal(classifier.features(images), seen[0])
    expected = classifier.decider_.predict_proba(seen[0]).argmax(1)
    assert [found.class_id for found in classifier.predict(images)] == expected.tolist()
    files = [save_image(image, tmp_path / f"{i}.png") for i, image in enumerate(images[:3])]
    assert [str(found.source) for found in classifier.predict(files)] == [str(file) for file in files]
    np.testing.assert_array_equal(classifier.decision_function(files).argmax(1), expected[:3])


def test_one_picture_alone_is_itself_in_a_list(trained: BowClassifier) -> None:
    images = [pictures(seed=3).image(i) for i in range(20)]
    for image, found in zip(images, trained.predict(images), strict=True):
        alone = trained.predict(image)
        assert (alone.label, alone.names) == (found.label, trained.names)
        np.testing.assert_allclose(alone.probabilities, found.probabilities, atol=1e-5)
    assert trained.predict([]) == []
    assert trained.predict_proba([]).shape == trained.decision_function([]).shape == (0, 3)
    assert trained.features([]).shape == (0, 60)


def test_the_likeliest_class_has_the_best_score(trained: BowClassifier) -> None:
    images = [pictures(seed=4).image(i) for i in range(20)]
    probabilities, scores = trained.predict_proba(images), trained.decision_function(images)
    np.testing.assert_array_equal(np.argsort(probabilities, 1), np.argsort(scores, 1))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert probabilities.dtype == np.float32


@pytest.mark.parametrize(
    "options",
    [
        *({"encoder": name} for name in ENCODERS if name not in ("hard", "grid")),
        {"encoder": "grid", "words": None, "encoder_options": {"components": 3, "levels": 3}},
        *({"kernel": name} for name in KERNELS),
        {"decider": "nearest", "decider_options": {"neighbours": 3}},
        {"describer": "keypoints", "describer_options": {"max_keypoints": 50}},
        {"c": 2.0, "region": "l1", "whole": "root", "level_weights": "lazebnik", "kernel": "linear"},
        {"kernel": "rbf", "decider_options": {"gamma": 3.0, "folds": 3}},
        {"describer_options": {"step": 6, "bin_sizes": [4], "colour": "opponent", "position": 0.5}},
    ],
    ids=str,
)
def test_saved_and_loaded(options: dict, tmp_path: Path) -> None:
    if options.get("encoder") in ("vlad", "fisher"):
        options = {"words": 4, "encoder_options": {"components": 8}, **options}
    classifier = BowClassifier(**{**SMALL, **options}).fit(pictures(count=24))
    again = BowClassifier.load(classifier.save(tmp_path / "bow.safetensors", licence="CC0"))
    assert repr(again) == repr(classifier)
    assert again.figures_ == classifier.figures_
    images = [pictures(seed=4).image(i) for i in range(18)]
    for function in ("predict_proba", "decision_function", "features"):
        np.testing.assert_array_equal(getattr(again, function)(images), getattr(classifier, function)(images))
    assert classifier.evaluate(pictures(seed=1))["top1"] > 0.5


def test_the_same_seed_the_same_answers() -> None:
    images = [pictures(seed=4).image(i) for i in range(5)]
    first, again, other = (
        BowClassifier(**SMALL, seed=seed).fit(pictures(count=24)).decision_function(images) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_fit_takes_pictures_with_labels_and_folders(trained: BowClassifier, tmp_path: Path) -> None:
    data = pictures()
    images = [data.image(i) for i in range(len(data))]
    probe = images[:4]
    expected = trained.decision_function(probe)
    by_name = BowClassifier(names=data.names, **SMALL).fit(images, [data.names[label] for label in data.labels])
    np.testing.assert_array_equal(by_name.decision_function(probe), expected)
    by_number = BowClassifier(**SMALL).fit(data.pictures, data.labels.tolist())
    assert by_number.names == ("0", "1", "2")
    np.testing.assert_array_equal(by_number.decision_function(probe), expected)
    for i, image in enumerate(images):
        folder = tmp_path / "train" / f"{data.labels[i]}"
        folder.mkdir(parents=True, exist_ok=True)
        save_image(image, folder / f"{i:02}.png")
    folders = BowClassifier(**SMALL).fit(tmp_path)
    assert folders.names == ("0", "1", "2")
    assert folders.evaluate(tmp_path, "train")["top1"] > 0.9
    assert BowClassifier(**SMALL).fit([str(p) for p in sorted(tmp_path.rglob("*.png"))], ["a"] * 16 + ["b"] * 32)


def test_stages_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    data = pictures()
    first = BowClassifier(**SMALL).fit(data, cache=cache)
    kept = {path.name for path in cache.iterdir()}
    assert sum(name.startswith("words-") for name in kept) == 1
    assert not any(name.startswith("vectors-") for name in kept)  # the matrix is gone
    monkeypatch.setattr("striate.bow_baseline.descriptors.DenseSift.describe", lambda *_: pytest.fail("done again"))
    again = BowClassifier(**SMALL, kernel="intersection").fit(data, cache=cache)
    assert again.evaluate(data, cache=cache)["top1"] > 0.9
    assert {path.name for path in cache.iterdir()} == kept
    monkeypatch.undo()
    probe = [data.image(0)]
    np.testing.assert_array_equal(first.features(probe), again.features(probe))
    (words,) = cache.glob("words-*")
    words.write_bytes(b"nothing")  # learned again
    np.testing.assert_array_equal(BowClassifier(**SMALL).fit(data, cache=cache).features(probe), first.features(probe))
    BowClassifier(**{**SMALL, "samples": 500}).fit(data, cache=cache)
    assert len(list(cache.glob("words-*"))) == 2


def test_progress_is_told_stage_by_stage() -> None:
    told = []
    BowClassifier(**SMALL).fit(pictures(), on_progress=told.append)
    assert [p.epoch for p in told] == sorted(p.epoch for p in told)
    assert {p.epoch for p in told} == {1, 2, 3}
    notices = [p.notice for p in told if p.notice]
    assert [notice.split()[0] for notice in notices] == ["learning", "encoding", "training"]
    assert [p.step for p in told if p.epoch == 2] == [0, 16, 32, 48]
    assert 0 < told[-1].metrics["cross_validated_top1"] <= 1


def test_the_file_holds_json_and_numbers_only(trained: BowClassifier, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "bow.safetensors")
    with safe_open(path, "np") as file:
        meta = json.loads(file.metadata()["striate"])
    assert (meta["kind"], meta["names"]) == ("BowClassifier", ["across", "down", "both"])
    assert {name.split(".")[0] for name in load_file(path)} == {"encoder", "decider"}
    with pytest.raises(CheckpointError, match="a Classifier checkpoint; got one of kind 'BowClassifier'"):
        Classifier.load(path)


def test_named_weights(trained: BowClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trained.save(tmp_path / "stripes.safetensors")
    register(path, index=tmp_path / "index.json", task="bow", licence="", data_licence="", figures={})
    monkeypatch.setattr("striate.core.weights.resolve.__kwdefaults__", {"table": Table(tmp_path / "index.json")})
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    assert BowClassifier.from_pretrained("stripes").names == trained.names
    assert BowClassifier.from_pretrained(path).names == trained.names


def test_fifteen_scenes(shared_data: Path, tmp_path: Path) -> None:
    archive = shared_data / "scene15" / "scene15_train.zip"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with zipfile.ZipFile(archive) as file:
        pictures = sorted(name for name in file.namelist() if "/train/" in name and not name.endswith("/"))
        file.extractall(tmp_path, pictures[::5])  # 20 of each class
    (root,) = tmp_path.glob("*/train")
    learn, judge = load_classes(root, "train").split_off(0.25)
    assert (len(learn), len(judge)) == (225, 75)
    classifier = BowClassifier(**{**SMALL, "describer_options": {"step": 10}, "words": 100, "samples": 20_000}).fit(
        learn
    )
    assert classifier.evaluate(judge)["top1"] > 0.4  # 0.6 seen; 1 in 15 is chance
