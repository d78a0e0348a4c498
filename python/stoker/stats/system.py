"""What the machine did meanwhile: cores, control group, storage, memory. Linux; elsewhere mostly zeros."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import psutil
import torch

from .._cpus import affinity_cores, cgroup_quota, control_groups, group_quota, ranks_here, usable_cores
from .records import SystemStats

# Readings that are kept for timelines, at least a second apart; when they are full, every other one goes
# and the distance doubles.
READINGS_KEPT = 512
_EVERY_S = 1.0
_ROOT, _SELF = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class SystemReading:
    """Counters at one moment; only differences mean anything.

    Attributes:
        at_s: time.perf_counter().
        process_cpu_s: of this process.
        workers_cpu_s: of its worker processes, those that have ended included.
        core_busy_s: of each core that this process may use.
        throttled_s: of the control groups, summed over cores.
        periods, throttled_periods: of the quota's clock, and those of them in which it held threads back.
        group_cpu_s: of all processes in the control group that has the quota; 0: unknown.
        stolen_s: for how long the usable cores had work, but their hypervisor had them run other machines.
        storage_bytes: read by this process and its workers.
        memory_mb: resident, with the workers'.
        worker_busy_s: for how many seconds each of the loader's workers has been at work; without workers,
            the loop's own thread. Native: in the stages of samples, up to this moment. Python path: in the
            dataset and in collate_fn, of batches (or samples) that are done. (): not known.
    """

    at_s: float
    process_cpu_s: float = 0.0
    workers_cpu_s: float = 0.0
    core_busy_s: tuple[float, ...] = ()
    throttled_s: float = 0.0
    storage_bytes: int = 0
    memory_mb: float = 0.0
    worker_busy_s: tuple[float, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    group_cpu_s: float = 0.0
    stolen_s: float = 0.0

    def plus(self, other: SystemReading, share: float) -> SystemReading:
        """These counters, and a share of the other's; the memory is this one's."""
        sums = {name: getattr(self, name) + share * getattr(other, name) for name in _COUNTERS}
        pairs = zip_longest(self.core_busy_s, other.core_busy_s, fillvalue=0.0)
        return replace(self, **sums, core_busy_s=tuple(own + share * more for own, more in pairs))


_COUNTERS = (
    "at_s",
    "process_cpu_s",
    "workers_cpu_s",
    "throttled_s",
    "storage_bytes",
    "periods",
    "throttled_periods",
    "group_cpu_s",
    "stolen_s",
)


@dataclass(frozen=True)
class GroupCounters:
    """Of a process's control groups; see SystemReading."""

    throttled_s: float = 0.0
    periods: int = 0
    throttled_periods: int = 0
    cpu_s: float = 0.0


def group_counters(root: Path = _ROOT, self_file: Path = _SELF) -> GroupCounters:
    """How the quotas of the process's control groups, v1 or v2, have held its threads back.

    Throttling is summed over the groups on the way up, of which hardly ever more than one has a tight
    quota; of their periods the most count. CPU time is that of the group with the least quota.
    """
    throttled = cpu_s = 0.0
    periods = throttled_periods = 0
    least = math.inf
    for folder in control_groups(root, self_file):
        counters = _counters(folder / "cpu.stat")
        throttled += counters.get("throttled_usec", 0) * 1e-6 + counters.get("throttled_time", 0) * 1e-9
        periods = max(periods, counters.get("nr_periods", 0))
        throttled_periods += counters.get("nr_throttled", 0)
        quota = group_quota(folder)
        if math.isfinite(quota) and quota <= least:
            least = quota
            cpu_s = counters.get("usage_usec", 0) * 1e-6 or _used_v1(folder, root)
    return GroupCounters(throttled, periods, min(periods, throttled_periods), cpu_s)


def _counters(file: Path) -> dict[str, int]:
    try:
        words = file.read_text().split()
        return dict(zip(words[::2], map(int, words[1::2])))
    except (OSError, ValueError):
        return {}


def _used_v1(folder: Path, root: Path) -> float:
    """Version 1 has the time used in a hierarchy of its own, which is mostly the same folder."""
    inside = folder.relative_to(root).parts[1:]
    for place in (folder, root.joinpath("cpuacct", *inside)):
        try:
            return int((place / "cpuacct.usage").read_text()) * 1e-9
        except (OSError, ValueError):
            continue
    return 0.0


def _storage_bytes(process: psutil.Process) -> int:
    try:
        return process.io_counters().read_bytes
    except (psutil.Error, OSError, AttributeError):
        return 0


def _core_times() -> tuple[tuple[float, ...], float]:
    """For how long each usable core was busy, and what all of them had stolen. By /proc/stat's names: cores
    that are offline have no line there."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    times = psutil.cpu_times(percpu=True)
    numbers: Sequence[int] = range(len(times))
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/stat").read_text().splitlines()
        named = [int(line.split()[0][3:]) for line in lines if re.match(r"cpu\d", line)]
        numbers = named if len(named) == len(times) else numbers
    usable = [t for core, t in zip(numbers, times) if cores is None or core in cores]
    busy = tuple(
        t.user + t.nice + t.system + getattr(t, "irq", 0.0) + getattr(t, "softirq", 0.0) for t in usable
    )
    return busy, sum(getattr(t, "steal", 0.0) for t in usable)


class SystemMeter:
    """Readings of the system's counters, taken in the consumer's thread once a second, and when asked for.

    Constant memory. Threads: the consumer's.

    Attributes:
        readings: those that were kept, the first one included, and the latest.
        workers: pids of the loader's worker processes; add to it. Those that are gone are taken out, and
            keep counting with what they had used when last seen.
        due_ns: by time.perf_counter_ns(), when the next reading is due.
    """

    def __init__(self) -> None:
        self.readings: list[SystemReading] = []
        self.workers: set[int] = set()
        self._distance_s = _EVERY_S
        self.due_ns = 0
        self._processes: dict[int, psutil.Process] = {}  # which know when their pid is another's
        self._seen: dict[int, tuple[float, int]] = {}  # CPU seconds and storage bytes of each worker
        self._gone = (0.0, 0)

    def begin(self) -> None:
        """What was read before the first iterator was made is forgotten."""
        self.readings.clear()
        self._distance_s = _EVERY_S

    def read(self, worker_busy_s: tuple[float, ...] = ()) -> SystemReading:
        """The counters now; ``worker_busy_s``: of the loader, which knows."""
        own = psutil.Process()
        cpu = own.cpu_times()
        memory = own.memory_info().rss + self._read_workers()
        group = group_counters()
        busy, stolen_s = _core_times()
        reading = SystemReading(
            at_s=time.perf_counter(),
            process_cpu_s=cpu.user + cpu.system,
            workers_cpu_s=self._gone[0] + sum(cpu_s for cpu_s, _ in self._seen.values()),
            core_busy_s=busy,
            stolen_s=stolen_s,
            throttled_s=group.throttled_s,
            periods=group.periods,
            throttled_periods=group.throttled_periods,
            group_cpu_s=group.cpu_s,
            storage_bytes=_storage_bytes(own) + self._gone[1] + sum(n for _, n in self._seen.values()),
            memory_mb=memory / 2**20,
            worker_busy_s=worker_busy_s,
        )
        self._keep(reading)
        self.due_ns = round((reading.at_s + _EVERY_S) * 1e9)
        return reading

    def _keep(self, reading: SystemReading) -> None:
        kept = self.readings
        if len(kept) >= 2 and kept[-1].at_s - kept[-2].at_s < self._distance_s:
            kept.pop()  # it was there as the latest only
        if len(kept) >= READINGS_KEPT:
            del kept[1::2]
            # As far apart as those that are left, or nearly: clocks are not exact.
            self._distance_s = 0.9 * (kept[-1].at_s - kept[0].at_s) / (len(kept) - 1)
        kept.append(reading)

    def _read_workers(self) -> int:
        """Brings ``_seen`` up to date; returns the workers' resident bytes."""
        memory = 0
        for pid in list(self.workers):
            try:
                process = self._processes.setdefault(pid, psutil.Process(pid))
                if not process.is_running():  # the pid is another's by now
                    raise psutil.NoSuchProcess(pid)
                times = process.cpu_times()
                memory += process.memory_info().rss
                self._seen[pid] = (times.user + times.system, _storage_bytes(process))
            except psutil.Error:
                self.workers.discard(pid)
                self._processes.pop(pid, None)
                cpu_s, stored = self._seen.pop(pid, (0.0, 0))
                self._gone = (self._gone[0] + cpu_s, self._gone[1] + stored)
        return memory


def system_stats(
    earlier: SystemReading, now: SystemReading, worker_cpu_s: float, in_process: bool
) -> SystemStats:
    """What happened between two readings. ``worker_cpu_s``: that the workers say they have used at work;
    ``in_process``: as threads of this process."""
    elapsed = max(now.at_s - earlier.at_s, 1e-9)
    # Of processes that have ended since, the last reading knows less than they said themselves.
    children = 0.0 if in_process else max(now.workers_cpu_s - earlier.workers_cpu_s, worker_cpu_s)
    quota = cgroup_quota()
    cores = affinity_cores()
    busy = tuple(b - a for a, b in zip(earlier.core_busy_s, now.core_busy_s))
    return SystemStats(
        elapsed_s=elapsed,
        usable_cores=usable_cores(),
        quota_cores=quota if quota < cores else None,
        process_cpu_s=now.process_cpu_s - earlier.process_cpu_s + children,
        worker_cpu_s=worker_cpu_s if in_process else children,
        machine_cpu_s=sum(busy),
        core_busy=tuple(min(1.0, s / elapsed) for s in busy),
        throttled_s=now.throttled_s - earlier.throttled_s,
        throttled_share=(now.throttled_periods - earlier.throttled_periods)
        / max(1, now.periods - earlier.periods),
        group_cpu_s=now.group_cpu_s - earlier.group_cpu_s,
        stolen_s=now.stolen_s - earlier.stolen_s,
        ranks=ranks_here(),
        storage_bytes=round(now.storage_bytes - earlier.storage_bytes),
        torch_threads=torch.get_num_threads(),
        memory_mb=now.memory_mb,
    )
