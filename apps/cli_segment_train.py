"""`striate segment train`: pictures with masks go in, a run folder with weights comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import UsageError
from .cli_classify import numbers
from .console import note
from .defaults import defaults
from .runs import begun, first_process, given, report, run_folder, training_run, with_saved

if TYPE_CHECKING:
    from ..core.classifier import Classifier
    from ..core.datasets.masks import MaskDataset
    from ..segmentation import Segmenter

MAKE = defaults("segmentation/segmenter.py", "Segmenter.__init__")
FIT = defaults("segmentation/segmenter.py", "Segmenter.fit")
RECIPE = defaults("core/recipe.py", "TrainingOptions")
SIZE = defaults("segmentation/pyramid.py", "Pyramid.__init__")["size"]
BACKBONE = "vgg16"  # segmentation.model's, which would have to import torch to say so
SIDES = MAKE["image_size"].strip("()").replace(", ", "x")
RUNS = Path("runs/segment")
NO_SPLIT = "none"


def _option(name: str, help: str) -> Any:
    """An option whose default is the Python API's: it is shown here, and applied there."""
    return typer.Option(help=help, show_default={**FIT, **MAKE, **RECIPE}[name])


def train(
    data: Annotated[
        Path,
        typer.Argument(help="Folder with images/ + masks/ (or labels/), of CamVid's, VOC's or COCO's layout."),
    ],
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default=f"{RUNS}/ and a number")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out, same options.")] = False,
    weights: Annotated[str | None, typer.Option(help="Start from these weights, by name or path.")] = None,
    classifier: Annotated[
        str | None, typer.Option(help="An FCN's backbone starts from this classifier, by name or path.")
    ] = None,
    network: Annotated[str | None, _option("network", "pyramid, fcn32s, fcn16s or fcn8s.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Of an FCN; `striate info` lists them.", show_default=BACKBONE)
    ] = None,
    size: Annotated[str | None, typer.Option(help="Of the pyramid, n or s.", show_default=SIZE)] = None,
    fine: Annotated[bool | None, typer.Option("--fine", help="The pyramid to half the picture's size.")] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Part that is cut out of pictures, height first.", show_default=SIDES)
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Of each channel, as 0.5,0.5,0.5.", show_default="the data's")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Of each channel.", show_default="the data's")] = None,
    augmentation: Annotated[str | None, _option("augmentation", "none, photos or microscopy.")] = None,
    loss: Annotated[
        str | None, _option("loss", "cross_entropy, dice, focal, lovasz, ohem, or some joined by a plus.")
    ] = None,
    balance: Annotated[float | None, _option("balance", "Power of the rare classes' weights, 0 to 1.")] = None,
    monitor: Annotated[
        str | None, _option("monitor", "What the best epoch is best in: miou, dice, pixel_accuracy or loss.")
    ] = None,
    epochs: Annotated[int | None, _option("epochs", "Passes over the pictures.")] = None,
    batch_size: Annotated[int | None, _option("batch_size", "Pictures in a step.")] = None,
    learning_rate: Annotated[float | None, _option("learning_rate", "Highest learning rate.")] = None,
    optimizer: Annotated[str | None, _option("optimizer", "adamw, adam or sgd.")] = None,
    momentum: Annotated[float | None, _option("momentum", "Of SGD; Adam's beta1.")] = None,
    schedule: Annotated[str | None, _option("schedule", "cosine, step, plateau or constant.")] = None,
    warmup_epochs: Annotated[float | None, _option("warmup_epochs", "Epochs of growing learning rate.")] = None,
    final_factor: Annotated[float | None, _option("final_factor", "Where the cosine ends, as a share.")] = None,
    weight_decay: Annotated[float | None, _option("weight_decay", "Not on norms and biases.")] = None,
    ema_decay: Annotated[float | None, _option("ema_decay", "Of the averaged weights; 0 for none.")] = None,
    clip_norm: Annotated[float | None, _option("clip_norm", "Longest gradient; 0 for no clipping.")] = None,
    patience: Annotated[int | None, _option("patience", "Stop after so many epochs without progress; 0 never.")] = None,
    validate_every: Annotated[int | None, _option("validate_every", "Epochs between validations.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.", show_default=RECIPE["precision"])] = None,
    device: Annotated[str | None, _option("device", "auto, cpu or cuda.")] = None,
    workers: Annotated[int | None, _option("workers", "Processes that prepare pictures.")] = None,
    seed: Annotated[int | None, _option("seed", "Seed of everything.")] = None,
    val_split: Annotated[
        str | None,
        typer.Option(help=f"Pictures to judge by: a split, a share such as 0.1, or {NO_SPLIT!r}.", show_default="val"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a segmenter: history, best.safetensors and last.safetensors are written after every epoch.

    At the end comes figures.json, what the best weights reach on the pictures to judge by.
    """
    asked = {
        "segmenter": given(
            network=network, backbone=backbone, size=size, fine=fine, image_size=image_size, mean=mean, std=std
        ),
        "data": given(weights=weights, classifier=classifier, val_split=val_split),
        "fit": given(
            augmentation=augmentation, loss=loss, balance=balance, monitor=monitor, epochs=epochs,
            batch_size=batch_size, learning_rate=learning_rate, optimizer=optimizer, momentum=momentum,
            schedule=schedule, warmup_epochs=warmup_epochs, final_factor=final_factor, weight_decay=weight_decay,
            ema_decay=ema_decay, clip_norm=clip_norm, patience=patience, validate_every=validate_every,
            precision=precision, device=device, workers=workers, seed=seed,
        ),
    }  # fmt: skip
    learn(data, out, resume, asked, as_json)


def learn(data: Path, out: Path | None, resume: bool, asked: dict[str, dict[str, Any]], as_json: bool) -> None:
    """Train what was asked for, measure it, and tell what came out."""
    from ..segmentation.counting import measure

    run = run_folder(RUNS, out, resume)
    if resume:
        asked = with_saved(run, asked)
    segmenter = segmenter_for(asked["data"].get("weights"), asked["segmenter"])
    fit = {**asked["fit"], "classifier": classifier_for(asked["data"].get("classifier"))}
    pictures, judge = datasets(data, asked["data"].get("val_split"))
    note(begun(len(pictures), len(judge) if judge else 0, run))
    config = None if resume else {**asked, "path": str(data)}
    again = f"striate segment train {data} --out {run} --resume"
    with training_run(run, config, again) as on_progress:
        segmenter.fit(pictures, val=judge, run_dir=run, resume=resume, on_progress=on_progress, **fit)
    if judge is not None:
        save_figures(run, measure(segmenter, judge))
    report("segment", segmenter.history_, run, as_json)


def segmenter_for(weights: str | None, make: dict[str, Any]) -> Segmenter:
    """Return a new segmenter, or one that starts from weights.

    Raises:
        UsageError: a network together with weights, which have one; a mean that is no list of numbers; no image size.
    """
    from ..segmentation import Segmenter

    if weights is not None and make:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in make)
        raise UsageError("either --weights or another network", f"--weights with {named}", f"drop {named}")
    if weights is not None:
        return Segmenter.from_pretrained(weights)
    make = dict(make)
    for name in ("mean", "std"):
        if name in make:
            make[name] = numbers(name, make[name])
    if "image_size" in make:
        make["image_size"] = sides("image-size", make["image_size"])
    own = {name: make.pop(name) for name in ("size", "fine") if name in make}
    if own:
        make["options"] = own
    return Segmenter(**make)


def classifier_for(weights: str | None) -> Classifier | None:
    """Return the classifier whose weights an FCN starts from; None for none."""
    from ..core.classifier import Classifier

    return None if weights is None else Classifier.from_pretrained(weights)


def sides(option: str, text: str) -> tuple[int, int]:
    """Read "360x480" as (height, width).

    Raises:
        UsageError: anything else.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UsageError(f"--{option} as HEIGHTxWIDTH", repr(text), f"write it like --{option} 352x480")
    return int(height), int(width)


def datasets(data: Path, val_split: str | None) -> tuple[MaskDataset, MaskDataset | None]:
    """Read the pictures to learn from and to judge by, and tell what was wrong with their masks.

    A split of the folder that is called like a share ("2012", VOC's) is that split.
    """
    from ..core.datasets.load_masks import list_mask_splits, load_masks
    from ..core.datasets.splits import validation_split

    learn, judge, splits = load_masks(data, "train"), None, list_mask_splits(data)
    chosen = validation_split(splits) if val_split is None else val_split
    if chosen is not None and chosen not in splits and chosen.replace(".", "", 1).isdecimal():
        learn, judge = learn.split_off(float(chosen))
    elif chosen is not None and chosen != NO_SPLIT:
        judge = load_masks(data, chosen, names=learn.names)
    for line in dict.fromkeys([*learn.report, *(judge.report if judge is not None else [])]):
        note(line)
    return learn, judge


def save_figures(run: Path, figures: dict[str, Any]) -> None:
    """Write what was measured into the run folder."""
    from ..core.atomic import atomic_write

    if first_process():
        text = json.dumps(figures, indent=1) + "\n"
        atomic_write(run / "figures.json", lambda file: file.write(text.encode()))
