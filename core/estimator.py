"""What all trained models share: keywords stored, weights saved with them, loaded, moved to a device."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from .checkpoints import load_checkpoint, save_checkpoint
from .checks import CheckpointError, ModelError
from .history import History
from .weights import resolve


class Estimator(ABC):
    """A model with class names, built from keywords, that `fit` trains.

    A subclass stores each keyword of its constructor under the keyword's own name: `repr` and the checkpoint read them
    there.

    Attributes:
        names: Class names by class id.
        network_: The network, in eval mode; None before it is trained or loaded.
        history_: What the last training did; None before.
    """

    task: ClassVar[str]
    class_layers: ClassVar[str]  # what the names of all tensors contain that depend on the classes
    names: tuple[str, ...]
    network_: nn.Module | None
    history_: History | None
    device: torch.device

    @abstractmethod
    def _build(self, names: tuple[str, ...]) -> nn.Module:
        """Make a fresh network for these classes."""

    def _use(self, network: nn.Module | None) -> None:
        """Take a network into use, in eval mode, on this model's device."""
        self.network_ = None if network is None else network.to(self.device).eval()

    def config(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config().items())})"

    def to(self, device: str | torch.device) -> Self:
        """Move the network to "cpu" or "cuda"; returns itself."""
        self.device = torch.device(device)
        self._use(self.network_)
        return self

    def save(self, path: str | Path, *, half: bool = False, **about: Any) -> Path:
        """Save weights, constructor keywords and class names in one safetensors file.

        Args:
            path: Ends in .safetensors.
            half: Store the filters in 16 bits, which halves the file; norms and biases stay in 32, and so does the
                network that `load` makes of it.
            about: More to keep in the header as JSON, such as figures and licence.

        Raises:
            ModelError: A model without weights.
            SaveError: The file cannot be written; the one that was there is untouched.
        """
        return self._save(self._trained(), path, half, **about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load what `save` wrote; nothing in the file is executed.

        Raises:
            CheckpointError: A file that is damaged, foreign, of another class, or of a newer version.
        """
        tensors, meta = load_checkpoint(path, kind=cls.__name__)
        try:
            return cls._restored(meta["config"], tensors)
        except (TypeError, KeyError, RuntimeError, ValueError) as error:
            expected = f"a {cls.__name__} checkpoint of this version"
            raise CheckpointError(expected, f"{path}: {error}", "update Striate, or save the model again") from error

    @classmethod
    def _restored(cls, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Self:
        """Make a model of keywords and tensors; a TypeError, KeyError, RuntimeError or ValueError where they differ."""
        model = cls(**config)
        with torch.device("meta"):  # shapes first: a few words of a header can ask for all the memory
            shapes = {name: t.shape for name, t in model._build(model.names).state_dict().items()}
        theirs = {name: t.shape for name, t in tensors.items()}
        other = [name for name in {**shapes, **theirs} if shapes.get(name) != theirs.get(name)]
        if other:
            raise KeyError(f"missing, left over or of another shape: {', '.join(other[:3])}")
        network = model._build(model.names)
        network.load_state_dict(tensors)
        model._use(network)
        return model

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Self:
        """Load weights by name, such as "cells", or by path; never uses the network.

        Raises:
            ModelError: An unknown name, or weights that have to be fetched first.
        """
        return cls.load(resolve(name_or_path, cls.task))

    def _trained(self) -> nn.Module:
        if self.network_ is None:
            kind = type(self).__name__.lower()
            raise ModelError(
                f"a {kind} with weights", "one that was never trained", "call fit, load or from_pretrained"
            )
        return self.network_

    def _save(self, network: nn.Module, path: str | Path, half: bool = False, **about: Any) -> Path:
        tensors = plain_state(network, half)
        meta = {"kind": type(self).__name__, "config": self.config(), "names": list(self.names)}
        return save_checkpoint(path, tensors, {**meta, **about})

    def _learn(self, names: tuple[str, ...], seed: int, train: Callable[[nn.Module], History], **learned: Any) -> None:
        """Train a copy of the network, begun anew or gone on with; whatever fails leaves this model as it was.

        Args:
            names: Classes to learn.
            seed: Of a network's random weights.
            train: Trains the network that it is given, in place.
            learned: Attributes that the network is built with, such as the pictures' mean.
        """
        before = dict(vars(self))
        try:
            vars(self).update(learned)
            self._start(names, seed)
            network = copy.deepcopy(self._trained()).cpu()
            self.history_ = train(network)
            self._use(network)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _start(self, names: tuple[str, ...], seed: int) -> None:
        """Make ready to learn these classes from the weights there are; for other classes, their layers start anew."""
        if self.network_ is not None and names == self.names:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._build(names)
        if self.network_ is not None:
            old, new, classes = self.network_.state_dict(), network.state_dict(), self.class_layers
            fresh = {name for name, tensor in new.items() if classes in name or old[name].shape != tensor.shape}
            network.load_state_dict({name: (new if name in fresh else old)[name] for name in new})
        self.names = names
        self._use(network)


def plain_state(network: nn.Module, half: bool = False) -> dict[str, torch.Tensor]:
    """Return a network's tensors on the CPU, with `half` its filters in 16 bits."""
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    if half:
        tensors = {name: t.half() if t.ndim > 1 and t.is_floating_point() else t for name, t in tensors.items()}
    return tensors
