"""Attacks for the page: each goes on in a thread of its own while its visitor looks on, and may stop it."""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from ..core.checks import ModelError, StriateError
from .any_classifier import KINDS, described
from .cli_attack import number
from .fool_worker import computing, model
from .pick import Picture
from .second_looks import Look, after_jpeg, by_other

if TYPE_CHECKING:
    from ..adversarial.criteria import Criterion
    from ..adversarial.problem import Step
    from ..adversarial.results import Result


@dataclass(frozen=True)
class Asked:
    """What a visitor asked for.

    Attributes:
        picture: The picture to change.
        weights: The classifier to fool.
        method: A key of `adversarial.ATTACKS`.
        options: Keywords of its class with their values.
        epsilon: The budget as the command takes it, "8/255" or "2.5"; None is the attack's own.
        target: The class to be named; None for any other.
        confidence: Least probability of the answer, in (0, 1]; None asks for none.
        seed: Of all random numbers.
    """

    picture: Picture
    weights: str
    method: str = "pgd"
    options: tuple[tuple[str, Any], ...] = ()
    epsilon: str | None = None
    target: str | None = None
    confidence: float | None = None
    seed: int = 0

    def differs(self, other: Asked) -> bool:
        """Tell whether something else was asked for; pictures with equal keys are equal."""
        names = [one.name for one in fields(self) if one.name != "picture"]
        return self.picture.key != other.picture.key or any(getattr(self, n) != getattr(other, n) for n in names)

    def criterion(self) -> Criterion:
        """Return when the attack has succeeded."""
        from ..adversarial import ConfidenceAtLeast, Misclassified, Targeted

        first: Criterion = Misclassified() if self.target is None else Targeted()
        return first if self.confidence is None else first & ConfidenceAtLeast(self.confidence)

    def command(self) -> str:
        """Return the commands that do the same."""
        path = f"samples/{self.picture.name}" if self.picture.sample else self.picture.name
        words = ["striate", "attack", path, "--weights", self.weights, "--method", self.method]
        words += [word for name, value in self.options for word in ("--option", f"{name}={value}")]
        for name in ("epsilon", "target", "confidence"):
            value = getattr(self, name)
            words += [] if value is None else [f"--{name}", str(value)]
        first = "striate samples --out samples\n" if self.picture.sample else ""
        return first + shlex.join([*words, "--seed", str(self.seed), "--out", "fooled.png", "--drawing", "why.png"])

    def python(self) -> str:
        """Return the program that does the same."""
        kind = about(self.weights)[0]
        source = f"sample({self.picture.sample!r}).image()" if self.picture.sample else repr(self.picture.name)
        given = "".join(f", {name}={value!r}" for name, value in self.options)
        more = [] if self.epsilon is None else [f"epsilons={self.epsilon.replace('/', ' / ')}"]
        more += [] if self.target is None else [f"target={self.target!r}"]
        needed = ["make_attack"]
        if self.confidence is not None:
            more.append(f"criterion={self.criterion()}")
            needed = ["ConfidenceAtLeast", "Misclassified" if self.target is None else "Targeted", "make_attack"]
        lines = [f"from striate.adversarial import {', '.join(needed)}"]
        lines += ["from striate.apps.samples import sample"] if self.picture.sample else []
        lines += [f"from {KINDS[kind]} import {kind}", "", f"model = {kind}.from_pretrained({self.weights!r})"]
        lines += [f"attack = make_attack({self.method!r}{given})"]
        lines += [f"found = attack.run({', '.join(['model', source, *more, f'seed={self.seed}'])})"]
        return "\n".join([*lines, "print(found, found.norms)", 'found.save("fooled.png")'])


@dataclass
class Job:
    """An attack that goes on. The thread writes, the page reads.

    Attributes:
        asked: What for.
        step: Steps done.
        steps: Most there will be; 0 before the first.
        found: The result, judged from its PNG.
        jpeg: What the model says after JPEG; empty where nothing was fooled.
        others: What other models said when they were asked, by their weights.
        error: Why it failed.
        stop: Set it to end the job; nothing is left of it then.
        stopped: It was ended so.
    """

    asked: Asked
    step: int = 0
    steps: int = 0
    found: Result | None = None
    jpeg: list[Look] = field(default_factory=list)
    others: dict[str, Look] = field(default_factory=dict)
    error: StriateError | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    stopped: bool = False
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.found is None and self.error is None and not self.stopped


class _Stopped(Exception):
    """Its visitor has had enough."""


def start(asked: Asked) -> Job:
    """Begin an attack in a thread of its own."""
    job = Job(asked)
    job.thread = threading.Thread(target=_run, args=(job,), name="attack", daemon=True)
    job.thread.start()
    return job


def ask_other(job: Job, weights: str) -> Look:
    """Return what another model says of both pictures; it is asked once.

    Raises:
        ModelError: no such weights.
    """
    if job.found is None:
        raise ModelError("an attack that has ended", "one that goes on or failed", "wait for its end")
    if weights not in job.others:
        with computing:
            job.others[weights] = by_other(weights, model(weights), job.found)
    return job.others[weights]


def about(weights: str) -> tuple[str, tuple[str, ...]]:
    """Return kind and class names of a classifier, as `any_classifier.described`; a file is read once while unchanged.

    Raises:
        ModelError: no such weights, or those of something that names no pictures.
    """
    path = Path(weights)
    return _about(weights, path.stat().st_mtime_ns if path.is_file() else 0)


@st.cache_data(max_entries=64, show_spinner=False)
def _about(weights: str, changed: int) -> tuple[str, tuple[str, ...]]:
    return described(weights)[1:]


def _run(job: Job) -> None:
    try:
        with computing:
            _attack(job)
    except _Stopped:
        job.stopped = True
    except StriateError as problem:
        job.error = problem
    except Exception as problem:  # the page would wait for ever; the traceback goes on to the server's log
        job.error = ModelError("an attack that ends", repr(problem), "report it with the command of these settings")
        raise


def _attack(job: Job) -> None:
    from ..adversarial import make_attack

    def tell(step: Step) -> None:
        job.step, job.steps = step.step, step.steps
        computing.release()  # another visitor's step may come in between
        computing.acquire()
        if job.stop.is_set():
            raise _Stopped

    asked, attacked = job.asked, model(job.asked.weights)
    budget = None if asked.epsilon is None else number("epsilon", asked.epsilon)
    found: Result = make_attack(asked.method, **dict(asked.options)).run(
        attacked, asked.picture.image, target=asked.target, epsilons=budget, criterion=asked.criterion(),
        seed=asked.seed, on_step=tell,
    )  # fmt: skip
    job.jpeg = after_jpeg(attacked, found) if found.success else []
    job.found = found
