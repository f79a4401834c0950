"""Neighbours in feature space are alike in meaning; neighbours in pixels are alike in colour.

Krizhevsky et al. 2012, figure 4: the training pictures whose last hidden vectors are nearest to a test picture's. Here
a small network is trained, and the share of neighbours of the same class is counted in pixels and in features.

    python feature_neighbours.py CIFAR

Seen (5,000 pictures, 8 epochs): 25.2 % of the five nearest neighbours in pixels are of the same class, 33.4 % in
features.
"""

from __future__ import annotations

import numpy as np
from experiment import arguments, splits
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from striate.core.classifier import Classifier

NEIGHBOURS, SHOWN = 5, 8

options = arguments(__doc__, pictures=5000, epochs=8)
train, test = splits(options)
classifier = Classifier(network="small", options={"widths": [32, 64, 128]}).fit(
    train, epochs=options.epochs, batch_size=100, optimizer="sgd", learning_rate=0.4, momentum=0.85, device="cpu",
    augmentation="objects", seed=options.seed,
)  # fmt: skip
pictures = {name: [split.image(i) for i in range(len(split))] for name, split in (("train", train), ("test", test))}
spaces: dict[str, dict[str, np.ndarray]] = {
    "pixels": {name: np.stack(images).reshape(len(images), -1) / 255 for name, images in pictures.items()},
    "features": {name: classifier.features(images, "pool") for name, images in pictures.items()},
}
for space, vectors in spaces.items():
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(vectors["train"]).kneighbors(vectors["test"])[1]
    share = (train.labels[near] == test.labels[:, None]).mean()
    print(f"{space}: {share:.3f} of the {NEIGHBOURS} nearest neighbours are of the same class")
    rows = [np.hstack([pictures["test"][i], *(pictures["train"][j] for j in near[i])]) for i in range(SHOWN)]
    file = options.out / f"feature_neighbours_{space}.png"
    Image.fromarray(np.vstack(rows)).resize((6 * 64, SHOWN * 64), Image.Resampling.NEAREST).save(file)
    print(f"plot: {file}")
