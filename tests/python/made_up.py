"""Recordings of runs that never were, for tests of what is said about them."""

from __future__ import annotations

import dataclasses
from typing import Any

from stoker import Durations, LoaderStats
from stoker.diagnosis import Cure, Recording, judge
from stoker.diagnosis.cures import cures_for
from stoker.stats import DeviceStats, StageStats, StepRecord, SystemStats, WorkerUsage

BATCHES, BATCH = 100, 64
IMAGES = BATCHES * BATCH


def durations(count: int, total_s: float) -> Durations:
    """All of one length."""
    mean = total_s / max(1, count)
    return Durations(count, total_s, mean, mean, mean, mean, mean)


def stage(total_s: float, count: int = IMAGES) -> StageStats:
    return StageStats(*dataclasses.astuple(durations(count, total_s)))


def stats_of(wait_s: float, step_s: float, **changes: Any) -> LoaderStats:
    """100 batches of 64 on two of four cores, whose decoding took most of two workers' time."""
    elapsed = BATCHES * (wait_s + step_s)
    stats = LoaderStats(
        path="native",
        workers=2,
        batches=BATCHES,
        samples=IMAGES,
        failed_batches=0,
        wait=durations(BATCHES, BATCHES * wait_s),
        step=durations(BATCHES, BATCHES * step_s),
        batch=durations(BATCHES, elapsed),
        first_batch_s=0.5,
        first_wait_s=wait_s,
        ready_share=0.25,
        queue=(75, 20, 5),
        stages={"read": stage(4), "decode": stage(12), "transform": stage(4)},
        blame={"read": 2.0, "decode": 9.0, "transform": 0.5, "off": 0.5},
        waiting_s=0.0,
        idle_s=0.0,
        usage=WorkerUsage(work_s=20.0, cpu_s=19.0, asleep_s=0.5, no_core_s=0.5, reads=IMAGES),
        system=SystemStats(
            elapsed_s=elapsed,
            usable_cores=4,
            process_cpu_s=2 * elapsed,
            worker_cpu_s=19.0,
            machine_cpu_s=2.1 * elapsed,
            core_busy=(0.525,) * 4,
        ),
    )
    return dataclasses.replace(stats, **changes)


def steps_of(wait_s: float, step_s: float, idle_s: float | None = None) -> tuple[StepRecord, ...]:
    """Steps that are all alike; ``idle_s``: of the device, in each."""
    return tuple(
        StepRecord(n, n * (wait_s + step_s), wait_s, step_s, n == 0, 0, idle_s) for n in range(BATCHES)
    )


def recording_of(
    wait_s: float = 0.06,
    step_s: float = 0.04,
    *,
    steps: tuple[StepRecord, ...] | None = None,
    variants: dict[str, float] | None = None,
    facts: dict[str, str] | None = None,
    **changes: Any,
) -> Recording:
    """As it is: bound by a loader of 640 images/s, with a step that could take 1,600."""
    steps = steps_of(wait_s, step_s) if steps is None else steps
    return Recording(stats_of(wait_s, step_s, **changes), steps, (), facts or {}, variants or {})


def system_of(recording: Recording, **changes: Any) -> SystemStats:
    return dataclasses.replace(recording.stats.system, **changes)


def on_device(idle_s: float) -> DeviceStats:
    return DeviceStats("cuda", durations(BATCHES, BATCHES * idle_s))


def on_python(**changes: Any) -> dict[str, Any]:
    """What a run on the Python path has in place of a native one's."""
    return {
        "path": "python",
        "stages": {"native": stage(5), "python": stage(14), "collate": stage(1, BATCHES)},
        "blame": {},
        "queue": (),
        "ready_share": 0.0,
        "usage": WorkerUsage(work_s=20.0, cpu_s=19.0, asleep_s=0.5, no_core_s=0.5),
        **changes,
    }


FOUR_WORKERS: dict[str, Any] = {
    "workers": 4,
    "usage": WorkerUsage(work_s=40.0, cpu_s=38.0, asleep_s=0.5, no_core_s=1.5, reads=IMAGES),
    "stages": {"read": stage(8), "decode": stage(24), "transform": stage(8)},
}


def cures(recording: Recording) -> dict[str, Cure]:
    """By key, in their order; each once."""
    found = cures_for(recording, judge(recording))
    assert len({c.key for c in found}) == len(found)
    return {c.key: c for c in found}


def crowded(**changes: Any) -> Recording:
    """Four workers that keep four cores busy."""
    system = system_of(recording_of(), process_cpu_s=39.0, worker_cpu_s=38.0, machine_cpu_s=39.5)
    return recording_of(**{**FOUR_WORKERS, "system": system, **changes})
