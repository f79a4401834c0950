"""Style's benchmark: a step is timed only where ours computes the published loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from striate.benchmarks import style, style_figures
from striate.benchmarks.harness import Differs
from striate.core.images import to_tensor
from striate.style import StyleTransfer
from striate.style.paint import Canvas
from striate.style.patterns import pattern


def test_the_published_loss_is_ours_whatever_the_weights() -> None:
    picture = style.scene(64)
    layers = {"relu1_1": 2.0, "relu3_1": 1.0}
    transfer = StyleTransfer(size=64, smallest=0, precision="fp32", style_layers=layers, style_weight=3.0, tv_weight=2)
    transfer.fit(pattern("mosaic", size=64))
    plain = style.Published(transfer, picture, (48, 64))
    ours = style.whole(transfer._objective(picture, Canvas(48, 64, 1), None, transfer._weights(), None))
    style.agree("striate", ours, plain, to_tensor(picture))
    with pytest.raises(Differs, match="loss and gradient are"):
        style.agree("striate", lambda pixels: 1.01 * ours(pixels), plain, to_tensor(picture))


def test_a_row_for_each_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "SIZES", (64,))
    threads = torch.get_num_threads()
    try:
        ((name, call),) = style.parts("now", 1)
        rows = call()
    finally:
        torch.set_num_threads(threads)
    assert name == "style, 64"
    assert {row.candidate for row in rows} >= {style.PLAIN, "striate"}
    assert [row.candidate for row in rows if row.baseline] == [style.PLAIN]


def test_every_method_descends() -> None:
    picture = style.scene(64)
    options: dict[str, Any] = {"size": 64, "smallest": 0, "steps": 6, "precision": "fp32"}
    transfer = StyleTransfer(**options).fit(pattern("mosaic", size=64))
    found = style_figures.equal_time(transfer, transfer, picture, (48, 64))
    assert max(found[name] for name in ("striate", "neural-style", "style-transfer-pytorch")) < found["start"]
