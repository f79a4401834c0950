"""`striate bench`: measuring this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import emit, note, stdout
from .groups import Group

app = typer.Typer(cls=Group, no_args_is_help=True, help="Measure this machine.")


@app.command()
def tune(
    model: Annotated[str, typer.Option(help="Whose convolutions: resnet50, vgg16 or tiny-yolo.")] = "resnet50",
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    dry: Annotated[bool, typer.Option("--dry", help="Measure, but keep nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Find the fastest tiles for a model's convolutions on this GPU and keep them in the user's cache."""
    import torch

    from ..core import tuning
    from ..core.checks import unknown

    kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    if dtype not in kinds:
        raise unknown("dtype", dtype, kinds)

    def show(trial: tuning.Trial) -> None:
        tile = " ".join(f"{name}={value}" for name, value in trial.tile.items())
        took = "wrong numbers, not taken" if trial.milliseconds is None else f"{1e3 * trial.milliseconds:.1f} us"
        note(f"{trial.layer}: {tile}: {took}")

    found = tuning.tune(tuning.layers_of(model), dtype=kinds[dtype], on_trial=show)
    path = None if dry else tuning.keep(found)
    if as_json:
        emit("bench tune", tiles=found, file=None if path is None else str(path))
    else:
        stdout().print(f"{len(found)} convolutions" + (f"; kept in {path}" if path else "; nothing kept"))
