"""Finer layers find finer things: FCN-32s, 16s and 8s on the same pictures.

Long, Shelhamer and Darrell 2015, table 2 and figure 4: scores of layers that see every 16th and every 8th pixel, added
to those of the last, which sees every 32nd, raise the mean IoU of Pascal VOC from 59.4 to 62.4 and 62.7.

    python fcn_strides.py CAMVID

Seen on CamVid's 101 pictures of val, all from random weights (the paper starts from an ImageNet network, each from the
one before): mean IoU 0.392, 0.414 and 0.432, pixel accuracy 0.843, 0.853 and 0.860; 20 CPU minutes each.
"""

from __future__ import annotations

import numpy as np
from experiment import arguments, curve, plot

from striate.core.datasets import load_masks
from striate.segmentation import Segmenter

options = arguments(__doc__, pictures=367, epochs=30)
train, val = load_masks(options.data, "train"), load_masks(options.data, "val")
chosen = train.subset(np.random.default_rng(options.seed).permutation(len(train))[: options.pictures])
curves = {}
for stride in (32, 16, 8):
    segmenter = Segmenter(network=f"fcn{stride}s", backbone="resnet18", image_size=(192, 256))
    segmenter.fit(
        chosen, val=val, epochs=options.epochs, batch_size=8, learning_rate=1e-3, precision="bf16", device="cpu",
        validate_every=5, seed=options.seed,
    )  # fmt: skip
    figures = segmenter.evaluate(val)
    curves[f"FCN-{stride}s"] = curve(segmenter.history_, "loss")
    print(f"FCN-{stride}s: mIoU {figures['miou']:.3f}, pixel accuracy {figures['pixel_accuracy']:.3f}", flush=True)
plot(options.out / "fcn_strides.png", curves, "epoch", "training loss", "What finer layers add")
