"""The comparison itself: the same questions for all, answered once."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from striate.bow_baseline.compare import Comparison, Stage, first_of_each
from striate.bow_baseline.contender import SUFFIX, Contender
from striate.bow_baseline.contenders import make_contender
from striate.bow_baseline.corruptions import CORRUPTIONS
from striate.bow_baseline.splits import train_and_test
from striate.bow_baseline.summary import summarize
from striate.core.checks import DataError, UsageError
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.tests.bow_baseline.stand_ins import as_folders, bands, means

TRAIN, TEST = bands(12), bands(20, seed=1)
SOME = {name: CORRUPTIONS[name] for name in ("noise", "occlusion")}
COSTS = ("fit_seconds", "predict_milliseconds", "peak_bytes")


def without_costs(summary) -> dict:
    plain = summary.to_dict()
    for row in plain["table"]:
        for name in COSTS:
            row.pop(name)
    return plain


def test_every_contender_meets_the_same_seeds_and_pictures() -> None:
    (one, of_one), (two, of_two) = means("whole"), means("left", part=0.5)
    results = Comparison([one, two], seeds=(3, 4), per_class=(2, 5), corruptions=SOME, severities=(1, 5)).run(
        TRAIN, TEST
    )
    assert of_one.seeds == of_two.seeds == [3, 4] * 3
    assert of_one.asked == of_two.asked == len(TEST) * 2 * (3 + 4)
    assert results.probabilities("left").shape == (2, len(TEST), 3)
    assert results.right("whole", 2).shape == (2, len(TEST))
    assert results.facts("whole", 5)[0]["trained_on"] == 15


def test_answers_are_the_models_own() -> None:
    contender, _ = means("whole")
    results = Comparison([contender], corruptions=SOME, severities=(4,)).run(TRAIN, TEST)
    model = contender.fit(TRAIN, 0)
    np.testing.assert_array_equal(results.probabilities("whole")[0], model.predict_proba(list(TEST.pictures)))
    seen: list[np.ndarray] = []

    def keep(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
        seen.append(image)
        return image

    again = Comparison([contender], corruptions={"as it is": keep}, severities=(1,)).run(TRAIN, TEST)
    np.testing.assert_array_equal(again.probabilities("whole", None, "as it is", 1), again.probabilities("whole"))
    assert len(seen) == len(TEST) + 1  # the first picture tells whether the corruption is a known one


def test_a_second_run_fits_and_asks_nothing(tmp_path: Path) -> None:
    stages: list[Stage] = []
    found = []
    for _ in range(2):
        pairs = means("whole", blur=3.0), means("left", part=0.1, blur=25.0)
        comparison = Comparison(
            [pair[0] for pair in pairs], seeds=(0, 1), per_class=(4,), corruptions=SOME, severities=(2,), cache=tmp_path
        )
        results = comparison.run(TRAIN, TEST, on_progress=stages.append)
        found.append((summarize(results, count=2), [pair[1] for pair in pairs], len(stages)))
    (first, counts, done), (second, later, after) = found
    assert [c.fits for c in counts] == [4, 4]
    assert [c.fits for c in later] == [0, 0]
    assert [c.asked for c in later] == [0, 0]
    assert first.disagreements
    assert first.to_dict() == second.to_dict()
    assert after == done == stages[0].total
    assert [stage.done for stage in stages] == list(range(done))


def test_without_a_cache_equal_settings_give_equal_figures() -> None:
    found = [
        without_costs(
            summarize(Comparison([means("a", blur=2.0)[0], means("b", 0.3)[0]], seeds=(0, 1)).run(TRAIN, TEST))
        )
        for _ in range(2)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("change", ["options", "seed", "train", "test", "corruption"])
def test_what_changed_is_measured_anew(change: str, tmp_path: Path) -> None:
    Comparison([means("one")[0]], corruptions=SOME, severities=(3,), cache=tmp_path).run(TRAIN, TEST)
    contender, counts = means("one", part=0.9 if change == "options" else 1.0)
    corruptions = dict(SOME)
    if change == "corruption":
        corruptions["noise"] = lambda image, severity, rng: 255 - image
    comparison = Comparison(
        [contender], seeds=(1,) if change == "seed" else (0,), corruptions=corruptions, severities=(3,), cache=tmp_path
    )
    comparison.run(bands(12, seed=9) if change == "train" else TRAIN, bands(20, seed=9) if change == "test" else TEST)
    assert counts.fits == 1
    assert counts.asked == len(TEST) * (1 if change == "corruption" else 3)


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pairs = means("one"), means("two", 0.5)

    def stop(stage: Stage) -> None:
        if stage.done == 3:
            raise KeyboardInterrupt

    comparison = Comparison([pair[0] for pair in pairs], seeds=(0, 1), cache=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        comparison.run(TRAIN, TEST, on_progress=stop)
    assert [pair[1].fits for pair in pairs] == [2, 1]
    comparison.run(TRAIN, TEST)
    assert [pair[1].fits for pair in pairs] == [2, 2]


def test_a_damaged_cell_is_named_and_measured_again(tmp_path: Path) -> None:
    comparison = Comparison([means("one")[0]], cache=tmp_path)
    comparison.run(TRAIN, TEST)
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:40])
    results = comparison.run(TRAIN, TEST)
    assert any("is damaged" in notice for notice in results.cells.notices)
    assert len(results.fitting.fitted) == 1


def test_a_damaged_model_is_named_and_trained_again(tmp_path: Path) -> None:
    mlp = make_contender("linear", epochs=1, least_steps=0)
    Comparison([mlp], cache=tmp_path).run(TRAIN, TEST)
    (kept,) = tmp_path.rglob(f"*{SUFFIX}")
    kept.write_bytes(kept.read_bytes()[:-5])
    results = Comparison([mlp], cache=tmp_path, corruptions=SOME, severities=(1,)).run(TRAIN, TEST)
    assert any("is damaged" in notice and "trained again" in notice for notice in results.cells.notices)
    assert len(results.fitting.fitted) == 1


def test_attacks_are_aimed_at_each_contender() -> None:
    def darken(model, image, label, rng):  # type: ignore[no-untyped-def]
        return np.where(np.arange(image.shape[1])[None, :, None] < 4, 0, image).astype(np.uint8)

    results = Comparison([means("whole")[0], means("left", 0.25)[0]], attacks={"dark": darken}, attacked=9).run(
        TRAIN, TEST
    )
    whole, left = summarize(results).attacks
    assert sorted(results.test.labels[results.attacked]) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert left.accuracy == pytest.approx(1 / 3)  # all is dark to it
    assert left.distance is not None
    assert left.distance > 0.1
    assert whole.accuracy > left.accuracy
    with pytest.raises(DataError, match="from the attack 'none'"):
        Comparison([means("a")[0]], attacks={"none": lambda *a: None}).run(TRAIN, TEST)


def test_attacks_of_other_settings_are_run_again(tmp_path: Path) -> None:
    def darken(model, image, label, rng, by):  # type: ignore[no-untyped-def]
        return np.maximum(image, by) - by

    found = []
    for by in (0, 200, 0):
        comparison = Comparison([means("a")[0]], attacks={"dark": partial(darken, by=np.uint8(by))}, cache=tmp_path)
        found.append(summarize(comparison.run(TRAIN, TEST), count=0).attacks[0].accuracy)
    assert found[0] == found[2] > found[1] == pytest.approx(1 / 3)


def test_first_of_each_class_in_turn() -> None:
    assert first_of_each(np.array([0, 0, 0, 1, 2, 1]), 4) == [0, 3, 4, 1]


def test_unreadable_test_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    root = as_folders(bands(11), tmp_path)
    (root / "dark" / "999.png").write_bytes((root / "dark" / "000.png").read_bytes()[:60])
    train, test = train_and_test(root, test_share=0.3)
    whole = ClassDataset([*train.pictures, *test.pictures], np.r_[train.labels, test.labels], train.names)
    images = np.stack([train.image(i) for i in range(len(train))])
    results = Comparison([means("one")[0]], shared="keep").run(from_arrays(images, train.labels, train.names), whole)
    assert len(results.test) == 33
    assert any("999.png" in line for line in results.test.report)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"contenders": []}, "contenders of different names; got none"),
        ({"contenders": [means("a")[0], means("a", 0.5)[0]]}, "contenders of different names; got a, a"),
        ({"seeds": ()}, "at least one seed"),
        ({"corruptions": SOME, "severities": ()}, "at least one seed and one severity"),
        ({"severities": (0,)}, "severities from 1 to 5"),
        ({"attacked": 0}, "attacked to be a whole number of at least 1; got 0"),
        ({"resamples": 10.5}, "resamples to be a whole number of at least 1; got 10.5"),
        ({"seeds": (0, -1)}, "seed to be a whole number of at least 0; got -1"),
    ],
)
def test_settings_that_cannot_be(settings: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Comparison(**{"contenders": [means("a")[0]], **settings})


@pytest.mark.parametrize(
    "answer",
    [np.zeros((2, 3)), np.full((32, 3), np.nan), np.zeros((32, 2))],
    ids=["too few rows", "not a number", "too few classes"],
)
def test_a_contender_that_does_not_answer(answer: np.ndarray) -> None:
    class Mute:
        def predict_proba(self, sources: list) -> np.ndarray:
            return answer

    with pytest.raises(DataError, match=r"probabilities \(32, 3\) from 'mute'"):
        Comparison([Contender("mute", lambda train, seed: Mute())]).run(TRAIN, TEST)
