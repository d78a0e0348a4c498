"""What torch's worker processes measure on the Python path, in memory that they share with the loader."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Protocol

import torch
from torch.utils.data import get_worker_info

from .. import _C

# The histograms of each worker: a sample's time in C++ and in Python, a batch's in collate_fn, and
# for each batch the thread's time at work, on a core, and ready to run without one. The last holds no
# times: of each batch that is complete, its samples.
NATIVE, PYTHON, COLLATE, WORK, CPU, NO_CORE, COMPLETE = range(7)
_KINDS = 7
STAGES = {"native": NATIVE, "python": PYTHON, "collate": COLLATE}
SLOW_KEPT = 8
# Samples are timed one by one where that costs less than 1 % of them; quicker ones by the batch.
ONE_BY_ONE_NS = 300_000


class Observer(Protocol):
    """Something that wants to know when a worker is at work: see stoker.diagnosis.profile."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


# Makes the observer of a worker, in its process; None: there is none.
make_observer: Callable[[], Observer | None] | None = None


class NativeSpans:
    """Time that this process has spent in C++ on the Python path's samples."""

    ns = 0


def _no_core_ns(file: int | None) -> int:
    """For how long this thread has waited for a core since it began: Linux's run delay."""
    if file is None:
        return 0
    try:
        return int(os.pread(file, 64, 0).split()[1])
    except (OSError, IndexError, ValueError):
        return 0


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


class WorkerRow:
    """One worker's row of a block, in that worker's process."""

    def __init__(self, block: WorkerBlock) -> None:
        info = get_worker_info()  # of another loader, where this one has no workers of its own
        row = info.id if info is not None and block.workers > 0 else 0
        self.pid = os.getpid()
        self.shared = _C.SharedHistograms(block.histograms[row])
        self.slow = block.slow[row]
        self._quickest_kept = int(self._slow_times().min())
        self.one_by_one = True
        self.loaded = 0  # samples of the batch that is in the making
        self._delay: int | None = None
        with contextlib.suppress(OSError):
            self._delay = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._began = (0, 0, 0)
        self._delay_seen = 0  # for how long the thread had had no core, when that was last asked for
        self.observer = make_observer() if make_observer is not None else None

    def __del__(self) -> None:
        if self._delay is not None:
            os.close(self._delay)

    def _slow_times(self) -> torch.Tensor:
        return self.slow[:, 1:].sum(1)

    def begin(self) -> None:
        self._began = (time.perf_counter_ns(), time.thread_time_ns(), _no_core_ns(self._delay))
        self._delay_seen = self._began[2]
        if self.observer is not None:
            self.observer.begin()

    def end(self, times: int = 1) -> None:
        """The work that ``begin`` began is done; it stands for ``times`` as much."""
        if self.observer is not None:
            self.observer.end()
        wall, cpu, no_core = self._began
        wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
        self.shared.record(WORK, wall, times)
        self.shared.record(CPU, cpu, times)
        # The kernel may add a wait only now that began before.
        no_core = min(_no_core_ns(self._delay) - no_core, max(0, wall - cpu))
        self.shared.record(NO_CORE, no_core, times)

    def sample(self, index: Any, native_ns: int, python_ns: int, times: int = 1) -> None:
        """A sample; ``times``: with those before it that it stands for."""
        self.shared.record(NATIVE, native_ns, times)
        self.shared.record(PYTHON, python_ns, times)
        if native_ns + python_ns > self._quickest_kept and isinstance(index, int):
            native_ns, python_ns = self._with_a_core(native_ns, python_ns)
            if native_ns + python_ns <= self._quickest_kept:
                return
            slow = self._slow_times()
            at = int(slow.argmin())
            same = (self.slow[:, 0] == index) & (slow > 0)
            if same.any():
                at = int(same.nonzero()[0, 0])
                if int(slow[at]) >= native_ns + python_ns:
                    return
            self.slow[at] = torch.tensor([index, native_ns, python_ns])
            self._quickest_kept = int(self._slow_times().min())

    def _with_a_core(self, *times_ns: int) -> tuple[int, ...]:
        """A sample's times without that in which the thread had no core, out of each by its share: it is no
        fault of the sample's. The kernel is asked for those only that might be among the slowest."""
        delay = _no_core_ns(self._delay)
        since, self._delay_seen = delay - self._delay_seen, delay
        kept = max(0.0, 1 - since / max(1, sum(times_ns)))
        return tuple(int(ns * kept) for ns in times_ns)

    def samples(self, count: int, native_ns: int, python_ns: int) -> None:
        """``count`` samples together."""
        self.shared.record(NATIVE, native_ns // max(1, count), count)
        self.shared.record(PYTHON, python_ns // max(1, count), count)
        self.one_by_one = native_ns + python_ns > count * ONE_BY_ONE_NS
