"""Models are loaded once, used by one visitor at a time, and loaded anew when their file changes."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from striate.apps import worker
from striate.core.checks import ModelError
from striate.detection import Detector


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    worker._load.clear()


def test_many_visitors_at_once_load_it_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[object] = []
    load = Detector.load

    def slow(path: Any) -> Detector:
        loads.append(path)
        time.sleep(0.2)
        return load(path)

    monkeypatch.setattr(Detector, "load", slow)
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: worker.detector(str(tiny)), range(8)))
    assert len(loads) == 1
    assert len({id(model) for model in models}) == 1


def test_changed_file_is_loaded_anew(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(tiny.read_bytes())
    first = worker.detector(str(path))
    assert worker.detector(str(path)) is first
    os.utime(path, ns=(1, 1))
    assert worker.detector(str(path)) is not first


def test_one_picture_at_a_time(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    def predict(self: Detector, image: np.ndarray, **options: Any) -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)
        with guard:
            inside -= 1

    monkeypatch.setattr(Detector, "predict", predict)
    image = np.zeros((8, 8, 3), np.uint8)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: worker.detect(image, str(tiny), confidence=0.5, iou_threshold=0.5), range(4)))
    assert most == 1


def test_options_reach_the_detector(tiny: Path, picture: Path) -> None:
    from striate.core.images import load_image

    image = load_image(picture)
    mine = worker.detect(image, str(tiny), confidence=0.0, iou_threshold=0.9, classes=("RBC",))
    theirs = Detector.load(tiny).predict(image, confidence=0.0, iou_threshold=0.9, classes=("RBC",))
    np.testing.assert_array_equal(mine.boxes, theirs.boxes)
    assert set(mine.labels) <= {"RBC"}


def test_after_the_warm_up_nobody_waits_for_a_model(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.apps.models.WEIGHTS", {})
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tiny.parent))
    worker.warm_up()
    monkeypatch.setattr(Detector, "load", lambda path: pytest.fail("loaded again"))
    assert worker.detector(str(tiny)).names == ("Platelets", "RBC", "WBC")


def test_warm_up_leaves_errors_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aaa.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr("striate.apps.models.WEIGHTS", {})
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    worker.warm_up()
    with pytest.raises(ModelError, match=r"aaa\.safetensors"):
        worker.detector(str(tmp_path / "aaa.safetensors"))


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        worker.detector(str(tmp_path / "none.safetensors"))
