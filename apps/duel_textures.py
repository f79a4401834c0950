"""The texture test of `striate compare`: test pictures repainted, by style transfer, with another one's texture."""

from __future__ import annotations

import hashlib
import inspect
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.checks import DataError, UsageError, unknown
from .cli_detect import check_device
from .duel import parts_of, value_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..style import StyleTransfer

SIZE, STEPS = 128, 20
LEAST = 48
"""Pixels of the shorter side of a painting: three of the deepest maps that are compared."""
OURS = ("size", "strength")
"""Settings of `StyleTransfer` that the texture test decides about: its own size, and strength by severity."""


class Texture:
    """(picture, severity, generator) -> the picture as painted with another one's texture, what it shows kept.

    Geirhos et al. 2019, ImageNet-trained CNNs are biased towards texture, section 2: where texture tells nothing any
    more, what is still named right is known by its shape. Differs from their Stylized-ImageNet in the Gram matrices of
    Gatys et al. 2016 for AdaIN, in one texture for all pictures for many paintings, and in severities: 1 to 5 are
    strengths from 0.2 to 1. The generator is not used.

    Args:
        picture: Whose texture is taken, uint8 (H, W, 3).
        about: What it is called, for the comparison's config.
        size: Longer side of the paintings, at most; larger pictures are painted at it and enlarged, which also blurs
            them. 0 paints each at its own.
        settings: More keywords of `StyleTransfer`.

    Attributes:
        options: All settings, a part of the comparison's cache key.

    Raises:
        UsageError: A setting that does not exist or is out of range.
    """

    def __init__(self, picture: NDArray[np.uint8], about: str, *, size: int = SIZE, **settings: Any) -> None:
        from ..bow_baseline.provenance import code_digest

        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise UsageError("a size of 0 or more in --texture", repr(size), f"write size={SIZE}, or 0 for no limit")
        check_device(str(settings.get("device", "cpu")))
        self.picture, self.size, self.settings = picture, size, {"steps": STEPS, **settings}
        self._painters: dict[tuple[int, int], StyleTransfer] = {}
        self._features: Any = None
        self._made(LEAST, 5)
        digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()[:16]
        self.options = {"picture": about, "pixels": digest, "size": size, **self.settings,
                        "code": code_digest(rooms=("style",))}  # fmt: skip

    def __call__(self, image: NDArray[np.uint8], severity: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the repainted picture.

        Raises:
            DataError: The painting came to no end, as with weights that make its loss infinite.
        """
        from ..core.images import resize

        height, width = image.shape[:2]
        painting = self._painter(self._side(height, width), severity).transform(image)
        if not painting.finished:
            fix = "choose smaller weights, or leave them out"
            raise DataError("a painting with all its steps from --texture", painting.notice, fix)
        return resize(painting.image, (height, width))

    def _side(self, height: int, width: int) -> int:
        """Return the longer side of a painting: no more than asked for, but enough for the features."""
        longer, shorter = max(height, width), min(height, width)
        return max(min(longer, self.size or longer), math.ceil(LEAST * longer / shorter))

    def _painter(self, side: int, severity: int) -> StyleTransfer:
        """Return what paints pictures of a longer side at a severity; its Gram matrices are measured once."""
        if (side, severity) not in self._painters:
            made = self._made(side, severity)
            if self._features is not None:
                made.features = self._features
            self._painters[side, severity] = made.fit(self.picture)
            self._features = made.features_
        return self._painters[side, severity]

    def _made(self, side: int, severity: int) -> StyleTransfer:
        from ..style import StyleTransfer

        known = [name for name in inspect.signature(StyleTransfer).parameters if name not in OURS]
        for name in self.settings:
            if name not in known:
                raise unknown("option of --texture", name, ["size", *known])
        try:
            return StyleTransfer(size=side, strength=severity / 5, **self.settings)
        except TypeError as error:
            fix = "write numbers as steps=20; `striate style --help` says what each option takes"
            raise UsageError("options of --texture of the right types", str(error), fix) from error


def parse_textures(texts: Sequence[str], taken: Collection[str] = ()) -> dict[str, Texture]:
    """Read textures for `Comparison(corruptions=...)`.

    Args:
        texts: `[LABEL=]PATTERN[:option=value,...]` each: strokes, mosaic, woodcut, or the path of a picture.
        taken: Names of other corruptions.

    Returns:
        By label: that which is given, or "texture-" and the name of the pattern or file.

    Raises:
        UsageError: An unknown pattern or option, or two of one label.
        ImageError: A file that is no picture.
    """
    found: dict[str, Texture] = {}
    for text in texts:
        label, name, given = ("", text, {}) if _is_file(text) else parts_of("--texture", text, "steps=20")
        label = label or "texture-" + re.sub(r"[^\w.-]+", "-", Path(name).stem)
        if not re.fullmatch(r"[\w.-]+", label):
            fix = f"write mine={name}, say"
            raise UsageError("a label of letters, digits, dots and dashes for --texture", repr(label), fix)
        if label in found or label in taken:
            raise UsageError("a label for each --texture", f"{label!r} twice", f"write mine={name} to give it another")
        options = {key: value_of(value) for key, value in given.items()}
        if "about" in options or "picture" in options:
            raise UsageError("options of --texture", repr(text), f"write {name}:steps=20, say")
        found[label] = Texture(_picture(name), name, **options)
    return found


def _picture(name: str) -> NDArray[np.uint8]:
    from ..core.images import load_image
    from ..style.patterns import PATTERNS, pattern

    if name in PATTERNS:
        return pattern(name)
    if not _is_file(name):
        raise unknown("pattern, or the path of a picture,", name, PATTERNS)
    return load_image(name)


def _is_file(text: Any) -> bool:
    return isinstance(text, str) and Path(text).is_file()
