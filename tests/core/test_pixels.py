"""The loop that descends on pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.core.checkpoints import load_state, save_state
from striate.core.checks import UsageError
from striate.core.pixels import Adam, Step, descend

START = torch.linspace(0, 1, 3 * 5 * 6).view(1, 3, 5, 6)
GOAL = START.flip(3) * 0.5 + 0.2


def loss(pixels: Tensor) -> dict[str, Tensor]:
    """Two parts whose sum is least at the goal."""
    return {"near": ((pixels - GOAL) ** 2).sum(), "far": ((pixels - GOAL) ** 4).sum()}


@pytest.mark.parametrize("rule", ["lbfgs", "adam"])
def test_the_loss_falls_to_its_minimum(rule: str) -> None:
    found = descend(START, loss, steps=300, rule=rule)
    torch.testing.assert_close(found.pixels, GOAL, rtol=0, atol=1e-3)
    assert found.notice == ""
    assert found.step == len(found.losses) == 300
    assert set(found.losses[0]) == {"near", "far"}
    assert found.losses[0]["near"] == pytest.approx(float(loss(START)["near"]))


def test_adam_is_torch_adam() -> None:
    mine, theirs = START.clone(), START.clone().requires_grad_()
    rule, optimizer = Adam(mine, rate=0.03), torch.optim.Adam([theirs], lr=0.03, betas=(0.9, 0.99))
    for _ in range(20):
        optimizer.zero_grad()
        sum(loss(theirs).values()).backward()  # type: ignore[union-attr]
        assert theirs.grad is not None
        rule.update(mine, theirs.grad.clone())
        optimizer.step()
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_the_picture_given_stays_as_it_is() -> None:
    before = START.clone()
    descend(START, loss, steps=3)
    assert torch.equal(START, before)


def test_steps_are_told_with_losses_and_a_preview() -> None:
    told: list[Step] = []
    descend(START, loss, steps=7, every=3, on_step=told.append)  # type: ignore[arg-type]
    assert [step.step for step in told] == [3, 6, 7]
    assert told[0].preview.shape == (5, 6, 3)
    assert told[0].preview.dtype == "uint8"
    assert told[-1].eta_seconds == 0
    assert told[0].eta_seconds > 0
    assert told[0].steps == 7


def test_losses_of_a_step_are_those_of_the_log() -> None:
    told: list[dict[str, float]] = []
    found = descend(START, loss, steps=4, on_step=lambda step: told.append(step.losses))
    assert told == found.losses


def test_a_stop_keeps_the_picture_so_far() -> None:
    found = descend(START, loss, steps=50, on_step=lambda step: step.step == 5)
    assert found.notice == "stopped at step 5 of 50, as asked"
    assert len(found.losses) == 5
    assert torch.equal(found.pixels, descend(START, loss, steps=5).pixels)


@pytest.mark.parametrize("rule", ["lbfgs", "adam"])
def test_a_stopped_descent_goes_on_as_if_it_had_not_stopped(rule: str, tmp_path: Path) -> None:
    whole = descend(START, loss, steps=12, rule=rule)
    part = descend(START, loss, steps=12, rule=rule, on_step=lambda step: step.step == 5)
    save_state(tmp_path / "state.safetensors", part.state)
    state, _ = load_state(tmp_path / "state.safetensors")
    rest = descend(START, loss, steps=12, rule=rule, state=state)
    assert torch.equal(rest.pixels, whole.pixels)
    assert rest.losses == whole.losses
    assert rest.step == 12


def test_a_loss_that_is_not_finite_ends_it_with_the_last_good_picture() -> None:
    def breaking(pixels: Tensor) -> dict[str, Tensor]:
        return {"log": (pixels - 0.5).log().sum()}  # minus infinity is where it falls to

    found = descend(torch.full((1, 3, 4, 4), 0.9), breaking, steps=200, rule="adam", rate=0.05, every=10)
    assert "the loss is not a finite number; a lower rate may help" in found.notice
    assert found.step % 10 == 0
    assert breaking(found.pixels)["log"].isfinite()
    assert not found.sound
    again = descend(START * 0 + 0.9, lambda x: {"a": x.sum()}, steps=5)
    assert again.notice == ""
    assert again.sound


def test_after_a_loss_that_was_not_finite_the_rule_begins_anew() -> None:
    def breaking(pixels: Tensor) -> dict[str, Tensor]:
        return {"a": (pixels**2).sum() + torch.where(pixels.max() < 0.8, torch.nan, 0.0)}

    broken = descend(START, breaking, steps=50)
    assert broken.notice
    assert broken.state["rule"] == {}
    rest = descend(START, loss, steps=broken.step + 60, state=broken.state)
    torch.testing.assert_close(rest.pixels, GOAL, rtol=0, atol=1e-3)


def test_the_projection_holds_after_every_move() -> None:
    reached: list[float] = []
    found = descend(
        *(START, lambda pixels: {"up": -pixels.sum()}),
        steps=60,
        rule="adam",
        project=lambda pixels: pixels.clamp(0, 0.75),
        on_step=lambda step: reached.append(float(step.pixels.max())),
    )
    assert max(reached) == 0.75
    assert torch.equal(found.pixels, torch.full_like(START, 0.75))


def test_a_rule_of_ones_own_moves_the_pixels() -> None:
    class Sign:
        def update(self, pixels: Tensor, gradient: Tensor) -> None:
            pixels -= 0.125 * gradient.sign()

        def state(self) -> dict[str, Tensor]:
            return {}

    found = descend(START, lambda pixels: {"up": -pixels.sum()}, steps=2, rule=lambda pixels: Sign())
    assert torch.equal(found.pixels, START + 0.25)


def test_parameters_of_the_network_get_no_gradient() -> None:
    network = nn.Conv2d(3, 2, 3)
    descend(START, lambda pixels: {"a": network(pixels).square().mean()}, steps=2)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"pixels": START[0]}, r"expected float pixels \(N, C, H, W\); got torch.float32 \(3, 5, 6\)"),
        ({"pixels": (START * 255).byte()}, "got torch.uint8"),
        ({"pixels": START / 0 * 0}, "expected finite pixels to begin with"),
        ({"steps": 0}, "expected at least one step; got 0"),
        ({"rate": -1.0}, "expected a positive rate; got -1.0"),
        ({"rule": "adan"}, "did you mean 'adam'"),
        ({"every": 0}, "expected every to be at least one step; got 0"),
    ],
    ids=["no batch", "integers", "not a number", "no steps", "negative rate", "misspelt rule", "no looks"],
)
def test_what_makes_no_descent_is_refused(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        descend(keywords.pop("pixels", START), loss, **{"steps": 3, **keywords})


def test_the_state_of_another_descent_is_refused() -> None:
    state = descend(START, loss, steps=2, rule="adam").state
    with pytest.raises(UsageError, match="by the same rule; got pixels"):
        descend(START, loss, steps=5, rule="lbfgs", state=state)
    with pytest.raises(UsageError, match=r"the state of a descent on \(1, 3, 5, 3\)"):
        descend(START[..., :3], loss, steps=5, rule="adam", state=state)


@pytest.mark.gpu
@pytest.mark.parametrize("rule", ["lbfgs", "adam"])
def test_a_recorded_descent_goes_the_same_way(rule: str) -> None:
    goal = GOAL.cuda()

    def there(pixels: Tensor) -> dict[str, Tensor]:
        return {"near": ((pixels - goal) ** 2).sum()}

    plain = descend(START.cuda(), there, steps=20, rule=rule)
    replayed = descend(START.cuda(), there, steps=20, rule=rule, graph=True, every=10)
    told: list[dict[str, float]] = []
    looked = descend(
        START.cuda(), there, steps=20, rule=rule, graph=True, on_step=lambda step: told.append(step.losses)
    )
    assert told == looked.losses  # at the step after the recording, too
    torch.testing.assert_close(replayed.pixels, plain.pixels, rtol=1e-4, atol=1e-5)
    assert len(replayed.losses) == 20
