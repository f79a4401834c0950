"""A tiny untrained detector, pictures, and a way to run the command in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.apps.cli import main
from striate.core.images import save_image

NAMES = ("Platelets", "RBC", "WBC")


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
