"""Trunks against torchvision's networks, and features by name and file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.borrow import MEAN, STD, load_into, read_state
from striate.core.checkpoints import save_checkpoint
from striate.core.checks import CheckpointError, ModelError, UsageError
from striate.style.features import Features, basis_of, load_features
from striate.style.networks import SqueezeTrunk, VggTrunk
from striate.tests.style.stand_ins import STYLE_LAYERS, tiny


@pytest.fixture(scope="module")
def torchvision() -> Iterator[Any]:
    """Its networks without its C++ part, which may be built for another torch (as tests/core/test_models.py)."""
    real = torch.library.register_fake

    def register(name: Any, *args: Any, **keywords: Any) -> Any:
        return (lambda f: f) if str(name).startswith("torchvision::") else real(name, *args, **keywords)

    torch.library.register_fake = register  # type: ignore[assignment]
    try:
        yield importlib.import_module("torchvision.models")
    finally:
        torch.library.register_fake = real  # type: ignore[assignment]


GENERATOR = torch.Generator().manual_seed(0)
PICTURES = torch.rand(1, 3, 70, 53, generator=GENERATOR)


def through(layers: nn.Sequential, ends: dict[int, str], x: Tensor) -> dict[str, Tensor]:
    """Run torchvision's layers one by one."""
    found = {}
    for i, layer in enumerate(layers):
        x = layer(x)
        if i in ends:
            found[ends[i]] = x.clone()
    return found


@torch.no_grad()
def test_a_vgg_is_torchvision_s(torchvision: Any) -> None:
    with torch.device("meta"):
        theirs = torchvision.vgg19().features.to_empty(device="cpu")
    for parameter in theirs.parameters():
        parameter.normal_(0, parameter[0].numel() ** -0.5, generator=GENERATOR)
    mine = VggTrunk()
    load_into(mine, dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True)))
    ends = {1: "relu1_1", 8: "relu2_2", 9: "pool2", 22: "relu4_2", 29: "relu5_1"}
    found, wanted = mine(PICTURES, ends.values()), through(theirs, ends, PICTURES)
    for name in ends.values():
        torch.testing.assert_close(found[name], wanted[name])
        assert mine.channels[name] == found[name].shape[1]
        assert mine.map_size(name, 70, 53) == found[name].shape[2:]


@torch.no_grad()
def test_squeezenet_is_torchvision_s(torchvision: Any, tmp_path: Path) -> None:
    theirs = torchvision.squeezenet1_1().eval()
    torch.save(theirs.state_dict(), tmp_path / "squeezenet.pth")
    features = load_features(tmp_path / "squeezenet.pth")
    ends = {1: "relu1", 3: "fire2", 7: "fire5", 12: "fire9"}
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    found, wanted = features(PICTURES, ends.values()), through(theirs.features, ends, (PICTURES - mean) / std)
    for name in ends.values():
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-5)
        assert features.trunk.map_size(name, 70, 53) == found[name].shape[2:]
    assert features.name == "squeezenet1.1"


def test_torchvision_s_vgg16_is_recognised_in_a_file(torchvision: Any, tmp_path: Path) -> None:
    with torch.device("meta"):
        plain = torchvision.vgg16().features
    state = {f"features.{name}": torch.full(t.shape, 0.01) for name, t in plain.state_dict().items()}
    torch.save(state, tmp_path / "vgg16.pth")
    features = load_features(tmp_path / "vgg16.pth")
    assert features.name == "vgg16"
    assert "relu4_2" in features.trunk.channels
    assert "relu4_4" not in features.trunk.channels
    assert float(features.trunk.layers["relu5_3"].weight.mean()) == pytest.approx(0.01)  # type: ignore[union-attr, operator]


@torch.no_grad()
def test_the_smaller_vgg19_is_read_as_its_makers_meant_it(shared_data: Path) -> None:
    path = shared_data / "weights" / "vgg19_distilled_16x_fp16.npz"
    state, features = read_state(path), load_features(str(path))
    x = F.conv2d(PICTURES, state["SE5/conv0.weight"], state["SE5/conv0.bias"])
    for layer in (11, 12, 0, 21, 22, 0, 31):
        pad = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = (
            F.max_pool2d(x, 2)
            if not layer
            else F.conv2d(pad, state[f"SE5/conv{layer}.weight"], state[f"SE5/conv{layer}.bias"]).relu()
        )
    found = features(PICTURES, ["relu3_1"])["relu3_1"]
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)
    wide = F.conv2d(x, state["SE5/conv31_aux.weight"])
    turned = torch.einsum("nchw,cd->ndhw", found, features.turns["relu3_1"])
    assert float(turned.square().sum()) == pytest.approx(float(wide.square().sum()), rel=1e-3)


def test_average_pooling_replaces_max() -> None:
    image = torch.rand(1, 3, 16, 16)
    largest, mean = (tiny(pooling=pooling)(image, ["relu1_1", "pool1"]) for pooling in ("max", "average"))
    torch.testing.assert_close(largest["pool1"], F.max_pool2d(largest["relu1_1"], 2))
    torch.testing.assert_close(mean["pool1"], F.avg_pool2d(mean["relu1_1"], 2))


def test_layers_beyond_the_last_are_not_computed() -> None:
    features = tiny()
    features.trunk.layers["relu2_1"] = nn.Identity()  # would fail: 8 channels where 12 are expected
    assert [*features(torch.rand(1, 3, 8, 8), ["relu1_1"])] == ["relu1_1"]
    assert features.numbers_per_pixel(["relu1_1"]) == [8]
    assert features.numbers_per_pixel(["relu2_1"]) == [8, 8 / 4, 12 / 4]
    assert features.least_side(["relu1_1", "relu3_1"]) == 8


def test_balance_gives_every_loud_channel_the_mean_one() -> None:
    features, pictures = tiny(), [torch.rand(1, 3, 32, 40), torch.rand(1, 3, 24, 24)]
    features.balance(pictures, STYLE_LAYERS)
    means = torch.stack([features(picture, STYLE_LAYERS)["relu2_1"].mean((0, 2, 3)) for picture in pictures]).mean(0)
    balanced = means * features.turns["relu2_1"].diag()
    loud = means > means.mean() / 10
    torch.testing.assert_close(balanced[loud], torch.ones(int(loud.sum())))
    assert (balanced[~loud] < 1).all()


def test_a_basis_keeps_distances() -> None:
    wide, maps = torch.rand(9, 4), torch.rand(4)
    assert float((basis_of(wide).T @ maps).norm()) == pytest.approx(float((wide @ maps).norm()), rel=1e-5)


def test_no_parameter_learns() -> None:
    features = tiny()
    features.balance([torch.rand(1, 3, 16, 16)], STYLE_LAYERS)
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_balance_keeps_learned_bases() -> None:
    picture = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    plain, learned = tiny(), tiny()
    basis = torch.rand(8, 8, generator=torch.Generator().manual_seed(3))
    learned.bases["relu1_1"] = torch.nn.Parameter(basis, requires_grad=False)
    for features in (plain, learned):
        features.balance([picture], ["relu1_1"])
    torch.testing.assert_close(learned.turns["relu1_1"], plain.turns["relu1_1"] @ basis)


def test_names_and_files_that_are_nothing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="did you mean 'vgg19'"):
        load_features("vgg-19")
    with pytest.raises(ModelError, match="striate weights fetch vgg19-imagenet"):
        load_features("vgg19")
    with pytest.raises(ModelError, match=r"no such file: vgg19\.pt"):
        load_features("vgg19.pt")
    with pytest.raises(ModelError, match="no such file"):
        load_features("nowhere/a.npz")
    np.savez(tmp_path / "a.npz", a=np.zeros(3, np.float32))
    with pytest.raises(CheckpointError, match=r"weights of vgg19, vgg16, squeezenet1\.1; got others"):
        load_features(tmp_path / "a.npz")
    save_checkpoint(tmp_path / "b.safetensors", {}, {"kind": "StyleFeatures", "config": {"depth": 3}})
    with pytest.raises(CheckpointError, match="features of this version"):
        load_features(tmp_path / "b.safetensors")


def test_options_of_a_trunk_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="expected pooling to be one of max, average"):
        SqueezeTrunk(pooling="mean")
    with pytest.raises(UsageError, match="as many widths as counts"):
        VggTrunk((4, 8), (1,))
    with pytest.raises(UsageError, match="expected layer to be one of relu1_1"):
        Features("tiny", tiny().trunk).trunk.check(["conv1"])
