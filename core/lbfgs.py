"""L-BFGS with everything on the device: no value is read by the host, so that a step can stand in a CUDA graph.

The two-loop recursion of Nocedal (1980; Nocedal and Wright 2006, algorithm 7.4) without a line search, as torch.optim's
and as style transfer has used it since neural-style: one gradient a step. Pairs of moves s and changes of the gradient
y lie in two buffers (history, pixels) that are written in turns; a pair that is not there yet, or that was refused, has
1 / (s y) = 0 and counts for nothing. `adversarial.boxed_lbfgs` is another: many problems at once, bounds, and a search
along each row's line, which has to read values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import UsageError, positive

FLATTEST = 1e-8
"""A pair is refused where the cosine of s and y is below it: float32's noise, not curvature."""


class Lbfgs:
    """Moves pixels in place, given their gradient; a rule for `core.pixels.descend`.

    Differs from torch.optim.LBFGS, whose first step moves all pixels together by 1 (by 1e-6 each at 512 x 512, where
    float32 shows no curvature), and which may jump anywhere.

    Args:
        pixels: What will be moved, of any shape; only its size, dtype and device are used.
        rate: Share of the full step.
        history: Pairs to remember.
        first: Mean move of a pixel in the first step.
        largest: Mean move of a pixel above which a step is shortened.

    Raises:
        UsageError: A number that is not positive.
    """

    def __init__(
        self,
        pixels: Tensor,
        *,
        rate: float = 1.0,
        history: int = 10,
        first: float = 1 / 255,
        largest: float = 0.1,
    ) -> None:
        for name, value in {"rate": rate, "history": history, "first": first, "largest": largest}.items():
            positive(name, value)
        size = pixels.numel()
        if size == 0:
            raise UsageError("pixels to move", f"shape {tuple(pixels.shape)}", "pass a picture")
        self.rate, self.history, self.first, self.largest = rate, history, first, largest
        self.moves = pixels.new_zeros(history, size)
        self.changes = pixels.new_zeros(history, size)
        self.inverses = pixels.new_zeros(history)  # 1 / (s y); 0 for no pair
        self.point = pixels.new_zeros(size)
        self.gradient = pixels.new_zeros(size)
        self.scale = pixels.new_ones(())  # (s y) / (y y) of the newest pair
        self.slot = torch.zeros(1, dtype=torch.int64, device=pixels.device)  # where the next pair goes
        self.count = torch.zeros((), dtype=torch.int64, device=pixels.device)  # steps taken

    @torch.no_grad()
    def update(self, pixels: Tensor, gradient: Tensor) -> None:
        """Move contiguous pixels by one step.

        Args:
            pixels: Of the constructor's shape; changed in place.
            gradient: Of the loss at these pixels, of their shape.
        """
        point, gradient = pixels.view(-1), gradient.reshape(-1)
        self._remember(point - self.point, gradient - self.gradient)
        direction = self._direction(gradient)
        mean = direction.abs().mean().clamp_min(torch.finfo(direction.dtype).tiny)
        usual = (self.largest / mean).clamp_max(self.rate)
        step = torch.where(self.inverses.any(), usual, self.rate * self.first / mean)
        self.point.copy_(point)
        self.gradient.copy_(gradient)
        point -= step * direction
        self.count += 1

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, in tensors that later steps write into."""
        names = ("moves", "changes", "inverses", "point", "gradient", "scale", "slot", "count")
        return {name: getattr(self, name) for name in names}

    def _remember(self, move: Tensor, change: Tensor) -> None:
        curved, steep = torch.dot(move, change), torch.dot(change, change)
        good = (self.count > 0) & (curved > FLATTEST * (torch.dot(move, move) * steep).sqrt())
        for buffer, fresh in ((self.moves, move), (self.changes, change), (self.inverses, 1 / curved)):
            old = buffer.index_select(0, self.slot)
            buffer.index_copy_(0, self.slot, torch.where(good, fresh.reshape(old.shape), old))
        self.scale.copy_(torch.where(good, curved / steep, self.scale))
        self.slot.copy_((self.slot + good) % self.history)

    def _direction(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian's estimate times the gradient."""
        found = gradient.clone()
        weights = []
        newest_first = [(self.slot - 1 - i) % self.history for i in range(self.history)]
        for i in newest_first:
            weight = _row(self.inverses, i) * torch.dot(_row(self.moves, i), found)
            found -= weight * _row(self.changes, i)
            weights.append(weight)
        found *= self.scale
        for i, weight in zip(reversed(newest_first), reversed(weights), strict=True):
            found += (weight - _row(self.inverses, i) * torch.dot(_row(self.changes, i), found)) * _row(self.moves, i)
        return found


def _row(buffer: Tensor, index: Tensor) -> Tensor:
    """Return one row: on the CPU a view, elsewhere a copy, for which the host need not know the index."""
    return buffer[int(index)] if buffer.device.type == "cpu" else buffer.index_select(0, index)[0]
