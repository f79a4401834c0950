"""The features that a transfer stands on, by name: ours, shipped, and VGG-16, VGG-19 and SqueezeNet 1.1 of ImageNet.

features = load_features()                      # ours, 1.7 MB
features = load_features("vgg19", pooling="average")   # after: striate weights fetch vgg19-imagenet
maps = features(pictures, ["relu1_1", "relu4_2"])
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.borrow import MEAN, STD, load_into, read_state
from ..core.checkpoints import load_checkpoint
from ..core.checks import CheckpointError, ModelError, unknown
from ..core.weights import resolve
from .networks import VGG_COUNTS, SqueezeTrunk, Trunk, VggTrunk
from .windows import check_tiles, windows

SHIPPED = "vgg-distilled"
NETWORKS = (SHIPPED, "vgg19", "vgg16", "squeezenet1.1")
KIND = "StyleFeatures"
SIXTEENTH = "SE5/conv11.weight"
"""First array of the VGG-19 that Collaborative Distillation (Wang et al. 2020) made 16 times smaller."""

VGG_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SQUEEZE_STYLE = ("relu1", "fire2", "fire4", "fire6", "fire8")


class Features(nn.Module):
    """Maps of pictures by name: normalization, a trunk that is never trained, and what weighs its channels.

    Args:
        name: What it is called.
        trunk: Computes the maps.
        style_layers: Those whose Gram matrices are the style, unless others are asked for.
        content_layers: Those that are the content.
        bases: B (C, C) for a layer of C channels, of Gram matrices alone: they are compared as B' G B, those of the
            maps times B, which costs nothing beside the maps; absent for the maps as they are. Content is always
            compared in the maps as they are.
        mean: Of each channel of the pictures, in [0, 1].
        std: Likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        trunk: Trunk,
        style_layers: tuple[str, ...] = VGG_STYLE,
        content_layers: tuple[str, ...] = ("relu4_2",),
        bases: Mapping[str, Tensor] | None = None,
        mean: Iterable[float] = MEAN,
        std: Iterable[float] = STD,
    ) -> None:
        super().__init__()
        self.name, self.trunk = name, trunk
        self.style_layers, self.content_layers = style_layers, content_layers
        self.register_buffer("mean", torch.tensor(list(mean))[:, None, None])
        self.register_buffer("std", torch.tensor(list(std))[:, None, None])
        self.bases = nn.ParameterDict({key: nn.Parameter(value) for key, value in (bases or {}).items()})
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Compute maps (N, C, H / stride, W / stride).

        Args:
            images: (N, 3, H, W), meant to lie in [0, 1].
            names: Of the maps.
        """
        return self.trunk(((images - self.mean) / self.std).to(next(self.trunk.parameters()).dtype), names)

    def computing_in(self, dtype: torch.dtype) -> Features:
        """Compute maps in a dtype from now on, what is done with them in float32; returns self."""
        self.trunk.to(dtype)
        for weight in self.trunk.parameters():
            if weight.ndim == 4:  # as the maps lie: oneDNN need not turn weights at each step
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        return self

    @property
    def turns(self) -> dict[str, Tensor]:
        """The bases by layer, as a plain dict."""
        return dict(self.bases.items())

    def least_side(self, names: Iterable[str]) -> int:
        """Return the least side of a picture for these maps: two of their pixels."""
        return 2 * max(self.trunk.strides[name] for name in names)

    def numbers_per_pixel(self, names: Iterable[str]) -> list[float]:
        """Return how many numbers each map up to the last of these has, over the pixels of the picture."""
        order = [*self.trunk.channels]
        last = max(order.index(name) for name in names)
        return [self.trunk.channels[name] / self.trunk.strides[name] ** 2 for name in order[: last + 1]]

    def fingerprint(self) -> str:
        """Return the SHA-256 of what the maps depend on: the trunk's layers, and all numbers."""
        digest = hashlib.sha256(repr(self.trunk).encode())
        for name, tensor in sorted(self.state_dict().items()):
            data = tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes()
            digest.update(f"{name} {tuple(tensor.shape)} ".encode() + data)
        return digest.hexdigest()

    @torch.no_grad()
    def balance(self, pictures: Iterable[Tensor], names: Iterable[str], tile: int | None = None) -> None:
        """Weigh channels so that each has the mean 1 over pictures: the "normalized VGG" of Gatys et al. 2015.

        A channel below a tenth of its layer's mean counts as if it had that: silence must not become noise. Bases that
        are there stay, behind the weights: Gram matrices are then those of the weighed maps times them.

        Args:
            pictures: (N, 3, H, W) each, of any sizes.
            names: Layers to weigh.
            tile: Side of the tiles that pictures are looked at in; None for whole ones.

        Raises:
            UsageError: Tiles of a network whose maps do not begin at multiples of its stride.
        """
        names = [*names]
        if tile is not None:
            check_tiles(self.trunk, self.name)
        sums = {name: torch.zeros(self.trunk.channels[name], dtype=torch.float64) for name in names}
        count = 0
        for picture in pictures:
            for name, mean in self._means(picture, names, tile).items():
                sums[name] += mean
            count += 1
        for name in names:
            means = (sums[name] / count).clamp_min(float(sums[name].mean()) / count / 10)
            weights = torch.diag(1 / means).to(self.mean)
            basis = weights @ self.bases[name] if name in self.bases else weights
            self.bases[name] = nn.Parameter(basis, requires_grad=False)

    def _means(self, picture: Tensor, names: list[str], tile: int | None) -> dict[str, Tensor]:
        """Return each channel's mean over a picture, float64 on the CPU."""
        strides, (height, width) = self.trunk.strides, picture.shape[2:]
        found = {name: torch.zeros(self.trunk.channels[name], dtype=torch.float64) for name in names}
        for window in windows(height, width, tile, max(strides[name] for name in names)):
            seen = picture[:, :, window.outer_rows, window.outer_columns]
            for name, maps in self(seen, names).items():
                cells = len(picture) * math.prod(self.trunk.map_size(name, height, width))
                found[name] += window.inner(maps, strides[name]).sum((0, 2, 3), dtype=torch.float64).cpu() / cells
        return found


def load_features(name_or_path: str | Path = SHIPPED, *, pooling: str | None = None) -> Features:
    """Load features by name or from a file; never uses the network.

    Args:
        name_or_path: One of `NETWORKS`, or a file: ours, torchvision's state_dict of VGG-16, VGG-19 or SqueezeNet 1.1,
            or the 16 times smaller VGG-19 as .npz.
        pooling: "max" or "average"; None takes what the network was trained with.

    Raises:
        ModelError: An unknown name, or weights that have to be fetched first.
        CheckpointError: A file that is damaged or holds another network.
        UsageError: An unknown pooling.
    """
    text = os.fspath(name_or_path)
    is_path = isinstance(name_or_path, Path) or Path(text).name != text or Path(text).suffix in (".pth", ".pt", ".npz")
    if text in NETWORKS and text != SHIPPED:
        tensors, _ = load_checkpoint(resolve(f"{text}-imagenet", "classify"), kind="Classifier")
        state = {name.removeprefix("network."): tensor.float() for name, tensor in tensors.items()}
        return _of_imagenet(text, state, pooling)
    if text not in NETWORKS and not is_path and Path(text).suffix != ".safetensors":
        raise unknown("features", text, NETWORKS, ModelError)
    path = resolve(text)
    if path.suffix == ".safetensors":
        return _ours(path, pooling)
    state = read_state(path)
    return _sixteenth(state, pooling) if SIXTEENTH in state else _of_imagenet(_which(path, state), state, pooling)


def _which(path: Path, state: Mapping[str, Tensor]) -> str:
    """Return the network whose state_dict this is."""
    if "features.3.squeeze.weight" in state:
        return "squeezenet1.1"
    last = {"features.28.weight": "vgg16", "features.34.weight": "vgg19"}
    found = [network for name, network in last.items() if name in state and state[name].ndim == 4]
    if not found:
        raise CheckpointError(f"weights of {', '.join(NETWORKS[1:])}", f"others: {path}", "pass a file of one of those")
    return found[-1]


def _of_imagenet(network: str, state: Mapping[str, Tensor], pooling: str | None) -> Features:
    state = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
    if network == "squeezenet1.1":
        squeeze = SqueezeTrunk(pooling=pooling or "max")
        load_into(squeeze, state)
        return Features(network, squeeze, SQUEEZE_STYLE, ("fire6",))
    trunk = VggTrunk(counts=VGG_COUNTS[network], pooling=pooling or "max", first_padding="replicate")
    load_into(trunk, dict(zip(trunk.state_dict(), state.values(), strict=False)))
    return Features(network, trunk)


def _sixteenth(state: Mapping[str, Tensor], pooling: str | None) -> Features:
    """Take the encoder SE5; its first 1x1 convolution, which turns RGB in [0, 1] into what VGG wants, goes first."""
    counts = (2, 2, 4, 4, 1)
    trunk = VggTrunk((16, 32, 64, 128, 128), counts, pooling=pooling or "max", padding_mode="reflect")
    own = {}
    for name in trunk.state_dict():
        _, layer, kind = name.split(".")
        own[name] = state[f"SE5/conv{layer.removeprefix('relu').replace('_', '')}.{kind}"]
    first, shift = state["SE5/conv0.weight"][:, :, 0, 0], state["SE5/conv0.bias"]
    weight = own["layers.relu1_1.weight"]
    own["layers.relu1_1.bias"] = own["layers.relu1_1.bias"] + (weight.sum((2, 3)) @ shift)
    own["layers.relu1_1.weight"] = torch.einsum("kchw,cd->kdhw", weight, first)
    load_into(trunk, own)
    aux = {f"relu{i}_1": state[f"SE5/conv{i}1_aux.weight"].flatten(1) for i in range(1, 6)}
    bases = {name: basis_of(matrix) for name, matrix in aux.items()}
    return Features("vgg19-16x", trunk, bases=bases, mean=(0.0,) * 3, std=(1.0,) * 3)


def basis_of(matrix: Tensor) -> Tensor:
    """Return B (C, C) with B B' = A' A: maps times it are as far from each other as maps times A' (K, C) are."""
    values, vectors = torch.linalg.eigh(matrix.double().T @ matrix.double())
    return (vectors * values.clamp_min(0).sqrt()).float()


def _ours(path: Path, pooling: str | None) -> Features:
    tensors, meta = load_checkpoint(path, kind=KIND)
    try:
        config: dict[str, Any] = meta["config"]
        trunk = VggTrunk(**{**config, **({} if pooling is None else {"pooling": pooling})})
        bases = {k.removeprefix("bases."): v.float() for k, v in tensors.items() if k.startswith("bases.")}
        state = {k.removeprefix("trunk."): v.float() for k, v in tensors.items() if k.startswith("trunk.")}
    except (KeyError, TypeError) as error:
        raise CheckpointError("features of this version", f"{path}: {error}", "update Striate") from error
    load_into(trunk, state)
    return Features(path.stem, trunk, bases=bases)
