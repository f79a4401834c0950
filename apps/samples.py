"""Sample pictures for the page: rendered by the project, or bundled with scikit-image (no download for either)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..core.checks import unknown
from ..core.datasets.synthetic import blood_smear, shapes_scene


@dataclass(frozen=True)
class Sample:
    """One sample picture.

    Attributes:
        key: Name in links and file names.
        title: Name on the page.
        alt: What the picture shows, for those who do not see it.
        source: Where it comes from.
    """

    key: str
    title: str
    alt: str
    source: str

    @property
    def file_name(self) -> str:
        """Name under which `striate samples` writes it."""
        return f"{self.key}.png"

    def image(self) -> NDArray[np.uint8]:
        """Return the picture, uint8 (H, W, 3) RGB. It is shared: do not write into it."""
        return _render(self.key)


RENDERED = "rendered by Striate (core.datasets.synthetic)"
BUNDLED = "bundled with scikit-image"

SAMPLES: tuple[Sample, ...] = (
    Sample("smear-1", "Smear 1", "A rendered blood smear: red cells, a few white cells and platelets", RENDERED),
    Sample("smear-2", "Smear 2", "A second rendered blood smear", RENDERED),
    Sample("smear-3", "Smear 3", "A third rendered blood smear", RENDERED),
    Sample("shapes", "Shapes", "Coloured circles, squares and triangles", RENDERED),
    Sample("stained-tissue", "Tissue", "Immunohistochemical staining of colon tissue", BUNDLED),
    Sample("coffee", "Coffee", "A cup of coffee on a wooden table", BUNDLED),
    Sample("cat", "Cat", "The face of a cat", BUNDLED),
    Sample("astronaut", "Astronaut", "Portrait of the astronaut Eileen Collins", BUNDLED),
)


def sample(key: str) -> Sample:
    """Return a sample by its key.

    Raises:
        UsageError: there is no such sample.

    Example:
        >>> sample("shapes").image().shape[2]
        3
    """
    known = {entry.key: entry for entry in SAMPLES}
    if key not in known:
        raise unknown("sample", key, known)
    return known[key]


@cache
def _render(key: str) -> NDArray[np.uint8]:
    image = np.ascontiguousarray(_RECIPES[key]())
    image.setflags(write=False)
    return image


def _photograph(name: str) -> NDArray[np.uint8]:
    from skimage import data  # part of the `app` extra, needed by these samples alone

    image: NDArray[np.uint8] = getattr(data, name)()
    return image


_RECIPES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "smear-1": lambda: blood_smear(seed=1)[0],
    "smear-2": lambda: blood_smear(seed=2)[0],
    "smear-3": lambda: blood_smear(seed=3)[0],
    "shapes": lambda: shapes_scene(seed=0, size=(480, 640))[0],
    "stained-tissue": lambda: _photograph("immunohistochemistry"),
    "coffee": lambda: _photograph("coffee"),
    "cat": lambda: _photograph("cat"),
    "astronaut": lambda: _photograph("astronaut"),
}
