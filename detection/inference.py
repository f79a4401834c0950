"""A network at work on single pictures: letterbox, fast forward pass, decode, boxes on the picture as it came."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.checks import DataError
from ..core.datasets import BoxDataset
from ..core.images import letterbox, load_image, to_tensor
from ..core.optimize.copies import FastCopies
from .data import canvas_for
from .decode import EVALUATION, Thresholds, decode
from .detections import Detections
from .metrics import evaluate_boxes


class Inference:
    """Runs a detection network on pictures of any size.

    Args:
        network: In eval mode.
        names: Class names by class id.
        image_size: Longer side of the canvas.
        precision: See `core.optimize.optimize`.
    """

    def __init__(self, network: nn.Module, names: tuple[str, ...], image_size: int, precision: str) -> None:
        self.network, self.names, self.image_size, self.precision = network, names, image_size, precision
        self.copies = FastCopies(network, precision=precision)

    def find(self, image: np.ndarray, thresholds: Thresholds) -> Detections:
        """Find boxes on a picture, uint8 RGB (H, W, 3); `speed` tells the milliseconds of "network" and "decode"."""
        started = time.perf_counter()
        size = (image.shape[0], image.shape[1])
        canvas, plan = letterbox(image, canvas_for(size, self.image_size))
        device = next(self.network.parameters()).device
        images = to_tensor(canvas).to(device)
        with torch.inference_mode():
            maps = self.copies(images)
            middle = time.perf_counter()
            found = decode(maps, thresholds)[0]
        speed = {"network": 1e3 * (middle - started), "decode": 1e3 * (time.perf_counter() - middle)}
        return Detections(plan.to_original(found.boxes), found.scores, found.class_ids, self.names, size, speed=speed)

    def evaluate(self, dataset: BoxDataset) -> dict[str, Any]:
        """Measure average precision; see `metrics.evaluate_boxes`.

        Raises:
            DataError: A dataset of other classes, or of the same in another order.
        """
        if dataset.names != self.names:
            fix = "read it with names=detector.names"
            raise DataError(f"pictures of the classes {self.names}", f"{dataset.names}", fix)
        found = [self.find(load_image(sample.image), EVALUATION) for sample in dataset]
        return evaluate_boxes(dataset.samples, found, self.names)
