"""The one training loop: `fit`.

Every source of chance is a function of (seed, epoch, sample), never of what ran before, and the whole state is written
after each epoch. So a training that was killed at any moment and resumed gives the same history as one that was not, on
the CPU bit for bit.

Started by `accelerate launch` or `torchrun` with several processes, each takes its share of every batch, so the loss
curve is that of one process with the same batch size. What looks at a whole batch sees the share alone: batch norm,
mixing, class weights' mean; dropout draws for each share. The first process validates and writes, and all end with its
weights.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, broadcast_object_list
from torch import Tensor, nn

from .batches import Batch, KeyedBatches, Samples, make_loader
from .checkpoints import load_state, save_state
from .checks import DataError, TrainingError, UsageError
from .history import History, Progress
from .recipe import PRECISIONS, TrainingOptions, learning_rate, make_optimizer, train_mode

LossFunction = Callable[[nn.Module, Batch], dict[str, Tensor]]
Validate = Callable[[nn.Module], dict[str, float]]
SaveWeights = Callable[[nn.Module, Path], object]


def fit(
    model: nn.Module,
    samples: Samples,
    loss: LossFunction,
    *,
    options: TrainingOptions,
    validate: Validate | None = None,
    monitor: str = "loss",
    run_dir: Path | None = None,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    save_weights: SaveWeights | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> History:
    """Train `model` in place; at the end it holds the weights of the best epoch.

    Args:
        model: The network, on the CPU.
        samples: The training pictures.
        loss: Terms of the loss of one batch; their sum is minimised.
        options: See `TrainingOptions`.
        validate: Figures of a model in eval mode; called with the averaged weights.
        monitor: The figure that decides which epoch is best: more is better, except for names that end in "loss".
        run_dir: Folder for state.safetensors, history.csv, history.svg and the weights; None writes nothing.
        resume: Go on from run_dir/state.safetensors if it is there.
        identity: What else must be the same when a training is resumed, as plain data: the data, the network's size.
        save_weights: Writes last.safetensors and best.safetensors in `run_dir`.
        on_progress: Called after every step and every epoch; whatever it raises ends the training.

    Raises:
        DataError: No pictures.
        TrainingError: A loss that is not finite, with the pictures of the batch; or a resume with other options.
        CheckpointError: A training state that cannot be used.
    """
    if len(samples) == 0:
        raise DataError("at least one picture to train on", "none", "check the dataset's training split")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        run = _Run(model, samples, loss, options, validate, monitor, run_dir, save_weights, on_progress)
        run.identity = {**asdict(options), **(identity or {}), "pictures": len(samples)}
        if resume and run_dir is not None and (run_dir / "state.safetensors").exists():
            run.restore()
        return run.train()


class _Run:
    """One training: what changes while it runs."""

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        loss: LossFunction,
        options: TrainingOptions,
        validate: Validate | None,
        monitor: str,
        run_dir: Path | None,
        save_weights: SaveWeights | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        # Accelerate keeps one state for the process and refuses a second training of another precision or device.
        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(
            mixed_precision=PRECISIONS[options.precision],
            cpu=options.device == "cpu",
            dataloader_config=DataLoaderConfiguration(split_batches=True),
        )
        processes = self.accelerator.num_processes
        if min(options.batch_size, len(samples)) % processes:
            fix = f"pass a batch_size that {processes} divides"
            raise UsageError(
                "the same share of a batch for every process", f"{options.batch_size} for {processes}", fix
            )
        if options.device == "cuda" and self.accelerator.device.type != "cuda":
            raise UsageError("a CUDA device", "none on this machine", "train with device='cpu' or 'auto'")
        self.plain, self.loss, self.options, self.validate = model, loss, options, validate
        self.monitor, self.run_dir, self.save_weights, self.on_progress = monitor, run_dir, save_weights, on_progress
        # Copied before `prepare`, which binds mixed precision to the forward of this very object.
        self.averaged = copy.deepcopy(model).to(self.accelerator.device).eval() if options.ema_decay else None
        self.batches = KeyedBatches(len(samples), options.batch_size, options.seed)
        loader = make_loader(samples, self.batches, options.workers)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(
            model, make_optimizer(model, options), loader
        )
        self.best_weights: dict[str, Tensor] = {}
        self.best, self.stale, self.factor, self.epoch = -math.inf, 0, 1.0, 0
        self.history, self.started, self.notice = History(), time.perf_counter(), ""
        self.first_step, self.mid_epoch = 0, False
        self.identity: dict[str, Any] = {}

    def train(self) -> History:
        while self.epoch < self.options.epochs and not (0 < self.options.patience <= self.stale):
            torch.manual_seed((hash((self.options.seed, self.epoch)) + self.accelerator.process_index) % 2**63)
            started = time.perf_counter()
            self.mid_epoch = True
            losses = self._train_epoch()
            self.epoch, self.mid_epoch = self.epoch + 1, False
            row = {
                "epoch": self.epoch,
                "learning_rate": self.learning_rate(len(self.batches) - 1, self.epoch - 1),
                **losses,
            }
            metrics = self._validate(losses)
            self.history.rows.append({**row, **metrics, "seconds": round(time.perf_counter() - started, 3)})
            self._save()
            self._report(len(self.batches), losses, metrics)
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)  # gives `plain` its own forward back
        if self.accelerator.num_processes > 1:  # their norms have seen different shares
            self.best_weights = broadcast_object_list([self.best_weights])[0]
        if self.best_weights:
            self.plain.load_state_dict(self.best_weights)
        self.plain.cpu()
        return self.history

    def learning_rate(self, step: int, epoch: int) -> float:
        """The learning rate at a step of an epoch, both from 0."""
        return learning_rate(self.options, epoch + step / len(self.batches), 1 / len(self.batches), self.factor)

    def _train_epoch(self) -> dict[str, float]:
        train_mode(self.model)
        self.batches.epoch = self.epoch
        sums: dict[str, float] = {}
        for step, batch in enumerate(self.loader):
            for group in self.optimizer.param_groups:
                group["lr"] = group.get("rate", 1.0) * self.learning_rate(step, self.epoch)
            terms = self.loss(self.model, batch)
            total = torch.stack(list(terms.values())).sum()
            values = self._over_processes({"loss": total, **{f"{name}_loss": term for name, term in terms.items()}})
            if not math.isfinite(values["loss"]):
                raise self._not_finite(step, batch, values)
            self.accelerator.backward(total)
            if self.options.clip_norm:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.options.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self._average(self.epoch * len(self.batches) + step)
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
            self._report(step + 1, {name: value / (step + 1) for name, value in sums.items()}, {})
        return {name: value / len(self.batches) for name, value in sums.items()}

    def _over_processes(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Return the mean over the processes' shares, the same in each: they stop together at a bad loss."""
        numbers = self.accelerator.reduce(torch.stack([value.detach().float() for value in values.values()]), "mean")
        return dict(zip(values, numbers.tolist(), strict=True))

    def _not_finite(self, step: int, batch: Batch, values: dict[str, float]) -> TrainingError:
        names = ", ".join(str(source) for source in batch["sources"])
        terms = ", ".join(f"{name} {value}" for name, value in values.items())
        return TrainingError(
            "a finite loss",
            f"{terms} in epoch {self.epoch + 1}, step {step + 1}, from the pictures {names}",
            "look at these pictures' labels, or lower learning_rate; the last saved epoch is untouched",
        )

    @torch.no_grad()
    def _average(self, step: int) -> None:
        if self.averaged is None:
            return
        # The average starts short and grows, or it would remember the random weights for thousands of steps.
        decay = min(self.options.ema_decay, (1 + step) / (10 + step))
        theirs = self.accelerator.unwrap_model(self.model).state_dict()
        for name, mine in self.averaged.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], 1 - decay)
            else:
                mine.copy_(theirs[name])

    def _judged(self) -> nn.Module:
        """The weights that are validated and kept: the averaged ones, if there are any."""
        return self.averaged if self.averaged is not None else self.accelerator.unwrap_model(self.model)

    def _validate(self, losses: dict[str, float]) -> dict[str, float]:
        model = self._judged()
        due = self.epoch % self.options.validate_every == 0 or self.epoch == self.options.epochs
        if self.validate is not None and not due:
            return {}
        was_training = model.training
        found = [self.validate(model.eval()) if self.validate is not None and self.accelerator.is_main_process else {}]
        metrics = broadcast_object_list(found)[0]
        model.train(was_training)
        value = {**losses, **metrics}[self.monitor]
        value = -value if self.monitor.endswith("loss") else value
        if value > self.best:
            self.best, self.stale, self.history.best_epoch = value, 0, self.epoch
            self.best_weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        else:
            before, self.stale = self.stale, self.stale + (self.options.validate_every if self.validate else 1)
            if self.stale // self.options.plateau_patience > before // self.options.plateau_patience:
                self.factor *= 0.3
        return metrics

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        if self.run_dir is None or not self.accelerator.is_main_process:
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if self.save_weights is not None:
            self.save_weights(self._judged(), self.run_dir / "last.safetensors")
            if self.history.best_epoch == self.epoch:
                self.save_weights(self._judged(), self.run_dir / "best.safetensors")
        self.history.save(self.run_dir)
        save_state(self.run_dir / "state.safetensors", self.state())

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return {
            "identity": self.identity,
            "epoch": self.epoch,
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "averaged": {} if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": {} if self.accelerator.scaler is None else self.accelerator.scaler.state_dict(),
            "best_weights": self.best_weights,
            "best": [self.best, self.stale, self.factor, self.history.best_epoch],
            "history": self.history.rows,
        }

    def restore(self) -> None:
        """Take up the state in the run folder."""
        assert self.run_dir is not None
        state, self.notice = load_state(self.run_dir / "state.safetensors")
        mine, theirs = self.identity, state["identity"]
        # Workers only prepare pictures, and how does not depend on them.
        other = [name for name in {**mine, **theirs} if name != "workers" and mine.get(name) != theirs.get(name)]
        if other:
            raise TrainingError(
                f"the training in {self.run_dir}: {', '.join(f'{name} {theirs.get(name)!r}' for name in other)}",
                ", ".join(f"{name} {mine.get(name)!r}" for name in other),
                "resume with the same options and data, or train in another folder",
            )
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.best_weights, self.epoch = state["best_weights"], state["epoch"]
        self.best, self.stale, self.factor, best_epoch = state["best"]
        self.history = History(state["history"], best_epoch)
        self.first_step = self.epoch * len(self.batches)

    def _report(self, step: int, losses: dict[str, float], metrics: dict[str, float]) -> None:
        if self.on_progress is None or not self.accelerator.is_main_process:
            return
        options, done = self.options, self.epoch * len(self.batches) + (0 if metrics or not self.mid_epoch else step)
        seconds = time.perf_counter() - self.started
        left = options.epochs * len(self.batches) - done
        self.on_progress(
            Progress(
                epoch=self.epoch + self.mid_epoch,
                epochs=options.epochs,
                step=step,
                steps=len(self.batches),
                losses=losses,
                metrics=metrics,
                learning_rate=max(group["lr"] for group in self.optimizer.param_groups),
                seconds=seconds,
                eta_seconds=seconds * left / max(1, done - self.first_step),
                notice=self.notice,
            )
        )
        self.notice = ""
