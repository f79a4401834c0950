"""Segmentation on the CPU, one thread: predict() beside ONNX Runtime, figures of masks beside torchmetrics.

On a GPU: memory and time of the loss of every pixel, beside torch's.

ONNX Runtime runs the file of `Segmenter.export`'s network between the same two ends: a picture's array in, class ids
out; padded, converted, cropped, the largest score taken by NumPy, which on its layout takes a third of torch's time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.benchmarks.gpu import agree as agree_on_values
from striate.benchmarks.gpu import device_clock
from striate.benchmarks.harness import Differs, Part, Row, measure
from striate.benchmarks.peers import agree, onnx_runtime
from striate.benchmarks.whole_networks import peak
from striate.core import ops
from striate.core.datasets.mask_files import IGNORE
from striate.core.datasets.synthetic import blood_smear
from striate.core.export import export_onnx
from striate.core.images import resize, to_tensor
from striate.core.optimize import has_bfloat16, optimize
from striate.segmentation import Segmenter
from striate.segmentation.export import Scores
from striate.segmentation.loss import cross_entropy
from striate.segmentation.metrics import SegmentationMetric

SUBJECT = "segmentation"
SIZE = (360, 480)
CANVAS = (384, 480)  # multiples of the stride, 32
NAMES = tuple(f"class {i}" for i in range(11))
# A pixel whose two best scores differ by a rounding has either class. The worst seen: 2e-5 of the pixels in float32.
SAME_LABELS, SAME_LABELS_BF16 = 0.999, 0.95
MEGAPIXELS = 8  # masks
LOSS_SHAPES = ((16, 11, 360, 480), (4, 19, 512, 1024))  # batches of CamVid and of Cityscapes
MOST_MEMORY = 0.5
"""Share of torch's memory that is aimed at for the loss of every pixel."""


def segmenter(precision: str, picture: np.ndarray) -> Segmenter:
    """Return the network of `streets` with random weights, whose values all layers keep at size 1."""
    made = Segmenter(NAMES, precision=precision)
    made._start(NAMES, seed=0)
    network = cast(nn.Module, made.network_)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(to_tensor(resize(picture, CANVAS)))
    network.eval()
    return made


def labels_of(made: Segmenter, picture: np.ndarray) -> np.ndarray:
    """Return what `predict` says."""
    return made.predict(picture).labels


def padded(picture: np.ndarray) -> np.ndarray:
    """Return a picture as `predict` pads it, mirrored up to the stride."""
    down, along = (whole - side for whole, side in zip(CANVAS, picture.shape[:2], strict=True))
    return np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, along, cv2.BORDER_REFLECT_101))


def by_onnx_runtime(run: Callable[[np.ndarray], np.ndarray], picture: np.ndarray) -> np.ndarray:
    """Do with ONNX Runtime what `predict` does."""
    scores = run(to_tensor(padded(picture)).numpy())[0, :, : picture.shape[0], : picture.shape[1]]
    return scores.argmax(0).astype(np.uint8)


def session(path: Path, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs the file on an array."""
    buffer = x.copy()
    call = onnx_runtime(path, buffer)

    def run(images: np.ndarray) -> np.ndarray:
        np.copyto(buffer, images)
        return np.asarray(cast(list[np.ndarray], call())[0])

    return run


def same_labels(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Raise unless two maps agree, but for near ties."""
    if len(np.unique(expected)) < 2:
        raise Differs("one class everywhere says nothing: nothing was timed")
    same, least = float((found == expected).mean()), SAME_LABELS_BF16 if "bfloat16" in name else SAME_LABELS
    if same < least:
        raise Differs(f"{100 * same:.2f} % of the labels of {name} agree: nothing was timed")


def predict_rows(run: str, rounds: int) -> list[Row]:
    """Time the network alone, and a picture from array to class ids (C6)."""
    picture = resize(blood_smear(seed=7)[0], SIZE)
    ours = {"striate": segmenter("fp32", picture)}
    if has_bfloat16(torch.device("cpu")):
        ours["striate, bfloat16"] = segmenter("bf16", picture)
    network, x = cast(nn.Module, ours["striate"].network_), to_tensor(padded(picture))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "network.onnx"
        export_onnx(Scores(network), [x], path, outputs=("scores",), metadata={})
        theirs = session(path, x.numpy())
        alone: dict[str, Callable[[], object]] = {
            "striate": partial(optimize(network, x), x),
            "torch": partial(network, x),
            "ONNX Runtime": partial(theirs, x.numpy()),
        }
        for name, call in alone.items():
            agree(name, [call()], [alone["torch"]()])
        rows = measure(
            SUBJECT, f"network, {CANVAS[0]}x{CANVAS[1]}", alone, baseline="ONNX Runtime", run=run, rounds=rounds
        )
        whole: dict[str, Callable[[], np.ndarray]] = {
            **{name: partial(labels_of, made, picture) for name, made in ours.items()},
            "ONNX Runtime": partial(by_onnx_runtime, theirs, picture),
        }
        expected = whole["ONNX Runtime"]()
        for name in ours:
            same_labels(name, whole[name](), expected)
        case = f"predict(), {SIZE[0]}x{SIZE[1]} array"
        return rows + measure(SUBJECT, case, whole, baseline="ONNX Runtime", run=run, rounds=rounds, goal="C6")


def masks() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of true and predicted masks of a megapixel: blocks of 11 classes, 15 % wrong, 2 % ignored."""
    rng, pairs = np.random.default_rng(0), []
    for _ in range(MEGAPIXELS):
        truth = np.kron(rng.integers(0, len(NAMES), (25, 25)), np.ones((40, 40), int)).astype(np.uint8)
        found = np.where(rng.random(truth.shape) < 0.15, rng.integers(0, len(NAMES), truth.shape), truth)
        truth[rng.random(truth.shape) < 0.02] = 255
        pairs.append((truth, found.astype(np.uint8)))
    return pairs


def torchmetrics_matrix() -> Any:
    """Return torchmetrics' confusion matrix.

    It imports torchvision, whose CUDA build names operators that are not there beside a CPU build of torch.
    """
    real = torch.library.register_fake

    def register(name: Any, *args: Any, **keywords: Any) -> Any:
        return (lambda f: f) if str(name).startswith("torchvision::") else real(name, *args, **keywords)

    torch.library.register_fake = register  # type: ignore[assignment]
    try:
        from torchmetrics.classification import MulticlassConfusionMatrix
    finally:
        torch.library.register_fake = real
    return MulticlassConfusionMatrix(len(NAMES), ignore_index=255, validate_args=False)


def metric_rows(run: str, rounds: int) -> list[Row]:
    """Time the confusion matrix of masks of a megapixel each, and what is computed from it (C7)."""
    pairs, rival = masks(), torchmetrics_matrix()
    tensors = [tuple(torch.from_numpy(mask).long() for mask in pair) for pair in pairs]  # not timed

    def ours() -> np.ndarray:
        metric = SegmentationMetric(NAMES)
        for truth, found in pairs:
            metric.update(truth, found)
        return np.array(metric.result()["confusion"])

    def theirs() -> np.ndarray:
        rival.reset()
        for truth, found in tensors:
            rival.update(found, truth)
        return np.asarray(rival.compute().numpy())

    calls: dict[str, Callable[[], np.ndarray]] = {"striate": ours, "torchmetrics": theirs}
    if not np.array_equal(ours(), theirs()):
        raise Differs("the confusion matrices differ: nothing was timed")
    case = f"figures of {MEGAPIXELS} masks, 1 megapixel, {len(NAMES)} classes"
    return measure(
        SUBJECT, case, calls, baseline="torchmetrics", run=run, rounds=max(3, rounds // 3), warmup=1, goal="C7"
    )


def loss_inputs(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """Draw scores (N, K, H, W) in channels_last, as networks give them, and class numbers, 2 % of them ignored."""
    generator = torch.Generator().manual_seed(0)
    n, classes, height, width = shape
    scores = torch.randn(n, height, width, classes, generator=generator).permute(0, 3, 1, 2).to(device, dtype)
    target = torch.randint(classes, (n, height, width), generator=generator, dtype=torch.uint8)
    target[torch.rand(target.shape, generator=generator) < 0.02] = IGNORE
    return scores.requires_grad_(), target.to(device)


def torchs_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Return torch's loss of every pixel, as autocast computes it: in float32."""
    return F.cross_entropy(scores.float(), target.long(), ignore_index=IGNORE)


def loss_step(loss: Callable[[Tensor, Tensor], Tensor], switch: str, *inputs: Tensor) -> Callable[[], Tensor]:
    """Return a call that takes a loss and the gradient of its scores, and gives the latter."""

    def call() -> Tensor:
        with ops.kernels(switch):
            return torch.autograd.grad(loss(*inputs), inputs[0])[0]

    return call


def loss_rows(shape: tuple[int, int, int, int], dtype: torch.dtype, run: str, rounds: int) -> list[Row]:
    """Measure the memory of a training step's loss at its peak, scores and gradient included, and its time."""
    before = torch.cuda.memory_allocated() / 2**20
    inputs = loss_inputs(shape, dtype, "cuda")
    calls = {
        "striate": loss_step(cross_entropy, "triton", *inputs),
        "torch": loss_step(torchs_loss, "torch", *inputs),
    }
    # A gradient in bfloat16 is rounded by 2^-9 of itself, and the probabilities' own errors come on top.
    agree_on_values("striate", calls["striate"](), calls["torch"](), 1e-2 if dtype == torch.bfloat16 else 1e-4)
    peaks = {name: peak(call) - before for name, call in calls.items()}
    kind = str(dtype).removeprefix("torch.")
    share = peaks["striate"] / peaks["torch"]
    print(f"loss of every pixel, {kind}: {share:.0%} of torch's memory, aimed at {MOST_MEMORY:.0%}", flush=True)
    return measure(
        SUBJECT, f"loss of every pixel, {'x'.join(map(str, shape))}, {kind}, forward and backward", calls,
        baseline="torch", run=run, device="cuda", rounds=rounds, clock=device_clock, operation="cross_entropy",
        peaks=peaks,
    )  # fmt: skip


def gpu_parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case that needs a GPU with what checks and measures it."""
    for shape in LOSS_SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            yield f"loss, {shape}, {dtype}", partial(loss_rows, shape, dtype, run, rounds)


def parts(run: str, rounds: int) -> Iterator[Part]:
    """Name every case for a CPU with what checks and times it."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield "predict", partial(predict_rows, run, rounds)
    yield "metrics", partial(metric_rows, run, rounds)
