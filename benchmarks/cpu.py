"""What a CPU does, one thread: networks beside ONNX Runtime and OpenCV, visual words beside OpenCV and scikit-learn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn

from striate.benchmarks.harness import Differs, Part, Row, measure
from striate.benchmarks.networks import NETWORKS
from striate.benchmarks.peers import agree, onnx_runtime, opencv_dnn
from striate.core import layers, ops
from striate.core.export import export_onnx
from striate.core.optimize import optimize

SUBJECT = "cpu"
PICTURES = {"ResNet-18": 224, "MobileNet": 224, "tiny YOLO": 416}
STEPS = 10  # of Lloyd's algorithm, from the same start


def network_rows(name: str, size: int, run: str, rounds: int) -> list[Row]:
    """Time a network, random weights, batch 1, float32 (C1)."""
    torch.manual_seed(0)
    network, x = NETWORKS[name](layers), torch.randn(1, 3, size, size)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # take the picture's statistics, which keep all values of size 1
            module.momentum = 1.0
    network(x)
    network.eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "network.onnx"
        export_onnx(network, [x], path, outputs=("y",), metadata={})
        calls: dict[str, Callable[[], object]] = {
            "striate": partial(optimize(network, x), x),
            "torch": partial(network, x),
            "ONNX Runtime": onnx_runtime(path, x.numpy()),
            "OpenCV DNN": opencv_dnn(path, x.numpy(), ("y",)),
        }
        for candidate, call in calls.items():
            agree(candidate, [call()], [calls["torch"]()])
        return measure(
            SUBJECT, f"{name}, {size}x{size}", calls, baseline="ONNX Runtime", run=run, rounds=rounds, goal="C1"
        )


Clusters = tuple[Any, Any, float]  # centroids, labels, inertia


def lloyd(x: torch.Tensor, centroids: torch.Tensor) -> Clusters:
    """Move centroids by Lloyd's algorithm; return them with the labels and the inertia that they end with.

    An empty centroid stays where it is.
    """
    for _ in range(STEPS):
        indices, _ = ops.nearest_centroid(x, centroids)
        sums, counts = ops.centroid_sums(x, indices, len(centroids))
        centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
    labels, distances = ops.nearest_centroid(x, centroids)
    return centroids, labels.numpy(), distances.sum().item()


def scikit_learn(x: np.ndarray, start: np.ndarray) -> Clusters:
    """Do the same by scikit-learn."""
    fitted = KMeans(len(start), init=start, n_init=1, max_iter=STEPS, tol=0.0, algorithm="lloyd").fit(x)
    return fitted.cluster_centers_, fitted.labels_, fitted.inertia_


def opencv(x: np.ndarray, words: int) -> Clusters:
    """Do as much by OpenCV, which starts from labels.

    K of its iterations are K means and K - 1 assignments, and distances without an assignment at the end; the others
    assign once more after `STEPS` of each.
    """
    start = np.arange(len(x), dtype=np.int32)[:, None] % words
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, STEPS + 2, 0.0)
    inertia, labels, centroids = cv2.kmeans(x, words, start, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    return centroids, np.ravel(labels), inertia


def vocabulary_rows(run: str, rounds: int) -> list[Row]:
    """Time k-means of 30,000 descriptors into 300 words, ten steps from the same start (C2)."""
    generator = np.random.default_rng(0)
    x = generator.random((30_000, 128), dtype=np.float32)
    start = x[:300].copy()
    calls: dict[str, Callable[[], Clusters]] = {
        "striate": lambda: lloyd(torch.from_numpy(x), torch.from_numpy(start)),
        "scikit-learn": partial(scikit_learn, x, start),
        "cv2.kmeans": partial(opencv, x, len(start)),
    }
    with threadpool_limits(1):  # scikit-learn's own threads, of which neither torch nor OpenCV knows
        same_clusters(*(call() for call in calls.values()))
        return measure(
            SUBJECT, "k-means 30000x128, 300 words, 10 steps", calls, baseline="scikit-learn", run=run,
            rounds=max(3, rounds // 6), warmup=1, goal="C2", operation="nearest_centroid",
        )  # fmt: skip


def same_clusters(*found: Clusters) -> None:
    """Raise unless ours and scikit-learn's give the same labels, and all clusters are equally tight."""
    ours, theirs, _ = found
    same = float((ours[1] == theirs[1]).mean())
    inertias = [inertia for _, _, inertia in found]
    # Rounding moves a point between two clusters, and their means with it: in data without clusters 4 % of the labels
    # differ after ten steps, the inertia by 2e-5 (OpenCV's, from another start, by 2e-3).
    if not (same > 0.9 and max(inertias) < 1.005 * min(inertias)):
        raise Differs(f"{100 * same:.1f} % of the labels agree, inertias {inertias}: nothing was timed")


def encoding_rows(run: str, rounds: int) -> list[Row]:
    """Time the nearest of 1,000 words for 2,000 descriptors (C3)."""
    generator = np.random.default_rng(0)
    x, words = (generator.random((n, 128), dtype=np.float32) for n in (2000, 1000))
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    forest = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 4}, {"checks": 32})
    forest.add([words])
    forest.train()
    mine, theirs = torch.from_numpy(x), torch.from_numpy(words)
    expected = [match.trainIdx for match in matcher.match(x, words)]
    if ops.nearest_centroid(mine, theirs)[0].tolist() != expected:
        raise Differs("the words differ from cv2.BFMatcher's: nothing was timed")
    calls: dict[str, Callable[[], object]] = {
        "striate": lambda: ops.nearest_centroid(mine, theirs),
        "cv2.BFMatcher": lambda: matcher.match(x, words),
        "FLANN": lambda: forest.match(x),
    }
    return measure(
        SUBJECT, "2000x128 to 1000 words", calls, baseline="cv2.BFMatcher", run=run, rounds=rounds, goal="C3",
        operation="nearest_centroid",
    )  # fmt: skip


def box_rows(run: str, rounds: int) -> list[Row]:
    """Time non-maximum suppression of 1,000 boxes (C4)."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(1000, 2, generator=generator) * 500
    boxes = torch.cat([corner, corner + 10 + 90 * torch.rand(1000, 2, generator=generator)], 1)
    scores = torch.rand(1000, generator=generator)
    rectangles = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()
    calls: dict[str, Callable[[], object]] = {
        "striate": lambda: ops.nms(boxes, scores, 0.5),
        "cv2.dnn.NMSBoxes": lambda: cv2.dnn.NMSBoxes(rectangles, scores.tolist(), 0.0, 0.5),
    }
    kept, others = ops.nms(boxes, scores, 0.5).tolist(), np.ravel(calls["cv2.dnn.NMSBoxes"]()).tolist()  # type: ignore[call-overload]
    if kept != others:
        raise Differs("the boxes kept differ from cv2.dnn.NMSBoxes': nothing was timed")
    return measure(
        SUBJECT,
        "NMS of 1000 boxes",
        calls,
        baseline="cv2.dnn.NMSBoxes",
        run=run,
        rounds=rounds,
        goal="C4",
        operation="nms",
    )


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case with what checks and times it."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for name, size in PICTURES.items():
        yield name, partial(network_rows, name, size, run, rounds)
    yield "k-means", partial(vocabulary_rows, run, rounds)
    yield "words", partial(encoding_rows, run, rounds)
    yield "boxes", partial(box_rows, run, rounds)
