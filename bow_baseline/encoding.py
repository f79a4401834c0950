"""All encoders by name."""

from __future__ import annotations

from typing import Any

from ..core.checks import UsageError, unknown
from .encoder import Encoder
from .fisher import FisherEncoder
from .grid import GridEncoder
from .vlad import VladEncoder
from .word_encoding import HardEncoder, LlcEncoder, SoftEncoder

__all__ = [
    "ENCODERS", "Encoder", "FisherEncoder", "GridEncoder", "HardEncoder", "LlcEncoder", "SoftEncoder", "VladEncoder",
    "make_encoder",
]  # fmt: skip

ENCODERS: dict[str, type[Encoder]] = {
    "hard": HardEncoder,
    "soft": SoftEncoder,
    "llc": LlcEncoder,
    "vlad": VladEncoder,
    "fisher": FisherEncoder,
    "grid": GridEncoder,
}


def make_encoder(name: str, **keywords: Any) -> Encoder:
    """Make an encoder, not fitted yet.

    Raises:
        UsageError: An unknown name, a keyword that it does not know, or one out of range.
    """
    if name not in ENCODERS:
        raise unknown("encoder", name, ENCODERS)
    try:
        return ENCODERS[name](**keywords)
    except TypeError as error:
        raise UsageError(f"keywords of the encoder {name!r}", str(error), "leave the unknown one out") from error
