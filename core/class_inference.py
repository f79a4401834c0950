"""A network at work on pictures: cut to its size, fast forward pass, probabilities."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .augment_batch import centre
from .class_metrics import class_figures
from .class_network import Normalized
from .class_pictures import ClassPictures, square
from .datasets.classes import ClassDataset
from .models import feature_maps
from .optimize import Optimized, optimize
from .views import over_views

BATCH = 256


class ClassInference:
    """Runs a classification network on pictures of any size.

    Args:
        network: Takes pictures in [0, 1]; in eval mode.
        side: Of the square that is cut from a picture; the network sees the middle of it, or zeros around it.
        image_size: Of that middle.
        channels: 1 or 3.
        views: See `views.over_views`.
        precision: See `core.optimize.optimize`.
    """

    def __init__(
        self, network: nn.Module, side: int, image_size: int, channels: int, views: str, precision: str
    ) -> None:
        self.network, self.side, self.image_size, self.channels = network, side, image_size, channels
        self.views, self.precision = views, precision
        self._fast: Optimized | None = None

    def probabilities(self, images: list[NDArray[np.uint8]], dropout_samples: int = 0) -> NDArray[np.float32]:
        """Return probabilities (N, classes) of pictures uint8 (H, W, 3), for `dropout_samples` with dropout left on."""
        cut = np.stack([square(image, self.side, self.channels) for image in images])
        if dropout_samples:
            return self._with_dropout(self._seen(torch.from_numpy(cut)), dropout_samples)
        return self._probabilities(torch.from_numpy(cut))

    def figures(self, dataset: ClassDataset) -> dict[str, Any]:
        """Measure the network on labelled pictures; see `class_metrics.class_figures`."""
        pictures = ClassPictures(dataset, self.side, self.channels)
        parts = np.split(np.arange(len(dataset)), np.arange(BATCH, len(dataset), BATCH))
        rows = [self._probabilities(pictures.images(part)) for part in parts]
        return class_figures(np.concatenate(rows), dataset.labels, dataset.names)

    def features(self, images: list[NDArray[np.uint8]], layer: str) -> NDArray[np.float32]:
        """Return what a layer says about pictures, float32 (N, D); maps are averaged over their pixels."""
        inner = self.network.network if isinstance(self.network, Normalized) else self.network
        part = feature_maps(inner, [layer])
        cut = np.stack([square(image, self.side, self.channels) for image in images])
        seen = self._seen(torch.from_numpy(cut))
        if isinstance(self.network, Normalized):
            seen = self.network.normalize(seen)
        with torch.inference_mode():
            found = part(seen)[layer].float()
        return (found.mean((2, 3)) if found.dim() == 4 else found.flatten(1)).cpu().numpy()

    def first_maps(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the first convolution makes of a picture, float32 (K, H, W); (0, 1, 1) where there is none."""
        first = next((name for name, module in self.network.named_modules() if isinstance(module, nn.Conv2d)), None)
        if first is None:
            return np.zeros((0, 1, 1), np.float32)
        seen = self._seen(torch.from_numpy(square(image, self.side, self.channels)[None]))
        with torch.inference_mode():
            return feature_maps(self.network, [first])(seen)[first][0].cpu().numpy()

    def _probabilities(self, images: Tensor) -> NDArray[np.float32]:
        seen = self._seen(images)
        if self._fast is None:
            self._fast = optimize(self.network, seen[:1], precision=self.precision)
        return over_views(self._fast, seen, self.views).softmax(1).cpu().numpy()

    def _with_dropout(self, seen: Tensor, samples: int) -> NDArray[np.float32]:
        """Return the mean of the probabilities over passes with dropout on (Gal and Ghahramani 2016)."""
        noisy = copy.deepcopy(self.network)
        for module in noisy.modules():
            if "drop" in type(module).__name__.lower():
                module.train()
        with torch.inference_mode():
            passes = [noisy(seen).float().softmax(1) for _ in range(samples)]
            return torch.stack(passes).mean(0).cpu().numpy()

    def _seen(self, images: Tensor) -> Tensor:
        """Turn pictures uint8 (N, channels, side, side) into what the network sees, on its device."""
        device = next(self.network.parameters()).device
        return (
            centre(images, (self.image_size, self.image_size))
            .to(device)
            .float()
            .div_(255)
            .contiguous(memory_format=torch.channels_last)
        )
