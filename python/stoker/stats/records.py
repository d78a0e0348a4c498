"""The typed record behind ``loader.stats()``. Durations are seconds, shares are in [0, 1]."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from .._shown import Shown
from .._typed import MOST, made
from .._words import counted, duration, percent
from .exports import ScalarWriter, of_one, to_jsonl, to_tensorboard

# Of counts that things are gone through by, or divided by.
_A_MACHINE = 65536
BOUNDS: dict[str, tuple[float, float]] = {
    "workers": (0, _A_MACHINE),
    "usable_cores": (1, _A_MACHINE),
    "ranks": (1, _A_MACHINE),
    "quota_cores": (1e-6, _A_MACHINE),
    "torch_threads": (1, _A_MACHINE),
    **dict.fromkeys(("batches", "samples", "failed_batches", "count", "ahead", "number"), (0, MOST)),
}


@dataclass(frozen=True, repr=False)
class Durations(Shown):
    """A distribution of durations in seconds; quantiles are exact to 1/16."""

    count: int = 0
    total_s: float = 0.0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0

    def __str__(self) -> str:
        if self.count == 0:
            return "none measured"
        named = (
            ("mean", self.mean_s),
            ("p50", self.p50_s),
            ("p90", self.p90_s),
            ("p99", self.p99_s),
            ("longest", self.max_s),
            ("total", self.total_s),
        )
        return f"{self.count:,} measured: " + " · ".join(f"{name} {duration(s)}" for name, s in named)


@dataclass(frozen=True, repr=False)
class StageStats(Durations):
    """A stage's time per sample (collate: per batch), over all workers.

    Attributes:
        busy_share: of all the workers' time, that spent in this stage.
    """

    busy_share: float = 0.0

    def __str__(self) -> str:
        return f"{super().__str__()} · {percent(self.busy_share)} of the workers' time"


@dataclass(frozen=True, repr=False)
class IndexStats(Shown):
    """What the decode index did for the samples handed over; each is one of the first five.

    Attributes:
        used: decoded from checkpoints on.
        nothing: known, but without checkpoints: other codings and formats, small files.
        unknown: not in the index, and not added (recording is off or has failed, the file is too
            small for an entry, was changed a moment ago, or waits to be written already).
        recorded: not in the index, and added.
        rejected: the index contradicts the file, which was decoded without it.
        decoded_bytes: entropy-coded data decoded for the samples that used it.
        plain_bytes: what would have been decoded for them without it.
    """

    used: int = 0
    nothing: int = 0
    unknown: int = 0
    recorded: int = 0
    rejected: int = 0
    decoded_bytes: int = 0
    plain_bytes: int = 0

    def __str__(self) -> str:
        if self.samples == 0:
            return "no sample was looked up in a decode index"
        return (
            f"{self.used:,} of {counted(self.samples, 'sample')} decoded by the index, which saved"
            f" {percent(self.saved_share)} of their entropy decoding · {self.recorded:,} added to it ·"
            f" {self.nothing:,} without checkpoints · {self.unknown:,} not in it · {self.rejected:,} rejected"
        )

    @property
    def samples(self) -> int:
        return self.used + self.nothing + self.unknown + self.recorded + self.rejected

    @property
    def saved_share(self) -> float:
        """Share of the entropy-coded data that need not be decoded, in [0, 1]."""
        return 1 - self.decoded_bytes / self.plain_bytes if self.plain_bytes > 0 else 0.0


@dataclass(frozen=True, repr=False)
class WorkerUsage(Shown):
    """What the workers' threads did while they worked: ran on a core, slept, or waited for a core.

    Attributes:
        work_s: time at work, over all workers.
        cpu_s: of it, on a core.
        asleep_s: of it, asleep: waiting for storage (on the Python path, for whatever the script's own
            code waits for).
        no_core_s: of it, ready to run but without a core: other threads had them, or a quota.
        reads: that were measured (native; all but those of samples quicker than 0.1 ms).
        slow_reads: those of them that slept: the bytes were not in memory, but on storage (native).
    """

    work_s: float = 0.0
    cpu_s: float = 0.0
    asleep_s: float = 0.0
    no_core_s: float = 0.0
    reads: int = 0
    slow_reads: Durations = Durations()

    def __str__(self) -> str:
        parts = (("on a core", self.cpu_s), ("asleep", self.asleep_s), ("without a core", self.no_core_s))
        words = " · ".join(f"{percent(self.share(s))} {name}" for name, s in parts)
        return f"{duration(self.work_s)} at work: {words}" if self.work_s > 0 else "not at work yet"

    def share(self, seconds: float) -> float:
        """``seconds`` as a share of the time at work."""
        return seconds / self.work_s if self.work_s > 0 else 0.0


@dataclass(frozen=True, repr=False)
class DeviceStats(Shown):
    """How long the accelerator was idle behind the loader: see stoker.stats.DeviceClock.

    Attributes:
        kind: of device, as "cuda".
        idle: for each step that was measured.
        dropped: steps that could not be measured (too many were under way).
    """

    kind: str
    idle: Durations
    dropped: int = 0

    def __str__(self) -> str:
        return f"{self.kind} idle behind the loader, {self.idle}"


@dataclass(frozen=True, repr=False)
class SystemStats(Shown):
    """What the machine did in the same time.

    Attributes:
        elapsed_s: since the loader's first iterator was made, without the time between its epochs.
        usable_cores: by affinity and cgroup quota.
        quota_cores: the quota; None: none.
        process_cpu_s: user and system time of this process and of the loader's worker processes.
        worker_cpu_s: of it, the loader's workers.
        machine_cpu_s: time that the usable cores were busy, whoever used them; 0: unknown.
        core_busy: of each core that may be used, the share of time it was busy.
        throttled_s: time for which the quota held the control group's threads back, summed over cores.
        throttled_share: of the quota's periods, those in which it did.
        group_cpu_s: user and system time of all processes that share the quota; 0: unknown.
        stolen_s: time for which the usable cores had work and the hypervisor ran other machines on them.
        ranks: processes of the same job on this machine (LOCAL_WORLD_SIZE), which share the cores.
        storage_bytes: that this process and its workers read from storage, past the page cache.
        torch_threads: that torch's own operators may use.
        memory_mb: resident now, worker processes included (shared pages count in each).
    """

    elapsed_s: float = 0.0
    usable_cores: int = 1
    quota_cores: float | None = None
    process_cpu_s: float = 0.0
    worker_cpu_s: float = 0.0
    machine_cpu_s: float = 0.0
    core_busy: tuple[float, ...] = ()
    throttled_s: float = 0.0
    storage_bytes: int = 0
    torch_threads: int = 1
    memory_mb: float = 0.0
    throttled_share: float = 0.0
    group_cpu_s: float = 0.0
    stolen_s: float = 0.0
    ranks: int = 1

    def __str__(self) -> str:
        elapsed = max(self.elapsed_s, 1e-9)
        quota = "" if self.quota_cores is None else f", a quota of {self.quota_cores:g}"
        return (
            f"usable cores {self.usable_cores}{quota} · {self.machine_cpu_s / elapsed:.1f} busy,"
            f" {self.process_cpu_s / elapsed:.1f} of them with this process and its workers ·"
            f" {self.memory_mb:,.0f} MB resident · {self.storage_bytes / 1e6:,.1f} MB read from storage ·"
            f" over {duration(self.elapsed_s)}"
        )

    @property
    def all_cores(self) -> float:
        """Cores that there are for this process and others: the quota, or those that it may use."""
        return float(self.usable_cores) if self.quota_cores is None else self.quota_cores

    @property
    def others_cores(self) -> float:
        """Of those, what other processes used, on average: with a quota those that share it."""
        together = self.machine_cpu_s if self.quota_cores is None else self.group_cpu_s
        return max(0.0, together - self.process_cpu_s) / max(self.elapsed_s, 1e-9)

    @property
    def strangers_cores(self) -> float:
        """Of ``others_cores``, what was not the same job's: its ranks use about as much as this one."""
        mine = self.process_cpu_s / max(self.elapsed_s, 1e-9)
        return max(0.0, self.others_cores - (self.ranks - 1) * mine)

    @property
    def my_cores(self) -> float:
        """This process's share of what strangers leave."""
        return max(0.1, (self.all_cores - self.strangers_cores) / self.ranks)

    @property
    def idle_cores(self) -> float:
        """Cores that nobody used, on average; what a hypervisor took had work."""
        used_s = self.process_cpu_s + (self.stolen_s if self.quota_cores is None else 0.0)
        return max(0.0, self.all_cores - self.others_cores - used_s / max(self.elapsed_s, 1e-9))


@dataclass(frozen=True, repr=False)
class SlowSample(Shown):
    """One of the slowest samples so far, with its time by stage."""

    index: int
    path: str
    stages: dict[str, float]

    def __str__(self) -> str:
        where = f" ({self.path!r})" if self.path else ""
        stages = ", ".join(f"{name} {duration(s)}" for name, s in self.stages.items())
        return f"sample {self.index:,}{where}: {duration(self.total_s)} ({stages})"

    @property
    def total_s(self) -> float:
        return sum(self.stages.values())


@dataclass(frozen=True, repr=False)
class LoaderStats(Shown):
    """What a loader has measured since it was made, over all its epochs.

    Attributes:
        path: "native" (the C++ core) or "python" (PyTorch's own iteration).
        workers: threads (native) or processes (python); 0: the training loop's own thread.
        batches, samples: handed over. Python path: as many as the batches that workers have completed hold
            on average.
        failed_batches: raised an error instead.
        skipped, replaced: samples that could not be loaded, and were left out, or had another in their place.
        wait: for each batch, how long ``next()`` kept the training loop waiting: the exposed wait,
            which others call ``data_time``.
        step: for each batch, how long the training loop took until it asked for the next one.
        batch: for each batch, both together: ``batch_time``.
        first_wait_s: of the waits, those for the first batch of an epoch, with the time in ``iter()``
            and in the ``next()`` that ended the epoch before.
        first_batch_s: from the start of the first epoch to its first batch.
        wait_cpu_s: for how long the loop's thread was on a core while it waited: on the Python path,
            unpickling.
        ready_share: share of requests for which the batch was complete already (native).
        queue: queue[n]: requests that found n complete batches (native).
        stages: time per sample and stage, over all workers. Native: "read", "decode", "transform".
            Python: "native" (the parts that run in C++), "python" (the dataset's and transforms' own
            code), "collate" (per batch).
        ahead: batches that may be complete or under way before they are asked for.
        blame: what the workers did while the training loop waited, in seconds, summed over them: by
            stage, and "off" for workers that had nothing to do (native).
        fetch: time per sample in the dataset's own ``stoker_sample``, which runs in the training loop's
            thread, inside its wait (native).
        collate: time per batch in a ``collate_fn`` of your own, which runs there too (native).
        waiting_s: workers' time with every batch ahead full, the consumer being slower. On the Python
            path all time that workers did not work.
        idle_s: workers' time with nothing to do, as between epochs (native).
        usage: whether the workers were running on a core, and which reads waited for storage.
        slowest: the slowest samples, slowest first.
        device: the accelerator's idleness; None where there is none, or none in use yet.
        system: cores, quota and storage.
        index: what the decode index did (native).
        index_problem: why nothing is added to it any more; "" where there is no reason.
    """

    path: str
    workers: int
    batches: int
    samples: int
    failed_batches: int
    wait: Durations
    step: Durations
    first_batch_s: float
    ready_share: float
    stages: dict[str, StageStats]
    waiting_s: float
    idle_s: float
    index: IndexStats = IndexStats()
    index_problem: str = ""
    skipped: int = 0
    replaced: int = 0
    batch: Durations = Durations()
    first_wait_s: float = 0.0
    wait_cpu_s: float = 0.0
    queue: tuple[int, ...] = ()
    ahead: int = 0
    blame: dict[str, float] = field(default_factory=dict)
    fetch: Durations = Durations()
    collate: Durations = Durations()
    usage: WorkerUsage = WorkerUsage()
    slowest: tuple[SlowSample, ...] = ()
    device: DeviceStats | None = None
    system: SystemStats = SystemStats()

    def __str__(self) -> str:
        what = counted(self.workers, *(("worker",) if self.path == "native" else ("process", "processes")))
        if self.batches == 0:
            return f"Nothing measured yet: no batch has been handed over ({self.path} path, {what})"
        batches = counted(self.batches, "batch", "batches")
        rows = [
            (self.path, f"{what} · {batches}, {counted(self.samples, 'sample')}"),
            ("speed", f"{self.images_per_s:,.0f} images/s, waiting for data {percent(self.wait_share)}"),
            ("first batch", duration(self.first_batch_s)),
            ("wait", str(self.wait)),
            ("step", str(self.step)),
            *((name, str(stage)) for name, stage in self.stages.items() if stage.count),
            ("workers", str(self.usage)),
            *([("index", str(self.index))] if self.index.samples else []),
            *([("device", str(self.device))] if self.device is not None else []),
            ("machine", str(self.system)),
        ]
        if self.failed_batches:
            rows.insert(1, ("failed", counted(self.failed_batches, "batch", "batches")))
        return "Loader statistics\n" + "\n".join(f"  {name:<12} {words}" for name, words in rows)

    @property
    def data_time(self) -> Durations:
        """``wait``, by the name that training scripts give it."""
        return self.wait

    @property
    def batch_time(self) -> Durations:
        """``batch``, by the name that training scripts give it."""
        return self.batch

    @property
    def time_to_first_batch(self) -> float:
        """``first_batch_s``."""
        return self.first_batch_s

    @property
    def wait_share(self) -> float:
        """Share of the training loop's time spent waiting for data, in [0, 1]."""
        total = self.wait.total_s + self.step.total_s
        return self.wait.total_s / total if total > 0 else 0.0

    @property
    def images_per_s(self) -> float:
        """Samples handed over per second of the training loop's time."""
        total = self.wait.total_s + self.step.total_s
        return self.samples / total if total > 0 else 0.0

    @property
    def workers_time_s(self) -> float:
        """All that the workers had, at work or not."""
        return sum(stage.total_s for stage in self.stages.values()) + self.waiting_s + self.idle_s

    @property
    def busy_share(self) -> float:
        """Share of the workers' time that they worked."""
        return sum(stage.busy_share for stage in self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """The record as plain dicts, lists and numbers, for JSON; ``from_dict`` is its inverse."""
        return {**asdict(self), "wait_share": self.wait_share, "images_per_s": self.images_per_s}

    def to_tensorboard(self, writer: ScalarWriter, step: int, prefix: str = "loader") -> None:
        """Adds the main figures as scalars ``prefix/NAME`` to a ``SummaryWriter``, or what has its
        ``add_scalar``."""
        to_tensorboard(self, writer, step, prefix)

    def to_jsonl(self, file: str | os.PathLike[str], **more: Any) -> None:
        """Appends one line of JSON: the time ("time", Unix seconds), ``more``, as the step, and ``to_dict()``
        ("stats")."""
        to_jsonl(self, file, more)

    def to_prometheus(self, **labels: str) -> str:
        """Prometheus' text format, each metric with ``labels``. Of a record since the loader was made:
        Prometheus wants counters that only grow. Of several loaders: ``stoker.stats.to_prometheus``."""
        return of_one(self, labels)

    @staticmethod
    def from_dict(record: dict[str, Any]) -> LoaderStats:
        """The record that ``to_dict`` has made, also by way of JSON.

        Raises:
            ValueError: it is none; says what is wrong with it.
        """
        if not isinstance(record, dict):
            raise ValueError("it is no dict")
        known = {name: value for name, value in record.items() if name in LoaderStats.__dataclass_fields__}
        return made(LoaderStats, known, BOUNDS)
