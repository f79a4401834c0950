"""The attacks by name, and one made of a name and options."""

from __future__ import annotations

import inspect
from typing import Any

from ..core.checks import unknown
from .apgd import Apgd
from .attack import Attack
from .carlini_wagner import CarliniWagner
from .deepfool import DeepFool
from .ensemble import Ensemble
from .fab import Fab
from .fgsm import Fgsm
from .hopskipjump import HopSkipJump
from .noise import Noise
from .one_pixel import OnePixel
from .pgd import Pgd
from .square import Square
from .szegedy import Szegedy
from .universal import Universal

ATTACKS: dict[str, type[Attack]] = {
    "noise": Noise,
    "fgsm": Fgsm,
    "pgd": Pgd,
    "apgd": Apgd,
    "ensemble": Ensemble,
    "deepfool": DeepFool,
    "carlini-wagner": CarliniWagner,
    "fab": Fab,
    "szegedy": Szegedy,
    "square": Square,
    "hopskipjump": HopSkipJump,
    "one-pixel": OnePixel,
    "universal": Universal,
}
"""By the name that the command line knows."""


def make_attack(name: str, **options: Any) -> Attack:
    """Return an attack by name.

    Args:
        name: A key of `ATTACKS`.
        options: Keywords of its class.

    Raises:
        UsageError: An unknown name or option, or a value out of range.

    Example:
        >>> make_attack("pgd", steps=10).steps
        10
    """
    if name not in ATTACKS:
        raise unknown("attack", name, ATTACKS)
    known = inspect.signature(ATTACKS[name]).parameters
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    return ATTACKS[name](**options)
