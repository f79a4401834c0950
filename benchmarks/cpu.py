"""What a CPU does, one thread: networks beside ONNX Runtime and OpenCV, visual words beside OpenCV and scikit-learn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import nn

from striate.benchmarks.harness import Row, measure
from striate.benchmarks.networks import NETWORKS
from striate.benchmarks.peers import agree, onnx_runtime, opencv_dnn
from striate.core import layers, ops
from striate.core.export import export_onnx
from striate.core.optimize import optimize

SUBJECT = "cpu"
PICTURES = {"ResNet-18": 224, "MobileNet": 224, "tiny YOLO": 416}
STEPS = 10  # of Lloyd's algorithm, from the same start


def network_rows(run: str, rounds: int) -> list[Row]:
    """Time three networks, random weights, batch 1, float32 (C1)."""
    found = []
    for name, size in PICTURES.items():
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
            found += measure(
                SUBJECT, f"{name}, {size}x{size}", calls, baseline="ONNX Runtime", run=run, rounds=rounds, goal="C1"
            )
    return found


def lloyd(x: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Move centroids by Lloyd's algorithm; an empty one stays where it is."""
    for _ in range(STEPS):
        indices, _ = ops.nearest_centroid(x, centroids)
        sums, counts = ops.centroid_sums(x, indices, len(centroids))
        centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
    return centroids


def vocabulary_rows(run: str, rounds: int) -> list[Row]:
    """Time k-means of 30,000 descriptors into 300 words, ten steps from the same start (C2)."""
    generator = np.random.default_rng(0)
    x = generator.random((30_000, 128), dtype=np.float32)
    start = x[:300].copy()
    labels = np.arange(30_000, dtype=np.int32)[:, None] % 300
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, STEPS, 0.0)
    calls: dict[str, Callable[[], object]] = {
        "striate": lambda: lloyd(torch.from_numpy(x), torch.from_numpy(start)),
        "scikit-learn": lambda: KMeans(300, init=start, n_init=1, max_iter=STEPS, tol=0.0, algorithm="lloyd").fit(x),
        "cv2.kmeans": lambda: cv2.kmeans(x, 300, labels.copy(), criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS),
    }
    return measure(
        SUBJECT, "k-means 30000x128, 300 words, 10 steps", calls, baseline="scikit-learn", run=run,
        rounds=max(3, rounds // 6), warmup=1, goal="C2", operation="nearest_centroid",
    )  # fmt: skip


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
        raise SystemExit("the words differ from cv2.BFMatcher's: nothing was timed")
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
        raise SystemExit("the boxes kept differ from cv2.dnn.NMSBoxes': nothing was timed")
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


def rows(run: str, rounds: int) -> list[Row]:
    """Time everything of this file."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parts = (network_rows, vocabulary_rows, encoding_rows, box_rows)
    return [row for part in parts for row in part(run, rounds)]
