"""Recordings of two native workers on two cores, whose every step is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stoker.diagnosis import Recording
from stoker.stats import Durations, LoaderStats, StageStats, SystemStats, WorkerUsage
from stoker.stats.clocks import StepRecord


def total(seconds: Sequence[float]) -> Durations:
    return Durations(len(seconds), sum(seconds), sum(seconds) / max(1, len(seconds)))


def made(
    waits: Sequence[float],
    step_s: float = 1.0,
    busy: float = 1.0,
    first_s: float = 0.0,
    idle: Sequence[float] | None = None,
    **stats: Any,
) -> Recording:
    """A native run of two workers on two cores, 10 samples a batch, that decode all the time.

    Args:
        waits: of the steps behind the first.
        busy: share of their time that the workers worked.
        first_s: the wait for the first batch.
        idle: of the device, behind the first step; None: there is none.
        stats: what is otherwise in the record, instead.
    """
    all_waits = [first_s, *waits]
    count = len(all_waits)
    at = [sum(all_waits[:i]) + i * step_s for i in range(count)]
    steps = tuple(
        StepRecord(i, at[i], all_waits[i], step_s, i == 0, device_idle_s=idle[i - 1] if idle and i else None)
        for i in range(count)
    )
    elapsed = sum(all_waits) + count * step_s
    work = 2 * busy * elapsed
    record = LoaderStats(
        path="native",
        workers=2,
        batches=count,
        samples=10 * count,
        failed_batches=0,
        wait=total(all_waits),
        step=total([step_s] * count),
        batch=total([wait + step_s for wait in all_waits]),
        first_wait_s=first_s,
        first_batch_s=first_s,
        ready_share=0.0,
        stages={"decode": StageStats(10 * count, work, work / (10 * count))},
        waiting_s=2 * elapsed - work,
        idle_s=0.0,
        blame={"read": 0.0, "decode": 2 * sum(all_waits), "transform": 0.0, "off": 0.0},
        usage=WorkerUsage(work, work),
        system=SystemStats(elapsed, 2, None, work, work, work, (busy, busy)),
    )
    return Recording(replace(record, **stats), steps, (), {}, {})
