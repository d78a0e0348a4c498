"""Recordings made up for tests: every figure in them is chosen, none is measured."""

from __future__ import annotations

import dataclasses
from typing import Any

from stoker.diagnosis import Cure, Recording
from stoker.stats.clocks import StepRecord
from stoker.stats.records import (
    DeviceStats,
    Durations,
    LoaderStats,
    SlowSample,
    StageStats,
    SystemStats,
    WorkerUsage,
)
from stoker.stats.system import SystemReading

EVIL = "<script>alert('x')</script> & \"quoted\" <b>"

CURES = (
    Cure("workers", "num_workers 4 → 7", 702.0, "in DataLoader(…)", 7),
    Cure("index", 'the decode index (index="auto")', 655.0, "builds itself during the next epoch"),
    Cure("other", "a faster disk", 0.0),
)


def durations(values: list[float]) -> Durations:
    """Their distribution, as a histogram would have it."""
    if not values:
        return Durations()
    ordered = sorted(values)

    def quantile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    total = sum(values)
    return Durations(
        len(values), total, total / len(values), quantile(0.5), quantile(0.9), quantile(0.99), ordered[-1]
    )


def stage(count: int, mean_s: float, of_s: float) -> StageStats:
    """A stage whose percentiles spread around its mean; ``of_s``: the workers' whole time."""
    total = count * mean_s
    return StageStats(
        count,
        total,
        mean_s,
        0.9 * mean_s,
        1.7 * mean_s,
        3.1 * mean_s,
        9 * mean_s,
        total / of_s if of_s else 0.0,
    )


def steps_of(count: int, native: bool, device: bool, workers: int) -> tuple[StepRecord, ...]:
    """Steps of about 40 ms, in epochs of 100; every tenth one waits for long, the first of each longer."""
    steps: list[StepRecord] = []
    at = 0.0
    for number in range(count):
        first = number % 100 == 0
        wait = 0.35 if first else 0.06 if number % 10 == 9 else 0.008 + 0.004 * (number % 3)
        step = 0.036 + 0.002 * (number % 5)
        threads = max(1, workers)
        shares = (0.1, 0.6, 0.2, 0.1, 0.0) if first else (0.08, 0.72, 0.2, 0.0, 0.0)
        steps.append(
            StepRecord(
                number,
                at,
                wait,
                step,
                first,
                ready=(0 if wait > 0.01 else 1) if native else -1,
                device_idle_s=0.8 * wait if device else None,
                blame=tuple(share * wait * threads for share in shares) if native else (),
            )
        )
        at += wait + step
    return tuple(steps)


def at_work(worker: int, interval: int) -> float:
    """The share of the time between two readings: each that has a shade of its own, in turns."""
    return (worker + interval) % 6 / 5


def readings_of(elapsed_s: float, cores: int, workers: int) -> tuple[SystemReading, ...]:
    """One a second; each core is busier than the one before it."""
    count = int(elapsed_s) + 2
    length = elapsed_s / (count - 1)
    return tuple(
        SystemReading(
            at_s=5000.0 + elapsed_s * i / (count - 1),
            process_cpu_s=10 + 0.7 * cores * elapsed_s * i / (count - 1),
            core_busy_s=tuple(
                100.0 + elapsed_s * i / (count - 1) * (core + 1) / (cores + 1) for core in range(cores)
            ),
            storage_bytes=1_000_000 * i,
            memory_mb=300.0 + i,
            worker_busy_s=tuple(
                length * sum(at_work(worker, n) for n in range(i)) for worker in range(max(1, workers))
            ),
        )
        for i in range(count)
    )


def recording(
    path: str = "native",
    *,
    steps: int = 240,
    workers: int = 4,
    device: bool = False,
    cores: int = 4,
    kept: int = 4096,
    name: str = "train/n02105855/n02105855_2933.JPEG",
    **changes: Any,
) -> Recording:
    """A run of ``steps`` batches of 32 samples; ``changes``: to its LoaderStats."""
    native = path == "native"
    taken = steps_of(steps, native, device, workers)
    waits, taking = [s.wait_s for s in taken], [s.step_s for s in taken]
    samples = 32 * steps
    elapsed = sum(waits) + sum(taking)
    means = (
        {"read": 0.0002, "decode": 0.0041, "transform": 0.0009}
        if native
        else {"native": 0.0011, "python": 0.0035, "collate": 0.004}
    )
    counts = {name: steps if name == "collate" else samples for name in means}
    work = sum(means[name] * counts[name] for name in means)
    waiting = max(0.0, workers * elapsed - work) * 0.75
    idle = waiting / 3 if native else 0.0
    whole = work + waiting + idle
    idles = [s.device_idle_s for s in taken if s.device_idle_s is not None]
    stats = LoaderStats(
        path=path,
        workers=workers,
        batches=steps,
        samples=samples,
        failed_batches=0,
        wait=durations(waits),
        step=durations(taking),
        first_batch_s=0.35 if steps else 0.0,
        ready_share=0.4,
        stages={name: stage(counts[name], means[name], whole) for name in means} if steps else {},
        waiting_s=waiting if steps else 0.0,
        idle_s=idle if steps else 0.0,
        batch=durations([a + b for a, b in zip(waits, taking)]),
        first_wait_s=sum(s.wait_s for s in taken if s.first),
        queue=(sum(s.ready == 0 for s in taken), sum(s.ready == 1 for s in taken), 0) if native else (),
        blame={"read": 1.0, "decode": 8.0, "transform": 2.0, "off": 0.1} if native and steps else {},
        usage=WorkerUsage(
            work,
            0.9 * work,
            0.06 * work,
            0.04 * work,
            samples if native else 0,
            durations([0.002] * (samples // 40 if native else 0)),
        ),
        slowest=tuple(
            SlowSample(48_213 - i, name if native else "", {k: 9 * s / (i + 1) for k, s in means.items()})
            for i in range(4 if steps else 0)
        ),
        device=DeviceStats("cuda", durations(idles)) if device else None,
        system=SystemStats(
            elapsed,
            cores,
            None,
            2.0 * elapsed,
            1.7 * elapsed,
            2.4 * elapsed,
            (0.5,) * cores,
            0.0,
            1000 * samples,
            1,
            812.0,
        ),
    )
    return Recording(
        dataclasses.replace(stats, **changes),
        taken[-kept:] if kept else (),
        readings_of(elapsed, cores, workers) if steps else (),
        {"plan": path, "dataset": f"ImageFolder({name}), 7,680 samples", "torch": "2.13.0"},
        {},
    )
