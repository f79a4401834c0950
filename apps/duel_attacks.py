"""Attacks of `striate compare`, written as text: each contender is attacked by what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core.checks import UsageError
from .cli_attack import make
from .duel import ALL, parts_of

if TYPE_CHECKING:
    from ..adversarial.attack import Attack
    from ..adversarial.contest import Contest

BLACK_BOX = "hopskipjump"
SHARED = ("linf", "l2")
"""Distances that a black box attack takes over from the attack that it stands in for."""


def parse_attacks(
    texts: Sequence[str], black_box: str | None = None, attacked: int | None = None
) -> dict[str, Contest]:
    """Read attacks for `Comparison(attacks=...)`, by the text that they were given as.

    Args:
        texts: `NAME[:option=value,...]` each, such as "pgd:epsilon=8/255,steps=20".
        black_box: Likewise, for models that do not give what an attack needs; None is `BLACK_BOX`. It takes the
            attack's distance and budget where it knows them and none are given.
        attacked: Number of pictures; only checked to be None where nothing attacks.

    Raises:
        UsageError: An unknown name or option, a value out of range, a black box attack that needs gradients, or
            settings of attacks without an attack.
    """
    if not texts:
        for option, value in (("--black-box", black_box), ("--attacked", attacked)):
            if value is not None:
                raise UsageError(f"--attack with {option}", f"{option} {value} alone", "add --attack pgd, say")
        return {}
    from ..adversarial.contest import Contest
    from ..bow_baseline.provenance import code_digest

    about, stand_in = {"code": code_digest(rooms=("adversarial",))}, black_box or BLACK_BOX
    made = {text: _made("--attack", text) for text in texts}
    return {text: Contest(one, black_box=_stand_in(one, stand_in), about=about) for text, one in made.items()}


def parse_transfers(texts: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return names of contenders as they are, or all of them for "all"; `Comparison` checks them."""
    return list(names) if ALL in texts else list(texts)


def _made(option: str, text: str, **usual: Any) -> Attack:
    """Make an attack of text, and of settings that hold where the text gives none."""
    label, name, given = parts_of(option, text, "steps=20")
    if label:
        raise UsageError(f"{option} as NAME[:option=value,...]", repr(text), f"write {name}:steps=20, say")
    rest = {key: value for key, value in usual.items() if key not in given}
    return make(name, [f"{key}={value}" for key, value in given.items()], **rest)


def _stand_in(attack: Attack, text: str) -> Attack:
    """Return the black box attack, in the distance and with the budget of the attack where it can be."""
    from ..adversarial.attacks import ATTACKS

    found = _made("--black-box", text)
    if found.needs == "gradients":
        known = ", ".join(name for name, one in ATTACKS.items() if one.needs != "gradients")
        raise UsageError("an attack without gradients for --black-box", repr(text), f"choose among {known}")
    given = parts_of("--black-box", text, "steps=20")[2]
    knows = "distance" in inspect.signature(type(found)).parameters
    if not knows or "distance" in given or attack.distance.name not in SHARED or attack.epsilon is None:
        return found
    return _made("--black-box", text, distance=attack.distance.name, epsilon=attack.epsilon)
