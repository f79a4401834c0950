"""Fixtures for the tests of the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest


@dataclass
class Launches:
    """The names of the kernels launched since the fixture was asked for, in order."""

    names: list[str] = field(default_factory=list)

    def launched(self, name: str) -> bool:
        return name in self.names


@pytest.fixture
def count_launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    """Record which kernels are launched, and launch them."""
    from striate.core.kernels import launch

    seen = Launches()
    run = launch.run

    def note(kernel, *args, **keywords):
        seen.names.append(kernel.__name__)
        run(kernel, *args, **keywords)

    monkeypatch.setattr(launch, "run", note)
    return seen


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch, count_launches: Launches) -> Launches:
    """Cut the work into small tiles and parts, so that a small problem has several programs along every axis."""
    from striate.core.kernels import tiles

    monkeypatch.setattr(tiles, "tile", lambda *_, **__: tiles.Tile(16, 16, 16, 1))
    monkeypatch.setattr(tiles, "weight_tile", lambda *_, **__: tiles.Tile(16, 64, 16, 1))
    monkeypatch.setattr(tiles, "column_tile", lambda rows, channels: (16, 16))
    monkeypatch.setattr(tiles, "MIN_BLOCKS", 1)
    return count_launches
