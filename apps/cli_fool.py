"""`striate fool`: pictures of nothing that classifiers are sure about, by evolution or by gradient ascent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import UsageError
from .any_classifier import any_classifier
from .cli_detect import Device, Json, check_device
from .console import emit, note, stdout, table
from .defaults import defaults
from .groups import Group
from .runs import STATE, given, run_folder, save_config, with_saved
from .step_bar import Show, step_bar

if TYPE_CHECKING:
    from ..adversarial.evolution import Generation
    from ..adversarial.fooling import FoolingImages
    from ..core.pixels import Step

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Pictures of nothing that classifiers are sure about: evolve, ascend."
)

EVOLVE = defaults("adversarial/evolution.py", "Evolution.__init__")
ASCEND = defaults("adversarial/ascent.py", "Ascent.__init__")
RUNS = Path("runs/fool")
SAVE_SECONDS = 5.0
"""Between two saves of an archive, which takes 10 ms for ten classes."""

Models = Annotated[
    list[str], typer.Option("--weights", help="Classifier to fool, network or bag of words; several: repeat it.")
]
Classes = Annotated[str | None, typer.Option(help="Names between commas.", show_default="all")]
Out = Annotated[Path | None, typer.Option(help="Folder of the pictures.", show_default=f"{RUNS}/ and a number")]
Combine = Annotated[str | None, typer.Option(help="Several models: min or product.", show_default=EVOLVE["combine"])]
Size = Annotated[str | None, typer.Option(help="Of the pictures, as 64 or 48x64.", show_default="what models see")]
Channels = Annotated[int | None, typer.Option(help="1 grey, 3 colour.", show_default="what models see")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything.", show_default=EVOLVE["seed"])]


def _evolve(name: str, help: str) -> Any:
    return typer.Option(help=help, show_default=EVOLVE[name])


def _ascend(name: str, help: str) -> Any:
    return typer.Option(help=help, show_default=ASCEND[name])


@app.command()
def evolve(
    weights: Models,
    classes: Classes = None,
    encoding: Annotated[str | None, _evolve("encoding", "direct (pixels) or cppn (networks that paint).")] = None,
    generations: Annotated[int | None, _evolve("generations", "After the first, which is random.")] = None,
    children: Annotated[int | None, _evolve("children", "In a generation.")] = None,
    batch: Annotated[int | None, _evolve("batch", "Of them judged in one pass.")] = None,
    goal: Annotated[float | None, _evolve("goal", "Confidence at which a class is done; 1 for never.")] = None,
    combine: Combine = None,
    size: Size = None,
    channels: Channels = None,
    seed: Seed = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the evolution in --out.")] = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Evolve a champion for every class at once (MAP-Elites), as Nguyen, Yosinski and Clune 2015.

    The folder gets a PNG for each class (with its settings), sheet.png, fooling.csv with confidence and lineage, and
    the archive to go on from. Confidences are those of the PNGs.
    """
    from ..adversarial.archive import Archive
    from ..adversarial.evolution import Evolution
    from ..adversarial.fooling import champions

    asked = {
        "data": given(weights=weights, classes=classes),
        "make": given(
            encoding=encoding, generations=generations, children=children, batch=batch, goal=goal, combine=combine,
            size=size, channels=channels, seed=seed,
        ),
    }  # fmt: skip
    run = run_folder(RUNS, out, resume)
    asked = with_saved(run, asked) if resume else asked
    evolution = Evolution(**_made(asked["make"]))
    models = _models(asked["data"]["weights"], device)
    archive = Archive.load(run / STATE) if resume else None
    try:
        with step_bar("generation", evolution.generations) as show:
            archive = evolution.run(
                models,
                classes=_names(asked["data"].get("classes")),
                archive=archive,
                on_generation=_saving(run, asked, show),
            )
    except KeyboardInterrupt:
        note(f"go on with: striate fool evolve {' '.join(f'--weights {w}' for w in weights)} --out {run} --resume")
        raise
    archive.save(run / STATE)
    _report(champions(models, archive), run, as_json, generation=archive.generation)


@app.command()
def ascend(
    weights: Models,
    classes: Classes = None,
    steps: Annotated[int | None, _ascend("steps", "Moves along the gradient.")] = None,
    rate: Annotated[float | None, _ascend("rate", "Largest move of a value.")] = None,
    objective: Annotated[str | None, _ascend("objective", "confidence, or score: before softmax.")] = None,
    start: Annotated[str | None, _ascend("start", "noise, mean, or a picture's path.")] = None,
    l2: Annotated[float | None, _ascend("l2", "Weight of the squared distance from grey.")] = None,
    tv: Annotated[float | None, _ascend("tv", "Weight of the total variation.")] = None,
    jitter: Annotated[int | None, _ascend("jitter", "Pixels that the picture is moved by, at most.")] = None,
    blur: Annotated[float | None, _ascend("blur", "Standard deviation in pixels; 0 for none.")] = None,
    blur_every: Annotated[int | None, _ascend("blur_every", "Moves between two blurs.")] = None,
    clip: Annotated[float | None, _ascend("clip", "Share of the pixels that are set to grey, 0 to 1.")] = None,
    combine: Combine = None,
    size: Size = None,
    channels: Channels = None,
    seed: Seed = None,
    out: Out = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Climb along the gradient to a picture for every class, as Simonyan et al. 2013 and Yosinski et al. 2015.

    The folder gets a PNG for each class (with its settings), sheet.png and fooling.csv. Confidences are those of the
    PNGs.
    """
    from ..adversarial.ascent import Ascent

    make = given(
        steps=steps, rate=rate, objective=objective, start=start, l2=l2, tv=tv, jitter=jitter, blur=blur,
        blur_every=blur_every, clip=clip, combine=combine, size=size, channels=channels, seed=seed,
    )  # fmt: skip
    asked = {"data": given(weights=weights, classes=classes), "make": make}
    run = run_folder(RUNS, out, resume=False)
    ascent = Ascent(**_made(make))
    models = _models(weights, device)
    with step_bar("step", ascent.steps) as show:

        def tell(step: Step) -> None:
            show(step.step, "", step.eta_seconds)

        found = ascent.run(models, classes=_names(classes), on_step=tell)
    save_config(run, asked)
    _report(found, run, as_json, steps=ascent.steps)


def _made(options: dict[str, Any]) -> dict[str, Any]:
    """Return constructor keywords for what was written; a goal of 1, which no doubt meets, is none.

    Raises:
        UsageError: a size that is none.
    """
    made = dict(options)
    if made.get("goal") == 1:
        made["goal"] = None
    if "size" in made:
        parts = str(made["size"]).lower().split("x")
        if not all(part.isdigit() for part in parts) or len(parts) > 2:
            raise UsageError("--size as 64 or 48x64", repr(made["size"]), "write --size 64")
        made["size"] = (int(parts[0]), int(parts[-1]))
    return made


def _models(weights: list[str], device: str) -> list[Any]:
    check_device(device)
    return [any_classifier(one, device) for one in weights]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _saving(run: Path, asked: dict[str, Any], show: Show) -> Callable[[Generation], None]:
    """Return what is called after each generation: it shows where the evolution stands, and saves it now and then.

    The first call writes what was asked for: what the evolution refuses leaves no folder behind.
    """
    saved = [0.0]

    def tell(now: Generation) -> None:
        done = int((now.confidences >= 0.9999).sum())
        show(now.generation, f"least {now.confidences.min():.4f}, {done} at 99.99 %", now.eta_seconds)
        if not saved[0]:
            save_config(run, asked)
        if time.monotonic() - saved[0] > SAVE_SECONDS:
            now.archive.save(run / STATE)
            saved[0] = time.monotonic()

    return tell


def _report(found: FoolingImages, run: Path, as_json: bool, **about: Any) -> None:
    """Write the pictures, and print how sure the models are of each."""
    from ..adversarial.contact_sheet import percent

    files = found.save(run)
    if as_json:
        emit("fool", run=str(run), files=[str(path) for path in files], **about, **found.to_dict())
        return
    unit = next(iter(about))  # what `born` counts: the evolution's generations, the ascent's steps
    rows = [
        (one.name, percent(one.confidence), ", ".join(one.labels), "yes" if one.fooled else "no", one.born)
        for one in found
    ]
    fooled = sum(one.fooled for one in found)
    title = f"{fooled} of {len(found)} classes fooled"
    columns = ("class", "confidence of the PNG", "called", "fooled", unit)
    stdout().print(table(title, columns, rows, numeric=("confidence of the PNG", unit)))
    stdout().print(f"pictures: {run}")
