"""The training loop's clock: time in ``next()``, and time between two calls of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .. import _C
from .device import DeviceClock

# Steps that are kept one by one, for timelines and for finding bursts and their period.
STEPS_KEPT = 4096
# Of the native path's workers, in this order: see BatchWait in csrc/pipeline/loader.h.
WORKER_STATES = ("read", "decode", "transform", "idle", "waiting")


@dataclass
class StepRecord:
    """One step of the training loop. Durations in seconds.

    Attributes:
        number: counted from 0 over all epochs.
        at_s: when the loop asked for its batch, since the loader's first iterator was made.
        wait_s: how long it waited for it. An epoch's first: with the time in ``iter()``, and in the
            ``next()`` that ended the epoch before.
        step_s: how long it took until it asked again; 0: not yet.
        first: whether the batch is an epoch's first.
        ready: complete batches that the request found; -1: unknown (Python path).
        device_idle_s: how long the device was idle behind the loader; None: unknown.
        blame: what each worker state took meanwhile, summed over workers (native): WORKER_STATES.
    """

    number: int
    at_s: float
    wait_s: float
    step_s: float = 0.0
    first: bool = False
    ready: int = -1
    device_idle_s: float | None = None
    blame: tuple[float, ...] = ()


class ConsumerClock:
    """Measures the steps of one training loop; constant memory, however long the run.

    Threads: the consumer's.
    """

    def __init__(self) -> None:
        self.wait = _C.Histogram()
        self.step = _C.Histogram()
        self.batch = _C.Histogram()
        self.device_idle = _C.Histogram()
        self.steps: deque[StepRecord] = deque(maxlen=STEPS_KEPT)
        self.device: DeviceClock | None = None
        self.began_ns = 0  # when the first iterator was made
        self.first_batch_s = 0.0
        self.first_wait_ns = 0
        self.wait_cpu_ns = 0  # of the loop's thread, on a core while it waited
        self.batches = 0
        self._epoch_began = 0
        self._returned = 0
        self._asked = 0
        self._asked_cpu = 0
        self._waited = 0
        self._is_first = True
        self._between_ns = 0  # in iter(), and in the next() that ended the epoch before
        self.last_ns = 0  # when the loop was last heard of

    def epoch_begins(self) -> None:
        """Call when an iterator is about to be made."""
        self.last_ns = self._epoch_began = time.perf_counter_ns()
        self.began_ns = self.began_ns or self._epoch_began
        self._returned = 0
        self._is_first = True

    def iterator_made(self) -> None:
        """Call when it has been made: the loop has waited for that, too."""
        self.last_ns = time.perf_counter_ns()
        self._between_ns += self.last_ns - self._epoch_began

    def ended(self) -> None:
        """Call when there is no batch for the ``asked`` before: what that took counts to the next epoch's
        first wait."""
        self.last_ns = time.perf_counter_ns()
        self._between_ns += self.last_ns - self._asked

    def asked(self) -> None:
        """Call when the training loop enters ``next()``."""
        self._asked = time.perf_counter_ns()
        self._asked_cpu = time.thread_time_ns()
        if self._returned:
            step = self._asked - self._returned
            self.step.record(step)
            self.batch.record(self._waited + step)
            if self.steps:
                self.steps[-1].step_s = step * 1e-9
        self._returned = 0
        if self.device is not None:
            self.device.asked()

    def begin_step(self) -> None:
        """The step begins now: what has been done since the batch was handed over was not the loop's."""
        if self._returned:
            self._returned = time.perf_counter_ns()

    def leave_out(self) -> None:
        """What has happened since the last batch was handed over is no step."""
        self._returned = 0

    def answered(self, ready: int = -1, blame_ns: Sequence[int] = ()) -> None:
        """Call when it gets its batch; ``ready`` and ``blame_ns``: of the native path's core."""
        if self.device is not None:
            # Those before this step, which has no record yet that its own time could go to.
            self._take_device_times(self.device)
            self.device.answered(self.batches)
        now = time.perf_counter_ns()
        waited = now - self._asked
        self.wait_cpu_ns += time.thread_time_ns() - self._asked_cpu
        first, self._is_first = self._is_first, False
        if first:
            waited += self._between_ns
            self._between_ns = 0
            self.first_wait_ns += waited
        self._waited = waited
        self.wait.record(waited)
        self.steps.append(
            StepRecord(
                self.batches,
                (now - waited - self.began_ns) * 1e-9,
                waited * 1e-9,
                first=first,
                ready=ready,
                blame=tuple(ns * 1e-9 for ns in blame_ns),
            )
        )
        self.batches += 1
        if self.first_batch_s == 0.0:
            self.first_batch_s = (now - self._epoch_began) * 1e-9
        self._returned = self.last_ns = time.perf_counter_ns()

    def _take_device_times(self, device: DeviceClock) -> None:
        for number, idle_s in device.finished():
            self.device_idle.record(round(idle_s * 1e9))
            position = number - self.steps[0].number if self.steps else -1
            if 0 <= position < len(self.steps):
                self.steps[position].device_idle_s = idle_s

    def finish(self) -> None:
        """Takes in what the device clock has found out since."""
        if self.device is not None:
            self._take_device_times(self.device)
