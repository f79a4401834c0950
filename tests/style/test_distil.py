"""A student that learns to see as its teacher does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.core.checks import UsageError
from striate.style.distil import LAYERS, Plan, coloured, distil, rate_at, save_features, wide_maps
from striate.style.features import Features, load_features
from striate.style.networks import VggTrunk
from striate.style.patterns import pattern

PLAN = Plan(steps=30, batch_size=2, crop=32, widths=(4, 4, 6, 6, 6), counts=(1, 1, 1, 2, 1), learning_rate=1e-2)
PICTURES = [pattern(name, size=96) for name in ("mosaic", "woodcut")]


@pytest.fixture(scope="module")
def teacher() -> Features:
    """A random VGG."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Features("teacher", VggTrunk((4, 6, 8, 8, 8), (1, 1, 1, 2, 1), padding_mode="reflect"))


def test_it_learns_and_is_loaded_as_features(teacher: Features, tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    student = distil(lambda x: teacher(x, LAYERS), PICTURES, plan=PLAN, on_progress=lambda _, parts: told.append(parts))
    assert told[-1]["maps"] < 0.8 * told[0]["maps"]
    features = load_features(save_features(student, PLAN, tmp_path / "ours.safetensors", licence="Apache-2.0"))
    images = torch.rand(1, 3, 32, 32)
    found = features(images, ["relu3_1"])["relu3_1"]
    turned = torch.einsum("nchw,cd->ndhw", found, features.turns["relu3_1"])
    seen = student.eval()(images)["relu3_1"].detach()
    assert float(turned.norm()) == pytest.approx(float(seen.norm()), rel=0.03)  # of bfloat16 and float16; seen: 0.4 %
    assert load_features(tmp_path / "ours.safetensors", pooling="average").trunk.layers["pool1"].kernel_size == 2


def test_a_training_that_was_cut_off_goes_on(teacher: Features, tmp_path: Path) -> None:
    def see(images: Tensor) -> dict[str, Tensor]:
        return teacher(images, LAYERS)

    def cut(step: int, parts: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    plan = Plan(**{**vars(PLAN), "steps": 8})
    whole = distil(see, PICTURES, plan=plan)
    with pytest.raises(KeyboardInterrupt):
        distil(see, PICTURES, plan=plan, run_dir=tmp_path, on_progress=cut, save_every=0)
    with pytest.raises(UsageError, match=r"the state of this plan in .*; got one with other batch_size, steps; pass"):
        distil(see, PICTURES, plan=Plan(**{**vars(plan), "steps": 9, "batch_size": 3}), run_dir=tmp_path)
    steps: list[int] = []
    rest = distil(see, PICTURES, plan=plan, run_dir=tmp_path, on_progress=lambda step, _: steps.append(step))
    assert steps == [5, 6, 7, 8]
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(rest.state_dict()[name], tensor)


def test_a_narrow_teacher_keeps_distances(teacher: Features) -> None:
    generator = torch.Generator().manual_seed(0)
    aux = {"relu2_1": (torch.randn(20, 6, generator=generator), torch.randn(20, generator=generator))}
    one, other = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 48)
    narrow = wide_maps(teacher, aux)
    weight, bias = aux["relu2_1"]
    wide = [
        torch.einsum("kc,nchw->nkhw", weight, teacher(x, ["relu2_1"])["relu2_1"]) + bias[:, None, None]
        for x in (one, other)
    ]
    found = [narrow(x)["relu2_1"] for x in (one, other)]
    assert found[0].shape[1] == 7
    assert float((found[0] - found[1]).norm()) == pytest.approx(float((wide[0] - wide[1]).norm()), rel=1e-4)
    assert float(found[0].norm()) == pytest.approx(float(wide[0].norm()), rel=1e-4)


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step / 100) for step in range(100)]
    assert np.argmax(rates) in (3, 4)
    assert rates[-1] < 0.001


def test_no_pictures_are_refused(teacher: Features) -> None:
    with pytest.raises(UsageError, match="expected pictures to learn from; got none"):
        distil(lambda x: teacher(x, LAYERS), [], plan=PLAN)


def test_crops_have_colours_that_photographs_lack() -> None:
    grey = np.repeat(np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8, 1), 3, 2)
    drawn = [coloured(grey, np.random.default_rng(seed)).astype(int) for seed in range(16)]
    assert min(np.ptp(image, 2).max() for image in drawn) > 40  # none stays grey
    assert len({image.tobytes() for image in drawn}) == 16
    hues = [coloured(PICTURES[0], np.random.default_rng(seed)).mean((0, 1)).argmax() for seed in range(40)]
    assert set(hues) == {0, 1, 2}
    assert any(np.array_equal(coloured(PICTURES[0], np.random.default_rng(seed)), PICTURES[0]) for seed in range(8))
