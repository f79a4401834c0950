"""Weights that others trained: the same answers, picture by picture; nothing executed; damage found."""

import csv
import io
import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from striate.core import weights
from striate.core.borrow import borrow_classifier, fetch_weights, load_into, read_state
from striate.core.checks import CheckpointError, UsageError
from striate.core.classifier import Classifier
from striate.core.folders import cache_folder
from striate.core.images import load_image, resize
from striate.core.models import build


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build("squeezenet1.1", 5).eval()


def write(network: nn.Module, path: Path) -> Path:
    state = network.state_dict()
    if path.suffix == ".pth":
        torch.save(state, path)
    elif path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_every_format(network: nn.Module, tmp_path: Path, suffix: str) -> None:
    path = write(network, tmp_path / f"weights{suffix}")
    classifier = borrow_classifier(path, "squeezenet1.1", precision="fp32")
    image = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    crop = torch.from_numpy(image[16:240, 38:262].copy()).permute(2, 0, 1)[None] / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = network((crop - mean[:, None, None]) / std[:, None, None]).softmax(1)[0]
    np.testing.assert_allclose(classifier.predict(image).probabilities, expected.numpy(), atol=1e-5)
    assert classifier.names == tuple(f"class {i}" for i in range(5))


def test_wrapped_state_dicts(network: nn.Module, tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{n}": t for n, t in network.state_dict().items()}}, tmp_path / "w.pth")
    assert list(read_state(tmp_path / "w.pth")) == list(network.state_dict())


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_is_not_executed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Harm()}, "harm.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    np.savez("harm.npz", a=np.array([Harm()], object))
    for name in ("harm.pth", "plain.pth", "harm.npz"):
        with pytest.raises(CheckpointError, match="an undamaged file of named tensors"):
            read_state(name)
    assert not Path("harm").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated(network: nn.Module, tmp_path: Path, suffix: str, share: float) -> None:
    path = write(network, tmp_path / f"weights{suffix}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"expected an undamaged file of named tensors; got .*weights"):
        read_state(path)


def test_tensors_whose_memory_is_not_there(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).as_strided((10**7, 10**7), (0, 0))}, tmp_path / "strides.pth")
    torch.save({"a": torch.zeros(3, device="meta")}, tmp_path / "meta.pth")
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match="an undamaged file of named tensors"):
            read_state(path)


def test_densenets_old_names_and_googlenets_spare_classifiers() -> None:
    dense = build("densenet121", 3)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", n): t for n, t in dense.state_dict().items()}
    assert set(old) != set(dense.state_dict())
    load_into(build("densenet121", 3), old)
    load_into(build("googlenet", 3), build("googlenet", 3, auxiliary=True).state_dict())


def test_other_orders_of_axes_are_refused() -> None:
    with pytest.raises(CheckpointError, match="the tensors of this network"):
        load_into(nn.Linear(4, 3, bias=False), {"kernel": torch.randn(4, 3)})
    layer = nn.Linear(4, 3, bias=False)
    load_into(layer, {"kernel": torch.ones(3, 4, 1, 1)})
    assert layer.weight.eq(1).all()


def test_absurd_lengths(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 8)})
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    (tmp_path / "w.safetensors").write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match=r"claims \(1099511627776, 8\) of float32"):
        read_state(tmp_path / "w.npz")
    with pytest.raises(CheckpointError, match="an undamaged file"):
        read_state(tmp_path / "w.safetensors")


def test_other_things(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    torch.save({"a": torch.tensor([float("nan")])}, tmp_path / "nan.pth")
    for name, words in (
        ("w.h5", "suffix to be one of .pth, .pt, .safetensors, .npz; got '.h5'"),
        ("list.pth", "something else than a state_dict"),
        ("nan.pth", "finite tensors; got NaN or infinity in a"),
        ("none.pth", "No such file"),
    ):
        with pytest.raises(CheckpointError, match=words):
            read_state(tmp_path / name)


def test_tensors_of_another_network(network: nn.Module, tmp_path: Path) -> None:
    path = write(network, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"the tensors of 'resnet18'; got none called conv1.weight, fc.weight"):
        borrow_classifier(path, "resnet18")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = read_state(path)
    del state["features.0.bias"]
    state["classifier.1.bias"] = torch.zeros(9)
    with pytest.raises(CheckpointError, match=r"1 missing: features.0.bias; 1 of another shape: classifier.1.bias"):
        load_into(network, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    with pytest.raises(UsageError, match="5 class names; got 2"):
        borrow_classifier(path, "squeezenet1.1", names=("a", "b"))
    with pytest.raises(UsageError, match="order to be one of rgb, bgr; got 'gbr'"):
        borrow_classifier(path, "squeezenet1.1", order="gbr")


def test_bgr_networks_see_what_they_were_trained_on(network: nn.Module, tmp_path: Path) -> None:
    path = write(network, tmp_path / "w.npz")
    classifier = borrow_classifier(
        path, "squeezenet1.1", mean=(3 / 255, 2 / 255, 1 / 255), std=(1 / 255,) * 3, order="bgr", precision="fp32"
    )
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    blue_first = torch.from_numpy(image[16:240, 16:240, ::-1].copy()).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        expected = network(blue_first - torch.tensor([1.0, 2.0, 3.0])[:, None, None]).softmax(1)[0]
    np.testing.assert_allclose(classifier.predict(image).probabilities, expected.numpy(), atol=1e-4)


# --- the borrowed networks of the shared data ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(shared_data: Path) -> tuple[list[np.ndarray], np.ndarray]:
    folder = shared_data / "imagenet_samples"
    with open(folder / "labels.csv") as file:
        rows = list(csv.DictReader(file))[::25]
    images = [load_image(folder / "images" / row["file"]) for row in rows]
    return images, np.array([int(row["class_index"]) for row in rows])


def crops(images: list[np.ndarray], size: int) -> torch.Tensor:
    """The middle of pictures whose shorter side is 256."""
    cut = []
    for image in images:
        for side in (min(image.shape[:2]), size):
            if side == size and image.shape[:2] != (256, 256):
                image = resize(image, (256, 256))
            top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
            image = np.ascontiguousarray(image[top : top + side, left : left + side])
        cut.append(torch.from_numpy(image.copy()))
    return torch.stack(cut).permute(0, 3, 1, 2).float()


def squeezenet(state: dict[str, torch.Tensor], x: torch.Tensor, pools: tuple[int, ...]) -> torch.Tensor:
    """SqueezeNet in plain functions of torch."""
    x = F.relu(F.conv2d(x, state["features.0.weight"], state["features.0.bias"], stride=2))
    for number in range(2, 13):
        if number in pools:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        fire = {part: (state[f"features.{number}.{part}.weight"], state[f"features.{number}.{part}.bias"])
                for part in ("squeeze", "expand1x1", "expand3x3")}  # fmt: skip
        x = F.relu(F.conv2d(x, *fire["squeeze"]))
        x = torch.cat((F.relu(F.conv2d(x, *fire["expand1x1"])), F.relu(F.conv2d(x, *fire["expand3x3"], padding=1))), 1)
    return F.relu(F.conv2d(x, state["classifier.1.weight"], state["classifier.1.bias"])).mean((2, 3))


def test_squeezenet_1_1_picture_by_picture(shared_data: Path, samples) -> None:
    images, labels = samples
    path = shared_data / "weights" / "squeezenet1_1_torchvision_fp16.npz"
    classifier = borrow_classifier(path, "squeezenet1.1", precision="fp32")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (crops(images, 224) / 255 - mean[:, None, None]) / std[:, None, None]
    expected = squeezenet(read_state(path), x, (2, 5, 8)).softmax(1).numpy()
    got = classifier.predict_proba(images)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert (got.argmax(1) == labels).mean() > 0.45


def test_squeezenet_1_0_picture_by_picture(shared_data: Path, samples) -> None:
    images, labels = samples
    path = shared_data / "weights" / "squeezenet1_0_deepcompression.npz"
    mean = (123 / 255, 117 / 255, 104 / 255)
    classifier = borrow_classifier(path, "squeezenet1.0", mean=mean, std=(1 / 255,) * 3, order="bgr", precision="fp32")
    x = crops(images, 227).flip(1) - torch.tensor([104.0, 117, 123])[:, None, None]
    expected = squeezenet(read_state(path), x, (2, 6, 11)).softmax(1).numpy()
    got = classifier.predict_proba(images)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert (got.argmax(1) == labels).mean() > 0.45


def same(x: torch.Tensor, window: int, stride: int) -> torch.Tensor:
    total = max((-(-x.shape[2] // stride) - 1) * stride + window - x.shape[2], 0)
    return F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))


def test_quantized_mobilenet_picture_by_picture(shared_data: Path, samples) -> None:
    """Against the operations that the file's own list names, on its dequantized weights."""
    images, labels = samples
    path = shared_data / "weights" / "mobilenet_v2_1.0_224_uint8.npz"
    classifier = borrow_classifier(
        path, "mobilenet-v2", mean=(128 / 255,) * 3, std=(128 / 255,) * 3, first_class=1, options={"folded": True},
        precision="fp32",
    )  # fmt: skip
    plan, state = json.loads(path.with_suffix(".json").read_text()), read_state(path)
    values = {plan["input"]: (crops(images, 224) - 128) / 128}
    for op in plan["ops"]:
        given = [values[i] for i in op["in"]]
        if op["op"] in ("CONV", "DW"):
            weight, bias = state[f"{op['w']}.weight"], state[f"{op['w']}.bias"]
            y = F.conv2d(same(given[0], weight.shape[2], op["stride"]), weight, bias, op["stride"], groups=op["groups"])
            values[op["out"]] = y.clamp(0, 6) if op["act"] == "relu6" else y
        elif op["op"] == "ADD":
            values[op["out"]] = given[0] + given[1]
        elif "POOL" in op["op"] or op["op"] == "MEAN":
            values[op["out"]] = given[0].mean((2, 3), keepdim=True)
        else:
            values[op["out"]] = given[0]
    expected = values[plan["output"]].flatten(1)[:, 1:].softmax(1).numpy()
    got = classifier.predict_proba(images)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert (got.argmax(1) == labels).mean() > 0.75


def test_a_fetched_state_dict_becomes_a_named_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cache_folder().mkdir(parents=True)
    file = write(build("squeezenet1.1", 1000), cache_folder() / "squeezenet.pth")
    row = {"task": "classify", "licence": "BSD-3-Clause", "data_licence": "terms", "figures": {"top1": 0.5}}
    weights.register(file, index=tmp_path / "index.json", name="borrowed", url="https://example.org/w.pth",
                     network="squeezenet1.1", **row)  # fmt: skip
    table = weights.Table(tmp_path / "index.json")
    made = fetch_weights("borrowed", table=table)
    assert made == cache_folder() / "borrowed.safetensors" == weights.resolve("borrowed", "classify", table=table)
    assert not file.exists()
    assert fetch_weights("borrowed", table=table) == made
    classifier = Classifier.load(made)
    assert (classifier.network, len(classifier.names), classifier.names[0]) == ("squeezenet1.1", 1000, "tench")


def test_fetching_a_checkpoint_of_ours_returns_it() -> None:
    assert fetch_weights("lenet5-mnist") == weights.resolve("lenet5-mnist")
