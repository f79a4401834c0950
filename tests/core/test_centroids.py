"""Nearest centroids and cluster sums on both roads, against scikit-learn, SciPy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.cluster.vq import vq
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin_min

from striate.core import ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel
ROADS = pytest.mark.parametrize("road", ["torch", pytest.param("auto", marks=kernel)], ids=["torch", "kernels"])

RAW = {
    "nearest_centroid": lambda: (torch.randn(5, 4), torch.randn(3, 4), "ieee"),
    "nearest_centroids": lambda: (torch.randn(5, 4), torch.randn(3, 4), 2, "ieee"),
    "centroid_sums": lambda: (torch.randn(5, 4), torch.tensor([0, 2, 2, 0, 2]), 4),
}

COMPILE = {
    **{
        f"nearest centroid, {name}": (
            lambda x, c, p=precision: ops.nearest_centroid(x, c, precision=p), ((4096, 128), (1000, 128)),
            {"dtype": dtype, "gradient": False},
        )
        for name, dtype, precision in (
            ("half", torch.bfloat16, "ieee"), ("tf32", torch.float32, "tf32"), ("exact", torch.float32, "ieee"),
        )
    },
    "nearest centroids": (lambda x, c: ops.nearest_centroids(x, c, 8), ((4096, 128), (1000, 128)), {"gradient": False}),
    "cluster sums": (
        lambda x: ops.centroid_sums(x, torch.zeros(4096, dtype=torch.int64), 300), ((4096, 128),), {"gradient": False},
    ),
}  # fmt: skip

SHAPES = {
    "words": (50, 128, 70),
    "one point": (1, 8, 5),
    "one centroid": (9, 8, 1),
    "an odd number of coordinates": (33, 7, 20),
    "one coordinate": (20, 1, 9),
    "more centroids than points": (5, 16, 130),
}


def problem(m, d, k, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(m, d).to(dtype), torch.randn(k, d).to(dtype)


@ROADS
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_nearest_as_scikit_learn_and_scipy(shape, road) -> None:
    x, centroids = problem(*shape)
    with ops.kernels(road):
        indices, distances = ops.nearest_centroid(x, centroids, precision="ieee")
    a, b = x.cpu().double().numpy(), centroids.cpu().double().numpy()
    expected, metres = pairwise_distances_argmin_min(a, b)
    assert indices.tolist() == expected.tolist() == vq(a, b)[0].tolist()
    np.testing.assert_allclose(distances.cpu(), metres**2, rtol=1e-5, atol=1e-5)


@ROADS
@pytest.mark.parametrize("k", [1, 3, 16])
def test_the_k_nearest_in_their_order(k, road) -> None:
    x, centroids = problem(40, 12, 90)
    with ops.kernels(road):
        indices, distances = ops.nearest_centroids(x, centroids, k, precision="ieee")
    exact = pairwise_distances(x.cpu().double().numpy(), centroids.cpu().double().numpy(), "sqeuclidean")
    assert indices.tolist() == np.argsort(exact, 1)[:, :k].tolist()
    np.testing.assert_allclose(distances.cpu(), np.sort(exact, 1)[:, :k], rtol=1e-5, atol=1e-5)


@ROADS
def test_ties_go_to_the_lowest_index(road) -> None:
    x, centroids = torch.zeros(3, 4), torch.ones(100, 4)
    centroids[70:] = 0
    with ops.kernels(road):
        assert ops.nearest_centroid(x, centroids)[0].tolist() == [70, 70, 70]
        assert ops.nearest_centroids(x, centroids, 3)[0].tolist() == [[70, 71, 72]] * 3


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_multiplies_what_it_was_given(dtype) -> None:
    x, centroids = problem(40, 24, 50, dtype)
    indices, distances = ops.nearest_centroid(x, centroids)
    expected, metres = pairwise_distances_argmin_min(x.cpu().double().numpy(), centroids.cpu().double().numpy())
    assert indices.tolist() == expected.tolist()  # products of halves are exact in float32
    np.testing.assert_allclose(distances.cpu(), metres**2, rtol=1e-5, atol=1e-5)


@ROADS
def test_the_sums_of_each_cluster(road) -> None:
    x, _ = problem(300, 70, 1)
    torch.manual_seed(1)
    indices = torch.randint(0, 9, (300,)) * 2  # odd clusters are empty
    with ops.kernels(road):
        sums, counts = ops.centroid_sums(x, indices, 20)
        again, _ = ops.centroid_sums(x, indices, 20)
    for k in range(20):
        torch.testing.assert_close(sums[k].double(), x[indices == k].double().sum(0), atol=1e-4, rtol=1e-5)
    assert counts.tolist() == [int((indices == k).sum()) for k in range(20)]
    assert torch.equal(sums, again)


@ROADS
def test_nothing_to_do_strides_and_nan(road) -> None:
    with ops.kernels(road):
        x, centroids = problem(6, 8, 5)
        for empty in (ops.nearest_centroid(x[:0], centroids), ops.nearest_centroids(x[:0], centroids, 2)):
            assert [len(t) for t in empty] == [0, 0]
        sums, counts = ops.centroid_sums(x[:0], torch.zeros(0, dtype=torch.int64), 3)
        assert not sums.any()
        assert not counts.any()
        turned = ops.nearest_centroid(x.T.contiguous().T, centroids.repeat(1, 2)[:, :8])
        assert torch.equal(turned[0], ops.nearest_centroid(x, centroids)[0])
        x[2, 3] = float("nan")
        indices, distances = ops.nearest_centroid(x, centroids)
        assert indices[2] == 0
        assert distances.isnan().tolist() == [False, False, True, False, False, False]


@kernel
def test_many_programs_and_int64_offsets(monkeypatch) -> None:
    from striate.core.kernels import launch, tiles

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    monkeypatch.setattr(tiles, "power", lambda size, most: 16)
    x, centroids = problem(50, 40, 70)
    expected = pairwise_distances_argmin_min(x.cpu().numpy(), centroids.cpu().numpy())[0]
    assert ops.nearest_centroid(x, centroids, precision="ieee")[0].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ops.nearest_centroid(x, x[:, :3]), r"at least one centroid \(K, D\); got \(5, 4\) and \(5, 3\)"),
        (lambda x: ops.nearest_centroid(x, x[:0]), r"at least one centroid \(K, D\)"),
        (lambda x: ops.nearest_centroid(x, x.half()), "of one dtype on one device; got torch.float32 on"),
        (lambda x: ops.nearest_centroids(x, x, 6), "k from 1 to 5; got 6"),
        (
            lambda x: ops.centroid_sums(x, torch.zeros(4, dtype=torch.int64), 2),
            r"an index for each; got \(5, 4\) and \(4,\)",
        ),
        (
            lambda x: ops.centroid_sums(x, torch.zeros(5, dtype=torch.int64, device="meta"), 2),
            r"points and indices on one device; got .* and meta; move one of them",
        ),
    ],
    ids=["coordinates", "no centroid", "dtypes", "k", "indices", "devices"],
)
def test_errors(call, words) -> None:
    with pytest.raises(UsageError, match=words):
        call(torch.zeros(5, 4))


@kernel
def test_the_kernels_refuse_float64() -> None:
    x = torch.zeros(5, 4, dtype=torch.float64)
    for call in (
        lambda: ops.nearest_centroid(x, x),
        lambda: ops.centroid_sums(x, torch.zeros(5, dtype=torch.int64), 2),
    ):
        with pytest.raises(UsageError, match="float32, float16 or bfloat16 for a Triton kernel; got float64; convert"):
            call()


def test_the_cpu_keeps_few_distances_at_a_time(monkeypatch) -> None:
    shapes = []
    plain = torch.addmm

    def note(*given, **keywords):
        shapes.append(given[1].shape[0])
        return plain(*given, **keywords)

    monkeypatch.setattr(torch, "addmm", note)
    with ops.kernels("torch"):
        ops.nearest_centroid(torch.zeros(5000, 4), torch.zeros(1000, 4))
    assert max(shapes) * 1000 <= 2**20
