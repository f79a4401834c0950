"""Attacks beside foolbox's and torchattacks': the same network, pictures and budgets; what they find, and how fast.

`python -m striate.benchmarks.attacks [DATA] [--pictures N] [--rounds N] [--only WORD] [--keep]`: DATA is a folder with
mnist/ and cifar10_jpeg/ (or CIFAR-10's binaries under that name); left out, what STRIATE_TEST_DATA names, else
shared/data beside the clone. Success is counted twice: on the float pictures, as the others count, and on the same
pictures rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from striate.adversarial import Apgd, CarliniWagner, DeepFool, Fgsm, Pgd
from striate.adversarial.attack import Attack
from striate.adversarial.criteria import Misclassified
from striate.adversarial.distances import DISTANCES
from striate.adversarial.eight_bits import rounded
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable, of_classifier
from striate.benchmarks.harness import FOLDER, Part, Row, keep, measure, new_run
from striate.core.classifier import Classifier
from striate.core.datasets.load_classes import load_classes
from striate.core.images import to_tensor
from striate.core.views import over_views
from striate.core.weights import WEIGHTS

SUBJECT = "attacks"
BUDGETS = {"lenet5-mnist": 0.1, "small-cifar10": 4 / 255}
"""Linf; within them some pictures hold out, so that success rates can differ."""
FOLDERS = {"lenet5-mnist": "mnist", "mnist-robust": "mnist", "small-cifar10": "cifar10_jpeg"}
PEERS = ("foolbox", "torchattacks")
PICTURES = 64
SEARCHES, STEPS, RATE = 4, 50, 0.05
"""Of Carlini and Wagner's attack, for all three."""


class Module(nn.Module):
    """What one writes for foolbox and torchattacks by hand: the classifier's own network as it is."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        assert classifier.network_ is not None
        self.network, self.views = classifier.network_, classifier.views
        self.grey = classifier.channels == 1
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of pictures (N, 3, H, W) of the network's size."""
        x = (x * self.luma).sum(1, keepdim=True) if self.grey else x
        return over_views(self.network, x, self.views)


class Set(NamedTuple):
    """A network, ours and theirs, with pictures that it names right."""

    name: str
    victim: Attackable
    module: Module
    x: Tensor
    y: Tensor


class Found(NamedTuple):
    """What one candidate found in one case."""

    case: str
    candidate: str
    success: float
    success_8_bits: float
    mean_l2: float
    mean_linf: float


def data_folder() -> Path:
    """Return where the tests find real data."""
    return Path(os.environ.get("STRIATE_TEST_DATA") or FOLDER.parent.parent / "shared" / "data")


def why_not(name: str, folder: Path) -> str:
    """Return why a network cannot be attacked here: its weights, its pictures or the peers are absent; "" if it can."""
    if name not in WEIGHTS:
        return f"no weights are called {name}"
    if not (folder / FOLDERS[name]).is_dir():
        return f"no pictures in {folder / FOLDERS[name]}; set STRIATE_TEST_DATA"
    absent = [peer for peer in PEERS if find_spec(peer) is None]
    return f"pip install {' '.join(absent)}" if absent else ""


def load(name: str, folder: Path, count: int) -> Set:
    """Return a shipped classifier and the first pictures of its test set that it names right."""
    classifier = Classifier.from_pretrained(name)
    data = load_classes(folder / FOLDERS[name], "test", names=classifier.names)
    images: list[Any] = [data.image(i) for i in range(2 * count)]
    right = classifier.predict_proba(images).argmax(1) == data.labels[: 2 * count]
    kept = right.nonzero()[0][:count]
    x, y = to_tensor([images[i] for i in kept]), torch.from_numpy(data.labels[kept])
    return Set(name, of_classifier(classifier), Module(classifier).eval(), x, y)


def ours(data: Set, attack: Attack, epsilon: float | None) -> Tensor:
    """Run an attack of ours, without what `run` adds: PNGs and the model's second opinion."""
    goal = ClassGoal(Misclassified(), data.y)
    return attack.perturb(Problem.of(data.victim, data.x, goal, attack.distance, epsilon)).detach()


def foolbox(data: Set, name: str, epsilon: float | None, **options: Any) -> Tensor:
    """Run one of foolbox's."""
    import foolbox as peer

    model = peer.PyTorchModel(data.module, bounds=(0, 1))
    return getattr(peer.attacks, name)(**options)(model, data.x, data.y, epsilons=epsilon)[1].detach()


def torchattacks(data: Set, name: str, **options: Any) -> Tensor:
    """Run one of torchattacks'."""
    import torchattacks as peer

    return getattr(peer, name)(data.module, **options)(data.x, data.y).detach()


def cases(data: Set) -> Iterator[tuple[str, str, dict[str, Callable[[], Tensor]]]]:
    """Name each case with the goal that it counts for and its candidates."""
    e = BUDGETS[data.name]
    step = 2.5 / 10
    yield "FGSM, linf", "", {
        "striate": partial(ours, data, Fgsm(), e),
        "foolbox": partial(foolbox, data, "LinfFastGradientAttack", e),
        "torchattacks": partial(torchattacks, data, "FGSM", eps=e),
    }  # fmt: skip
    yield "PGD-10, linf", "C9", {
        "striate": partial(ours, data, Pgd(steps=10, step_size=step), e),
        "striate, bfloat16": partial(_in_bf16, data, Pgd(steps=10, step_size=step), e),
        "striate, all steps": partial(ours, data, Pgd(steps=10, step_size=step, early_stop=False), e),
        "foolbox": partial(foolbox, data, "LinfPGD", e, rel_stepsize=step, steps=10),
        "torchattacks": partial(torchattacks, data, "PGD", eps=e, alpha=step * e, steps=10),
    }  # fmt: skip
    yield "APGD-20, linf", "", {
        "striate": partial(ours, data, Apgd(steps=20), e),
        "torchattacks": partial(torchattacks, data, "APGD", eps=e, steps=20),
    }  # fmt: skip
    yield "DeepFool, l2", "", {
        "striate": partial(ours, data, DeepFool(), None),
        "foolbox": partial(foolbox, data, "L2DeepFoolAttack", None),
        "torchattacks": partial(torchattacks, data, "DeepFool", steps=50),
    }  # fmt: skip
    yield f"Carlini-Wagner, l2, {SEARCHES} x {STEPS} steps", "", {
        "striate": partial(ours, data, CarliniWagner(steps=STEPS, searches=SEARCHES), None),
        "foolbox": partial(
            foolbox, data, "L2CarliniWagnerAttack", None, binary_search_steps=SEARCHES, steps=STEPS, stepsize=RATE,
            initial_const=0.1,
        ),
        "torchattacks": partial(torchattacks, data, "CW", c=1, steps=SEARCHES * STEPS, lr=RATE),
    }  # fmt: skip


def _in_bf16(data: Set, attack: Attack, epsilon: float | None) -> Tensor:
    """Run an attack of ours with products in bfloat16, for gradients only: success is judged in float32."""
    data.victim.precision = "bf16"
    try:
        return ours(data, attack, epsilon)
    finally:
        data.victim.precision = "fp32"


@torch.no_grad()
def judge(data: Set, case: str, candidate: str, pictures: Tensor) -> Found:
    """Say what a candidate found, by the network as it is."""
    fooled, kept = (data.module(x).argmax(1) != data.y for x in (pictures, rounded(pictures)))
    l2, linf = (DISTANCES[name].between(pictures, data.x)[fooled] for name in ("l2", "linf"))
    shares = float(fooled.float().mean()), float(kept.float().mean())
    return Found(case, candidate, *shares, float(l2.mean()), float(linf.mean()))


def rows_of(
    data: Set, case: str, goal: str, candidates: dict[str, Callable[[], Tensor]], run: str, rounds: int
) -> list[Row]:
    """Measure a case: print what is found, then interleaved times."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own
        torch.manual_seed(0)
        found = [judge(data, case, one, call()) for one, call in candidates.items()]
        rows = measure(SUBJECT, case, candidates, baseline="torchattacks", run=run, rounds=rounds, warmup=0, goal=goal)
    for one, row in zip(found, rows, strict=True):
        figures = f"{one.success:7.3f} {one.success_8_bits:7.3f} {one.mean_l2:7.4f} {one.mean_linf:7.4f}"
        print(f"{one.case:58} {one.candidate:20} {figures} {row.median_ms:9.1f}", flush=True)
    return rows


def parts(run: str, rounds: int, folder: Path | None = None, count: int = PICTURES) -> Iterator[Part]:
    """Name every case of the networks that there are pictures of, with what measures it; say which are left out."""
    torch.set_num_threads(1)
    folder = data_folder() if folder is None else folder
    for network in BUDGETS:
        reason = why_not(network, folder)
        if reason:
            print(f"{SUBJECT}: {network} is left out: {reason}", flush=True)
            continue
        data = load(network, folder, count)
        for name, goal, candidates in cases(data):
            case = f"{name}, {network}, {len(data.x)} pictures"
            yield case, partial(rows_of, data, case, goal, candidates, run, min(rounds, 5))


def main() -> None:
    """Measure and print; keep the times where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    parser.add_argument("--keep", action="store_true", help="append the times to results/attacks.jsonl")
    options = parser.parse_args()
    print(f"{'case':58} {'candidate':20} {'fooled':>7} {'8 bits':>7} {'l2':>7} {'linf':>7} {'ms':>9}")
    for case, part in parts(new_run(), options.rounds, options.data, options.pictures):
        if options.only in case:
            found = part()
            if options.keep:
                keep(found)


if __name__ == "__main__":
    main()
