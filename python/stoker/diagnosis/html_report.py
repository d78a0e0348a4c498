"""A recording and its verdict as one HTML page: no script, no other file, nothing from the network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .._printable import html_text as escape
from ..stats.records import LoaderStats
from ._css import css
from ._occupancy import occupancy_picture
from ._pictures import (
    chain_picture,
    durations_rows,
    percentiles_picture,
    queue_picture,
    share_picture,
    throughput_picture,
)
from ._svg import Drawn
from ._timelines import cores_picture, depth_picture, steps_picture, workers_picture
from ._words import cores_of, counted, duration, percent, rate, size, times
from .model import steady_rate
from .origin import IN_THE_TITLE, VERSIONS
from .recording import Recording
from .verdict import Cure, Verdict

Row = Sequence[str]


def html_report(
    recording: Recording,
    verdict: Verdict,
    title: str = "",
    thumbnails: Mapping[str, bytes] | None = None,
) -> str:
    """The page's text; write it as UTF-8.

    Args:
        verdict: with its cures, where there are any.
        title: "": the script's name.
        thumbnails: of the slowest samples, by their paths: PNG files.
    """
    stats = recording.stats
    # One rate is "measured": the steady state's, which is what cures are compared with.
    verdict = replace(verdict, images_per_s=steady_rate(recording) or verdict.images_per_s)
    sections = [
        _section(
            "What would help" + (", best first" if verdict.cures else ""),
            _cures(recording, verdict),
            across=True,
        ),
        _section("From storage to step", _figure(chain_picture(recording, verdict)), across=True),
        _section("Steps", _figure(steps_picture(recording)), across=True),
        _section(
            "Workers",
            _figure(share_picture(stats)),
            "<h3>Worker by worker</h3>",
            _figure(occupancy_picture(recording)),
            "<h3>While the training loop waited</h3>",
            _figure(workers_picture(recording)),
        ),
        *([_section("Python, by the workers' stacks", _profile(recording))] if recording.profile else []),
        _section("Cores", _figure(cores_picture(recording))),
        _section("Queue", _figure(queue_picture(stats)), _figure(depth_picture(recording))),
        _section("Stages", _figure(percentiles_picture(recording)), _percentiles(recording)),
        _section("Slowest samples", _slowest(stats, thumbnails or {})),
        _section("What ran", _facts(recording)),
    ]
    name = escape(title or title_of(recording.facts))
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{css()}</style>\n</head>\n<body>\n<h1>{name}</h1>\n{_origin(recording.facts)}"
        f"{_head(stats, verdict)}\n<main>\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )
    # A file's name need not be valid UTF-8; the page must be.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def title_of(facts: Mapping[str, str]) -> str:
    """As "train.py: Stoker report"."""
    return f"{facts['script']}: Stoker report" if facts.get("script") else "Stoker report"


def _origin(facts: Mapping[str, str]) -> str:
    """Which run it was: its command, and when, where and with what it ran."""
    said = [facts[name] for name in ("date", "host") if facts.get(name)]
    said += [f"{name} {facts[key]}" for key, name in VERSIONS.items() if facts.get(key)]
    command = f"<code>{escape(facts['command'])}</code>" if facts.get("command") else ""
    return f'<p class="origin">{command}{escape(" · ".join(said))}</p>\n' if command or said else ""


def _section(title: str, *parts: str, across: bool = False) -> str:
    """``across``: in print, over both columns."""
    kind = ' class="across"' if across else ""
    inside = "\n".join(part for part in parts if part)
    return f"<section{kind}>\n<h2>{escape(title)}</h2>\n{inside}\n</section>"


def _figure(drawn: Drawn | str) -> str:
    """A picture with its caption, or why there is none."""
    if isinstance(drawn, str):
        return _none(drawn) if drawn else ""
    picture, caption = drawn
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="scroll">{picture}</div>{below}</figure>'


def _none(words: str) -> str:
    return f'<p class="none">{escape(words)}</p>'


def _head(stats: LoaderStats, verdict: Verdict) -> str:
    """The verdict, what it rests on, and the figures that sum the run up."""
    evidence = "".join(f"<li>{escape(line)}</li>" for line in verdict.evidence)
    where = "device idle behind the loader" if verdict.by_device else "exposed wait"
    batches = counted(stats.batches, "batch", "batches")
    measured = [(f"{stats.samples:,}", f"{'sample' if stats.samples == 1 else 'samples'} in {batches}")]
    if stats.batches:
        measured.append((duration(stats.first_batch_s), "to the first batch"))
        measured.insert(0, (rate(verdict.images_per_s), "measured, behind each epoch's first batch"))
    if verdict.kind != "unknown":
        lost = f"of the steady time lost to the loader ({where})"
        measured.insert(1, (percent(verdict.lost_share), lost))
    if stats.failed_batches:
        failed = "batch failed" if stats.failed_batches == 1 else "batches failed"
        measured.append((f"{stats.failed_batches:,}", failed))
    figures = "".join(f"<li><b>{escape(n)}</b><span>{escape(words)}</span></li>" for n, words in measured)
    return (
        f'<div class="verdict"><p>{escape(verdict.headline)}</p>'
        + (f"<ul>{evidence}</ul>" if evidence else "")
        + f'</div>\n<ul class="figures">{figures}</ul>'
    )


def _table(
    head: Row, rows: Sequence[Row], numbers: int, before: Sequence[str] = (), behind: Sequence[str] = ()
) -> str:
    """A table whose columns from ``numbers`` on are set to the right; a column without words is left out.

    Args:
        before, behind: HTML for one more column, a cell for each row; () or all "": none.
    """
    kept = [i for i in range(len(head)) if any(row[i] not in ("", "–") for row in rows)]

    def cells(row: Row, tag: str) -> str:
        kinds = ["" if i < numbers else ' class="n"' for i in range(len(row))]
        return "".join(f"<{tag}{kinds[i]}>{escape(row[i])}</{tag}>" for i in kept)

    def column(html: Sequence[str]) -> list[str]:
        return [f"<td>{cell}</td>" for cell in html] if any(html) else [""] * len(rows)

    body = "".join(
        f"<tr>{first}{cells(row, 'td')}{last}</tr>"
        for first, row, last in zip(column(before), rows, column(behind))
    )
    begin, end = ("<th></th>" if any(more) else "" for more in (before, behind))
    wide = ' class="wide"' if len(kept) > 5 else ""
    titles = f"<thead><tr>{begin}{cells(head, 'th')}{end}</tr></thead>"
    return f'<div class="scroll"><table{wide}>{titles}<tbody>{body}</tbody></table></div>'


def _cures(recording: Recording, verdict: Verdict) -> str:
    picture = _figure(throughput_picture(verdict))
    if recording.headroom > 0:
        picture += f"<p>With batches from memory the loop took {escape(rate(recording.headroom))}.</p>"
    if not verdict.cures:
        return _none("Nothing to suggest from this recording.") + picture
    rows = [_cure(i + 1, cure, verdict.images_per_s) for i, cure in enumerate(verdict.cures)]
    head = ("No.", "Change", "How", "Predicted", "Against measured")
    return _table(head, rows, 3) + picture


def _cure(number: int, cure: Cure, measured: float) -> Row:
    if cure.images_per_s <= 0:
        return (f"{number}", cure.what, cure.how, "not predicted", "–")
    gain = times(cure.images_per_s / measured) if measured > 0 else ""
    return (f"{number}", cure.what, cure.how, rate(cure.images_per_s), gain)


def _percentiles(recording: Recording) -> str:
    rows = [
        (
            name,
            each,
            f"{d.count:,}",
            *(duration(s) for s in (d.mean_s, d.p50_s, d.p90_s, d.p99_s, d.max_s, d.total_s)),
        )
        for name, each, d in durations_rows(recording)
    ]
    head = ("Time of", "each", "count", "mean", "p50", "p90", "p99", "max", "total")
    return _table(head, rows, 2) if rows else ""


def _profile(recording: Recording) -> str:
    parts = [(part, share) for part, share in recording.profile.items() if share >= 0.01]
    rows = [(part.removeprefix("python: "), percent(share)) for part, share in parts]
    lines = [recording.source_lines.get(part, "") for part, _ in parts]
    code = [f"<code>{escape(line)}</code>" if line else "" for line in lines]
    return _table(("Part of the workers' code", "Share of their time at work"), rows, 1, behind=code)


def _slowest(stats: LoaderStats, thumbnails: Mapping[str, bytes]) -> str:
    if not stats.slowest:
        return _none("Not measured: no sample has been loaded yet.")
    stages = list(dict.fromkeys(name for sample in stats.slowest for name in sample.stages))
    usual = sum(stats.stages[name].mean_s for name in stages if name in stats.stages)
    rows = [
        (
            f"{sample.index:,}",
            sample.path or "–",
            duration(sample.total_s),
            times(sample.total_s / usual) if usual > 0 else "–",
            *(duration(sample.stages[name]) if name in sample.stages else "–" for name in stages),
        )
        for sample in stats.slowest
    ]
    pictures = [_thumbnail(thumbnails.get(sample.path, b"")) for sample in stats.slowest]
    return _table(("Sample", "File", "time", "of the mean", *stages), rows, 2, before=pictures)


def _thumbnail(png: bytes) -> str:
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">' if png else ""


def _facts(recording: Recording) -> str:
    said = [item for item in recording.facts.items() if item[1] and item[0] not in IN_THE_TITLE]
    rows = [*said, *_measured_facts(recording)]
    body = "".join(f'<tr><th scope="row">{escape(a)}</th><td>{escape(b)}</td></tr>' for a, b in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def _measured_facts(recording: Recording) -> list[tuple[str, str]]:
    stats, system = recording.stats, recording.stats.system
    elapsed = max(system.elapsed_s, 1e-9)
    quota = "no quota" if system.quota_cores is None else f"quota {cores_of(system.quota_cores)}"
    used = tuple(s / elapsed for s in (system.machine_cpu_s, system.process_cpu_s, system.worker_cpu_s))
    rows = [
        ("path", stats.path),
        ("measured for", duration(system.elapsed_s)),
        ("steps kept", f"{len(recording.steps):,} of {stats.batches:,}"),
        (
            "cores",
            f"{system.usable_cores:,} usable, {quota}; {used[0]:.1f} busy, {used[1]:.1f} of them with this "
            f"process and its workers (the workers alone: {used[2]:.1f})",
        ),
        ("torch's own threads", f"{system.torch_threads:,}"),
        ("memory", f"{system.memory_mb:,.0f} MB resident, workers included"),
        ("read from storage", f"{size(system.storage_bytes)}, {size(system.storage_bytes / elapsed)}/s"),
        ("device", _device_words(stats)),
    ]
    if system.throttled_s > 0:
        rows.append(("held back by the quota", duration(system.throttled_s)))
    if stats.index.samples:
        rows.append(
            (
                "decode index",
                f"used for {stats.index.used:,} of {counted(stats.index.samples, 'sample')}, saved "
                f"{percent(stats.index.saved_share)} of their entropy-coded data",
            )
        )
    if stats.index_problem:
        rows.append(("decode index stopped", stats.index_problem))
    return rows


def _device_words(stats: LoaderStats) -> str:
    if stats.device is None:
        return "not measured: no device clock"
    dropped = f", {counted(stats.device.dropped, 'step')} not measured" if stats.device.dropped else ""
    return f"{stats.device.kind}, {counted(stats.device.idle.count, 'step')} measured{dropped}"
