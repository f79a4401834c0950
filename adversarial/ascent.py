"""Pictures that models are sure about, found by following the gradient: `Ascent`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import UsageError, fraction, positive, unknown
from ..core.images import Source, load_image, resize
from ..core.pixels import Step, descend
from .direct import check_size
from .fooling import FoolingImages, judge
from .jury import Jury
from .parts import summed

OBJECTIVES = ("confidence", "score")
STARTS = ("noise", "mean")
MEAN, SPREAD = 0.5, 0.1
"""Of the noise that an ascent begins with, in [0, 1]."""


class Ascent:
    """Climbs from noise, grey or a picture to what models take for a class; all classes at once.

    "score" climbs the class's score before softmax less `l2` times the squared distance from grey (Simonyan, Vedaldi
    and Zisserman 2013, equation 1); "confidence" its log-odds, log p / (1 - p), which mean the same to several models,
    and which go on where the gradient of log p vanishes: after 100 steps all ten digits of LeNet-5 are at 0.99999 and
    more, by log p at 0.987. The other regularizers are total variation (Mahendran and Vedaldi 2015, section 3.1),
    jitter (Mordvintsev et al. 2015), and the blur and the clipping of small values of Yosinski et al. 2015, section 3.
    Moves are Adam's, within [0, 1].

    Args:
        steps: How many moves.
        rate: Largest move of a value in a step, nearly.
        objective: "confidence" or "score".
        start: "noise", "mean" (grey), or a picture: path, bytes or array.
        l2: Weight of the mean squared distance of values from grey.
        tv: Weight of the mean absolute difference of neighbours.
        jitter: Most pixels by which the picture is moved around before the models see it, anew in each step.
        blur: Standard deviation in pixels of the blur after every `blur_every`-th move; 0 for none.
        blur_every: See `blur`.
        clip: Share of the pixels, those nearest to grey, that are set to grey after every move.
        combine: How several models count, "min" (the one that is least sure) or "product".
        size: (height, width); None is the picture's to start with, or what the models see.
        channels: 1 for grey pictures, 3 for colour; None is grey where all models see grey.
        seed: Of noise and jitter.

    Raises:
        UsageError: An option that does not exist or is out of range.

    Example:
        >>> Ascent(steps=50, tv=1.0)
        Ascent(steps=50, tv=1.0)
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        rate: float = 0.02,
        objective: str = "confidence",
        start: str | Source = "noise",
        l2: float = 0.0,
        tv: float = 0.0,
        jitter: int = 0,
        blur: float = 0.0,
        blur_every: int = 4,
        clip: float = 0.0,
        combine: str = "min",
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        seed: int = 0,
    ) -> None:
        if objective not in OBJECTIVES:
            raise unknown("objective", objective, OBJECTIVES)
        positive("rate", rate)
        fraction("clip", clip)
        for name, value in (("l2", l2), ("tv", tv), ("blur", blur), ("jitter", jitter)):
            if not 0 <= value < math.inf:
                raise UsageError(f"{name} from 0", repr(value), f"leave {name} out for none")
        if steps < 1 or blur_every < 1:
            got = f"{steps} steps, a blur every {blur_every}"
            raise UsageError("at least one step, and a blur every step or less often", got, "pass steps=100, say")
        if size is not None:
            check_size(size)
        if channels not in (None, 1, 3):
            raise UsageError("1 or 3 channels", repr(channels), "leave channels out for what the models see")
        self.steps, self.rate, self.objective, self.start = steps, rate, objective, start
        self.l2, self.tv, self.jitter, self.blur, self.blur_every, self.clip = l2, tv, jitter, blur, blur_every, clip
        self.combine, self.size, self.channels, self.seed = combine, size, channels, seed

    def config(self) -> dict[str, Any]:
        """Return the settings as plain data; a picture to start with as the word "picture"."""
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        start = self.start if isinstance(self.start, str) and self.start in STARTS else "picture"
        return {**values, "start": start, "size": None if self.size is None else list(self.size)}

    def __repr__(self) -> str:
        usual = {name: one.default for name, one in inspect.signature(type(self)).parameters.items()}
        changed = {name: value for name, value in self.config().items() if value != usual[name]}
        return f"Ascent({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def run(
        self, models: Any, *, classes: Iterable[str] | None = None, on_step: Callable[[Step], bool | None] | None = None
    ) -> FoolingImages:
        """Find a picture for each class that fools one model, or several at once.

        Args:
            models: See `Jury`; all of them with gradients.
            classes: Names of the classes; None for all.
            on_step: Called after each move with a `core.pixels.Step`, whose `pixels` are all pictures; True ends it.

        Returns:
            The pictures, judged as they come back from PNG.

        Raises:
            ModelError: A model without gradients.
            UsageError: Unknown classes, or no size.
            ImageError: A picture to start with that cannot be read.
        """
        jury = Jury(models, combine=self.combine)
        jury.need_gradients()
        class_ids = jury.class_ids(classes)
        channels = self.channels or jury.channels
        begun = self._begin(jury, len(class_ids), channels)
        wanted = torch.from_numpy(class_ids).to(begun.device)
        shift = torch.Generator().manual_seed(self.seed)

        def loss(pixels: Tensor) -> dict[str, Tensor]:
            moved = self._moved(pixels, shift)

            def climbed(part: Tensor, rows: Tensor) -> Tensor:
                return jury.goal(part.expand(-1, 3, -1, -1), wanted[rows], logits=self.objective == "score")

            return {"class": -summed(climbed, moved), **self._penalties(pixels)}

        found = descend(
            begun, loss, steps=self.steps, rule="adam", rate=self.rate, project=self._projection(), on_step=on_step
        )
        images = pictures(found.pixels)
        names, settings = [jury.names[one] for one in class_ids], {"method": "ascent", **self.config()}
        return judge(jury, images, names, born=[found.step] * len(images), settings=settings)

    def _begin(self, jury: Jury, count: int, channels: int) -> Tensor:
        """Return what to begin with, float (count, channels, H, W), on the first model's device."""
        image = None if isinstance(self.start, str) and self.start in STARTS else load_image(self.start)
        size = self.size or (jury.size() if image is None else image.shape[:2])
        if size is None:
            raise UsageError("a size for models that tell none", "size=None", "pass size=(64, 64), say")
        shape, device = (count, channels, *size), jury.victims[0].device
        if image is not None:
            levels = torch.from_numpy(resize(image, size)).permute(2, 0, 1).float() / 255
            levels = levels if channels == 3 else levels.mean(0, keepdim=True)
            return levels.expand(shape).contiguous().to(device)
        spread = SPREAD if self.start == "noise" else 0.0
        noise = np.random.default_rng(self.seed).normal(MEAN, spread, shape)
        return torch.from_numpy(noise.clip(0, 1).astype(np.float32)).to(device)

    def _moved(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        if not self.jitter:
            return pixels
        down, along = torch.randint(-self.jitter, self.jitter + 1, (2,), generator=generator).tolist()
        return pixels.roll((down, along), (2, 3))

    def _penalties(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the regularizers, each a sum over pictures of a mean over values."""
        terms = {}
        if self.l2:
            terms["l2"] = self.l2 * ((pixels - MEAN) ** 2).mean((1, 2, 3)).sum()
        if self.tv:
            down, along = pixels.diff(dim=2).abs(), pixels.diff(dim=3).abs()
            terms["tv"] = self.tv * (down.mean((1, 2, 3)) + along.mean((1, 2, 3))).sum()
        return terms

    def _projection(self) -> Callable[[Tensor], Tensor]:
        """Return what is done to the pixels after each move: blur, clipping, limits."""
        done = 0

        def project(pixels: Tensor) -> Tensor:
            nonlocal done
            done += 1
            if self.blur and done % self.blur_every == 0:
                pixels = blurred(pixels, self.blur)
            if self.clip:
                pixels = without_small(pixels, self.clip)
            return pixels.clamp(0, 1)

        return project


def blurred(pixels: Tensor, sigma: float) -> Tensor:
    """Blur pictures (N, C, H, W) with a Gaussian, mirrored at the borders."""
    radius = max(1, min(math.ceil(3 * sigma), min(pixels.shape[2:]) - 1))
    places = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    channels = pixels.shape[1]
    padded = F.pad(pixels, (radius,) * 4, mode="reflect")
    along = F.conv2d(padded, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(along, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def without_small(pixels: Tensor, share: float) -> Tensor:
    """Set the share of each picture's pixels that are nearest to grey to grey (Yosinski et al. 2015, section 3)."""
    size = (pixels - MEAN).norm(dim=1).flatten(1)
    count = int(share * size.shape[1])
    if not count:
        return pixels
    small = torch.zeros_like(size, dtype=torch.bool).scatter(1, size.topk(count, 1, largest=False).indices, True)
    return torch.where(small.view(len(pixels), 1, *pixels.shape[2:]), MEAN, pixels)


def pictures(pixels: Tensor) -> list[NDArray[np.uint8]]:
    """Return pictures (N, 1 or 3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    levels = (pixels.detach().clamp(0, 1) * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    return [np.ascontiguousarray(one) for one in levels.permute(0, 2, 3, 1).cpu().numpy()]
