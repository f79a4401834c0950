"""The house's plan, held by reading the source: which room may import which, and what importing may do."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "detection", "segmentation", "style", "adversarial", "bow_baseline", "apps")
TASKS = ("detection", "segmentation", "style", "adversarial", "bow_baseline")
# Streamlit runs these files as scripts: they are never imported, and relative imports do not work in them.
SCRIPTS = ("striate.apps.pages",)
# What all kernel families stand on; one family does not import another.
KERNEL_GROUND = tuple(
    f"striate.core.kernels.{name}"
    for name in ("launch", "tiles", "geometry", "pointwise", "epilogue", "box_pairs", "running_softmax")
)
# Within core, from the ground up: each may import itself and what stands before it, and `checks`.
STOREYS = ("checks", "folders", "kernels", "ops", "layers", "tracing", "models")
# Kernel files that may import others: the one that joins the convolutions to torch, and two that share a part.
JOINING = {
    "striate.core.kernels.convolution": ("column_sums", "conv2d", "conv2d_backward", "depthwise"),
    "striate.core.kernels.stochastic_pool": ("pooling",),
    "striate.core.kernels.roi_align": ("roi_boxes",),
    "striate.core.kernels.roi_pool": ("roi_boxes",),
}
LONGEST = 300


def package_files() -> list[Path]:
    return sorted(f for room in ROOMS for f in (ROOT / room).rglob("*.py"))


def python_files() -> list[Path]:
    folders = [*ROOMS, "tests", "benchmarks", "examples", ".ci"]
    return sorted(f for folder in folders for f in (ROOT / folder).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = ("striate", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(f): f for f in package_files()} | {"striate": ROOT / "__init__.py"}


def _from(node: ast.ImportFrom, file: Path) -> list[str]:
    """Name what `from x import y` brings: x.y where that is a module of ours, else x."""
    base = node.module or ""
    if node.level:
        above = module_name(file).split(".")
        above = above if file.name == "__init__.py" else above[:-1]
        above = above[: len(above) - node.level + 1]
        base = ".".join([*above, *([base] if base else [])])
    return [f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names]


def imports(file: Path, *, top: bool = False) -> list[str]:
    """Return the modules that a file imports; with `top` only those that importing it imports."""
    names: list[str] = []
    nodes: list[ast.AST] = list(ast.parse(file.read_text()).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += _from(node, file)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse if top else [*node.body, *node.orelse]
        elif not (top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            nodes += list(ast.iter_child_nodes(node))
    return names


def forbidden(source: str, target: str) -> str | None:
    """Say why `source` may not import `target` (both dotted, from striate), or None where it may."""
    _, room, *inner = source.split(".")
    if target == "striate":
        return None  # the version
    _, target_room, *target_inner = target.split(".")
    if target_room not in ROOMS:
        return "the package imports its rooms only"
    if target_room == "apps" and room != "apps":
        return "apps is a face: nothing imports it"
    if room == "core" and target_room != "core":
        return "core knows no task"
    if room in TASKS and target_room in TASKS and target_room != room:
        return "task rooms do not import each other"
    if target.startswith("striate.core.kernels"):
        if source.startswith("striate.core.ops") or source == target:
            return None
        if not source.startswith("striate.core.kernels"):
            return "kernels are imported by ops and by nobody else"
        if target.startswith(f"{source}_") or source.startswith(f"{target}_"):  # norm.py and norm_backward.py
            return None
        if target.rpartition(".")[2] in JOINING.get(source, ()):
            return None
        return None if target in KERNEL_GROUND else "a kernel file imports what all families stand on only"
    if room == "core" and inner and inner[0] in STOREYS and target_inner:
        allowed = STOREYS[: STOREYS.index(inner[0]) + 1]
        if target_inner[0] not in allowed:
            return f"core.{inner[0]} stands on {', '.join(allowed)} only"
    return None


def wrong_arrows(source: str, targets: list[str]) -> list[str]:
    reasons = [(t, forbidden(source, t)) for t in targets if t.split(".")[0] == "striate"]
    return [f"{source} -> {target}: {why}" for target, why in reasons if why]


def test_arrows() -> None:
    wrong = [w for name, file in MODULES.items() if name != "striate" for w in wrong_arrows(name, imports(file))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("striate.core.layers", "striate.core.kernels.conv2d"),
        ("striate.core.kernels.conv2d", "striate.core.kernels.norm"),
        ("striate.core.kernels.conv2d", "striate.core.layers"),
        ("striate.core.ops", "striate.core.layers"),
        ("striate.core.layers", "striate.core.models.darknet"),
        ("striate.core.models.darknet", "striate.core.training"),
        ("striate.core.images", "striate.detection.boxes"),
        ("striate.detection.model", "striate.segmentation.model"),
        ("striate.detection.model", "striate.apps.cli"),
        ("striate.core.images", "striate.tests.conftest"),
    ],
)
def test_arrows_that_must_be_refused(source: str, target: str) -> None:
    assert forbidden(source, target)


def test_no_cycles() -> None:
    graph = {name: {t for t in imports(f) if t in MODULES and t != name} for name, f in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_inside_the_package_imports_are_relative() -> None:
    wrong = []
    for name, file in MODULES.items():
        if not name.startswith(SCRIPTS):
            nodes = ast.walk(ast.parse(file.read_text()))
            absolute = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
            wrong += [f"{name}: from {m}" for m in absolute if m.split(".")[0] == "striate"]
    assert not wrong, "\n".join(wrong)


def test_no_utils_drawer_and_no_long_file() -> None:
    names = [str(f) for f in python_files() if f.stem in {"utils", "util", "misc", "helpers", "common"}]
    lengths = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in python_files()}
    assert not names
    assert not {f: n for f, n in lengths.items() if n > LONGEST}, f"past {LONGEST} lines ask what the second idea is"


def test_pyproject_names_every_room_and_ships_no_tests() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {module_name(f.parent / "__init__.py") for f in package_files()} - {"striate.apps.pages"}
    assert set(packages) == folders | {"striate"}
    missing = [p for p in packages if not (ROOT / Path(*p.split(".")[1:]) / "__init__.py").is_file()]
    assert not missing


PROBE = Path(__file__).with_name("import_probe.py")


def test_importing_has_no_side_effects(tmp_path: Path) -> None:
    ours = [name for name in MODULES if not name.startswith(SCRIPTS)]
    theirs = {
        t for n in ours for t in imports(MODULES[n], top=True) if t.split(".")[0] not in {"striate", "__future__"}
    }
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    request = json.dumps({"ours": sorted(ours), "theirs": sorted(theirs)})
    run = subprocess.run(
        [sys.executable, str(PROBE)], input=request, capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert report == {"changed": {}, "events": []}
