"""Bags of words on the CPU, one thread: the exact chi-squared kernel beside scikit-learn's, memory as pictures grow.

The memory is the peak of a process of its own (VmHWM on Linux) that learns from pictures in files without a cache
folder: vectors of 4,200 numbers, 17 MB of 1,000 pictures and 168 MB of ten times as many.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.metrics.pairwise import chi2_kernel
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from striate.benchmarks.harness import Differs, Part, Row, measure
from striate.bow_baseline import BowClassifier
from striate.bow_baseline.kernels import KERNELS
from striate.core.datasets.classes import ClassDataset
from striate.core.images import save_image

SUBJECT = "bow"
FEW, MANY = 1000, 10_000
SIDE, CLASSES = 48, 4


def histograms(count: int, words: int, seed: int) -> np.ndarray:
    """Return histograms of sum 1, a third of their bins empty, as of 600 words in a picture."""
    rng = np.random.default_rng(seed)
    found = np.maximum(rng.gamma(0.5, size=(count, words)) - 0.1, 0).astype(np.float32)
    return np.asarray(found / found.sum(1, keepdims=True), np.float32)


def kernel_rows(name: str, run: str, rounds: int) -> list[Row]:
    """Time exp(-gamma * chi-squared distance) of all pairs: of a training set, or of a batch with it (C8)."""
    x = histograms(1500, 600, 0)
    y = x if name == "training" else histograms(256, 600, 1)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "striate": lambda: KERNELS["chi2"].matrix(y, x, 1.0),
        "scikit-learn": lambda: chi2_kernel(y, x, 1.0),
    }
    with threadpool_limits(1):
        worst = float(np.abs(calls["striate"]() - calls["scikit-learn"]()).max())
        if worst > 1e-5:
            raise Differs(f"the kernels differ by {worst:.1e}: nothing was timed")
        case = f"exact chi-squared kernel, {len(y)}x{len(x)}, 600 words"
        return measure(SUBJECT, case, calls, baseline="scikit-learn", run=run, rounds=max(5, rounds // 3), goal="C8")


def render(folder: Path, count: int) -> None:
    """Write pictures of noisy stripes, their class the stripes' direction."""
    rng, angles = np.random.default_rng(0), np.pi * np.arange(CLASSES) / CLASSES
    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(count):
        angle, phase = angles[i % CLASSES], rng.uniform(0, 6)
        wave = 128 + 60 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.8 + phase) + rng.normal(0, 25, x.shape)
        save_image(np.repeat(np.clip(wave, 0, 255).astype(np.uint8)[..., None], 3, 2), folder / f"{i:05}.png")


def learn(folder: Path, count: int) -> int:
    """Learn from the first pictures of a folder; return the most bytes that this process ever held."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = [folder / f"{i:05}.png" for i in range(count)]
    data = ClassDataset(paths, np.arange(count) % CLASSES, tuple(f"class {i}" for i in range(CLASSES)))
    BowClassifier(
        describer_options={"step": 8, "bin_sizes": (4,)}, encoder="hard", words=200, samples=20_000,
        pyramid="1x1+2x2+4x4", kernel="linear", c=1.0,
    ).fit(data)  # fmt: skip
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory_rows(run: str) -> list[Row]:
    """Learn from so many pictures and ten times as many, each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        render(Path(folder), MANY)
        for count in (FEW, MANY):
            peaks: dict[str, float] = {}

            def child(count: int = count, peaks: dict[str, float] = peaks) -> None:
                words = [sys.executable, "-m", "striate.benchmarks.bow", folder, str(count)]
                told = subprocess.run(words, capture_output=True, text=True, check=True)
                peaks["striate"] = int(told.stdout) / 1e6

            case = f"training on {count:,} pictures, no cache folder, whole process"
            (row,) = measure(SUBJECT, case, {"striate": child}, baseline="striate", run=run, rounds=1, warmup=0)
            rows.append(replace(row, peak_mb=round(peaks["striate"], 1)))
    return rows


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case with what checks and times it."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for name in ("training", "batch"):
        yield f"chi-squared, {name}", partial(kernel_rows, name, run, rounds)
    yield "memory", partial(memory_rows, run)


if __name__ == "__main__":
    print(learn(Path(sys.argv[1]), int(sys.argv[2])))
