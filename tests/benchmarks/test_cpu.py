"""k-means is timed against the same work: as many assignments, and final labels and inertia."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.benchmarks import cpu
from striate.benchmarks.harness import Differs
from striate.core import ops


def test_all_end_with_centroids_labels_and_inertia() -> None:
    generator = np.random.default_rng(0)
    x = generator.random((600, 16), dtype=np.float32) + generator.integers(0, 5, (600, 1)).astype(np.float32)
    start = np.stack([x[np.abs(x.mean(1) - i - 0.5).argmin()] for i in range(5)])
    found = [cpu.lloyd(torch.from_numpy(x), torch.from_numpy(start)), cpu.scikit_learn(x, start), cpu.opencv(x, 5)]
    for centroids, labels, inertia in found:
        nearest, distances = ops.nearest_centroid(torch.from_numpy(x), torch.as_tensor(centroids))
        assert np.array_equal(labels, nearest)
        assert inertia == pytest.approx(distances.sum().item(), rel=1e-4)
    cpu.same_clusters(found[0], found[1], found[1])


def test_assignments_are_as_many_as_scikit_learns(monkeypatch) -> None:
    calls, nearest = [], ops.nearest_centroid

    def count(*given):
        calls.append(given)
        return nearest(*given)

    monkeypatch.setattr(ops, "nearest_centroid", count)
    x = torch.rand(50, 4)
    cpu.lloyd(x, x[:3].clone())
    assert len(calls) == cpu.STEPS + 1


@pytest.mark.parametrize(("labels", "inertia"), [([0, 0, 0, 0], 2.0), ([0, 1, 2, 3], 2.1)], ids=["labels", "inertia"])
def test_other_clusters_stop_the_case(labels, inertia) -> None:
    right = (np.zeros(1), np.arange(4), 2.0)
    cpu.same_clusters(right, right, right)
    with pytest.raises(Differs, match="of the labels agree, inertias"):
        cpu.same_clusters((np.zeros(1), np.array(labels), inertia), right, right)
