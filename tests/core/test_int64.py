"""Sizes from 2^31 on, without the memory: kernels are told of more images than there are, and launched on the first.

A count of pixels that is multiplied in int32 is 0 for 2^30 images of a multiple of 4 pixels, and nothing is stored.
What only memory would show is read in the intermediate code.
"""

from __future__ import annotations

import re

import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel


def box() -> torch.Tensor:
    return torch.tensor([[0.0, 0.5, 0.5, 3.0, 3.0], [1.0, 1.0, 0.0, 4.0, 2.0]])


# Functions of a map (2, 16, 4, 8) and of tensors of the shapes behind. Inputs and outputs have multiples of 16 pixels,
# as many as a tile, so that no program reaches beyond what there is.
FUNCTIONS = {
    "convolution": (lambda x, w: ops.conv2d(x, w, padding=1), (4, 16, 3, 3)),
    "convolution, few channels": (lambda x, w: ops.conv2d(x[:, :4], w, padding=1), (4, 4, 3, 3)),
    "transposed": (lambda x, w: ops.conv_transpose2d(x, w, stride=2), (16, 4, 2, 2)),
    "depthwise": (lambda x, w: ops.conv2d(x, w, padding=1, groups=16), (16, 1, 3, 3)),
    "max": (lambda x: ops.max_pool2d(x, 3, 1, 1),),
    "mean": (lambda x: ops.avg_pool2d(x, 3, 1, 1),),
    "adaptive mean": (lambda x: ops.adaptive_avg_pool2d(x, (4, 4)),),
    "adaptive max": (lambda x: ops.adaptive_max_pool2d(x, (4, 4))[0],),
    "upsample": (lambda x: ops.upsample(x, 2, mode="bilinear"),),
    "stochastic, drawn": (lambda x: ops.stochastic_pool2d(x, 1),),
    "stochastic, test": (lambda x: ops.stochastic_pool2d(x, 3, 1, 1, training=False),),
    "sample": (ops.grid_sample, (2, 4, 4, 2)),
    "affine grid": (lambda x: ops.affine_grid(x[:, 0, :2, :3], (2, 1, 4, 4)),),
    "roi align": (lambda x: ops.roi_align(x, box(), (2, 4)),),
    "roi pool": (lambda x: ops.roi_pool(x, box(), (2, 4)),),
    "decoded": (lambda x: ops.yolo_decode([(x.detach(), x.detach()[:, :3])], [8], 0.1).scores,),
}


@kernel
@pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_products_of_sizes(case, small_tiles, monkeypatch) -> None:
    from striate.core.kernels import launch, tiles

    monkeypatch.setattr(tiles, "small_tile", lambda rows, channels: (16, 16))
    monkeypatch.setattr(tiles, "power", lambda size, most: 16)
    monkeypatch.setattr(tiles, "MIN_BLOCKS", 2**30)  # sums in one part: the place of a second depends on the count
    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    torch.manual_seed(0)
    function, *shapes = case
    tensors = [torch.randn(shape).requires_grad_() for shape in ((2, 16, 4, 8), *shapes)]

    def results():
        y = function(*tensors)
        return [y, *(torch.autograd.grad(y, tensors, torch.ones_like(y)) if y.requires_grad else ())]

    expected = results()
    run, told = launch.run, []

    def tell(compute, grid, *args, **keywords):
        names, values = compute.arg_names, list(args)
        for name in ("N", "K") if compute.__name__.startswith("roi") else ("N",):  # K: boxes; elsewhere filters
            if name in names:
                values[names.index(name)] = 2**30
                told.append(compute.__name__)
        run(compute, grid, *values, **keywords)

    monkeypatch.setattr(launch, "run", tell)
    found = results()
    assert told
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-6)


@kernel
@pytest.mark.parametrize(
    ("function", "shapes", "limit"),
    [
        (ops.grid_sample, ((1, 1, 2, 2), (1, 4, 5, 2)), 40),
        (lambda x, c: ops.nearest_centroid(x, c), ((1, 2), (9, 2)), 18),
        (lambda x, c: ops.nearest_centroids(x, c, 1), ((4, 2), (5, 2)), 64),
    ],
    ids=["points of a grid", "centroids", "lists of 16"],
)
def test_every_tensor_may_need_int64(function, shapes, limit, monkeypatch) -> None:
    from striate.core.kernels import launch

    found = []
    run = launch.run

    def note(compute, grid, *args, **keywords):
        found.append(keywords["WIDE"])
        run(compute, grid, *args, **keywords)

    monkeypatch.setattr(launch, "run", note)
    for most, wide in ((limit + 1, False), (limit, True)):
        monkeypatch.setattr(launch, "INT32_LIMIT", most)
        tensors = [torch.randn(shape).requires_grad_(function is ops.grid_sample) for shape in shapes]
        out = function(*tensors)
        if function is ops.grid_sample:
            out.sum().backward()
        assert found == [wide] * len(found) != []
        found.clear()


@kernel
def test_a_tile_behind_the_last_number_stays_positive() -> None:
    from striate.core.kernels import launch

    assert launch.wide(2**31 - 65536)
    assert not launch.wide(2**31 - 65537)


@kernel
def test_a_grid_that_no_device_launches_is_refused() -> None:
    words = (
        "a grid of at most 2,147,483,647 x 65,535 x 65,535 programs; got 1 x 1 x 65,536 for conv_input_gradient; use"
    )
    with pytest.raises(UsageError, match=words):
        ops.conv_transpose2d(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), stride=256)


@pytest.mark.compile
def test_images_and_columns_are_int64_in_the_code(monkeypatch) -> None:
    pytest.importorskip("triton")
    from striate.core.kernels import launch
    from striate.tests.core import test_compile as tier

    launches = []

    def note(compute, grid, *args, num_warps=4, num_stages=3, **constants) -> None:
        launches.append(tier.Launch(compute, args, {"num_warps": num_warps, "num_stages": num_stages}, constants))

    monkeypatch.setattr(launch, "run", note)
    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    monkeypatch.setattr(ops.switch, "uses_triton", lambda x: True)
    x = torch.zeros(2, 16, 7, 9).requires_grad_()
    for pool in (ops.roi_align, ops.roi_pool):
        pool(x, box(), 2).sum().backward()
    a, b = torch.zeros(100, 70), torch.zeros(50, 70)
    ops.chi2_kernel(a, b)
    ops.nearest_centroid(a, b)
    ops.nearest_centroids(a, b, 3)
    texts = {entry.kernel.__name__: tier.compile_launch(entry, 90).ttir for entry in launches}
    assert len(texts) == 7
    for name, text in texts.items():
        if name.startswith("roi"):  # the number of the image, read as a float
            assert re.search(r"arith\.fptosi .* to tensor<\d+xi64>|arith\.extsi .* to tensor<\d+x1?x?i64>", text), name
        else:
            assert not re.search(r"arith\.muli .*tensor<.*xi32>", text), name
