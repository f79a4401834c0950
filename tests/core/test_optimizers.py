"""Steps of optimizers: one launch against float64 torch, state in both directions, what is refused."""

from __future__ import annotations

import os

import pytest
import torch

from striate.core import ops, optimizers
from striate.core.checks import UsageError
from striate.core.testing import tolerance

kernel = pytest.mark.kernel
# The torch road of these classes, where the interpreter would make a CPU tensor count as CUDA.
plain = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="says what happens without it")

CASES = {
    "sgd": ("SGD", {}),
    "sgd, momentum": ("SGD", {"momentum": 0.9}),
    "sgd, dampening": ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    "sgd, weight decay": ("SGD", {"weight_decay": 0.1}),
    "sgd, nesterov": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "sgd, maximize": ("SGD", {"momentum": 0.9, "maximize": True, "weight_decay": 0.1}),
    "adam": ("Adam", {}),
    "adam, betas": ("Adam", {"betas": (0.5, 0.9)}),
    "adam, no memory": ("Adam", {"betas": (0.0, 0.0), "eps": 0.1}),
    "adam, eps": ("Adam", {"eps": 0.1}),
    "adam, weight decay": ("Adam", {"weight_decay": 0.1}),
    "adam, amsgrad": ("Adam", {"amsgrad": True, "betas": (0.9, 0.5)}),
    "adam, maximize": ("Adam", {"maximize": True, "weight_decay": 0.1}),
    "adam, decoupled": ("Adam", {"weight_decay": 0.3, "decoupled_weight_decay": True}),
    "adamw": ("AdamW", {"weight_decay": 0.3}),
    "adamw, no decay": ("AdamW", {"weight_decay": 0.0}),
}
EVERY = pytest.mark.parametrize(("name", "keywords"), CASES.values(), ids=CASES.keys())
THREE = pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])


def made(room, name, dtype=torch.float32, *, groups=1, **keywords):
    """Return an optimizer of `room` (a second group is at half the rate) and its parameters, of odd sizes."""
    torch.manual_seed(0)
    sizes = ((37, 5), (), (2, 3, 5, 5), (0, 4))
    parameters = [torch.randn(size).bfloat16().to(dtype).requires_grad_() for size in sizes]
    parameters[2].data = parameters[2].data.to(memory_format=torch.channels_last)
    split = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.025}]
    return getattr(room, name)(parameters if groups == 1 else split, lr=0.05, **keywords), parameters


def steps(optimizer, parameters, numbers, late=0):
    """Take steps with gradients that depend on the step's number only; the second parameter has none before `late`."""
    for number in numbers:
        drawn = torch.Generator().manual_seed(number)
        for i, p in enumerate(parameters):
            gradient = torch.randn(p.shape, generator=drawn, device="cpu").bfloat16().to(p)
            p.grad = None if i == 1 and number < late else gradient
        optimizer.step()


def worst(found, exact, dtype=torch.float32, count=20):
    """Return the largest error as a share of the tolerance: each of `count` steps rounds once more."""
    limit = max(1.0, max(e.abs().max().item() for e in exact if e.numel())) * tolerance(dtype, count)
    errors = [(f.double() - e).abs().max().item() for f, e in zip(found, exact, strict=True) if e.numel()]
    return max(errors) / limit


@kernel
@EVERY
def test_twenty_steps_agree_with_torch_in_float64(name, keywords, count_launches) -> None:
    ours, parameters = made(optimizers, name, **keywords)
    steps(ours, parameters, range(20))
    theirs, exact = made(torch.optim, name, torch.float64, **keywords)
    steps(theirs, exact, range(20))
    assert worst(parameters, exact) < 1  # worst seen: 0.18
    assert not parameters[2].is_contiguous()
    assert count_launches.names == ["sgd_update" if name == "SGD" else "adam_update"] * 20


@kernel
@THREE
def test_rates_by_group_and_a_parameter_that_joins_late(name, count_launches) -> None:
    keywords = {"momentum": 0.9, "dampening": 0.3} if name == "SGD" else {}
    ours, parameters = made(optimizers, name, groups=2, **keywords)
    before = parameters[1].detach().clone()
    steps(ours, parameters, range(1), late=1)
    assert torch.equal(parameters[1], before)
    steps(ours, parameters, range(1, 3))
    theirs, exact = made(torch.optim, name, torch.float64, groups=2, **keywords)
    steps(theirs, exact, range(3), late=1)
    assert worst(parameters, exact, count=3) < 1
    # by group; and apart while a parameter fills its buffer (SGD), or is at a step number of its own (Adam)
    assert len(count_launches.names) == (2 + 3 + 2 if name == "SGD" else 2 + 3 + 3)


@kernel
@EVERY
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_parameters_keep_float32_state(name, keywords, dtype) -> None:
    ours, parameters = made(optimizers, name, dtype, **keywords)
    steps(ours, parameters, range(3))
    theirs, exact = made(torch.optim, name, torch.float64, **keywords)
    steps(theirs, exact, range(3))
    assert worst(parameters, exact, dtype, 3) < 1  # worst seen: 0.43; each step rounds a parameter once
    kept = [s for state in ours.state.values() for key, s in state.items() if key != "step"]
    assert {s.dtype for s in kept} == (set() if name == "SGD" and "momentum" not in keywords else {torch.float32})


@kernel
def test_dtypes_are_launched_apart_and_empty_tensors_not_at_all(count_launches) -> None:
    parameters = [torch.ones(3, dtype=d, requires_grad=True) for d in (torch.float32, torch.float16, torch.float32)]
    for p in parameters:
        p.grad = torch.ones_like(p)
    empty = torch.zeros(0, requires_grad=True)
    empty.grad = torch.zeros(0)
    optimizers.SGD([*parameters, empty], 0.5).step()
    assert count_launches.names == ["sgd_update"] * 2
    assert all(torch.equal(p, torch.full_like(p, 0.5)) for p in parameters)
    optimizers.Adam([empty], 0.5).step()
    ops.sgd_step([], [], [], rate=1.0)
    ops.adam_step([], [], [], [], rate=1.0, step=1)
    assert len(count_launches.names) == 2


def test_state_follows_its_parameter_to_another_device() -> None:
    kept, parameter = {"exp_avg": torch.ones(3)}, torch.ones(3, device="meta")
    assert optimizers._float32(parameter, kept, "exp_avg").device.type == "meta"
    assert kept["exp_avg"].device.type == "meta"


@kernel
def test_gradients_and_state_in_other_strides() -> None:
    p = torch.randn(4, 3, 5, 5).requires_grad_()
    optimizer, twin = optimizers.Adam([p], 0.1), p.detach().clone().requires_grad_()
    theirs = torch.optim.Adam([twin], 0.1)
    for _ in range(3):
        gradient = torch.randn(4, 3, 5, 5)
        p.grad, twin.grad = gradient.to(memory_format=torch.channels_last), gradient
        optimizer.step()
        with ops.kernels("torch"):
            theirs.step()
        optimizer.state[p]["exp_avg"] = optimizer.state[p]["exp_avg"].to(memory_format=torch.channels_last)
    assert worst([p], [twin.detach().double()], count=3) < 1


@kernel
@THREE
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
def test_saved_and_restored_midway_gives_the_same_numbers(name, half, tmp_path) -> None:
    dtype = torch.bfloat16 if half else torch.float32
    keywords = {"momentum": 0.9} if name == "SGD" else {}
    ours, parameters = made(optimizers, name, dtype, **keywords)
    steps(ours, parameters, range(4))
    torch.save([ours.state_dict(), parameters], tmp_path / "state.pt")
    steps(ours, parameters, range(4, 8))
    state, restored = torch.load(tmp_path / "state.pt")
    again, fresh = made(optimizers, name, dtype, **keywords)
    for p, saved in zip(fresh, restored, strict=True):
        p.data.copy_(saved.data)
    again.load_state_dict(state)
    steps(again, fresh, range(4, 8))
    assert all(torch.equal(a, b) for a, b in zip(parameters, fresh, strict=True))


@kernel
@THREE
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
def test_state_passes_to_torch_and_back(name, half) -> None:
    """Three steps of ours, three of torch's, three of ours, against float64."""
    dtype = torch.bfloat16 if half else torch.float32
    keywords = {"momentum": 0.9} if name == "SGD" else {"amsgrad": True}
    ours, parameters = made(optimizers, name, dtype, **keywords)
    steps(ours, parameters, range(3))
    theirs = getattr(torch.optim, name)(ours.param_groups, **keywords)
    theirs.load_state_dict(ours.state_dict())
    assert all(s.dtype == dtype for state in theirs.state.values() for k, s in state.items() if k != "step")
    steps(theirs, parameters, range(3, 6))
    back = getattr(optimizers, name)(theirs.param_groups, **keywords)
    back.load_state_dict(theirs.state_dict())
    steps(back, parameters, range(6, 9))
    with ops.kernels("torch"):  # the road may change as well
        steps(back, parameters, range(9, 11))
    steps(back, parameters, range(11, 13))
    exact_steps, exact = made(torch.optim, name, torch.float64, **keywords)
    steps(exact_steps, exact, range(13))
    assert worst(parameters, exact, dtype, 13) < 1  # worst seen: 0.76, of SGD in bf16


@kernel
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of NumPy, which interprets: inf / inf
def test_infinite_and_nan_gradients_as_torch_has_them() -> None:
    for name, keywords in CASES.values():
        found = []
        for room, dtype in ((optimizers, torch.float32), (torch.optim, torch.float64)):
            optimizer, parameters = made(room, name, dtype, **keywords)
            steps(optimizer, parameters, [4])
            parameters[0].grad[0, :2] = torch.tensor([float("nan"), float("inf")])
            optimizer.step()
            # not the mean: with beta1 up to 0.5 torch's lerp makes NaN of infinity; the parameter is NaN either way
            names = ("momentum_buffer", "exp_avg_sq", "max_exp_avg_sq")
            kept = [s for key, s in optimizer.state[parameters[0]].items() if key in names and s is not None]
            found.append([t.detach().double() for t in (parameters[0], *kept)])
        torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5, equal_nan=True)


@kernel
def test_a_scaler_skips_a_step_that_overflowed() -> None:
    p = torch.ones(3, requires_grad=True)
    scaler = torch.amp.GradScaler(p.device.type, init_scale=1024.0)
    optimizer = optimizers.Adam([p], 0.1)
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(p.detach(), torch.full_like(p, 0.9))
    scaler.scale((p * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(p.detach(), torch.full_like(p, 0.9))
    assert (optimizer.state[p]["step"].item(), scaler.get_scale()) == (1.0, 512.0)


@kernel
@THREE
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"foreach": True}, r"an optimizer without foreach on the Triton road; got foreach=True; leave it out"),
        ({"differentiable": True}, "without differentiable on the Triton road; got differentiable=True"),
        ({"fused": True}, r'got fused=True; leave it out \(in loaded state: group\["fused"\] = False\)'),
        ({"capturable": True}, "got capturable=True"),
        ({"lr": torch.tensor(0.1)}, r"a number as lr on the Triton road; got a tensor; pass it with .item\(\)"),
        ({"weight_decay": torch.tensor(0.1)}, "a number as weight_decay on the Triton road"),
    ],
    ids=["foreach", "differentiable", "fused", "capturable", "rate", "decay"],
)
def test_options_of_torch_that_are_refused(name, change, words) -> None:
    optimizer, parameters = made(optimizers, name)
    optimizer.param_groups[0].update(change)
    with pytest.raises(UsageError, match=words):
        steps(optimizer, parameters, [0])


@kernel
@THREE
def test_parameters_on_two_roads_and_captured_steps_are_refused(name, monkeypatch) -> None:
    optimizer, parameters = made(optimizers, name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(UsageError, match="outside of the capture of a CUDA graph; got a stream that is capturing"):
        steps(optimizer, parameters, [0])
    both = [torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True, device="meta")]
    with pytest.raises(UsageError, match=r"on one road; got parameters on \w+(:0)? and meta; give each device"):
        getattr(optimizers, name)(both, lr=0.1).step()


@kernel
@THREE
def test_closure_hooks_and_schedules(name) -> None:
    for road in ("auto", "torch"):
        p = torch.ones(3, requires_grad=True)
        optimizer, calls = getattr(optimizers, name)([p], lr=0.5), []
        getattr(torch.optim, name)([torch.ones(1)], lr=0.5)  # torch wraps the step of a class when it is first made
        optimizer.register_step_pre_hook(lambda *_, calls=calls: calls.append("before"))
        optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append("after"))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = p.square().sum()
            loss.backward()
            return loss

        with ops.kernels(road):
            assert optimizer.step(closure).item() == 3
            schedule.step()
        assert calls == ["before", "after"]
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
        assert (p < 0.6).all()


@plain
@EVERY
def test_on_the_cpu_a_step_is_torchs_to_the_bit(name, keywords) -> None:
    (ours, parameters), (theirs, exact) = (made(room, name, groups=2, **keywords) for room in (optimizers, torch.optim))
    steps(ours, parameters, range(5), late=2)
    steps(theirs, exact, range(5), late=2)
    assert all(torch.equal(p, e) for p, e in zip(parameters, exact, strict=True))
    assert isinstance(ours, getattr(torch.optim, name))
    assert str(ours) == str(theirs)


def test_the_recipe_takes_these() -> None:
    from striate.core.recipe import TrainingOptions, make_optimizer

    for name, kind in (("sgd", optimizers.SGD), ("adam", optimizers.Adam), ("adamw", optimizers.AdamW)):
        assert type(make_optimizer(torch.nn.Linear(2, 2), TrainingOptions(optimizer=name))) is kind
