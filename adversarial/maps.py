"""Networks that put out maps, as victims: objects that vanish or appear, masks that flip.

A detector's network gives, for each scale, something whose last part are class logits (N, classes, h, w); a segmenter's
gives logits (N, classes, H, W). The goals below read both, so the attacks that follow any loss (`Fgsm`, `Pgd`) serve
here too. What counts as success is said by the model's own `predict` about the PNG, through `confirm`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.checks import ModelError, UsageError, fraction
from ..core.images import Source, encode_image, load_image, to_image, to_tensor
from .attack import Attack
from .changed import Changed
from .drawing import draw_result
from .eight_bits import rounded_inside
from .fgsm import Fgsm
from .geometry import Geometry
from .goals import MapGoal
from .inputs import check_epsilon, mask_for
from .pgd import Pgd
from .problem import Problem, Step
from .victims import Victim, frozen

MARGIN = 1.0
"""Logits by which cells have to pass a threshold before they stop to count in a loss."""
ENOUGH = 0.5
"""Logits by which they have to pass it before the attack stops: rounding, and bfloat16, must not undo it."""


class MapVictim:
    """A network with its geometry; `scores` gives whatever the network puts out.

    Args:
        network: Takes what `geometry` gives; in eval mode.
        geometry: See `geometry.CanvasGeometry` and `geometry.PaddedGeometry`.
        names: Class names by class id.

    Raises:
        ModelError: A network in train mode.
    """

    gives = "gradients"

    def __init__(self, network: nn.Module, geometry: Geometry, names: Iterable[str]) -> None:
        if any(module.training for module in network.modules()):
            raise ModelError("a network in eval mode", "one in train mode", "call network.eval() first")
        self.network, self.geometry, self.names = frozen(network), geometry, tuple(names)
        self.device = next(self.network.parameters()).device

    def scores(self, pictures: Tensor) -> Any:
        """Return what the network says of pictures (N, 3, H, W) in [0, 1]."""
        return self.network(self.geometry(pictures).contiguous(memory_format=torch.channels_last))


@dataclass(frozen=True)
class MapResult(Changed):
    """One picture of a detector or a segmenter, before and after.

    Attributes:
        image: After, as decoded from its PNG.
        original: Before.
        success: What `confirm` says about the decoded PNG.
        attack: The attack with its settings.
        epsilon: The budget.
        queries: Forward passes.
        gradients: Backward passes.
        seconds: Of the attack.
        seed: Of the random numbers.
    """

    success: bool
    attack: str
    epsilon: float
    queries: int
    gradients: int
    seconds: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: all but the pictures."""
        names = ("success", "attack", "epsilon", "queries", "gradients", "seconds", "seed")
        return {**{name: getattr(self, name) for name in names}, **self.figures()}

    def draw(self, *, side: int = 256) -> NDArray[np.uint8]:
        """Draw before, the amplified difference and after side by side, uint8 (H, W, 3)."""
        return draw_result(self.original, self.image, "before", "after", side)

    def __str__(self) -> str:
        return f"{self.attack}, linf {self.norms['linf']:.4g}, l2 {self.norms['l2']:.4g}"


def class_maps(outputs: Any) -> list[Tensor]:
    """Return the class logits of all scales, each (N, classes, h, w)."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [scale if isinstance(scale, Tensor) else scale[-1] for scale in outputs]


def vanish(confidence: float, class_id: int | None = None) -> MapGoal:
    """Return the goal that no cell of a detector is surer than `confidence` of any class, or of one.

    The loss is minus the sum, over cells, of how far their logits lie above the threshold less a margin.
    """
    fraction("confidence", confidence)
    limit = _logit(confidence)
    return MapGoal(partial(_below, class_id, limit - MARGIN), partial(_none_above, class_id, limit - ENOUGH))


def appear(class_id: int, confidence: float, cells: int = 1) -> MapGoal:
    """Return the goal that at least so many cells of a detector are surer than `confidence` of a class."""
    fraction("confidence", confidence)
    limit = _logit(confidence)
    return MapGoal(
        partial(_highest, class_id, limit + MARGIN, cells), partial(_some_above, class_id, limit + ENOUGH, cells)
    )


def flip(target: int, region: NDArray[np.bool_], share: float = 0.9) -> MapGoal:
    """Return the goal that a segmenter gives a class to a share of the pixels of a region, bool (H, W).

    The loss is the mean, over the region, of the target's logit less the largest other, as far as it is below a margin.
    """
    fraction("share", share)
    if not region.any():
        raise UsageError("a region with pixels", "none", "pass where the mask is to change")
    place = torch.from_numpy(region)
    return MapGoal(partial(_lead, target, place), partial(_flipped, target, place, share))


def attack_maps(
    victim: MapVictim,
    image: Source,
    goal: MapGoal,
    confirm: Callable[[NDArray[np.uint8]], bool],
    *,
    attack: Attack | None = None,
    epsilon: float | None = None,
    mask: Any = None,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
) -> MapResult:
    """Change a picture until a detector or a segmenter says what the goal wants.

    Args:
        victim: The network.
        image: One picture.
        goal: What the maps should become, made by `vanish`, `appear` or `flip`.
        confirm: Whether the model itself, asked about a picture uint8 (H, W, 3), says so.
        attack: `Fgsm` or `Pgd`; None is `Pgd()`.
        epsilon: Budget; None is the attack's own.
        mask: As `Attack.run`'s.
        seed: Of random numbers.
        on_step: Called with a `Step`.

    Raises:
        UsageError: An attack that cannot follow maps, a goal that is reached already, an impossible budget or mask.
    """
    attack = attack or Pgd()
    if not isinstance(attack, Fgsm | Pgd):
        raise UsageError("Fgsm or Pgd, which follow any loss", attack.name, "choose one of those for maps")
    original = load_image(image)
    if confirm(original):
        raise UsageError("a goal that the picture does not reach yet", "one that it does", "choose another goal")
    budget = check_epsilon(attack.epsilon if epsilon is None else epsilon, attack.distance, False)
    where = None if mask is None else torch.from_numpy(mask_for(mask, original.shape[:2]))[None, None]
    started = time.perf_counter()
    radius = None if budget is None else attack.distance.levels(budget)
    problem = Problem.of(
        cast(Victim, victim), to_tensor(original).to(victim.device), goal, attack.distance, radius,
        mask=None if where is None else where.to(victim.device), seed=seed, on_step=on_step,
    )  # fmt: skip
    found = rounded_inside(problem, attack.perturb(problem).detach())
    seconds = time.perf_counter() - started
    decoded = load_image(encode_image(to_image(found), "png"))
    cost = problem.cost
    return MapResult(
        decoded, original, confirm(decoded), attack.described(budget), float(budget or 0), int(cost.queries[0]),
        int(cost.gradients[0]), seconds, seed,
    )  # fmt: skip


def _logit(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability)) if 0 < probability < 1 else (probability - 0.5) * 40


def _cells(outputs: Any, class_id: int | None) -> Tensor:
    """Return each cell's logit of a class, or its largest, (N, cells)."""
    maps = class_maps(outputs)
    rows = [one.amax(1) if class_id is None else one[:, class_id] for one in maps]
    return torch.cat([row.flatten(1) for row in rows], 1)


def _below(class_id: int | None, limit: float, outputs: Any) -> Tensor:
    return -F.relu(_cells(outputs, class_id) - limit).sum(1)


def _none_above(class_id: int | None, limit: float, outputs: Any) -> Tensor:
    return (_cells(outputs, class_id) < limit).all(1)


def _highest(class_id: int, limit: float, count: int, outputs: Any) -> Tensor:
    return _cells(outputs, class_id).topk(count, 1).values.clamp(max=limit).sum(1)


def _some_above(class_id: int, limit: float, count: int, outputs: Any) -> Tensor:
    return (_cells(outputs, class_id) >= limit).sum(1) >= count


def _leads(target: int, region: Tensor, outputs: Any) -> Tensor:
    """Return the target's logit less the largest other, at the region's pixels, (N, pixels)."""
    (logits,) = class_maps(outputs)
    logits = logits[:, :, : region.shape[0], : region.shape[1]][:, :, region.to(logits.device)]
    hidden = torch.arange(logits.shape[1], device=logits.device) == target
    return logits[:, target] - logits.masked_fill(hidden[:, None], float("-inf")).amax(1)


def _lead(target: int, region: Tensor, outputs: Any) -> Tensor:
    return _leads(target, region, outputs).clamp(max=MARGIN).mean(1)


def _flipped(target: int, region: Tensor, share: float, outputs: Any) -> Tensor:
    return (_leads(target, region, outputs) > ENOUGH).float().mean(1) >= share


__all__ = ["MapResult", "MapVictim", "appear", "attack_maps", "class_maps", "flip", "vanish"]
