"""`striate segment`: train, measure, use and export a segmenter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import ImageError, UsageError
from .cli_classify import numbers
from .cli_detect import Device, Json, Split, Weights, check_device, expand
from .cli_segment_train import sides, train
from .console import emit, error_fields, exit_code, note, show_error, stdout, table
from .defaults import defaults
from .groups import Group

if TYPE_CHECKING:
    from ..segmentation import Segmenter
    from .segment_files import Result

app = typer.Typer(cls=Group, no_args_is_help=True, help="A class for every pixel: train, val, predict, export.")
app.command()(train)

OBJECTS = defaults("segmentation/instances.py", "find_instances")
DRAW = defaults("segmentation/label_map.py", "LabelMap.draw_on")

Data = Annotated[
    Path, typer.Argument(help="Folder with images/ + masks/ (or labels/), of CamVid's, VOC's or COCO's layout.")
]
Flip = Annotated[bool, typer.Option("--flip", help="Average with the mirror image: twice the time.")]
Scales = Annotated[
    str | None, typer.Option(help="Sizes to average over, as 0.75,1,1.25.", show_default="the picture's own")
]


@app.command()
def val(
    data: Data,
    weights: Weights,
    split: Split = None,
    boundary: Annotated[bool, typer.Option("--boundary", help="Measure edges too.")] = False,
    flip: Flip = False,
    scales: Scales = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure a segmenter on a split of a data set: mIoU, pixel accuracy, dice, per class.

    Where masks are instance maps, which number the objects, these are counted and matched as well.
    """
    from ..core.datasets.load_masks import list_mask_splits, load_masks
    from ..core.datasets.splits import measured_split
    from ..segmentation.counting import measure

    views = views_of(flip, scales)
    segmenter = load_segmenter(weights, device)
    split = split or measured_split(list_mask_splits(data))
    dataset = load_masks(data, split, names=segmenter.names)
    for line in dataset.report:
        note(line)
    metrics = measure(segmenter, dataset, boundary=boundary, **views)
    if as_json:
        emit("segment", metrics=metrics, data=str(data), split=split, weights=weights, pictures=len(dataset))
        return
    whole = [(name, value) for name, value in metrics.items() if isinstance(value, float | int)]
    stdout().print(table(f"{weights} on {split}, {len(dataset)} pictures", ("figure", "value"), whole, ("value",)))
    columns = [name for name in metrics if name.startswith("class_") and isinstance(metrics[name], dict)]
    rows = ((name, *(metrics[column][name] for column in columns)) for name in segmenter.names)
    heads = [column.removeprefix("class_") for column in columns]
    stdout().print(table("per class", ("class", *heads), rows, numeric=heads))
    if metrics["counts"] is not None:
        stdout().print(table("objects", ("figure", "value"), metrics["counts"].items(), ("value",)))


@app.command()
def predict(
    pictures: Annotated[list[str], typer.Argument(help="Pictures and videos: files, folders or patterns.")],
    weights: Weights,
    out: Annotated[
        Path | None, typer.Option(help="Folder for masks, PNG with a palette; of a video a folder of them.")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw the classes, with --instances the objects; of a video as .mp4.")
    ] = False,
    opacity: Annotated[
        float | None, typer.Option(help="Of what is drawn, 0 to 1.", show_default=DRAW["opacity"])
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write areas.csv, with --instances objects.csv too.")] = False,
    instances: Annotated[
        bool, typer.Option("--instances", help="Count and measure single objects, such as nuclei.")
    ] = False,
    of: Annotated[str | None, typer.Option(help="Their class.", show_default="the only one beside background")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="watershed parts objects that touch, components does not.", show_default=OBJECTS["method"]),
    ] = None,
    least_area: Annotated[
        int | None, typer.Option(help="Pixels of the smallest object.", show_default=OBJECTS["least_area"])
    ] = None,
    haematoxylin: Annotated[
        bool, typer.Option("--haematoxylin", help="Of stained tissue, look at the blue stain of nuclei only.")
    ] = False,
    every: Annotated[int, typer.Option(help="Of a video, look at the first of so many pictures.", min=1)] = 1,
    flip: Flip = False,
    scales: Scales = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Give a class to every pixel of pictures, and of videos picture by picture."""
    from .segment_files import Writer

    need("--out", out is not None, {"--overlay": overlay, "--csv": csv})
    need("--instances", instances, {"--of": of, "--method": method, "--least-area": least_area})
    views = views_of(flip, scales)
    paths = expand(pictures)
    segmenter = load_segmenter(weights, device)
    objects = {"name": of, "method": method, "least_area": least_area} if instances else None
    results: list[dict[str, Any]] = []
    code = 0
    files: dict[str, Any] = {"overlay": overlay, "opacity": opacity, "csv": csv}
    with Writer(segmenter, out, paths, **files, objects=objects, haematoxylin=haematoxylin, **views) as writer:
        for path in paths:
            try:
                result = writer.run(path, every)
            except ImageError as problem:
                # One bad picture among a thousand must not cost the others their result.
                code = exit_code(problem)
                show_error(problem, as_json)
                results.append({"source": str(path), "error": error_fields(problem)})
                continue
            results.append(result.to_dict())
            if not as_json:
                show(result, areas=len(paths) == 1)
    if as_json:
        emit("segment", weights=weights, names=list(segmenter.names), results=results, **writer.tables())
    elif writer.tables():
        stdout().print("\n".join(f"{name}: {path}" for name, path in writer.tables().items()))
    if code:
        raise typer.Exit(code)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write, such as nuclei.onnx.")],
    weights: Weights,
    pictures: Annotated[
        str | None,
        typer.Option(
            help="Size of the pictures it is for, such as 352x480 (height first).", show_default="the training's"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a segmenter as ONNX for other programs, and check that it answers as the segmenter does."""
    size = None if pictures is None else sides("pictures", pictures)
    difference = load_segmenter(weights, "cpu").export(out, size=size)
    if as_json:
        emit("segment", weights=weights, file=str(out), difference=difference)
        return
    note(f"largest relative difference to the segmenter on 16 pictures: {difference:.1e}")
    print(out)


def need(option: str, there: bool, others: dict[str, Any]) -> None:
    """Raise where options were given that mean something only together with another one.

    Raises:
        UsageError: one of `others` was given and `option` was not.
    """
    for name, value in others.items():
        if value and not there:
            raise UsageError(f"{option} with {name}", f"{name} alone", f"add {option}, or drop {name}")


def load_segmenter(weights: str, device: str) -> Segmenter:
    """Return the segmenter for a name or path, on a device.

    Raises:
        UsageError: an unknown device, or one this machine lacks.
    """
    from ..segmentation import Segmenter

    check_device(device)
    return Segmenter.from_pretrained(weights).to(device)


def views_of(flip: bool, scales: str | None) -> dict[str, Any]:
    """Return `predict`'s and `evaluate`'s keywords for test-time views."""
    return {"flip": flip} if scales is None else {"flip": flip, "scales": numbers("scales", scales)}


def show(result: Result, *, areas: bool) -> None:
    """Print what one picture or video holds: one line, and with `areas` the table of its classes."""
    written = " -> " + ", ".join(map(str, result.files.values())) if result.files else ""
    title = f"{result.source}: {result.summary()}{written}"
    if not areas:
        stdout().print(title)
        return
    columns = ("class", "pixels", "share")
    rows = [(name, int(area["pixels"]), f"{100 * area['share']:.1f} %") for name, area in result.areas.items()]
    stdout().print(table(title, columns, rows, numeric=columns[1:]))
