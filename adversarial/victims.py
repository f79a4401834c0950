"""Who is attacked: a network with gradients (`Attackable`), or anything that names pictures (`BlackBox`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.checks import ModelError, UsageError, unknown
from ..core.classifier import Classifier
from ..core.images import load_image, to_image, to_tensor
from ..core.optimize import has_bfloat16
from ..core.views import VIEWS, over_views
from .geometry import ClassGeometry, Geometry
from .parts import at_once
from .recorded import RecordedGradients

Ask = Callable[[list[Any]], NDArray[np.float32]]
"""Pictures uint8 (H, W, 3), or anything else that `core.images.load_image` takes -> probabilities (N, classes)."""

GIVES = ("decisions", "scores", "gradients")
"""What a victim gives away, from the least to the most; each includes those before it."""

TOLERANCE = 0.02
"""Largest difference of a probability between a network in float32 and its own model's answer. Resizing by OpenCV has
weights of 11 bits: 0.0004 was the most seen on the shipped classifiers; normalizing twice gives 0.5 and more."""
TOLERANCE_BF16 = 0.08
"""The same where the model computes in bfloat16: 0.02 was seen."""
LEAST_PROBABILITY = 1e-7


class Victim(Protocol):
    """What attacks ask.

    Attributes:
        names: Class names by class id.
        gives: One of `GIVES`.
        device: Where pictures have to be.
    """

    names: tuple[str, ...]
    gives: str
    device: torch.device

    def scores(self, pictures: Tensor) -> Tensor:
        """Return logits or logarithms of probabilities (N, classes) of pictures float (N, 3, H, W) in [0, 1]."""

    def seen(self, height: int, width: int) -> Tensor | None:
        """Return which pixels of a picture matter, bool (1, 1, H, W); None for all, or where nobody knows."""

    def probabilities(self, pictures: Sequence[Any]) -> NDArray[np.float32]:
        """Return the model's own answer about 8-bit pictures, (N, classes): what decides about success."""

    def check(self, pictures: list[NDArray[np.uint8]], answers: NDArray[np.float32]) -> None:
        """Raise unless `scores` agrees with the model's own answers."""


class Attackable:
    """A network with what its model does before it, as one differentiable function of pictures at display size.

    The network is a private copy: frozen, in eval mode, channels last.

    Args:
        network: Takes what `geometry` gives and returns logits (N, classes); in eval mode.
        names: Class names by class id.
        geometry: From pictures (N, 3, H, W) to the network's input; None passes them on.
        ask: The model itself, which is believed; None asks the network.
        views: Average the logits over a picture's views; see `core.views.over_views`.
        tolerance: How far probabilities may be from the model's.
        precision: "fp32", or "bf16" to compute products in bfloat16: on CPUs that multiply it in hardware gradients
            take 0.55 of the time (small-cifar10), and 2 % of their signs differ.
        cuda_graphs: On CUDA, record gradients once and replay them; the network may then not look at values on the
            host.

    Raises:
        ModelError: A network in train mode.
    """

    gives = "gradients"

    def __init__(
        self,
        network: nn.Module,
        names: Iterable[str],
        *,
        geometry: Geometry | None = None,
        ask: Ask | None = None,
        views: str = "one",
        tolerance: float = TOLERANCE,
        precision: str = "fp32",
        cuda_graphs: bool = False,
    ) -> None:
        for kind, name, known in (("precision", precision, ("fp32", "bf16")), ("views", views, VIEWS)):
            if name not in known:
                raise unknown(kind, name, known)
        if any(module.training for module in network.modules()):
            raise ModelError("a network in eval mode", "one in train mode", "call network.eval() first")
        self.names, self.geometry, self.ask, self.views, self.tolerance = tuple(names), geometry, ask, views, tolerance
        self.network, self.precision = frozen(network), precision
        tensor = next(iter([*network.parameters(), *network.buffers()]), torch.zeros(()))
        self.device = tensor.device
        self.recorded = RecordedGradients(self._entered, self._answered) if cuda_graphs else None

    def scores(self, pictures: Tensor, *, exact: bool = False) -> Tensor:
        """Return the logits (N, classes), differentiable; with `exact` as from pictures of 8 bits."""
        return self._answered(self._entered(pictures, exact=exact))

    def _entered(self, pictures: Tensor, *, exact: bool = False) -> Tensor:
        x = pictures if self.geometry is None else self.geometry(pictures, exact=exact)
        return x.contiguous(memory_format=torch.channels_last)

    def _answered(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return over_views(self.network, x, self.views)

    def seen(self, height: int, width: int) -> Tensor | None:
        """Return which pixels the network sees of a picture, bool (1, 1, H, W); None for all.

        A classifier cuts the middle square: what changed beside it would be noise that fools nobody.
        """
        if self.geometry is None:
            return None
        blank = torch.zeros(1, 3, height, width, device=self.device, requires_grad=True)
        with torch.enable_grad():  # no weight of a resampling is negative: nothing cancels in the sum
            (gradient,) = torch.autograd.grad(self.geometry(blank).sum(), blank)
        seen = (gradient != 0).any(1, keepdim=True)
        return None if bool(seen.all()) else seen

    def probabilities(self, pictures: Sequence[Any]) -> NDArray[np.float32]:
        """Return the model's probabilities (N, classes) of pictures of any source."""
        if self.ask is not None:
            return self.ask(list(pictures))
        if not len(pictures):
            return np.zeros((0, len(self.names)), np.float32)
        return by_scores(self.scores, pictures, self.device)

    def check(self, pictures: list[NDArray[np.uint8]], answers: NDArray[np.float32]) -> None:
        """Compare with the model's own answers.

        Raises:
            ModelError: They differ by more than the tolerance.
        """
        if not len(pictures):
            return
        mine = by_scores(lambda x: self.scores(x, exact=True), pictures, self.device)
        if mine.shape != answers.shape or len(self.names) != answers.shape[1]:
            got = f"scores {mine.shape}, answers {answers.shape}, {len(self.names)} names"
            raise ModelError("a network with one score for each class", got, "wrap the network that the model uses")
        worst = float(np.abs(mine - answers).max())
        if not worst <= self.tolerance:
            raise ModelError(
                f"a wrapper that gives the model's own probabilities within {self.tolerance:g}",
                f"a difference of {worst:.3g}",
                "pass the geometry, mean and std that the model uses, pictures in [0, 1], and tolerance=0.08 if the "
                "model computes in bfloat16",
            )


class BlackBox:
    """Anything that names pictures, without gradients; it sees pictures of 8 bits, as it would in the world.

    Args:
        ask: Pictures uint8 (H, W, 3) -> probabilities (N, classes).
        names: Class names by class id.
        gives: "scores", or "decisions" where only the likeliest class means anything.
    """

    def __init__(self, ask: Ask, names: Iterable[str], *, gives: str = "scores") -> None:
        self.ask, self.names, self.gives, self.device = ask, tuple(names), gives, torch.device("cpu")

    def scores(self, pictures: Tensor) -> Tensor:
        """Return logarithms of the probabilities of the pictures, rounded to 8 bits."""
        return log_scores(self.ask([to_image(one) for one in pictures]))

    def seen(self, height: int, width: int) -> Tensor | None:
        """Return None: what it looks at is not known."""

    def probabilities(self, pictures: Sequence[Any]) -> NDArray[np.float32]:
        """Return the model's probabilities."""
        return self.ask(list(pictures))

    def check(self, pictures: list[NDArray[np.uint8]], answers: NDArray[np.float32]) -> None:
        """Do nothing: what is attacked is the model itself."""


def victim(model: Any) -> Victim:
    """Return what attacks ask, for a model.

    Args:
        model: A `Classifier`; anything with `names` and `predict_proba` or `predict`, such as a bag of words; or a
            victim already.

    Raises:
        UsageError: Something else.
        ModelError: A classifier without weights.
    """
    if isinstance(model, Attackable | BlackBox) or all(
        hasattr(model, one) for one in ("gives", "scores", "seen", "check")
    ):
        return cast(Victim, model)
    if isinstance(model, Classifier):
        return of_classifier(model)
    if hasattr(model, "names") and hasattr(model, "predict_proba"):
        return BlackBox(model.predict_proba, model.names)
    if hasattr(model, "names") and hasattr(model, "predict"):
        return BlackBox(_decisions(model), model.names, gives="decisions")
    fix = "wrap a network as Attackable(network, names)"
    raise UsageError("a classifier, or a model with names and predict", type(model).__name__, fix)


def of_classifier(classifier: Classifier, *, precision: str = "fp32") -> Attackable:
    """Return a classifier's network with its geometry."""
    network = classifier._trained()
    bf16 = classifier.precision == "bf16" or (classifier.precision == "auto" and has_bfloat16(classifier.device))
    return Attackable(
        network,
        classifier.names,
        geometry=ClassGeometry(classifier.side, classifier.image_size, classifier.channels),
        ask=classifier.predict_proba,
        views=classifier.views,
        tolerance=TOLERANCE_BF16 if bf16 or precision == "bf16" else TOLERANCE,
        precision=precision,
        cuda_graphs=True,
    )


def frozen(network: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose parameters get no gradients, channels last.

    Batch norms are not folded: on one CPU core a gradient of small-cifar10, 32 pictures, takes 454 ms as it is and
    470 ms with them in the convolutions.
    """
    private = copy.deepcopy(network).eval().requires_grad_(False)
    return private.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def log_scores(probabilities: NDArray[np.float32]) -> Tensor:
    """Return logarithms of probabilities, float32 (N, classes), none below that of 1e-7."""
    return torch.from_numpy(np.asarray(probabilities, np.float32)).clamp(min=LEAST_PROBABILITY).log()


def by_scores(scores: Callable[[Tensor], Tensor], pictures: Sequence[Any], device: torch.device) -> NDArray[np.float32]:
    """Return probabilities of pictures of any sizes, one by one where sizes differ, else as many as may be held."""
    images = [load_image(one) for one in pictures]
    count = at_once(images[0].shape) if len({image.shape for image in images}) == 1 else 1
    with torch.no_grad():
        batches = (to_tensor(images[start : start + count]) for start in range(0, len(images), count))
        rows = [scores(batch.to(device)).float().softmax(1).cpu().numpy() for batch in batches]
    return np.concatenate(rows)


def _decisions(model: Any) -> Ask:
    """Make one-hot answers of what `predict` says: labels, numbers, or objects with a `label`."""
    names = tuple(model.names)

    def ask(pictures: list[Any]) -> NDArray[np.float32]:
        answers = np.zeros((len(pictures), len(names)), np.float32)
        for row, found in zip(answers, model.predict(pictures), strict=True):
            label = getattr(found, "label", found)
            row[names.index(label) if isinstance(label, str) else int(label)] = 1
        return answers

    return ask
