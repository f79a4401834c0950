"""Features of a layer, an SVM on top of them, and several classifiers together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC

from striate.core.checks import CheckpointError, DataError, ModelError, UsageError
from striate.core.classifier import Classifier
from striate.core.ensemble import Ensemble
from striate.core.feature_svm import FeatureSvm
from striate.core.images import save_image
from striate.tests.core.test_classifier import stripes


@pytest.fixture(scope="module")
def trained() -> Classifier:
    return Classifier(network="lenet5").fit(stripes(), epochs=8, batch_size=16, seed=0)


def test_features_are_the_layers_outputs(trained: Classifier) -> None:
    images = [stripes(seed=7).image(i) for i in range(3)]
    network = trained.network_.network
    x = torch.from_numpy(np.stack([image[None, ..., 0] for image in images])).float() / 255
    x = (x - trained.network_.mean) / trained.network_.std
    with torch.no_grad():
        conv = network.relu1(network.conv1(x))
        late = network.relu2(network.conv2(network.pool1(conv)))
        vector = network.relu3(network.fc1(network.pool2(late).flatten(1)))
    np.testing.assert_allclose(trained.features(images, "relu1"), conv.mean((2, 3)).numpy(), atol=1e-5)
    np.testing.assert_allclose(trained.features(images, "relu3"), vector.numpy(), atol=1e-4)
    with pytest.raises(UsageError, match="the map to be one of"):
        trained.features(images, "relu9")


def test_an_svm_learns_other_classes_from_features(trained: Classifier) -> None:
    other = stripes(names=("flat", "steep"))
    svm = FeatureSvm(trained, "relu3").fit(other)
    assert svm.names == ("flat", "steep")
    assert svm.evaluate(stripes(seed=8, names=("flat", "steep")))["top1"] > 0.95
    assert [found.label for found in svm.predict([other.image(0), other.image(1)])] == ["flat", "steep"]


@pytest.mark.parametrize("names", [("flat", "steep"), ("across", "down", "both")])
def test_it_decides_as_scikit_learns_pipeline(trained: Classifier, names: tuple[str, ...]) -> None:
    data = stripes(names=names)
    images = [data.image(i) for i in range(len(data))]
    features = trained.features(images, "relu2").astype(np.float64)
    theirs = make_pipeline(Normalizer(), StandardScaler(), LinearSVC(C=0.1, random_state=3, max_iter=5000))
    expected = theirs.fit(features, data.labels).decision_function(features)
    got = FeatureSvm(trained, "relu2", c=0.1, seed=3).fit(data).decision_function(images)
    np.testing.assert_allclose(got if len(names) > 2 else got[:, 1], expected, atol=1e-9)


def test_a_class_without_pictures_is_never_named(trained: Classifier, tmp_path: Path) -> None:
    data = stripes(names=("flat", "steep", "none"))
    svm = FeatureSvm(trained, "relu3").fit(data.subset(np.flatnonzero(data.labels < 2)))
    images = [data.image(i) for i in range(9)]
    assert svm.predict_proba(images)[:, 2].max() == 0
    again = FeatureSvm.load(svm.save(tmp_path / "svm.safetensors"))
    assert (again.names, again.layer, again.c) == (svm.names, "relu3", 0.01)
    np.testing.assert_array_equal(again.predict_proba(images), svm.predict_proba(images))


def test_files_that_are_no_such_svm(trained: Classifier, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a FeatureSvm checkpoint; got one of kind 'Classifier'"):
        FeatureSvm.load(trained.save(tmp_path / "classifier.safetensors"))
    svm = FeatureSvm(trained, "relu3").fit(stripes())
    svm.weight_ = svm.weight_[:2]
    with pytest.raises(CheckpointError, match="for 3 classes"):
        FeatureSvm.load(svm.save(tmp_path / "svm.safetensors"))
    svm = FeatureSvm(trained, "relu3").fit(stripes())
    svm.weight_ = svm.weight_[:, :-1]
    with pytest.raises(CheckpointError, match="weights of 119 numbers for 120 of 'relu3'"):
        FeatureSvm.load(svm.save(tmp_path / "svm.safetensors"))
    svm.weight_, svm.layer = np.zeros((3, 120)), "relu9"
    with pytest.raises(CheckpointError, match="the map to be one of"):
        FeatureSvm.load(svm.save(tmp_path / "svm.safetensors"))


def test_an_answer_names_its_file(trained: Classifier, tmp_path: Path) -> None:
    svm = FeatureSvm(trained, "relu3").fit(stripes())
    path = save_image(stripes().image(0), tmp_path / "one.png")
    assert svm.predict(path).source == str(path)
    assert [found.source for found in svm.predict([str(path), stripes().image(0)])] == [str(path), None]


def test_an_svm_without_training(trained: Classifier) -> None:
    with pytest.raises(ModelError, match="an SVM that was trained; got one that was not; call fit or load"):
        FeatureSvm(trained, "relu3").predict([])
    with pytest.raises(DataError, match="pictures of at least two classes; got 1"):
        FeatureSvm(trained, "relu3").fit(stripes().subset([0, 3]))
    with pytest.raises(UsageError, match="c to be a positive number; got 0"):
        FeatureSvm(trained, "relu3", c=0)


def test_classes_in_another_order_are_refused(trained: Classifier) -> None:
    turned = stripes(names=("steep", "flat"))
    svm = FeatureSvm(trained, "relu3").fit(stripes(names=("flat", "steep")))
    for judge in (svm, Ensemble([trained])):
        with pytest.raises(DataError, match="pictures of the classes"):
            judge.evaluate(turned)
    assert svm.predict(turned.image(0)).label in ("flat", "steep")
    assert svm.predict([]) == []
    assert [found.label for found in Ensemble([trained]).predict([turned.image(0)])] == ["across"]


def test_an_ensemble_is_the_weighted_mean(trained: Classifier) -> None:
    second = Classifier(network="linear").fit(stripes(), epochs=2, batch_size=16)
    images = [stripes(seed=9).image(i) for i in range(4)]
    both = Ensemble([trained, second], weights=[3, 1])
    expected = 0.75 * trained.predict_proba(images) + 0.25 * second.predict_proba(images)
    np.testing.assert_allclose(both.predict_proba(images), expected, atol=1e-6)
    assert both.predict(images[0]).label in trained.names
    figures = both.evaluate(stripes(seed=9))
    assert figures["top1"] >= second.evaluate(stripes(seed=9))["top1"]


def test_ensembles_that_cannot_be(trained: Classifier) -> None:
    with pytest.raises(UsageError, match="classifiers of the same classes, in the same order; got 0 of 0"):
        Ensemble([])
    with pytest.raises(UsageError, match="got 2 of 2 sets of classes"):
        Ensemble([trained, Classifier(("a", "b"))])
    with pytest.raises(UsageError, match="1 weights of 0 or more"):
        Ensemble([trained], weights=[-1])
