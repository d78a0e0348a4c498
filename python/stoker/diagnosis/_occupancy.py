"""Workers × time: for how much of each interval each of them was at work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..stats.system import SystemReading
from ._svg import FAINT, SHADES, WIDTH, Area, Drawn, Picture
from ._timelines import LEFT, intervals, time_axis
from ._words import counted, duration, percent
from .recording import Recording

MOST_ROWS = 32
MOST_COLUMNS = 120
MOST_CELLS = 2048  # each has words of its own
TOP = 44.0


@dataclass(frozen=True)
class Row:
    """One worker, or neighbours put together.

    Attributes:
        first, last: their numbers, from 0.
        shares: of each interval, for how much of it they were at work, on average.
    """

    first: int
    last: int
    shares: tuple[float, ...]

    @property
    def number(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


def shares_of(worked_s: Sequence[float], lengths_s: Sequence[float]) -> tuple[float, ...]:
    """Work in each interval as a share of it. It is counted when it is done: what there is too much of for an
    interval was done in those before it."""
    shares, before = [], 0.0
    for worked, length in zip(reversed(worked_s), reversed(lengths_s)):
        done = max(0.0, worked) + before
        before = max(0.0, done - length)
        shares.append(min(1.0, done / length))
    return tuple(reversed(shares))


def occupancy(readings: Sequence[SystemReading]) -> tuple[list[tuple[float, float]], list[Row]]:
    """(from, to) of each interval, and the rows; at most MOST_ROWS, MOST_COLUMNS and MOST_CELLS."""
    workers = max((len(reading.worker_busy_s) for reading in readings), default=0)
    if workers == 0:
        return [], []
    per = -(-workers // MOST_ROWS)
    rows = -(-workers // per)
    pairs = intervals(readings, min(MOST_COLUMNS, MOST_CELLS // rows))
    lengths = [b.at_s - a.at_s for a, b in pairs]

    def worker(number: int) -> tuple[float, ...]:
        return shares_of([_work_s(b, number) - _work_s(a, number) for a, b in pairs], lengths)

    def row(first: int) -> Row:
        last = min(first + per, workers) - 1
        of_each = zip(*(worker(number) for number in range(first, last + 1)))
        return Row(first, last, tuple(sum(shares) / (last + 1 - first) for shares in of_each))

    start = readings[0].at_s
    columns = [(a.at_s - start, b.at_s - start) for a, b in pairs]
    return columns, [row(first) for first in range(0, workers, per)] if pairs else []


def _work_s(reading: SystemReading, worker: int) -> float:
    """A worker that a reading does not know had not begun."""
    return reading.worker_busy_s[worker] if worker < len(reading.worker_busy_s) else 0.0


def shade(share: float) -> int:
    """Which of SHADES: the first is for next to nothing, the last for nearly all."""
    return 0 if share < 0.005 else min(len(SHADES) - 1, math.ceil(share * (len(SHADES) - 1) - 1e-9))


def occupancy_picture(recording: Recording) -> Drawn | str:
    """A row for each worker, the darker the more it was at work."""
    if len(recording.readings) < 2:
        return "Not measured: fewer than two readings of the workers."
    columns, rows = occupancy(recording.readings)
    if not rows:
        return "Not measured: the recording does not have each worker's time."
    each = 20.0 if len(rows) <= 12 else 15.0 if len(rows) <= 20 else 12.0
    workers, alone = rows[-1].last + 1, recording.stats.workers == 0
    end, bottom = columns[-1][1], TOP + each * len(rows)
    who = "the loop's own thread" if alone else f"each of {counted(workers, 'worker')}"
    label = f"For how much of the time {who} was at work"
    picture = Picture("occupancy", label, bottom + 28)
    area = Area(LEFT, TOP, WIDTH - LEFT - 60, each * len(rows))
    _scale(picture)
    picture.text(LEFT - 6, TOP - 7, "thread" if alone else "worker", "end", 11)
    picture.text(area.right + 6, TOP - 7, "mean", "start", 11)
    lengths = [until - begin for begin, until in columns]
    for i, row in enumerate(rows):
        place = Area(LEFT, TOP + each * i, area.width, each - 2)
        _cells(picture, place, row, columns, "loop" if alone else f"worker {row.number}")
        if each < 14 and i % 2:  # every other row has room for words
            continue
        mean = sum(map(float.__mul__, row.shares, lengths)) / sum(lengths)
        picture.text(LEFT - 6, place.y + each / 2 + 3, "loop" if alone else row.number, "end", 11)
        picture.text(area.right + 6, place.y + each / 2 + 3, percent(mean), "start", 11)
    time_axis(picture, area, bottom, end)
    return picture.svg(), _caption(recording, len(columns), rows)


def _scale(picture: Picture) -> None:
    picture.text(LEFT, 15, "at work:", size=12)
    steps = len(SHADES) - 1
    words = ["none"] + [f"to {percent((i + 1) / steps)}" for i in range(steps)]
    x = LEFT + 62
    for i, said in enumerate(words):
        picture.rect(x, 4, 26, 13, f"shade{i}")
        picture.frame(x, 4, 26, 13, 0.8, False)
        picture.text(x + 32, 15, said)
        x += 32 + 7.4 * len(said) + 18


def _cells(
    picture: Picture, place: Area, row: Row, columns: Sequence[tuple[float, float]], name: str
) -> None:
    end = columns[-1][1]
    for (begin, until), share in zip(columns, row.shares):
        x, right = (place.x + place.width * t / end for t in (begin, until))
        if shade(share):
            picture.rect(x, place.y, right - x, place.height, f"shade{shade(share)}")
        words = f"{name}, {duration(begin)}–{duration(until)}: {percent(share)} at work"
        picture.tip(x, place.y, right - x, place.height, words)
    corners = [
        (place.x, place.y),
        (place.right, place.y),
        (place.right, place.bottom),
        (place.x, place.bottom),
    ]
    picture.line([*corners, corners[0]], FAINT, 0.8)


def _caption(recording: Recording, count: int, rows: Sequence[Row]) -> str:
    native, workers = recording.stats.path == "native", rows[-1].last + 1
    words = [
        "Shade: for how much of each interval the thread was loading."
        if recording.stats.workers == 0
        else "Shade: for how much of each interval a worker was at work."
    ]
    if native:
        words.append(
            "At work: reading, decoding or transforming a sample, also while it waits for storage or a core."
        )
    else:
        words.append(
            "At work: in the dataset or in collate_fn, asleep or not. A worker tells its time when it has "
            "finished a sample; the time of one that took longer than an interval is spread over the "
            "intervals before."
        )
    if rows[0].last > rows[0].first:
        per = rows[0].last + 1
        words.append(f"Of {workers:,} workers, {per} neighbours share a row, which shows their mean.")
    if recording.stats.workers and native:
        words.append(
            "Any worker that is free takes the next sample: a pale row had less to do, and is not slow."
        )
    elif recording.stats.workers:
        words.append(
            "Numbered from 0, as PyTorch does; a row holds the workers that had its number in each epoch."
        )
    words.append(f"{counted(count, 'interval')} of a second or more, so shorter changes do not show.")
    return " ".join(words)
