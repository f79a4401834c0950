"""Both sides of the segmentation benchmark compute the same thing, and a side that does not stops the case."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from striate.benchmarks import segmentation
from striate.benchmarks.goals import GOALS
from striate.benchmarks.harness import Differs
from striate.segmentation.loss import cross_entropy
from striate.segmentation.metrics import confusion_matrix


def test_masks_are_mostly_right_and_partly_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "MEGAPIXELS", 1)
    ((truth, found),) = segmentation.masks()
    assert truth.shape == found.shape == (1000, 1000)
    assert 0.01 < (truth == 255).mean() < 0.03
    matrix = confusion_matrix(truth, found, 11)
    assert 0.8 < np.trace(matrix) / matrix.sum() < 0.9


def test_metrics_are_compared_before_they_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("torchmetrics") is None:
        pytest.skip("needs torchmetrics")
    monkeypatch.setattr(segmentation, "MEGAPIXELS", 1)
    rows = segmentation.metric_rows("now", 1)
    assert {row.candidate: row.baseline for row in rows} == {"striate": False, "torchmetrics": True}
    assert {row.goal for row in rows} <= {goal.key for goal in GOALS}
    monkeypatch.setattr(segmentation.SegmentationMetric, "update", lambda self, truth, found: None)
    with pytest.raises(Differs, match="the confusion matrices differ"):
        segmentation.metric_rows("now", 1)


def test_onnx_runtime_is_given_what_predict_sees() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*segmentation.SIZE, 3), dtype=np.uint8)
    seen = []

    def run(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        scores = np.zeros((1, 11, *segmentation.CANVAS), np.float32)
        scores[0, 3, :100] = 1
        return scores

    labels = segmentation.by_onnx_runtime(run, picture)
    assert (labels.shape, labels.dtype) == (segmentation.SIZE, np.uint8)
    assert (labels[:100] == 3).all()
    assert (labels[100:] == 0).all()
    assert seen[0].shape == (1, 3, *segmentation.CANVAS)
    np.testing.assert_array_equal(seen[0][0, :, 360], seen[0][0, :, 358])  # mirrored, the last row not repeated
    np.testing.assert_allclose(seen[0][0, :, :360].transpose(1, 2, 0) * 255, picture, atol=1e-4)


def test_labels_are_compared_before_they_are_timed() -> None:
    """The segmenter that is timed has weights that tell pixels apart."""
    picture = segmentation.resize(segmentation.blood_smear(seed=7)[0], segmentation.SIZE)
    labels = segmentation.segmenter("fp32", picture).predict(picture).labels
    assert len(np.unique(labels)) > 1
    segmentation.same_labels("striate", labels, labels)
    other = labels.copy()
    other[:10] += 1
    with pytest.raises(Differs, match="of the labels of striate agree"):
        segmentation.same_labels("striate", other, labels)
    segmentation.same_labels("striate, bfloat16", other, labels)
    with pytest.raises(Differs, match="one class everywhere"):
        segmentation.same_labels("striate", labels * 0, labels * 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_both_losses_have_the_gradient_that_is_compared(dtype: torch.dtype) -> None:
    scores, target = segmentation.loss_inputs((2, 5, 12, 8), dtype, "cpu")
    assert scores.is_contiguous(memory_format=torch.channels_last)
    assert (target == 255).any()
    ours, theirs = (
        segmentation.loss_step(loss, "torch", scores, target)() for loss in (cross_entropy, segmentation.torchs_loss)
    )
    assert ours.dtype == theirs.dtype == dtype
    segmentation.agree_on_values("striate", ours, theirs, 1e-2)
    with pytest.raises(Differs, match="striate differs"):
        segmentation.agree_on_values("striate", 1.1 * ours, theirs, 1e-2)


def test_the_memory_of_a_loss_is_measured_on_a_gpu_only() -> None:
    names = [name for name, _ in segmentation.gpu_parts("now", 1)]
    assert len(set(names)) == len(names) == 4
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    rows = segmentation.loss_rows((2, 11, 96, 128), torch.bfloat16, "now", 3)
    assert all(row.peak_mb > 0 for row in rows)
