"""What a doctor's findings are, and pictures that stand in more than one place.

Pictures are compared by what they show: the digest of their pixels finds copies that were renamed or saved again
without loss; a difference hash of 64 bits (Krawetz 2013) finds those that were rescaled or compressed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth a look.

    Attributes:
        level: "error" (training or its figures would be wrong) or "note".
        kind: Such as "shared between splits".
        text: One sentence.
        sources: Pictures it is about, at most twenty.
    """

    level: str
    kind: str
    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Looked:
    """What was seen of one picture."""

    source: str
    split: str
    label: str
    size: tuple[int, int]
    grey: bool
    pixels: str
    shape: int


def digests(image: NDArray[np.uint8]) -> tuple[str, int]:
    """Return the digest of a picture's pixels, and the 64 signs of its horizontal differences at 8 x 9."""
    digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA).astype(int)
    signs = np.packbits((small[:, 1:] > small[:, :-1]).ravel())
    return digest, int.from_bytes(signs.tobytes(), "big")


def finding(level: str, kind: str, text: str, sources: list[str]) -> Finding:
    """Make a finding that names at most twenty pictures."""
    return Finding(level, kind, text, tuple(sources[:20]))


def copies(seen: list[Looked]) -> list[Finding]:
    """Find pictures that are there twice: in two splits, under two labels, in one split."""
    findings = []
    exact = _groups((look.pixels, look) for look in seen)
    for kind, level, differ in (
        ("shared between splits", "error", lambda looks: len({look.split for look in looks}) > 1),
        ("one picture, two labels", "error", lambda looks: len({look.label for look in looks}) > 1),
        ("duplicates", "note", lambda looks: len({look.split for look in looks}) == 1),
    ):
        groups = [looks for looks in exact if differ(looks)]
        if groups:
            sources = [" = ".join(look.source for look in looks) for looks in groups]
            findings.append(finding(level, kind, f"{len(groups)} pictures stand in more than one place", sources))
    near = [g for g in _groups((look.shape, look) for look in seen) if len({look.split for look in g}) > 1]
    near = [looks for looks in near if len({look.pixels for look in looks}) > 1 and looks[0].shape]
    if near:
        sources = [" ~ ".join(look.source for look in looks[:2]) for looks in near]
        text = f"{len(near)} pictures look like one of another split: copies in another size, or much alike"
        findings.append(finding("note", "alike between splits", text, sources))
    return findings


def _groups(pairs: Iterable[tuple[object, Looked]]) -> list[list[Looked]]:
    found: dict[object, list[Looked]] = defaultdict(list)
    for key, look in pairs:
        found[key].append(look)
    return [looks for looks in found.values() if len(looks) > 1]
