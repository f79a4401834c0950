"""The ready contenders: each learns the rendered scenes a little, saves what it can, refuses what it does not know."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.contender import Contender, stored_size
from striate.bow_baseline.contenders import CONTENDERS, make_contender
from striate.bow_baseline.disagreements import explain
from striate.bow_baseline.small_set import small_set
from striate.core.checks import StriateError, UsageError
from striate.core.classifier import Classifier
from striate.tests.bow_baseline.stand_ins import Counts, Means

TRAIN, TEST = small_set(4, test_per_class=2, side=64)
QUICK = {
    "bow": {"words": 20}, "bow-pyramid": {"words": 20}, "bow-llc": {"words": 20}, "bow-fisher": {"words": 4},
    "cnn": {"image_size": 16, "options": {"widths": [8]}, "epochs": 1, "least_steps": 3, "augmentation": "none"},
    "cnn-finetuned": {"epochs": 1, "least_steps": 3, "augmentation": "none"}, "cnn-features": {},
    "lenet5": {"epochs": 1, "least_steps": 3}, "mlp": {"epochs": 1, "least_steps": 3},
    "linear": {"epochs": 1, "least_steps": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Classifier(network="small", image_size=16, options={"widths": [8]})
    return made.fit(TRAIN, epochs=1, batch_size=24).save(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.mark.parametrize("name", CONTENDERS)
def test_each_contender_takes_part(name: str, weights: Path, tmp_path: Path) -> None:
    assert set(QUICK) == set(CONTENDERS)
    own = {"weights": str(weights)} if name in ("cnn-finetuned", "cnn-features") else {}
    contender = make_contender(name, **QUICK[name], **own)
    results = Comparison([contender], cache=tmp_path).run(TRAIN, TEST)
    np.testing.assert_allclose(results.probabilities(name).sum(2), 1, atol=1e-5)
    heat = explain(results, name, TEST.image(0), 2)
    assert heat.shape == (64, 64)
    size, numbers = stored_size(results.model(name))
    assert size >= numbers > 10
    if contender.load is not None:  # the file in the cache answers like the model that was trained
        (path,) = tmp_path.rglob("*.safetensors")
        assert sum(tensor.size for tensor in load_file(path).values()) == numbers
        again = contender.load(path).predict_proba(list(TEST.pictures))
        np.testing.assert_array_equal(again, results.probabilities(name)[0])


def test_a_model_of_the_cache_is_loaded_and_not_trained_again(tmp_path: Path) -> None:
    contender = make_contender("linear", **QUICK["linear"])
    first = Comparison([contender], cache=tmp_path).run(TRAIN, TEST)
    later = Comparison([contender], cache=tmp_path).run(TRAIN, TEST)
    image = TEST.image(3)
    np.testing.assert_array_equal(
        later.model("linear").predict_proba([image]), first.model("linear").predict_proba([image])
    )
    assert later.fitting.fitted == []


def test_options_replace_those_of_the_table_and_are_told() -> None:
    contender = make_contender("cnn", label="wide", epochs=3)
    assert contender.name == "wide"
    assert contender.options["epochs"] == 3
    assert contender.options["network"] == "small"
    assert contender.kind == "network"
    assert make_contender("linear").kind == "pixels"
    assert make_contender("bow").kind == "words"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bof", {}, "did you mean 'bow"),
        ("bow", {"wrods": 3}, "options of the contender 'bow'"),
        ("bow", {"seed": 3}, "options of 'bow' without a seed; got seed; pass the comparison's seeds"),
        ("bow", {"decider_options": {"seed": 3}}, "options of 'bow' without a seed"),
        ("bow", {"name": "x"}, "options of the contender 'bow'"),
        ("bow", {"words": "many"}, "words to be a whole number of at least 1; got 'many'"),
        ("cnn", {"epoch": 3}, "did you mean 'epochs'"),
        ("cnn", {"epochs": 0}, "epochs to be a positive number"),
        ("cnn", {"network": "smal"}, "did you mean 'small'"),
        ("cnn-finetuned", {}, "weights for 'cnn-finetuned' to start from; got none"),
        ("cnn-features", {}, "weights for 'cnn-features' to start from; got none"),
        ("cnn-finetuned", {"weights": "nothing.safetensors"}, "no such file"),
        ("cnn-finetuned", {"weights": "x", "image_size": 32}, "the weights bring their network"),
    ],
)
def test_options_that_do_not_exist(name: str, options: dict, said: str) -> None:
    with pytest.raises(StriateError, match=said):
        make_contender(name, **options)


def test_features_need_a_network_that_has_some(tmp_path: Path) -> None:
    path = Classifier(network="linear", image_size=16).fit(TRAIN, epochs=1).save(tmp_path / "linear.safetensors")
    with pytest.raises(UsageError, match="a network with feature maps; got 'linear'"):
        make_contender("cnn-features", weights=str(path)).fit(TRAIN, 0)


def test_what_a_contender_must_have() -> None:
    with pytest.raises(UsageError, match="a contender with a name"):
        Contender(" ", lambda train, seed: None)
    with pytest.raises(UsageError, match="that JSON can hold"):
        Contender("a", lambda train, seed: None, {"fit": object()})
    assert stored_size(Means(np.zeros(3), 1.0, Counts())) == (None, None)
