"""A recording and its verdict as one HTML page: no script, no other file, nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .._printable import html_text as escape
from ..stats.records import LoaderStats
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
from ._words import counted, duration, percent, rate, size, times
from .model import steady_rate
from .recording import Recording
from .verdict import Cure, Verdict

# Readable in print and in grey: no background carries a meaning.
CSS = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 20px 48px; max-width: 900px; color: #222; background: #fff;
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 14px; font-weight: 600; color: #555; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 40px 0 10px; padding-bottom: 4px; border-bottom: 1px solid #ccc; }
h3 { font-size: 15px; margin: 24px 0 8px; }
.verdict { border-left: 6px solid #222; padding: 2px 0 2px 16px; margin: 0 0 16px; }
.verdict p { margin: 0; font-size: 22px; line-height: 1.35; font-weight: 600; overflow-wrap: anywhere; }
.verdict ul { margin: 8px 0 0; padding-left: 20px; }
li, td { overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 8px 20px;
           margin: 16px 0; padding: 0; list-style: none; }
.figures b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.figures span, figcaption, .none { color: #555; font-size: 13px; }
figure { margin: 0 0 12px; }
figcaption { margin-top: 6px; max-width: 60em; }
svg { display: block; width: 100%; height: auto; fill: #222; font-family: inherit; }
svg .strong { font-weight: 600; }
svg .dim { fill: #666; }
svg .halo { font-weight: 700; stroke: #fff; stroke-width: 5px; paint-order: stroke; stroke-linejoin: round; }
table { border-collapse: collapse; width: 100%; font-size: 13px; margin: 8px 0; }
th, td { text-align: left; vertical-align: top; padding: 5px 12px 5px 0; border-bottom: 1px solid #e4e4e4; }
th { font-weight: 600; color: #444; border-bottom-color: #999; }
th { overflow-wrap: normal; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
table.facts th { overflow-wrap: anywhere; width: 150px; border-bottom-color: #e4e4e4; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; }
  figure, tr, .verdict { break-inside: avoid; }
  @page { margin: 15mm; }
}
"""

Row = Sequence[str]


def html_report(recording: Recording, verdict: Verdict, title: str = "Stoker report") -> str:
    """The page's text; write it as UTF-8. ``verdict``: with its cures, where there are any."""
    stats = recording.stats
    sections = [
        _section("What would help" + (", best first" if verdict.cures else ""), _cures(recording, verdict)),
        _section("From storage to step", _figure(chain_picture(recording, verdict))),
        _section("Steps", _figure(steps_picture(recording))),
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
        _section("Slowest samples", _slowest(stats)),
        _section("What ran", _facts(recording)),
    ]
    name = escape(title)
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n<h1>{name}</h1>\n{_head(stats, verdict)}\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )
    # A file's name need not be valid UTF-8; the page must be.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _section(title: str, *parts: str) -> str:
    return (
        f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"
    )


def _figure(drawn: Drawn | str) -> str:
    """A picture with its caption, or why there is none."""
    if isinstance(drawn, str):
        return _none(drawn) if drawn else ""
    picture, caption = drawn
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{picture}{below}</figure>"


def _none(words: str) -> str:
    return f'<p class="none">{escape(words)}</p>'


def _head(stats: LoaderStats, verdict: Verdict) -> str:
    """The verdict, what it rests on, and the figures that sum the run up."""
    evidence = "".join(f"<li>{escape(line)}</li>" for line in verdict.evidence)
    where = "device idle behind the loader" if verdict.by_device else "exposed wait"
    batches = "1 batch" if stats.batches == 1 else f"{stats.batches:,} batches"
    measured = [(f"{stats.samples:,}", f"samples in {batches}")]
    if stats.batches:
        measured.append((duration(stats.first_batch_s), "to the first batch"))
        measured.insert(0, (rate(verdict.images_per_s), "measured, over the whole run"))
    if verdict.kind != "unknown":
        lost = f"of the steady time lost to the loader ({where})"
        measured.insert(1, (percent(verdict.lost_share), lost))
    if stats.failed_batches:
        measured.append((f"{stats.failed_batches:,}", "batches failed"))
    figures = "".join(f"<li><b>{escape(n)}</b><span>{escape(words)}</span></li>" for n, words in measured)
    return (
        f'<div class="verdict"><p>{escape(verdict.headline)}</p>'
        + (f"<ul>{evidence}</ul>" if evidence else "")
        + f'</div>\n<ul class="figures">{figures}</ul>'
    )


def _table(head: Row, rows: Sequence[Row], numbers: int) -> str:
    """A table whose columns from ``numbers`` on are set to the right."""

    def cells(row: Row, tag: str) -> str:
        kinds = ["" if i < numbers else ' class="n"' for i in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(row, kinds))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _cures(recording: Recording, verdict: Verdict) -> str:
    # What is predicted is the steady state's throughput, first batches apart.
    verdict = replace(verdict, images_per_s=steady_rate(recording) or verdict.images_per_s)
    picture = _figure(throughput_picture(verdict))
    if recording.headroom > 0:
        picture += f"<p>With batches from memory the loop took {escape(rate(recording.headroom))}.</p>"
    if not verdict.cures:
        return _none("Nothing to suggest from this recording.") + picture
    rows = [_cure(i + 1, cure, verdict.images_per_s) for i, cure in enumerate(verdict.cures)]
    head = ("", "Change", "How", "Predicted", "Against measured")
    return _table(head, rows, 3) + picture


def _cure(number: int, cure: Cure, measured: float) -> Row:
    if cure.images_per_s <= 0:
        return (f"{number}", cure.what, cure.how, "not predicted", "")
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
    rows = [(part, percent(share)) for part, share in recording.profile.items() if share >= 0.01]
    return _table(("Part of the workers' code", "share of their time at work"), rows, 1)


def _slowest(stats: LoaderStats) -> str:
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
    return _table(("Sample", "File", "time", "of the mean", *stages), rows, 2)


def _facts(recording: Recording) -> str:
    rows = [*recording.facts.items(), *_measured_facts(recording)]
    body = "".join(f'<tr><th scope="row">{escape(a)}</th><td>{escape(b)}</td></tr>' for a, b in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def _measured_facts(recording: Recording) -> list[tuple[str, str]]:
    stats, system = recording.stats, recording.stats.system
    elapsed = max(system.elapsed_s, 1e-9)
    quota = "no quota" if system.quota_cores is None else f"quota {system.quota_cores:g} cores"
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
                f"used for {stats.index.used:,} of {stats.index.samples:,} samples, saved "
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
