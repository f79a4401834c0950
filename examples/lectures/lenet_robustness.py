"""What LeNet-5 withstands: shift, rotation and noise, and what it says of pictures that are no digits.

LeCun et al. 1998, section 7 and figure 14, show LeNet-5 right on shifted, rotated, squeezed and noisy digits; its
radial basis functions were to give unusual patterns low scores. The shipped network has linear scores: it is sure of
nonsense.

    python lenet_robustness.py MNIST

Seen (2,000 test pictures): 99.6 % right; shifted by 2 and 4 pixels 99.3 and 97.9 %, by 6 only 61.5 %; rotated by 20 and
30 degrees 98.9 and 97.4 %, by 60 52.1 %; with noise of a tenth of full ink 97.3 %, of a fifth 72.1 %. It was trained
with shifts of 2 pixels and rotations of 12 degrees. A checkerboard is an 8, an empty picture a 1, both with 100 %.
"""

from __future__ import annotations

import numpy as np
import torch
from experiment import arguments, plot, splits

from striate.core.augment_batch import BatchAugmentation, augment_batch
from striate.core.classifier import Classifier
from striate.core.datasets.classes import ClassDataset

options = arguments(__doc__, pictures=1, epochs=0)
classifier = Classifier.from_pretrained("lenet5-mnist")
_, test = splits(options)
images = torch.from_numpy(np.stack([test.image(i) for i in range(len(test))])).permute(0, 3, 1, 2).float() / 255
rng = np.random.default_rng(options.seed)


def accuracy(changed: torch.Tensor) -> float:
    """Return the share of pictures that are named right."""
    pixels = (changed.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return float(classifier.evaluate(ClassDataset(pixels, test.labels, test.names))["top1"])


def turned(**strength: float) -> torch.Tensor:
    """Shift or rotate every picture by exactly the given strength, to one side or the other."""
    change = BatchAugmentation(outside="zeros", **strength)
    numbers = torch.from_numpy(rng.integers(0, 2, (len(images), change.numbers(28, 28))).astype(np.float32))
    return augment_batch(images, numbers, change, (28, 28))


curves = {}
for name, unit, strengths in (
    ("shift", "pixels", (0, 1, 2, 4, 6, 8)),
    ("rotation", "degrees", (0, 10, 20, 30, 45, 60)),
):
    key = {"shift": "translate", "rotation": "rotate"}[name]
    scores = [accuracy(turned(**{key: s / 28 if name == "shift" else float(s)})) for s in strengths]
    curves[f"{name}, {unit}"] = ([float(s) for s in strengths], scores)
levels = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8)
noisy = [accuracy(images + s * torch.from_numpy(rng.normal(size=images[:, :1].shape)).float()) for s in levels]
curves["noise, % of full ink"] = ([100 * s for s in levels], noisy)
for name, (strengths_of, scores) in curves.items():
    print(name, ", ".join(f"{s:g}: {a:.3f}" for s, a in zip(strengths_of, scores, strict=True)))

y, x = np.mgrid[:28, :28]
unusual = {
    "noise": rng.integers(0, 256, (28, 28)),
    "checkerboard": 255 * ((x // 4 + y // 4) % 2),
    "a disc": 255 * (np.hypot(x - 14, y - 14) < 9),
    "stripes": 255 * (x // 3 % 2),
    "nothing": 0 * x,
}
for name, picture in unusual.items():
    print(f"{name}: {classifier.predict(picture.astype(np.uint8))}")
plot(options.out / "lenet_robustness.png", curves, "strength", "accuracy", "LeNet-5 on changed digits")
