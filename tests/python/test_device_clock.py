"""Device idle behind the loader, by events on a timeline that the tests make: the truth is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stoker.stats import EventDeviceClock
from stoker.stats import device as device_module
from stoker.stats.device import MOST_PENDING, accelerator_available, torch_device_clock


@dataclass
class Event:
    """Somewhere on the timeline."""

    at: int


@dataclass
class Timeline:
    """A host and a device that works through what the host queues, in whole seconds."""

    kind: str = "fake"
    now: int = 0
    busy_until: int = 0
    made: int = 0
    free: list[Event] = field(default_factory=list)
    queries: int = 0

    def launch(self, seconds: int) -> None:
        """Queues work for the device; the host goes on at once."""
        self.busy_until = max(self.now, self.busy_until) + seconds

    def wait(self, seconds: int) -> int:
        """The loader's time; returns for how much of it the device is idle."""
        begin, self.now = self.now, self.now + seconds
        return max(0, self.now - max(begin, self.busy_until))

    def record(self) -> Event:
        event = self.free.pop() if self.free else Event(0)
        self.made += event.at == 0
        event.at = max(self.now, self.busy_until) + 1  # 0 is for a new one
        return event

    def passed(self, event: Event) -> bool:
        self.queries += 1
        return event.at - 1 <= self.now

    def elapsed_s(self, begin: Event, end: Event) -> float:
        assert end.at - 1 <= self.now, "asked for before the device has passed it"
        return end.at - begin.at

    def give_back(self, event: Event) -> None:
        assert not any(event is other for other in self.free), "given back twice"
        self.free.append(event)


def request(timeline: Timeline, clock: EventDeviceClock, number: int, wait: int) -> int:
    """A batch for the loop, which waits for it; returns for how much of that the device is idle."""
    clock.asked()
    idle = timeline.wait(wait)
    clock.answered(number)
    return idle


STEP = st.tuples(
    st.integers(0, 5),  # the loader's time
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=3),  # host work, device work
)


@given(st.lists(STEP, max_size=40))
def test_what_is_measured_is_the_truth(program: list[tuple[int, list[tuple[int, int]]]]) -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    truth, measured = [], []
    for number, (wait, work) in enumerate(program):
        truth.append((number, float(request(timeline, clock, number, wait))))
        measured += clock.finished()
        for host, device in work:
            timeline.now += host
            timeline.launch(device)
    timeline.now = max(timeline.now, timeline.busy_until)
    measured += clock.finished()
    assert measured == truth
    assert clock.dropped == 0


def test_a_wait_that_queued_work_hides_is_no_idleness() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    for number in range(3):
        request(timeline, clock, number, 4)
        timeline.launch(10)
    timeline.now = 100
    # The first finds an empty queue; behind it the host runs ever further ahead.
    assert clock.finished() == [(0, 4), (1, 0), (2, 0)]


def test_a_drained_device_starves() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    for number in range(3):
        request(timeline, clock, number, 10)
        timeline.launch(4)
    timeline.now = 100
    assert clock.finished() == [(0, 10), (1, 6), (2, 6)]


def test_results_come_when_the_device_has_passed_and_not_before() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    timeline.launch(50)
    for number in range(4):
        request(timeline, clock, number, 2)
        timeline.launch(10)
        assert clock.finished() == []
    assert timeline.now == 8  # the host has waited for nothing else
    timeline.now = 60
    assert clock.finished() == [(0, 0), (1, 0)]
    timeline.now = 79
    assert clock.finished() == [(2, 0)]
    timeline.now = 80
    assert clock.finished() == [(3, 0)]
    assert clock.finished() == []


def test_no_time_is_asked_for_before_the_device_has_passed_both_events() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    clock.asked()
    timeline.wait(1)
    timeline.launch(5)  # the loader's own, as a copy to the device
    clock.answered(0)
    timeline.now += 4
    assert clock.finished() == []
    timeline.now += 1
    assert len(clock.finished()) == 1


def test_the_number_of_events_and_of_questions_is_constant() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    for number in range(2000):
        request(timeline, clock, number, 3)
        timeline.launch(2)
        clock.finished()
    assert timeline.made <= 4
    assert timeline.queries <= 2 * 2000


def test_a_loop_too_far_ahead_of_its_device_loses_measurements_and_nothing_else() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    timeline.launch(10_000)
    measured = []
    for number in range(MOST_PENDING + 30):
        request(timeline, clock, number, 1)
        measured += clock.finished()
    assert (measured, clock.dropped) == ([], 30)
    assert timeline.made - len(timeline.free) <= 2 * MOST_PENDING
    timeline.now = 10_000
    assert clock.finished() == [(number, 0) for number in range(MOST_PENDING)]
    assert len(timeline.free) == timeline.made
    request(timeline, clock, MOST_PENDING + 30, 5)
    assert clock.finished() == [(MOST_PENDING + 30, 5)]
    assert clock.dropped == 30


def test_a_request_without_a_batch_leaves_nothing_behind() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    for epoch in range(100):
        request(timeline, clock, epoch, 2)
        assert clock.finished() == [(epoch, 2)]
        clock.asked()  # the end of the epoch: StopIteration
        timeline.now += 1000
    assert clock.finished() == []
    assert timeline.made <= 3
    assert clock.dropped == 0


def test_an_answer_to_no_request_measures_nothing() -> None:
    timeline = Timeline()
    clock = EventDeviceClock(timeline)
    clock.answered(0)
    timeline.now = 10
    assert clock.finished() == []
    assert timeline.made == 0


# ---- torch's accelerator -------------------------------------------------------------------------


def accelerator(monkeypatch: pytest.MonkeyPatch, kind: str | None) -> None:
    """What torch says that there is."""
    found = None if kind is None else torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: kind is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: found)


def test_there_is_no_clock_without_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator(monkeypatch, None)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert torch_device_clock() is None


@pytest.mark.parametrize("in_use", [False, True])
def test_an_accelerator_counts_once_it_is_in_use(monkeypatch: pytest.MonkeyPatch, in_use: bool) -> None:
    accelerator(monkeypatch, "cuda")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
    monkeypatch.setattr(torch.cuda, "init", lambda: pytest.fail("the loader has started it"))
    clock = torch_device_clock()
    assert (None if clock is None else clock.kind) == ("cuda" if in_use else None)


def test_no_driver_is_started_to_look_for_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> bool:
        raise AssertionError("looked for devices")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", refused)
    assert torch_device_clock() is None


@pytest.mark.parametrize("before", [None, "0"])
@pytest.mark.parametrize("found", [True, False])
def test_whether_there_is_one_is_not_asked_of_the_driver(
    monkeypatch: pytest.MonkeyPatch, before: str | None, found: bool
) -> None:
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    asked = []

    def is_available() -> bool:
        asked.append(os.environ.get(name))
        return found

    monkeypatch.setattr(torch.accelerator, "is_available", is_available)
    assert accelerator_available() is found
    assert asked == ["1"]
    assert os.environ.get(name) == before


@pytest.mark.parametrize("refuses", ["record", "passed", "elapsed_s"])
def test_a_device_that_refuses_events_ends_the_clock_and_nothing_else(refuses: str) -> None:
    class Events:
        kind = "fake"

        def __getattr__(self, name: str) -> Any:
            def answer(*arguments: Any) -> Any:
                if name == refuses and armed:
                    raise RuntimeError("another device's event")
                return {"record": object(), "passed": True, "elapsed_s": 0.5}.get(name)

            return answer

    armed = False
    clock = EventDeviceClock(Events())
    for number in range(6):
        armed = number >= 3
        clock.asked()
        clock.answered(number)
        found = clock.finished()
        assert found == ([(number, 0.5)] if not armed else [])
    assert clock.broken


def test_a_fork_has_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Events:
        kind = "fake"

        def __getattr__(self, name: str) -> Any:
            raise AssertionError("the device was used")

    clock = EventDeviceClock(Events())
    monkeypatch.setattr(device_module.os, "getpid", lambda: -1)
    clock.asked()
    clock.answered(0)
    assert clock.finished() == []
    assert not clock.broken


@pytest.mark.parametrize("allocated", [0, 4096])
def test_of_apples_accelerator_memory_tells(monkeypatch: pytest.MonkeyPatch, allocated: int) -> None:
    accelerator(monkeypatch, "mps")
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: allocated)
    assert (torch_device_clock() is not None) == bool(allocated)


class TorchEvent:
    """Stands for torch.Event, whose times are in milliseconds."""

    made = 0

    def __init__(self, device: Any, enable_timing: bool = False) -> None:
        assert enable_timing
        type(self).made += 1
        self.device, self.at = device, 0

    def record(self) -> None:
        self.at = TorchEvent.now

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: TorchEvent) -> float:
        return float(end.at - self.at)

    now = 0


def test_torchs_events_are_used_again_and_give_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "Event", TorchEvent)
    monkeypatch.setattr(TorchEvent, "made", 0)
    clock = EventDeviceClock(device_module.TorchEvents(torch.device("cuda")))
    for number in range(50):
        clock.asked()
        TorchEvent.now += 1500
        clock.answered(number)
        assert clock.finished() == [(number, 1.5)]
    assert TorchEvent.made == 2
