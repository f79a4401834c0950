"""What `striate segment predict` makes of pictures and videos: masks, drawings, tables of areas and of objects."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..core.checks import fraction
from ..core.datasets.mask_files import save_mask
from ..core.images import WRITTEN, load_image, save_image
from ..core.video import frame_rate, is_video, read_frames, write_video
from ..segmentation import LabelMap, Segmenter
from ..segmentation.counting import counted_class, objects_of
from ..segmentation.instance_overlay import draw_instances
from ..segmentation.instances import COLUMNS, Instances, find_instances
from ..segmentation.stains import haematoxylin
from .console import note
from .runs import given

AREAS = ("source", "frame", "seconds", "label", "class_id", "pixels", "share")
OBJECTS = ("source", "frame", "seconds", "label", *COLUMNS)
TELL_SECONDS = 10.0
Areas = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Result:
    """What one picture, or the pictures of one video, hold.

    Attributes:
        source: Path of the picture or video.
        areas: "pixels" and "share" by class; of a video over all pictures looked at.
        fields: More for JSON.
        files: What was written, by kind.
        objects: Number and areas of the objects, if they were counted; of a video, numbers by picture.
    """

    source: str
    areas: Areas
    fields: dict[str, Any]
    files: dict[str, Path] = field(default_factory=dict)
    objects: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        files = {kind: str(path) for kind, path in self.files.items()}
        return {**self.fields, "source": self.source, "areas": self.areas, "files": files, "objects": self.objects}

    def summary(self) -> str:
        """Say in one line what there is, the largest class first."""
        largest = sorted(self.areas.items(), key=lambda pair: -pair[1]["share"])
        parts = [f"{name} {100 * area['share']:.1f} %" for name, area in largest if area["pixels"]]
        if "frames" in self.fields:
            parts.insert(0, f"{self.fields['frames']} pictures")
        if self.objects is not None:
            parts.append(f"{self.objects['count']:g} {self.objects['label']} objects")
        return ", ".join(parts)


class Table:
    """A CSV file that grows line by line, so that a long video needs no memory and an interruption loses nothing."""

    def __init__(self, file: IO[str], columns: Sequence[str]) -> None:
        self.writer = csv.DictWriter(file, columns, lineterminator="\n")
        self.writer.writeheader()

    def add(self, place: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Append rows of one picture."""
        self.writer.writerows({**place, **row} for row in rows)


class Writer:
    """Segments pictures and videos and writes what was asked for; a context manager.

    Args:
        segmenter: With weights.
        folder: Where files go, made if it is missing; None writes none.
        inputs: All pictures and videos of the call, which are never written over.
        overlay: Draw on the pictures: classes, or the objects where they are counted.
        opacity: Of drawings; None is the Python API's.
        csv: Write areas.csv, and objects.csv where objects are counted.
        objects: Keywords of `objects_of`; None counts none.
        haematoxylin: Look at the blue stain only; see `segmentation.stains`.
        views: Keywords of `Segmenter.predict`.

    Raises:
        UsageError: An opacity, a class or keywords of objects that cannot be; before any picture is opened.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        folder: Path | None,
        inputs: Sequence[Path],
        *,
        overlay: bool = False,
        opacity: float | None = None,
        csv: bool = False,
        objects: dict[str, Any] | None = None,
        haematoxylin: bool = False,
        **views: Any,
    ) -> None:
        self.segmenter, self.folder, self.overlay, self.csv, self.views = segmenter, folder, overlay, csv, views
        self.drawing, self.objects = given(opacity=opacity), None if objects is None else given(**objects)
        self.haematoxylin = haematoxylin
        if opacity is not None:
            fraction("opacity", opacity)
        if self.objects is not None:
            self.objects["name"] = counted_class(segmenter.names, self.objects.get("name"))
            find_instances(np.zeros((1, 1), bool), **{k: v for k, v in self.objects.items() if k != "name"})
        self.taken = {path.resolve() for path in inputs}
        self.open_files = ExitStack()
        self.written: dict[str, tuple[Path, Table]] = {}

    def __enter__(self) -> Self:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            wanted = {"areas": AREAS, **({"objects": OBJECTS} if self.objects is not None else {})}
            for name, columns in wanted.items() if self.csv else ():
                path = self._free(f"{name}", ".csv")
                file = self.open_files.enter_context(path.open("w", newline="", encoding="utf-8"))
                self.written[name] = (path, Table(file, columns))
        return self

    def __exit__(self, *_: object) -> None:
        self.open_files.close()

    def tables(self) -> dict[str, str]:
        """Return the paths of the tables by name."""
        return {name: str(path) for name, (path, _) in self.written.items()}

    def run(self, path: Path, every: int = 1) -> Result:
        """Segment a picture or, named like one, a video, of which the first of `every` pictures is looked at.

        Raises:
            ImageError: A file that cannot be read.
        """
        return self._video(path, every) if is_video(path) else self._picture(path)

    def _picture(self, path: Path) -> Result:
        found = self._look(path)
        instances = self._count(found, {"source": str(path), "frame": "", "seconds": ""})
        files = {}
        if self.folder is not None:
            files["mask"] = self._free(f"{path.stem}-mask", ".png")
            found.save(files["mask"])
        if self.folder is not None and self.overlay:
            suffix = path.suffix.lower() if path.suffix.lower() in WRITTEN else ".png"
            files["overlay"] = self._free(f"{path.stem}-overlay", suffix)
            save_image(self._draw(found, instances, load_image(path), legend=True), files["overlay"])
        fields = found.to_dict()
        objects = None
        if instances is not None:
            objects = {"label": self._counted, **instances.summary(), "rows": instances.to_rows()}
        return Result(str(path), fields["areas"], fields, files, objects)

    def _video(self, path: Path, every: int) -> Result:
        rate, size = frame_rate(path) / every, (0, 0)
        pixels, counts = np.zeros(len(self.segmenter.names), np.int64), list[int]()
        with ExitStack() as stack:
            files, show = self._video_files(path, rate, stack)
            told = time.monotonic()
            for frame in read_frames(path, every=every):
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    note(f"{path}: at {frame.seconds:.1f} s, {len(counts)} pictures done")
                found = self._look(frame.image)
                place = {"source": str(path), "frame": frame.number, "seconds": f"{frame.seconds:.3f}"}
                instances = self._count(found, place)
                if "masks" in files:
                    save_mask(found.labels, files["masks"] / f"{frame.number:06d}.png", found.colours)
                if show is not None:
                    show(self._draw(found, instances, frame.image, legend=False))
                pixels += list(found.counts().values())
                counts.append(0 if instances is None else len(instances))
                size = found.size
        shares = (pixels / max(1, pixels.sum())).round(6).tolist()
        triples = zip(self.segmenter.names, pixels.tolist(), shares, strict=True)
        areas = {name: {"pixels": number, "share": share} for name, number, share in triples}
        fields = {"height": size[0], "width": size[1], "frames": len(counts), "rate": rate}
        objects = None
        if self.objects is not None:
            numbers = {"count": round(float(np.mean(counts)), 2), "smallest": min(counts), "largest": max(counts)}
            objects = {"label": self._counted, **numbers}
        return Result(str(path), areas, fields, files, objects)

    def _video_files(
        self, path: Path, rate: float, stack: ExitStack
    ) -> tuple[dict[str, Path], Callable[[NDArray[np.uint8]], None] | None]:
        """Make the folder of masks and open the drawn video; return the paths, and what appends a drawn picture."""
        if self.folder is None:
            return {}, None
        files = {"masks": self._free(f"{path.stem}-masks", "", fresh=True)}
        files["masks"].mkdir()
        if not self.overlay:
            return files, None
        files["overlay"] = self._free(f"{path.stem}-overlay", ".mp4")
        return files, stack.enter_context(write_video(files["overlay"], rate))

    def _look(self, source: Path | NDArray[np.uint8]) -> LabelMap:
        if not self.haematoxylin:
            return self.segmenter.predict(source, **self.views)
        found = self.segmenter.predict(haematoxylin(load_image(source)), **self.views)
        return replace(found, source=str(source) if isinstance(source, Path) else None)

    @property
    def _counted(self) -> str:
        assert self.objects is not None
        return str(self.objects["name"])

    def _count(self, found: LabelMap, place: dict[str, Any]) -> Instances | None:
        """Find the objects that were asked for, and append to the tables."""
        instances = None if self.objects is None else objects_of(found, **self.objects)
        if "areas" in self.written:
            areas = enumerate(found.areas().items())
            rows = [{"label": name, "class_id": i, **a, "share": f"{a['share']:.6f}"} for i, (name, a) in areas]
            self.written["areas"][1].add(place, rows)
        if "objects" in self.written and instances is not None:
            self.written["objects"][1].add({**place, "label": self._counted}, instances.to_rows())
        return instances

    def _draw(
        self, found: LabelMap, instances: Instances | None, image: NDArray[np.uint8], *, legend: bool
    ) -> NDArray[np.uint8]:
        if instances is not None:
            return draw_instances(image, instances, **self.drawing)
        return found.draw_on(image, legend=legend, **self.drawing)

    def _free(self, stem: str, suffix: str, *, fresh: bool = False) -> Path:
        """Return a name in the folder that nothing of this call has (two folders may hold pictures of one name).

        With `fresh` nothing on the disk has it either: a folder would mix the masks of two videos.
        """
        assert self.folder is not None
        number, path = 1, self.folder / f"{stem}{suffix}"
        while path.resolve() in self.taken or (fresh and path.exists()):
            number += 1
            path = self.folder / f"{stem}-{number}{suffix}"
        self.taken.add(path.resolve())
        return path
