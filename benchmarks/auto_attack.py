"""Robust accuracy under `Ensemble` beside torchattacks' AutoAttack: the same networks, pictures and budgets.

`python -m striate.benchmarks.auto_attack [DATA] [--pictures N] [--only WORD] [--keep]`. Both run what AutoAttack is
made of (Croce and Hein 2020): APGD and targeted APGD of 100 steps, FAB-T of 100, Square of 5,000 queries. Budgets are
whole levels of 1/255, for ours counts on pictures of 8 bits only. Rows are kept where ours leaves no more than half a
point (of fewer than 200 pictures, one picture) of accuracy above theirs.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from striate.adversarial import Ensemble
from striate.benchmarks.attacks import Set, data_folder, load, ours, why_not
from striate.benchmarks.harness import Differs, Part, Row, keep, measure, new_run

SUBJECT = "auto_attack"
LEVELS = {"mnist-robust": 76, "lenet5-mnist": 16, "small-cifar10": 1}
"""Budgets in Linf, of 255: near the 0.3 that the first was trained for; the others fall to nothing at more."""
STEPS, QUERIES = 100, 5000
APART = 0.005
PICTURES = 200


def torchattacks(data: Set, epsilon: float) -> Tensor:
    """Run torchattacks' AutoAttack with the steps of Croce and Hein, which are ten times its own."""
    import torchattacks as peer

    made = {"norm": "Linf", "eps": epsilon, "steps": STEPS, "seed": 0}
    classes = {"n_classes": len(data.victim.names)}
    members = [
        peer.APGD(data.module, loss="ce", **made),
        peer.APGDT(data.module, **classes, **made),
        peer.FAB(data.module, multi_targeted=True, **classes, **made),
        peer.Square(data.module, norm="Linf", eps=epsilon, n_queries=QUERIES, seed=0),
    ]
    found: Tensor = peer.MultiAttack(members)(data.x, data.y).detach()
    return found


@torch.no_grad()
def left(data: Set, pictures: Tensor, epsilon: float) -> int:
    """Return how many pictures are still named right.

    Raises:
        Differs: A picture left the ball.
    """
    worst = float((pictures - data.x).abs().max())
    if worst > epsilon + 1e-6 or pictures.min() < 0 or pictures.max() > 1:
        raise Differs(f"a change of {worst:.4f} instead of {epsilon:.4f}: nothing was kept")
    return int((data.module(pictures).argmax(1) == data.y).sum())


def rows(name: str, folder: Path, count: int, run: str) -> list[Row]:
    """Run both once, and compare what they leave.

    Raises:
        Differs: Ours leaves more.
    """
    data, epsilon, found = load(name, folder, count), LEVELS[name] / 255, {}

    def own() -> None:
        attack = Ensemble(steps=STEPS, queries=QUERIES)
        found["striate"] = ours(data, attack, epsilon)

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the peer's own
            found["torchattacks"] = torchattacks(data, epsilon)

    case = f"AutoAttack, linf {LEVELS[name]}/255, {name}, {len(data.x)} pictures"
    calls = {"striate": own, "torchattacks": theirs}
    made = measure(SUBJECT, case, calls, baseline="torchattacks", run=run, rounds=1, warmup=0, goal="C10")
    right = {candidate: left(data, pictures, epsilon) for candidate, pictures in found.items()}
    told = ", ".join(f"{candidate} leaves {count / len(data.x):.1%}" for candidate, count in right.items())
    print(f"{case}: {told}", flush=True)
    if right["striate"] - right["torchattacks"] > max(round(APART * len(data.x)), 1):
        raise Differs(f"{case}: ours leaves {right['striate']} right, theirs {right['torchattacks']}")
    return made


def parts(run: str, rounds: int, folder: Path | None = None, count: int = PICTURES) -> Iterator[Part]:
    """Name every network that there are weights and pictures of, with what runs both; say which are left out."""
    torch.set_num_threads(1)
    folder = data_folder() if folder is None else folder
    for name in LEVELS:
        reason = why_not(name, folder)
        if reason:
            print(f"{SUBJECT}: {name} is left out: {reason}", flush=True)
        else:
            yield name, partial(rows, name, folder, count, run)


def main() -> None:
    """Measure and print; keep the rows where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--only", default="", help="networks whose name holds this word")
    parser.add_argument("--keep", action="store_true", help="append the times to results/auto_attack.jsonl")
    options = parser.parse_args()
    for name, part in parts(new_run(), 1, options.data, options.pictures):
        if options.only in name:
            found = part()
            print("\n".join(f"{row.case}: {row.candidate} {row.median_ms / 1e3:.1f} s" for row in found), flush=True)
            if options.keep:
                keep(found)


if __name__ == "__main__":
    main()
