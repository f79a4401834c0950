"""`striate robustness`: curves of robust accuracy for several models, who else is fooled, and whether it is honest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import DataError, ModelError, UsageError
from .cli_attack import Method, Options, Seed, load_model, make, number
from .cli_classify import Data
from .cli_detect import Device, Json
from .console import emit, note, plain, stdout, table
from .runs import run_folder
from .step_bar import step_bar, telling

if TYPE_CHECKING:
    from ..adversarial.attack import Attack
    from ..adversarial.defended import Defence
    from ..adversarial.rates import Curve
    from ..adversarial.victims import Victim
    from ..core.datasets.classes import ClassDataset

RUNS = Path("runs/robustness")
CHECKED = 30
"""Pictures that the search for gradient masking looks at: some 420 passes forward and 220 back for each."""


def robustness(
    data: Data,
    weights: Annotated[list[str], typer.Option("--weights", "-w", help="Name or path; repeat it.")],
    method: Method = "pgd",
    black_box: Annotated[
        str, typer.Option(help="Attack of models without gradients; the table says which was used.")
    ] = "hopskipjump",
    distance: Annotated[str, typer.Option(help="Of the budgets: linf, l2, or l0 for one-pixel.")] = "linf",
    epsilons: Annotated[
        str | None,
        typer.Option(help="Budgets between commas.", show_default="1/255 to 16/255; 0.25 to 2 for l2; 1, 3, 5 for l0"),
    ] = None,
    option: Options = None,
    split: Annotated[str, typer.Option(help="Which part of the data set.")] = "test",
    count: Annotated[int, typer.Option(help="Pictures, the first of each class in turn.")] = 100,
    defence: Annotated[
        list[str] | None,
        typer.Option(help="Show each network behind it too: jpeg:QUALITY, blur:SIGMA, bits:BITS; several: by chance."),
    ] = None,
    checks: Annotated[bool, typer.Option(help="Look for gradient masking, on the first 30.")] = True,
    transfers: Annotated[bool, typer.Option(help="Ask each model about what fooled the others.")] = False,
    jpeg: Annotated[bool, typer.Option(help="Count what still fools after JPEG.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the figures.", show_default=f"{RUNS}/ and a number")
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure robust accuracy over budgets: curves.csv, curves.svg and robustness.json are written.

    Gradient masking is looked for within the smallest budget that fools half of the pictures, else within the largest:
    where it fools none, the answer is "undecided". With --defence each network stands in the table once more, attacked
    through the defence by one who knows it.
    """
    from ..adversarial.defended import defence_named
    from ..adversarial.rates import robustness as curve_of
    from ..core.datasets.load_classes import load_classes

    defences = [defence_named(one) for one in defence or []]
    models = _behind({one: _victim(one, device) for one in dict.fromkeys(weights)}, defences)
    budgets = _budgets(epsilons, distance)
    dataset = load_classes(data, split, names=next(iter(models.values())).names)
    for line in dataset.report:
        note(line)
    dataset = _first(dataset, count)
    attacks = {name: _attack(model, method, black_box, distance, option) for name, model in models.items()}
    folder, curves = run_folder(RUNS, out, False), []
    for name, model in models.items():
        note(f"{attacks[name].name} on {name}: {len(dataset)} pictures, {len(budgets)} budgets")
        with step_bar(f"{name}: step") as show:
            curve = curve_of(
                model, dataset, attacks[name], budgets, name=name, distance=distance, seed=seed, on_step=telling(show)
            )
        curves.append(curve)
    _write(folder, curves, {})  # what follows may take longer than all of this
    about = _more(models, dataset, curves, seed, checks=checks, transfers=transfers, jpeg=jpeg)
    if defences:
        about["defences"] = [one.name for one in defences]
    _write(folder, curves, about)
    if as_json:
        emit("robustness", out=str(folder), curves=[curve.to_dict() for curve in curves], **about)
    else:
        _show(curves, about, folder)


def _victim(weights: str, device: str) -> Victim:
    """Return what attacks ask of a classifier, made once: it holds a copy of the network.

    Raises:
        ModelError: weights of something else.
    """
    from ..adversarial.victims import victim

    model = load_model(weights, device)
    if type(model).__name__ in ("Detector", "Segmenter"):
        raise ModelError("weights of a classifier", f"a {type(model).__name__}: {weights}", "choose others")
    return victim(model)


def _behind(models: dict[str, Victim], defences: list[Defence]) -> dict[str, Victim]:
    """Return the models, each network followed by itself behind the defences.

    Raises:
        ModelError: defences, and no network.
    """
    from ..adversarial.defended import Defended

    if not defences:
        return models
    found: dict[str, Victim] = {}
    for name, model in models.items():
        found[name] = model
        if model.gives == "gradients":
            found[f"{name}, defended"] = Defended(model, defences)
        else:
            note(f"{name} is not shown behind the defence: it gives no gradients to attack it through")
    if len(found) == len(models):
        raise ModelError("a network behind --defence", f"{', '.join(models)}, without gradients", "drop --defence")
    return found


def _budgets(text: str | None, distance: str) -> list[float]:
    if text is None:
        usual = {"linf": [k / 255 for k in (1, 2, 4, 8, 16)], "l0": [1.0, 3.0, 5.0]}
        return usual.get(distance, [0.25, 0.5, 1.0, 2.0])
    return [number("epsilons", part) for part in text.split(",")]


def _attack(model: Victim, method: str, black_box: str, distance: str, options: list[str] | None) -> Attack:
    """Return the attack for a model: `method`, or `black_box` where it needs more than the model gives."""
    import inspect

    from ..adversarial.attacks import ATTACKS
    from ..adversarial.budgets import converted
    from ..adversarial.victims import GIVES

    def made(name: str, given: list[str] | None) -> Attack:
        known = ATTACKS.get(name)
        knows = known is not None and "distance" in inspect.signature(known).parameters
        return make(name, given, **({"distance": distance} if knows else {}))

    first = made(method, options)
    enough = GIVES.index(model.gives) >= GIVES.index(first.needs)
    chosen = first if enough else made(black_box, None)
    if chosen.distance.name != distance:
        own = chosen.distance.name
        if converted(1.0, distance, own, 1) is None:
            raise UsageError(f"budgets in {own}, for {chosen.name}", f"--distance {distance}", f"pass --distance {own}")
        note(
            f"{chosen.name} works in {own}: its budgets are those of the smallest {own} ball around the {distance} one"
        )
    return chosen


def _first(dataset: ClassDataset, count: int) -> ClassDataset:
    from ..bow_baseline.compare import first_of_each

    if count < 1 or not len(dataset):
        raise DataError("pictures to attack", f"--count {count} of {len(dataset)}", "choose another split or count")
    return dataset.subset(first_of_each(dataset.labels, count))


def _more(
    models: dict[str, Victim], dataset: ClassDataset, curves: list[Curve], seed: int, *,
    checks: bool, transfers: bool, jpeg: bool,
) -> dict[str, Any]:  # fmt: skip
    """Return what was asked for beside the curves, as plain data; what fools at the largest budget is theirs."""
    from ..adversarial.transfer import jpeg_survival, transferred

    made = {name: curve.results for name, curve in zip(models, curves, strict=True) if curve.results is not None}
    found: dict[str, Any] = {}
    if checks:
        few = dataset.subset(list(range(min(len(dataset), CHECKED))))
        found["honesty"] = {
            name: _checked(model, few, curve, seed)
            for (name, model), curve in zip(models.items(), curves, strict=True)
            if model.gives == "gradients"
        }
    if transfers:
        found["transfer"] = transferred(models, made).to_dict()
    if jpeg:
        found["jpeg"] = {name: jpeg_survival(made[name], model) for name, model in models.items()}
    return found


def _checked(model: Victim, few: ClassDataset, curve: Curve, seed: int) -> dict[str, Any]:
    """Look for gradient masking within the curve's most telling budget, or, in l0, within the usual one of linf."""
    from ..adversarial.honesty import check_gradients

    images, labels = [few.image(i) for i in range(len(few))], [few.names[i] for i in few.labels]
    if curve.distance not in ("linf", "l2"):
        return check_gradients(model, images, labels, seed=seed).to_dict()
    return check_gradients(model, images, labels, distance=curve.distance, epsilon=curve.telling, seed=seed).to_dict()


def _write(folder: Path, curves: list[Curve], about: dict[str, Any]) -> None:
    from ..adversarial.rates import to_csv
    from ..core.atomic import atomic_write

    folder.mkdir(parents=True, exist_ok=True)
    whole = {"curves": [curve.to_dict() for curve in curves], **about}
    texts = {
        "curves.csv": to_csv(curves),
        "curves.svg": plot(curves),
        "robustness.json": json.dumps(plain(whole), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        atomic_write(folder / name, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]


def plot(curves: list[Curve]) -> str:
    """Return robust accuracy over budgets as SVG, a curve with its band for each model.

    Raises:
        UsageError: no curves.
    """
    from ..bow_baseline.charts import Line, line_chart
    from ..bow_baseline.statistics import Interval

    if not curves:
        raise UsageError("at least one curve", "none", "name --weights")
    lines = [
        Line(
            f"{curve.model}, {curve.attack}",
            [point.epsilon for point in curve.points],
            [Interval(point.robust_accuracy, point.low, point.high) for point in curve.points],
        )
        for curve in curves
    ]
    norms = " and ".join(dict.fromkeys(curve.distance for curve in curves))
    return line_chart(lines, x_label=f"budget ({norms})", y_label="robust accuracy", background="white")


def _show(curves: list[Curve], about: dict[str, Any], folder: Path) -> None:
    columns = ("model", "attack", "distance", "epsilon", "robust accuracy", "from", "to", "fooled")
    rows = [
        (c.model, c.attack, c.distance, p.epsilon, p.robust_accuracy, p.low, p.high, p.success_rate)
        for c in curves
        for p in c.points
    ]
    stdout().print(table("robust accuracy", columns, rows, numeric=columns[3:]))
    for name, found in about.get("honesty", {}).items():
        stdout().print(f"{name}: {found['verdict']}")
    if "transfer" in about:
        found = about["transfer"]
        lines = [(row, *values) for row, values in zip(found["rows"], found["fooled"], strict=True)]
        stdout().print(table("fooled: made against (rows)", ("", *found["columns"]), lines, numeric=found["columns"]))
    if "jpeg" in about:
        qualities = list(next(iter(about["jpeg"].values())))
        lines = [(name, *found.values()) for name, found in about["jpeg"].items()]
        stdout().print(table("still fooled after JPEG of quality", ("model", *map(str, qualities)), lines))
    stdout().print(f"figures: {folder}")
