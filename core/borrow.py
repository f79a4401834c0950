"""Weights that others trained, read without executing anything: .pth, .safetensors, .npz.

    classifier = borrow_classifier("resnet18-f37072fd.pth", "resnet18", names=imagenet_names)

A .pth is a pickle; torch's weights-only unpickler builds tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from . import weights
from .arrays import read_npz
from .checks import CheckpointError, UsageError, unknown
from .class_network import Normalized
from .classifier import Classifier
from .folders import cache_folder
from .models import MODELS, build

MOST_BYTES = 4 * 2**30
"""Largest sum of tensors that is read: VGG-19 has 0.6 GB; a few bytes can claim to be terabytes."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as torchvision's networks expect their pictures."""
HALVES = ((0.5,) * 3, (0.5,) * 3)
"""What torchvision's GoogLeNet turns its pictures into again (`transform_input`)."""
ORDERS = ("rgb", "bgr")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors as float32.

    Args:
        path: A .pth or .pt with a state_dict (alone or under "state_dict" or "model"), a .safetensors or an .npz.
            Quantized arrays, NAME/w with NAME/w_scale and NAME/w_zero, come back as NAME.weight and NAME.bias.

    Raises:
        CheckpointError: A file that is missing, damaged, too large, or holds something else than tensors.
    """
    path = Path(path)
    readers = {".pth": _read_torch, ".pt": _read_torch, ".safetensors": _read_safetensors, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise unknown("suffix", path.suffix, readers, CheckpointError)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        state = readers[path.suffix.lower()](path)
        _check_tensors(state)
    except Exception as error:  # a damaged pickle ends in any of them
        if isinstance(error, CheckpointError):
            raise
        got = f"{path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        fix = "fetch it again, or save its state_dict"
        raise CheckpointError("an undamaged file of named tensors", got, fix) from error
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad or not state:
        got = f"NaN or infinity in {', '.join(bad[:5])}" if bad else "none"
        raise CheckpointError("finite tensors", f"{got} in {path}", "fetch the file again")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _check_tensors(state: dict[str, Tensor]) -> None:
    """Raise unless all are plain tensors whose memory is there: a few bytes can claim to be terabytes."""
    for name, tensor in state.items():
        size = tensor.numel() * tensor.element_size()
        plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
        if not plain or size > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name} is no dense tensor of {size} bytes")
    if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")


def load_into(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load tensors into a network: by name, or where no name is known and all shapes fit, in order.

    Raises:
        CheckpointError: Tensors that are missing, left over or of another shape; the network keeps its weights.
    """
    own = network.state_dict()
    if not set(own) & set(state) and len(own) == len(state):
        pairs = zip(own.items(), state.values(), strict=True)
        # A last layer may come as the 1x1 convolution that it is; other orders of axes are other weights.
        state = {name: t.reshape(mine.shape) if _same_axes(t, mine) else t for (name, mine), t in pairs}
    state = {_renamed(name): t for name, t in state.items()}
    spare = ("num_batches_tracked", "aux1.", "aux2.")  # GoogLeNet's classifiers for training
    state = {name: t for name, t in state.items() if name in own or not any(part in name for part in spare)}
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in own]
    other = [
        f"{name} {tuple(t.shape)} for {tuple(own[name].shape)}"
        for name, t in state.items()
        if name in own and t.shape != own[name].shape
    ]
    if missing or extra or other:
        parts = (("missing", missing), ("left over", extra), ("of another shape", other))
        got = "; ".join(f"{len(names)} {what}: {', '.join(names[:3])}" for what, names in parts if names)
        raise CheckpointError("the tensors of this network", got, "check the network's name and its options")
    network.load_state_dict(state, strict=False)


def _renamed(name: str) -> str:
    """Return today's name of a tensor: DenseNet's files say denselayer1.norm.1.weight for denselayer1.norm1.weight."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1", name)


def _same_axes(one: Tensor, other: Tensor) -> bool:
    """Whether two shapes are equal up to ones at their end."""
    long, short = sorted((tuple(one.shape), tuple(other.shape)), key=len, reverse=True)
    return long[: len(short)] == short and all(size == 1 for size in long[len(short) :])


def borrow_classifier(
    path: str | Path,
    network: str,
    *,
    names: Iterable[str] = (),
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
    order: str = "rgb",
    first_class: int = 0,
    **keywords: Any,
) -> Classifier:
    """Make a classifier of weights that others trained.

    Args:
        path: See `read_state`.
        network: A key of `core.models.MODELS`.
        names: Class names; empty gives "class 0", "class 1", ...
        mean: Of each RGB channel, in [0, 1], as the network expects it; for 0 to 255 divide by 255. None takes what
            torchvision's weights of this network expect.
        std: Likewise; 1 / 255 for networks that take 0 to 255.
        order: "bgr" for networks of OpenCV and Caffe: the first layer's filters are turned around.
        first_class: Outputs before it are dropped; 1 where TensorFlow's networks have "background".
        keywords: Those of `Classifier`, such as image_size and options.

    Raises:
        CheckpointError: See `read_state` and `load_into`.
        UsageError: An unknown network or order.
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    if network not in MODELS:
        raise unknown("network", network, MODELS)
    state = read_state(path)
    first, *last = _ends(state, network, keywords.get("options") or {})
    if order == "bgr":
        state[first] = state[first].flip(1)
    for name in last:
        state[name] = state[name][first_class:]
    classes = len(state[last[0]])
    names = tuple(names) or tuple(f"class {i}" for i in range(classes))
    if len(names) != classes:
        raise UsageError(f"{classes} class names", f"{len(names)}", "pass one name for every output")
    usual = HALVES if network == "googlenet" else (MEAN, STD)
    mean, std = (given if given is not None else own for given, own in zip((mean, std), usual, strict=True))
    classifier = Classifier(names, network=network, mean=mean, std=std, **keywords)
    built = classifier._build(names)
    assert isinstance(built, Normalized)
    load_into(built.network, state)
    classifier._use(built)
    return classifier


def fetch_weights(
    name: str,
    *,
    table: Mapping[str, weights.Weights] = weights.WEIGHTS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make sure that named weights are on this machine; of those that others trained, a classifier's file is made.

    The fetched state_dict is removed from the cache once its checkpoint is written.

    Args:
        name: A name of the table.
        table: Where names are looked up.
        on_progress: Called with (bytes here, bytes in all).

    Returns:
        The file that `from_pretrained(name)` loads.

    Raises:
        ModelError: See `weights.fetch`.
        SaveError: The cache cannot be written.
    """
    row = table.get(name)
    made = weights.find_borrowed(row) if row and row.network else None
    if made is not None:
        return made
    file = weights.fetch(name, table=table, on_progress=on_progress)
    if row is None or not row.network:
        return file
    names = (weights.EMBEDDED / "imagenet.txt").read_text("utf-8").splitlines()
    about: dict[str, Any] = {
        "licence": row.licence,
        "data_licence": row.data_licence,
        "figures": row.figures,
        "source": row.url,
    }
    made = borrow_classifier(file, row.network, names=names).save(cache_folder() / f"{name}.safetensors", **about)
    if file.parent == cache_folder():
        file.unlink()
    return made


def _ends(state: dict[str, Tensor], network: str, options: dict[str, Any]) -> tuple[str, str, str]:
    """Return the names of the first layer's filters and of the last layer's weight and bias."""
    plain = build(network, 2, **options)
    own = list(plain.state_dict())
    ends = own[0], f"{plain.head}.weight", f"{plain.head}.bias"
    if not set(own) & set(state) and len(own) == len(state):  # in order
        names = list(state)
        ends = names[0], names[-2], names[-1]
    missing = [name for name in ends if name not in state]
    if missing or len(state[ends[1]]) != len(state[ends[2]]):
        raise CheckpointError(f"the tensors of {network!r}", f"none called {', '.join(missing)}", "check its name")
    return ends


def _read_torch(path: Path) -> dict[str, Tensor]:
    found = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        found = found.get(key, found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError("something else than a state_dict")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(path)


def _read_npz(path: Path) -> dict[str, Tensor]:
    arrays = read_npz(path, MOST_BYTES)
    if not any(name.endswith("/w_scale") for name in arrays):
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    state = {}
    for name in sorted(key.removesuffix("/w") for key in arrays if key.endswith("/w")):
        weight = arrays[f"{name}/w"].astype(np.float32) - np.float32(arrays[f"{name}/w_zero"])
        state[f"{name}.weight"] = torch.from_numpy(weight * np.float32(arrays[f"{name}/w_scale"]))
        state[f"{name}.bias"] = torch.from_numpy(np.array(arrays[f"{name}/b"], np.float32))
    return state
