"""Concatenation: channels side by side to the bit, gradients as views, and what is refused."""

from __future__ import annotations

import pytest
import torch

from striate.core import layers, ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel

RAW = {"concat": lambda: ([torch.randn(2, c, 4, 3).requires_grad_() for c in (3, 5)],)}

COMPILE = {
    "concat": (lambda *maps: ops.concat(maps), ((8, 64, 32, 32), (8, 35, 32, 32))),
    "concat, int64": (lambda *maps: ops.concat(maps), ((8, 64, 32, 32), (8, 35, 32, 32)), {"wide": True}),
}

CHANNELS = {
    "one map": (5,),
    "odd channels": (3, 5, 1),
    "above a tile": (70, 2),
    "a map without channels": (4, 0, 3),
    "many maps": (2,) * 12,
}


def draw(channels, sizes=(5, 7), dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(2, c, *sizes).to(dtype).requires_grad_() for c in channels]


@kernel
@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
def test_is_torch_to_the_bit(channels, dtype) -> None:
    maps = draw(channels, dtype=dtype)
    out, expected = ops.concat(maps), torch.cat(maps, 1)
    assert torch.equal(out, expected)
    assert out.is_contiguous(memory_format=torch.channels_last)
    incoming = torch.randn(out.shape).to(dtype)
    for ours, theirs in zip(
        torch.autograd.grad(out, maps, incoming), torch.autograd.grad(expected, maps, incoming), strict=True
    ):
        assert torch.equal(ours, theirs)


@kernel
@pytest.mark.parametrize("sizes", [(9,), (3, 4, 5)], ids=["signals", "volumes"])
def test_other_dimensions(sizes) -> None:
    maps = draw((3, 4), sizes)
    assert torch.equal(ops.concat(maps, 1), torch.cat(maps, 1))
    assert torch.equal(ops.concat(maps, -1 - len(sizes)), torch.cat(maps, 1))


@kernel
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    maps = [torch.randn(2, 4, 6, 20).transpose(1, 3)[:, ::2], torch.randn(2, 18, 6, 4), torch.randn(2, 1, 6, 4)]
    assert torch.equal(ops.concat(maps), torch.cat(maps, 1))
    assert small_tiles.names == ["concat_forward"] * 3


@kernel
def test_gradients_are_views_and_the_same_map_twice_gets_both() -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    out = ops.concat([x, x])
    incoming = torch.randn(out.shape)
    out.backward(incoming)
    torch.testing.assert_close(x.grad, incoming[:, :3] + incoming[:, 3:])
    x.grad = None
    ops.concat([x, torch.zeros(2, 1, 4, 5)]).sum().backward()  # a gradient of stride 0
    assert torch.equal(x.grad, torch.ones_like(x))


@kernel
def test_nothing_is_launched_for_an_empty_batch(count_launches) -> None:
    maps = [torch.zeros(0, c, 4, 4, requires_grad=True) for c in (2, 3)]
    out = ops.concat(maps)
    out.sum().backward()
    assert out.shape == (0, 5, 4, 4)
    assert maps[0].grad.shape == maps[0].shape
    assert count_launches.names == []


@kernel
def test_matrices_and_float64_are_refused() -> None:
    with pytest.raises(UsageError, match=r"tensors \(N, C, ...\) with pixels; got shape \(2, 3\)"):
        ops.concat([torch.zeros(2, 3)])
    with pytest.raises(UsageError, match="float32, float16 or bfloat16 for a Triton kernel; got float64"):
        ops.concat([torch.zeros(2, 3, 4, 4, dtype=torch.float64)])


@pytest.mark.parametrize(
    ("maps", "dim", "words"),
    [
        ([], 1, "at least one map; got none"),
        ([torch.zeros(2, 3, 4, 4)], 2, "dim 1, the channels; got dim 2"),
        (
            [torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4).half()],
            1,
            "one dtype; got torch.float32 and torch.float16",
        ),
        ([torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4, device="meta")], 1, "maps on one device; got .* and meta"),
        ([torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 5)], 1, r"differ in their channels only; got shapes \(2, 3, 4"),
        ([torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4)], 1, "differ in their channels only"),
    ],
    ids=["none", "dim", "dtype", "device", "size", "dimensions"],
)
def test_errors_say_what_was_expected(maps, dim, words) -> None:
    with pytest.raises(UsageError, match=words):
        ops.concat(maps, dim)


def test_torch_road_and_layer() -> None:
    maps = draw((3, 4))
    with ops.kernels("torch"):
        assert torch.equal(layers.Concat()(*maps), torch.cat(maps, 1))
