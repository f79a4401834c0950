"""A tiny untrained detector, a tiny trained segmenter, pictures, and a way to run the command in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.apps.cli import main
from striate.core.images import save_image

NAMES = ("Platelets", "RBC", "WBC")
NUCLEI = ("background", "nucleus")
MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def same_main() -> Iterator[None]:
    """Put `__main__` back: AppTest leaves its script there, which a process spawned by a later test would run."""
    yield
    sys.modules["__main__"] = MAIN


@dataclass
class Ran:
    """What one run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def striate(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `striate ARGUMENTS...` here and return its exit code and what it wrote."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Ran(code, written.out, written.err)

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained detector for the classes of the blood cells."""
    from striate.detection import Detector

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    detector = Detector(names=NAMES, size="n", image_size=64)
    detector._start(NAMES, seed=0)  # as training begins: without a network it refuses to be saved
    detector.save(path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of noise, 40 pixels high and 60 wide."""
    path = tmp_path / "noise.png"
    save_image(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8), path)
    return path


def nuclei_picture(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs that do not touch on a dark, noisy ground: uint8 (side, side, 3), and their numbers, uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    objects = np.zeros((side, side), np.uint16)
    for row in (16, 48):
        for column in (16, 48):
            if rng.random() < 0.8:
                radius, (down, along) = rng.integers(7, 11), rng.integers(-3, 4, 2)
                inside = (y - row - down) ** 2 + (x - column - along) ** 2 < radius**2
                objects[inside] = objects.max() + 1
    colours = np.array([(35, 35, 55), (190, 200, 225)])
    noisy = colours[(objects > 0).astype(int)] + rng.normal(0, 10, (side, side, 3))
    return noisy.clip(0, 255).astype(np.uint8), objects


@pytest.fixture(scope="session")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and instance maps, eight to learn from and four to judge by."""
    root = tmp_path_factory.mktemp("nuclei")
    for split, seeds in (("train", range(8)), ("val", range(100, 104))):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for seed in seeds:
            image, objects = nuclei_picture(seed)
            save_image(image, root / "images" / split / f"{seed}.png")
            Image.fromarray(objects).save(root / "labels" / split / f"{seed}.png")
    return root


@pytest.fixture(scope="session")
def segmenter(nuclei: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a segmenter that has learned these pictures: it counts most of the discs."""
    from striate.core.datasets.load_masks import load_masks
    from striate.segmentation import Segmenter

    learner = Segmenter(options={"size": "n"}, image_size=(64, 64))
    quick = {"batch_size": 4, "augmentation": "none", "device": "cpu", "ema_decay": 0.9, "warmup_epochs": 1.0}
    learner.fit(load_masks(nuclei, "train", names=NUCLEI), epochs=30, learning_rate=5e-3, **quick)
    return learner.save(tmp_path_factory.mktemp("weights") / "discs.safetensors")
