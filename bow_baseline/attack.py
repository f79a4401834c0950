"""Attacks on a model, and what tells one from another: its function, its settings, what it closes over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.checks import DataError, UsageError
from .options import plain

Attack = Callable[[Any, NDArray[np.uint8], int, np.random.Generator], NDArray[np.uint8]]
"""(model, picture, its class id, generator) -> picture uint8 of the same size that the model may get wrong."""


def attacked(
    attack: Attack, name: str, model: Any, image: NDArray[np.uint8], class_id: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Attack a model with one picture: uint8 (H, W, 3), of the picture's size.

    Raises:
        DataError: What came back is no picture of the same size.
    """
    fooled = attack(model, image.copy(), class_id, rng)
    if not isinstance(fooled, np.ndarray) or fooled.shape != image.shape or fooled.dtype != np.uint8:
        got = f"{type(fooled).__name__} {np.shape(fooled)}"
        raise DataError(f"uint8 {image.shape} from the attack {name!r}", got, "return a picture of that size")
    return fooled


def method_on(attack: Attack, name: str, model: Any) -> str:
    """Return what an attack does to a model: what its `method_on(model)` says where it has one, else its name."""
    told = getattr(attack, "method_on", None)
    return name if told is None else str(told(model))


def identity(name: str, attack: Attack) -> Any:
    """Return as JSON what an attack depends on, so that the cache takes no other one for it.

    Of a function its name, its code, its defaults and what it closes over; of a partial the same and its arguments; of
    an object its class and attributes. An attribute `options` of JSON values stands for whatever an attack holds.

    Args:
        name: What it is called in the comparison.
        attack: See `Attack`.

    Raises:
        UsageError: It holds something that JSON cannot.

    Example:
        >>> identity("none", partial(max, 1))["arguments"]
        [1]
    """
    try:
        told = json.dumps(plain(_told(attack)), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        expected = f"an attack {name!r} that can be told from others by plain values"
        fix = "give it an attribute `options`, a dictionary of JSON values that says what it does"
        raise UsageError(expected, str(error), fix) from error
    return json.loads(told)


def _told(attack: Any) -> dict[str, Any]:
    if isinstance(attack, partial):
        return {"partial": _told(attack.func), "arguments": attack.args, "keywords": attack.keywords}
    if isinstance(attack, MethodType):
        return {"method": _told(attack.__func__), "of": _told(attack.__self__)}
    kind = type(attack) if _is_object(attack) else attack
    found: dict[str, Any] = {"name": f"{kind.__module__}.{kind.__qualname__}"}
    if isinstance(attack, FunctionType):
        found["code"] = hashlib.sha256(repr(_instructions(attack.__code__)).encode()).hexdigest()[:16]
    options = getattr(attack, "options", None)
    return {**found, "options": _held(attack) if options is None else options}


def _is_object(attack: Any) -> bool:
    """Whether it is an instance rather than a function, built-in ones and classes among them."""
    return not hasattr(attack, "__qualname__")


def _held(attack: Any) -> dict[str, Any]:
    """Return what an attack carries along: defaults and closed over values of a function, attributes of an object."""
    if _is_object(attack):
        return dict(vars(attack))
    if not isinstance(attack, FunctionType):
        return {}
    values = [cell.cell_contents for cell in attack.__closure__ or ()]
    held = dict(zip(attack.__code__.co_freevars, values, strict=True))
    return {"closure": {name: _value(one) for name, one in held.items()}, "defaults": attack.__defaults__ or (),
            "keyword defaults": attack.__kwdefaults__ or {}}  # fmt: skip


def _value(value: Any) -> Any:
    return _told(value) if isinstance(value, FunctionType | partial | MethodType) else value


def _instructions(code: CodeType) -> list[Any]:
    """Return what a function does, without where it stands: instructions, names and constants."""
    constants = [_instructions(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, code.co_varnames, constants]


def _constant(value: Any) -> str:
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)
