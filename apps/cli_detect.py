"""`striate detect`: train, measure, use and export a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..core.checks import DataError, ImageError, UsageError, unknown
from .cli_train import train
from .console import emit, error_fields, exit_code, note, show_error, stdout, table
from .groups import Group

if TYPE_CHECKING:
    from ..detection import Detections, Detector

app = typer.Typer(cls=Group, no_args_is_help=True, help="Boxes on pictures: train, val, predict, export.")
app.command()(train)

SHIPPED = "cells"
DEVICES = ("cpu", "cuda")

Split = Annotated[
    str | None, typer.Option(help="Which part of the data set.", show_default="val, else test, else the only one")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Data = Annotated[Path, typer.Argument(help="Folder (or YAML file) of a VOC, YOLO or COCO data set.")]
Format = Annotated[str | None, typer.Option(help="voc, yolo or coco; by default recognised by the layout.")]
Weights = Annotated[str, typer.Option(help="Name of weights or path of a .safetensors file.")]
Confidence = Annotated[
    float | None, typer.Option(help="Lowest score that counts, 0 to 1; by default the model's own.", show_default=False)
]
Iou = Annotated[
    float | None,
    typer.Option(
        "--iou-threshold",
        help="Overlap above which the weaker of two boxes of a class goes; by default the model's own.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@app.command()
def val(
    data: Data,
    weights: Weights,
    split: Split = None,
    format: Format = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure a detector on a split of a data set: mAP@0.5, mAP@[.5:.95], per class."""
    from ..core.datasets import list_splits, load_boxes
    from ..core.datasets.splits import measured_split

    detector = load_detector(weights, device)
    split = split or measured_split(list_splits(data, format=format))
    dataset = load_boxes(data, split, format=format, names=detector.names)
    for line in dataset.report:
        note(line)
    if not any(len(sample.boxes) for sample in dataset.samples):
        known = ", ".join(detector.names)
        raise DataError(f"boxes of the classes {known} in {split!r}", "none", "choose weights for this data's classes")
    metrics = detector.evaluate(dataset)
    if as_json:
        emit("detect", metrics=metrics, data=str(data), split=split, weights=weights, pictures=len(dataset))
        return
    whole = [(name, value) for name, value in metrics.items() if not isinstance(value, dict)]
    stdout().print(table(f"{weights} on {split}, {len(dataset)} pictures", ("figure", "value"), whole, ("value",)))
    stdout().print(per_class_table(metrics["per_class"]))


@app.command()
def predict(
    pictures: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    weights: Weights = SHIPPED,
    confidence: Confidence = None,
    iou_threshold: Iou = None,
    classes: Annotated[
        list[str] | None, typer.Option(help="Keep this class only; may be repeated, or names split by commas.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for pictures with their boxes drawn.")] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Find boxes in pictures."""
    paths = expand(pictures)
    detector = load_detector(weights, device)
    options: dict[str, Any] = {
        "confidence": confidence,
        "iou_threshold": iou_threshold,
        "classes": class_names(classes),
    }
    check_classes(detector.names, options["classes"])
    taken: set[Path] = set()
    results: list[dict[str, Any]] = []
    code = 0
    for path in paths:
        try:
            found = detector.predict(path, **options)
        except ImageError as problem:
            # One bad picture among a thousand must not cost the others their result: it is named, and the exit code
            # says that something failed.
            code = exit_code(problem)
            show_error(problem, as_json)
            results.append({"source": str(path), "error": error_fields(problem)})
            continue
        drawn = save_drawn(found, path, out, taken) if out is not None else None
        results.append({**found.to_dict(), "source": str(path), "drawn": None if drawn is None else str(drawn)})
        if not as_json:
            show_found(found, path, drawn, boxes=len(paths) == 1)
    if as_json:
        emit("detect", weights=weights, names=list(detector.names), results=results)
    if code:
        raise typer.Exit(code)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write, such as cells.onnx.")],
    weights: Weights = SHIPPED,
    pictures: Annotated[
        str | None,
        typer.Option(help="Size of the pictures it is for, such as 480x640 (height first).", show_default="a square"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a detector as ONNX for other programs, and check that it answers as the detector does."""
    size = None if pictures is None else picture_size(pictures)
    difference = load_detector(weights, "cpu").export(out, size=size)
    if as_json:
        emit("detect", weights=weights, file=str(out), difference=difference)
        return
    note(f"largest relative difference to the detector on 16 pictures: {difference:.1e}")
    print(out)


def picture_size(text: str) -> tuple[int, int]:
    """Read "480x640" as (height, width).

    Raises:
        UsageError: anything else.
    """
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise UsageError("a size as HEIGHTxWIDTH", repr(text), "write it like --pictures 480x640")
    return int(height), int(width)


def load_detector(weights: str, device: str) -> Detector:
    """Return the detector for a name or path, on a device.

    Raises:
        UsageError: an unknown device, or one this machine lacks.
    """
    from ..detection import Detector

    check_device(device)
    return Detector.from_pretrained(weights).to(device)


def check_device(device: str) -> None:
    """Raise unless there is such a device on this machine.

    Raises:
        UsageError: an unknown device, or one this machine lacks.
    """
    import torch

    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("a CUDA device", "none on this machine", "leave out --device")


def expand(pictures: list[str]) -> list[Path]:
    """Turn files, folders and patterns into a list of files, each once, in the order given."""
    from ..core.images import list_images

    return list(dict.fromkeys(path for text in pictures for path in list_images(text)))


def class_names(given: list[str] | None) -> list[str] | None:
    """Split `--classes RBC,WBC --classes Platelets` into names; None when none was given."""
    names = [name.strip() for text in given or [] for name in text.split(",") if name.strip()]
    return names or None


def check_classes(names: Sequence[str], wanted: list[str] | None) -> None:
    """Raise for a class that the detector does not know, before any picture is opened.

    Raises:
        UsageError: an unknown class, with the closest one.
    """
    for name in wanted or []:
        if name not in names:
            raise unknown("class", name, names)


def save_drawn(found: Detections, path: Path, folder: Path, taken: set[Path]) -> Path:
    """Draw the boxes on the picture and save it in `folder`; never over a picture of the same call or an original."""
    from ..core.images import WRITTEN, load_image, save_image

    folder.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower() if path.suffix.lower() in WRITTEN else ".png"
    stem, number = f"{path.stem}-boxes", 1
    while (target := folder / f"{stem}{suffix}") in taken:  # two folders may hold pictures of one name
        number += 1
        stem = f"{path.stem}-boxes-{number}"
    taken.add(target)
    save_image(found.draw_on(load_image(path)), target)
    return target


def show_found(found: Detections, path: Path, drawn: Path | None, *, boxes: bool) -> None:
    """Print what was found in one picture: one line, and with `boxes` the table of them."""
    title = f"{path}: {found.summary()}" + (f" -> {drawn}" if drawn else "")
    if not boxes or not len(found):
        stdout().print(title)
        return
    columns = ("class", "score", "left", "top", "right", "bottom")
    corners = ([f"{value:.1f}" for value in box] for box in found.boxes.tolist())
    rows = [
        (label, score, *box) for label, score, box in zip(found.labels, found.scores.tolist(), corners, strict=True)
    ]
    stdout().print(table(title, columns, rows, numeric=columns[1:]))


def per_class_table(per_class: dict[str, dict[str, Any]]) -> Table:
    """Lay out the figures of each class."""
    columns = tuple(next(iter(per_class.values()), {}))
    rows = ((name, *figures.values()) for name, figures in per_class.items())
    return table("per class", ("class", *columns), rows, numeric=columns)
