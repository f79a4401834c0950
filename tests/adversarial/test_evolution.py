"""Evolution for all classes at once: it finds, it is the same every time, it goes on, it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from striate.adversarial.archive import Archive
from striate.adversarial.evolution import Evolution, Generation
from striate.adversarial.fooling import champions
from striate.core.checks import ModelError, StriateError, UsageError
from striate.core.classifier import Classifier
from striate.tests.adversarial.fooled import NAMES, Quarters

SIZE = (16, 16)
QUICK = {"size": SIZE, "channels": 1, "children": 60, "batch": 20}


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
def test_every_class_gets_a_champion_that_only_improves(encoding: str) -> None:
    archive = Evolution(encoding=encoding, generations=30, goal=None, **QUICK).run(Quarters())
    curve = np.stack(archive.curve)
    assert curve.shape == (31, 4)
    assert (np.diff(curve, axis=0) >= 0).all()
    assert (curve[-1] > curve[0]).all()
    assert curve[-1].min() > 0.9
    found = champions(Quarters(), archive)
    assert [one.name for one in found] == list(NAMES)
    assert all(one.fooled for one in found)
    np.testing.assert_array_equal(found.confidences, archive.confidences)  # a black box is asked about 8 bits only


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
def test_an_evolution_that_was_stopped_comes_to_the_same(encoding: str, tmp_path: Path) -> None:
    make = {"encoding": encoding, "goal": None, **QUICK}
    whole = Evolution(generations=8, **make).run(Quarters())
    part = Evolution(generations=8, **make).run(Quarters(), on_generation=lambda now: now.generation == 3)
    assert part.generation == 3
    part.save(tmp_path / "state.safetensors")
    there = Evolution(generations=8, **make).run(Quarters(), archive=Archive.load(tmp_path / "state.safetensors"))
    assert np.array_equal(np.stack(whole.curve), np.stack(there.curve))
    assert np.array_equal(whole.pictures(), there.pictures())
    assert np.array_equal(whole.lineage.to_array(), there.lineage.to_array())
    assert whole.ancestors(2) == there.ancestors(2)


def test_another_seed_finds_other_pictures() -> None:
    first, same, other = (
        Evolution(encoding="direct", generations=2, seed=seed, **QUICK).run(Quarters()).pictures() for seed in (0, 0, 1)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_it_ends_when_all_champions_have_reached_the_goal() -> None:
    told: list[Generation] = []

    def tell(now: Generation) -> None:
        told.append(now)

    archive = Evolution(encoding="cppn", goal=0.9, **QUICK).run(Quarters(), on_generation=tell)
    assert archive.generation < 200
    assert archive.confidences.min() >= 0.9 + 0.2 * 0.1
    assert told[0].generation == 0
    assert told[0].improved.all()
    assert told[-1].generations == 200
    assert told[-1].archive is archive
    assert told[-1].eta_seconds >= 0


@pytest.mark.parametrize(("encoding", "focus"), [("direct", 0.8), ("cppn", 0.5)])
def test_a_share_of_the_parents_have_not_reached_the_goal(encoding: str, focus: float) -> None:
    evolution = Evolution(encoding=encoding, generations=0, **QUICK)
    archive = evolution.run(Quarters())
    archive.confidences[:3] = 1.0
    cells = evolution._parents(archive, 4000, np.random.default_rng(0))
    any_of_all = (1 - focus) / 4
    assert np.bincount(cells, minlength=4) / 4000 == pytest.approx([any_of_all] * 3 + [focus + any_of_all], abs=0.02)


def test_several_models_are_fooled_together_or_not_at_all() -> None:
    """The second wants three times the difference; the first alone is sure long before it is."""
    easy, hard = Quarters(sharp=90), Quarters(names=NAMES[::-1], sharp=30)
    options = {"encoding": "direct", "goal": 0.95, "generations": 60, **QUICK}
    alone = champions([easy, hard], Evolution(**options).run(easy))
    assert min(one.each[0] for one in alone) > 0.95 > min(one.each[1] for one in alone)
    for combine in ("min", "product"):
        both = champions([easy, hard], Evolution(combine=combine, **options).run([easy, hard]))
        assert all(one.fooled and min(one.each) > 0.95 for one in both)
    assert both[0].confidence == pytest.approx(both[0].each[0] * both[0].each[1])


def test_only_the_wanted_classes_are_evolved() -> None:
    archive = Evolution(encoding="cppn", generations=5, **QUICK).run(Quarters(), classes=["west", "east"])
    assert [archive.names[i] for i in archive.class_ids] == ["west", "east"]
    assert len(archive.pictures()) == 2


def test_lines_lead_from_the_first_generation_through_champions() -> None:
    archive = Evolution(encoding="cppn", generations=20, goal=None, **QUICK).run(Quarters())
    for cell in range(4):
        line = archive.ancestors(cell)
        born = [one.generation for one in line]
        assert born[0] == 0
        assert born == sorted(born)
        assert born[-1] == archive.born(cell)
        assert line[-1].lived_as == NAMES[cell]
    assert any(one.lived_as != NAMES[cell] for cell in range(4) for one in archive.ancestors(cell))


def test_lenet_takes_pictures_of_nothing_for_digits() -> None:
    """The first generations of what `benchmarks/fooling.py` runs to the end."""
    model = Classifier.from_pretrained("lenet5-mnist")
    archive = Evolution(encoding="cppn", children=200, generations=4).run(model)
    found = champions(model, archive)
    assert archive.size == (28, 28)
    assert archive.channels == 1
    assert np.median(found.confidences) > 0.9
    assert found.confidences.min() > 0.5
    assert all(one.fooled for one in found)
    assert np.abs(found.confidences - archive.confidences).max() < 0.02  # bfloat16 beside float32


def test_an_archive_of_another_evolution_is_refused() -> None:
    archive = Evolution(encoding="cppn", generations=1, **QUICK).run(Quarters())
    for options, words in (
        ({"encoding": "direct"}, "encoding='direct'"),
        ({"children": 80}, "children=80"),
        ({"seed": 3}, "seed=3"),
        ({"encoding_options": {"rate": 0.3}}, "rate=0.3"),
    ):
        with pytest.raises(UsageError, match=words):
            Evolution(**{**QUICK, **options}).run(Quarters(), archive=archive)
    with pytest.raises(UsageError, match="models that answer otherwise"):
        Evolution(**QUICK).run(Quarters(sharp=5), archive=archive)
    with pytest.raises(UsageError, match=r"archive of the classes \['west'\]"):
        Evolution(**QUICK).run(Quarters(), classes="west", archive=archive)


def test_models_and_classes_that_cannot_be_evolved_for_are_refused() -> None:
    class Deaf:
        names = NAMES

        def predict_proba(self, pictures: list[np.ndarray]) -> np.ndarray:
            return np.full((len(pictures), 3), np.nan)

    class Terse:
        names = NAMES

        def predict(self, pictures: list[np.ndarray]) -> list[str]:
            return ["north"] * len(pictures)

    quick = Evolution(**QUICK)
    refused: list[tuple[type[StriateError], str, object, dict[str, object]]] = [
        (UsageError, "did you mean 'south'", Quarters(), {"classes": ["sout"]}),
        (UsageError, "classes, each once", Quarters(), {"classes": ["east", "east"]}),
        (UsageError, "classes, each once", Quarters(), {"classes": []}),
        (UsageError, "a model to fool", [], {}),
        (UsageError, "classes of the first", [Quarters(), Quarters(("a", "b"))], {}),
        (ModelError, "gives probabilities", Terse(), {}),
        (ModelError, "finite probabilities", Deaf(), {}),
    ]
    for kind, words, models, options in refused:
        with pytest.raises(kind, match=words):
            quick.run(models, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a size for models that tell none"):
        Evolution().run(Quarters())


def test_options_out_of_range_are_refused() -> None:
    for options, words in (
        ({"encoding": "pixels"}, "encoding to be one of direct, cppn"),
        ({"encoding_options": {"ratio": 1}}, "did you mean 'rate'"),
        ({"encoding_options": {"rate": "much"}}, "rate to lie between 0 and 1; got 'much'"),
        ({"generations": -1}, "generations from 0"),
        ({"children": 10, "batch": 20}, "batches of no more"),
        ({"goal": 2.0}, "goal to lie between 0 and 1"),
        ({"size": (4, 4)}, "8 to 1024 pixels"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"combine": "mean", "size": SIZE}, "combine to be one of min, product"),
    ):
        with pytest.raises(UsageError, match=words):
            Evolution(**options).run(Quarters())  # type: ignore[arg-type]
