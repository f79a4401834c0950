"""ONNX: the file computes what the network computes, or there is no file."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from striate.core.checks import ExportError
from striate.core.export import export_onnx
from striate.core.layers import Conv2d
from striate.detection import Detector
from striate.detection.export import Decoder


@pytest.fixture(scope="module")
def detector() -> Detector:
    made = Detector(names=("a", "b"), image_size=64)
    made._use(made._build(made.names))
    return made


def test_file_agrees_and_describes_itself(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    assert detector.export(path, size=(48, 64)) < 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    boxes, scores = session.run(None, {"images": x})
    assert boxes.shape == (1, 84, 4)
    assert detector.network_ is not None
    with torch.inference_mode():
        ours = Decoder(detector.network_)(torch.from_numpy(x))
    np.testing.assert_allclose(boxes, ours[0], atol=1e-2)
    np.testing.assert_allclose(scores, ours[1], atol=1e-5)
    about = json.loads(next(p.value for p in onnx.load(path).metadata_props if p.key == "striate"))
    assert about["names"] == ["a", "b"]
    assert (about["height"], about["width"]) == (64, 64)


def test_disagreement_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ExportError, match=r"outputs within -1 of the network's; got"):
        export_onnx(Pair(), [torch.rand(1, 3, 8, 8)], path, outputs=("y", "z"), metadata={}, tolerance=-1)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Pair(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2d(3, 2, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.conv(x), x.mean((2, 3))


def test_other_suffix_is_refused(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ends in \.onnx; got .*model\.pt"):
        detector.export(tmp_path / "model.pt")


def test_missing_package_is_named(detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"onnxruntime missing; install the extra: pip install striate\[export\]"):
        detector.export(tmp_path / "made.onnx")
