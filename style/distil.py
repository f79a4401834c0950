"""Features of our own: a small VGG that learns to see as a teacher does, on pictures without labels.

    loss = sum over layers of |A F - T|^2 / |T|^2 + w |A G A' - Gram(T)|^2 / |Gram(T)|^2

F and G are the student's maps and Gram matrices, T the teacher's maps in their full width, A (K, C) a matrix for each
layer that is learned with the student, w the plan's `gram_weight`. What is kept of A is the basis B with B B' = A' A:
in it the student's Gram matrices are as far from each other as those of the full width are (`Features.bases`). In
training each convolution is followed by a batch norm, which is then folded into it. After Romero et al. 2015 (FitNets)
and Wang et al. 2020 (Collaborative Distillation, whose linear embedding A is).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.borrow import MEAN, STD
from ..core.checkpoints import load_state, save_checkpoint, save_state
from ..core.checks import UsageError
from ..core.images import resize, to_tensor
from ..core.ops import gram
from ..core.optimize import has_bfloat16
from .features import KIND, Features, basis_of
from .networks import VggTrunk

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Whose bases are kept."""
SIDES = (128, 320)
"""Range of the shorter side that a picture is resized to before it is cut: things of all sizes."""


@dataclass(frozen=True)
class Plan:
    """How to distil.

    Attributes:
        steps: Of the optimizer.
        batch_size: Crops a step.
        crop: Their side.
        learning_rate: At its highest; it rises over the first 3 % and falls to 0 as a cosine.
        gram_weight: Of the Gram matrices' part of the loss.
        widths: Of the student's blocks.
        counts: Of the student's convolutions in each block.
        seed: Of weights, crops and their order.
    """

    steps: int = 5000
    batch_size: int = 8
    crop: int = 96
    learning_rate: float = 5e-3
    gram_weight: float = 0.3
    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    counts: tuple[int, ...] = (2, 2, 4, 4, 1)
    seed: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """Keywords of the student's trunk."""
        return {"widths": list(self.widths), "counts": list(self.counts), "padding_mode": "reflect"}


class Student(nn.Module):
    """The trunk and the matrices A."""

    mean: Tensor
    std: Tensor

    def __init__(self, plan: Plan, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])
        self.trunk = VggTrunk(**plan.config)
        for name, layer in self.trunk.layers.items():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
                self.trunk.layers[name] = nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels))
        self.wide = nn.ModuleDict(
            {name: nn.Conv2d(self.trunk.channels[name], width, 1, bias=False) for name, width in widths.items()}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the teacher's layers in its width of pictures in [0, 1]; the trunk in bfloat16 where there is one."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=has_bfloat16(images.device)):
            maps = self.trunk((images - self.mean) / self.std, list(self.wide))
        return {name: layer(maps[name].float()) for name, layer in self.wide.items()}

    def folded(self) -> dict[str, Tensor]:
        """Return the trunk's tensors with the norms inside the convolutions, as running statistics have them."""
        found = {}
        for name, pair in self.trunk.layers.items():
            if isinstance(pair, nn.Sequential):
                conv: Any = pair[0]
                norm: Any = pair[1]
                scale = norm.weight / (norm.running_var + norm.eps).sqrt()
                found[f"layers.{name}.weight"] = (conv.weight * scale[:, None, None, None]).detach()
                found[f"layers.{name}.bias"] = ((conv.bias - norm.running_mean) * scale + norm.bias).detach()
        return found


def distil(
    teacher: Callable[[Tensor], Mapping[str, Tensor]],
    pictures: Sequence[NDArray[np.uint8]],
    *,
    plan: Plan | None = None,
    run_dir: Path | None = None,
    on_progress: Callable[[int, dict[str, float]], None] | None = None,
    save_every: float = 120.0,
) -> Student:
    """Train a student; goes on where an earlier training in the same folder stopped.

    Args:
        teacher: Pictures (N, 3, H, W) in [0, 1] -> maps of `LAYERS` and any others, in any widths; the more, the sooner
            the deep ones are learned.
        pictures: uint8 (H, W, 3) each, of any sizes.
        plan: How; None for the usual one.
        run_dir: Where state.safetensors is kept; None for nowhere.
        on_progress: Called with the step and the parts of the loss, averaged over the last steps.
        save_every: Seconds between two saves.

    Raises:
        UsageError: No pictures, or a folder with the training of another plan.
    """
    plan = plan or Plan()
    if len(pictures) == 0:
        raise UsageError("pictures to learn from", "none", "pass natural pictures")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        with torch.no_grad():
            widths = {name: maps.shape[1] for name, maps in teacher(torch.rand(1, 3, plan.crop, plan.crop)).items()}
        student = Student(plan, widths)
    optimizer = torch.optim.AdamW(student.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    state_file = None if run_dir is None else run_dir / "state.safetensors"
    first = 0
    if state_file is not None and state_file.exists():
        state, _ = load_state(state_file)
        _check_plan(plan, state.get("plan", {}), state_file)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    saved, sums = time.monotonic(), dict.fromkeys(("maps", "grams"), 0.0)
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * rate_at(step / plan.steps)
        parts = _step(student, teacher, _crops(pictures, plan, step), plan, optimizer)
        sums = {name: 0.98 * sums[name] + 0.02 * value if step > first else value for name, value in parts.items()}
        if on_progress is not None:
            on_progress(step + 1, sums)
        if state_file is not None and (time.monotonic() - saved > save_every or step + 1 == plan.steps):
            kept = {
                "plan": vars(plan),
                "student": student.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            save_state(state_file, kept)
            saved = time.monotonic()
    return student


def save_features(student: Student, plan: Plan, path: str | Path, **about: Any) -> Path:
    """Write what `load_features` loads, in 16 bits; `about` goes into the header."""
    tensors = {f"trunk.{name}": tensor.half() for name, tensor in student.folded().items()}
    for name, layer in student.wide.items():
        if name not in LAYERS:
            continue
        tensors[f"bases.{name}"] = basis_of(layer.weight.detach().flatten(1)).half()  # type: ignore[union-attr, operator]
    return save_checkpoint(path, tensors, {"kind": KIND, "config": plan.config, **about})


def wide_maps(features: Features, aux: Mapping[str, tuple[Tensor, Tensor]]) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a teacher: features, some layers of which are brought to their full width by weight (K, C), bias (K,).

    Those lie in C + 1 dimensions of the K, and come in an orthonormal basis of those: distances and Gram matrices'
    distances are the same, at a quarter of the work.
    """
    narrow = {}
    for name, (weight, bias) in aux.items():
        basis, _ = torch.linalg.qr(torch.cat((weight, bias[:, None]), 1))
        narrow[name] = (basis.T @ weight, basis.T @ bias)

    def teacher(images: Tensor) -> dict[str, Tensor]:
        found = features(images, [name for name in features.trunk.channels if name.startswith("relu")])
        wide = {name: nn.functional.conv2d(found[name], w[:, :, None, None], b) for name, (w, b) in narrow.items()}
        return {**found, **wide}

    return teacher


def rate_at(done: float) -> float:
    """Return the share of the learning rate after a share of the steps."""
    return min(1.0, done / 0.03 + 0.01) * 0.5 * (1 + float(np.cos(np.pi * done)))


def _check_plan(plan: Plan, theirs: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on with a training that follows another plan: its rate, crops or layers would not fit together."""
    other = sorted(name for name, value in vars(plan).items() if theirs.get(name) != value)
    if other:
        fix = "pass the plan that it was begun with, or another run_dir"
        raise UsageError(f"the state of this plan in {path}", f"one with other {', '.join(other)}", fix)


def _step(
    student: Student,
    teacher: Callable[[Tensor], Mapping[str, Tensor]],
    images: Tensor,
    plan: Plan,
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    with torch.no_grad():
        targets = teacher(images)
    found = student(images)
    maps, grams = images.new_zeros(()), images.new_zeros(())
    for name, target in targets.items():
        maps = maps + (found[name] - target).square().sum() / target.square().sum()
        own, theirs = gram([found[name]])[0], gram([target])[0]
        grams = grams + ((own - theirs).square().sum((1, 2)) / theirs.square().sum((1, 2))).mean()
    optimizer.zero_grad()
    (maps + plan.gram_weight * grams).backward()
    nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    return {"maps": float(maps.detach()) / len(targets), "grams": float(grams.detach()) / len(targets)}


def _crops(pictures: Sequence[NDArray[np.uint8]], plan: Plan, step: int) -> Tensor:
    """Cut a batch; the same one for a step, whenever it is asked for."""
    rng = np.random.default_rng((plan.seed, step))
    crops = []
    for index in rng.integers(len(pictures), size=plan.batch_size):
        image = pictures[index]
        side = int(np.exp(rng.uniform(*np.log(np.maximum(SIDES, plan.crop)))))
        factor = side / min(image.shape[:2])
        height, width = (max(plan.crop, round(length * factor)) for length in image.shape[:2])
        image = resize(image, (height, width))
        top, left = (int(rng.integers(length - plan.crop + 1)) for length in (height, width))
        image = image[top : top + plan.crop, left : left + plan.crop, :][:, :: int(rng.choice((-1, 1)))]
        crops.append(coloured(image, rng))
    return to_tensor(crops).contiguous(memory_format=torch.channels_last)


def coloured(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture in other colours: paintings have those that photographs lack.

    A grey one takes the colours of a ramp through three that are drawn at random; any other half of the time its
    channels in another order, bent by exponents and drawn apart or together. Every fourth gets noise. Without this,
    features that had seen grey scenes three times in four were off by 0.6 on colour photographs, 0.06 on grey ones.
    """
    shown = image.astype(np.float32) / 255
    if (np.ptp(image, 2) == 0).all():
        ramp = rng.random((3, 3))
        shown = np.stack([np.interp(shown[..., 0], (0, 0.5, 1), ramp[:, channel]) for channel in range(3)], 2)
    elif rng.random() < 0.5:
        shown = shown[..., rng.permutation(3)] ** np.exp(rng.uniform(-0.5, 0.5, 3))
        grey = shown.mean(2, keepdims=True)
        shown = grey + (shown - grey) * rng.uniform(0.3, 2)
    if rng.random() < 0.25:
        shown = shown + rng.normal(0, rng.uniform(0, 0.2), shown.shape)
    return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
