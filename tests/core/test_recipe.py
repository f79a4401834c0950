"""Options, learning rates and which parameters decay."""

import pytest
import torch

from striate.core.checks import UsageError
from striate.core.layers import BatchNorm2d, Conv2d
from striate.core.recipe import TrainingOptions, learning_rate, make_optimizer, multiply
from striate.core.training import fit


def rate(done: float, factor: float = 1.0, **options: object) -> float:
    return learning_rate(TrainingOptions(epochs=100, learning_rate=1.0, **options), done, 0.1, factor)


def test_cosine_equals_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], 1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100, eta_min=0.01)
    for epoch in range(100):
        assert rate(epoch, warmup_epochs=0) == pytest.approx(schedule.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        schedule.step()


def test_warm_up_grows_linearly_from_the_first_step() -> None:
    assert rate(0, schedule="constant", warmup_epochs=2) == pytest.approx(0.05)
    assert rate(0.9, schedule="constant", warmup_epochs=2) == pytest.approx(0.5)
    assert rate(1.9, schedule="constant", warmup_epochs=2) == pytest.approx(1.0)
    assert rate(50, schedule="constant", warmup_epochs=2) == 1.0


def test_steps_and_plateau() -> None:
    rates = [rate(done, schedule="step", warmup_epochs=0) for done in (59, 61, 86)]
    assert rates == pytest.approx([1, 0.1, 0.01])
    assert rate(50, 0.3, schedule="plateau", warmup_epochs=0) == 0.3
    assert rate(50, 0.3, schedule="constant", warmup_epochs=0) == 1.0


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_norms_and_biases_do_not_decay(name: str) -> None:
    model = torch.nn.Sequential(Conv2d(3, 4, 3), BatchNorm2d(4))
    groups = make_optimizer(model, TrainingOptions(optimizer=name, weight_decay=0.1)).param_groups
    assert [(g["weight_decay"], len(g["params"])) for g in groups] == [(0.1, 1), (0.0, 3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs to be a positive number; got 0"),
        ({"learning_rate": float("nan")}, "learning_rate to be a positive number; got nan"),
        ({"plateau_patience": 0}, "plateau_patience to be a positive number; got 0"),
        ({"ema_decay": 1.5}, "ema_decay to lie between 0 and 1; got 1.5"),
        ({"clip_norm": -1}, "clip_norm of 0 or more; got -1"),
        ({"optimizer": "adamww"}, "did you mean 'adamw'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "fp8"}, "precision to be one of fp32, bf16, fp16"),
        ({"device": "tpu"}, "device to be one of auto, cpu, cuda"),
    ],
)
def test_options_out_of_range(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainingOptions(**options)


def test_multiplied_rates_and_decays() -> None:
    shared = torch.nn.Linear(4, 4)
    model = torch.nn.Sequential(shared, torch.nn.Linear(4, 2), shared)
    multiply(model, learning_rate=0.1, weight_decay=2)
    multiply(model[1], learning_rate=1.0)
    groups = make_optimizer(model, TrainingOptions(weight_decay=0.1)).param_groups
    found = {(g["rate"], g["weight_decay"]): [tuple(p.shape) for p in g["params"]] for g in groups}
    assert found == {(0.1, 0.2): [(4, 4)], (0.1, 0.0): [(4,)], (1.0, 0.1): [(2, 4)], (1.0, 0.0): [(2,)]}
    with pytest.raises(UsageError, match="learning_rate multiplied by 0 or more; got -1"):
        multiply(model, learning_rate=-1)


def test_multiplied_rates_reach_the_steps() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    before = [layer.weight.detach().clone() for layer in model]
    multiply(model[0], learning_rate=0.0)
    torch.manual_seed(0)

    class Rows:
        def __len__(self) -> int:
            return 8

        def __getitem__(self, key):
            return torch.randn(3)

        def collate(self, samples):
            return {"x": torch.stack(samples), "sources": []}

    fit(
        model,
        Rows(),
        lambda m, batch: {"a": m(batch["x"]).square().mean()},
        options=TrainingOptions(epochs=1, ema_decay=0),
    )
    assert torch.equal(model[0].weight, before[0])
    assert not torch.equal(model[1].weight, before[1])
