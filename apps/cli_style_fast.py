"""`striate style-fast`: a network learns one style, then paints pictures and videos in it in a moment each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import ImageError, UsageError
from .cli_classify import numbers
from .cli_detect import Device, Json, Weights, check_device, expand
from .cli_style import picture_of
from .console import emit, error_fields, exit_code, note, show_error, stdout
from .defaults import defaults
from .groups import Group
from .runs import given, report, run_folder, training_run, with_saved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..style import FastStyle

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="A style that is learned once, then painted in a moment: train, apply."
)

MAKE = defaults("style/fast.py", "FastStyle.__init__")
FIT = defaults("style/fast.py", "FastStyle.fit")
PAINT = defaults("style/fast.py", "FastStyle.transform_frames")
RECIPE = defaults("core/recipe.py", "TrainingOptions")
FEATURES = defaults("style/features.py", "load_features")["name_or_path"]
WIDTHS = MAKE["widths"].strip("()").replace(" ", "")
RUNS = Path("runs/style-fast")
PREVIEW = "preview.png"


def _option(name: str, help: str, shown: str | None = None) -> Any:
    """An option whose default is the Python API's: it is shown here, and applied there."""
    return typer.Option(help=help, show_default=shown or {**RECIPE, **FIT, **MAKE, **PAINT}[name])


@app.command()
def train(
    style: Annotated[str, typer.Argument(help="The picture in whose style, or strokes, mosaic, woodcut.")],
    content: Annotated[
        Path, typer.Argument(help="Folder of natural pictures to learn painting on, with its sub-folders.")
    ],
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default=f"{RUNS}/ and a number")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out, same options.")] = False,
    weights: Annotated[str | None, typer.Option(help="Start from these weights, by name or path.")] = None,
    preview: Annotated[
        Path | None,
        typer.Option(help="Painted after every pass of at most 50 steps.", show_default="the folder's first"),
    ] = None,
    steps: Annotated[int | None, _option("steps", "Of the optimizer.")] = None,
    content_weight: Annotated[float | None, _option("content_weight", "Of the content.")] = None,
    style_weight: Annotated[float | None, _option("style_weight", "Of the style.")] = None,
    tv_weight: Annotated[float | None, _option("tv_weight", "Of smoothness.")] = None,
    style_size: Annotated[int | None, _option("style_size", "Longer side of the style: the size of strokes.")] = None,
    crop: Annotated[int | None, _option("crop", "Side of the parts of pictures that are learned on.")] = None,
    widths: Annotated[
        str | None, _option("widths", "Channels at full, half and a quarter of the size.", WIDTHS)
    ] = None,
    blocks: Annotated[int | None, _option("blocks", "Residual blocks.")] = None,
    features: Annotated[
        str | None, _option("features", "vgg-distilled, vgg19, vgg16, squeezenet1.1, or a file.", FEATURES)
    ] = None,
    batch_size: Annotated[int | None, _option("batch_size", "Crops in a step.")] = None,
    learning_rate: Annotated[float | None, _option("learning_rate", "Highest learning rate.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16.", show_default=RECIPE["precision"])] = None,
    device: Annotated[str | None, _option("device", "auto, cpu or cuda.")] = None,
    workers: Annotated[int | None, _option("workers", "Processes that prepare pictures.")] = None,
    seed: Annotated[int | None, _option("seed", "Seed of everything.")] = None,
    as_json: Json = False,
) -> None:
    """Learn a style: weights, history and preview.png are written after every pass of at most 50 steps."""
    asked = {
        "painter": given(
            content_weight=content_weight, style_weight=style_weight, tv_weight=tv_weight, style_size=style_size,
            crop=crop, widths=widths, blocks=blocks, features=features,
        ),
        "data": given(weights=weights, preview=None if preview is None else str(preview)),
        "fit": given(
            steps=steps, batch_size=batch_size, learning_rate=learning_rate, precision=precision, device=device,
            workers=workers, seed=seed,
        ),
    }  # fmt: skip
    run = run_folder(RUNS, out, resume)
    if resume:
        asked = with_saved(run, asked)
    painter = painter_for(asked["data"].get("weights"), asked["painter"])
    config = None if resume else {**asked, "style": style, "content": str(content)}
    note(f"learning to paint like {style}, in {run}")
    with training_run(run, config, f"striate style-fast train {style} {content} --out {run} --resume") as on_progress:
        painter.fit(
            picture_of(style), content, run_dir=run, resume=resume, preview=asked["data"].get("preview"),
            on_preview=lambda _, image: _save_preview(run, image), on_progress=on_progress, **asked["fit"],
        )  # fmt: skip
    report("style-fast", painter.history_, run, as_json)


@app.command()
def apply(
    pictures: Annotated[list[str], typer.Argument(help="Pictures and videos: files, folders or patterns.")],
    weights: Weights,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the paintings; of one picture or video, also its file.")
    ],
    size: Annotated[int | None, _option("size", "Longer side of the painting.", "the content's own")] = None,
    strength: Annotated[float | None, _option("strength", "From 0, the content, to 1, the painting.")] = None,
    colours: Annotated[str | None, _option("colours", "style, or luminance to keep the content's.")] = None,
    steady: Annotated[float | None, _option("steady", "Of videos, weight of the pictures before, below 1.")] = None,
    every: Annotated[int, typer.Option(help="Of a video, paint the first of so many pictures.", min=1)] = 1,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Paint pictures, and videos picture by picture."""
    from ..style import FastStyle
    from .style_fast_files import Files

    check_device(device)
    paths = expand(pictures)
    painter = FastStyle.from_pretrained(weights).to(device)
    options = given(size=size, strength=strength, colours=colours)
    files = Files(painter, out, paths, options, {**options, **given(steady=steady)}, every)
    results: list[dict[str, Any]] = []
    code = 0
    for path in paths:
        try:
            result = files.run(path)
        except ImageError as problem:
            # One bad picture among a thousand must not cost the others their painting.
            code = exit_code(problem)
            show_error(problem, as_json)
            results.append({"source": str(path), "error": error_fields(problem)})
            continue
        results.append(result)
        if not as_json:
            stdout().print(f"{path}: {result['seconds']:.2f} s -> {result['file']}")
    if as_json:
        emit("style-fast", weights=weights, results=results)
    if code:
        raise typer.Exit(code)


def painter_for(weights: str | None, make: dict[str, Any]) -> FastStyle:
    """Return a new painter, or one that starts from weights.

    Raises:
        UsageError: another network together with weights, which have one; widths that are no list of numbers.
    """
    from ..style import FastStyle

    if weights is not None and make:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in make)
        raise UsageError("either --weights or other options of the painter", f"--weights with {named}", f"drop {named}")
    if weights is not None:
        return FastStyle.from_pretrained(weights)
    make = dict(make)
    if "widths" in make:
        make["widths"] = [int(width) for width in numbers("widths", make["widths"])]
    return FastStyle(**make)


def _save_preview(run: Path, image: NDArray[np.uint8]) -> None:
    from ..core.images import save_image

    save_image(image, run / PREVIEW)
