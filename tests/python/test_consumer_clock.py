"""The training loop's clock, with a time that the tests make."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from stoker import Durations
from stoker.stats import ConsumerClock, StepRecord, clocks


class Time:
    """Stands for the machine's."""

    def __init__(self) -> None:
        self.ns = 10**9

    def passes(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clocks, "made_time", lambda: made.ns)
    return made


def of(histogram: object) -> Durations:
    return Durations(**histogram.snapshot().to_dict())  # type: ignore[attr-defined]


def request(clock: ConsumerClock, now: Time, wait_s: float) -> None:
    """A batch for the loop, which waits for it."""
    clock.asked()
    now.passes(wait_s)
    clock.answered()


def steps(clock: ConsumerClock, now: Time, waits: Sequence[float], step_s: float) -> None:
    """An epoch: before the first request nothing, behind each batch a step; then its end."""
    clock.epoch_begins()
    for wait_s in waits:
        request(clock, now, wait_s)
        now.passes(step_s)
    clock.asked()


def test_wait_step_and_both_together(now: Time) -> None:
    clock = ConsumerClock()
    steps(clock, now, [5, 1, 2], 3)
    assert clock.batches == 3
    wait, step, batch = of(clock.wait), of(clock.step), of(clock.batch)
    assert (wait.count, wait.total_s, wait.max_s) == (3, 8, 5)
    assert (step.count, step.total_s, step.max_s) == (3, 9, 3)
    assert (batch.count, batch.total_s, batch.max_s) == (3, 17, 8)


def test_making_an_iterator_and_ending_one_count_to_the_first_wait(now: Time) -> None:
    """What a loop of short epochs waits for between them: worker processes that begin and end."""
    clock = ConsumerClock()
    for _ in range(2):
        clock.epoch_begins()
        now.passes(4)  # iter(loader)
        clock.iterator_made()
        now.passes(100)  # the script's own time
        for _ in range(2):
            request(clock, now, 1)
            now.passes(2)
        clock.asked()
        now.passes(3)  # the next() that finds no batch
        clock.ended()
    assert [step.wait_s for step in clock.steps] == [5, 1, 8, 1]
    assert [step.first for step in clock.steps] == [True, False, True, False]
    assert clock.first_wait_ns == 13e9
    assert of(clock.wait).total_s == pytest.approx(15)
    assert of(clock.step).total_s == pytest.approx(8)
    assert of(clock.batch).max_s == 10


def test_what_the_loops_thread_computes_while_it_waits() -> None:
    """Not in its steps."""
    clock = ConsumerClock()
    clock.epoch_begins()
    began = time.thread_time()
    for burned_s in (0.02, 0.04):
        clock.asked()
        burn(burned_s)
        clock.answered()
        burn(0.03)
    assert 0.06 <= clock.wait_cpu_ns * 1e-9 <= time.thread_time() - began - 0.055


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_last_step_has_no_end_before_the_loop_asks_again(now: Time) -> None:
    clock = ConsumerClock()
    clock.epoch_begins()
    for _ in range(2):
        request(clock, now, 1)
        now.passes(4)
    assert (of(clock.wait).count, of(clock.step).count, of(clock.batch).count) == (2, 1, 1)
    assert [s.step_s for s in clock.steps] == [4, 0]


def test_what_an_observer_does_is_no_part_of_the_step(now: Time) -> None:
    clock = ConsumerClock()
    clock.epoch_begins()
    request(clock, now, 1)
    now.passes(100)
    clock.begin_step()
    now.passes(4)
    clock.asked()
    assert of(clock.step).total_s == of(clock.batch).total_s - 1 == 4
    assert clock.steps[-1].step_s == 4


def test_a_step_that_is_left_out_counts_nowhere(now: Time) -> None:
    clock = ConsumerClock()
    clock.epoch_begins()
    request(clock, now, 1)
    now.passes(100)
    clock.leave_out()
    clock.begin_step()
    clock.asked()
    assert of(clock.step).count == of(clock.batch).count == clock.steps[-1].step_s == 0


def test_time_between_epochs_is_no_step(now: Time) -> None:
    clock = ConsumerClock()
    steps(clock, now, [1, 1], 2)
    now.passes(100)
    steps(clock, now, [1, 1], 2)
    assert (of(clock.step).count, of(clock.step).max_s) == (4, 2)
    assert of(clock.batch).total_s == 12


def test_an_epoch_that_was_left_half_way_leaves_no_step_behind(now: Time) -> None:
    clock = ConsumerClock()
    clock.epoch_begins()
    request(clock, now, 1)
    now.passes(50)
    clock.epoch_begins()  # without having asked again
    request(clock, now, 1)
    assert of(clock.step).count == 0
    assert [s.first for s in clock.steps] == [True, True]


def test_first_waits_and_the_first_batch(now: Time) -> None:
    clock = ConsumerClock()
    clock.epoch_begins()
    now.passes(0.5)  # what the iterator takes before the loop asks
    request(clock, now, 2)
    assert clock.first_batch_s == 2.5
    assert clock.first_wait_ns == 2 * 10**9
    steps(clock, now, [4, 1, 1], 1)
    assert clock.first_wait_ns == 6 * 10**9  # one for each epoch
    assert clock.first_batch_s == 2.5  # of the first epoch


def test_an_epoch_without_batches(now: Time) -> None:
    clock = ConsumerClock()
    steps(clock, now, [], 1)
    assert (clock.batches, clock.first_batch_s, len(clock.steps)) == (0, 0, 0)
    steps(clock, now, [3], 1)
    assert (clock.batches, clock.first_batch_s) == (1, 3)


def test_a_request_that_failed_is_neither_batch_nor_wait(now: Time) -> None:
    clock = ConsumerClock()
    clock.epoch_begins()
    request(clock, now, 1)
    now.passes(2)
    clock.asked()
    now.passes(30)  # the batch raises
    request(clock, now, 4)
    assert clock.batches == 2
    assert (of(clock.step).count, of(clock.step).total_s) == (1, 2)
    assert of(clock.wait).total_s == 5


def test_the_record_of_each_step(now: Time) -> None:
    clock = ConsumerClock()
    now.passes(7)
    clock.epoch_begins()
    now.passes(1)
    clock.asked()
    now.passes(2)
    clock.answered(ready=0, blame_ns=(1_000_000_000, 500_000_000, 0, 0, 250_000_000))
    now.passes(3)
    clock.asked()
    clock.answered(ready=2)
    now.passes(4)
    steps(clock, now, [1], 6)  # a second epoch
    assert list(clock.steps) == [
        StepRecord(0, 1, 2, 3, first=True, ready=0, blame=(1, 0.5, 0, 0, 0.25)),
        StepRecord(1, 6, 0, 0, ready=2),
        StepRecord(2, 10, 1, 6, first=True),
    ]
    assert len(clock.steps[0].blame) == len(clocks.WORKER_STATES)


def test_memory_is_constant(now: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "STEPS_KEPT", 16)
    clock = ConsumerClock()
    for _ in range(10):
        steps(clock, now, [1] * 10, 2)
    assert [s.number for s in clock.steps] == list(range(84, 100))
    assert clock.batches == of(clock.wait).count == 100


class Device:
    """A device clock that says what a test has it say."""

    kind = "fake"
    dropped = 0

    def __init__(self) -> None:
        self.known: list[tuple[int, float]] = []
        self.calls: list[str] = []

    def asked(self) -> None:
        self.calls.append("asked")

    def answered(self, step: int) -> None:
        self.calls.append(f"answered {step}")

    def finished(self) -> list[tuple[int, float]]:
        known, self.known = self.known, []
        return known


def test_what_the_device_clock_finds_out_later_goes_to_its_step(
    now: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "STEPS_KEPT", 4)
    clock = ConsumerClock()
    device = clock.device = Device()
    steps(clock, now, [1, 1, 1], 1)
    assert device.calls == ["asked", "answered 0", "asked", "answered 1", "asked", "answered 2", "asked"]
    assert [s.device_idle_s for s in clock.steps] == [None, None, None]
    device.known = [(0, 0.25), (1, 0.5)]
    steps(clock, now, [1, 1, 1], 1)
    assert [(s.number, s.device_idle_s) for s in clock.steps] == [(2, None), (3, None), (4, None), (5, None)]
    device.known = [(2, 0.75), (4, 2.0)]
    clock.finish()
    assert [s.device_idle_s for s in clock.steps] == [0.75, None, 2, None]
    idle = of(clock.device_idle)
    assert (idle.count, idle.total_s) == (4, 3.5)  # also those that are not kept any more
