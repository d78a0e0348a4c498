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
LEAST_TAKEN = 0.1  # of the cores: whoever uses less takes them from nobody
MOST_OF_THE_CORES = 0.75  # of a job's share: with that much it fills the cores itself
# Of the time for which those that load sleep: threads inside the worker processes that compute for less of
# it than this are not what they wait for.
LEAST_FOR_SLEEPERS = 0.25


# Note [The order of limits]
# The loop's own thread and a quota come first, as nothing in the workers changes them. Then whatever would be
# there on an idle machine, too: threads inside the worker processes, and sleep. Only then whoever else has
# the cores. Each needs evidence of its own, above a floor: on a busy machine no core is ever idle, and what
# strangers leave is next to nothing, so neither of the two says anything about the loader.
def limit_of(recording: Recording) -> Limit:
    """Why the workers do not get more done. See Note [The order of limits]."""
    stats = recording.stats
    system, usage = stats.system, stats.usage
    if in_the_loop_s(stats) > 0.5 * max(stats.wait.total_s, 1e-9):
        return "fetch" if stats.fetch.total_s > stats.collate.total_s else "collate"
    # Less than 15 % of the quota is left, or it often holds threads back.
    if system.quota_cores is not None and (
        system.throttled_share > 0.25 or system.idle_cores < 0.15 * system.all_cores
    ):
        return "quota"
    others = others_of(stats)
    if others == "threads inside the worker processes" and system.idle_cores < 0.5:
        return "oversubscription"
    # What it would be without those who take the cores counts, too: sleep against work on a core.
    if usage.asleep_s > max(usage.cpu_s, usage.no_core_s):
        return "storage" if _reads_storage(recording) else "asleep"
    if _is_crowded_out(stats) and not (stats.workers == 0 and others in STRANGERS):
        return "oversubscription"
    if stats.workers == 0:
        return "workers"
    # Those that sleep leave their cores to more workers than there are cores.
    few = stats.workers < system.my_cores or usage.share(usage.asleep_s) > 0.2
    return "workers" if few and system.idle_cores > 0.25 else "cores"


STRANGERS: tuple[Others, ...] = ("processes", "machines on the same hardware")


def share_of_cores(stats: LoaderStats) -> float:
    """The cores that this process would have on a machine of its own job's: its ranks share them."""
    return stats.system.all_cores / stats.system.ranks


def fills_the_cores(stats: LoaderStats) -> bool:
    """Whether those who load have nearly all cores that there are for them."""
    elapsed = max(stats.system.elapsed_s, 1e-9)
    return loading_cpu_s(stats) >= MOST_OF_THE_CORES * share_of_cores(stats) * elapsed


def fills_them_at_work(stats: LoaderStats) -> bool:
    """The same, of the time that the workers are at work."""
    at_work = stats.workers * stats.usage.share(stats.usage.cpu_s)
    return fills_the_cores(stats) or at_work >= MOST_OF_THE_CORES * share_of_cores(stats)


def _is_crowded_out(stats: LoaderStats) -> bool:
    """Whether others have the cores that those who load would use.

    The workers were ready to run and had none; or others keep the cores busy, so that workers which might be
    more, or get more done, find none.
    """
    system, usage = stats.system, stats.usage
    if fills_the_cores(stats):
        return False  # there may be more workers than cores, which costs nothing
    if usage.share(usage.no_core_s) > 0.25:
        return others_of(stats) is not None
    few = stats.workers < share_of_cores(stats)  # for what there would be without those processes
    taken = system.strangers_cores > (0.5 if few else max(0.5, 0.25 * system.all_cores))
    # What comes and goes leaves cores idle in between.
    return taken and (system.idle_cores <= 0.25 or stats.workers >= system.my_cores)


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


def others_of(stats: LoaderStats) -> Others | None:
    """What has most of the cores beside those who load: threads beside them in the worker processes; this
    process's own threads; other processes, not of the same job; or other machines, as a hypervisor tells.
    None: nothing has enough of them to matter."""
    system = stats.system
    use_s: dict[Others, float] = {
        "threads inside the worker processes": inner_threads_s(stats),
        "threads": system.process_cpu_s - loading_cpu_s(stats),
        "processes": system.strangers_cores * system.elapsed_s,
        "machines on the same hardware": system.stolen_s,
    }
    most = max(use_s, key=lambda others: use_s[others])
    return most if use_s[most] > LEAST_TAKEN * share_of_cores(stats) * system.elapsed_s else None


def inner_threads_s(stats: LoaderStats) -> float:
    """CPU seconds of threads inside the worker processes that compute beside those that load: OpenMP's,
    OpenCV's, …; 0 where they take nothing from them.

    They use more than a third of what the loading itself does, and a tenth of the cores; and those that load
    lack a core, or sleep meanwhile for what these compute.
    """
    usage, system = stats.usage, stats.system
    if stats.path != "python" or stats.workers == 0:
        return 0.0
    more_s = system.worker_cpu_s - usage.cpu_s
    floor_s = LEAST_TAKEN * share_of_cores(stats) * system.elapsed_s
    if more_s <= max(usage.cpu_s / 3, floor_s, LEAST_FOR_SLEEPERS * usage.asleep_s):
        return 0.0
    return more_s if usage.share(usage.no_core_s + usage.asleep_s) > 0.2 else 0.0


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
