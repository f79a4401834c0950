"""Random numbers for attacks: each picture has its own stream, so that alone it is attacked as it is in a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import torch
from torch import Tensor

STREAM = 0x5EED


class Draws:
    """One generator for each picture, from the run's seed and the picture itself.

    Args:
        streams: The generators, on the CPU, so that every device sees the same numbers.
        rows: Which of them these are; None for all.
    """

    def __init__(self, streams: Streams | Sequence[torch.Generator], rows: Sequence[int] | None = None) -> None:
        self.streams = streams if isinstance(streams, Streams) else Streams(list(streams))
        self.rows = list(range(len(self.streams)) if rows is None else rows)

    @classmethod
    def of(cls, pictures: Tensor, seed: int) -> Draws:
        """Start the streams of pictures float (N, 3, H, W)."""
        return cls(Streams([], pictures, seed))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Iterable[int]) -> Draws:
        return Draws(self.streams, [self.rows[row] for row in rows])

    def uniform(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Return numbers in [0, 1), float32 (N, *shape)."""
        return self._stack([torch.rand(shape, generator=one) for one in self._own()], shape, device)

    def normal(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Return standard normal numbers, float32 (N, *shape)."""
        return self._stack([torch.randn(shape, generator=one) for one in self._own()], shape, device)

    def _own(self) -> list[torch.Generator]:
        return [self.streams.made[row] for row in self.rows]

    @staticmethod
    def _stack(rows: list[Tensor], shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        return torch.stack(rows).to(device) if rows else torch.zeros((0, *shape), device=device)


@dataclass(frozen=True)
class Streams:
    """Generators, given or made when the first number is drawn: an attack without chance does not pay for them.

    For 100 pictures of 28 x 28 they take 3 ms, and FGSM on LeNet-5 takes 13.
    """

    given: list[torch.Generator]
    pictures: Tensor | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.given) if self.pictures is None else len(self.pictures)

    @cached_property
    def made(self) -> list[torch.Generator]:
        """One for each picture."""
        if self.pictures is None:
            return self.given
        marks = [crc32((one * 255).round().to(torch.uint8).cpu().numpy().tobytes()) for one in self.pictures]
        return [torch.Generator().manual_seed(_mixed(self.seed, mark)) for mark in marks]


def _mixed(seed: int, mark: int) -> int:
    """Join a seed and a picture's mark so that neighbours are far apart: 2,654,435,761 is Knuth's multiplier."""
    return ((seed * 2_654_435_761 + STREAM) ^ (mark << 16)) % 2**63
