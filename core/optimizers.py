"""SGD, Adam and AdamW with torch's constructors, results and state, whose step is one kernel launch on the Triton road.

A launch updates all parameters of one group, device and dtype that are at the same step. On torch's road the step is
torch's own, to the bit. State is saved and loaded in both directions between these classes and torch's.

Differs from torch on the Triton road: the state of half-precision parameters is kept in float32 (torch keeps it in
theirs, where 0.999 v + 0.001 g^2 mostly rounds to v); it is converted when it passes to torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import ops
from .checks import UsageError

HALVES = (torch.float16, torch.bfloat16)
STATES = ("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
FLAGS = ("foreach", "fused", "capturable", "differentiable")


def _check_group(group: dict[str, Any]) -> None:
    for flag in FLAGS:
        if group.get(flag):
            raise UsageError(
                f"an optimizer without {flag} on the Triton road",
                f"{flag}=True",
                f'leave it out (in loaded state: group["{flag}"] = False), or use torch\'s class',
            )
    for name in ("lr", "weight_decay"):
        if isinstance(group[name], Tensor):
            raise UsageError(f"a number as {name} on the Triton road", "a tensor", "pass it with .item()")


def _float32(parameter: Tensor, state: dict[str, Any], name: str) -> Tensor:
    """Return a state in float32, in the parameter's strides and on its device: made (of zeros), or converted."""
    kept: Tensor | None = state.get(name)
    if kept is None:
        kept = state[name] = torch.zeros_like(parameter, dtype=torch.float32)
    elif (kept.dtype, kept.stride(), kept.device) != (torch.float32, parameter.stride(), parameter.device):
        kept = state[name] = torch.empty_like(parameter, dtype=torch.float32).copy_(kept)
    return kept


class _OneLaunch(torch.optim.Optimizer):
    """What the three share: the choice of the road, and state in float32."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step; parameters without a gradient stay as they are.

        Args:
            closure: Computes the loss and the gradients again, and returns the loss.

        Raises:
            UsageError: On the Triton road: foreach, fused, capturable or differentiable; a tensor as a number; sparse
                gradients; parameters on both roads; a CUDA graph being captured.
        """
        if not self._on_triton():
            self._give_state_to_torch()
            step = super().step
            # torch wraps `step` to call the hooks, once a class: ours has been, so theirs is taken bare
            return step.__wrapped__(self, closure) if getattr(step, "hooked", False) else step(closure)  # type: ignore
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise UsageError(
                "a step outside of the capture of a CUDA graph",
                "a stream that is capturing",
                "capture forward and backward only: a graph would repeat this step's rate and step number",
            )
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                _check_group(group)
                self._update(group, [p for p in group["params"] if p.grad is not None])
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of this class, or of torch's namesake."""
        super().load_state_dict(state_dict)
        # torch casts state to the dtype of its parameter
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for p, key in zip(group["params"], saved["params"], strict=True):
                if p.dtype in HALVES and ops.uses_triton(p):
                    for name in STATES:
                        kept = state_dict["state"].get(key, {}).get(name)
                        if kept is not None:
                            self.state[p][name] = kept.to(p.device, torch.float32, copy=True)

    def _on_triton(self) -> bool:
        devices = {p.device: p for group in self.param_groups for p in group["params"]}
        roads = {ops.uses_triton(p) for p in devices.values()}
        if len(roads) == 2:
            raise UsageError(
                "all parameters of an optimizer on one road",
                f"parameters on {' and '.join(map(str, devices))}",
                "give each device an optimizer of its own",
            )
        return roads == {True}

    def _give_state_to_torch(self) -> None:
        for p, state in self.state.items():
            if p.dtype in HALVES:
                state.update({name: state[name].to(p.dtype) for name in STATES if state.get(name) is not None})

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        raise NotImplementedError


class SGD(_OneLaunch, torch.optim.SGD):
    """`torch.optim.SGD` through `ops.sgd_step`; `step` says what the Triton road refuses."""

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        new = [p for p in parameters if group["momentum"] and self.state[p].get("momentum_buffer") is None]
        fresh = set(map(id, new))
        for first, chosen in ((True, new), (False, [p for p in parameters if id(p) not in fresh])):
            buffers = [_float32(p, self.state[p], "momentum_buffer") for p in chosen] if group["momentum"] else []
            ops.sgd_step(
                chosen,
                [p.grad for p in chosen],  # type: ignore[misc]
                buffers,
                rate=group["lr"],
                momentum=group["momentum"],
                dampening=group["dampening"],
                weight_decay=group["weight_decay"],
                nesterov=group["nesterov"],
                maximize=group["maximize"],
                first=first,
            )


class _AdamStep(_OneLaunch):
    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for p in parameters:
            if "step" not in self.state[p]:  # on the CPU, as torch has it, so that reading it waits for nobody
                self.state[p]["step"] = torch.zeros((), dtype=torch.get_default_dtype(), device="cpu")
        steps = [self.state[p]["step"] for p in parameters]
        if steps:
            torch._foreach_add_(steps, 1)
        at: dict[int, list[Tensor]] = {}
        for p, step in zip(parameters, steps, strict=True):
            at.setdefault(int(step.item()), []).append(p)
        names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))
        for step, chosen in at.items():
            ops.adam_step(
                chosen,
                [p.grad for p in chosen],  # type: ignore[misc]
                *([_float32(p, self.state[p], name) for p in chosen] for name in names),
                step=step,
                rate=group["lr"],
                betas=group["betas"],
                eps=group["eps"],
                weight_decay=group["weight_decay"],
                decoupled=group["decoupled_weight_decay"],
                maximize=group["maximize"],
            )


class Adam(_AdamStep, torch.optim.Adam):
    """`torch.optim.Adam` through `ops.adam_step`; `step` says what the Triton road refuses."""


class AdamW(_AdamStep, torch.optim.AdamW):
    """`torch.optim.AdamW` through `ops.adam_step`; `step` says what the Triton road refuses."""
