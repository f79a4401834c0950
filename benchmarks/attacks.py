"""Attacks beside foolbox's and torchattacks': the same network, pictures and budgets; what they find, and how fast.

`python -m striate.benchmarks.attacks [DATA] [--pictures N] [--rounds N] [--only WORD] [--keep] [--figures]`: DATA is a
folder with mnist/ and cifar10_jpeg/ (or CIFAR-10's binaries under that name); left out, what STRIATE_TEST_DATA names,
else shared/data beside the clone. Success is counted twice: on the float pictures, as the others count, and by the
model itself on the same pictures rounded to 8 bits. Times are of all rounds, what is found is that of the first.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from striate.adversarial import Apgd, CarliniWagner, DeepFool, Fgsm, Pgd
from striate.adversarial.attack import Attack
from striate.adversarial.criteria import Misclassified
from striate.adversarial.goals import ClassGoal
from striate.adversarial.problem import Problem
from striate.adversarial.victims import Attackable, of_classifier
from striate.benchmarks.attack_figures import Found, Tried, judged, keep_figures
from striate.benchmarks.harness import FOLDER, Part, Row, keep, measure, new_run
from striate.core.classifier import Classifier
from striate.core.datasets.load_classes import load_classes
from striate.core.images import to_image, to_tensor
from striate.core.views import over_views
from striate.core.weights import WEIGHTS

SUBJECT = "attacks"
BUDGETS = {"lenet5-mnist": 25 / 255, "small-cifar10": 4 / 255}
"""Linf, in whole levels, so that rounding to 8 bits does not leave them; within them FGSM does not fool all."""
FOLDERS = {"lenet5-mnist": "mnist", "mnist-robust": "mnist", "small-cifar10": "cifar10_jpeg"}
PEERS = ("foolbox", "torchattacks")
PICTURES = 64
SEARCHES, STEPS, RATE = 4, 50, 0.05
"""Of Carlini and Wagner's attack, for all three."""
SAVED = ", saved"
"""Ends the names of candidates that go on until the PNG fools the model itself, as `run` does."""
HEAD = f"{'case':58} {'candidate':20} {'fooled':>7} {'8 bits':>7} {'mean':>7} {'both':>7} {'ours':>7} {'queries':>8} "
HEAD += f"{'ms':>10}"


class Module(nn.Module):
    """What one writes for foolbox and torchattacks by hand: the classifier's own network as it is.

    It counts in `asked` the pictures that it is asked about, one by one however often.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        assert classifier.network_ is not None
        self.network, self.views = classifier.network_, classifier.views
        self.grey, self.asked = classifier.channels == 1, 0
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of pictures (N, 3, H, W) of the network's size."""
        self.asked += len(x)
        x = (x * self.luma).sum(1, keepdim=True) if self.grey else x
        return over_views(self.network, x, self.views)


class Set(NamedTuple):
    """A network, ours and theirs, with pictures that it names right; `halved` computes products in bfloat16."""

    name: str
    victim: Attackable
    halved: Attackable
    module: Module
    x: Tensor
    y: Tensor

    def names(self, pictures: Tensor) -> Tensor:
        """Return class ids by the network, as the peers attack it."""
        ids: Tensor = self.module(pictures).argmax(1)
        return ids

    def reads(self, pictures: Tensor) -> Tensor:
        """Return class ids by the model itself, from pictures of 8 bits."""
        return torch.from_numpy(self.victim.probabilities([to_image(one) for one in pictures]).argmax(1))


class Case(NamedTuple):
    """One attack by all who have it.

    Attributes:
        name: What is computed.
        goal: The line of goals.py that it counts for.
        distance: The norm that the attack works in.
        epsilon: Its budget; None for none.
        candidates: Name -> a call that returns changed pictures; striate among them.
    """

    name: str
    goal: str
    distance: str
    epsilon: float | None
    candidates: Mapping[str, Callable[[], Tensor]]


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
    """Return a shipped classifier and the first pictures of its test set that it names right; import the peers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their own
        for peer in PEERS:  # else a first round counts 1.6 s of imports
            import_module(peer)
    classifier = Classifier.from_pretrained(name)
    classifier.precision = "fp32"  # as the peers' network computes: it confirms what `saved` keeps
    data = load_classes(folder / FOLDERS[name], "test", names=classifier.names)
    images: list[Any] = [data.image(i) for i in range(2 * count)]
    right = classifier.predict_proba(images).argmax(1) == data.labels[: 2 * count]
    kept = right.nonzero()[0][:count]
    x, y = to_tensor([images[i] for i in kept]), torch.from_numpy(data.labels[kept])
    victims = of_classifier(classifier), of_classifier(classifier, precision="bf16")
    return Set(name, *victims, Module(classifier).eval(), x, y)


def ours(data: Set, attack: Attack, epsilon: float | None, *, saved: bool = False) -> Tensor:
    """Run an attack of ours; `saved` goes on to pictures of 8 bits that the model itself confirmed, as `run` does."""
    goal = ClassGoal(Misclassified(), data.y)
    problem = Problem.of(data.victim, data.x, goal, attack.distance, epsilon)
    found = attack._solve(problem).pictures if saved else attack.perturb(problem).detach()
    data.module.asked += int(problem.cost.queries.sum())
    return found


def foolbox(data: Set, name: str, epsilon: float | None, **options: Any) -> Tensor:
    """Run one of foolbox's."""
    import foolbox as peer

    model = peer.PyTorchModel(data.module, bounds=(0, 1))
    return getattr(peer.attacks, name)(**options)(model, data.x, data.y, epsilons=epsilon)[1].detach()


def torchattacks(data: Set, name: str, **options: Any) -> Tensor:
    """Run one of torchattacks'."""
    import torchattacks as peer

    return getattr(peer, name)(data.module, **options)(data.x, data.y).detach()


def cases(data: Set) -> Iterator[Case]:
    """Name each case with its candidates."""
    e = BUDGETS[data.name]
    step = 2.5 / 10
    yield Case("FGSM, linf", "", "linf", e, {
        "striate": partial(ours, data, Fgsm(), e),
        "foolbox": partial(foolbox, data, "LinfFastGradientAttack", e),
        "torchattacks": partial(torchattacks, data, "FGSM", eps=e),
    })  # fmt: skip
    pgd = Pgd(steps=10, step_size=step)
    yield Case("PGD-10, linf", "C9", "linf", e, {
        "striate": partial(ours, data, pgd, e),
        "striate, saved": partial(ours, data, pgd, e, saved=True),
        "striate, bfloat16": partial(ours, data._replace(victim=data.halved), pgd, e),
        "striate, all steps": partial(ours, data, Pgd(steps=10, step_size=step, early_stop=False), e),
        "foolbox": partial(foolbox, data, "LinfPGD", e, rel_stepsize=step, steps=10),
        "torchattacks": partial(torchattacks, data, "PGD", eps=e, alpha=step * e, steps=10),
    })  # fmt: skip
    yield Case("APGD-20, linf", "", "linf", e, {
        "striate": partial(ours, data, Apgd(steps=20), e),
        "torchattacks": partial(torchattacks, data, "APGD", eps=e, steps=20),
    })  # fmt: skip
    yield Case("DeepFool, l2", "", "l2", None, {
        "striate": partial(ours, data, DeepFool(), None),
        "striate, saved": partial(ours, data, DeepFool(), None, saved=True),
        "foolbox": partial(foolbox, data, "L2DeepFoolAttack", None),
        "torchattacks": partial(torchattacks, data, "DeepFool", steps=50),
    })  # fmt: skip
    carlini_wagner = CarliniWagner(steps=STEPS, searches=SEARCHES)
    theirs = {"steps": STEPS, "binary_search_steps": SEARCHES, "initial_const": carlini_wagner.constant}
    yield Case(f"Carlini-Wagner, l2, {SEARCHES} x {STEPS} steps", "", "l2", None, {
        "striate": partial(ours, data, carlini_wagner, None),
        "striate, saved": partial(ours, data, carlini_wagner, None, saved=True),
        "foolbox": partial(foolbox, data, "L2CarliniWagnerAttack", None, stepsize=RATE, **theirs),
        "foolbox, all steps": partial(
            foolbox, data, "L2CarliniWagnerAttack", None, stepsize=RATE, abort_early=False, **theirs
        ),
        "torchattacks": partial(torchattacks, data, "CW", c=1, steps=SEARCHES * STEPS, lr=RATE),
    })  # fmt: skip


def rows_of(
    data: Set, case: Case, name: str, run: str, rounds: int, on_found: Callable[[list[Found]], None] | None = None,
    *, subject: str = SUBJECT,
) -> list[Row]:  # fmt: skip
    """Measure a case in interleaved rounds; print what the first of them finds.

    Args:
        data: Networks and pictures.
        case: One of `cases`.
        name: Of the case with its network and pictures.
        run: As `harness.measure`'s.
        rounds: As `harness.measure`'s.
        on_found: Called with what is found.
        subject: As `harness.measure`'s.

    Raises:
        Differs: A candidate left its budget or [0, 1].
    """
    tried: dict[str, Tried] = {}

    def noting(candidate: str) -> None:
        before = data.module.asked
        pictures = case.candidates[candidate]()
        saved = candidate.endswith(SAVED)
        tried.setdefault(candidate, Tried(pictures, (data.module.asked - before) / len(data.x), saved))

    calls = {candidate: partial(noting, candidate) for candidate in case.candidates}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own
        torch.manual_seed(0)
        rows = measure(subject, name, calls, baseline="torchattacks", run=run, rounds=rounds, warmup=0, goal=case.goal)
    about = {"case": name, "distance": case.distance}
    found = judged(data.names, data.reads, data.x, data.y, tried, epsilon=case.epsilon, **about)
    for one, row in zip(found, rows, strict=True):
        shown = [one.success, one.success_8_bits, *(side[case.distance] for side in (one.own, one.common, one.ours))]
        figures = " ".join(f"{float('nan') if figure is None else figure:7.4f}" for figure in shown)
        print(f"{name:58} {row.candidate:20} {figures} {one.queries:8.1f} {row.median_ms:10.1f}", flush=True)
    if on_found is not None:
        on_found(found)
    return rows


def parts(
    run: str, rounds: int, folder: Path | None = None, count: int = PICTURES,
    on_found: Callable[[list[Found]], None] | None = None,
) -> Iterator[Part]:  # fmt: skip
    """Name every case of the networks that there are pictures of, with what measures it; say which are left out."""
    torch.set_num_threads(1)
    folder = data_folder() if folder is None else folder
    for network in BUDGETS:
        reason = why_not(network, folder)
        if reason:
            print(f"{SUBJECT}: {network} is left out: {reason}", flush=True)
            continue
        data = load(network, folder, count)
        for case in cases(data):
            name = f"{case.name}, {network}, {len(data.x)} pictures"
            yield name, partial(rows_of, data, case, name, run, min(rounds, 5), on_found)


def main() -> None:
    """Measure and print; keep the times where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    parser.add_argument("--keep", action="store_true", help="append the times to results/attacks.jsonl")
    parser.add_argument("--figures", action="store_true", help="append what is found to results/figures/attacks.jsonl")
    options = parser.parse_args()
    print(HEAD)
    run = new_run()
    on_found = partial(keep_figures, run=run) if options.figures else None
    for case, part in parts(run, options.rounds, options.data, options.pictures, on_found):
        if options.only in case:
            found = part()
            if options.keep:
                keep(found)


if __name__ == "__main__":
    main()
