"""The painters that are shipped: they paint as their cards say."""

from __future__ import annotations

import pytest

from striate.core.weights import WEIGHTS
from striate.style import FastStyle
from striate.style.patterns import pattern

SHIPPED = [name for name, row in WEIGHTS.items() if row.task == FastStyle.task]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_painter_reaches_its_figures_on_photographs_that_it_has_not_seen(name: str) -> None:
    data = pytest.importorskip("skimage.data", reason="needs the `app` extra")
    painter, row = FastStyle.from_pretrained(name), WEIGHTS[name]
    found = painter.evaluate(pattern(name.removesuffix("-fast")), [data.astronaut(), data.chelsea(), data.coffee()])
    assert found["loss"] == pytest.approx(row.figures["loss"], rel=0.02)
    assert found["style"] == pytest.approx(row.figures["style"], rel=0.02)
    assert found["style"] < found["style_before"] / 3
    assert row.size < 4_000_000


def test_two_are_shipped() -> None:
    assert len(SHIPPED) == 2
