"""What people give the bag of words that it cannot take: refused with a reason, or with a defined answer."""

from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline.bow_classifier import BowClassifier
from striate.bow_baseline.descriptors import DenseSift, Descriptors
from striate.core.checks import DataError, ImageError, ModelError, UsageError
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.datasets.load_classes import load_classes
from striate.core.images import save_image
from striate.tests.bow_baseline.test_bow_classifier import SMALL, pictures


@pytest.fixture(scope="module")
def trained() -> BowClassifier:
    return BowClassifier(**SMALL).fit(pictures())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"describer": "dens"}, "describer to be one of dense, keypoints; .*did you mean 'dense'"),
        ({"describer_options": {"stride": 3}}, "options of the describer 'dense'; .*stride"),
        ({"describer_options": {"step": 0}}, "step to be a whole number of at least 1; got 0"),
        ({"encoder": "fischer"}, "did you mean 'fisher'"),
        ({"encoder_options": {"sharpness": 3}}, "keywords of the encoder 'fisher'; .*sharpness"),
        ({"encoder": "grid", "words": 8}, "keywords of the encoder 'grid'; .*words"),
        ({"words": 0}, "words to be a whole number of at least 1; got 0; pass words=1"),
        ({"words": 20.5}, "words to be a whole number of at least 1; got 20.5"),
        ({"words": "many"}, "words to be a whole number of at least 1; got 'many'"),
        ({"words": True}, "words to be a whole number of at least 1; got True"),
        ({"seed": -1}, "seed to be a whole number of at least 0; got -1"),
        ({"describer_options": {"bin_sizes": 4}}, "at least one bin size, in a list; got 4"),
        ({"describer_options": {"step": 1e-9}}, "step to be a whole number"),
        ({"describer_options": {"position": "far"}}, "position to be a number; got str: 'far'"),
        ({"describer_options": [3]}, "describer_options as keywords and values; got .3."),
        ({"encoder": "grid", "encoder_options": {"components": 10**9}}, "levels \\*\\* components of at most 65536"),
        ({"encoder": ["fisher"]}, "encoder to be text; got list"),
        ({"encoder": "soft", "encoder_options": {"neighbours": 1.5}}, "neighbours to be a whole number"),
        ({"pyramid": 5}, "pyramid to be text; got int: 5"),
        ({"pyramid": "99x99+20x20"}, "at most 10,000 cells; got 10,201; take fewer levels"),
        ({"samples": 0}, "samples to be a whole number of at least 1; got 0"),
        ({"pyramid": "4"}, 'levels such as "1x1\\+2x2\\+4x4"'),
        ({"level_weights": "lazy"}, "weights to be one of equal, lazebnik"),
        ({"region": "l3"}, "region to be one of none, l1, l2"),
        ({"whole": "l3"}, "whole to be one of none, l1, l2"),
        ({"decider": "svn"}, "did you mean 'svm'"),
        ({"kernel": "chi"}, "did you mean 'chi2'"),
        ({"c": -1.0}, "c to be a positive number"),
        ({"decider_options": {"depth": 3}}, "options of the decider 'svm'; .*depth"),
        ({"decider": "nearest", "c": 1.0}, "options of the decider 'nearest'; .*kernel and c are the SVM's"),
        (
            {"decider": "nearest", "decider_options": {"neighbours": 0}},
            "neighbours to be a whole number of at least 1; got 0",
        ),
        ({"decider": "nearest", "decider_options": {"metric": "cosine"}}, "metric to be one of euclidean"),
    ],
    ids=str,
)
def test_options_that_do_not_exist_are_refused_when_it_is_made(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        BowClassifier(**options)


def test_data_that_cannot_be_learned(tmp_path: Path) -> None:
    data = pictures(count=12)
    one = from_arrays(data.pictures, np.zeros(12, int), ("only", "other"))
    for given, words in (
        (one, "at least two classes to train on; got 1 in 12 pictures"),
        (
            from_arrays(data.pictures, data.labels % 2, ("a", "b", "c")),
            "pictures of class 'c'; got none that can be read",
        ),
        (tmp_path / "gone", "a folder with a dataset; got nothing"),
    ):
        with pytest.raises(DataError, match=words):
            BowClassifier(**SMALL).fit(given)
    with pytest.raises(DataError, match=r"pictures of the classes .'a', 'b', 'c'.; got .'across'"):
        BowClassifier(names=("a", "b", "c"), **SMALL).fit(data)
    with pytest.raises(UsageError, match="got list without labels; call fit"):
        BowClassifier(**SMALL).fit([data.image(0)])
    with pytest.raises(UsageError, match="got ClassDataset with labels"):
        BowClassifier(**SMALL).fit(data, data.labels)
    with pytest.raises(DataError, match="a label for every picture; got 2 and 1"):
        BowClassifier(**SMALL).fit([data.image(0), data.image(1)], [0])
    for labels, strange in ((["a", "c"], "c"), ([0, 2], "2"), ([0, np.nan], "nan")):
        with pytest.raises(DataError, match=f"labels to be one of a, b; got '{strange}'"):
            BowClassifier(names=("a", "b"), **SMALL).fit([data.image(0)] * 2, labels)
    with pytest.raises(DataError, match="one whole number from 0 for every picture"):
        BowClassifier(**SMALL).fit([data.image(0)] * 2, [0, 0.5])
    with pytest.raises(UsageError, match="the cache to be an existing folder"):
        BowClassifier(**SMALL).fit(data, cache=tmp_path / "gone")


def test_more_words_than_descriptors() -> None:
    with pytest.raises(DataError, match=r"at least 5000 rows for 5000 words; got n_samples=300.*fewer words"):
        BowClassifier(**{**SMALL, "words": 5000, "samples": 6000}).fit(pictures(count=12))


def test_a_kernel_of_histograms_on_signed_vectors() -> None:
    options = {**SMALL, "encoder": "vlad", "words": 4, "encoder_options": {"components": 4}, "kernel": "chi2"}
    with pytest.raises(DataError, match=r"without negative numbers for kernel 'chi2'; .*as for VLAD and Fisher"):
        BowClassifier(**options).fit(pictures(count=12))


def test_a_class_with_one_picture_and_blank_pictures_of_any_size() -> None:
    data = pictures(count=25)
    blank = [np.zeros((40, 40, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8), np.zeros((7, 300, 3), np.uint8)]
    lonely = np.random.default_rng(0).integers(0, 255, (64, 48, 3)).astype(np.uint8)
    images = [*(data.image(i) for i in range(25)), *blank, lonely]
    labels = [*(data.names[i] for i in data.labels), "blank", "blank", "blank", "lonely"]
    classifier = BowClassifier(**SMALL, c=100.0).fit(images, labels)
    assert classifier.names == ("across", "blank", "both", "down", "lonely")
    assert classifier.decision_function(images)[:, 4].argmax() == len(images) - 1
    assert [found.label for found in classifier.predict(blank[1:])] == ["blank", "blank"]
    np.testing.assert_array_equal(classifier.features(blank[1:]), 0)
    assert np.isfinite(classifier.predict(blank[0]).probabilities).all()


def test_only_blank_pictures() -> None:
    blank = np.zeros((8, 9, 9), np.uint8)
    with pytest.raises(DataError, match="pictures with descriptors; got none in 8 pictures"):
        BowClassifier(**SMALL).fit(blank, [0, 1] * 4)


def test_descriptors_with_nan(trained: BowClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = DenseSift.describe

    def broken(self: DenseSift, image: np.ndarray) -> Descriptors:
        found = describe(self, image)
        return Descriptors(found.values * np.nan, found.centres, found.radii, found.size)

    monkeypatch.setattr(DenseSift, "describe", broken)
    with pytest.raises(DataError, match="descriptors that are finite; got NaN or infinity"):
        BowClassifier(**SMALL).fit(pictures(count=12))
    with pytest.raises(DataError, match="descriptors that are finite; got NaN or infinity"):
        trained.predict(pictures().image(0))


def folders(root: Path, count: int = 48) -> list[Path]:
    data = pictures(count=count)
    paths = []
    for i, label in enumerate(data.labels):
        folder = root / "train" / data.names[label]
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(save_image(data.image(i), folder / f"{i:02}.png"))
    return paths


def test_a_broken_file_stops_nothing_and_is_named(tmp_path: Path) -> None:
    paths = folders(tmp_path)
    whole = paths[5].read_bytes()
    paths[5].write_bytes(whole[: len(whole) // 2])  # its header is good: only reading it through finds out
    data = load_classes(tmp_path, "train")
    classifier = BowClassifier(**SMALL).fit(data)
    assert classifier.figures_["pictures"] == 47
    assert [paths[5].name in line for line in data.report] == [True]
    figures = classifier.evaluate(data)
    assert figures["count"] == 47
    assert len(data.report) == 2
    for path in paths[6:10]:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="at most 5% of unreadable files; got 4 of 48, such as: unreadable, left out"):
        BowClassifier(**SMALL).fit(load_classes(tmp_path, "train"))  # stops in the batch that has too many
    with pytest.raises(DataError, match="at most 5% of unreadable files"):
        classifier.evaluate(load_classes(tmp_path, "train"))
    with pytest.raises(ImageError, match=r"05\.png"):
        classifier.predict([paths[0], paths[5]])


def test_a_training_that_fails_leaves_everything(tmp_path: Path) -> None:
    classifier = BowClassifier(**SMALL).fit(pictures(count=12))
    before, bag, image = repr(classifier), classifier.bag_, pictures().image(0)
    expected = classifier.decision_function([image])
    with pytest.raises(DataError, match="pictures with descriptors"):
        classifier.fit(np.zeros((8, 9, 9), np.uint8), [0, 1] * 4)
    assert (repr(classifier), classifier.bag_) == (before, bag)
    np.testing.assert_array_equal(classifier.decision_function([image]), expected)
    fresh = BowClassifier(**SMALL)
    with pytest.raises(DataError, match="pictures with descriptors"):
        fresh.fit(np.zeros((8, 9, 9), np.uint8), [0, 1] * 4)
    with pytest.raises(ModelError, match="got one that was not"):
        fresh.predict(image)
    classifier.fit(pictures(count=12).pictures, ["dark", "light"] * 6)  # other classes are learned anew
    assert classifier.names == ("dark", "light")
    classifier.fit(pictures(count=12).pictures, [0, 1] * 6)  # the same ones keep their names
    assert classifier.names == ("dark", "light")
    classifier.fit(pictures(count=12).pictures, [0, 1, 2] * 4)
    assert classifier.names == ("0", "1", "2")


def test_a_classifier_that_was_not_trained(tmp_path: Path) -> None:
    classifier, image = BowClassifier(**SMALL), pictures().image(0)
    for call in (
        lambda: classifier.predict(image),
        lambda: classifier.evaluate(pictures()),
        lambda: classifier.explain(image),
        lambda: classifier.to("cpu"),
        lambda: classifier.save(tmp_path / "bow.safetensors"),
    ):
        with pytest.raises(ModelError, match="a classifier that was trained; got one that was not; call fit, load"):
            call()


def test_measuring_on_other_classes_or_nothing(trained: BowClassifier) -> None:
    data = pictures()
    with pytest.raises(DataError, match=r"got .'a', 'b', 'c'.; read it with names=classifier.names"):
        trained.evaluate(ClassDataset(data.pictures, data.labels, ("a", "b", "c")))
    with pytest.raises(DataError, match="pictures to measure on; got none"):
        trained.evaluate(data.subset([]))


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    options = {**SMALL, "words": np.int64(12), "seed": np.int32(0), "c": np.float32(2)}
    classifier = BowClassifier(**options).fit(pictures(count=12))
    assert type(classifier.config()["words"]) is int
    again = BowClassifier.load(classifier.save(tmp_path / "bow.safetensors"))
    assert again.config() == {**classifier.config(), "names": again.config()["names"]}


def test_fisher_vectors_are_made_on_the_cpu() -> None:
    classifier = BowClassifier(**{**SMALL, "encoder": "fisher", "words": 2}).fit(pictures(count=12))
    assert classifier.to("cpu") is classifier
    with pytest.raises(UsageError, match=r"the CPU for the encoder 'fisher'.*got 'cuda'; leave the device out"):
        classifier.to("cuda")


def test_classes_that_do_not_exist_cannot_be_explained(trained: BowClassifier) -> None:
    for label, near in (("acros", "did you mean 'across'"), (3, "choose one of those names"), (-1, "one of across")):
        with pytest.raises(UsageError, match=near):
            trained.explain(pictures().image(0), label)
