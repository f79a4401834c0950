"""The command's frame: help at once, versions, roads, weights, samples."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from striate import __version__
from striate.apps.console import cell_text, emit
from striate.apps.samples import SAMPLES, sample
from striate.apps.server import MAX_UPLOAD_MB, SETTINGS, flags
from striate.core import ops
from striate.core.images import load_image
from striate.core.weights import WEIGHTS

Run = Callable[..., Any]
HEAVY = ("torch", "cv2", "numpy", "streamlit", "PIL")


@pytest.mark.parametrize("arguments", [["--help"], ["detect", "train", "--help"], ["--version"]], ids=" ".join)
def test_answers_at_once_without_the_heavy_libraries(arguments: list[str]) -> None:
    program = (
        "import sys; from striate.apps.cli import main; code = main(sys.argv[2:]);"
        "print(sorted(set(sys.argv[1].split(',')) & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", program, ",".join(HEAVY), *arguments], capture_output=True, text=True)
    assert ran.returncode == 0
    assert ran.stderr.strip() == "[]"
    assert ran.stdout


def test_no_arguments_show_the_help(striate: Run) -> None:
    ran = striate()
    assert all(name in ran.out + ran.err for name in ("detect", "info", "weights", "app", "samples"))


def test_version(striate: Run) -> None:
    assert striate("--version").out == f"striate {__version__}\n"


def test_info_lists_every_operation_and_its_kernels(striate: Run) -> None:
    shown = striate("info", "--kernels", "--json").json["operations"]
    assert set(shown) == set(ops.OPERATIONS)
    row = shown["max_pool2d"]
    assert row["architectures"] == ["sm_80", "sm_89", "sm_90", "sm_100"]
    assert row["forward"] and row["backward"] and row["dtypes"] == ["float32", "float16", "bfloat16"]  # noqa: PT018
    assert "not yet measured" in striate("info", "--kernels").out


def test_info_shows_every_road(striate: Run) -> None:
    shown = striate("info", "--json").json
    assert (shown["schema_version"], shown["task"], shown["versions"]["striate"]) == (1, "info", __version__)
    assert shown["roads"] == ops.roads()
    assert shown["devices"][0]["device"] == "cpu"
    table = striate("info").out
    assert all(name in table for name in (*ops.roads(), "python", "torch"))


def test_weights_list_is_the_table(striate: Run) -> None:
    rows = striate("weights", "list", "--json").json["weights"]
    assert [row["name"] for row in rows] == list(WEIGHTS)
    assert all({"task", "size", "licence", "data_licence", "figures"} <= row.keys() for row in rows)
    human = striate("weights", "list").out
    assert all(name in human for name in WEIGHTS)


def test_figures_that_are_no_numbers_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit("detect", metrics={"nan": float("nan"), "inf": np.float32("inf"), "one": np.float32(1), "row": np.arange(2)})
    shown = json.loads(capsys.readouterr().out)
    assert shown["metrics"] == {"nan": None, "inf": None, "one": 1.0, "row": [0, 1]}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.250"), (-1.0, "-1.000"), (0.0, "0.000"), (2e-5, "2.00e-05"), (None, "–"), (float("nan"), "–"), (7, "7")],
)
def test_cells_keep_small_numbers_and_mark_missing_ones(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_samples_are_written_as_they_are_shown(striate: Run, tmp_path: Any) -> None:
    shown = striate("samples", "--out", tmp_path / "new" / "folder", "--json").json
    assert len(shown["files"]) == len(SAMPLES)
    for path, entry in zip(shown["files"], SAMPLES, strict=True):
        np.testing.assert_array_equal(load_image(path), entry.image())


@pytest.mark.parametrize("entry", SAMPLES, ids=lambda entry: entry.key)
def test_sample_is_an_image_nobody_can_write_into(entry: Any) -> None:
    image = sample(entry.key).image()
    assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
    assert image.std() > 10, "an empty picture shows nothing"
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_server_flags_are_safe_and_complete() -> None:
    given = flags("localhost", 8600)
    assert f"--server.maxUploadSize={MAX_UPLOAD_MB}" in given
    assert MAX_UPLOAD_MB <= 32
    assert "--browser.gatherUsageStats=false" in given
    assert "--server.fileWatcherType=none" in given
    assert "--client.showErrorDetails=none" in given
    assert {"--server.port=8600", "--server.address=localhost"} <= set(given)
    assert len(given) == len(SETTINGS) + 2
