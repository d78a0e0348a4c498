"""Pictures along the run: steps, what the workers did, queue depth, cores.

Each is (SVG, caption), or a sentence that says why there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import itemgetter

from ..stats.clocks import WORKER_STATES
from ..stats.system import SystemReading
from ._groups import MOST_BARS, Group, group_steps, per_group
from ._svg import FAINT, INK, WIDTH, Area, Drawn, Picture, legend, value_axis
from ._words import counted, duration, percent, tick
from .recording import Recording

LEFT = 64.0
INNER = WIDTH - LEFT - 16
MOST_CORE_ROWS = 16
MOST_CORE_COLUMNS = 120
STATE_WORDS = {
    "read": "read",
    "decode": "decode",
    "transform": "transform",
    "waiting": "batches ahead full",
    "idle": "nothing to do",
}


def _bars_words(recording: Recording) -> str:
    """How many steps a bar stands for, and which of them are there."""
    kept, per = len(recording.steps), per_group(len(recording.steps))
    each = "One bar a step" if per == 1 else f"Each bar is the mean of {per} steps, at most {MOST_BARS} bars"
    if kept < recording.stats.batches:
        return f"{each}; the last {kept:,} of {recording.stats.batches:,} steps were kept."
    return f"{each}."


def _step_axis(picture: Picture, area: Area, groups: Sequence[Group], below: float = 0.0) -> None:
    """Step numbers and their times below, a triangle at each epoch's beginning."""
    width = area.width / len(groups)
    y = area.bottom + below
    count = min(5, len(groups))
    for i in range(count):
        place = round(i * (len(groups) - 1) / max(1, count - 1))
        group, x = groups[place], area.x + (place + 0.5) * width
        picture.line([(x, y), (x, y + 4)])
        anchor = "end" if x > area.right - 20 else "middle"
        picture.text(x, y + 16, f"step {group.first:,}", anchor, 11)
        picture.text(x, y + 29, duration(group.at_s), anchor, 11, "dim")
    epochs = [area.x + i * width for i, group in enumerate(groups) if group.epoch]
    if len(epochs) <= 40:
        for x in epochs:
            picture.shape(f"M{x:.1f},{area.y - 2:.1f} l-4,-7 h8 z")


def _cut(values: Sequence[float]) -> float:
    """Where an axis ends, so that a few high values do not flatten all others."""
    ordered = sorted(values)
    most, usual = ordered[-1], ordered[int(0.95 * (len(ordered) - 1))]
    return most if most <= 3 * usual or len(values) < 8 else 1.6 * usual


def steps_picture(recording: Recording) -> Drawn | str:
    """Wait and step upwards, the device's idleness downwards."""
    groups = group_steps(recording.steps)
    most = _cut([group.batch_s for group in groups]) if groups else 0.0
    if most <= 0:
        return "Not measured: no step has been taken yet."
    idle = [group.idle_s for group in groups if group.idle_s is not None]
    low = min(max(idle), most) if idle else 0.0  # not cut before that: a device that stalls seldom is news
    label = f"Time of {counted(len(recording.steps), 'step')}, one after another: step, wait" + (
        ", and device idle" if idle else ""
    )
    scale = 190 / most
    depth = max(24.0, low * scale) if idle else 0.0
    picture = Picture("steps", label, 44 + 190 + depth + 44)
    area = Area(LEFT, 44, INNER, 190)
    entries = [("wait", "waits for its batch"), ("step", "step: until it asks again")]
    legend(picture, LEFT, 15, [*entries, ("device", "device idle")] if idle else entries)
    value_axis(picture, area, most, tick)
    cut = _step_bars(picture, area, groups, most, low)
    _step_axis(picture, area, groups, depth)
    caption = [_bars_words(recording), "Up: how long the loop waited, on top of its step."]
    if cut:
        longest = max(group.batch_s for group in groups)
        caption.append(f"{counted(cut, 'bar')} cut off at the top (▲); the longest is {duration(longest)}.")
    if idle:
        caption.append("Down, at the same scale: how long the device was idle behind the loader.")
        if max(idle) > low * 1.0001:
            caption.append(
                f"It is cut off where it was longer than {duration(low)}: at most {duration(max(idle))}."
            )
    else:
        caption.append("Device idle: not measured, there was no device clock.")
    caption.append(
        "▼ marks an epoch's first batch; the times in grey begin with the loader's first iterator."
    )
    return picture.svg(), " ".join(caption)


def _step_bars(picture: Picture, area: Area, groups: Sequence[Group], most: float, low: float) -> int:
    """Returns how many were too high; ``low``: seconds down at most."""
    width = area.width / len(groups)
    gap = min(2.0, width / 5) if width > 4 else 0.0
    cut = 0

    def bar(x: float, group: Group) -> None:
        step = min(group.step_s or 0.0, most) / most * area.height
        wait = min(group.wait_s / most * area.height, area.height - step)
        picture.rect(x, area.bottom - step, width - gap, step, "step")
        picture.rect(x, area.bottom - step - wait, width - gap, wait, "wait")
        if group.idle_s:
            down = min(group.idle_s, low) / most * area.height
            picture.rect(x, area.bottom, width - gap, down, "device")

    for i, group in enumerate(groups):
        x = area.x + i * width
        bar(x, group)
        picture.tip(x, area.y, width, area.height + low / most * area.height, _step_words(group))
        if group.batch_s > most * 1.0001:
            cut += 1
            middle = x + (width - gap) / 2
            picture.shape(f"M{middle:.1f},{area.y + 1:.1f} l-4,7 h8 z", "#fff")
            picture.shape(f"M{middle:.1f},{area.y + 2:.1f} l-3,5 h6 z")
    return cut


def _step_words(group: Group) -> str:
    words = f"{group.name}: wait {duration(group.wait_s)}"
    words += f", step {duration(group.step_s)}" if group.step_s else ", step not over"
    return words + (f", device idle {duration(group.idle_s)}" if group.idle_s is not None else "")


def _fraction(value: float) -> str:
    return f"{value:g}"


def workers_picture(recording: Recording) -> Drawn | str:
    """How many workers were in which state while the loop waited."""
    groups = group_steps(recording.steps)
    if not any(group.workers for group in groups):
        if recording.stats.path != "native":
            return (
                "Not measured step by step: PyTorch's worker processes do not tell what they do when, only "
                "how long they have been at work."
            )
        return "Not measured: the loop has not waited while workers worked."
    most = max(1.0, float(recording.stats.workers))
    picture = Picture("workers", "Workers by what they did while the training loop waited", 44 + 150 + 44)
    area = Area(LEFT, 44, INNER, 150)
    legend(picture, LEFT, 15, [(state, STATE_WORDS[state]) for state in STATE_WORDS])
    value_axis(picture, area, most, _fraction, min(4, int(most)))
    picture.text(LEFT - 6, area.y - 12, "workers" if recording.stats.workers else "share", "end", 11)
    width = area.width / len(groups)

    def bar(x: float, group: Group) -> None:
        y, scale = area.bottom, area.height / max(most, sum(group.workers))
        for state in STATE_WORDS:
            height = group.workers[WORKER_STATES.index(state)] * scale
            y -= height
            picture.rect(x, y, width, height, state)

    for i, group in enumerate(groups):
        if group.workers:
            named = ", ".join(
                f"{state} {group.workers[WORKER_STATES.index(state)]:.2f}" for state in STATE_WORDS
            )
            bar(area.x + i * width, group)
            picture.tip(area.x + i * width, area.y, width, area.height, f"{group.name}: workers in {named}")
    picture.line([(area.x, area.bottom), (area.right, area.bottom)])
    _step_axis(picture, area, groups)
    who = "how many workers were" if recording.stats.workers else "share of it that the loop's own thread was"
    return picture.svg(), (
        f"Height: {who} in each state, on average, while the loop waited for the batch of that step; "
        "empty where it did not wait, or no worker did anything then. What the workers did between two waits "
        f"is not known step by step. {_bars_words(recording)}"
    )


def depth_picture(recording: Recording) -> Drawn | str:
    """Complete batches at each request."""
    groups = group_steps(recording.steps)
    known = [group.ready for group in groups if group.ready is not None]
    if not known:
        why = "PyTorch's iteration does not tell" if recording.stats.path != "native" else "no step was taken"
        return f"Not measured: {why}."
    most = max(1.0, max(known), float(len(recording.stats.queue) - 1))
    picture = Picture("depth", "Complete batches that each request found", 24 + 110 + 44)
    area = Area(LEFT, 24, INNER, 110)
    value_axis(picture, area, most, _fraction, min(4, int(most)))
    picture.text(LEFT - 6, area.y - 12, "batches", "end", 11)
    width = area.width / len(groups)

    def bar(x: float, ready: float) -> None:
        height = area.height * ready / most
        picture.rect(x, area.bottom - height, max(width * 0.85, 0.8), height, "ready")
        if ready == 0:
            picture.shape(f"M{x:.2f},{area.bottom - 2:.1f} h{width * 0.85:.2f} v4 h-{width * 0.85:.2f} z")

    for i, group in enumerate(groups):
        if (ready := group.ready) is not None:
            bar(area.x + i * width, ready)
            words = f"{group.name}: {ready:.3g} complete"
            picture.tip(area.x + i * width, area.y, width, area.height, words)
    _step_axis(picture, area, groups)
    return picture.svg(), (
        "Height: complete batches when the loop asked; a black dash is an empty queue. "
        + _bars_words(recording)
    )


def _busy(earlier: SystemReading, later: SystemReading) -> tuple[float, ...]:
    """Of each core, the share of the time between two readings that it was busy."""
    elapsed = later.at_s - earlier.at_s
    return tuple(
        min(1.0, max(0.0, (b - a) / elapsed)) for a, b in zip(earlier.core_busy_s, later.core_busy_s)
    )


def intervals(
    readings: Sequence[SystemReading], most: int = MOST_CORE_COLUMNS
) -> list[tuple[SystemReading, SystemReading]]:
    """What lies between readings that follow each other, put together where they are more than ``most``."""
    per = max(1, -(-(len(readings) - 1) // most))
    chosen = [*readings[:-1:per], readings[-1]] if len(readings) > 1 else []
    return [(a, b) for a, b in pairwise(chosen) if b.at_s > a.at_s]


def core_columns(readings: Sequence[SystemReading]) -> list[tuple[float, float, tuple[float, ...]]]:
    """(from, to, busy share of each core) between readings, at most MOST_CORE_COLUMNS."""
    pairs = [(a, b) for a, b in intervals(readings) if a.core_busy_s and b.core_busy_s]
    start = readings[0].at_s if readings else 0.0
    return [(a.at_s - start, b.at_s - start, _busy(a, b)) for a, b in pairs]


def time_axis(picture: Picture, area: Area, y: float, end: float) -> None:
    """Times from the first reading to ``end``, below ``y``."""
    for i in range(5):
        x = area.x + area.width * i / 4
        picture.line([(x, y), (x, y + 4)])
        picture.text(x, y + 16, duration(end * i / 4), "middle", 11, "dim")


def cores_picture(recording: Recording) -> Drawn | str:
    """A row for all cores together, and one for each of them where they are few."""
    columns = core_columns(recording.readings)
    if not columns:
        return "Not measured: fewer than two readings of the cores."
    count = min(len(busy) for _, _, busy in columns)
    rows = count if 1 < count <= MOST_CORE_ROWS else 0
    picture = Picture("cores", f"Use of {counted(count, 'core')} over time", 20 + 90 + 14 + rows * 30 + 28)
    end = columns[-1][1]
    area = Area(LEFT, 20, INNER - 44, 90)
    value_axis(picture, area, count, _fraction, min(4, count))
    picture.text(LEFT, 12, "cores busy, all together", size=12, style="strong")
    _row(picture, area, columns, count, end, lambda busy: sum(busy[:count]))
    for core in range(rows):
        place = Area(LEFT, 124 + 30 * core, area.width, 22)
        share = _row(picture, place, columns, 1, end, itemgetter(core))
        picture.text(LEFT - 6, place.bottom - 6, f"core {core + 1}", "end", 11)
        picture.text(place.right + 6, place.bottom - 6, percent(share), "start", 11)
    time_axis(picture, area, 124.0 + 30 * rows, end)
    whole = "" if rows or count == 1 else f" Single rows are left out: more than {MOST_CORE_ROWS} cores."
    each = "; a row for each below it, with its mean" if rows else ""
    return picture.svg(), (
        f"Height: cores busy between two readings, whoever used them{each}.{whole} Only cores that the "
        f"process may use, numbered in their order; {counted(len(columns), 'interval')}, "
        "a second each or longer, so what is quicker does not show."
    )


def _row(
    picture: Picture,
    area: Area,
    columns: Sequence[tuple[float, float, tuple[float, ...]]],
    most: float,
    end: float,
    value: Callable[[tuple[float, ...]], float],
) -> float:
    """Bars from each column's beginning to its end; returns their mean."""
    total = 0.0
    for begin, until, busy in columns:
        cores = value(busy)
        total += cores * (until - begin)
        share, (x, right) = cores / most, (area.x + area.width * t / end for t in (begin, until))
        picture.rect(x, area.bottom - area.height * share, right - x, area.height * share, "core")
        words = f"{duration(begin)}–{duration(until)}: {cores:.2f} busy"
        picture.tip(x, area.y, right - x, area.height, words)
    picture.line([(area.x, area.bottom), (area.right, area.bottom)], INK, 0.8)
    picture.line([(area.x, area.y), (area.right, area.y), (area.right, area.bottom)], FAINT, 0.8)
    return total / sum(b - a for a, b, _ in columns)
