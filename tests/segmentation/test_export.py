"""ONNX: the file computes what the network computes, or there is no file."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from striate.core.checks import UsageError
from striate.segmentation import Segmenter

KINDS = {"pyramid": {"options": {"size": "n"}}, "fcn8s": {"backbone": "resnet18"}}


def segmenter(network: str) -> Segmenter:
    made = Segmenter(("a", "b", "c"), network=network, image_size=(64, 96), **KINDS[network])  # type: ignore[arg-type]
    torch.manual_seed(0)
    made._use(made._build(made.names))
    assert made.network_ is not None
    for parameter in made.network_.network.network.classes.parameters():  # type: ignore[union-attr, operator]
        torch.nn.init.normal_(parameter, std=0.1)  # an FCN starts with scores of 0, which any file would have
    return made


@pytest.mark.parametrize("network", KINDS)
def test_file_agrees_and_describes_itself(network: str, tmp_path: Path) -> None:
    made, path = segmenter(network), tmp_path / "made.onnx"
    assert made.export(path) < 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32)
    (scores,) = session.run(None, {"images": x})
    assert made.network_ is not None
    with torch.inference_mode():
        ours = made.network_(torch.from_numpy(x)).numpy()
    assert scores.shape == ours.shape == (1, 3, 64, 96)
    np.testing.assert_allclose(scores, ours, atol=1e-4 * np.abs(ours).max())
    about = json.loads(next(p.value for p in onnx.load(path).metadata_props if p.key == "striate"))
    assert (about["kind"], about["names"], about["height"], about["width"]) == ("Segmenter", ["a", "b", "c"], 64, 96)


@pytest.mark.parametrize("size", [(60, 64), (0, 32)])
def test_sizes_off_the_stride(size: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a size of multiples of 32 from 32; got .* x .*; pad pictures to multiples"):
        segmenter("pyramid").export(tmp_path / "made.onnx", size=size)
