"""Train a detector from nothing on circles, squares and triangles: train_shapes.py [EPOCHS].

The pictures are rendered into shapes/, the run goes to runs/shapes.
One epoch shows that it runs, thirty that it learns.
"""

from __future__ import annotations

import sys

from striate.core.datasets import load_boxes
from striate.core.datasets.synthetic import write_synthetic
from striate.detection import Detector

write_synthetic("shapes", n_train=32, n_val=8, scene="shapes", seed=0)
train, val = load_boxes("shapes", "train"), load_boxes("shapes", "val")
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 1

detector = Detector(names=train.names, image_size=128)
detector.fit(train, val=val, epochs=epochs, batch_size=8, seed=0, run_dir="runs/shapes")
print(f"map50 {detector.evaluate(val)['map50']:.3f} after {epochs} epochs")
detector.save("shapes.safetensors")
