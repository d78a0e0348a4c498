"""The Chrome trace: its format, and that its times and figures are the recording's."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from recordings import EVIL, recording

from stoker.diagnosis import Recording
from stoker.diagnosis.chrome_trace import chrome_trace
from stoker.stats.clocks import WORKER_STATES

RUNS = {
    "native": recording(),
    "device": recording(device=True),
    "python": recording("python"),
    "one": recording(steps=1),
    "empty": recording(steps=0),
    "no workers": recording(workers=0),
    "last kept": recording(steps=300, kept=50),
}


def events(run: Recording, phase: str, name: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(chrome_trace(run))["traceEvents"]
    return [e for e in found if e["ph"] == phase and (not name or e["name"] == name)]


def track(run: Recording, name: str) -> list[dict[str, Any]]:
    """The slices of the track of that name."""
    (thread,) = (e["tid"] for e in events(run, "M", "thread_name") if e["args"]["name"] == name)
    return [e for e in events(run, "X") if e["tid"] == thread]


@pytest.mark.parametrize("name", RUNS)
def test_the_format(name: str) -> None:
    record = json.loads(chrome_trace(RUNS[name]))
    assert record["traceEvents"][0] == {
        "ph": "M",
        "pid": 1,
        "tid": 1,
        "name": "process_name",
        "args": {"name": "Stoker"},
    }
    last = 0.0
    for event in record["traceEvents"]:
        assert event["ph"] in ("M", "X", "C")
        assert event["pid"] == 1
        if event["ph"] == "M":
            assert last == 0.0, "names come first"
            continue
        assert event["ts"] >= last
        last = event["ts"]
        if event["ph"] == "X":
            assert event["dur"] >= 0
        else:
            assert event["args"]
            assert all(isinstance(value, int | float) for value in event["args"].values())


@pytest.mark.parametrize("name", RUNS)
def test_slices_of_a_track_follow_each_other(name: str) -> None:
    slices = events(RUNS[name], "X")
    named = {e["tid"] for e in events(RUNS[name], "M", "thread_name")}
    assert {e["tid"] for e in slices} <= named
    for thread in named:
        mine = [e for e in slices if e["tid"] == thread]
        for earlier, later in pairwise(mine):
            assert round(earlier["ts"] + earlier["dur"], 3) <= later["ts"]


@pytest.mark.parametrize("name", RUNS)
def test_waits_and_steps_are_the_recordings(name: str) -> None:
    run = RUNS[name]
    slices = track(run, "training loop")
    waits = [e for e in slices if e["name"] == "wait"]
    steps = [e for e in slices if e["name"] == "step"]
    assert len(waits) == len(steps) == len(run.steps)
    assert len(slices) == 2 * len(run.steps)
    for record, wait, step in zip(run.steps, waits, steps):
        assert wait["ts"] == pytest.approx(record.at_s * 1e6, abs=0.001)
        assert wait["dur"] == pytest.approx(record.wait_s * 1e6, abs=0.002)
        assert step["ts"] == pytest.approx((record.at_s + record.wait_s) * 1e6, abs=0.001)
        assert step["dur"] == pytest.approx(record.step_s * 1e6, abs=0.002)
        assert wait["args"]["step"] == step["args"]["step"] == record.number
        assert wait["args"].get("ready", -1) == record.ready


def test_a_step_that_is_not_over_is_left_out() -> None:
    run = recording(steps=3)
    run.steps[-1].step_s = 0.0
    assert len(events(run, "X", "wait")) == 3
    assert len(events(run, "X", "step")) == 2


def test_device_idle_has_a_track_only_where_it_is_known() -> None:
    run = RUNS["device"]
    idle = track(run, "device idle behind the loader")
    assert len(idle) == len(run.steps)
    for record, event in zip(run.steps, idle):
        assert record.device_idle_s is not None
        assert event["dur"] == pytest.approx(record.device_idle_s * 1e6, abs=0.002)
        assert event["ts"] + event["dur"] == pytest.approx((record.at_s + record.wait_s) * 1e6, abs=0.003)
    names = [e["args"]["name"] for e in events(RUNS["native"], "M", "thread_name")]
    assert names == ["training loop"]


def test_idleness_longer_than_the_wait_overlaps_nothing() -> None:
    run = recording(steps=3, device=True)
    for record in run.steps:
        record.device_idle_s = 10 * record.wait_s
    idle = track(run, "device idle behind the loader")
    assert [e["dur"] for e in idle] == pytest.approx([s.wait_s * 1e7 for s in run.steps])
    assert all(round(a["ts"] + a["dur"], 3) <= b["ts"] for a, b in pairwise(idle))
    assert all(e["ts"] >= 0 for e in idle)


def test_queue_depth() -> None:
    run = RUNS["native"]
    found = events(run, "C", "complete batches")
    assert [e["args"]["ready"] for e in found] == [step.ready for step in run.steps]
    assert [e["ts"] for e in found] == pytest.approx([step.at_s * 1e6 for step in run.steps], abs=0.001)
    assert events(RUNS["python"], "C", "complete batches") == []


def test_workers_while_the_loop_waits() -> None:
    run = RUNS["native"]
    found = events(run, "C", "workers while the loop waits")
    assert len(found) == 2 * len(run.steps)
    for record, begin, end in zip(run.steps, found[::2], found[1::2]):
        assert list(begin["args"]) == list(WORKER_STATES)
        wait_us = end["ts"] - begin["ts"]
        assert [v * wait_us for v in begin["args"].values()] == pytest.approx([s * 1e6 for s in record.blame])
        assert set(end["args"].values()) == {0.0}
    assert events(RUNS["python"], "C", "workers while the loop waits") == []


def test_core_use_between_readings() -> None:
    run = RUNS["native"]
    first = run.readings[0].at_s
    found = events(run, "C", "cores busy")
    assert [e["ts"] for e in found] == pytest.approx([(r.at_s - first) * 1e6 for r in run.readings[:-1]])
    assert found[0]["ts"] == 0
    assert [e["args"]["cores"] for e in found] == pytest.approx([2.0] * len(found))
    for core in range(4):
        each = events(run, "C", f"core {core + 1} busy")
        assert [e["args"]["percent"] for e in each] == pytest.approx([20.0 * (core + 1)] * len(found))
    used = events(run, "C", "cores used by this process and its workers")
    assert [e["args"]["cores"] for e in used] == pytest.approx([2.8] * len(found))


def test_facts_come_along_unharmed() -> None:
    run = recording(name=EVIL + "\udce9")
    assert json.loads(chrome_trace(run))["otherData"] == {"path": "native", **run.facts}
    chrome_trace(run).encode("ascii")
