"""`striate bow`: train, measure and use a bag of visual words, and see why it decides as it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import ImageError, UsageError
from .cli_classify import NO_SPLIT, Data, datasets
from .cli_detect import Device, Json, Split, Weights, check_device, expand
from .console import emit, error_fields, exit_code, note, show_error, stdout, table
from .defaults import defaults
from .groups import Group
from .runs import BEST, begun, given, run_folder, training_run

if TYPE_CHECKING:
    from ..bow_baseline import BowClassifier

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="A bag of visual words and an SVM: train, val, predict, explain."
)

MAKE = defaults("bow_baseline/bow_classifier.py", "BowClassifier.__init__")
DENSE = defaults("bow_baseline/descriptors.py", "DenseSift.__init__")
RUNS = Path("runs/bow")
FIGURES = "figures.json"
SCORES = {
    "svm": "decision value of the class's SVM, above 0 for the class, below 0 for the others",
    "nearest": "the class's share of the nearest pictures' votes, 0 to 1",
}
"""What a score is, by decider."""

Jobs = Annotated[int | None, typer.Option(help="Processes that encode pictures.", show_default="1")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder where vectors are kept by content; made if missing.", show_default="none")
]


def _option(name: str, help: str) -> Any:
    """An option whose default is the Python API's: it is shown here, and applied there."""
    shown = {**DENSE, **MAKE}[name].strip("()")
    return typer.Option(help=help, show_default="its own" if shown == "None" else shown)


@app.command()
def train(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default=f"{RUNS}/ and a number")] = None,
    describer: Annotated[str | None, _option("describer", "dense or keypoints.")] = None,
    step: Annotated[int | None, _option("step", "Pixels between dense descriptors.")] = None,
    bin_sizes: Annotated[str | None, _option("bin_sizes", "Scales of dense descriptors, as 4,6,8.")] = None,
    colour: Annotated[str | None, _option("colour", "grey or opponent.")] = None,
    position: Annotated[float | None, _option("position", "Weight of the place in a descriptor.")] = None,
    encoder: Annotated[str | None, _option("encoder", "hard, soft, llc, vlad, fisher or grid.")] = None,
    words: Annotated[int | None, _option("words", "Size of the vocabulary.")] = None,
    components: Annotated[
        int | None, typer.Option(help="Principal components of descriptors.", show_default="its own")
    ] = None,
    samples: Annotated[int | None, _option("samples", "Descriptors that words are learned from.")] = None,
    pyramid: Annotated[str | None, _option("pyramid", "Cells of the picture, as 1x1+2x2.")] = None,
    level_weights: Annotated[str | None, _option("level_weights", "equal or lazebnik.")] = None,
    region: Annotated[str | None, _option("region", "Normalization of a cell: none, l1, l2, root, power.")] = None,
    whole: Annotated[str | None, _option("whole", "Normalization of the picture's vector, likewise.")] = None,
    views: Annotated[str | None, _option("views", "one, or flip: the mean with the mirror image's.")] = None,
    decider: Annotated[str | None, _option("decider", "svm or nearest.")] = None,
    kernel: Annotated[
        str | None, _option("kernel", "linear, intersection, chi2, chi2-additive, chi2-map or rbf.")
    ] = None,
    c: Annotated[float | None, typer.Option(help="The SVM's C.", show_default="cross-validated")] = None,
    neighbours: Annotated[int | None, typer.Option(help="Of the decider nearest.", show_default="its own")] = None,
    metric: Annotated[str | None, typer.Option(help="Distance of the decider nearest.", show_default="its own")] = None,
    seed: Annotated[int | None, _option("seed", "Seed of everything.")] = None,
    val_split: Annotated[
        str | None,
        typer.Option(help=f"Pictures to judge by: a split, a share such as 0.1, or {NO_SPLIT!r}.", show_default="val"),
    ] = None,
    cache: Cache = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Train a bag of words: best.safetensors, figures.json and config.json are written into a new run folder."""
    from ..bow_baseline import BowClassifier
    from ..bow_baseline.options import check_jobs

    check_jobs(jobs)
    asked = given(
        describer=describer, encoder=encoder, words=words, samples=samples, pyramid=pyramid,
        level_weights=level_weights, region=region, whole=whole, views=views, decider=decider, kernel=kernel,
        c=c, seed=seed,
        describer_options=given(step=step, bin_sizes=sizes(bin_sizes), colour=colour, position=position) or None,
        encoder_options=given(components=components) or None,
        decider_options=given(neighbours=neighbours, metric=metric) or None,
    )  # fmt: skip
    classifier = BowClassifier(**asked)
    run = new_run(out)
    learn, judge = datasets(data, val_split)
    note(begun(len(learn), len(judge) if judge else 0, run))
    listed = len(learn.report)
    config = {"classifier": asked, "data": given(val_split=val_split), "path": str(data)}
    with training_run(run, config) as on_progress:
        classifier.fit(learn, cache=folder(cache), jobs=jobs, on_progress=on_progress)
    tell(learn.report[listed:])
    classifier.save(run / BEST)
    metrics = dict(classifier.figures_)
    if judge is not None:
        listed = len(judge.report)
        metrics["val_top1"] = classifier.evaluate(judge, cache=cache, jobs=jobs)["top1"]
        tell(judge.report[listed:])
    save_figures(run, metrics)
    if as_json:
        emit("bow", run=str(run), best=str(run / BEST), metrics=metrics)
        return
    stdout().print(table("training", ("figure", "value"), flat(metrics), numeric=("value",)))
    stdout().print(f"weights: {run / BEST}")
    stdout().print(f"run: {run}")


@app.command()
def val(
    data: Data,
    weights: Weights,
    split: Split = None,
    device: Device = "cpu",
    cache: Cache = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Measure a bag of words on a split of a data set: top-1, top-5, calibration, per class."""
    from ..core.datasets.load_classes import list_class_splits, load_classes
    from ..core.datasets.splits import measured_split

    classifier = load_bow(weights, device)
    split = split or measured_split(list_class_splits(data))
    dataset = load_classes(data, split, names=classifier.names)
    tell(dataset.report)
    listed = len(dataset.report)
    metrics = classifier.evaluate(dataset, cache=folder(cache), jobs=jobs)
    tell(dataset.report[listed:])
    if as_json:
        emit("bow", metrics=metrics, data=str(data), split=split, weights=weights, pictures=metrics["count"])
        return
    show_metrics(f"{weights} on {split}, {metrics['count']} pictures", metrics)


@app.command()
def predict(
    pictures: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    weights: Weights,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Name what pictures show."""
    paths = expand(pictures)
    classifier = load_bow(weights, device)
    results, code = named(classifier, paths, as_json)
    if as_json:
        emit("bow", weights=weights, names=list(classifier.names), results=results)
    if code:
        raise typer.Exit(code)


@app.command()
def explain(
    picture: Annotated[Path, typer.Argument(help="The picture.")],
    weights: Weights,
    out: Annotated[Path, typer.Option(help="File to draw into: what speaks for the class orange, against it blue.")],
    words: Annotated[Path | None, typer.Option(help="File to draw the map of words into.", show_default="none")] = None,
    label: Annotated[str | None, typer.Option(help="The class to explain.", show_default="the likeliest")] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Paint onto a picture what each place of it says for or against a class."""
    from ..core.images import load_image, save_image

    classifier = load_bow(weights, device)
    found = classifier.explain(picture, label)
    image = load_image(picture)
    save_image(found.draw_on(image), out)
    if words is not None:
        save_image(found.draw_words_on(image), words)
    if as_json:
        emit("bow", weights=weights, drawn=str(out), words=None if words is None else str(words), **found.to_dict())
        return
    stdout().print(f"{picture}: {found}")
    stdout().print(f"score: {SCORES[classifier.decider]}; {found.base:.3f} without any word")
    rows = list(found.word_contributions().items())
    shown = rows if len(rows) <= 10 else [*rows[:5], *rows[-5:]]
    stdout().print(table("words that say most", ("word", "adds to the score"), shown, ("word", "adds to the score")))
    stdout().print(out)


def load_bow(weights: str, device: str) -> BowClassifier:
    """Return the bag of words for a name or path, on a device.

    Raises:
        UsageError: an unknown device, or one this machine lacks.
    """
    from ..bow_baseline import BowClassifier

    check_device(device)
    return BowClassifier.from_pretrained(weights).to(device)


def named(classifier: BowClassifier, paths: list[Path], as_json: bool) -> tuple[list[dict[str, Any]], int]:
    """Name pictures one by one, telling of those that cannot be read: results, and the exit code."""
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
    return results, code


def new_run(out: Path | None) -> Path:
    """Return the folder to train in.

    Raises:
        UsageError: one that holds a model already.
    """
    run = run_folder(RUNS, out, resume=False)
    if (run / BEST).exists():
        raise UsageError("a new run folder", f"a model in {run}", "pass another --out")
    return run


def sizes(text: str | None) -> tuple[float, ...] | None:
    """Read "4,6,8".

    Raises:
        UsageError: anything else.
    """
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError("--bin-sizes as numbers between commas", repr(text), "write --bin-sizes 4,6,8") from None


def folder(cache: Path | None) -> Path | None:
    """Make the folder of `--cache`."""
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    return cache


def tell(lines: list[str]) -> None:
    """Tell which files were left out."""
    for line in lines:
        note(line)


def flat(metrics: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return figures as rows, seconds of each stage among them."""
    rows = [(name, value) for name, value in metrics.items() if not isinstance(value, dict)]
    return [*rows, *((f"seconds, {name}", value) for name, value in metrics.get("seconds", {}).items())]


def show_metrics(title: str, metrics: dict[str, Any]) -> None:
    """Print figures of a classifier, and a table of its classes."""
    whole = [(name, value) for name, value in metrics.items() if not isinstance(value, dict | list)]
    stdout().print(table(title, ("figure", "value"), whole, ("value",)))
    columns = ("precision", "recall", "f1", "count")
    rows = ((name, *figures.values()) for name, figures in metrics["per_class"].items())
    stdout().print(table("per class", ("class", *columns), rows, numeric=columns))


def save_figures(run: Path, metrics: dict[str, Any]) -> None:
    """Write the figures into the run folder."""
    import json

    from ..core.atomic import atomic_write

    text = json.dumps(metrics, indent=2) + "\n"
    atomic_write(run / FIGURES, lambda file: file.write(text.encode()))
