"""The slow stages over many pictures, through joblib: whoever sets `joblib.parallel_config` says where they run.

    with joblib.parallel_config("dask"):            # or "loky", "threading", "ray"
        classifier.fit(data)

Every picture is read and encoded by itself and the results come back in order, so that they are the same however the
work is spread. Only batches of paths (or of pictures that were given as arrays) travel there and vectors back.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from ..core.atomic import atomic_write
from ..core.checks import DataError, ImageError, UsageError
from ..core.decode import Budget, decode
from ..core.images import MAX_BYTES, MAX_PIXELS, MAX_SECONDS, Source, load_image, read_file
from .bag import Bag
from .descriptors import Describer
from .options import check_jobs

BATCH = 16
"""Pictures of a task: half a second of work, against which sending it costs nothing."""
PER_PICTURE = 50
"""Descriptors drawn of a picture where there are pictures enough: for 100,000 of them 2,000 pictures are described."""

Floats = NDArray[np.float32]
Pictures = Sequence[Source] | NDArray[np.uint8]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Extracted:
    """What came of a batch of pictures.

    Attributes:
        indices: int64 (n,), those of the pictures that could be read, ascending.
        vectors: float32 (n, width).
        faults: A sentence for each of the others.
    """

    indices: NDArray[np.int64]
    vectors: Floats
    faults: list[str]


def extract(
    bag: Bag,
    sources: Pictures,
    *,
    channels: str = "rgb",
    jobs: int | None = None,
    cache: str | Path | None = None,
    strict: bool = False,
) -> Iterator[Extracted]:
    """Make the vectors of pictures, batch by batch and in their order; memory holds a few batches at a time.

    Args:
        bag: With a fitted encoder.
        sources: Whatever `load_image` takes.
        channels: Order of arrays, "rgb" or "bgr".
        jobs: How many tasks at a time; None leaves it to `joblib.parallel_config`, and is one without it.
        cache: Folder where vectors are kept by the content of their picture and all that the bag is made of, and taken
            from; on several machines one that all of them see. None keeps nothing.
        strict: The first picture that cannot be read is an error, rather than a fault in the result.

    Raises:
        ImageError: With `strict`.
        UsageError: No such folder.
    """
    check_jobs(jobs)
    folder = None if cache is None else check_folder(cache)
    digest = bag.digest() if folder is not None else ""
    batches = (
        [(i, sources[i]) for i in range(start, min(start + BATCH, len(sources)))]
        for start in range(0, len(sources), BATCH)
    )
    return _spread(_encode, batches, (bag, channels, folder, digest, strict), jobs)


def sample(
    describer: Describer,
    sources: Pictures,
    *,
    count: int,
    seed: int = 0,
    jobs: int | None = None,
    out: Floats | None = None,
) -> Floats:
    """Draw descriptors of pictures in random order, about as many from each, until there are `count`.

    Pictures that cannot be read are left out: `extract` comes to them and names them.

    Args:
        describer: Measures pictures.
        sources: Whatever `load_image` takes.
        count: How many descriptors; fewer come back where the pictures have fewer.
        seed: Of pictures and descriptors.
        jobs: See `extract`.
        out: float32 (count, D) to draw into, such as a memory map; None makes it.

    Returns:
        float32 (count or fewer, D), the first rows of `out`.

    Raises:
        DataError: No picture has a descriptor.
    """
    found = np.empty((count, describer.dimension), np.float32) if out is None else out
    left, drawn = np.random.default_rng(seed).permutation(len(sources)).tolist(), 0
    while drawn < count and left:
        pictures = min(len(left), -(-(count - drawn) // PER_PICTURE))
        now, left = left[:pictures], left[pictures:]
        share = -(-(count - drawn) // pictures)
        batches = ([(i, sources[i]) for i in now[start : start + BATCH]] for start in range(0, pictures, BATCH))
        for part in _spread(_draw, batches, (describer, share, seed), jobs):
            rows = part[: count - drawn]
            found[drawn : drawn + len(rows)] = rows
            drawn += len(rows)
    if drawn == 0:
        fix = "choose smaller bin_sizes, a lower contrast, or other pictures"
        raise DataError("pictures with descriptors", f"none in {len(sources)} pictures", fix)
    return found[:drawn]


def check_folder(folder: str | Path) -> Path:
    """Return a folder that is there.

    Raises:
        UsageError: It is not.
    """
    if not Path(folder).is_dir():
        raise UsageError("the cache to be an existing folder", f"{folder}", "create it first, or leave cache out")
    return Path(folder)


def content(source: Source, channels: str = "rgb") -> tuple[bytes, Callable[[], NDArray[np.uint8]]]:
    """Return what tells pictures apart, a file's bytes or shape and pixels of any other, and what decodes just that.

    A file is read once: what is hashed is what is decoded.

    Raises:
        ImageError: A file that cannot be read, or from what decodes it, one that is damaged.
    """
    if isinstance(source, str | Path) and channels == "rgb":
        budget = Budget(MAX_PIXELS, MAX_BYTES, time.monotonic() + MAX_SECONDS, MAX_SECONDS)
        data = read_file(str(source), budget, MAX_BYTES + 1)
        return data, lambda: decode(data, budget, str(source))
    pixels = load_image(source, channels=channels)
    return repr(pixels.shape).encode() + pixels.tobytes(), lambda: pixels


def _spread(
    function: Callable[..., Result], batches: Iterator[list[Any]], arguments: tuple[Any, ...], jobs: int | None
) -> Iterator[Result]:
    """Call function(batch, *arguments) wherever joblib is told to; results in the batches' order."""
    calls = (joblib.delayed(function)(batch, *arguments) for batch in batches)
    return iter(joblib.Parallel(n_jobs=jobs, return_as="generator")(calls))


def _encode(
    batch: list[tuple[int, Source]], bag: Bag, channels: str, folder: Path | None, digest: str, strict: bool
) -> Extracted:
    indices, vectors, faults = [], [], []
    for index, source in batch:
        try:
            vectors.append(_vector(bag, source, channels, folder, digest))
            indices.append(index)
        except ImageError as error:
            if strict:
                raise
            faults.append(f"unreadable, left out: {error.got}")
    rows = np.stack(vectors) if vectors else np.zeros((0, bag.width), np.float32)
    return Extracted(np.array(indices, np.int64), rows, faults)


def _vector(bag: Bag, source: Source, channels: str, folder: Path | None, digest: str) -> Floats:
    if folder is None:
        return bag.vector(load_image(source, channels=channels))
    data, picture = content(source, channels)
    key = hashlib.sha256(f"{digest} rgb ".encode() + data).hexdigest()
    path = folder / f"{key}.npy"
    kept = _kept(path, bag.width)
    if kept is not None:
        return kept
    vector = bag.vector(picture())
    stream = io.BytesIO()
    np.save(stream, vector, allow_pickle=False)
    atomic_write(path, lambda file: file.write(stream.getvalue()))
    return vector


def _kept(path: Path, width: int) -> Floats | None:
    """Read a vector that was kept; one whose file is missing or damaged is made again."""
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(vector, np.ndarray) and vector.shape == (width,) and vector.dtype == np.float32
    return vector if fits and np.isfinite(vector).all() else None


def _draw(batch: list[tuple[int, Source]], describer: Describer, share: int, seed: int) -> Floats:
    """Draw descriptors of each picture; the draw depends on the picture's number and not on who draws."""
    parts = [np.zeros((0, describer.dimension), np.float32)]
    for index, source in batch:
        try:
            values = describer.describe(load_image(source)).values
        except ImageError:
            continue
        chosen = np.random.default_rng((seed, index)).permutation(len(values))[:share]
        parts.append(values[np.sort(chosen)])
    return np.concatenate(parts)
