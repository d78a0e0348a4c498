"""A recording as a Chrome trace (JSON), which https://ui.perfetto.dev opens.

It shows the training loop's waits and steps, the device's idleness, queue depth, what the workers did, and
the use of cores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ..stats.clocks import WORKER_STATES
from .recording import Recording

Event = dict[str, Any]

PROCESS = 1
LOOP, DEVICE = 1, 2  # threads, as the format calls tracks


def chrome_trace(recording: Recording) -> str:
    """Its text. Times are microseconds since the loader's first iterator."""
    events = [*_step_events(recording), *_device_events(recording), *_reading_events(recording)]
    events.sort(key=lambda event: float(event["ts"]))  # stable: what ends at a moment comes first
    with_device = any(event["ph"] == "X" and event["tid"] == DEVICE for event in events)
    record = {
        "displayTimeUnit": "ms",
        "otherData": {"path": recording.stats.path, **recording.facts},
        "traceEvents": [*_names(with_device), *events],
    }
    return json.dumps(record, allow_nan=False)


def _us(seconds: float) -> float:
    """In whole nanoseconds, so that slices that follow each other neither overlap nor leave a gap."""
    return round(seconds * 1e9) / 1e3


def _names(with_device: bool) -> Iterator[Event]:
    def name(kind: str, words: str, thread: int) -> Event:
        return {"ph": "M", "pid": PROCESS, "tid": thread, "name": kind, "args": {"name": words}}

    yield name("process_name", "Stoker", LOOP)
    yield name("thread_name", "training loop", LOOP)
    if with_device:
        yield name("thread_name", "device idle behind the loader", DEVICE)


def _slice(name: str, thread: int, at_s: float, lasts_s: float, args: dict[str, Any]) -> Event:
    event = {"ph": "X", "pid": PROCESS, "tid": thread, "name": name, "cat": "stoker"}
    lasts_us = round(_us(at_s + lasts_s) - _us(at_s), 3)
    return {**event, "ts": _us(at_s), "dur": lasts_us, "args": args}


def _counter(name: str, at_s: float, values: dict[str, float]) -> Event:
    return {"ph": "C", "pid": PROCESS, "name": name, "ts": _us(at_s), "args": values}


def _step_events(recording: Recording) -> Iterator[Event]:
    """Waits and steps; what each request found; what the workers did until it was answered."""
    for step in recording.steps:
        args: dict[str, Any] = {"step": step.number, "first of an epoch": step.first}
        if step.ready >= 0:
            args["ready"] = step.ready
            yield _counter("complete batches", step.at_s, {"ready": step.ready})
        answered_s = step.at_s + step.wait_s
        yield _slice("wait", LOOP, step.at_s, step.wait_s, args)
        if step.step_s > 0:
            yield _slice("step", LOOP, answered_s, step.step_s, args)
        if step.wait_s > 0 and sum(step.blame) > 0:
            workers = {state: s / step.wait_s for state, s in zip(WORKER_STATES, step.blame)}
            yield _counter("workers while the loop waits", step.at_s, workers)
            yield _counter("workers while the loop waits", answered_s, dict.fromkeys(WORKER_STATES, 0.0))


def _device_events(recording: Recording) -> Iterator[Event]:
    """Only how long the device was idle is known, not when: it is drawn so that it ends with the wait."""
    free_s = 0.0
    for step in recording.steps:
        idle_s = step.device_idle_s
        if idle_s is None or idle_s <= 0:
            continue
        at_s = max(free_s, step.at_s + step.wait_s - idle_s)
        free_s = at_s + idle_s
        yield _slice("device idle", DEVICE, at_s, idle_s, {"step": step.number, "place": "assumed"})


def _reading_events(recording: Recording) -> Iterator[Event]:
    """Each value stands from one reading to the next; the first reading is where the steps' clock begins."""
    for earlier, later in pairwise(recording.readings):
        elapsed = later.at_s - earlier.at_s
        if elapsed <= 0:
            continue
        at_s = earlier.at_s - recording.readings[0].at_s
        busy = [(b - a) / elapsed for a, b in zip(earlier.core_busy_s, later.core_busy_s)]
        cpu_s = later.process_cpu_s + later.workers_cpu_s - earlier.process_cpu_s - earlier.workers_cpu_s
        stored = later.storage_bytes - earlier.storage_bytes
        if busy:
            yield _counter("cores busy", at_s, {"cores": sum(busy)})
            for core, share in enumerate(busy):
                yield _counter(f"core {core + 1} busy", at_s, {"percent": 100 * share})
        yield _counter("cores used by this process and its workers", at_s, {"cores": cpu_s / elapsed})
        yield _counter("read from storage", at_s, {"MB/s": stored / elapsed * 1e-6})
        yield _counter("memory", at_s, {"MB": earlier.memory_mb})
