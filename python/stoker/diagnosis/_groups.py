"""Steps put together, so that a picture of them has few enough bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..stats.clocks import WORKER_STATES, StepRecord

MOST_BARS = 300


@dataclass(frozen=True)
class Group:
    """Steps that follow each other; figures are means over them.

    Attributes:
        first, last: their numbers.
        at_s: of the first of them.
        wait_s, step_s, ready: None, where unknown for all of them; likewise
        idle_s: the device's idleness.
        workers: by state (WORKER_STATES), how many workers were in it while the loop waited; (): unknown.
        epoch: whether one of them is an epoch's first.
    """

    first: int
    last: int
    at_s: float
    wait_s: float
    step_s: float | None
    idle_s: float | None
    ready: float | None
    workers: tuple[float, ...]
    epoch: bool

    @property
    def name(self) -> str:
        return f"step {self.first:,}" if self.first == self.last else f"steps {self.first:,}–{self.last:,}"

    @property
    def batch_s(self) -> float:
        return self.wait_s + (self.step_s or 0.0)


def per_group(count: int) -> int:
    """Steps in each group (the last may have fewer)."""
    return max(1, -(-count // MOST_BARS))


def group_steps(steps: Sequence[StepRecord]) -> list[Group]:
    """At most MOST_BARS groups."""
    per = per_group(len(steps))
    return [_group(steps[i : i + per]) for i in range(0, len(steps), per)]


def _group(steps: Sequence[StepRecord]) -> Group:
    waited = sum(s.wait_s for s in steps if s.blame)
    blame = [s.blame for s in steps if len(s.blame) == len(WORKER_STATES)]
    sums = [sum(column) for column in zip(*blame)]
    return Group(
        first=steps[0].number,
        last=steps[-1].number,
        at_s=steps[0].at_s,
        wait_s=sum(s.wait_s for s in steps) / len(steps),
        step_s=_mean([s.step_s for s in steps if s.step_s > 0]),
        idle_s=_mean([s.device_idle_s for s in steps if s.device_idle_s is not None]),
        ready=_mean([float(s.ready) for s in steps if s.ready >= 0]),
        workers=tuple(s / waited for s in sums) if waited > 0 and sum(sums) > 0 else (),
        epoch=any(s.first for s in steps),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
