"""Why a loader's workers do not get more done, and which part of their code takes the time. Pure."""

from __future__ import annotations

from typing import Literal

from ..stats.records import LoaderStats
from .recording import Recording

Limit = Literal[
    "",
    "cores",
    "workers",
    "storage",
    "asleep",
    "quota",
    "oversubscription",
    "fetch",
    "collate",
    "hand-over",
]

Others = Literal[
    "threads inside the worker processes", "machines on the same hardware", "processes", "threads"
]

LEAST_STORAGE = 1e6  # bytes/s that sleeping workers read at least, where storage is what they wait for


def limit_of(recording: Recording) -> Limit:
    """Why the workers do not get more done."""
    stats = recording.stats
    system, usage = stats.system, stats.usage
    elapsed = max(system.elapsed_s, 1e-9)
    if in_the_loop_s(stats) > 0.5 * max(stats.wait.total_s, 1e-9):
        return "fetch" if stats.fetch.total_s > stats.collate.total_s else "collate"
    # Less than 15 % of the quota is left, or it often holds threads back.
    if system.quota_cores is not None and (
        system.throttled_share > 0.25 or system.idle_cores < 0.15 * system.all_cores
    ):
        return "quota"
    if inner_threads(stats) and system.idle_cores < 0.5:
        return "oversubscription"
    if usage.share(usage.asleep_s) > 0.5:
        return "storage" if _reads_storage(recording) else "asleep"
    if usage.share(usage.no_core_s) > 0.25:
        # The workers alone fill the cores: there are more of them than cores, and that costs nothing.
        if loading_cpu_s(stats) < 0.75 * system.my_cores * elapsed:
            return "oversubscription"
        return "cores"
    # Those that sleep leave their cores to more workers than there are cores.
    few = stats.workers < system.my_cores or usage.share(usage.asleep_s) > 0.2
    if stats.workers == 0 or (few and system.idle_cores > 0.25):
        return "workers"
    taken = stats.workers < system.all_cores / system.ranks and system.strangers_cores > 0.5
    return "oversubscription" if taken else "cores"


def in_the_loop_s(stats: LoaderStats) -> float:
    """Seconds of the training loop's wait in the user's own code, on the native path."""
    return stats.fetch.total_s + stats.collate.total_s


def loading_cpu_s(stats: LoaderStats) -> float:
    """CPU seconds of the workers, and of the loop's thread while it takes their batches."""
    return stats.system.worker_cpu_s + (stats.wait_cpu_s if stats.workers else 0.0)


def _reads_storage(recording: Recording) -> bool:
    """Whether sleeping workers are known to wait for storage."""
    stats = recording.stats
    if stats.path == "native":
        return True  # of its workers it is known in what they sleep
    if stats.system.storage_bytes > LEAST_STORAGE * stats.usage.asleep_s:
        return True
    return main_part(recording.profile)[0] == "read" if recording.profile else False


def others_of(stats: LoaderStats) -> Others:
    """What has most of the cores beside those who load: threads beside them in the worker processes; this
    process's own threads; other processes, not of the same job; or other machines, as a hypervisor tells."""
    if inner_threads(stats):
        return "threads inside the worker processes"
    system = stats.system
    use_s: dict[Others, float] = {
        "threads": system.process_cpu_s - loading_cpu_s(stats),
        "processes": system.strangers_cores * system.elapsed_s,
        "machines on the same hardware": system.stolen_s,
    }
    return max(use_s, key=lambda others: use_s[others])


def inner_threads(stats: LoaderStats) -> bool:
    """Whether threads inside the worker processes compute beside those that load: OpenMP's, OpenCV's, ….

    They use more than a third of what the loading itself does, and a tenth of the cores."""
    if stats.path != "python" or stats.workers == 0:
        return False
    more_s = stats.system.worker_cpu_s - stats.usage.cpu_s
    return more_s > max(stats.usage.cpu_s / 3, 0.1 * stats.system.my_cores * stats.system.elapsed_s)


def main_part(profile: dict[str, float]) -> tuple[str, str, float]:
    """Of a profile: the kind ("read", "decode", "transform", "python") of the part that takes most, that
    part in words, and its share."""
    parts: dict[str, float] = {}
    for part, share in profile.items():
        if part in ("native", "collate"):  # which have clocks of their own
            continue
        key = part.rpartition(":")[0] if part.startswith("python:") else part  # of a function: all its lines
        parts[key] = parts.get(key, 0.0) + share
    if not parts:
        return "python", "", 1.0
    most = max(parts, key=lambda p: parts[p])
    kind, _, name = most.partition(": ")
    if kind == "python" and name:
        name = name.replace(" (", "() (") + ")"
    words = {"read": "reading", "transform": f"the transform {name}"}
    return kind, words.get(kind, f"Python's {name}" if name else ""), parts[most]
