"""What the steps of a run tell: its steady state, its bursts, what a longer queue would change. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..stats.clocks import StepRecord
from .recording import Recording

LEAST_STEPS = 4  # steady steps that a verdict needs
MOST_AHEAD = 32  # batches, more than which nobody has the memory for


@dataclass(frozen=True)
class Steady:
    """The steps behind each epoch's first batch, of those that are kept, in sums of seconds.

    Attributes:
        steps: how many.
        time_s: all their time; wait_s: of it, waiting; idle_s: of it, the device idle behind the loader
            (the wait, where that is not known).
        lost: for each of the kept ones, what was lost to the loader; own: what it took otherwise.
        by_device: whether ``lost`` is the device's idleness.
        numbers: of the steps, as some between them are not known.
        left_out: how long the very long steps took that are no part of this: see _without_long.
        started_s: waits for other batches that are an epoch's start than its first.
        handed_s: of what was lost, that for batches which were complete when they were asked for (native).
    """

    steps: int
    time_s: float
    wait_s: float
    idle_s: float
    lost: tuple[float, ...]
    own: tuple[float, ...]
    by_device: bool
    numbers: tuple[int, ...] = ()
    left_out: tuple[float, ...] = ()
    started_s: float = 0.0
    handed_s: float = 0.0

    @property
    def lost_share(self) -> float:
        return min(1.0, self.idle_s / self.time_s) if self.time_s > 0 else 0.0


def steady_of(recording: Recording) -> Steady:
    """The steady state of a recorded run.

    Of worker processes each has to begin: with the Python path's workers so many batches of an epoch are its
    start, where enough others are left.
    """
    stats = recording.stats
    starting = max(1, stats.workers) if stats.path == "python" else 1
    steady = steady_state(recording.steps, starting)
    return steady if steady.steps >= 2 * LEAST_STEPS else steady_state(recording.steps)


def steady_state(steps: Sequence[StepRecord], starting: int = 1) -> Steady:
    """What is left of the kept steps without the ``starting`` first ones of each epoch, and without the few
    very long ones."""
    later, started_s, place = [], 0.0, starting
    for step in steps:
        place = 0 if step.first else place + 1
        if place >= starting and step.step_s > 0:
            later.append(step)
        elif 0 < place < starting:
            started_s += step.wait_s
    kept, left_out = _without_long(later)
    measured = [s for s in kept if s.device_idle_s is not None]
    by_device = len(measured) >= max(LEAST_STEPS, len(kept) // 2)
    if by_device:
        # The device lags behind the host: only the steps that it has passed say anything.
        kept = measured
        lost = tuple(s.device_idle_s or 0.0 for s in kept)
    else:
        lost = tuple(s.wait_s for s in kept)
    numbers = tuple(s.number for s in kept)
    own = tuple(max(0.0, s.wait_s + s.step_s - idle_s) for s, idle_s in zip(kept, lost))
    time_s, wait_s = sum(s.wait_s + s.step_s for s in kept), sum(s.wait_s for s in kept)
    handed_s = sum(min(idle_s, s.wait_s) for s, idle_s in zip(kept, lost) if s.ready > 0)
    return Steady(
        len(kept), time_s, wait_s, sum(lost), lost, own, by_device, numbers, left_out, started_s, handed_s
    )


def _without_long(steps: list[StepRecord]) -> tuple[list[StepRecord], tuple[float, ...]]:
    """The steps without those, at most three or one in 200, that took longer themselves than MOST_AHEAD
    others do on average: a compilation, a checkpoint, a validation. Waits behind them are hardly shorter for
    it, as no queue is that long. And how long those took."""
    most = min(max(3, len(steps) // 200), len(steps) - LEAST_STEPS)
    by_length = sorted(range(len(steps)), key=lambda i: -steps[i].step_s)
    total = sum(s.wait_s + s.step_s for s in steps)
    for count in range(most, 0, -1):
        long = by_length[:count]
        mean = (total - sum(steps[i].wait_s + steps[i].step_s for i in long)) / (len(steps) - count)
        if steps[long[-1]].step_s > MOST_AHEAD * mean:
            gone = set(long)
            kept = [s for i, s in enumerate(steps) if i not in gone]
            return kept, tuple(steps[i].step_s for i in long)
    return steps, ()


def lost_with(ahead: int, own: Sequence[float], loader_s: float) -> float:
    """Share of the time that would be lost if the loader took ``loader_s`` for every batch and worked up to
    so many batches ahead, with steps that take ``own``, again and again."""
    finished = now = began = lost = 0.0
    taken: list[float] = []
    for _ in range(2):  # the second begins with the queue that the first has left
        began, lost = now, 0.0
        for own_s in own:
            place_free = taken[-ahead] if len(taken) >= ahead else 0.0
            finished = max(finished, place_free) + loader_s
            wait_s = max(0.0, finished - now)
            lost += wait_s
            now += wait_s
            taken.append(now)
            now += own_s
    return lost / (now - began) if now > began else 0.0


@dataclass(frozen=True)
class Bursts:
    """The steps in which most was lost: four fifths of all.

    Attributes:
        share: of the steps that they are.
        period: most common distance from one burst's first step to the next one's; 0: irregular, or fewer
            than four.
        mean_s: what each of them lost.
        count: how many.
    """

    share: float
    period: int
    mean_s: float
    count: int

    @property
    def few(self) -> bool:
        """At most a third of the steps: hardly anything is lost in between."""
        return self.share <= 1 / 3


FOLDED = 512  # steps in which a period is looked for: more take long and say no more


def _folded_period(lost: Sequence[float], numbers: Sequence[int]) -> int:
    """The period that explains at least half of the variance of what was lost, by the mean for each step of
    the period, adjusted for how many steps it has; the shortest of those that do nearly as well. 0: none.

    Finds periods in which the loss is spread over many steps, where bursts have no clear beginning.
    """
    lost, numbers = lost[-FOLDED:], numbers[-FOLDED:]
    count = len(lost)
    mean = sum(lost) / count
    total = sum((s - mean) ** 2 for s in lost)
    if total < 1e-6 * mean**2 * count:
        return 0  # all alike
    explained: dict[int, float] = {}
    for period in range(2, min(32, count // 4) + 1):
        phases: dict[int, list[float]] = {}
        for number, s in zip(numbers, lost):
            phases.setdefault(number % period, []).append(s)
        rest = sum(sum((s - sum(p) / len(p)) ** 2 for s in p) for p in phases.values())
        explained[period] = 1 - rest / total * (count - 1) / (count - period)
    best = max(explained.values(), default=0.0)
    if best < 0.5:
        return 0
    return next(period for period, share in explained.items() if share >= 0.9 * best)


def find_bursts(lost: Sequence[float], numbers: Sequence[int] | None = None) -> Bursts | None:
    """Where most is lost; None: nothing is, or too few steps are known. ``numbers``: the steps', where some
    between them are not known."""
    total = sum(lost)
    if len(lost) < 2 * LEAST_STEPS or total <= 0:
        return None
    by_loss = sorted(range(len(lost)), key=lambda i: -lost[i])
    held, count = 0.0, 0
    while held < 0.8 * total and count < len(lost):
        held += lost[by_loss[count]]
        count += 1
    # All that are alike belong to them, or a period would have holes.
    least = 0.5 * held / count
    begins, within = [], False  # a burst ends with a step that loses next to nothing
    for i, s in enumerate(lost):
        if s >= least and not within:
            begins.append(i if numbers is None else numbers[i])
        within = s >= (0.25 * least if within else least)
    period = 0
    if len(begins) >= 4:
        gaps = Counter(b - a for a, b in pairwise(begins))
        gap, often = gaps.most_common(1)[0]
        if often >= 0.6 * (len(begins) - 1):
            period = gap
    period = period or _folded_period(lost, range(len(lost)) if numbers is None else numbers)
    return Bursts(count / len(lost), period, held / count, count)
