"""The training loop's clock: time in ``next()``, and time between two calls of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .. import _C
from .device import DeviceClock

# Steps that are kept one by one, for timelines and for finding bursts and their period.
STEPS_KEPT = 4096
# Of the native path's workers, in this order: see BatchWait in csrc/pipeline/loader.h.
WORKER_STATES = ("read", "decode", "transform", "idle", "waiting")

# Gives the time in nanoseconds; None: the machine's own does. Tests make a time of their own.
made_time: Callable[[], int] | None = None


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

    What is done for each batch is one call of the core's StepClock each way.
    Threads: the consumer's.

    Attributes:
        device: says how long the device was idle behind the loader.
    """

    def __init__(self) -> None:
        self._core = _C.StepClock(STEPS_KEPT, made_time)
        self.device: DeviceClock | None = None
        self._asked = self._core.asked
        self._answered = self._core.answered

    def epoch_begins(self) -> None:
        """Call when an iterator is about to be made."""
        self._core.epoch_begins()

    def iterator_made(self) -> None:
        """Call when it has been made: the loop has waited for that, too."""
        self._core.iterator_made()

    def ended(self) -> None:
        """Call when there is no batch for the ``asked`` before: what that took counts to the next epoch's
        first wait."""
        self._core.ended()

    def asked(self) -> bool:
        """Call when the training loop enters ``next()``. Returns False, and does nothing, where no epoch has
        begun."""
        begun: bool = self._asked()
        if self.device is not None and begun:
            self.device.asked()
        return begun

    def begin_step(self) -> None:
        """The step begins now: what has been done since the batch was handed over was not the loop's."""
        self._core.begin_step()

    def leave_out(self) -> None:
        """What has happened since the last batch was handed over is no step."""
        self._core.leave_out()

    def answered(self, ready: int = -1, blame_ns: Sequence[int] = ()) -> int:
        """Call when it gets its batch; ``ready`` and ``blame_ns``: of the native path's core. Returns the
        time in nanoseconds."""
        if self.device is not None:
            # Those before this step, which has no record yet that its own time could go to.
            self._take_device_times(self.device)
            self.device.answered(self._core.batches)
        if blame_ns:
            return self._core.answered_by_core(ready, blame_ns)
        now: int = self._answered() if ready < 0 else self._answered(ready)
        return now

    def _take_device_times(self, device: DeviceClock) -> None:
        for number, idle_s in device.finished():
            self._core.device_was_idle(number, idle_s)

    def finish(self) -> None:
        """Takes in what the device clock has found out since."""
        if self.device is not None:
            self._take_device_times(self.device)

    @property
    def steps(self) -> list[StepRecord]:
        """The last STEPS_KEPT."""
        return [StepRecord(*step) for step in self._core.steps()]

    @property
    def wait(self) -> _C.Histogram:
        return self._core.wait

    @property
    def step(self) -> _C.Histogram:
        return self._core.step

    @property
    def batch(self) -> _C.Histogram:
        return self._core.batch

    @property
    def device_idle(self) -> _C.Histogram:
        return self._core.device_idle

    @property
    def began_ns(self) -> int:
        """When the first iterator was made; 0: none has been."""
        return self._core.began_ns

    @property
    def last_ns(self) -> int:
        """When the loop was last heard of."""
        return self._core.last_ns

    @property
    def first_batch_s(self) -> float:
        return self._core.first_batch_ns * 1e-9

    @property
    def first_wait_ns(self) -> int:
        return self._core.first_wait_ns

    @property
    def wait_cpu_ns(self) -> int:
        """Of the loop's thread, on a core while it waited."""
        return self._core.wait_cpu_ns

    @property
    def batches(self) -> int:
        return self._core.batches
