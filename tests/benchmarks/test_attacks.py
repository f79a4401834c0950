"""The attacks' benchmark: the same pictures for all, questions counted, and what is found in the first round."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from striate.adversarial import Fgsm, Pgd
from striate.benchmarks import attacks
from striate.benchmarks.attack_figures import Found
from striate.benchmarks.attacks import Case, Set, cases, load, ours, rows_of
from striate.benchmarks.harness import Differs

NAME = "lenet5-mnist"


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Set:
    """Return LeNet-5 with six digits."""
    if reason := attacks.why_not(NAME, shared_data):
        pytest.skip(reason)
    return load(NAME, shared_data, 6)


def measured(data: Set, case: Case, rounds: int = 1) -> dict[str, Found]:
    kept: list[Found] = []
    rows = rows_of(data, case, "a case", "now", rounds, kept.extend)
    assert [row.candidate for row in rows] == [one.candidate for one in kept] == list(case.candidates)
    return {one.candidate: one for one in kept}


def test_all_attack_what_they_name_right(data: Set) -> None:
    assert len(data.x) == 6
    for network in (data.module, data.victim.scores, data.halved.scores):
        assert (network(data.x).argmax(1) == data.y).all()


def test_one_step_is_the_same_for_all_and_questions_are_counted(data: Set) -> None:
    case = next(one for one in cases(data) if one.name.startswith("FGSM"))
    found = measured(data, case, rounds=2)
    assert {name: one.queries for name, one in found.items()} == {"striate": 1, "foolbox": 2, "torchattacks": 1}
    assert len({(one.success, one.success_8_bits, one.both) for one in found.values()}) == 1


def test_bfloat16_has_a_victim_of_its_own(data: Set) -> None:
    assert (data.victim.precision, data.halved.precision) == ("fp32", "bf16")
    assert data.victim.recorded is not data.halved.recorded
    case = next(one for one in cases(data) if one.name.startswith("PGD"))
    for name, victim in (("striate, bfloat16", data.halved), ("striate", data.victim)):
        call = case.candidates[name]
        assert isinstance(call, partial)
        assert call.args[0].victim is victim


def test_saved_pictures_are_on_the_grid_and_fool(data: Set) -> None:
    found = ours(data, Pgd(steps=10), 40 / 255, saved=True)
    assert torch.allclose(found * 255, (found * 255).round(), atol=1e-4)
    assert (data.module(found).argmax(1) != data.y).all()


def test_a_candidate_that_leaves_its_budget_is_not_measured(data: Set) -> None:
    def too_far() -> torch.Tensor:
        return (data.x + 0.2).clamp(0, 1)

    calls = {"striate": partial(ours, data, Fgsm(), 0.1), "torchattacks": too_far}
    with pytest.raises(Differs, match=r"torchattacks: a change of 0\.2000 instead of 0\.1000"):
        rows_of(data, Case("a case", "", "linf", 0.1, calls), "a case", "now", 1)


def test_what_is_left_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attacks.why_not("lenet6-mnist", tmp_path) == "no weights are called lenet6-mnist"
    assert attacks.why_not(NAME, tmp_path) == f"no pictures in {tmp_path / 'mnist'}; set STRIATE_TEST_DATA"
    threads = torch.get_num_threads()
    assert list(attacks.parts("now", 1, tmp_path)) == []
    torch.set_num_threads(threads)
    assert capsys.readouterr().out.count("is left out: no pictures in") == len(attacks.BUDGETS)
