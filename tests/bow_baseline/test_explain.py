"""Explanations add up to the score, lie where the evidence is, and draw themselves."""

import json
from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline.bag import Bag
from striate.bow_baseline.bow_classifier import BowClassifier
from striate.bow_baseline.explain import GRID
from striate.bow_baseline.kernels import KERNELS
from striate.bow_baseline.normalization import KINDS
from striate.core.checks import UsageError
from striate.core.images import save_image
from striate.tests.bow_baseline.test_bow_classifier import SMALL, pictures

ADDITIVE = [name for name, kernel in KERNELS.items() if kernel.terms]


def classifier(**options) -> BowClassifier:
    return BowClassifier(**{**SMALL, **options}).fit(pictures())


@pytest.fixture(scope="module")
def trained() -> BowClassifier:
    return classifier()


@pytest.fixture(scope="module")
def half_and_half() -> np.ndarray:
    """Stripes across on the left, down on the right."""
    across, down = pictures(seed=9).image(0), pictures(seed=9).image(1)
    return np.concatenate([across, down], 1)


@pytest.mark.parametrize(
    "options",
    [
        *({"kernel": name} for name in ADDITIVE),
        {"encoder": "soft"},
        {"encoder": "llc"},
        {"encoder": "llc", "encoder_options": {"passes": 2, "pool": "sum"}},
        {"encoder_options": {"passes": 2, "pool": "max"}},
        {"whole": "root", "kernel": "linear", "level_weights": "lazebnik"},
        {"region": "l1"},
        {"describer": "keypoints", "describer_options": {"max_keypoints": 40}},
    ],
    ids=str,
)
def test_contributions_and_heat_sum_to_the_score_without_the_intercept(options: dict) -> None:
    model, image = classifier(**options), pictures(seed=7).image(1)
    for class_id, score in enumerate(model.decision_function([image])[0]):
        found = model.explain(image, class_id)
        assert found.method == "exact"
        assert found.score == pytest.approx(score, abs=1e-6)
        # the parts are float32: 2e-6 seen
        assert found.contributions.sum(dtype=float) == pytest.approx(found.score - found.base, abs=2e-5)
        assert found.heat.sum(dtype=float) == pytest.approx(found.score - found.base, abs=1e-4)
        assert sum(found.word_contributions().values()) == pytest.approx(found.score - found.base, abs=2e-5)
    assert (found.heat.dtype, found.heat.shape) == (np.float32, image.shape[:2])


def test_a_descriptor_says_what_the_score_loses_in_a_linear_machine_without_normalization() -> None:
    model = classifier(kernel="linear", whole="none", region="none", c=1.0)
    image = pictures(seed=7).image(1)
    found, described = model.explain(image, "down"), model.bag_.describer.describe(image)
    for i in (0, 5, len(described) - 1):
        rest = described.subset(np.arange(len(described)) != i)
        score = model.decider_.scores(model.bag_.of([rest])[None])[0, 1]
        assert found.contributions[i] == pytest.approx(found.score - score, abs=1e-4)
    np.testing.assert_array_equal(found.words, model.bag_.encoder.words_of(described))
    np.testing.assert_array_equal(found.centres, described.centres)


@pytest.mark.parametrize("options", [{}, {"kernel": "chi2"}], ids=["exact", "left out"])
def test_the_evidence_lies_where_it_is(options: dict, half_and_half: np.ndarray) -> None:
    model = classifier(**options, pyramid="1x1")
    for label, side in (("across", slice(0, 40)), ("down", slice(40, 80))):
        heat = model.explain(half_and_half, label).heat
        assert heat[:, side].sum() > heat.sum() - heat[:, side].sum()


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "chi2"},
        {"kernel": "rbf"},
        {"encoder": "vlad", "words": 4, "encoder_options": {"components": 8}},
        {"decider": "nearest"},
    ],
    ids=str,
)
def test_without_a_sum_over_words_cells_are_left_out(options: dict) -> None:
    model, image = classifier(**options), pictures(seed=7).image(1)
    found, described = model.explain(image, "down"), model.bag_.describer.describe(image)
    assert found.method == "leave-one-cell-out"
    cells = ((described.centres + 0.5) / 40 * GRID).astype(int)
    first = (cells == cells[0]).all(1)
    without = model.decider_.scores(model.bag_.of([described.subset(~first)])[None])[0, 1]
    assert found.contributions[first].sum() == pytest.approx(found.score - without, abs=1e-5)
    blank = np.zeros((40, 40, 3), np.uint8)
    assert found.base == pytest.approx(model.decider_.scores(np.zeros((1, model.bag_.width), np.float32))[0, 1])
    assert np.isfinite(model.explain(blank).heat).all()


def test_cells_without_descriptors_say_nothing() -> None:
    model = classifier(encoder="hard", pyramid="1x1+4x4")
    small = pictures(seed=7).image(1)[:24, :24]
    found = model.explain(small, "down")
    cells = model.bag_.pyramid.regions(model.bag_.describer.describe(small))
    assert any(len(np.flatnonzero(cell) if cell.dtype == bool else cell) == 0 for cell in cells)
    assert found.contributions.sum(dtype=float) == pytest.approx(found.score - found.base, abs=2e-5)


@pytest.mark.parametrize("whole", KINDS)
def test_a_symmetric_picture_is_the_mean_of_its_views(whole: str) -> None:
    half = pictures(seed=7).image(1)[:, :20]
    image = np.ascontiguousarray(np.concatenate([half, half[:, ::-1]], 1))
    bag = classifier(encoder="hard", pyramid="1x1", whole=whole).bag_
    one = bag.vector(image)
    bag = Bag(bag.describer, bag.encoder, bag.pyramid, region=bag.region, whole=whole, views="flip")
    np.testing.assert_allclose(bag.vector(image), one, atol=1e-3 * float(np.abs(one).max()))


def test_a_mirrored_view_loses_the_same_place() -> None:
    model, image = classifier(encoder="hard", views="flip"), pictures(seed=7).image(1)
    own, mirrored = model.bag_.describe(image)
    found, turned = model.explain(image, "down"), model.explain(np.ascontiguousarray(image[:, ::-1]), "down")
    assert found.method == "leave-one-cell-out"
    np.testing.assert_allclose(model.bag_.vector(image), model.bag_.of([mirrored, own]), atol=1e-7)
    assert found.score == pytest.approx(turned.score, abs=1e-6)
    places = (((view.centres + 0.5) / 40 * GRID).astype(int) for view in (own, mirrored))
    first, other = ((cell == (x, 2)).all(1) for cell, x in zip(places, (1, GRID - 2), strict=True))
    without = model.decider_.scores(model.bag_.of([own.subset(~first), mirrored.subset(~other)])[None])[0, 1]
    assert found.contributions[first].sum() == pytest.approx(found.score - without, abs=1e-5)


def test_two_classes_are_each_others_opposite() -> None:
    data = pictures()
    for kernel in ("intersection", "linear"):
        two = BowClassifier(**SMALL, kernel=kernel).fit(data.pictures, ["a" if i == 0 else "b" for i in data.labels])
        first, second = (two.explain(data.image(0), label) for label in "ab")
        np.testing.assert_allclose(first.contributions, -second.contributions, atol=1e-7)
        assert first.score == pytest.approx(-second.score)
        assert first.heat.sum() == pytest.approx(first.score - first.base, abs=1e-4)
        assert two.explain(data.image(0)).label == "a"


def test_a_kernel_without_a_sum_says_so() -> None:
    model = classifier(kernel="rbf")
    with pytest.raises(UsageError, match="an additive kernel; got 'rbf'; train with one of linear, intersection"):
        model.decider_.contributions(np.zeros(60), 0)


def test_a_picture_without_descriptors(trained: BowClassifier) -> None:
    found = trained.explain(np.zeros((3, 5, 3), np.uint8), "down")
    assert (len(found), found.heat.shape, found.heat.any()) == (0, (3, 5), False)
    assert found.score == pytest.approx(found.base)
    assert found.to_dict()["descriptors"] == found.to_dict()["words_for"] == []
    assert (found.draw_words_on(np.zeros((3, 5, 3), np.uint8)) == 0).all()
    assert found.draw_on(np.zeros((3, 5, 3), np.uint8)).shape == (3, 5, 3)


def test_drawn_on_the_picture(trained: BowClassifier, half_and_half: np.ndarray) -> None:
    found, before = trained.explain(half_and_half, "down"), half_and_half.copy()
    drawn = found.draw_on(half_and_half)
    np.testing.assert_array_equal(half_and_half, before)
    warm = drawn[..., 0].astype(int) - drawn[..., 2]  # the picture is grey: orange is for, blue against, none at zero
    at = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert warm[at] > 50
    assert warm[found.heat < 0.5 * found.heat.min()].max() < 0
    assert (warm[found.heat == 0] == 0).all()
    words = found.draw_words_on(half_and_half)
    np.testing.assert_array_equal(half_and_half, before)
    assert (words != before).any()
    x, y = np.round(found.centres[np.abs(found.contributions).argmax()]).astype(int)
    assert len(set(words[y, x].tolist())) > 1  # coloured


def test_as_json(trained: BowClassifier, tmp_path: Path) -> None:
    path = save_image(pictures(seed=7).image(1), tmp_path / "down.png")
    found = trained.explain(path)
    content = json.loads(json.dumps(found.to_dict()))
    assert (content["source"], content["label"], content["method"]) == (str(path), "down", "exact")
    assert (content["height"], content["width"], len(content["descriptors"])) == (40, 40, len(found))
    total = sum(row["contribution"] for row in content["descriptors"])
    assert total == pytest.approx(content["score"] - content["base"], abs=1e-4)
    amounts = [row["contribution"] for row in content["words_for"]]
    assert amounts == sorted(amounts, reverse=True)
    assert all(amount > 0 for amount in amounts)
    assert all(row["contribution"] < 0 for row in content["words_against"])
    assert str(found).startswith("down: score ")
