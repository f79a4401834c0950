"""Steps over all parameters in one launch: tables of addresses, blocks, strides, dtypes, refusals; torch's road."""

from __future__ import annotations

import pytest
import torch

from striate.core import ops
from striate.core.checks import UsageError

kernel = pytest.mark.kernel


def with_state(operation, count, /, **keywords):
    """Return a function of parameters that takes a step with gradients of ones and new state."""

    def function(*parameters):
        gradients = [torch.ones_like(p) for p in parameters]
        states = ([torch.zeros_like(p, dtype=torch.float32) for p in parameters] for _ in range(count))
        operation(parameters, gradients, *states, **keywords)

    return function


SHAPES = ((64, 32, 3, 3), (64,), (10, 64))
FP32 = {"dtype": torch.float32, "gradient": False}
ADAM = {"step": 3, "rate": 1e-3}
COMPILE = {
    "sgd, fp32": (with_state(ops.sgd_step, 1, rate=0.1), SHAPES, FP32),
    "sgd with momentum, fp32": (with_state(ops.sgd_step, 1, rate=0.1, momentum=0.9, weight_decay=0.1), SHAPES, FP32),
    "sgd, first step, bf16": (with_state(ops.sgd_step, 1, rate=0.1, momentum=0.9, first=True), SHAPES),
    "sgd, nesterov, maximized": (
        with_state(ops.sgd_step, 1, rate=0.1, momentum=0.9, nesterov=True, maximize=True), SHAPES, FP32,
    ),
    "sgd of parameters at odd addresses": (
        lambda x: with_state(ops.sgd_step, 1, rate=0.1, momentum=0.9)(x[1:]), ((4097,),), FP32,
    ),
    "adam, fp32": (with_state(ops.adam_step, 2, weight_decay=0.1, **ADAM), SHAPES, FP32),
    "adam with amsgrad, fp32": (with_state(ops.adam_step, 3, maximize=True, **ADAM), SHAPES, FP32),
    "adamw, bf16": (with_state(ops.adam_step, 2, weight_decay=0.1, decoupled=True, **ADAM), SHAPES),
}  # fmt: skip


@kernel
@pytest.mark.parametrize("aligned", [True, False], ids=["16 bytes", "4 bytes"])
def test_full_blocks_and_rests_aligned_or_not(aligned, monkeypatch) -> None:
    from striate.core.kernels import launch, optimizer_step

    seen = []
    run = launch.run
    monkeypatch.setattr(optimizer_step, "_block", lambda sizes: 16)

    def note(kernel, grid, *args, **keywords):
        seen.append((grid, keywords["ALIGNED"]))
        run(kernel, grid, *args, **keywords)

    monkeypatch.setattr(launch, "run", note)
    memory = torch.randn(100)[0 if aligned else 1 :]
    parameters = [memory[:32].detach(), memory[48:65].detach()]
    before, between = [p.clone() for p in parameters], memory[32:48].clone()
    ops.sgd_step(parameters, [torch.ones_like(p) for p in parameters], [], rate=0.5)
    assert seen == [((4,), aligned)]  # 2 full blocks; 1 full and 1 of one element
    assert all(torch.equal(p, b - 0.5) for p, b in zip(parameters, before, strict=True))
    assert torch.equal(memory[32:48], between)


@kernel
def test_tables_are_kept_while_nothing_moves(monkeypatch) -> None:
    from striate.core.kernels import optimizer_step

    copies = []
    send = optimizer_step._to_device

    def note(numbers, device):
        copies.append(numbers)
        return send(numbers, device)

    monkeypatch.setattr(optimizer_step, "_to_device", note)
    optimizer_step._chunk_table.cache_clear()
    parameters = [torch.zeros(size) for size in ((37, 5), (), (11,))]
    gradients = [torch.ones_like(p) for p in parameters]
    for rate in (0.1, 0.2, 0.3):  # gradients stay where they are
        ops.sgd_step(parameters, gradients, [], rate=rate)
    assert len(copies) == 2  # chunks and addresses
    elsewhere = [2 * g for g in gradients]
    ops.sgd_step(parameters, elsewhere, [], rate=0.2)
    ops.sgd_step(parameters, gradients, [], rate=0.1)
    assert len(copies) == 3  # addresses; those of before are still known
    assert all(torch.allclose(p, torch.full_like(p, -1.1)) for p in parameters)


def adam_state(parameters, count=2):
    return [[torch.zeros_like(p, dtype=torch.float32) for p in parameters] for _ in range(count)]


@kernel
@pytest.mark.parametrize(
    ("parameter", "gradient", "state", "words"),
    [
        (
            torch.ones(3),
            torch.ones(3).to_sparse(),
            torch.zeros(3),
            r"a dense gradient \(3,\).*sparse_coo on .*; make it",
        ),
        (
            torch.ones(3),
            torch.ones(3).half(),
            torch.zeros(3),
            r"in torch.float32 on .*; got \(3,\) in torch.float16",
        ),
        (torch.ones(3), torch.ones(2), torch.zeros(3), r"a dense gradient \(3,\) in torch.float32 on .*; got \(2,\)"),
        (torch.ones(4, 4)[:, :2], torch.ones(4, 2), torch.zeros(4, 2), r"fill their memory; got strides \(4, 1\) for"),
        (torch.ones(3).half(), torch.ones(3).half(), torch.zeros(3).half(), r"float32 state \(3,\) in the strides"),
        (
            torch.ones(2, 3),
            torch.ones(2, 3),
            torch.zeros(3, 2).T,
            r"got torch.float32 \(2, 3\) in \(1, 2\) on .*; make it",
        ),
        (torch.ones(3).double(), torch.ones(3).double(), torch.zeros(3), "float32, float16 or bfloat16 for a Triton"),
        (torch.ones(3) + 0j, torch.ones(3) + 0j, torch.zeros(3), "for a Triton kernel; got complex64"),
    ],
    ids=["sparse", "dtype of the gradient", "shape", "gaps", "state in fp16", "transposed state", "float64", "complex"],
)
def test_errors_say_what_was_expected(parameter, gradient, state, words) -> None:
    parameter, gradient, state = (t.to(torch.zeros(0).device) for t in (parameter, gradient, state))
    for step in (
        lambda *args: ops.sgd_step(*args, rate=0.1, momentum=0.9),
        lambda p, g, s: ops.adam_step(p, g, s, s, rate=0.1, step=1),
        lambda p, g, s: ops.adam_step(p, g, [torch.zeros_like(x, dtype=torch.float32) for x in p], s, rate=0.1, step=1),
    ):
        with pytest.raises(UsageError, match=words):
            step([parameter], [gradient], [state])


@kernel
def test_all_tensors_of_a_step_are_on_one_device() -> None:
    """Addresses travel in a table, where Triton cannot see whose they are."""
    p, away = torch.ones(3), torch.ones(3, device="meta")
    with pytest.raises(UsageError, match=r"a dense gradient \(3,\) in torch.float32 on .*; got .* on meta; make it"):
        ops.sgd_step([p], [away], [], rate=0.1)
    with pytest.raises(UsageError, match=r"float32 state \(3,\) in the strides .* on .*; got .* on meta; make it"):
        ops.adam_step([p], [p], [torch.zeros_like(p)], [away], rate=0.1, step=1)


@kernel
def test_only_gradients_in_another_order_are_copied() -> None:
    from striate.core.kernels import optimizer_step

    for size, copied in (((4, 3, 1, 1), False), ((4, 3, 2, 2), True)):  # 1x1: the same memory in both formats
        p = torch.randn(size)
        gradient = torch.randn(size).to(memory_format=torch.channels_last)
        (taken,) = optimizer_step._checked([p], [gradient], [])
        assert (taken.data_ptr() != gradient.data_ptr()) == copied
        expected = p - gradient
        ops.sgd_step([p], [gradient], [], rate=1.0)
        assert torch.equal(p, expected)


@kernel
def test_a_graph_that_needs_the_old_values_says_so() -> None:
    for step in (
        lambda p: ops.sgd_step([p], [torch.ones_like(p)], [], rate=0.1),
        lambda p: ops.adam_step([p], [torch.ones_like(p)], *adam_state([p]), rate=0.1, step=1),
    ):
        p = torch.ones(3, requires_grad=True)
        loss = (p * p).sum()
        step(p)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize("maximize", [False, True])
def test_torch_road_agrees_with_the_optimizers_of_torch(maximize) -> None:
    torch.manual_seed(0)
    gradients = torch.randn(4, 5, dtype=torch.float64)

    def run(optimizer, step, states):
        """Compare four steps of an optimizer with four of an operation."""
        theirs, ours = torch.ones(5, dtype=torch.float64, requires_grad=True), torch.ones(5, dtype=torch.float64)
        optimizer = optimizer([theirs], maximize=maximize)
        kept = [[torch.zeros_like(ours)] for _ in range(states)]
        for number, gradient in enumerate(gradients, 1):
            theirs.grad = gradient.clone()
            optimizer.step()
            with ops.kernels("torch"):
                step([ours], [gradient.clone()], *kept, number)
        torch.testing.assert_close(ours, theirs.detach(), atol=1e-14, rtol=1e-14)

    sgd = {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.3}
    run(
        lambda p, **k: torch.optim.SGD(p, 0.1, **sgd, **k),
        lambda p, g, b, n: ops.sgd_step(p, g, b, rate=0.1, first=n == 1, maximize=maximize, **sgd),
        1,
    )
    run(
        lambda p, **k: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, **k),
        lambda p, g, b, n: ops.sgd_step(p, g, b, rate=0.1, momentum=0.9, nesterov=True, maximize=maximize),
        1,
    )
    run(
        lambda p, **k: torch.optim.SGD(p, 0.1, **k),
        lambda p, g, n: ops.sgd_step(p, g, [], rate=0.1, maximize=maximize),
        0,
    )
    adam = {"betas": (0.8, 0.9), "eps": 0.01, "weight_decay": 0.3}
    run(
        lambda p, **k: torch.optim.Adam(p, 0.1, amsgrad=True, **adam, **k),
        lambda p, g, m, v, u, n: ops.adam_step(p, g, m, v, u, step=n, rate=0.1, maximize=maximize, **adam),
        3,
    )
    run(
        lambda p, **k: torch.optim.AdamW(p, 0.1, **adam, **k),
        lambda p, g, m, v, n: ops.adam_step(p, g, m, v, step=n, rate=0.1, decoupled=True, maximize=maximize, **adam),
        2,
    )
