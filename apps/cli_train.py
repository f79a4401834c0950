"""`striate detect train`: a data set goes in, a run folder with weights comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import UsageError
from .console import note
from .defaults import defaults
from .runs import begun, given, report, run_folder, training_run, with_saved

if TYPE_CHECKING:
    from ..core.datasets import BoxDataset
    from ..detection import Detector

MAKE = defaults("detection/detector.py", "Detector.__init__")
RECIPE = defaults("core/recipe.py", "TrainingOptions")
FIT = defaults("detection/detector.py", "Detector.fit")
AUGMENTATION = defaults("core/augment.py", "Augmentation")
RUNS = Path("runs/detect")
NO_SPLIT = "none"
SPLITS = {"split": "train", "val_split": "val"}


def _option(name: str, help: str) -> Any:
    """An option whose default is the Python API's: it is shown here, and applied there."""
    return typer.Option(help=help, show_default={**AUGMENTATION, **FIT, **MAKE, **RECIPE}[name])


def train(
    data: Annotated[Path, typer.Argument(help="Folder (or YAML file) of a VOC, YOLO or COCO data set.")],
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default=f"{RUNS}/ and a number")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out, same options.")] = False,
    weights: Annotated[str | None, typer.Option(help="Start from these weights, by name or path.")] = None,
    size: Annotated[str | None, _option("size", "Size of the network.")] = None,
    image_size: Annotated[int | None, _option("image_size", "Longer side of pictures inside the network.")] = None,
    epochs: Annotated[int | None, _option("epochs", "Passes over the pictures.")] = None,
    batch_size: Annotated[int | None, _option("batch_size", "Pictures in a step.")] = None,
    learning_rate: Annotated[float | None, _option("learning_rate", "Highest learning rate.")] = None,
    optimizer: Annotated[str | None, _option("optimizer", "adamw, adam or sgd.")] = None,
    schedule: Annotated[str | None, _option("schedule", "cosine, step, plateau or constant.")] = None,
    weight_decay: Annotated[float | None, _option("weight_decay", "Not on norms and biases.")] = None,
    patience: Annotated[int | None, _option("patience", "Stop after so many epochs without progress; 0 never.")] = None,
    validate_every: Annotated[int | None, _option("validate_every", "Epochs between validations.")] = None,
    precision: Annotated[str | None, _option("precision", "fp32, bf16 or fp16.")] = None,
    device: Annotated[str | None, _option("device", "auto, cpu or cuda.")] = None,
    workers: Annotated[int | None, _option("workers", "Processes that prepare pictures.")] = None,
    seed: Annotated[int | None, _option("seed", "Seed of everything.")] = None,
    plain_epochs: Annotated[int | None, _option("plain_epochs", "Last epochs, without mosaic.")] = None,
    mosaic: Annotated[float | None, _option("mosaic", "Probability of joining four pictures.")] = None,
    scale: Annotated[float | None, _option("scale", "Zoom up to 1 plus or minus this.")] = None,
    flip_vertical: Annotated[
        float | None, _option("flip_vertical", "Probability; where up and down mean nothing.")
    ] = None,
    transpose: Annotated[float | None, _option("transpose", "Probability of swapping x and y; likewise.")] = None,
    split: Annotated[str | None, typer.Option(help="Pictures to learn from.", show_default=SPLITS["split"])] = None,
    val_split: Annotated[
        str | None, typer.Option(help=f"Pictures to judge by, or {NO_SPLIT!r}.", show_default=SPLITS["val_split"])
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="voc, yolo or coco.", show_default="recognised by the layout")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a detector: history, best.safetensors and last.safetensors are written after every epoch."""
    asked = {
        "detector": given(size=size, image_size=image_size),
        "data": given(weights=weights, split=split, val_split=val_split, format=format),
        "options": given(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            schedule=schedule,
            weight_decay=weight_decay,
            validate_every=validate_every,
            plain_epochs=plain_epochs,
            patience=patience,
            precision=precision,
            device=device,
            workers=workers,
            seed=seed,
        ),
        "augmentation": given(mosaic=mosaic, scale=scale, flip_vertical=flip_vertical, transpose=transpose),
    }
    learn(data, out, resume, asked, as_json)


def learn(data: Path, out: Path | None, resume: bool, asked: dict[str, dict[str, Any]], as_json: bool) -> None:
    """Train what was asked for, and tell what came out."""
    from ..core.augment import Augmentation

    run = run_folder(RUNS, out, resume)
    if resume:
        asked = with_saved(run, asked)
    detector = detector_for(asked["data"].get("weights"), asked["detector"])
    fit = {**asked["options"], "augmentation": Augmentation(**asked["augmentation"])}
    pictures, judge = datasets(data, **{**SPLITS, **asked["data"]})
    note(begun(len(pictures), len(judge) if judge else 0, run))
    config = None if resume else {**asked, "path": str(data)}
    again = f"striate detect train {data} --out {run} --resume"
    with training_run(run, config, again) as on_progress:
        detector.fit(pictures, val=judge, run_dir=run, resume=resume, on_progress=on_progress, **fit)
    report("detect", detector.history_, run, as_json)


def detector_for(weights: str | None, make: dict[str, Any]) -> Detector:
    """Return a new detector, or one that starts from weights.

    Raises:
        UsageError: a size together with weights, which have one.
    """
    from ..detection import Detector

    if weights is None:
        return Detector(**make)
    if make:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in make)
        raise UsageError("either --weights or a network of another size", f"--weights with {named}", f"drop {named}")
    return Detector.from_pretrained(weights)


def datasets(
    data: Path, split: str, val_split: str, format: str | None = None, **_: Any
) -> tuple[BoxDataset, BoxDataset | None]:
    """Read the pictures to learn from and to judge by, and tell what was wrong with their labels."""
    from ..core.datasets import load_boxes

    learn = load_boxes(data, split, format=format)
    judge = None if val_split == NO_SPLIT else load_boxes(data, val_split, format=format, names=learn.names)
    for line in [*learn.report, *(judge.report if judge else [])]:
        note(line)
    return learn, judge
