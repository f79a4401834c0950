"""Fooling images for the page: an evolution that goes on in a thread of its own while its visitor looks on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..core.checks import StriateError
from .any_classifier import any_classifier

if TYPE_CHECKING:
    from ..adversarial.evolution import Generation
    from ..adversarial.fooling import FoolingImages
    from ..bow_baseline import BowClassifier
    from ..core.classifier import Classifier
    from ..core.pixels import Step

EVOLUTION, ASCENT = "evolution", "ascent"
MOST_GENERATIONS, MOST_STEPS = 200, 150
GOAL = 0.9999
MOST_CELLS = 20
"""Classes that the page evolves for: a network of a thousand would fill it."""

computing = threading.Lock()
"""Held for one generation or move at a time, whoever's it is: see worker.py."""


@dataclass(frozen=True)
class Asked:
    """What a visitor asked for: a way, models to fool at once, an encoding, a seed."""

    way: str
    weights: tuple[str, ...]
    encoding: str = "cppn"
    seed: int = 0

    def command(self) -> str:
        """Return the command that does the same."""
        models = " ".join(f"--weights {one}" for one in self.weights)
        if self.way == ASCENT:
            return f"striate fool ascend {models} --steps {MOST_STEPS} --seed {self.seed}"
        return f"striate fool evolve {models} --encoding {self.encoding} --seed {self.seed}"

    def python(self) -> str:
        """Return the program that does the same, for networks."""
        lines = ["from striate.core.classifier import Classifier"]
        made = ", ".join(f"Classifier.from_pretrained({one!r})" for one in self.weights)
        if self.way == ASCENT:
            lines += ["from striate.adversarial.ascent import Ascent", "", f"models = [{made}]"]
            lines += [f"found = Ascent(steps={MOST_STEPS}, seed={self.seed}).run(models)"]
        else:
            lines += ["from striate.adversarial.evolution import Evolution"]
            lines += ["from striate.adversarial.fooling import champions", "", f"models = [{made}]"]
            lines += [f"archive = Evolution(encoding={self.encoding!r}, seed={self.seed}).run(models)"]
            lines += ["found = champions(models, archive)"]
        return "\n".join([*lines, 'found.save("fooled")'])


@dataclass
class Job:
    """What is going on for one visitor. The thread writes, the page reads; a picture is replaced, never changed.

    Attributes:
        asked: What for.
        done: Generations or moves.
        total: Of them.
        names: Classes.
        images: The champions now.
        confidences: Of each; empty while an ascent has not ended.
        curve: The least and the median confidence after each generation.
        found: When it has ended: the pictures, judged from their PNGs.
        error: Why it failed.
        stop: Set it to end the job; what there is is judged.
    """

    asked: Asked
    total: int
    done: int = 0
    names: tuple[str, ...] = ()
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    confidences: tuple[float, ...] = ()
    curve: list[tuple[float, float]] = field(default_factory=list)
    found: FoolingImages | None = None
    error: StriateError | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.found is None and self.error is None


def start(asked: Asked) -> Job:
    """Begin a job in a thread of its own."""
    job = Job(asked, MOST_GENERATIONS if asked.way == EVOLUTION else MOST_STEPS)
    job.thread = threading.Thread(target=_run, args=(job,), name="fool", daemon=True)
    job.thread.start()
    return job


def _run(job: Job) -> None:
    try:
        models = [model(weights) for weights in job.asked.weights]
        found = _evolve(job, models) if job.asked.way == EVOLUTION else _ascend(job, models)
    except StriateError as problem:
        job.error = problem
        return
    job.names, job.images = tuple(one.name for one in found), [one.image for one in found]
    job.confidences, job.found = tuple(found.confidences.tolist()), found


def _evolve(job: Job, models: list[Classifier | BowClassifier]) -> FoolingImages:
    from ..adversarial.evolution import Evolution
    from ..adversarial.fooling import champions

    def tell(now: Generation) -> bool:
        archive = now.archive
        job.names = tuple(archive.names[one] for one in archive.class_ids)
        job.images, job.confidences = archive.pictures(), tuple(now.confidences.tolist())
        job.curve.append((float(now.confidences.min()), float(np.median(now.confidences))))
        job.done = now.generation
        computing.release()  # another visitor's generation may come in between
        computing.acquire()
        return job.stop.is_set()

    evolution = Evolution(encoding=job.asked.encoding, generations=MOST_GENERATIONS, goal=GOAL, seed=job.asked.seed)
    with computing:
        archive = evolution.run(models, classes=models[0].names[:MOST_CELLS], on_generation=tell)
        return champions(models, archive)


def _ascend(job: Job, models: list[Classifier | BowClassifier]) -> FoolingImages:
    from ..adversarial.ascent import Ascent, pictures

    names = models[0].names[:MOST_CELLS]

    def tell(step: Step) -> bool:
        job.names, job.images, job.done = tuple(names), pictures(step.pixels), step.step
        computing.release()
        computing.acquire()
        return job.stop.is_set()

    with computing:
        return Ascent(steps=MOST_STEPS, seed=job.asked.seed).run(models, classes=names, on_step=tell)


@st.cache_resource(max_entries=4, show_spinner=False)
def model(weights: str) -> Classifier | BowClassifier:
    """Return a classifier, loaded once for all visitors; to ask it anything, hold `computing`."""
    return any_classifier(weights)
