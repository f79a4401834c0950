"""Cross-entropy: kernels under the interpreter against float64; weights, ignored classes, smoothing, wrong targets."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.testing import assert_exact_enough

kernel = pytest.mark.kernel

RAW = {
    "cross_entropy": lambda: (
        torch.randn(2, 3, 4, 5).requires_grad_(), torch.randint(3, (2, 4, 5)), torch.rand(3), 1, 0.1, "mean",
        torch.float32,
    ),
    "cross_entropy_gradient": lambda: (
        torch.randn(6), torch.randn(6, 3), torch.randint(3, (6,)), None, torch.zeros(0), 1, 0.0, "none",
    ),
}  # fmt: skip


def of_class(number, dtype=torch.int64, **keywords):
    """Return a loss of scores whose targets are all `number`."""

    def loss(x, weight=None):
        target = torch.full((x.shape[0], *x.shape[2:]), number, dtype=dtype, device=x.device)
        return ops.cross_entropy(x, target, None if weight is None else weight.detach(), **keywords)

    return loss


FP32 = {"dtype": torch.float32}
COMPILE = {
    "cross entropy of 1,000 classes": (of_class(3), ((256, 1000),)),
    "cross entropy of masks, smoothed, weights": (
        of_class(3, torch.uint8, ignore_index=255, label_smoothing=0.1), ((4, 21, 64, 64), (21,)),
    ),
    "cross entropy of two classes, fp32": (of_class(1, reduction="none"), ((4, 2, 64, 64),), FP32),
    "cross entropy of 4,096 classes, smoothed, fp32": (of_class(1, label_smoothing=0.1), ((64, 4096), (4096,)), FP32),
    "cross entropy of long rows, smoothed, int64 offsets": (
        of_class(3, reduction="sum", label_smoothing=0.1), ((8, 32768), (32768,)), {"wide": True},
    ),
}  # fmt: skip

SHAPES = {
    "pictures": (6, 10),
    "odd number of classes": (5, 7),
    "one class": (4, 1),
    "pixels": (2, 21, 5, 7),
    "one pixel a picture": (4, 5, 1, 1),
    "one row": (1, 3),
}
FORMS = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "no reduction": {"reduction": "none"},
    "mean, weights": {"weights": True},
    "sum, weights, ignored": {"reduction": "sum", "weights": True, "ignore_index": 0},
    "mean, weights, smoothed, ignored": {"weights": True, "label_smoothing": 0.2, "ignore_index": 0},
    "no reduction, smoothed": {"reduction": "none", "label_smoothing": 0.2},
    "mean, even": {"label_smoothing": 1.0},
}
# NumPy, which interprets, warns of 0 / 0 and of infinities subtracted. The answer is NaN on purpose.
not_a_number = pytest.mark.filterwarnings("ignore:(invalid value|divide by zero|All-NaN):RuntimeWarning")


def problem(shape, dtype=torch.float32, integers=torch.int64):
    """Return scores, targets of all classes (the first not 0), and class weights."""
    torch.manual_seed(0)
    rows = shape[0] * torch.Size(shape[2:]).numel()
    target = (torch.arange(rows) + 1).remainder(shape[1]).view(shape[0], *shape[2:]).to(integers)
    return torch.randn(shape).to(dtype).requires_grad_(), target, torch.rand(shape[1]) + 0.5


def agree(x, target, weight, *, weights=False, terms=None, **keywords):
    """Compare with float64; the mean times the rows, so that gradients are not small beside the tolerance."""
    rows = target.numel() if keywords.get("reduction", "mean") == "mean" else 1

    def loss(x):
        by_class = weight.to(x) if weights else None
        return rows * ops.cross_entropy(x, target.to(x.device), by_class, **keywords)

    return assert_exact_enough(loss, [x], terms=terms or max(target.numel(), x.shape[1]))


@kernel
@pytest.mark.parametrize("keywords", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@not_a_number  # one class, and that one ignored
def test_agrees_with_float64(shape, keywords) -> None:
    agree(*problem(shape), **keywords)  # worst seen: 0.10 of the tolerance


@kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(dtype) -> None:
    for keywords in ({}, FORMS["no reduction, smoothed"], FORMS["mean, weights, smoothed, ignored"]):
        agree(*problem((2, 21, 5, 7), dtype), **keywords)  # worst seen: 0.45


@kernel
@pytest.mark.parametrize("integers", [torch.uint8, torch.int32], ids=["uint8", "int32"])
def test_masks_with_an_ignored_class(integers) -> None:
    x, target, weight = problem((2, 5, 4, 6), integers=integers)
    target[:, 1:3, 2:] = 255
    agree(x, target, weight, ignore_index=255)
    agree(x, target, weight, ignore_index=255, reduction="none", weights=True)


@kernel
@pytest.mark.parametrize("classes", [300, 32768], ids=["block not full", "32,768 classes"])
@pytest.mark.parametrize("keywords", [FORMS["mean"], FORMS["mean, weights, smoothed, ignored"]], ids=["plain", "all"])
def test_rows_longer_than_a_tile(classes, keywords, monkeypatch) -> None:
    from striate.core.kernels import tiles

    monkeypatch.setattr(tiles, "column_tile", lambda *_: (16, 16) if classes == 300 else (64, 64))
    x, target, weight = problem((2, classes))
    with torch.no_grad():
        x[:, 1:].add_(torch.linspace(-9, 9, classes - 1))  # the maximum grows from block to block
        if "label_smoothing" not in keywords:
            x[1, 3 : classes // 2] = -float("inf")
    agree(x, target, weight, **keywords)  # worst seen: 0.01


@kernel
def test_large_scores_lose_no_digits() -> None:
    x, target, weight = problem((6, 5))
    with torch.no_grad():
        x.add_(10_000)
    agree(x, target, weight)  # worst seen: 0.07; 110 with a float32 log-sum-exp kept from forward
    agree(x, target, weight, label_smoothing=0.3)


@kernel
@pytest.mark.parametrize("keywords", [FORMS["mean, weights, smoothed, ignored"], FORMS["no reduction, smoothed"]])
def test_many_programs_int64_offsets_strides(small_tiles, monkeypatch, keywords) -> None:
    from striate.core.kernels import launch

    monkeypatch.setattr(launch, "INT32_LIMIT", 0)
    _, target, weight = problem((2, 19, 5, 8))
    x = torch.randn(2, 8, 5, 20).transpose(1, 3).detach()[:, 1:].requires_grad_()
    agree(x, target.transpose(1, 2).contiguous().transpose(1, 2), weight, **keywords)
    totals = ["cross_entropy_total"] if "reduction" not in keywords else []
    assert small_tiles.names == ["cross_entropy_forward", *totals, "cross_entropy_backward"]
    (dx,) = torch.autograd.grad(ops.cross_entropy(x, target), x)
    assert dx.is_contiguous(memory_format=torch.channels_last)


@kernel
def test_a_mean_over_more_programs_than_a_block_of_the_total(small_tiles, monkeypatch) -> None:
    from striate.core.kernels import cross_entropy, launch

    run = launch.run

    def narrow(kernel, *args, **keywords):
        run(kernel, *args, **(keywords | {"B": 4} if kernel is cross_entropy.cross_entropy_total else keywords))

    monkeypatch.setattr(launch, "run", narrow)
    agree(*problem((160, 10)), weights=True)  # 10 programs of 16 rows
    assert torch.equal(*(ops.cross_entropy(*problem((160, 10))[:2]) for _ in range(2)))


@kernel
def test_expanded_incoming_gradient() -> None:
    x, target, _ = problem((2, 3, 4, 5))
    ops.cross_entropy(x, target, reduction="none").sum().backward()
    expected = x.detach().softmax(1) - F.one_hot(target, 3).movedim(3, 1)
    torch.testing.assert_close(x.grad, expected, atol=1e-6, rtol=0)


@kernel
@not_a_number
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_infinities_and_nan_as_torch_has_them(reduction) -> None:
    x, target, weight = problem((8, 5))
    with torch.no_grad():
        x[0, 2] = -float("inf")
        x[1, target[1]] = -float("inf")  # an infinite loss
        x[2] = -float("inf")
        x[3, 0] = float("inf")
        x[4, 4] = float("nan")
        x[5] += 1e30
    for rows in ([0, 6], [1, 6], [2], [3], [4], [5, 6]):
        for smoothing in (0.0, 0.1):
            part = x.detach()[rows].requires_grad_()
            agree(part, target[rows], weight, reduction=reduction, label_smoothing=smoothing, terms=5)
            agree(part, target[rows], weight, ignore_index=int(target[rows[0]]), reduction=reduction, terms=5)


@kernel
@not_a_number
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_nothing_counts_and_nothing_there(smoothing) -> None:
    x, target, weight = problem((4, 3, 2, 2))
    for reduction in ("mean", "sum", "none"):  # all ignored: NaN, 0, zeros
        agree(x, torch.full_like(target, 7), weight, reduction=reduction, ignore_index=7, label_smoothing=smoothing)
        for shape in ((0, 3), (0, 3, 2, 2), (2, 3, 0, 2)):
            agree(*problem(shape), reduction=reduction, label_smoothing=smoothing)


@kernel
@not_a_number
@pytest.mark.parametrize("wrong", [3, -1, 2**40], ids=["C", "-1", "beyond int32"])
def test_a_wrong_target_reads_nothing_and_makes_the_loss_nan(wrong) -> None:
    x, target, weight = problem((4, 3))
    target[1] = wrong
    rows = ops.cross_entropy(x, target, weight, reduction="none", label_smoothing=0.1)
    assert rows.isnan().tolist() == [False, True, False, False]
    for reduction in ("mean", "sum"):
        loss = ops.cross_entropy(x, target, reduction=reduction)
        (dx,) = torch.autograd.grad(loss, x)
        assert loss.isnan()
        assert dx[1].isnan().all()
    assert ops.cross_entropy(x, target, ignore_index=wrong).isfinite()


@kernel
def test_autocast_reads_half_precision_and_gives_a_float32_loss() -> None:
    x, target, weight = problem((5, 7), torch.bfloat16)
    with torch.autocast(x.device.type, torch.bfloat16):
        loss = ops.cross_entropy(x, target, weight)  # weights stay in float32
    loss.backward()
    assert (loss.dtype, x.grad.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(loss, F.cross_entropy(x.float(), target, weight), atol=1e-6, rtol=1e-6)


@kernel
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": torch.rand(4, 3)}, r"class numbers in int64, int32 or uint8; got targets in float32; convert them"),
        ({"target": torch.zeros(3, dtype=torch.int64)}, r"\(N, C\) with targets \(N,\).*got scores \(4, 3\) with"),
        ({"x": torch.zeros(4, 0)}, r"C of at least 1; got scores \(4, 0\)"),
        ({"x": torch.zeros(4, 3, 1)}, r"got scores \(4, 3, 1\) with targets \(4,\); reshape them"),
        ({"weight": torch.ones(4)}, r"class weights \(3,\) that require no gradient; got shape \(4,\)"),
        ({"weight": torch.ones(3).requires_grad_()}, r"got shape \(3,\), requires_grad=True; pass one weight a class"),
        ({"weight": torch.ones(3, device="meta")}, "scores, targets and weights on one device"),
        ({"reduction": "avg"}, "reduction to be one of mean, sum, none; got 'avg'"),
        ({"label_smoothing": 1.5}, "label_smoothing to lie between 0 and 1; got 1.5"),
        ({"x": torch.zeros(4, 3, dtype=torch.float64)}, "float32, float16 or bfloat16 for a Triton kernel"),
    ],
    ids=["probabilities", "rows", "no class", "three dimensions", "weights", "gradient", "device", "reduction",
         "smoothing", "float64"],
)  # fmt: skip
def test_errors_say_what_was_expected(change, words) -> None:
    x, target, _ = problem((4, 3))
    arguments = {"x": x, "target": target} | change
    arguments = {k: v.to(x.device) if torch.is_tensor(v) and not v.is_meta else v for k, v in arguments.items()}
    with pytest.raises(UsageError, match=words):
        ops.cross_entropy(**arguments)


def test_torch_road_agrees_with_scikit_learn() -> None:
    x, target, weight = problem((6, 5), torch.float64, torch.uint8)
    numbers = target.cpu().numpy()
    with ops.kernels("torch"):
        found = ops.cross_entropy(x, target, weight.double())
        expected = log_loss(
            numbers, x.detach().softmax(1).cpu(), sample_weight=weight[target.long()].cpu(), labels=range(5)
        )
        assert found.item() == pytest.approx(expected, rel=1e-12)


def test_torch_road_is_torch() -> None:
    x, target, weight = problem((2, 5, 3, 4))
    with ops.kernels("torch"):
        expected = F.cross_entropy(x, target, weight, ignore_index=2, reduction="sum", label_smoothing=0.1)
        assert torch.equal(ops.cross_entropy(x, target.byte(), weight, 2, "sum", 0.1), expected)
        shares = torch.rand(x.shape)
        assert torch.equal(ops.cross_entropy(x, shares), F.cross_entropy(x, shares))
        if not x.is_cuda:  # there torch stops the process
            with pytest.raises(IndexError, match="Target 9 is out of bounds"):
                ops.cross_entropy(x, torch.full_like(target, 9))


def test_layer_is_torchs() -> None:
    x, target, weight = problem((4, 3))
    ours = layers.CrossEntropyLoss(weight, ignore_index=1, label_smoothing=0.1, reduction="sum")
    theirs = torch.nn.CrossEntropyLoss(weight, ignore_index=1, label_smoothing=0.1, reduction="sum")
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x, target), theirs(x, target), atol=2e-6, rtol=2e-6)
