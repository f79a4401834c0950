"""Robust accuracy under `Ensemble` beside torchattacks' AutoAttack: the same networks, pictures and budgets.

`python -m striate.benchmarks.auto_attack [DATA] [--pictures N] [--only WORD] [--keep] [--figures]`. Both run what
AutoAttack is made of (Croce and Hein 2020): APGD and targeted APGD of 100 steps, FAB-T of 100, Square of 5,000 queries.
Budgets are whole levels of 1/255, for ours counts on pictures of 8 bits only. Rows are kept where ours leaves no more
than half a point (of fewer than 200 pictures, one picture) of accuracy above theirs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from striate.adversarial import Ensemble
from striate.benchmarks.attack_figures import Found, keep_figures
from striate.benchmarks.attacks import HEAD, Case, Set, data_folder, load, ours, rows_of, why_not
from striate.benchmarks.harness import Differs, Part, Row, keep, new_run

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


def left(one: Found, count: int) -> int:
    """Return how many of the pictures are still named right."""
    return round((1 - one.success) * count)


def rows(
    name: str, folder: Path, count: int, run: str, on_found: Callable[[list[Found]], None] | None = None
) -> list[Row]:
    """Run both once, and compare what they leave.

    Raises:
        Differs: Ours leaves more, or one left the ball.
    """
    data, epsilon = load(name, folder, count), LEVELS[name] / 255
    calls = {
        "striate": partial(ours, data, Ensemble(steps=STEPS, queries=QUERIES), epsilon),
        "torchattacks": partial(torchattacks, data, epsilon),
    }
    case, found = Case(f"AutoAttack, linf {LEVELS[name]}/255", "C10", "linf", epsilon, calls), list[Found]()
    told = f"{case.name}, {name}, {len(data.x)} pictures"
    made = rows_of(data, case, told, run, 1, found.extend, subject=SUBJECT)
    own, theirs = (left(one, len(data.x)) for one in found)
    if own - theirs > max(round(APART * len(data.x)), 1):
        raise Differs(f"{told}: ours leaves {own} right, theirs {theirs}")
    if on_found is not None:
        on_found(found)
    return made


def parts(
    run: str, rounds: int, folder: Path | None = None, count: int = PICTURES,
    on_found: Callable[[list[Found]], None] | None = None,
) -> Iterator[Part]:  # fmt: skip
    """Name every network that there are weights and pictures of, with what runs both; say which are left out."""
    torch.set_num_threads(1)
    folder = data_folder() if folder is None else folder
    for name in LEVELS:
        reason = why_not(name, folder)
        if reason:
            print(f"{SUBJECT}: {name} is left out: {reason}", flush=True)
        else:
            yield name, partial(rows, name, folder, count, run, on_found)


def main() -> None:
    """Measure and print; keep the rows where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--only", default="", help="networks whose name holds this word")
    parser.add_argument("--keep", action="store_true", help="append the times to results/auto_attack.jsonl")
    parser.add_argument("--figures", action="store_true", help="append what is found to results/figures/attacks.jsonl")
    options = parser.parse_args()
    print(HEAD)
    run = new_run()
    on_found = partial(keep_figures, run=run) if options.figures else None
    for name, part in parts(run, 1, options.data, options.pictures, on_found):
        if options.only in name:
            found = part()
            if options.keep:
                keep(found)


if __name__ == "__main__":
    main()
