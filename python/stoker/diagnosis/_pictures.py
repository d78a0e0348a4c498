"""Pictures of the run as a whole: throughput, the chain, the workers' time, queue, percentiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..stats.records import Durations, LoaderStats
from ._svg import FAINT, WIDTH, Area, Drawn, Picture, legend
from ._words import counted, duration, percent, rate, tick
from .recording import Recording
from .verdict import Verdict


def throughput_picture(verdict: Verdict) -> Drawn | str:
    """Measured, predicted and the bounds, as bars."""
    if verdict.images_per_s <= 0:
        return "Not measured: no batch has been handed over."
    bars = [("measured", "measured", verdict.images_per_s)]
    bars += [("predicted", c.what, c.images_per_s) for c in verdict.cures if c.images_per_s > 0]
    bounds = [("the step alone", verdict.pace), ("the loader alone", verdict.capacity)]
    most = 1.05 * max(value for _, _, value in bars)
    if verdict.kind != "unknown":
        bars += [("bound", name, value) for name, value in bounds if value > 0]
    most = min(max(value for _, _, value in bars), 2.5 * most)
    picture = Picture("throughput", "Throughput: " + _listed(bars), 28.0 * len(bars) + 6)
    left, width = 270.0, WIDTH - 270 - 190
    for i, (kind, name, value) in enumerate(bars):
        y = 28.0 * i + 4
        length = width * min(1.0, value / most)
        short = name if len(name) <= 36 else name[:35] + "…"
        picture.text(left - 8, y + 15, short, "end", 12, "strong" if i == 0 else "")
        picture.swatch(left, y, max(length, 1.0), 20, kind)
        beyond = " →" if value > most * 1.0001 else ", predicted" if kind == "predicted" else ""
        picture.text(left + length + 6, y + 15, rate(value) + beyond, "start", 12)
    picture.line([(left, 0), (left, 28.0 * len(bars))])
    caption = ""
    if any(kind == "bound" for kind, _, _ in bars):
        caption = (
            "The step alone: with a loader that never keeps it waiting. The loader alone: with a step that "
            "takes no time. The lower of the two bounds the run."
        )
    if any(value > most * 1.0001 for _, _, value in bars):
        caption += " A bar with → goes on beyond the picture."
    return picture.svg(), caption


def _listed(bars: list[tuple[str, str, float]]) -> str:
    return ", ".join(f"{name} {rate(value)}" for _, name, value in bars)


@dataclass(frozen=True)
class Link:
    """One box of the chain.

    Attributes:
        share: None: not measured.
        note: under its name.
        key: by which a verdict's cause names it.
        absent: there is no such work.
    """

    kind: str
    name: str
    share: float | None
    note: str = ""
    key: str = ""
    absent: bool = False

    @property
    def words(self) -> str:
        if self.share is None:
            return "not measured"
        return "none" if self.absent else percent(self.share)


def _worker_links(stats: LoaderStats) -> list[Link]:
    total = stats.workers_time_s

    def share(seconds: float) -> float | None:
        return seconds / total if total > 0 else None

    def stage(name: str) -> float:
        return stats.stages[name].total_s if name in stats.stages else 0.0

    if stats.path == "native":
        slow = min(stats.usage.slow_reads.total_s, stage("read"))
        return [
            Link("storage", "storage", share(slow), "reads that slept", "storage"),
            Link("read", "read", share(stage("read") - slow), "from memory", "read"),
            Link("decode", "decode", share(stage("decode")), "", "decode"),
            Link("transform", "transform", share(stage("transform")), "", "transform"),
            Link("collate", "copy", share(0.0), "", absent=True),
        ]
    asleep = min(stats.usage.asleep_s, total)
    return [
        Link("storage", "storage", share(asleep) if stats.usage.work_s > 0 else None, "asleep", "storage"),
        Link("native", "C++ parts", share(stage("native")), "read, decode, …", "native"),
        Link("python", "Python", share(stage("python")), "the script's code", "python"),
        Link("collate", "copy", share(stage("collate")), "collate_fn", "collate"),
    ]


def _loop_links(stats: LoaderStats) -> list[Link]:
    """A collate_fn of the user's on the native path; the step; and the device's idleness, where there is a
    device clock."""
    total = stats.wait.total_s + stats.step.total_s
    wait = f"waits {percent(stats.wait.total_s / total)}" if total > 0 else ""
    links = [Link("step", "step", stats.step.total_s / total if total > 0 else None, wait, "step")]
    if stats.collate.count > 0 and total > 0:
        links.insert(
            0, Link("collate", "collate_fn", stats.collate.total_s / total, "part of the wait", "collate")
        )
    if stats.device is not None and stats.device.idle.count > 0 and total > 0:
        idle = min(1.0, stats.device.idle.total_s / total)
        links.append(Link("device", "device idle", idle, "for lack of a batch"))
    return links


MARGIN, GAP, WIDEST, TOP, TALL = 26.0, 26.0, 118.0, 44.0, 96.0


def chain_picture(recording: Recording, verdict: Verdict) -> Drawn | str:
    """The chain from storage to step; each box is filled as far as its share goes."""
    stats = recording.stats
    loading, loop = _worker_links(stats), _loop_links(stats)
    links = [*loading, *loop]
    if all(link.share is None for link in links):
        return "Not measured: no sample has been loaded yet."
    said = ", ".join(f"{link.name} {link.words}" for link in links)
    picture = Picture("chain", f"The chain from storage to step: {said}", TOP + TALL + 62)
    wide = min(WIDEST, (WIDTH - 2 * MARGIN + GAP) / len(links) - GAP)
    places = [MARGIN + i * (wide + GAP) for i in range(len(links))]
    _span(picture, places[0], places[len(loading) - 1] + wide, _whose_time(stats))
    _span(picture, places[len(loading)], places[-1] + wide, "training loop: share of its time")
    critical = _critical(verdict, stats.path)
    for i, (link, x) in enumerate(zip(links, places)):
        _box(picture, Area(x, TOP, wide, TALL), link, bool(critical) and link.key == critical)
        if i > 0 and link.kind != "device":  # which is behind the step
            _arrow(picture, x - GAP + 4, x - 4, TOP + TALL / 2)
    return picture.svg(), _chain_caption(stats)


def _whose_time(stats: LoaderStats) -> str:
    if stats.workers:
        return "workers: share of all their time"
    of = "all time" if stats.path == "native" else "the time spent loading"
    return f"loading, in the loop's own thread: share of {of}"


def _span(picture: Picture, x: float, right: float, words: str) -> None:
    """A bracket over boxes, and whose they are."""
    picture.text(min((x + right) / 2, WIDTH - 3.6 * len(words)), 14, words, "middle", 12, "strong")
    picture.line([(x, 30), (x, 22), (right, 22), (right, 30)], "#888")


def _critical(verdict: Verdict, path: str) -> str:
    """The link that the verdict names."""
    if verdict.kind == "accelerator-bound":
        return "step"
    if verdict.kind not in ("loader-bound", "bursty"):
        return ""
    if verdict.limit == "storage":
        return "storage"
    # A profile tells apart what the script's own code does.
    profiled = path == "python" and verdict.cause in ("read", "decode", "transform")
    return "python" if profiled else verdict.cause


def _box(picture: Picture, box: Area, link: Link, critical: bool) -> None:
    middle = box.x + box.width / 2
    if link.share is None:
        picture.rect(box.x, box.y, box.width, box.height, "unknown")
        picture.text(middle, box.y + box.height / 2 - 3, "not", "middle", 12, "dim")
        picture.text(middle, box.y + box.height / 2 + 13, "measured", "middle", 12, "dim")
    elif link.absent:
        picture.text(middle, box.y + box.height / 2 + 5, link.words, "middle", 12, "dim")
    else:
        full = box.height * min(1.0, link.share)
        picture.rect(box.x, box.bottom - full, box.width, full, link.kind)
        picture.text(middle, box.y + box.height / 2 + 6, link.words, "middle", 19, "halo")
    picture.frame(
        box.x, box.y, box.width, box.height, 3.0 if critical else 1.2, link.share is None or link.absent
    )
    picture.text(middle, box.bottom + 17, link.name, "middle", 13, "strong")
    picture.text(middle, box.bottom + 32, link.note, "middle", 11, "dim")
    if critical:
        words = "▲ sets the pace" if link.key == "step" else "▲ limits the run"
        picture.text(middle, box.bottom + 50, words, "middle", 12, "strong")


def _arrow(picture: Picture, x: float, right: float, y: float) -> None:
    picture.line([(x, y), (right - 6, y)], "#555", 2)
    picture.shape(f"M{right:.1f},{y:.1f} l-8,-5 v10 z", "#555")


def _chain_caption(stats: LoaderStats) -> str:
    total = stats.workers_time_s
    words = []
    if stats.workers == 0:
        words.append("In the rest of the time nothing is loaded: mostly it is the loop's own step.")
    elif total > 0 and (stats.waiting_s or stats.idle_s):
        off = f"{percent(stats.waiting_s / total)} waiting with every batch ahead full"
        if stats.path == "native":
            off += f", {percent(stats.idle_s / total)} with nothing to do"
        else:
            off = f"{percent(stats.waiting_s / total)} not working"
        words.append(f"The rest of the workers' time: {off}.")
    if stats.path != "native":
        words.append("The time asleep, for storage or anything else, is also part of the boxes to its right.")
    if stats.collate.count and stats.wait.total_s > 0:
        share = percent(stats.collate.total_s / stats.wait.total_s)
        words.append(f"collate_fn, in the training loop's thread, took {share} of its wait.")
    elif stats.path == "native":
        words.append("Copy: none, as samples are written straight into their batch.")
    else:
        words.append(
            "Copy: the time of collate_fn, which puts samples into their batch; pinning is not in it."
        )
    words.append("The copy to a device is part of the step.")
    if stats.device is not None and stats.device.idle.count:
        words.append("Device idle: for how much of the loop's time it had nothing to do, behind the loader.")
    if stats.fetch.count and stats.wait.total_s > 0:
        share = percent(stats.fetch.total_s / stats.wait.total_s)
        words.append(f"The dataset's stoker_sample, in the training loop's thread, took {share} of its wait.")
    return " ".join(words)


def share_picture(stats: LoaderStats) -> Drawn | str:
    """All of the workers' time in one bar, with a line of words for each part."""
    total = stats.workers_time_s
    if total <= 0:
        return "Not measured: the workers have not worked yet."
    parts = [(name, name, stage.total_s) for name, stage in stats.stages.items()]
    parts.append(
        ("waiting", "batches ahead full" if stats.path == "native" else "not working", stats.waiting_s)
    )
    parts.append(("idle", "nothing to do" if stats.workers else "not loading", stats.idle_s))
    parts = [part for part in parts if part[2] > 0]
    said = ", ".join(f"{words} {percent(s / total)}" for _, words, s in parts)
    picture = Picture("shares", f"The workers' time: {said}", 44 + 19.0 * len(parts))
    x = 26.0
    for kind, words, seconds in parts:
        width = (WIDTH - 52) * seconds / total
        picture.swatch(x, 4, width, 26, kind)
        if width > 8 * len(words) + 16:
            picture.text(x + width / 2, 21, words, "middle", 12, "halo")
        x += width
    for i, (kind, words, seconds) in enumerate(parts):
        y = 52.0 + 19 * i
        legend(picture, 26, y, [(kind, "")])
        picture.text(50, y, f"{words} {percent(seconds / total)}, {duration(seconds)}")
    who = counted(stats.workers, "worker") if stats.workers else "the loop's own thread"
    return picture.svg(), f"All time of {who}, over the whole run: {duration(total)}."


def queue_picture(stats: LoaderStats) -> Drawn | str:
    """How many requests found how many complete batches."""
    total = sum(stats.queue)
    if total <= 0:
        return "" if stats.path != "native" else "Not measured: no batch has been asked for."
    said = ", ".join(f"{n} ready {percent(count / total)}" for n, count in enumerate(stats.queue))
    picture = Picture("queue", f"Requests by complete batches: {said}", 24.0 * len(stats.queue) + 4)
    for n, count in enumerate(stats.queue):
        y, left = 24.0 * n + 2, 130.0
        length = (WIDTH - left - 190) * count / total
        picture.text(left - 8, y + 14, "none complete" if n == 0 else f"{n} complete", "end")
        picture.swatch(left, y, max(length, 0.5), 18, "ready")
        picture.text(left + length + 6, y + 14, f"{percent(count / total)}, {counted(count, 'request')}")
    picture.line([(130, 0), (130, 24.0 * len(stats.queue) + 2)])
    return picture.svg(), (
        "How many batches were complete when the loop asked for one. Mostly none: the loader is the slower "
        "side; mostly all: the step is."
    )


def durations_rows(recording: Recording) -> list[tuple[str, str, Durations]]:
    """(name, once for each what, distribution) of all that was measured."""
    stats = recording.stats
    rows: list[tuple[str, str, Durations]] = [
        (name, "batch" if name == "collate" else "sample", stage)
        for name, stage in stats.stages.items()
        if stage.total_s > 0
    ]
    rows += [
        ("stoker_sample", "sample", stats.fetch),
        ("collate_fn", "batch", stats.collate),
        ("reads that slept", "read", stats.usage.slow_reads),
        ("wait", "step", stats.wait),
        ("step", "step", stats.step),
    ]
    if stats.device is not None:
        rows.append(("device idle", "step", stats.device.idle))
    return [row for row in rows if row[2].count > 0]


def percentiles_picture(recording: Recording) -> Drawn | str:
    """p50, p90 and p99 of each on one logarithmic scale, told apart by their marks."""
    rows = durations_rows(recording)
    if not rows:
        return "Not measured: nothing has been loaded yet."
    said = "; ".join(f"{name} p50 {duration(d.p50_s)}, p99 {duration(d.p99_s)}" for name, _, d in rows)
    picture = Picture("percentiles", f"Percentiles: {said}", 26 + 26.0 * len(rows) + 26)
    values = [max(v, 1e-6) for _, _, d in rows for v in (d.p50_s, d.p90_s, d.p99_s)]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    high = max(high, low + 1)
    left, width, bottom = 150.0, WIDTH - 150 - 40, 26 + 26.0 * len(rows)

    def place(value: float) -> float:
        return left + width * (math.log10(max(value, 10.0**low)) - low) / (high - low)

    for power in range(low, high + 1):
        x = place(10.0**power)
        picture.line([(x, 24), (x, bottom)], FAINT)
        words = tick(10.0**power)
        picture.text(x, bottom + 16, words, "middle", 11)
    _mark(picture, left, 11, "p50")
    _mark(picture, left + 70, 11, "p90")
    _mark(picture, left + 140, 11, "p99")
    for i, mark in enumerate(("p50", "p90", "p99")):
        picture.text(left + 10 + 70 * i, 15, mark)
    for i, (name, _, d) in enumerate(rows):
        y = 26 + 26.0 * i + 13
        picture.text(left - 10, y + 4, name, "end")
        picture.line([(place(d.p50_s), y), (place(d.p99_s), y)], "#555", 2)
        for mark, value in (("p99", d.p99_s), ("p90", d.p90_s), ("p50", d.p50_s)):
            _mark(picture, place(value), y, mark)
    return picture.svg(), "A logarithmic scale: each line to the right is ten times as long."


def _mark(picture: Picture, x: float, y: float, kind: str) -> None:
    """A disc, a square, a diamond: the shape says which percentile it is."""
    if kind == "p50":
        picture.shape(f"M{x - 5:.1f},{y:.1f} a5,5 0 1,0 10,0 a5,5 0 1,0 -10,0 z", "#0072b2")
    elif kind == "p90":
        picture.shape(f"M{x - 4.5:.1f},{y - 4.5:.1f} h9 v9 h-9 z", "#e69f00")
    else:
        picture.shape(f"M{x:.1f},{y - 6.5:.1f} l6.5,6.5 l-6.5,6.5 l-6.5,-6.5 z", "#d55e00")
