"""Random numbers for attacks: each picture has its own stream, so that alone it is attacked as it is in a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

import torch
from torch import Tensor

STREAM = 0x5EED


class Draws:
    """One generator for each picture, from the run's seed and the picture itself.

    Args:
        generators: On the CPU, so that every device sees the same numbers.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)

    @classmethod
    def of(cls, pictures: Tensor, seed: int) -> Draws:
        """Start the streams of pictures float (N, 3, H, W)."""
        marks = [crc32((one * 255).round().to(torch.uint8).cpu().numpy().tobytes()) for one in pictures]
        return cls([torch.Generator().manual_seed(_mixed(seed, mark)) for mark in marks])

    def __len__(self) -> int:
        return len(self.generators)

    def __getitem__(self, rows: Iterable[int]) -> Draws:
        return Draws([self.generators[row] for row in rows])

    def uniform(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Return numbers in [0, 1), float32 (N, *shape)."""
        return self._stack([torch.rand(shape, generator=one) for one in self.generators], shape, device)

    def normal(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Return standard normal numbers, float32 (N, *shape)."""
        return self._stack([torch.randn(shape, generator=one) for one in self.generators], shape, device)

    @staticmethod
    def _stack(rows: list[Tensor], shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        return torch.stack(rows).to(device) if rows else torch.zeros((0, *shape), device=device)


def _mixed(seed: int, mark: int) -> int:
    """Join a seed and a picture's mark so that neighbours are far apart: 2,654,435,761 is Knuth's multiplier."""
    return ((seed * 2_654_435_761 + STREAM) ^ (mark << 16)) % 2**63
