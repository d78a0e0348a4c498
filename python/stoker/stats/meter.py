"""Everything that is measured of one loader, put together into its record."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _C
from . import workers as w
from .clocks import ConsumerClock
from .device import torch_device_clock
from .records import (
    DeviceStats,
    Durations,
    IndexStats,
    LoaderStats,
    SlowSample,
    StageStats,
    WorkerUsage,
)
from .system import SystemMeter, SystemReading, system_stats

# A reading of the system costs a third of a millisecond. From this length on, time between two epochs,
# which is no part of the loop, is told apart by one; what happens in shorter breaks counts to the loop.
_WORTH_A_READING_S = 0.05


@dataclass
class Reading:
    """All counters at one moment. What happened between two is their difference."""

    life: int
    system: SystemReading
    wait: _C.HistogramSnapshot
    step: _C.HistogramSnapshot
    batch: _C.HistogramSnapshot
    device_idle: _C.HistogramSnapshot
    device_dropped: int
    batches: int
    samples: int
    left_out: int
    failed_batches: int
    skipped: int
    replaced: int
    first_wait_ns: int
    wait_cpu_ns: int
    fetch: _C.HistogramSnapshot
    collate: _C.HistogramSnapshot
    core: _C.StatsSum
    python: list[_C.HistogramSnapshot]

    @staticmethod
    def zero(life: int, system: SystemReading) -> Reading:
        empty = _C.HistogramSnapshot()
        no_counts = (0,) * 9
        core, python = _C.StatsSum(), w.new_sums()
        return Reading(life, system, empty, empty, empty, empty, *no_counts, empty, empty, core, python)


def _durations(snapshot: _C.HistogramSnapshot) -> Durations:
    return Durations(**snapshot.to_dict())


_lives = itertools.count()
_meters: weakref.WeakSet[Meter] = weakref.WeakSet()


# What meters had when a fork brought them along: events of a device and shared memory are not its to end.
_parents: list[dict[str, Any]] = []


def _forked() -> None:
    for meter in list(_meters):
        _parents.append(dict(meter.__dict__))
        blocks = meter._blocks.values()
        meter.begin_anew()
        for block in blocks:
            if block.workers == 0:  # its iterator goes on here
                block.clear()
                meter._blocks[id(block)] = block


os.register_at_fork(after_in_child=_forked)


class Meter:
    """The clocks of one loader, over all its iterators.

    Constant memory, however long the run. Threads: the consumer's. In another process, which a loader comes
    to pickled or by a fork, it begins anew.

    Args:
        native_work_s: gives for how many seconds each of the native path's workers has been at work.

    Attributes:
        samples: in the batches that were handed over (native path).
        left_out: that these batches would have held, had they not been bad (Python path).
        failed_batches: that raised an error instead.
        skipped, replaced: samples that could not be loaded.
    """

    def __init__(self, native_work_s: Callable[[], tuple[float, ...]] = tuple) -> None:
        self._native_work_s = native_work_s
        self.begin_anew()
        _meters.add(self)

    def begin_anew(self) -> None:
        """Nothing has been measured yet, also for readings that were taken before this."""
        self._life = next(_lives)
        self.samples = self.left_out = self.failed_batches = self.skipped = self.replaced = 0
        self.clock = ConsumerClock()
        self.system = SystemMeter()
        self.fetch = _C.Histogram()  # of each sample, where a dataset gives them one by one (native path)
        self.collate = _C.Histogram()  # of each batch, where a collate_fn makes it (native path)
        self._blocks: dict[int, w.WorkerBlock] = {}
        self._retired: list[w.WorkerBlock] = []  # that are among the blocks still
        self._ended = w.new_sums()  # what the blocks measured that are gone
        self._slow: list[tuple[int, int, int]] = []
        self._in_loop = True  # or between two epochs
        self._reading = False
        self._consumer = 0  # the thread that has the loop
        self._outside = SystemReading(0.0)  # what happened between epochs
        self._latest = SystemReading(0.0)  # the last reading in the loop
        self._ended_work_s: tuple[float, ...] = ()

    def bad_sample(self, action: str) -> None:
        """A sample could not be loaded, and ``action``, as BadSample has it, was taken."""
        self.skipped += action == "skipped"
        self.replaced += action == "replaced"

    def epoch_begins(self) -> None:
        """An iterator is about to be made."""
        self._consumer = threading.get_ident()
        if not self.clock.began_ns:
            self.system.begin()
            self._latest = self._read_system()
        elif time.perf_counter() - self.clock.last_ns * 1e-9 > _WORTH_A_READING_S:
            now = self._read_system()
            self._outside = self._outside_by(now)
            self._latest = now
        self._in_loop = True
        self.clock.epoch_begins()

    def iterator_made(self) -> None:
        """It has been made."""
        self.clock.iterator_made()

    def ended(self) -> None:
        """The loop asked for a batch, and the epoch is over."""
        self.clock.ended()
        self.left()

    def left(self) -> None:
        """The loop has let go of its iterator. Threads: any, at any moment, as ``retire``; the system is read
        in the loop's own only."""
        if self._in_loop and self.clock.began_ns and not sys.is_finalizing() and not self._reading:
            self._in_loop = False
            mine = threading.get_ident() == self._consumer
            if mine and time.perf_counter() - self._latest.at_s > _WORTH_A_READING_S:
                with contextlib.suppress(MemoryError):  # a later reading has it; __del__ asks too
                    self._latest = self._read_system()

    def _outside_by(self, now: SystemReading) -> SystemReading:
        """What has happened between epochs, where the loop has not been heard of since ``clock.last_ns``."""
        since = max(now.at_s - self._latest.at_s, 1e-9)
        gap = min(since, now.at_s - self.clock.last_ns * 1e-9)
        return self._outside.plus(now.plus(self._latest, -1.0), gap / since)

    def _in_the_loop(self, now: SystemReading) -> SystemReading:
        """The counters without what happened between epochs."""
        gone = self._outside
        if not self._in_loop and now.at_s - self.clock.last_ns * 1e-9 > _WORTH_A_READING_S:
            gone = self._outside_by(now)
        return now.plus(gone, -1.0)

    def _read_system(self) -> SystemReading:
        if self.clock.device is None:
            self.clock.device = torch_device_clock()
        self._reading = True
        try:
            return self.system.read(self._worker_busy_s())
        finally:
            self._reading = False

    def asked(self) -> None:
        """The training loop asks for a batch."""
        if not self.clock.asked():  # of an iterator that came by a fork
            self.epoch_begins()
            self.clock.asked()

    def answered(self, ready: int = -1, blame_ns: Sequence[int] = ()) -> None:
        """It gets its batch."""
        now_ns = self.clock.answered(ready, blame_ns)
        self._in_loop = True  # an iterator that was dropped late is not this one
        if now_ns >= self.system.due_ns:
            self._latest = self._read_system()
            self.clock.begin_step()  # the reading was no part of it

    def new_block(self, workers: int) -> w.WorkerBlock:
        """Shared memory for the workers of one iterator, which calls ``retire`` with it at its end."""
        self._take_leave()
        block = w.WorkerBlock(workers)
        self._blocks[id(block)] = block
        return block

    def retire(self, block: w.WorkerBlock) -> None:
        """The block's workers are gone; what they measured stays in the sums.

        Threads: any, at any moment: the garbage collector calls this, also while the blocks are added up.
        """
        self._retired.append(block)

    def _take_leave(self) -> None:
        while self._retired:
            block = self._retired.pop()
            if self._blocks.pop(id(block), None) is not None:
                block.add_to(self._ended)
                self._ended_work_s = w.by_row(self._ended_work_s, block.work_s())
                self._slow = self._slowest([*self._slow, *block.slow_samples()])

    def _worker_busy_s(self) -> tuple[float, ...]:
        running, ended = list(self._blocks.values()), self._ended_work_s  # one may retire in between
        return w.by_row(self._native_work_s(), ended, *(block.work_s() for block in running))

    @staticmethod
    def _slowest(samples: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        by_index: dict[int, tuple[int, int, int]] = {}
        for sample in sorted(samples, key=lambda s: s[1] + s[2]):
            by_index[sample[0]] = sample
        return sorted(by_index.values(), key=lambda s: -s[1] - s[2])[: w.SLOW_KEPT]

    def reading(self, core: _C.StatsSum) -> Reading:
        """All counters now; ``core``: what the native path's cores have measured."""
        self.clock.finish()
        clock = self.clock
        self._take_leave()
        python = w.new_sums()
        for total, ended in zip(python, self._ended):
            total.add(ended)
        for block in self._blocks.values():
            block.add_to(python)
        return Reading(
            self._life,
            self._in_the_loop(self._read_system()),
            clock.wait.snapshot(),
            clock.step.snapshot(),
            clock.batch.snapshot(),
            clock.device_idle.snapshot(),
            clock.device.dropped if clock.device is not None else 0,
            clock.batches,
            self.samples,
            self.left_out,
            self.failed_batches,
            self.skipped,
            self.replaced,
            clock.first_wait_ns,
            clock.wait_cpu_ns,
            self.fetch.snapshot(),
            self.collate.snapshot(),
            core,
            python,
        )

    def stats(
        self,
        core: _C.StatsSum,
        path: str,
        workers: int,
        index_problem: str,
        earlier: Reading | None = None,
        ahead: int = 0,
    ) -> tuple[LoaderStats, Reading]:
        """The record since ``earlier`` (None, or of the process before a fork: the start), and the reading
        that it goes up to."""
        now = self.reading(core)
        known = earlier is not None and earlier.life == now.life
        since = earlier if earlier is not None and known else Reading.zero(now.life, self._start(now))
        return self._record(since, now, path, workers, index_problem, ahead), now

    def _start(self, now: Reading) -> SystemReading:
        return self.system.readings[0] if self.clock.began_ns else now.system

    def _record(
        self, earlier: Reading, now: Reading, path: str, workers: int, index_problem: str, ahead: int
    ) -> LoaderStats:
        core = now.core.since(earlier.core).to_dict()
        python = [b.since(a) for a, b in zip(earlier.python, now.python)]
        native = path == "native"
        if native:
            stages = {name: Durations(**s) for name, s in core["stages"].items()}
            usage = _native_usage(core)
            waiting, idle, samples = core["waiting_s"], core["idle_s"], now.samples - earlier.samples
        else:
            stages = {name: _durations(python[kind]) for name, kind in w.STAGES.items()}
            stages = {name: stage for name, stage in stages.items() if stage.count}
            usage = _python_usage(python, _stolen_share(earlier.system, now.system))
            # Of batches as large as those that the workers have completed; some are still on their way.
            # Where none has been completed since, as large as those before.
            complete = (python if python[w.COMPLETE].to_dict()["count"] else now.python)[w.COMPLETE].to_dict()
            mean = complete["total_s"] * 1e9 / max(1, complete["count"])
            samples = round((now.batches - earlier.batches) * mean) - (now.left_out - earlier.left_out)
            # Without the waits for first batches, when workers start; a first batch's own work counts
            # as the others' does, so this is the least that it can be.
            first_s = (now.first_wait_ns - earlier.first_wait_ns) * 1e-9
            loop_s = _durations(now.wait.since(earlier.wait)).total_s - first_s
            loop_s += _durations(now.step.since(earlier.step)).total_s
            waiting, idle = max(0.0, workers * loop_s - usage.work_s), 0.0
        total = sum(stage.total_s for stage in stages.values()) + waiting + idle
        return LoaderStats(
            path=path,
            workers=workers,
            batches=now.batches - earlier.batches,
            samples=samples,
            failed_batches=now.failed_batches - earlier.failed_batches,
            skipped=now.skipped - earlier.skipped,
            replaced=now.replaced - earlier.replaced,
            wait=_durations(now.wait.since(earlier.wait)),
            step=_durations(now.step.since(earlier.step)),
            batch=_durations(now.batch.since(earlier.batch)),
            first_wait_s=(now.first_wait_ns - earlier.first_wait_ns) * 1e-9,
            first_batch_s=self.clock.first_batch_s,
            wait_cpu_s=(now.wait_cpu_ns - earlier.wait_cpu_ns) * 1e-9,
            ready_share=sum(core["queue"][1:]) / max(1, core["batches"]),
            queue=tuple(core["queue"]),
            ahead=ahead,
            stages={
                name: StageStats(**stage.__dict__, busy_share=stage.total_s / total if total > 0 else 0.0)
                for name, stage in stages.items()
            },
            blame=core["blame"] if native else {},
            fetch=_durations(now.fetch.since(earlier.fetch)),
            collate=_durations(now.collate.since(earlier.collate)),
            waiting_s=waiting,
            idle_s=idle,
            usage=usage,
            slowest=self._slow_samples(core, native),
            device=self._device(earlier, now),
            system=system_stats(earlier.system, now.system, usage.cpu_s, native or workers == 0),
            index=IndexStats(**core["index"]),
            index_problem=index_problem,
        )

    def _device(self, earlier: Reading, now: Reading) -> DeviceStats | None:
        clock = self.clock.device
        if clock is None:
            return None
        idle = now.device_idle.since(earlier.device_idle)
        return DeviceStats(clock.kind, _durations(idle), now.device_dropped - earlier.device_dropped)

    def _slow_samples(self, core: dict[str, Any], native: bool) -> tuple[SlowSample, ...]:
        if native:
            names = tuple(core["stages"])
            return tuple(SlowSample(i, path, dict(zip(names, s))) for i, path, s in core["slow_samples"])
        samples = [*self._slow, *(s for block in self._blocks.values() for s in block.slow_samples())]
        return tuple(
            SlowSample(i, "", {"native": n * 1e-9, "python": p * 1e-9}) for i, n, p in self._slowest(samples)
        )


def _native_usage(core: dict[str, Any]) -> WorkerUsage:
    usage = core["usage"]
    slow = Durations(**usage["slow_reads"])
    cpu = usage["read_cpu_s"] + usage["work_cpu_s"]
    work = usage["read_s"] + usage["work_s"]
    # A read that slept was asleep for what it was not on a core; anything else off a core had none.
    asleep = min(slow.total_s, max(0.0, usage["read_s"] - usage["read_cpu_s"]))
    return WorkerUsage(work, cpu, asleep, max(0.0, work - cpu - asleep), usage["reads"], slow)


def _stolen_share(earlier: SystemReading, now: SystemReading) -> float:
    """What a hypervisor has taken from the cores for each second that they were busy."""
    busy = sum(now.core_busy_s) - sum(earlier.core_busy_s)
    return (now.stolen_s - earlier.stolen_s) / busy if busy > 0 else 0.0


def _python_usage(python: list[_C.HistogramSnapshot], stolen: float) -> WorkerUsage:
    """``stolen``: of a worker's CPU time, what it had no core for without the kernel's knowing."""
    work, cpu, no_core = (_durations(python[kind]).total_s for kind in (w.WORK, w.CPU, w.NO_CORE))
    no_core += min(stolen * cpu, max(0.0, work - cpu - no_core))
    return WorkerUsage(work, cpu, max(0.0, work - cpu - no_core), no_core)


def retire_with(iterator: Any, meter: Meter, block: w.WorkerBlock) -> None:
    """Retires ``block`` when ``iterator`` is gone, in the process that made it."""
    pid = os.getpid()

    def retire() -> None:
        if os.getpid() == pid:
            meter.retire(block)
            meter.left()

    weakref.finalize(iterator, retire)
