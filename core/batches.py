"""From a training set to batches: every sample is asked for by (epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, get_worker_info

Batch = dict[str, Any]
"""What the samples' `collate` returns: tensors, and "sources", the names of the pictures in it."""


class Samples(Protocol):
    """A training set: `len`, one sample by (epoch, index), and how samples become a batch."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int]) -> Any: ...

    def collate(self, samples: list[Any]) -> Batch:
        """Join samples into a batch."""


class KeyedBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index), shuffled as a function of (seed, epoch) alone."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed, self.epoch = count, min(batch_size, count), seed, 0
        self.drop_last = True  # what accelerate asks when it gives each process its share

    def __len__(self) -> int:
        # A last batch of one picture would give batch norm nothing to normalise by, so what is left over waits for
        # another epoch's shuffle.
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield [(self.epoch, int(i)) for i in order[start : start + self.batch_size]]


def worker_share(total: int) -> int:
    """Return what one of the processes that prepare pictures may take of a total; ask in the process that reads."""
    worker = get_worker_info()
    return total // (1 if worker is None else worker.num_workers)


def make_loader(samples: Samples, batches: KeyedBatches, workers: int) -> DataLoader[Any]:
    """Build the loader; with workers, pictures are prepared in that many processes."""
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=samples.collate,
        num_workers=workers,
        generator=torch.Generator(),  # or each pass would draw a number from the one that dropout draws from
        persistent_workers=workers > 0,  # they hold the pictures already read
        worker_init_fn=_one_thread,
    )


def _one_thread(worker: int) -> None:
    """Keep OpenCV and torch in a worker process to one thread: the workers are the parallelism."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
