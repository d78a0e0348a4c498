"""Where the time of a run went: the typed record behind ``loader.stats()`` and its words.

The consumer's clock runs on every path; the workers' stages are known on the native one.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from . import _C


@dataclass(frozen=True)
class Durations:
    """A distribution of durations in seconds; quantiles are exact to 1/16."""

    count: int
    total_s: float
    mean_s: float
    p50_s: float
    p90_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class IndexStats:
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

    @property
    def samples(self) -> int:
        return self.used + self.nothing + self.unknown + self.recorded + self.rejected

    @property
    def saved_share(self) -> float:
        """Share of the entropy-coded data that need not be decoded, in [0, 1]."""
        return 1 - self.decoded_bytes / self.plain_bytes if self.plain_bytes > 0 else 0.0


@dataclass(frozen=True)
class LoaderStats:
    """What a loader has measured since it was made, over all its epochs.

    Attributes:
        path: "native" (the C++ core) or "python" (PyTorch's own iteration).
        workers: threads (native) or processes (python); 0: the training loop's own thread.
        batches, samples: handed over. Samples count on the native path only.
        failed_batches: raised DataError instead.
        wait: for each batch, how long ``next()`` kept the training loop waiting.
        step: for each batch, how long the training loop took until it asked for the next one.
        first_batch_s: from the start of the first epoch to its first batch.
        ready_share: share of requests for which the batch was complete already (native).
        stages: "read", "decode", "transform": time per sample, over all workers (native).
        waiting_s: workers' time with every batch ahead full, the consumer being slower (native).
        idle_s: workers' time with nothing to do, as between epochs (native).
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
    stages: dict[str, Durations]
    waiting_s: float
    idle_s: float
    index: IndexStats = IndexStats()
    index_problem: str = ""

    @property
    def wait_share(self) -> float:
        """Share of the training loop's time spent waiting for data, in [0, 1]."""
        total = self.wait.total_s + self.step.total_s
        return self.wait.total_s / total if total > 0 else 0.0

    @property
    def images_per_s(self) -> float:
        """Samples handed over per second of the training loop's time (native)."""
        total = self.wait.total_s + self.step.total_s
        return self.samples / total if total > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The record as plain dicts and numbers, for JSON."""
        return {**asdict(self), "wait_share": self.wait_share, "images_per_s": self.images_per_s}


class ConsumerClock:
    """The training loop's clock: time in ``next()``, and time between two calls of it.

    Constant memory, however long the run. Threads: the consumer's.
    """

    def __init__(self) -> None:
        self._wait = _C.Histogram()
        self._step = _C.Histogram()
        self._epoch_began = 0
        self._returned = 0
        self._asked = 0
        self.first_batch_s = 0.0
        self.batches = 0

    def epoch_begins(self) -> None:
        """Call when an iterator is made."""
        self._epoch_began = time.perf_counter_ns()
        self._returned = 0

    def asked(self) -> None:
        """Call when the training loop enters ``next()``."""
        self._asked = time.perf_counter_ns()
        if self._returned:
            self._step.record(self._asked - self._returned)
        self._returned = 0

    def answered(self) -> None:
        """Call when it gets its batch."""
        now = time.perf_counter_ns()
        self._wait.record(now - self._asked)
        self._returned = now
        self.batches += 1
        if self.first_batch_s == 0.0:
            self.first_batch_s = (now - self._epoch_began) * 1e-9

    def wait(self) -> Durations:
        return Durations(**self._wait.snapshot())

    def step(self) -> Durations:
        return Durations(**self._step.snapshot())


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds * 1e6:.0f} µs"


# Below this share of waiting there is nothing worth changing in the loader.
_WORTH_MENTIONING = 0.05


def _verdict(stats: LoaderStats, cores: int) -> str:
    share = stats.wait_share
    if share < _WORTH_MENTIONING:
        return f"The training loop waited {share:.1%} of its time for data: the loader keeps up."
    head = f"The training loop waited {share:.0%} of its time for data"
    if not stats.stages:
        return head + "."
    busy = sum(s.total_s for s in stats.stages.values())
    stage, most = max(stats.stages.items(), key=lambda item: item[1].total_s)
    head += f", mostly for {stage} ({most.total_s / max(busy, 1e-12):.0%} of the workers' working time)."
    if stats.workers < cores:
        head += f"\n  {stats.workers} of {cores} usable cores work for it: more workers would help."
    return head


def _index_lines(stats: LoaderStats) -> list[str]:
    """What the decode index did; nothing where it had nothing to do."""
    index = stats.index
    lines = []
    if index.used:
        lines.append(
            f"  decode index: {index.used / index.samples:.0%} of samples used it, which saved"
            f" {index.saved_share:.0%} of their entropy decoding"
        )
    elif index.recorded:
        lines.append("  decode index: being built; the next epoch decodes less")
    if index.rejected:
        lines.append(
            f"  decode index: {index.rejected:,} entries were not their files' and went unused;"
            " stoker index DIR --verify tells which"
        )
    if stats.index_problem:
        lines.append(f"  decode index: nothing is added to it: {stats.index_problem}")
    return lines


def render(stats: LoaderStats, cores: int, reason: str = "") -> str:
    """The report in words: verdict, evidence, and what runs where.

    Args:
        stats: the record.
        cores: CPU cores that this process may use.
        reason: why the dataset is served by PyTorch's own iteration; "" on the native path.
    """
    if stats.batches == 0:
        return "Nothing to report yet: no batch has been handed over."
    steps = max(1, stats.step.count)
    wait, step = stats.wait.total_s / max(1, stats.wait.count), stats.step.total_s / steps
    lines = [
        _verdict(stats, cores),
        "",
        f"  step {_duration(wait + step)} = {_duration(step)} training + {_duration(wait)} waiting for"
        f" data    {stats.batches:,} batches · first batch {_duration(stats.first_batch_s)}",
    ]
    if stats.path == "python":
        lines.append(f"  served by PyTorch's own iteration, {stats.workers} worker processes: {reason}")
        return "\n".join(lines)
    stage_total = sum(s.total_s for s in stats.stages.values())
    total = max(stage_total + stats.waiting_s + stats.idle_s, 1e-12)
    lines += ["", "  stage       share of worker time    p50        p99        per image"]
    for name, s in stats.stages.items():
        share = s.total_s / total
        bar = "█" * round(share * 28)
        lines.append(
            f"  {name:<12}{share:>8.1%}              {_duration(s.p50_s):<10} {_duration(s.p99_s):<10} {bar}"
        )
    off = {
        "waiting": (stats.waiting_s, "for a free slot: the training loop is slower"),
        "idle": (stats.idle_s, "nothing asked for (between epochs, at an epoch's end)"),
    }
    lines += [
        f"  {name:<12}{seconds / total:>8.1%}              {why}" for name, (seconds, why) in off.items()
    ]
    lines.append(
        f"  workers {stats.workers} · usable cores {cores} · batch ready at"
        f" {stats.ready_share:.0%} of requests · {stats.images_per_s:,.0f} images/s"
    )
    lines += _index_lines(stats)
    if stats.failed_batches:
        lines.append(f"  {stats.failed_batches:,} batches were lost to samples that could not be loaded")
    return "\n".join(lines)
