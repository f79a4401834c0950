"""`striate info`: versions, devices and which road every operation takes."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.table import Table

from .. import __version__
from .console import emit, stdout, table

PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-learn",
    "safetensors",
    "accelerate",
    "streamlit",
    "onnx",
    "onnxruntime",
)


def info(
    model: Annotated[
        str | None, typer.Argument(help="A network: print its layers, memory, parameters, multiply-adds and views.")
    ] = None,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="List the operations: road, kernels, types, limits, figures.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show versions, devices and the table of roads: which operation runs on Triton and which on torch."""
    if model is not None:
        show_network(model, as_json)
        return
    from ..core import ops

    if kernels:
        listed = operations()
        if as_json:
            emit("info", operations=listed)
        else:
            stdout().print(operations_table(listed))
        return
    roads = ops.roads()
    if as_json:
        emit("info", versions=versions(), system=system(), devices=devices(), roads=roads)
        return
    console = stdout()
    console.print(table("versions", ("package", "version"), versions().items()))
    console.print(table("system", ("what", "value"), system().items()))
    console.print(
        table("devices", ("device", "name", "memory", "capability"), [tuple(row.values()) for row in devices()])
    )
    console.print(roads_table(roads))
    console.print(f"networks (striate info NAME): {', '.join(networks())}")


def networks() -> list[str]:
    """Name the networks that classify pictures."""
    from ..core.models import MODELS

    return list(MODELS)


def show_network(name: str, as_json: bool) -> None:
    """Print the lecture's table of a network, for pictures of its own size and 1,000 classes (10 where it is small)."""
    from ..core.models import MODELS, build, summarize

    network = build(name, 1000 if name in MODELS and MODELS[name].image_size > 100 else 10)
    model = MODELS[name]
    summary = summarize(network, (model.channels, model.image_size, model.image_size))
    rows = [{**vars(row), "memory": row.memory} for row in summary.rows]
    if as_json:
        totals = {"parameters": summary.parameters, "multiply_adds": summary.multiply_adds, "memory": summary.memory}
        emit("info", network=name, layers=rows, **totals)
        return
    columns = ("output", "memory", "parameters", "multiply-adds", "stride", "sees")
    lines = [
        (
            f"{row.name} {row.kind}", "x".join(map(str, row.shape)), short(row.memory), short(row.parameters),
            short(row.multiply_adds), row.stride or None, row.receptive_field or "all",
        )
        for row in summary.rows
        if row.parameters or "Pool" in row.kind or "Norm" in row.kind  # the others are in --json
    ]  # fmt: skip
    console = stdout()
    console.print(table(name, ("layer", *columns), lines, numeric=columns))
    console.print(
        f"{summary.parameters:,} parameters, {summary.multiply_adds / 1e9:.2f} G multiply-adds, "
        f"{summary.memory / 2**20:.1f} MiB of maps for one picture of {model.image_size} pixels"
    )


def short(number: int) -> str | None:
    """Write 37752832 as 37.8 M; None, a dash, for 0."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number) if number else None


def versions() -> dict[str, str | None]:
    """Return the version of striate, of Python and of each package it can use; None where one is not installed."""
    found: dict[str, str | None] = {"striate": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def system() -> dict[str, Any]:
    """Return the platform and the settings that change what runs."""
    import torch

    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "STRIATE_KERNELS": os.environ.get("STRIATE_KERNELS"),
        "STRIATE_WEIGHTS": os.environ.get("STRIATE_WEIGHTS"),
        "TRITON_INTERPRET": os.environ.get("TRITON_INTERPRET"),
    }


def devices() -> list[dict[str, Any]]:
    """Return the processor and every CUDA device: device, name, memory, compute capability."""
    import torch

    rows: list[dict[str, Any]] = [{"device": "cpu", "name": platform.machine(), "memory": None, "capability": None}]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        rows.append(
            {
                "device": f"cuda:{index}",
                "name": properties.name,
                "memory": f"{properties.total_memory / 2**30:.1f} GiB",
                "capability": f"{properties.major}.{properties.minor}",
            }
        )
    return rows


def roads_table(roads: dict[str, dict[str, str]]) -> Table:
    """Lay out `core.ops.roads()`: one row an operation."""
    columns = tuple(next(iter(roads.values()), {}))
    return table("roads", ("operation", *columns), ((name, *row.values()) for name, row in roads.items()))


def operations() -> dict[str, dict[str, Any]]:
    """Return what is known of every operation of the core: road, kernels, types, limits, architectures, figures."""
    from ..core import ops

    roads, figures = ops.roads(), ops.figures()
    architectures = [f"sm_{number}" for number in ops.ARCHITECTURES]
    return {
        name: {
            "roads": roads[name],
            **row._asdict(),
            "architectures": architectures,
            "measured": figures.get(name, []),
        }
        for name, row in sorted(ops.OPERATIONS.items())
    }


def operations_table(listed: dict[str, dict[str, Any]]) -> Table:
    """Lay out `operations()`: a block of lines an operation."""
    title = f"operations; every kernel is compiled for {', '.join(next(iter(listed.values()))['architectures'])}"
    return table(title, ("operation", "what runs it"), [(name, operation_text(row)) for name, row in listed.items()])


def operation_text(row: dict[str, Any]) -> str:
    """Write what is known of one operation, a line a fact."""
    facts = {
        "road": f"{row['roads']['cpu']} on a CPU tensor, {row['roads']['cuda']} on a CUDA tensor",
        "forward": ", ".join(row["forward"]),
        "backward": ", ".join(row["backward"]) or "none",
        "types": ", ".join(row["dtypes"]),
        "limits": row["limits"],
        "measured": "; ".join(map(figure_text, row["measured"])) or "not yet measured",
    }
    return "\n".join(f"{name}: {text}" for name, text in facts.items() if text) + "\n"


def figure_text(figure: dict[str, Any]) -> str:
    """Write one measured ratio."""
    return f"{figure['ratio']:.2f} x {figure['against']} on {figure['device']} ({figure['cases']} cases)"
