"""`striate classify`: train, measure and use a classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import ImageError, UsageError
from .cli_detect import Device, Json, Split, Weights, check_device, expand
from .console import emit, error_fields, exit_code, note, show_error, stdout, table
from .defaults import defaults
from .groups import Group
from .runs import begun, first_process, given, report, run_folder, training_run, with_saved

if TYPE_CHECKING:
    from ..core.classifier import Classifier
    from ..core.datasets.classes import ClassDataset

app = typer.Typer(cls=Group, no_args_is_help=True, help="One class for a picture: train, val, predict.")

MAKE = defaults("core/classifier.py", "Classifier.__init__")
FIT = defaults("core/classifier.py", "Classifier.fit")
RECIPE = defaults("core/recipe.py", "TrainingOptions")
RUNS = Path("runs/classify")
NO_SPLIT = "none"

Data = Annotated[Path, typer.Argument(help="Folder of class folders, MNIST's idx files, CIFAR's .bin files or .npz.")]


def _option(name: str, help: str) -> Any:
    """An option whose default is the Python API's: it is shown here, and applied there."""
    return typer.Option(help=help, show_default={**FIT, **MAKE, **RECIPE}[name])


@app.command()
def train(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default=f"{RUNS}/ and a number")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out, same options.")] = False,
    weights: Annotated[str | None, typer.Option(help="Start from these weights, by name or path.")] = None,
    network: Annotated[str | None, _option("network", "Name of the network; `striate info` lists them.")] = None,
    image_size: Annotated[int | None, _option("image_size", "Side of the square that the network sees.")] = None,
    channels: Annotated[int | None, _option("channels", "1 grey, 3 colour.")] = None,
    views: Annotated[str | None, _option("views", "one, flip or shift: the mean over mirror images and moves.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Of the network's last layers.", show_default="its own")] = None,
    widths: Annotated[
        str | None, typer.Option(help="Of small's groups or strided's layers, as 64,128.", show_default="its own")
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Convolutions of small's groups.", show_default="2")] = None,
    mean: Annotated[
        str | None, typer.Option(help="Of each channel, as 0.5,0.5,0.5.", show_default="the data's")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Of each channel.", show_default="the data's")] = None,
    augmentation: Annotated[
        str | None, _option("augmentation", "none, digits, objects or photos; as objects,cutmix=1 too.")
    ] = None,
    smoothing: Annotated[float | None, _option("smoothing", "Label smoothing, 0 to 1.")] = None,
    class_weights: Annotated[bool | None, _option("class_weights", "Weigh rare classes more.")] = None,
    l1: Annotated[float | None, _option("l1", "Strength of the sum of absolute weights.")] = None,
    adversary: Annotated[
        str | None, _option("adversary", "Learn from attacked pictures: pgd,epsilon=0.3,steps=10 or trades,...")
    ] = None,
    body_rate: Annotated[float | None, _option("body_rate", "Rate of all layers but the last, multiplied.")] = None,
    train_layers: Annotated[int | None, _option("train_layers", "Train the last so many layers only.")] = None,
    epochs: Annotated[int | None, _option("epochs", "Passes over the pictures.")] = None,
    batch_size: Annotated[int | None, _option("batch_size", "Pictures in a step.")] = None,
    learning_rate: Annotated[float | None, _option("learning_rate", "Highest learning rate.")] = None,
    optimizer: Annotated[str | None, _option("optimizer", "adamw, adam or sgd.")] = None,
    momentum: Annotated[float | None, _option("momentum", "Of SGD; Adam's beta1.")] = None,
    schedule: Annotated[str | None, _option("schedule", "cosine, step, plateau or constant.")] = None,
    warmup_epochs: Annotated[float | None, _option("warmup_epochs", "Epochs of growing learning rate.")] = None,
    final_factor: Annotated[float | None, _option("final_factor", "Where the cosine ends, as a share.")] = None,
    weight_decay: Annotated[float | None, _option("weight_decay", "L2; not on norms and biases.")] = None,
    ema_decay: Annotated[float | None, _option("ema_decay", "Of the averaged weights; 0 for none.")] = None,
    clip_norm: Annotated[float | None, _option("clip_norm", "Longest gradient; 0 for no clipping.")] = None,
    monitor: Annotated[str | None, _option("monitor", "Decides the best epoch; loss is training's.")] = None,
    patience: Annotated[int | None, _option("patience", "Stop after so many epochs without progress; 0 never.")] = None,
    precision: Annotated[str | None, _option("precision", "fp32, bf16 or fp16.")] = None,
    device: Annotated[str | None, _option("device", "auto, cpu or cuda.")] = None,
    workers: Annotated[int | None, _option("workers", "Processes that prepare pictures.")] = None,
    seed: Annotated[int | None, _option("seed", "Seed of everything.")] = None,
    val_split: Annotated[
        str | None,
        typer.Option(help=f"Pictures to judge by: a split, a share such as 0.1, or {NO_SPLIT!r}.", show_default="val"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a classifier: history, best.safetensors and last.safetensors are written after every epoch.

    At the end come figures.json, confusion.svg and calibration.svg of the best weights on the pictures to judge by.
    """
    asked = {
        "classifier": given(
            network=network, image_size=image_size, channels=channels, views=views, mean=mean, std=std, dropout=dropout,
            widths=widths, depth=depth,
        ),
        "data": given(weights=weights, val_split=val_split),
        "fit": given(
            augmentation=augmentation, smoothing=smoothing, class_weights=class_weights, l1=l1,
            train_layers=train_layers, body_rate=body_rate, monitor=monitor, epochs=epochs, batch_size=batch_size,
            learning_rate=learning_rate, adversary=adversary,
            optimizer=optimizer, momentum=momentum, schedule=schedule, warmup_epochs=warmup_epochs,
            final_factor=final_factor,
            weight_decay=weight_decay, ema_decay=ema_decay, clip_norm=clip_norm, patience=patience,
            precision=precision, device=device, workers=workers, seed=seed,
        ),
    }  # fmt: skip
    learn(data, out, resume, asked, as_json)


def learn(data: Path, out: Path | None, resume: bool, asked: dict[str, dict[str, Any]], as_json: bool) -> None:
    """Train what was asked for, measure it, and tell what came out."""
    run = run_folder(RUNS, out, resume)
    if resume:
        asked = with_saved(run, asked)
    classifier = classifier_for(asked["data"].get("weights"), asked["classifier"])
    pictures, judge = datasets(data, asked["data"].get("val_split"))
    note(begun(len(pictures), len(judge) if judge else 0, run))
    config = None if resume else {**asked, "path": str(data)}
    again = f"striate classify train {data} --out {run} --resume"
    with training_run(run, config, again) as on_progress:
        options = with_adversary(asked["fit"])
        classifier.fit(pictures, val=judge, run_dir=run, resume=resume, on_progress=on_progress, **options)
    if judge is not None:
        save_figures(run, classifier.evaluate(judge))
    report("classify", classifier.history_, run, as_json)


@app.command()
def val(
    data: Data,
    weights: Weights,
    split: Split = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure a classifier on a split of a data set: top-1, top-5, calibration, per class."""
    from ..core.datasets.load_classes import list_class_splits, load_classes
    from ..core.datasets.splits import measured_split

    classifier = load_classifier(weights, device)
    split = split or measured_split(list_class_splits(data))
    dataset = load_classes(data, split, names=classifier.names)
    for line in dataset.report:
        note(line)
    metrics = classifier.evaluate(dataset)
    if as_json:
        emit("classify", metrics=metrics, data=str(data), split=split, weights=weights, pictures=len(dataset))
        return
    whole = [(name, value) for name, value in metrics.items() if not isinstance(value, dict | list)]
    stdout().print(table(f"{weights} on {split}, {len(dataset)} pictures", ("figure", "value"), whole, ("value",)))
    columns = ("precision", "recall", "f1", "count")
    rows = ((name, *figures.values()) for name, figures in metrics["per_class"].items())
    stdout().print(table("per class", ("class", *columns), rows, numeric=columns))


@app.command()
def predict(
    pictures: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    weights: Weights,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Name what pictures show."""
    paths = expand(pictures)
    classifier = load_classifier(weights, device)
    results: list[dict[str, Any]] = []
    code = 0
    for path in paths:
        try:
            found = classifier.predict(path)
        except ImageError as problem:
            code = exit_code(problem)
            show_error(problem, as_json)
            results.append({"source": str(path), "error": error_fields(problem)})
            continue
        results.append(found.to_dict())
        if not as_json:
            stdout().print(f"{path}: {found}")
    if as_json:
        emit("classify", weights=weights, names=list(classifier.names), results=results)
    if code:
        raise typer.Exit(code)


def save_figures(run: Path, figures: dict[str, Any]) -> None:
    """Write what was measured into the run folder, as JSON and as two plots."""
    from ..core.atomic import atomic_write
    from ..core.class_plots import calibration_svg, confusion_svg

    if not first_process():
        return
    texts = {
        "figures.json": json.dumps(figures, indent=1) + "\n",
        "confusion.svg": confusion_svg(figures),
        "calibration.svg": calibration_svg(figures),
    }
    for name, text in texts.items():
        atomic_write(run / name, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]


def load_classifier(weights: str, device: str) -> Classifier:
    """Return the classifier for a name or path, on a device.

    Raises:
        UsageError: an unknown device, or one this machine lacks.
    """
    from ..core.classifier import Classifier

    check_device(device)
    return Classifier.from_pretrained(weights).to(device)


def classifier_for(weights: str | None, make: dict[str, Any]) -> Classifier:
    """Return a new classifier, or one that starts from weights.

    Raises:
        UsageError: a network together with weights, which have one, or a mean that is no list of numbers.
    """
    from ..core.classifier import Classifier

    if weights is not None and make:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in make)
        raise UsageError("either --weights or another network", f"--weights with {named}", f"drop {named}")
    if weights is not None:
        return Classifier.from_pretrained(weights)
    make = dict(make)
    for name in ("mean", "std"):
        if name in make:
            make[name] = numbers(name, make[name])
    own = {name: make.pop(name) for name in ("dropout", "widths", "depth") if name in make}
    if "widths" in own:
        own["widths"] = [int(width) for width in numbers("widths", own["widths"])]
    if own:
        make["options"] = own
    return Classifier(**make)


def with_adversary(options: dict[str, Any]) -> dict[str, Any]:
    """Return `Classifier.fit`'s options with the adversary that its words stand for.

    Raises:
        UsageError: words that stand for none.
    """
    if "adversary" not in options:
        return options
    from ..adversarial.training import adversary_named

    return {**options, "adversary": adversary_named(options["adversary"])}


def numbers(name: str, text: str) -> tuple[float, ...]:
    """Read "0.5,0.5,0.5".

    Raises:
        UsageError: anything else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--{name} as numbers between commas", repr(text), f"write --{name} 0.5,0.5,0.5") from None


def datasets(data: Path, val_split: str | None) -> tuple[ClassDataset, ClassDataset | None]:
    """Read the pictures to learn from and to judge by, and tell which files were left out."""
    from ..core.datasets.load_classes import list_class_splits, load_classes

    learn = load_classes(data, "train")
    judge = None
    if val_split is not None and val_split.replace(".", "", 1).isdigit():
        learn, judge = learn.split_off(float(val_split))
    elif val_split != NO_SPLIT and (val_split is not None or "val" in list_class_splits(data)):
        judge = load_classes(data, val_split or "val", names=learn.names)
    for line in [*learn.report, *(judge.report if judge else [])]:
        note(line)
    return learn, judge
