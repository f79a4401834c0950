"""What is drawn, checked and compared before a GPU's clock starts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from striate.benchmarks import gpu, kernels, rivals, tasks, whole_networks
from striate.benchmarks.harness import Differs
from striate.core import ops

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = kernels.fused(16, 32, 5)
CONVOLUTION = kernels.convolution("G1", 8, 8, 6)


def test_scales_and_shifts_lie_around_one() -> None:
    _, weight, scale, shift, residual = gpu.tensors(kernels.fused(64, 256, 56), batch=1, device="cpu")
    for tensor in (scale, shift):
        assert tensor.std().item() == pytest.approx(0.1, rel=0.2)
        assert tensor.mean().item() == pytest.approx(1, abs=0.03)
    assert weight.std().item() == pytest.approx(1 / 8, rel=0.1)
    assert residual.std().item() == pytest.approx(1, rel=0.1)


@pytest.mark.kernel
def test_a_fused_case_is_checked_in_the_launch_that_is_timed(monkeypatch) -> None:
    from striate.core.kernels import launch

    run, launched = launch.run, []

    def note(kernel, *args, **constants):
        launched.append(kernel)
        run(kernel, *args, **constants)

    monkeypatch.setattr(launch, "run", note)
    assert gpu.check(SMALL, DEVICE) < 1
    assert len(launched) == 1


def test_a_wrong_case_is_noticed() -> None:
    wrong = gpu.Case("wrong", "G1", "conv2d", lambda x: x * (1.0 if x.dtype == torch.float64 else 1.1), ((2, 3, 4, 4),))
    with pytest.raises(AssertionError, match="output: error"):
        gpu.check(wrong, "cpu")


def test_agree_sees_size_and_shape() -> None:
    gpu.agree("a", torch.tensor([1.0, 100.0]), torch.tensor([1.5, 100.0]), 0.01)
    with pytest.raises(Differs, match=r"a differs by 2\.0e-02 of the largest value"):
        gpu.agree("a", torch.tensor([1.0, 98.0]), torch.tensor([1.0, 100.0]), 0.01)
    with pytest.raises(Differs, match="a differs by nan"):
        gpu.agree("a", torch.tensor([float("nan")]), torch.tensor([1.0]), 0.01)
    with pytest.raises(Differs, match=r"a gives \(1, 2\), expected \(2,\)"):
        gpu.agree("a", torch.ones(1, 2), torch.ones(2), 0.01)


def test_a_backward_pass_gives_the_wanted_gradients_again_and_again() -> None:
    inputs = [t.float() for t in gpu.tensors(CONVOLUTION, batch=1, device="cpu")]
    call = gpu.backward(CONVOLUTION, inputs, "torch", (1,))
    first, second = call()[0], call()[0]
    assert first.shape == inputs[1].shape
    assert torch.equal(first, second)


def test_torchs_search_in_chunks_finds_what_ours_does(monkeypatch) -> None:
    x, words = torch.randn(50, 8), torch.randn(7, 8)
    monkeypatch.setattr(tasks, "CHUNK", 7 * 16)
    found = tasks.nearest_in_chunks(x, words)
    tasks.agree_on_words(found, ops.nearest_centroid(x, words))
    with pytest.raises(Differs, match=r"of the nearest words agree"):
        tasks.agree_on_words((found[0].roll(1), found[1]), found)
    with pytest.raises(Differs, match=r"nearest_centroid differs"):
        tasks.agree_on_words((found[0], found[1] * 1.1), found)


def test_the_chunks_are_large_and_end_with_the_points(monkeypatch) -> None:
    assert tasks.CHUNK >= 2**28
    sizes = []
    multiply = torch.addmm

    def count(norms, x, words, alpha):
        sizes.append(len(x))
        return multiply(norms, x, words, alpha=alpha)

    monkeypatch.setattr(torch, "addmm", count)
    monkeypatch.setattr(tasks, "CHUNK", 7 * 16)
    tasks.nearest_in_chunks(torch.randn(50, 8), torch.randn(7, 8))
    assert sizes == [16, 16, 16, 2]


def test_tf32_is_given_back() -> None:
    before = torch.get_float32_matmul_precision()
    with tasks.tf32():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(Differs), tasks.tf32():
        gpu.agree("a", torch.zeros(1), torch.ones(1), 0.1)
    assert torch.get_float32_matmul_precision() == before == "highest"


def test_products_by_bmm_are_the_gram_matrices(monkeypatch) -> None:
    maps = [torch.randn(2, 3, 4, 5), torch.randn(1, 2, 3, 3)]
    for got, expected in zip(tasks.products(maps, torch.float32), ops.gram(maps, "none"), strict=True):
        gpu.agree("bmm", got, expected, 1e-5)
    asked = []
    monkeypatch.setattr(torch, "bmm", lambda a, b, **options: asked.append((a.dtype, b.dtype, options)))
    tasks.products(maps[:1], torch.bfloat16)
    assert asked == [(torch.bfloat16, torch.bfloat16, {"out_dtype": torch.float32})]


def test_rivals_compute_the_same_from_the_same_weights(monkeypatch) -> None:
    attorch = SimpleNamespace(Conv2d=torch.nn.Conv2d)
    monkeypatch.setitem(sys.modules, "attorch", attorch)
    monkeypatch.setitem(sys.modules, "flag_gems", SimpleNamespace(conv2d=F.conv2d))
    compiled = []

    def compile_nothing(function, **options):
        compiled.append(options)
        return function

    monkeypatch.setattr(torch, "compile", compile_nothing)
    x, weight = (t.float() for t in rivals.inputs_of(CONVOLUTION, "cpu"))
    expected = F.conv2d(x, weight, None, 1, 1)
    for name, (_, build) in rivals.RIVALS.items():
        call = rivals.quiet(build(x, weight))
        gpu.agree(name, call(), expected, 1e-5)
        assert not call().requires_grad
    assert compiled == [{"dynamic": False, "options": rivals.TEMPLATES}]


def test_inductor_knows_the_options() -> None:
    import torch._inductor

    known = set(torch._inductor.list_options())
    for options in (rivals.TEMPLATES, *whole_networks.COMPILED.values()):
        assert options.keys() <= known
