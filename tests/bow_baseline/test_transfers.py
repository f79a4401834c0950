"""Pictures made against one contender and shown to the others, and corruptions that tell their settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.bow_baseline.attack import method_on
from striate.bow_baseline.compare import Comparison
from striate.bow_baseline.report_tables import csv_files, tables
from striate.bow_baseline.summary import summarize
from striate.core.checks import UsageError
from striate.tests.bow_baseline.stand_ins import bands, means

TRAIN, TEST = bands(8), bands(9, seed=1)


class Darken:
    """Blacken the part that a model looks at, and count how often."""

    def __init__(self, by: int = 255) -> None:
        self.by, self.calls = by, 0

    @property
    def options(self) -> dict[str, int]:
        return {"by": self.by}

    def __call__(self, model: Any, image: np.ndarray, label: int, rng: np.random.Generator) -> np.ndarray:
        self.calls += 1
        seen = np.arange(image.shape[1])[None, :, None] < model.part * image.shape[1]
        return np.where(seen, np.maximum(image.astype(int) - self.by, 0), image).astype(np.uint8)

    def method_on(self, model: Any) -> str:
        return f"darken {model.part:g}"


def two() -> list:
    return [means("whole")[0], means("left", 0.25)[0]]


def test_the_others_see_what_was_made_against_one() -> None:
    results = Comparison(two(), attacks={"dark": Darken()}, attacked=9, transfers=["left"], seeds=(0, 1)).run(
        TRAIN, TEST
    )
    found = {(one.name, one.against): one for one in summarize(results).attacks}
    assert set(found) == {("whole", "whole"), ("left", "left"), ("whole", "left")}
    shown = found["whole", "left"]
    assert found["left", "left"].accuracy == found["whole", "whole"].accuracy == pytest.approx(1 / 3)
    model = results.model("whole", 1)
    pictures = [results.test.image(i) for i in results.attacked]
    left = [Darken()(results.model("left", 1), one, 0, np.random.default_rng(0)) for one in pictures]
    labels = results.test.labels[results.attacked]
    after = np.stack([results.model("whole", seed).predict_proba(left).argmax(1) == labels for seed in (0, 1)])
    assert shown.accuracy == pytest.approx(after.mean())
    both = (results.right("whole") & results.right("left"))[:, results.attacked]
    assert shown.fooled == pytest.approx((~after)[both].mean())
    assert 0 < shown.fooled < 1
    assert shown.method == found["left", "left"].method == "darken 0.25"
    assert shown.distance is not None
    assert model is results.model("whole", 1)


def test_the_report_says_whom_pictures_were_made_against() -> None:
    results = Comparison(two(), attacks={"dark": Darken()}, attacked=3, transfers=["left"]).run(TRAIN, TEST)
    summary = summarize(results, count=0)
    (table,) = (one for one in tables(summary, results.config) if one.title == "Attacks")
    assert [row[:4] for row in table.rows] == [
        ("whole", "dark", "itself", "darken 1"),
        ("left", "dark", "itself", "darken 0.25"),
        ("whole", "dark", "left", "darken 0.25"),
    ]
    lines = csv_files(results, summary)["attacks.csv"].splitlines()
    assert lines[0].startswith("contender,attack,made_against,by,before,after,fooled,")
    assert lines[3].startswith("whole,dark,left,darken 0.25,")
    assert results.config["transfers"] == ["left"]


def test_pictures_are_kept_and_those_of_others_are_made_anew(tmp_path: Path) -> None:
    def calls(transfers: list[str], by: int = 255) -> int:
        dark = Darken(by)
        Comparison(two(), attacks={"dark": dark}, attacked=3, transfers=transfers, cache=tmp_path).run(TRAIN, TEST)
        return dark.calls

    assert calls([]) == 6
    assert calls([]) == 0
    assert calls(["left"]) == 3  # its pictures were not kept before
    assert calls(["left"]) == 0
    assert calls(["left"], by=9) == 6


def test_what_an_attack_is_called_where_it_does_not_say() -> None:
    assert method_on(lambda *a: None, "mine", None) == "mine"


def test_names_that_cannot_be_transferred() -> None:
    with pytest.raises(UsageError, match="contender whose pictures are shown to the others to be one of whole, left"):
        Comparison(two(), attacks={"dark": Darken()}, transfers=["lift"])
    with pytest.raises(UsageError, match="an attack that makes the pictures to transfer; got none"):
        Comparison(two(), transfers=["left"])


def test_settings_of_corruptions_are_told_and_tell_them_apart(tmp_path: Path) -> None:
    class Same:
        def __init__(self, steps: int) -> None:
            self.options = {"steps": steps}

        def __call__(self, image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
            return image

    asked = []
    for steps in (1, 1, 2):
        contender, counts = means("one")
        settings = {"corruptions": {"same": Same(steps)}, "severities": (1,), "cache": tmp_path}
        results = Comparison([contender], **settings).run(TRAIN, TEST)
        asked.append(counts.asked)
        assert results.config["corruption_options"] == {"same": {"steps": steps}}
    assert asked == [2 * len(TEST), 0, len(TEST)]
