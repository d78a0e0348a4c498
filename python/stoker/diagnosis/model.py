"""How fast a loader would go with other settings, from what was measured.

Note [The throughput model]
An image costs its worker `cpu_s` on a core and `asleep_s` waiting for storage; the rest of the process
(the step's own CPU work, its threads) uses `other_cpu_s` for it. W workers on K cores, of which other
processes use E (the ranks of one job share K - E evenly), and a step that takes `step_s` an image, then
pass at most

    W / (cpu_s + asleep_s)               the workers, if each has a core when it wants one
    (K - E) / (cpu_s + other_cpu_s)      the cores
    1 / step_s                           the step

images a second, the smallest of which counts; without workers, everything stands in one line:
1 / (cpu_s + asleep_s + no_core_s + own_step_s), where `no_core_s` is the time for which the thread was ready
and others had the cores, and `own_step_s` what the step took in this very run (`step_s` may be another
run's, with batches from memory). Workers in its place get the cores that strangers leave, or, where those
keep them all busy, as many as a fair scheduler gives so many threads among theirs. Cores are taken as equal:
nothing is known of caches and memory bandwidth, so a prediction for many more workers is an upper bound.
What is predicted is the measured throughput times the ratio of the model's two values, which cancels what
the model leaves out of both. A bound that does not bind now is taken as it is: where some cores were idle,
more workers get what is left of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .limits import share_of_cores
from .recording import Recording
from .steady import steady_of
from .verdict import Verdict


@dataclass(frozen=True)
class Model:
    """A loader and its loop. Times are seconds per image. See Note [The throughput model].

    ``no_core_s`` and ``own_step_s`` are 0 where there are workers; ``all_cores``: K / ranks, 0: not known.
    """

    workers: int
    cores: float
    cpu_s: float
    asleep_s: float
    other_cpu_s: float
    step_s: float
    no_core_s: float = 0.0
    own_step_s: float = 0.0
    all_cores: float = 0.0

    def rate(self) -> float:
        """Images per second."""
        if self.workers == 0:
            step_s = self.own_step_s or self.step_s
            return 1 / max(self.cpu_s + self.asleep_s + self.no_core_s + step_s, 1e-12)
        return min(self.loader_rate(), 1 / max(self.step_s, 1e-12))

    def loader_rate(self) -> float:
        """Images per second with a step that takes no time of its own; workers > 0."""
        alone = self.workers / max(self.cpu_s + self.asleep_s + self.no_core_s, 1e-12)
        return min(alone, self._cores_to_have() / max(self.cpu_s + self.other_cpu_s, 1e-12))

    def _cores_to_have(self) -> float:
        """What strangers leave; or a fair share among their threads, where they want more than theirs."""
        if self.all_cores <= self.cores:
            return self.cores
        awake_s = self.cpu_s + self.no_core_s
        threads = max(1.0, self.workers * awake_s / max(awake_s + self.asleep_s, 1e-12))
        strangers = math.ceil(self.all_cores - self.cores)
        return max(self.cores, self.all_cores * threads / (threads + strangers))

    def with_cost(self, share: float) -> Model:
        """With images that cost the workers ``share`` of the CPU time that they do now."""
        return replace(self, cpu_s=self.cpu_s * share, no_core_s=self.no_core_s * share)


def best_workers(rates: Sequence[float]) -> int:
    """The fewest workers that bring 98 % of what any number does, by the rates of 1, 2, … of them."""
    return next(n for n, rate in enumerate(rates, 1) if rate >= 0.98 * max(rates))


def model_of(recording: Recording, verdict: Verdict) -> Model | None:
    """The model of a recorded run; None where too little is known."""
    stats = recording.stats
    usage, system = stats.usage, stats.system
    if stats.samples == 0 or usage.work_s <= 0 or verdict.pace <= 0:
        return None
    in_line = stats.workers == 0
    return Model(
        workers=stats.workers,
        cores=system.my_cores,
        no_core_s=usage.no_core_s / stats.samples if in_line else 0.0,
        own_step_s=own_step_s(recording) if in_line else 0.0,
        all_cores=share_of_cores(stats),
        cpu_s=usage.cpu_s / stats.samples,
        asleep_s=usage.asleep_s / stats.samples,
        other_cpu_s=max(0.0, system.process_cpu_s - usage.cpu_s) / stats.samples,
        step_s=1 / verdict.pace,
    )


def own_step_s(recording: Recording) -> float:
    """Seconds that the step took in this run, for an image; 0: not known."""
    stats, steady = recording.stats, steady_of(recording)
    if steady.steps == 0 or stats.samples == 0:
        return 0.0
    return (steady.time_s - steady.idle_s) / steady.steps * stats.batches / stats.samples


def steady_rate(recording: Recording) -> float:
    """Measured images per second, first batches apart."""
    stats = recording.stats
    steady = steady_of(recording)
    if steady.time_s <= 0 or stats.batches == 0:
        return 0.0
    return stats.samples / stats.batches * steady.steps / steady.time_s


def predicted(measured: float, now: Model, then: Model) -> float:
    """Images per second with ``then`` in place of ``now``, at which ``measured`` was measured."""
    rate = measured * then.rate() / now.rate()
    if then.workers > 0 and math.isfinite(then.step_s):
        rate = min(rate, 1 / max(then.step_s, 1e-12))
    return rate


def rate_with_workers(measured: float, now: Model, count: int, limit: str) -> float:
    """Images per second with ``count`` workers in place of ``now``'s, which a verdict said ``limit`` of."""
    then = replace(now, workers=count)
    rate = predicted(measured, now, then)
    if now.workers == 0 or limit != "workers":
        return rate
    # Some cores were idle, so it is not they that bind the run: what they still have is there.
    in_all = then.cores / max(then.cpu_s + then.other_cpu_s, 1e-12)
    without = predicted(measured, replace(now, cores=math.inf), replace(then, cores=math.inf))
    return max(rate, min(without, in_all))
