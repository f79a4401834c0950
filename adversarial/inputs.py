"""What a user gives an attack, checked: pictures, labels, targets, budgets, masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import DataError, UsageError, unknown
from ..core.images import load_image
from .criteria import Criterion
from .distances import Distance, Linf
from .parts import at_once
from .victims import Victim


@dataclass(frozen=True)
class Inputs:
    """Pictures with their classes.

    Attributes:
        images: uint8 (H, W, 3) each.
        before: The model's probabilities, float32 (N, classes).
        labels: int64 (N,).
        targets: int64 (N,), or None.
        mask: bool (H, W), a box, or None.
        names: Class names.
    """

    images: list[NDArray[np.uint8]]
    before: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.int64] | None
    mask: Any
    names: tuple[str, ...]

    def batches(self) -> Iterator[list[int]]:
        """Give the indices of pictures that the model names right, of one size, as many as may be held at a time."""
        sizes = defaultdict(list)
        for row, image in enumerate(self.images):
            if int(self.before[row].argmax()) == self.labels[row]:
                sizes[image.shape].append(row)
        for shape, rows in sizes.items():
            count = at_once(shape)
            yield from (rows[start : start + count] for start in range(0, len(rows), count))

    def ids(self, rows: list[int], device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Return labels and targets of some pictures."""
        targets = None if self.targets is None else torch.from_numpy(self.targets[rows]).to(device)
        return torch.from_numpy(self.labels[rows]).to(device), targets

    def mask_of(self, rows: list[int], device: torch.device) -> Tensor | None:
        """Return the mask of pictures of one size, bool (N, 1, H, W)."""
        if self.mask is None:
            return None
        found = mask_for(self.mask, self.images[rows[0]].shape[:2])
        return torch.from_numpy(found).to(device)[None, None].repeat(len(rows), 1, 1, 1)


def make_inputs(asked: Victim, images: Any, labels: Any, target: Any, criterion: Criterion, mask: Any) -> Inputs:
    """Check what a user gave, and ask the model about the pictures.

    Raises:
        UsageError: Unknown or impossible labels, targets or masks. ImageError: An unreadable picture.
    """
    loaded = [load_image(one) for one in (images if isinstance(images, list) else [images])]
    before = np.asarray(asked.probabilities(loaded), np.float32)
    if before.shape != (len(loaded), len(asked.names)) or not np.isfinite(before).all():
        got = f"{before.shape}{'' if np.isfinite(before).all() else ' with NaN'}"
        raise DataError(f"finite probabilities {len(loaded), len(asked.names)} of the model", got, "check the model")
    own = before.argmax(1).astype(np.int64)
    true = own if labels is None else class_ids("labels", labels, asked.names, len(loaded))
    wanted = None if target is None else class_ids("target", target, asked.names, len(loaded))
    if wanted is None and criterion.needs_target:
        raise UsageError(f"a target for {criterion}", "none", "pass target, the name of a class")
    if wanted is not None and (wanted == true).any():
        row = int(np.flatnonzero(wanted == true)[0])
        got = f"{asked.names[wanted[row]]!r}" + (f" for picture {row}" if len(loaded) > 1 else "") + ", its label"
        raise UsageError("a target that differs from the label", got, "choose another class")
    for image in loaded:
        if mask is not None:
            mask_for(mask, image.shape[:2])
    return Inputs(loaded, before, true, wanted, mask, asked.names)


def class_ids(what: str, given: Any, names: tuple[str, ...], count: int) -> NDArray[np.int64]:
    """Return class numbers, int64 (count,), of names or numbers, one for all or one for each.

    Raises:
        UsageError: An unknown class, or another number of them.
    """
    each = [given] * count if isinstance(given, str | int | np.integer) else list(given)
    if len(each) != count:
        raise UsageError(f"one of {what} for each of {count} pictures", f"{len(each)}", "pass as many as pictures")
    ids = np.zeros(count, np.int64)
    for place, one in enumerate(each):
        if isinstance(one, str):
            if one not in names:
                raise unknown("class", one, names)
            ids[place] = names.index(one)
        elif isinstance(one, int | np.integer) and 0 <= one < len(names):
            ids[place] = one
        else:
            fix = "pass its name or number"
            raise UsageError(f"{what} as names or numbers 0 to {len(names) - 1}", repr(one), fix)
    return ids


def own_epsilon(epsilon: float | None, distance: Distance) -> float:
    """Return the budget of an attack that uses it up: the one given, checked, or the distance's usual one."""
    found = check_epsilon(distance.usual if epsilon is None else epsilon, distance, minimal=False)
    assert found is not None  # only minimal attacks may do without
    return found


def budgets_of(epsilons: Any) -> list[Any] | None:
    """Return several budgets as a list, as they came; None for a single one.

    Raises:
        UsageError: None in it.
    """
    if isinstance(epsilons, str) or not isinstance(epsilons, Iterable) or getattr(epsilons, "ndim", 1) == 0:
        return None
    found = list(epsilons)
    if not found:
        raise UsageError("at least one epsilon", "an empty list", "pass [2 / 255, 8 / 255], say")
    return found


def check_epsilon(epsilon: float | None, distance: Distance, minimal: bool) -> float | None:
    """Return a budget that can be used.

    Raises:
        UsageError: None for an attack that needs one, no number, zero, below, not finite, or in Linf 1 and more, which
            is any picture, or so little that no value of 8 bits may change.
    """
    if epsilon is None:
        if not minimal:
            raise UsageError("a budget", "none", "pass epsilons, such as 8 / 255")
        return None
    if not isinstance(epsilon, float | int | np.number) or isinstance(epsilon, bool):
        raise UsageError(
            "an epsilon as a number", repr(epsilon), "pass 8 / 255, without quotes; several to run(epsilons=)"
        )
    if not 0 < epsilon < float("inf"):
        raise UsageError("a finite epsilon above 0", repr(epsilon), "pass 8 / 255 for linf, 0.5 for l2, say")
    if isinstance(distance, Linf) and epsilon >= 1:
        fix = "divide by 255: pictures are in [0, 1]"
        raise UsageError("an epsilon below 1, the whole range of a pixel", repr(epsilon), fix)
    if isinstance(distance, Linf) and distance.levels(float(epsilon)) < 1 / 255:
        fix = "pass 1 / 255 or more: pictures have 8 bits"
        raise UsageError("an epsilon of at least one level, 1 / 255", repr(epsilon), fix)
    return float(epsilon)


def mask_for(mask: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask bool (H, W) for pictures of that size.

    Args:
        mask: bool (H, W), or a box (x0, y0, x1, y1), half-open, in pixels.
        size: (height, width).

    Raises:
        UsageError: Another shape, a box that is empty, reaches out of the picture or is not of whole numbers, or
            nothing that may change.
    """
    if isinstance(mask, Sequence) and len(mask) == 4 and all(np.ndim(one) == 0 for one in mask):
        return _box(mask, size)
    found = np.asarray(mask)
    if found.dtype != bool or found.shape != tuple(size):
        got = f"{found.dtype} {found.shape}"
        raise UsageError(f"a mask bool {tuple(size)} or a box (x0, y0, x1, y1)", got, "pass one value for each pixel")
    if not found.any():
        raise UsageError("a mask with pixels that may change", "none that is True", "set some of them to True")
    return found


def _box(box: Sequence[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of a box."""
    height, width = size
    try:
        x0, y0, x1, y1 = corners = [int(number) for number in box]
    except (TypeError, ValueError, OverflowError):
        corners = []
    if corners != list(box):
        raise UsageError("a box (x0, y0, x1, y1) of whole numbers", repr(tuple(box)), "round them to pixels")
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        expected = f"a box (x0, y0, x1, y1) inside (0, 0, {width}, {height}), with x0 < x1 and y0 < y1"
        raise UsageError(expected, repr(tuple(corners)), "x counts to the right, y down; x1 and y1 are outside the box")
    found = np.zeros(size, bool)
    found[y0:y1, x0:x1] = True
    return found
