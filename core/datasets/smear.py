"""A rendered blood smear: red cells, white cells and platelets in transmitted light, with exact boxes.

Light that passes a stained cell is weakened by exp(-density * stain), for each colour (Beer-Lambert), so overlapping
cells darken each other as under a microscope. Sizes follow the medians of the BCCD set at 640x480: red cells about
105x101 pixels, white cells 204x179, platelets 39x38.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..checks import UsageError

NAMES = ("Platelets", "RBC", "WBC")
PLATELET, RED, WHITE = range(3)

# Absorption of red, green and blue light at density 1: -ln(cell colour / background colour), read off stained smears.
STAIN_RED = np.array([0.13, 0.34, 0.32], dtype=np.float32)
STAIN_NUCLEUS = np.array([0.72, 1.06, 0.05], dtype=np.float32)
STAIN_PLASMA = np.array([0.10, 0.23, 0.03], dtype=np.float32)
STAIN_GRANULES = np.array([0.20, 0.40, 0.10], dtype=np.float32)
STAIN_PLATELET = np.array([0.42, 0.48, 0.03], dtype=np.float32)


@dataclass(frozen=True)
class Cell:
    """Where a cell lies: centre and mean radius in pixels, and its class."""

    x: float
    y: float
    radius: float
    class_id: int


class Slide:
    """The light absorbed so far, (H, W, 3) float32, onto which cells are laid one by one."""

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.absorbed = np.zeros((height, width, 3), dtype=np.float32)
        self.rng = rng
        self.grain = _grain(rng, 256)

    def add(self, cell: Cell) -> tuple[float, float, float, float] | None:
        """Lay a cell onto the slide; returns the box xyxy of its visible outline, None when it shows no pixel."""
        height, width = self.absorbed.shape[:2]
        reach = cell.radius * 1.7 + 3
        x0, x1 = max(0, int(cell.x - reach)), min(width, int(cell.x + reach) + 1)
        y0, y1 = max(0, int(cell.y - reach)), min(height, int(cell.y + reach) + 1)
        if x1 <= x0 or y1 <= y0:
            return None
        ys, xs = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        dx, dy = (xs - np.float32(cell.x)) / cell.radius, (ys - np.float32(cell.y)) / cell.radius
        paint = (self._platelet, self._red, self._white)[cell.class_id]
        distance, light = paint(dx, dy, np.float32(1.5 / cell.radius))
        inside = distance < 1
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not rows.size:
            return None
        self.absorbed[y0:y1, x0:x1] += light
        return (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1.0, y0 + rows[-1] + 1.0)

    def _red(self, dx: np.ndarray, dy: np.ndarray, soft: np.float32) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng
        distance = self._outline(dx, dy, stretch=rng.choice([1.0, 1.0, 1.0, 1.3]) + rng.uniform(0, 0.16), wobble=0.035)
        shift = rng.uniform(-0.12, 0.12, 2).astype(np.float32)
        pale_size, pale = rng.uniform(0.45, 0.85), rng.choice([0.1, 0.45, 0.8], p=[0.35, 0.35, 0.3])
        centre = np.hypot(dx - shift[0], dy - shift[1])
        body = 1 - pale * _step((pale_size - centre) / 0.35) + 0.4 * _bell((distance - 0.95) / 0.05)
        body *= 1 + 0.12 * self._texture(dx, dy, 1.2)
        density = rng.uniform(0.4, 1.0) * body * _step((1 - distance) / (2 * soft))
        halo = 0.035 * _bell((distance - 1.08) / 0.05)  # light bent out of the cell's edge
        stain = STAIN_RED * rng.uniform(0.92, 1.08, 3).astype(np.float32)
        return distance, density[:, :, None] * stain - halo[:, :, None]

    def _white(self, dx: np.ndarray, dy: np.ndarray, soft: np.float32) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng
        distance = self._outline(dx, dy, stretch=rng.uniform(1.0, 1.22), wobble=0.03)
        cover = _step((1 - distance) / (4 * soft))
        fine = self._texture(dx, dy, 9.0)
        nucleus = self._nucleus(dx, dy, soft) * cover
        blotches = 1 + 0.2 * self._texture(dx, dy, 3.0) + 0.05 * fine
        granules = np.clip(fine - 0.25, 0, 1.6) * rng.uniform(0.2, 0.9)
        plasma = cover * (1 - nucleus)
        light = (plasma * rng.uniform(0.7, 1.3) * (1 + 0.15 * self._texture(dx, dy, 2.0)))[:, :, None] * STAIN_PLASMA
        light += (plasma * granules)[:, :, None] * STAIN_GRANULES
        light += (nucleus * blotches * rng.uniform(0.75, 1.0))[:, :, None] * STAIN_NUCLEUS
        return distance, light

    def _nucleus(self, dx: np.ndarray, dy: np.ndarray, soft: np.float32) -> np.ndarray:
        """Lobes joined by bridges: one (lymphocyte), two (eosinophil) or three to five (neutrophil)."""
        rng = self.rng
        lobes = int(rng.choice([1, 2, 3, 4, 5], p=[0.15, 0.15, 0.25, 0.3, 0.15]))
        ring = 0.0 if lobes == 1 else rng.uniform(0.38, 0.5)
        size = 0.95 if lobes == 1 else {2: 0.47, 3: 0.42, 4: 0.37, 5: 0.33}[lobes]
        turns = rng.uniform(0, 2 * np.pi) + np.arange(lobes) * rng.uniform(1.1, 1.5)
        field = np.zeros_like(dx)
        for turn in turns:
            out = ring * rng.uniform(0.75, 1.2)
            ux, uy = np.cos(turn + rng.uniform(-0.2, 0.2)), np.sin(turn)
            along = (dx - out * ux) * -uy + (dy - out * uy) * ux  # lobes are longer along the ring
            across = (dx - out * ux) * ux + (dy - out * uy) * uy
            field += np.exp(-3.3 * ((along / (1.2 * size)) ** 2 + (across / (0.9 * size)) ** 2))  # cubed: thin bridges
        field = np.cbrt(field) + 0.06 * self._texture(dx, dy, 1.5)
        return _step((field - 0.6) / (5 * soft) + 0.5)

    def _platelet(self, dx: np.ndarray, dy: np.ndarray, soft: np.float32) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng
        distance = self._outline(dx, dy, stretch=rng.uniform(1.0, 1.35), wobble=0.09)
        cover = _step((1 - distance) / 0.45)
        density = cover * (0.55 + 0.7 * _bell(distance / 0.5)) * (1 + 0.35 * self._texture(dx, dy, 1.2))
        return distance, (density * rng.uniform(0.7, 1.25))[:, :, None] * STAIN_PLATELET

    def _outline(self, dx: np.ndarray, dy: np.ndarray, *, stretch: float, wobble: float) -> np.ndarray:
        """Distance from the centre in units of the outline at that angle: below 1 is inside."""
        rng = self.rng
        turn = rng.uniform(0, np.pi)
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = (dx * cos + dy * sin) / np.float32(stretch**0.5), (dy * cos - dx * sin) * np.float32(stretch**0.5)
        angle = np.arctan2(v, u)
        edge = np.ones_like(angle)
        for wave in (2, 3, 4, 5):
            height, phase = rng.normal(0, wobble * 2 / wave), rng.uniform(0, 2 * np.pi)
            edge += np.float32(height) * np.cos(wave * angle + np.float32(phase))
        return np.hypot(u, v) / np.maximum(edge, 0.4)

    def _texture(self, dx: np.ndarray, dy: np.ndarray, detail: float) -> np.ndarray:
        """Smooth noise of unit variance, `detail` blotches a radius, at a random place of the grain."""
        shift = self.rng.uniform(0, 256, 2).astype(np.float32)
        xs, ys = dx * np.float32(detail * 4) + shift[0], dy * np.float32(detail * 4) + shift[1]
        return cv2.remap(self.grain, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def blood_smear(seed: int, size: tuple[int, int] = (480, 640)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render a blood smear.

    Args:
        seed: The same seed and size give the same picture.
        size: (height, width) in pixels; cells keep their size relative to a 480x640 picture.

    Returns:
        Image uint8 (H, W, 3); boxes float32 (N, 4) xyxy, exact to the pixel; class ids int64 (N,) into `NAMES`.

    Raises:
        UsageError: A side below 32 pixels, at which no platelet would show.
    """
    if min(size) < 32:
        raise UsageError("a smear of at least 32x32 pixels", f"{size[1]}x{size[0]}", "pass a larger size")
    rng = np.random.default_rng(seed)
    height, width = size
    slide = Slide(height, width, rng)
    boxes, class_ids = [], []
    for cell in _scatter(height, width, rng):
        box = slide.add(cell)
        if box is not None:
            boxes.append(box)
            class_ids.append(cell.class_id)
    image = _photograph(slide.absorbed, rng)
    return image, np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(class_ids, dtype=np.int64)


def _scatter(height: int, width: int, rng: np.random.Generator) -> list[Cell]:
    """Choose cells: mostly one white cell, 8 to 21 red ones, up to four platelets; neighbours overlap a little."""
    scale = min(height / 480, width / 640)
    crowded = width * height / (640 * 480 * scale**2)  # a wide strip takes more cells of the same size
    wanted = [WHITE] * max(1, round(crowded)) + [RED] * round(rng.uniform(8, 21) * crowded)
    wanted += [PLATELET] * round(rng.choice([0, 1, 2, 3, 4], p=[0.2, 0.3, 0.25, 0.15, 0.1]) * crowded)
    radii = {WHITE: (101, 13, 60, 126), RED: (52.5, 6, 38, 66), PLATELET: (19.5, 3, 14, 28)}
    cells: list[Cell] = []
    for class_id in wanted:
        mean, spread, low, high = radii[class_id]
        radius = float(np.clip(rng.normal(mean, spread), low, high)) * scale
        for _ in range(40):
            # The centre stays inside by a tenth of the radius, so that more than half of every cell is in the picture.
            x, y = (rng.uniform(0.1 * radius, side - 0.1 * radius) for side in (width, height))
            cell = Cell(x, y, radius, class_id)
            if all(_apart(cell, other) for other in cells):
                cells.append(cell)
                break
    return sorted(cells, key=lambda cell: -cell.radius if cell.class_id == WHITE else 0.0)


def _apart(cell: Cell, other: Cell) -> bool:
    least = 0.62 if cell.class_id == other.class_id == RED else 0.95
    return bool(np.hypot(cell.x - other.x, cell.y - other.y) > least * (cell.radius + other.radius))


def _photograph(absorbed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send uneven light through the slide, then lens blur and sensor noise: uint8 (H, W, 3)."""
    height, width = absorbed.shape[:2]
    ys = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xs = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    slope = rng.uniform(-0.05, 0.05, 2).astype(np.float32)
    lamp = 1 + slope[0] * xs + slope[1] * ys - np.float32(rng.uniform(0.02, 0.07)) * (xs**2 + ys**2)
    haze = cv2.resize(rng.normal(0, 0.015, (6, 8)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    paper = (rng.uniform(200, 212) + np.array([1, 2, -1]) + rng.normal(0, 2.5, 3)).astype(np.float32)
    light = np.exp(-absorbed)
    light *= (lamp + haze)[:, :, None] * paper
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.9, 1.5))
    noise = rng.standard_normal((height, width), dtype=np.float32)
    light += cv2.GaussianBlur(noise, (0, 0), 0.7)[:, :, None] * np.float32(3.0)
    return np.clip(light + 0.5, 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, side: int) -> np.ndarray:
    """A square of smooth noise that tiles, mean 0 and variance 1."""
    noise = np.pad(rng.standard_normal((side, side), dtype=np.float32), 16, mode="wrap")
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.6)[16:-16, 16:-16]
    return (smooth - smooth.mean()) / smooth.std()


def _step(value: np.ndarray) -> np.ndarray:
    """Smooth step from 0 (value <= 0) to 1 (value >= 1)."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _bell(value: np.ndarray) -> np.ndarray:
    return np.exp(-(value**2))
