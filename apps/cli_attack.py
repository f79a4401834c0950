"""`striate attack`: one picture against one model; classifiers, bags of words, detectors and segmenters."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.checks import ImageError, ModelError, SaveError, UsageError, unknown
from .cli_detect import Device, Json, Weights, check_device
from .console import emit, stdout, table
from .defaults import ROOT
from .runs import given
from .step_bar import step_bar, telling

if TYPE_CHECKING:
    import numpy as np

    from ..adversarial.attack import Attack
    from ..adversarial.changed import Changed
    from ..adversarial.goals import MapGoal
    from ..adversarial.maps import MapVictim
    from ..adversarial.problem import Step

KINDS = {
    "Classifier": "core.classifier",
    "BowClassifier": "bow_baseline",
    "Detector": "detection",
    "Segmenter": "segmentation",
}
"""Class of a checkpoint -> the module that has it."""
SHARE = 0.9


def attack_names() -> tuple[str, ...]:
    """Return the keys of `adversarial.ATTACKS`, from its source: importing it would import torch, for a help text."""
    tree = ast.parse((ROOT / "adversarial/attacks.py").read_text(encoding="utf-8"))
    (table,) = (
        node.value for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
    )
    return tuple(ast.literal_eval(key) for key in table.keys if key is not None)


Method = Annotated[str, typer.Option(help=f"Name of the attack: {', '.join(attack_names())}.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", "-o", help="Setting of the attack, as steps=40; repeat it.")
]
Seed = Annotated[int, typer.Option(help="Of all random numbers.")]


def attack(
    picture: Annotated[Path, typer.Argument(help="A picture.")],
    weights: Weights,
    method: Method = "pgd",
    target: Annotated[str | None, typer.Option(help="Class that the model shall name; any other by default.")] = None,
    label: Annotated[str | None, typer.Option(help="True class; by default what the model says.")] = None,
    epsilon: Annotated[str | None, typer.Option(help="Budget, as 8/255; by default the attack's own.")] = None,
    option: Options = None,
    box: Annotated[str | None, typer.Option(help="Change only inside x0,y0,x1,y1.")] = None,
    outside: Annotated[bool, typer.Option("--outside", help="Change only outside --box.")] = False,
    confidence: Annotated[float | None, typer.Option(help="Least probability that the answer shall have.")] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="PNG of the result, with the settings in it.")] = None,
    drawing: Annotated[Path | None, typer.Option(help="PNG of before, difference and after.")] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Change a picture, hardly visibly, until a model is wrong about it; the model judges the saved PNG.

    Of a detector all objects shall vanish, or with --target one of that class appear; of a segmenter the mask inside
    --box, or everywhere, shall become --target.
    """
    from ..core.images import SUFFIXES, load_image, save_image

    for path, formats in ((out, (".png",)), (drawing, SUFFIXES)):
        _check_out(path, formats)
    model = load_model(weights, device)
    image = load_image(picture)
    tried = make(method, option)
    area = _box(box, image.shape[:2], outside)
    size = None if epsilon is None else number("epsilon", epsilon)
    not_meant = given(label=label, confidence=confidence)
    of_maps = type(model).__name__ in ("Detector", "Segmenter")
    if of_maps and not_meant:
        named = ", ".join(f"--{name}" for name in not_meant)
        raise UsageError("a classifier with those options", f"{named} with {weights}", f"drop {named}")
    with step_bar(f"{method}: step") as show:
        tell = telling(show)
        if of_maps:
            result: Any = _maps(model, image, tried, target, size, area, seed, tell)
        else:
            result = _classes(model, image, tried, target, label, size, area, confidence, seed, tell)
    if out is not None:
        result.save(out)
    if drawing is not None:
        save_image(result.draw(), drawing)
    _report(result, picture, weights, as_json)


def _check_out(path: Path | None, formats: tuple[str, ...]) -> None:
    """Refuse before an attack, which may take minutes, what could not be written after it.

    Raises:
        ImageError: A file name of another format. SaveError: A folder that is not there.
    """
    if path is None:
        return
    if path.suffix.lower() not in formats:
        known = ", ".join(sorted(formats))
        raise ImageError(f"a file name that ends in {known}", str(path), "choose .png, which keeps every pixel")
    if not path.parent.is_dir():
        raise SaveError("a file name in a folder that exists", f"no such folder: {path.parent}", "create it")


def load_model(weights: str, device: str) -> Any:
    """Return the model for a name or path, of whatever kind it is.

    Raises:
        UsageError: an unknown device. ModelError: unknown weights, or of a kind that cannot be attacked.
    """
    from importlib import import_module

    from ..core.checkpoints import load_checkpoint
    from ..core.weights import resolve

    check_device(device)
    kind = str(load_checkpoint(resolve(weights))[1].get("kind"))
    if kind not in KINDS:
        raise unknown("kind of model", kind, KINDS, ModelError)
    module = import_module(f"..{KINDS[kind]}", __package__)
    return getattr(module, kind).from_pretrained(weights).to(device)


def make(method: str, options: list[str] | None, **more: Any) -> Attack:
    """Return an attack of "name=value" settings; values are numbers, true, false, or text.

    Raises:
        UsageError: an unknown attack or setting, or one without a value.
    """
    from ..adversarial.attacks import make_attack

    found = dict(more)
    for text in options or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError("--option as name=value", repr(text), "write --option steps=40")
        found[name.strip().replace("-", "_")] = _value(value.strip())
    return make_attack(method, **found)


def number(name: str, text: str) -> float:
    """Read "0.03" or "8/255".

    Raises:
        UsageError: anything else.
    """
    upper, _, lower = text.partition("/")
    try:
        return float(upper) / (float(lower) if lower else 1.0)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise UsageError(f"--{name} as a number or a fraction", repr(text), f"write --{name} 8/255") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return number("option", text) if "/" in text else text


def _box(text: str | None, size: tuple[int, int], outside: bool) -> Any:
    """Return a mask bool (H, W), or None."""
    from ..adversarial.inputs import mask_for

    if text is None:
        if outside:
            raise UsageError("--box with --outside", "no --box", "write --box x0,y0,x1,y1 --outside")
        return None
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise UsageError("--box as four whole numbers", repr(text), "write --box x0,y0,x1,y1")
    inside = mask_for(numbers, size)
    return ~inside if outside else inside


def _classes(
    model: Any, image: np.ndarray, tried: Attack, target: str | None, label: str | None, epsilon: float | None,
    area: Any, confidence: float | None, seed: int, tell: Callable[[Step], None],
) -> Changed:  # fmt: skip
    from ..adversarial.criteria import ConfidenceAtLeast, Misclassified, Targeted

    criterion: Any = Misclassified() if target is None else Targeted()
    if confidence is not None:
        criterion = criterion & ConfidenceAtLeast(confidence)
    found: Changed = tried.run(
        model, image, label, target=target, epsilons=epsilon, mask=area, criterion=criterion, seed=seed,
        on_step=tell,
    )  # fmt: skip
    return found


def _maps(
    model: Any, image: np.ndarray, tried: Attack, target: str | None, epsilon: float | None, area: Any, seed: int,
    tell: Callable[[Step], None],
) -> Changed:  # fmt: skip
    from ..adversarial.maps import attack_maps

    wanted = None if target is None else model.names.index(target) if target in model.names else -1
    if wanted == -1:
        raise unknown("class", str(target), model.names)
    wire = _detector if type(model).__name__ == "Detector" else _segmenter
    victim, goal, confirm = wire(model, image, wanted, area)
    mask = area if type(model).__name__ == "Detector" else None
    return attack_maps(victim, image, goal, confirm, attack=tried, epsilon=epsilon, mask=mask, seed=seed, on_step=tell)


def _detector(
    model: Any, image: np.ndarray, wanted: int | None, area: Any
) -> tuple[MapVictim, MapGoal, Callable[[Any], bool]]:
    import torch

    from ..adversarial.geometry import CanvasGeometry
    from ..adversarial.maps import MapVictim, appear, vanish
    from ..core.images import to_tensor
    from ..detection.data import canvas_for

    height, width = image.shape[:2]
    geometry = CanvasGeometry(canvas_for((height, width), model.image_size))
    victim = MapVictim(model.network_, geometry, model.names)
    if wanted is None:
        return victim, vanish(model.confidence), lambda picture: not len(model.predict(picture))
    before = int((model.predict(image).class_ids == wanted).sum())
    with torch.no_grad():
        now = victim.scores(to_tensor(image).to(victim.device))
    goal = appear(wanted, model.confidence, beside=now)
    return victim, goal, lambda picture: int((model.predict(picture).class_ids == wanted).sum()) > before


def _segmenter(
    model: Any, image: np.ndarray, wanted: int | None, area: Any
) -> tuple[MapVictim, MapGoal, Callable[[Any], bool]]:
    import numpy as np

    from ..adversarial.geometry import PaddedGeometry
    from ..adversarial.maps import MapVictim, flip

    if wanted is None:
        raise UsageError("--target for a segmenter", "none", f"name one of {', '.join(model.names)}")
    inner = model.network_.network
    victim = MapVictim(model.network_, PaddedGeometry(inner.stride, inner.least), model.names)
    region = np.ones(image.shape[:2], bool) if area is None else area

    def confirm(picture: np.ndarray) -> bool:
        return bool((model.predict(picture).labels[region] == wanted).mean() >= SHARE)

    return victim, flip(wanted, region, SHARE), confirm


def _report(result: Any, picture: Path, weights: str, as_json: bool) -> None:
    figures = result.to_dict()
    if as_json:
        emit("attack", picture=str(picture), weights=weights, **figures)
        return
    norms = figures.pop("norms")
    stdout().print(f"{picture}: {'fooled' if result.success else 'not fooled'}: {result}")
    named = figures.pop("attack")  # so long that the names of the other figures would be broken
    rows = [*figures.items(), *norms.items()]
    stdout().print(table(f"{named}", ("figure", "value"), rows, numeric=("value",)))
