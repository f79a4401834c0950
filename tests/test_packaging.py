"""What is shipped and what is declared: the wheel, the lock, the dependencies, the Makefile's promises."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
LOCKED = {canonicalize_name(r.name): r for r in LOCK}
NOT_SHIPPED = (".venv", ".git", "build", "dist", "runs", "*.egg-info", "__pycache__", "results")


def room_files() -> list[Path]:
    rooms = {package.split(".")[1] for package in PACKAGES if "." in package}
    return [ROOT / "__init__.py", *sorted(f for room in rooms for f in (ROOT / room).rglob("*.py"))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build a wheel from a copy: setuptools writes build/ and *.egg-info beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "house", ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=folder / "house", capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_holds_every_module_and_the_weights(wheel: zipfile.ZipFile) -> None:
    weights = [f for suffix in ("safetensors", "json", "md", "txt") for f in (ROOT / "weights").glob(f"*.{suffix}")]
    data = [*(ROOT / "apps").glob("*.toml"), *(ROOT / "core").rglob("*.json")]
    expected = {f"striate/{f.relative_to(ROOT)}" for f in [*room_files(), *weights, *data, ROOT / "py.typed"]}
    shipped = {n for n in wheel.namelist() if not n.startswith("striate-")}
    assert shipped == expected


def test_wheel_names_licence_and_command(wheel: zipfile.ZipFile) -> None:
    read = {Path(n).name: wheel.read(n).decode() for n in wheel.namelist() if ".dist-info/" in n}
    assert "License-Expression: Apache-2.0" in read["METADATA"]
    assert "striate = striate.apps.cli:main" in read["entry_points.txt"]
    assert "Apache License" in read["LICENSE"]


def test_wheel_without_any_agpl_dependency() -> None:
    assert not {"ultralytics", "albumentationsx"} & set(LOCKED)


@pytest.mark.parametrize("requirement", [*REQUIREMENTS, *(Requirement(r) for e in EXTRAS.values() for r in e)], ids=str)
def test_lock_pins_what_pyproject_asks(requirement: Requirement) -> None:
    if requirement.name == "striate":
        assert requirement.extras == set(EXTRAS) - {"all"}
        return
    (pin,) = LOCKED[canonicalize_name(requirement.name)].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


def test_lock_is_plain() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = [line for line in text.splitlines() if not line.startswith("#")]
    assert pins == sorted(pins, key=lambda line: line.split("==")[0])
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*(; .+)?", line) for line in pins), "no hash, URL, or +suffix"
    assert not [name for name in LOCKED if name.startswith(("nvidia", "cuda"))], "torch's own pins bring CUDA"
    assert "torch==2.13.0\n" in text
    assert 'triton==3.7.1; sys_platform == "linux"\n' in text


def test_every_library_that_is_imported_is_declared() -> None:
    declared = {canonicalize_name(r.name) for r in REQUIREMENTS}
    declared |= {canonicalize_name(Requirement(r).name) for e in ("app", "export") for r in EXTRAS[e]}
    owners = packages_distributions()
    missing = set()
    for file in room_files():
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"striate"}:
                if not declared & {canonicalize_name(owner) for owner in owners.get(top, [])}:
                    missing.add(f"{file.relative_to(ROOT)}: {top}")
    assert not missing


def make(*arguments: str) -> str:
    run = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_make_help_is_the_default_and_lists_every_target() -> None:
    run = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    targets = {"help", "app", "test", "check", "test-gpu", "sanitize", "bench", "lock", "clean"}
    assert {word for line in run.stdout.splitlines() if (word := line.split()[1]) in targets} == targets


def test_make_app_passes_the_port() -> None:
    assert "striate app --port 8600" in make("app", "PORT=8600")
    assert "striate app --port 8501" in make("app")


def test_make_sanitize_says_what_it_lacks() -> None:
    command = ["make", "-o", ".venv/.stamp", "sanitize", "SANITIZER=no-such-sanitizer"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert "expected no-such-sanitizer on PATH; got none; install" in run.stdout


def test_make_sanitize_looks_for_stray_accesses_and_races() -> None:
    recipe = make("-o", ".venv/.stamp", "sanitize")
    assert "for tool in memcheck racecheck" in recipe
    assert "tests/gpu/test_every_case.py" in recipe


def test_make_clean_keeps_what_the_user_trained() -> None:
    removed = make("clean")
    assert "runs" not in removed
    assert "weights" not in removed
    assert "rm -rf .venv" not in removed
