"""The verdict: what a recording says about why a run is as fast as it is. Pure: no clocks, no files.

Note [How the verdict is found]
Only the steady state counts, the steps behind each epoch's first batch. The share of it that was lost to
the loader is the device's idleness where there is a device clock, and the exposed wait where there is none
(with an asynchronous device, a wait of the host's may be hidden by work that the device has still queued).

    lost < 5 %          accelerator-bound; "balanced" where the loader could hardly feed more; "start-up"
                        where a tenth of all time went into first batches
    lost, mostly on batches that were complete when they were asked for
                        balanced or, from 10 % on, loader-bound: it goes into handing batches over
    lost, but the workers had time to spare (a tenth), and four fifths of the loss lie in a third of the steps
                        bursty
    lost < 10 %         balanced: step and loader take the same time
    lost, the workers had time to spare, and with MOST_AHEAD batches ahead less than 10 % would be
                        bursty too, however the loss is spread: a loop that runs ahead and then blocks empties
                        the queue in many short steps and lets it fill in a long one, in which the workers
                        pause. More batches ahead would cure it, more workers would not. (An average is no
                        answer here: a validation every 1,000 steps gives the workers time to spare, too,
                        but no queue is that long.) On the Python path only where the queue as it is
                        explains half of the loss: what is lost otherwise, with workers that are idle
                        half of the time, is lost between them and the loop.
    else                loader-bound, and then by what (`cause`, the part that the workers were in while the
                        loop waited) and why it is not faster (`limit`)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .._shown import Shown
from ..stats.records import LoaderStats
from ._words import counted, percent
from .evidence import evidence_of
from .limits import Limit, fills_them_at_work, limit_of, main_part, others_of
from .recording import Recording
from .steady import LEAST_STEPS, MOST_AHEAD, Bursts, find_bursts, lost_with, steady_of

Kind = Literal["loader-bound", "accelerator-bound", "balanced", "bursty", "start-up", "unknown"]
LOST_LITTLE = 0.05  # of the steady time: not worth a change
LOST_SOME = 0.10  # up to here loader and step go hand in hand
SPARE = 0.10  # of the workers' time: they were really ahead, and no jitter is it
LEAST_CAPACITY = 0.5  # of the step's pace: a slower loader is slow, however its batches come


@dataclass(frozen=True, repr=False)
class Cure(Shown):
    """Something that would help.

    Attributes:
        key: what kind of change: "workers", "cores", "index", "fast", "uint8", "native", "threads", ….
        what: the change, as "num_workers 1 → 2".
        images_per_s: the throughput that it is predicted to bring; 0: not predicted.
        how: how it is done, or what to know about it; "" where the change says it all.
        value: the new value, where the change is a number.
    """

    key: str
    what: str
    images_per_s: float
    how: str = ""
    value: float = 0.0

    def __str__(self) -> str:
        brings = f": {self.images_per_s:,.0f} images/s predicted" if self.images_per_s else ": not predicted"
        return f"{self.what}{brings}" + (f" ({self.how})" if self.how else "")


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """What a run is bound by.

    Attributes:
        kind: see Note [How the verdict is found].
        cause: where it is bound by the loader, the part that takes the time: "read", "decode",
            "transform", "native", "python", "collate", "fetch", "one sample" (the others had finished), or
            "hand-over" (from the workers to the loop).
        limit: why that part is not faster: "cores" (all are busy), "workers" (cores are free), "storage",
            "asleep" (on the Python path: storage, the network, a lock, another process), "quota",
            "oversubscription" (other threads have the cores), "fetch" and "collate" (the dataset's own code,
            or collate_fn, in the training loop's thread), "hand-over" (the workers have time to spare); ""
            where nothing limits.
        headline: one sentence.
        evidence: figures that it rests on, a line each.
        lost_share: of the steady state's time, that lost to the loader.
        by_device: whether that was measured on the device.
        images_per_s: of the whole run.
        pace: images/s of the step alone, with a loader that never keeps it waiting.
        capacity: images/s of the loader alone, with a step that takes no time; 0: unknown.
        period: of the bursts, in steps; 0: none, or irregular.
        cures: what would help, best first.
    """

    kind: Kind
    cause: str
    limit: Limit
    headline: str
    evidence: tuple[str, ...]
    lost_share: float
    by_device: bool
    images_per_s: float
    pace: float
    capacity: float
    period: int = 0
    cures: tuple[Cure, ...] = field(default=())

    def __str__(self) -> str:
        lines = [self.headline, *(f"  {line}" for line in self.evidence)]
        if self.cures:
            lines += ["", "What would help, best first"]
            lines += [f"  {n}. {cure}" for n, cure in enumerate(self.cures, 1)]
        return "\n".join(lines)


def _blamed(stats: LoaderStats) -> tuple[str, float]:
    """The part that the workers were in while the loop waited, and its share of that."""
    if stats.blame and sum(stats.blame.values()) > 0:
        parts = dict(stats.blame)
        off = parts.pop("off", 0.0) / sum(stats.blame.values())
        # One slow sample leaves all workers but its own off duty. Most of that time, as others may just
        # have finished a moment before the last.
        if stats.workers >= 2 and off >= 0.75 * (stats.workers - 1) / stats.workers:
            return "one sample", off
    else:
        parts = {name: stage.total_s for name, stage in stats.stages.items()}
    total = sum(parts.values())
    if total <= 0:
        return "", 0.0
    most = max(parts, key=lambda name: parts[name])
    return most, parts[most] / total


_NAMES = {
    "python": "Python (the dataset's and the transforms' own code)",
    "native": "reading, decoding and transforms in C++",
    "collate": "collate_fn",
    "fetch": "stoker_sample",
    "one sample": "one slow sample, for which the other workers had to wait",
    "": "an unknown part",
}


class _Judge:
    """One verdict in the making."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        stats = self.stats = recording.stats
        self.steady = steady_of(recording)
        self.bursts = find_bursts(self.steady.lost, self.steady.numbers)
        self.elapsed = max(stats.wait.total_s + stats.step.total_s, 1e-9)
        self.per_batch = stats.samples / stats.batches if stats.batches else 0.0
        steps = max(1, self.steady.steps)
        step_s = max(self.steady.time_s - self.steady.idle_s, 1e-9) / steps
        self.pace = recording.headroom or self.per_batch / step_s
        steady_rate = self.per_batch * self.steady.steps / max(self.steady.time_s, 1e-9)
        busy = self._busy()
        self.capacity = steady_rate / busy if busy > 0 else 0.0
        self.who = "the GPU" if self.steady.by_device else "the training loop"

    def _busy(self) -> float:
        """Share of the time that they might have worked in which the workers did; 0: unknown."""
        stats = self.stats
        work = sum(stage.total_s for stage in stats.stages.values())
        long_s = sum(self.steady.left_out)
        if stats.workers == 0:
            return work / max(self.elapsed - long_s, 1e-9)
        if stats.path == "python":
            # Worker processes come and go with the epochs, so all time between them says nothing, nor the
            # time that they take to begin.
            time_s = stats.workers * max(self.elapsed - stats.first_wait_s - long_s, 1e-9)
            return min(1.0, work / time_s)
        spare = max(0.0, stats.waiting_s - stats.workers * long_s)
        return work / (work + spare) if work > 0 else 0.0

    def verdict(self) -> Verdict:
        steady = self.steady
        if steady.steps < LEAST_STEPS:
            few = f"{counted(steady.steps, 'steady step')} measured, {LEAST_STEPS} are needed"
            return self._made("unknown", "", "", f"Too early to tell: {few}.")
        first = (self.stats.first_wait_s + steady.started_s) / self.elapsed
        lost = steady.lost_share
        if lost < LOST_LITTLE:
            if first >= 0.1:
                return self._start_up(first)
            return self._little_lost()
        # The user's code in the loop's own thread is run there however many batches are ready.
        fetches = limit_of(self.recording) in ("fetch", "collate")
        if steady.handed_s > steady.idle_s / 2 and not fetches:
            return self._handed_over("balanced" if lost < LOST_SOME else "loader-bound")
        pauses = 1 - self._busy() > SPARE and self.stats.workers > 0
        # Of worker processes it is not known that they paused because the queue was full.
        evens_out = self.stats.path == "native" or self.capacity >= LEAST_CAPACITY * self.pace
        if pauses and evens_out and self.bursts is not None and self.bursts.few:
            return self._bursty(self.bursts)
        if lost < LOST_SOME:
            words = f"Balanced: loader and step take about the same time; {self._lost_words()}."
            cause, _ = _blamed(self.stats)
            return self._made("balanced", cause, limit_of(self.recording), words)
        if pauses and not fetches and self.bursts is not None and self._lost_with(MOST_AHEAD) < LOST_SOME:
            stats = self.stats
            if stats.path == "native" or self._lost_with(stats.ahead or 2 * stats.workers) > lost / 2:
                return self._bursty(self.bursts)
            if self._busy() < 0.5:
                return self._handed_over()
        return self._loader_bound()

    def _lost_with(self, ahead: int) -> float:
        """Share of the time that would be lost with so many batches ahead."""
        return lost_with(ahead, self.steady.own, self.batch_s)

    @property
    def batch_s(self) -> float:
        """How long the workers together take for a batch."""
        return self._busy() * self.steady.time_s / max(1, self.steady.steps)

    def _handed_over(self, kind: Kind = "loader-bound") -> Verdict:
        though = f"the workers were idle for {percent(1 - self._busy())} of it"
        if self.stats.path == "native":
            though = "the batches were ready"
        words = (
            f"{kind.capitalize()}: {self._lost_words()}, though {though}; it goes into handing batches over"
            " to the training loop."
        )
        return self._made(kind, "hand-over", "hand-over", words)

    def _lost_words(self) -> str:
        return f"{self.who} waited {percent(self.steady.lost_share)} of the time"

    def _start_up(self, first: float) -> Verdict:
        return self._made(
            "start-up",
            "",
            "",
            f"Start-up: {percent(first)} of the time went into waiting for first batches; behind them"
            f" {self._lost_words()}.",
        )

    def _little_lost(self) -> Verdict:
        times = self.capacity / self.pace if self.pace > 0 else 0.0
        if 0 < times < 1.1:
            return self._made(
                "balanced",
                _blamed(self.stats)[0],
                limit_of(self.recording),
                f"Balanced: {self._lost_words()}, and the loader could hardly feed more"
                f" ({times:.2f} × as much).",
            )
        headroom = f"; the loader could feed {times:.1f} × as much" if times > 0 else ""
        words = f"Accelerator-bound: {self._lost_words()}{headroom}. Nothing to do."
        if not self.steady.by_device:  # so nobody has looked at it
            words = f"Step-bound: {self._lost_words()}{headroom}. The loader is not to blame."
        return self._made("accelerator-bound", "", "", words)

    def _bursty(self, bursts: Bursts) -> Verdict:
        when = (
            f"every {bursts.period} steps"
            if bursts.period
            else f"in {bursts.count:,} of {len(self.steady.lost):,} steps"
        )
        between = " and hardly in between" if bursts.few else ""
        enough = "; on average the loader is fast enough" if self.capacity >= self.pace else ""
        cause, _ = _blamed(self.stats)
        words = f"Bursty: {self._lost_words()}, {when}{between}{enough}."
        return self._made("bursty", cause, "", words, period=bursts.period)

    def _loader_bound(self) -> Verdict:
        stats = self.stats
        cause, share = _blamed(stats)
        limit = limit_of(self.recording)
        part = ""
        if cause == "python" and self.recording.profile and not self.recording.few_looks:
            cause, part, of_it = main_part(self.recording.profile)
            share *= of_it
        if limit in ("fetch", "collate"):
            own = stats.fetch if limit == "fetch" else stats.collate
            cause, share = limit, own.total_s / max(stats.wait.total_s, 1e-9)
        whom = "the workers" if stats.workers else "it"
        sleeper = "the workers sleep" if stats.workers else "it sleeps"
        because = {
            "cores": "all cores are busy with it"
            if fills_them_at_work(stats)
            else "there are as many workers as cores for them",
            "workers": "more workers would help" if stats.workers else "there are no workers",
            "storage": f"{sleeper}, waiting for storage",
            "asleep": f"{sleeper}, waiting for storage, the network, a lock or another process",
            "quota": "a CPU quota holds the process back",
            "oversubscription": f"other {others_of(stats)} take the cores from {whom}",
            "fetch": "the dataset's stoker_sample runs in the training loop's own thread",
            "collate": "on the native path it runs in the training loop's own thread",
            "hand-over": "",
            "": "",
        }[limit]
        nearly = "nearly always" if share > 0.9 else "mostly"
        words = f"Loader-bound: {self._lost_words()}, {nearly} for {part or _NAMES.get(cause, cause)}"
        return self._made("loader-bound", cause, limit, f"{words}; {because}.")

    def _made(self, kind: Kind, cause: str, limit: Limit, headline: str, period: int = 0) -> Verdict:
        return Verdict(
            kind=kind,
            cause=cause,
            limit=limit,
            headline=headline,
            evidence=tuple(evidence_of(self.recording, self.steady, self.bursts, kind, limit)),
            lost_share=self.steady.lost_share,
            by_device=self.steady.by_device,
            images_per_s=self.stats.samples / self.elapsed,
            pace=self.pace,
            capacity=self.capacity,
            period=period,
        )


def judge(recording: Recording) -> Verdict:
    """The verdict, without cures: see stoker.diagnosis.cures."""
    return _Judge(recording).verdict()
