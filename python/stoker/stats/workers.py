"""What torch's worker processes measure on the Python path, in memory that they share with the loader."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Protocol

import torch
from torch.utils.data import get_worker_info

from .. import _C
from . import clocks

# The histograms of each worker, as PythonKind in csrc/stats/python_worker.h: a sample's time in C++ and in
# Python, a batch's in collate_fn, and the thread's time at work, on a core, and ready to run without one,
# of which the totals mean something. The last holds no times: of each batch that is complete, its samples.
NATIVE, PYTHON, COLLATE, WORK, CPU, NO_CORE, COMPLETE = range(7)
_KINDS = 7
STAGES = {"native": NATIVE, "python": PYTHON, "collate": COLLATE}
SLOW_KEPT = 8
# Samples are timed one by one where that costs less than 1 % of them; quicker ones by the batch.
ONE_BY_ONE_NS = _C.one_by_one_ns


class Observer(Protocol):
    """Something that wants to know when a worker is at work: see stoker.diagnosis.profile."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


# Makes the observer of a worker, in its process; None: there is none.
make_observer: Callable[[], Observer | None] | None = None


class WorkerBlock:
    """What the workers of one iterator measure. Pickled, it stays the same memory.

    Threads: each row belongs to one worker, which writes; anybody reads at any time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        rows = max(1, workers)
        self.histograms = _zeros((rows, _KINDS * _C.SharedHistograms.bytes), torch.uint8, workers > 0)
        self.slow = _zeros((rows, SLOW_KEPT, 3), torch.int64, workers > 0)  # index, native and Python ns

    def clear(self) -> None:
        """Nothing has been measured yet. Without an operator of torch's, as ``_zeros``."""
        for part in (self.histograms, self.slow):
            part.numpy()[:] = 0

    def add_to(self, sums: list[_C.HistogramSnapshot]) -> None:
        """``sums``: one for each kind."""
        for row in self.histograms:
            shared = _C.SharedHistograms(row)
            for kind in range(_KINDS):
                sums[kind].add(shared.snapshot(kind))

    def work_s(self) -> tuple[float, ...]:
        """Of each row: for how many seconds its worker has been at work. Cheap."""
        shared = _C.SharedHistograms(self.histograms)
        return tuple(shared.total_s(row * _KINDS + WORK) for row in range(len(self.histograms)))

    def slow_samples(self) -> list[tuple[int, int, int]]:
        """(index, nanoseconds in C++, nanoseconds in Python) of the slowest, in no order."""
        return [(i, n, p) for i, n, p in self.slow.flatten(0, 1).tolist() if n + p > 0]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, shared: bool) -> torch.Tensor:
    """Without an operator of torch's: those on large tensors use OpenMP, which hangs in a fork of a process
    that has used it."""
    empty: Any = torch.empty(0, dtype=dtype)
    size = math.prod(shape) * empty.element_size()
    if not shared:
        return torch.frombuffer(bytearray(size), dtype=dtype).view(shape)
    storage: Any = torch.UntypedStorage
    made: torch.Tensor = empty.set_(storage._new_shared(size), 0, shape)
    return made


def new_sums() -> list[_C.HistogramSnapshot]:
    return [_C.HistogramSnapshot() for _ in range(_KINDS)]


def by_row(*times: Sequence[float]) -> tuple[float, ...]:
    """Sums of what belongs to the same worker, by its number; some may know of fewer workers."""
    return tuple(sum(row) for row in zip_longest(*times, fillvalue=0.0))


class WorkerRow(_C.WorkerRow):
    """One worker's row of a block, in that worker's process.

    What is called for each batch is the core's: see csrc/stats/python_worker.h. From another thread, or in
    a fork, it asks for that thread's times.
    """

    def __init__(self, block: WorkerBlock) -> None:
        info = get_worker_info()  # of another loader, where this one has no workers of its own
        row = info.id if info is not None and block.workers > 0 else 0
        super().__init__(block.histograms[row], block.slow[row], clocks.made_time)


class ObservedRow(WorkerRow):
    """One whose observer hears when the worker is at work."""

    def __init__(self, block: WorkerBlock, observer: Observer) -> None:
        super().__init__(block)
        self._observer = observer

    def begin(self) -> bool:
        one_by_one = super().begin()
        self._observer.begin()
        return one_by_one

    def end_together(self, count: int) -> None:
        self._observer.end()
        super().end_together(count)

    def end(self, lost: bool = False) -> None:
        self._observer.end()
        super().end(lost)

    def begin_collate(self) -> None:
        super().begin_collate()
        self._observer.begin()

    def end_collate(self) -> None:
        self._observer.end()
        super().end_collate()


def new_row(block: WorkerBlock) -> WorkerRow:
    """The calling worker's."""
    observer = None if make_observer is None else make_observer()
    return WorkerRow(block) if observer is None else ObservedRow(block, observer)
