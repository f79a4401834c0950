"""What `striate style-fast apply` makes of pictures and videos: a painting of each, in a file of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.checks import UsageError
from ..core.images import WRITTEN
from ..core.video import frame_rate, is_video, read_frames, write_video
from ..style import FastStyle
from .cli_style import check_out
from .console import note

TELL_SECONDS = 10.0


class Files:
    """Paints pictures and videos into files.

    Args:
        painter: With weights.
        out: A folder, made if it is missing; of one input also the file to write.
        inputs: All pictures and videos of the call, which are never written over.
        picture: Keywords of `FastStyle.transform`.
        video: Keywords of `FastStyle.transform_frames`.
        every: Of a video, the first of so many pictures is painted.

    Raises:
        UsageError: One file for several inputs.
        ImageError: An unknown format of that file.
        SaveError: That file in a folder that there is not.
    """

    def __init__(
        self, painter: FastStyle, out: Path, inputs: Sequence[Path], picture: dict[str, Any], video: dict[str, Any],
        every: int,
    ) -> None:  # fmt: skip
        self.painter, self.picture, self.video, self.every = painter, picture, video, every
        self.file = None if out.is_dir() or not out.suffix else out
        self.folder = out if self.file is None else out.parent
        if self.file is not None and len(inputs) > 1:
            raise UsageError("a folder as --out for several pictures", str(out), "leave the suffix out")
        if self.file is not None and not is_video(inputs[0]):
            check_out(self.file, 8)
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.taken = {path.resolve() for path in inputs}
        if self.file is not None and self.file.resolve() in self.taken:
            raise UsageError("another file than the picture", str(out), "choose another --out")

    def run(self, path: Path) -> dict[str, Any]:
        """Paint a picture or, named like one, a video; return what was made of it as plain data.

        Raises:
            ImageError: A file that cannot be read.
            UsageError: Options that cannot be.
            SaveError: The file cannot be written.
        """
        started = time.perf_counter()
        found = self._video(path) if is_video(path) else self._picture(path)
        return {"source": str(path), **found, "seconds": round(time.perf_counter() - started, 3)}

    def _picture(self, path: Path) -> dict[str, Any]:
        suffix = path.suffix.lower() if path.suffix.lower() in WRITTEN else ".png"
        painting = self.painter.transform(path, **self.picture)
        file = painting.save(self.file or self._free(path.stem, suffix))
        return {"file": str(file), "height": painting.pixels.shape[2], "width": painting.pixels.shape[3]}

    def _video(self, path: Path) -> dict[str, Any]:
        file, frames, size = self.file or self._free(path.stem, ".mp4"), 0, (0, 0)
        told = time.monotonic()
        rate = frame_rate(path) / self.every
        pictures = (frame.image for frame in read_frames(path, every=self.every))
        with write_video(file, rate) as append:
            for image in self.painter.transform_frames(pictures, **self.video):
                append(image)
                frames, size = frames + 1, (image.shape[0], image.shape[1])
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    note(f"{path}: {frames} pictures painted")
        return {"file": str(file), "height": size[0], "width": size[1], "frames": frames, "rate": rate}

    def _free(self, stem: str, suffix: str) -> Path:
        """Return a name in the folder that nothing of this call has (two folders may hold pictures of one name)."""
        number, path = 1, self.folder / f"{stem}-painted{suffix}"
        while path.resolve() in self.taken:
            number += 1
            path = self.folder / f"{stem}-painted-{number}{suffix}"
        self.taken.add(path.resolve())
        return path
