"""What Stoker's measuring, recording and resuming cost where PyTorch's own iteration loads the samples.

    python tests/bench/python_path_cost.py [--pairs N]

torch's DataLoader and Stoker's take turns in one process, on datasets so quick that the loader's own work
shows: CPU time a batch in the loop's process (of the quickest epoch each, and the median over pairs of the
difference), and of two worker processes a sample.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.utils.data as torch_data

import stoker

EPOCH_S = 0.06  # of CPU time, about


class Rows(torch_data.Dataset[Any]):
    """Rows of an array."""

    def __init__(self, size: int) -> None:
        self.rows = np.zeros((size, 16), np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index], index


class Trivial(Rows):
    """Hardly anything."""

    def __getitem__(self, index: int) -> int:
        return index


class Together(Rows):
    """Rows of a batch at a time."""

    def __getitems__(self, indices: list[int]) -> Any:
        return [(self.rows[i], i) for i in indices]


class Stream(torch_data.IterableDataset[Any]):
    """Rows of a tensor, one after the other."""

    def __init__(self, size: int) -> None:
        self.rows = torch.zeros(size, 16)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


def tensors(size: int) -> Any:
    return torch_data.TensorDataset(torch.zeros(size, 16), torch.arange(size))


MADE: dict[str, Callable[[int], Any]] = {
    "TensorDataset": tensors,
    "trivial": Trivial,
    "array": Rows,
    "array, __getitems__": Together,
    "iterable": Stream,
}


def epoch_s(loader: Any, clock: Callable[[], float]) -> float:
    begin = clock()
    for _ in loader:
        pass
    return clock() - begin


def in_turns(loaders: tuple[Any, Any], clock: Callable[[], float], pairs: int) -> tuple[float, float, float]:
    """Seconds of an epoch of both, and of the second more than of the first."""
    times: tuple[list[float], list[float]] = [], []
    for loader in loaders:
        epoch_s(loader, clock)
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            times[which].append(epoch_s(loaders[which], clock))
    more = statistics.median(b - a for a, b in zip(*times))
    return min(times[0]), min(times[1]), more


def both(dataset: Any, batch: int, workers: int) -> tuple[Any, Any]:
    return (
        torch_data.DataLoader(dataset, batch, num_workers=workers),
        stoker.DataLoader(dataset, batch, num_workers=workers),
    )


def children_s() -> float:
    """CPU time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="What the Python path costs beside torch's DataLoader.")
    parser.add_argument(
        "--pairs", type=int, default=9, metavar="N", help="epochs of each loader (default: 9)"
    )
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores; µs of CPU time"
    )
    print(f"\n{'without workers, a batch':34}{'torch':>10}{'stoker':>10}{'ratio':>8}{'more':>8}")
    for name, make in MADE.items():
        for batch in (1, 64):
            batches = max(64, round(EPOCH_S / (40e-6 + 5e-6 * batch)))
            theirs, ours, more = in_turns(both(make(batch * batches), batch, 0), time.thread_time, pairs)
            row = (theirs / batches, ours / batches, more / batches)
            print(f"{f'{name}, batch {batch}':34}{row[0] * 1e6:10.1f}{row[1] * 1e6:10.1f}", end="")
            print(f"{row[1] / row[0]:8.2f}{row[2] * 1e6:+8.1f}", flush=True)
    print(f"\n{'2 worker processes, a sample':34}{'torch':>10}{'stoker':>10}{'ratio':>8}{'more':>8}")
    for name in ("array", "iterable"):
        size = 64 * 400
        loaders = both(MADE[name](size), 64, 2)
        size *= 2 if name == "iterable" else 1  # each worker gives all of it
        theirs, ours, more = in_turns(loaders, children_s, pairs)
        row = (theirs / size, ours / size, more / size)
        print(f"{f'{name}, batch 64':34}{row[0] * 1e6:10.2f}{row[1] * 1e6:10.2f}", end="")
        print(f"{row[1] / row[0]:8.2f}{row[2] * 1e6:+8.2f}", flush=True)


if __name__ == "__main__":
    main()
