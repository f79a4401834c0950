"""A training's memory does not grow with its pictures."""

import tracemalloc
from pathlib import Path

import pytest

from striate.bow_baseline.bow_classifier import BowClassifier
from striate.core.datasets.classes import ClassDataset
from striate.core.images import save_image
from striate.tests.core.test_classifier import stripes

OPTIONS = {
    "describer_options": {"step": 6, "bin_sizes": [4]},
    "encoder": "hard",
    "words": 200,
    "encoder_options": {"passes": 1},
    "samples": 1000,
    "pyramid": "1x1+8x8",
    "c": 1.0,
}
BYTES = 65 * 200 * 4
"""Of a picture's vector."""


def peak(data: ClassDataset, cache: Path | None) -> int:
    """Most bytes that a training holds."""
    tracemalloc.start()
    try:
        BowClassifier(**OPTIONS).fit(data, cache=cache)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:the SVM did not come to its precision")
def test_with_a_cache_or_many_pictures_memory_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.bow_baseline.svm.MOST_EXACT", 10)  # the streamed solver, as for 5,000 pictures
    monkeypatch.setattr("striate.bow_baseline.solvers.PART", 16)
    monkeypatch.setattr("striate.bow_baseline.solvers.MOST_PASSES", 3)
    many = stripes(128, size=40)
    paths = [save_image(many.image(i), tmp_path / f"{i}.png") for i in range(128)]
    few, all_of_them = (ClassDataset(paths[:n], many.labels[:n], many.names) for n in (32, 128))
    caches = [tmp_path / name for name in ("few", "many")]
    for cache in caches:
        cache.mkdir()
    small, large = (peak(data, cache) for data, cache in zip((few, all_of_them), caches, strict=True))
    assert large - small < 0.15 * (128 - 32) * BYTES  # 0.04 seen
    assert peak(all_of_them, None) - large > 0.8 * 128 * BYTES  # held in memory: the measure sees what it should
    monkeypatch.setattr("striate.bow_baseline.room.MOST_HELD", 32 * BYTES)
    assert peak(all_of_them, None) - small < 0.15 * (128 - 32) * BYTES
