"""Networks that put out maps, as victims: objects that vanish or appear, masks that flip.

The attacks that follow any loss (`Fgsm`, `Pgd`) serve here too; see `map_goals` for the losses. What counts as success
is said by the model's own `predict` about the PNG, through `confirm`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.checks import ModelError, UsageError
from ..core.images import Source, encode_image, load_image, to_image, to_tensor
from .attack import Attack
from .changed import Changed
from .drawing import draw_result
from .eight_bits import rounded_inside
from .fgsm import Fgsm
from .geometry import Geometry
from .goals import MapGoal
from .inputs import check_epsilon, mask_for
from .map_goals import appear, class_maps, flip, vanish
from .pgd import Pgd
from .problem import Problem, Step
from .victims import Victim, frozen


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
        seconds: Of the attack, with the model's answers.
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

    PGD stops where the maps have reached the goal; where the model says otherwise, as non-maximum suppression may, it
    goes on from the start and takes all its steps.

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
    decoded = _decoded(problem, attack)
    success = confirm(decoded)
    if not success and isinstance(attack, Pgd) and attack.early_stop:
        decoded = _decoded(problem, Pgd(**{**attack.config(), "early_stop": False}))
        success = confirm(decoded)
    seconds, cost = time.perf_counter() - started, problem.cost
    return MapResult(
        decoded, original, success, attack.described(budget), float(budget or 0), int(cost.queries[0]),
        int(cost.gradients[0]), seconds, seed,
    )  # fmt: skip


def _decoded(problem: Problem, attack: Attack) -> NDArray[np.uint8]:
    """Return what an attack makes of the picture, as it comes back from PNG."""
    found = rounded_inside(problem, attack.perturb(problem).detach())
    return load_image(encode_image(to_image(found), "png"))


__all__ = ["MapResult", "MapVictim", "appear", "attack_maps", "class_maps", "flip", "vanish"]
