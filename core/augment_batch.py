"""Augmentation for classification: a whole batch at once, on the device that trains.

Every picture's changes are a function of the uniform numbers it is given (`core.counter_random`), so a training can be
repeated. All geometry is one resampling: zoom, rotation, shear, shift, reflection and elastic distortion are composed
into the points at which each picture is read. Pictures are float32 (N, C, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from . import ops
from .checks import UsageError, fraction, unknown
from .ops.sampling import PADDINGS

GEOMETRY, COLOUR, CUT = 8, 6, 2
NUMBERS = GEOMETRY + COLOUR + CUT
"""Uniform numbers for a picture; elastic distortion takes 2 H W more."""

# Eigenvalues and eigenvectors of ImageNet's colours in [0, 1], as Krizhevsky et al. 2012, section 4.1, add them;
# the numbers are those that fb.resnet.torch computed and that everyone has used since.
PCA_VALUES = (0.2175, 0.0188, 0.0045)
PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class BatchAugmentation:
    """How strongly pictures are changed.

    Attributes:
        translate: Shift up to this share of the side, by whole pixels.
        zoom: Side of the part that is read, from 1 - zoom to 1 + zoom of the picture's.
        crop: Least area of the part that is read, as a share, at a random place (Szegedy et al. 2015); 1 reads all.
        aspect: Its ratio of sides lies between 1 - aspect and 1 / (1 - aspect).
        rotate: Degrees, up to.
        shear: Degrees, up to.
        flip: Probability of reflection.
        elastic: Strength of elastic distortion, alpha of Simard et al. 2003, as a share of the side; their 34 pixels
            on 29 with `elastic_sigma` 4 are about 1.2.
        elastic_sigma: Width of the Gaussian that smooths it, as a share of the side.
        brightness: Gain between 1 - brightness and 1 + brightness.
        contrast: Likewise, around the picture's mean.
        saturation: Likewise, around its grey picture.
        pca: Standard deviation of PCA colour change (Krizhevsky et al. 2012, 4.1), 0.1 there.
        cutout: Side of a square that is made grey, as a share (DeVries and Taylor 2017).
        mixup: Alpha of the Beta distribution by which pairs of pictures are mixed (Zhang et al. 2018); 0 for none.
        cutmix: Alpha by which a rectangle of another picture is pasted (Yun et al. 2019); 0 for none.
        outside: What lies outside a picture: "zeros", "border" or "reflection".
    """

    translate: float = 0.0
    zoom: float = 0.0
    crop: float = 1.0
    aspect: float = 0.0
    rotate: float = 0.0
    shear: float = 0.0
    flip: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = 0.14
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    pca: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    outside: str = "reflection"

    def __post_init__(self) -> None:
        shares = ("translate", "zoom", "crop", "aspect", "flip", "brightness", "contrast", "saturation", "cutout")
        for name in shares:
            fraction(name, getattr(self, name))
        for name in ("rotate", "shear", "elastic", "elastic_sigma", "pca", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) < 180:
                raise UsageError(f"{name} of 0 or more", repr(getattr(self, name)), f"pass {name} of 0 or more")
        if self.outside not in PADDINGS:
            raise unknown("outside", self.outside, PADDINGS)

    def numbers(self, height: int, width: int) -> int:
        """How many uniform numbers a picture takes."""
        return NUMBERS + (2 * height * width if self.elastic else 0)


PRESETS = {
    "none": BatchAugmentation(),
    "digits": BatchAugmentation(
        translate=0.08, zoom=0.15, aspect=0.1, rotate=12, shear=10, elastic=1.0, outside="zeros"
    ),
    "objects": BatchAugmentation(translate=0.125, flip=0.5, cutout=0.25),
    "photos": BatchAugmentation(
        crop=0.3, aspect=0.25, flip=0.5, brightness=0.3, contrast=0.3, saturation=0.3, pca=0.1, cutout=0.25
    ),
}


def preset(words: str | BatchAugmentation) -> BatchAugmentation:
    """Return the augmentation that words such as "objects" or "objects,cutmix=1,flip=0" stand for.

    Args:
        words: A key of `PRESETS`, and after commas fields of `BatchAugmentation` with other values; an augmentation
            that is given whole comes back.

    Raises:
        UsageError: An unknown name or field, or a value that is none.
    """
    if isinstance(words, BatchAugmentation):
        return words
    name, *changes = words.split(",")
    if name not in PRESETS:
        raise unknown("augmentation", name, PRESETS)
    values: dict[str, float | str] = {}
    for change in changes:
        key, _, value = change.partition("=")
        if key not in BatchAugmentation.__dataclass_fields__:
            raise unknown("field of an augmentation", key, BatchAugmentation.__dataclass_fields__)
        try:
            values[key] = value if key == "outside" else float(value)
        except ValueError:
            raise UsageError(f"a number for {key}", repr(value), f"write {name},{key}=0.5") from None
    return replace(PRESETS[name], **values)  # type: ignore[arg-type]


def augment_batch(images: Tensor, numbers: Tensor, options: BatchAugmentation, size: tuple[int, int]) -> Tensor:
    """Change every picture of a batch.

    Args:
        images: float32 (N, C, H, W) in [0, 1].
        numbers: float32 (N, options.numbers(*size)) in [0, 1).
        options: See `BatchAugmentation`; `mixup` and `cutmix` are `mix_batch`'s.
        size: (height, width) of the result. Without any geometry it is cut from the middle.

    Returns:
        (N, C, *size) in [0, 1].
    """
    changed = _resample(images, numbers, options, size)
    changed = _recolour(changed, numbers[:, GEOMETRY : GEOMETRY + COLOUR], options)
    return _cut(changed, numbers[:, GEOMETRY + COLOUR : NUMBERS], options.cutout)


def _signed(number: Tensor) -> Tensor:
    return 2 * number - 1


def centre(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut (height, width) from the middle of every picture, or put zeros around it."""
    over_y, over_x = images.shape[2] - size[0], images.shape[3] - size[1]
    top, left = over_y // 2, over_x // 2
    return F.pad(images, (-left, left - over_x, -top, top - over_y)) if over_x or over_y else images


def _resample(images: Tensor, numbers: Tensor, options: BatchAugmentation, size: tuple[int, int]) -> Tensor:
    """Read every picture at the points of a random affine map, distorted elastically."""
    o, u = options, numbers[:, :GEOMETRY].unbind(1)
    if not any((o.translate, o.zoom, o.crop < 1, o.aspect, o.rotate, o.shear, o.flip, o.elastic)):
        return centre(images, size)
    side = (1 + o.zoom * _signed(u[0])) * torch.sqrt(o.crop + (1 - o.crop) * u[1])
    ratio = torch.exp(-math.log1p(-min(o.aspect, 0.99)) / 2 * _signed(u[2]))
    wide, high = side * ratio, side / ratio
    if o.crop < 1:  # a crop stays inside its picture
        wide, high = wide.clamp(max=1), high.clamp(max=1)
    angle = math.radians(o.rotate) * _signed(u[3])
    lean = torch.tan(math.radians(o.shear) * _signed(u[4]))
    mirror = torch.where(u[7] < o.flip, -1.0, 1.0)
    along, down = _shift(u[5], o.translate, images.shape[3]), _shift(u[6], o.translate, images.shape[2])
    if o.crop < 1:
        along, down = along + (1 - wide) * _signed(u[5]), down + (1 - high) * _signed(u[6])
    cos, sin = torch.cos(angle), torch.sin(angle)
    if o.crop == 1:  # a picture larger than the result is read at its own scale
        wide, high = wide * size[1] / images.shape[3], high * size[0] / images.shape[2]
    aspect = size[1] / size[0]  # the step between pixels in x, in [-1, 1], is 1 / aspect of that in y
    top = torch.stack((mirror * wide * cos, high * (lean * cos - sin) / aspect, along), 1)
    low = torch.stack((mirror * wide * sin * aspect, high * (lean * sin + cos), down), 1)
    grid = ops.affine_grid(torch.stack((top, low), 1), [len(images), images.shape[1], *size])
    if o.elastic:
        grid = grid + _elastic(numbers[:, NUMBERS:], size, o)
    return ops.grid_sample(images, grid, padding_mode=o.outside)


def _shift(number: Tensor, share: float, side: int) -> Tensor:
    """Return a shift in units of half a side, by whole pixels: parts of one would blur what is only shifted."""
    return torch.round(share * side * _signed(number)) * 2 / side


def _elastic(numbers: Tensor, size: tuple[int, int], options: BatchAugmentation) -> Tensor:
    """Return displacements (N, H, W, 2) in units of half a side: uniform noise, smoothed (Simard et al. 2003)."""
    count, height, width = len(numbers), *size
    field = _signed(numbers).view(count * 2, 1, height, width)
    for axis, side in ((2, height), (3, width)):
        sigma = options.elastic_sigma * side
        reach = min(side - 1, math.ceil(3 * sigma))
        taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=field.device) / sigma) ** 2)
        taps = (taps / taps.sum()).view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        field = F.conv2d(field, taps, padding=(reach, 0) if axis == 2 else (0, reach))
    return 2 * options.elastic * field.view(count, 2, height, width).permute(0, 2, 3, 1)


def _recolour(images: Tensor, numbers: Tensor, options: BatchAugmentation) -> Tensor:
    o, u = options, numbers[:, :, None, None, None].unbind(1)
    if o.brightness:
        images = images * (1 + o.brightness * _signed(u[0]))
    if o.contrast:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (1 + o.contrast * _signed(u[1]))
    if images.shape[1] == 3 and o.saturation:
        grey = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        images = grey + (images - grey) * (1 + o.saturation * _signed(u[2]))
    if images.shape[1] == 3 and o.pca:
        # Three numbers of a Gaussian by the inverse of its distribution.
        amounts = o.pca * math.sqrt(2) * torch.erfinv(_signed(numbers[:, 3:6]).clamp(-0.9999, 0.9999))
        shift = (amounts * images.new_tensor(PCA_VALUES)) @ images.new_tensor(PCA_VECTORS).T
        images = images + shift[:, :, None, None]
    return images.clamp(0, 1) if any((o.brightness, o.contrast, o.saturation, o.pca)) else images


def _cut(images: Tensor, numbers: Tensor, share: float) -> Tensor:
    """Make a square grey, its middle anywhere in the picture."""
    if not share:
        return images
    height, width = images.shape[2:]
    half = share * min(height, width) / 2
    y = (torch.arange(height, device=images.device) + 0.5)[None, :] - height * numbers[:, :1]
    x = (torch.arange(width, device=images.device) + 0.5)[None, :] - width * numbers[:, 1:]
    inside = (y.abs() < half)[:, None, :, None] & (x.abs() < half)[:, None, None, :]
    return torch.where(inside, images.new_tensor(0.5), images)


def mix_batch(
    images: Tensor, targets: Tensor, options: BatchAugmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix every picture with the next of its batch: mixup, cutmix, or by turns where both are asked for.

    Args:
        images: float32 (N, C, H, W).
        targets: float32 (N, classes): shares of the classes.
        options: See `BatchAugmentation`.
        generator: Where chance comes from, on the CPU.

    Returns:
        Images and targets, mixed by one share for the whole batch.
    """
    kinds = [name for name in ("mixup", "cutmix") if getattr(options, name)]
    if not kinds:
        return images, targets
    kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
    share = _beta(getattr(options, kind), generator)
    others = images.roll(1, 0)
    if kind == "mixup":
        return share * images + (1 - share) * others, share * targets + (1 - share) * targets.roll(1, 0)
    height, width = images.shape[2:]
    side = math.sqrt(1 - share)
    cy, cx = torch.rand(2, generator=generator).tolist()
    top, bottom = (min(max(round(cy * height + s * side * height / 2), 0), height) for s in (-1, 1))
    left, right = (min(max(round(cx * width + s * side * width / 2), 0), width) for s in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, kept * targets + (1 - kept) * targets.roll(1, 0)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha) as a ratio of two Gamma numbers (Marsaglia and Tsang 2000, with their boost)."""
    first, second = (_gamma(alpha, generator) for _ in range(2))
    return first / (first + second) if first + second > 0 else 0.5


def _gamma(alpha: float, generator: torch.Generator) -> float:
    boost = 1.0
    if alpha < 1:
        boost = float(torch.rand((), generator=generator, dtype=torch.float64)) ** (1 / alpha)
        alpha += 1
    d = alpha - 1 / 3
    while True:
        x = float(torch.randn((), generator=generator, dtype=torch.float64))
        v = (1 + x / math.sqrt(9 * d)) ** 3
        u = float(torch.rand((), generator=generator, dtype=torch.float64))
        if v > 0 and u > 0 and math.log(u) < x * x / 2 + d - d * v + d * math.log(v):
            return d * v * boost
