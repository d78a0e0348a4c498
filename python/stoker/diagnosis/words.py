"""A recording and its verdict in words: verdict first, evidence under it, what to do last."""

from __future__ import annotations

from .._printable import printable
from ..stats.records import LoaderStats
from ._words import cores_of, counted, duration
from .cures import enough_workers
from .model import steady_rate
from .recording import Recording
from .steady import steady_of
from .verdict import Cure, Verdict

_BAR = 28


def _steps(recording: Recording, verdict: Verdict) -> list[str]:
    stats = recording.stats
    steady = steady_of(recording)
    if steady.steps == 0:
        return [f"  {_batches(recording)} · first batch {duration(stats.first_batch_s)}"]
    steps = steady.steps
    wait, all_of_it = steady.wait_s / steps, steady.time_s / steps
    lines = [
        f"  step {duration(all_of_it)} = {duration(all_of_it - wait)} training + {duration(wait)} waiting for"
        f" data    {_batches(recording)} · first batch {duration(stats.first_batch_s)}"
    ]
    if stats.device is not None and steady.by_device:
        lines.append(
            f"  {stats.device.kind} idle behind the loader {duration(steady.idle_s / steps)} a step"
            " (events, no synchronisation)"
        )
    elif stats.device is None:
        lines.append("  device idle behind the loader: not measured, no accelerator is in use")
    return lines


def _batches(recording: Recording) -> str:
    kept, all_of_them = len(recording.steps), recording.stats.batches
    every = counted(all_of_them, "batch", "batches")
    return f"the last {kept:,} of {every}" if kept < all_of_them else every


def _stages(stats: LoaderStats) -> list[str]:
    if not stats.stages:
        return []
    total = max(stats.workers_time_s, 1e-12)
    lines = ["", "  stage       share of worker time    p50        p99        per image"]
    for name, s in stats.stages.items():
        if s.total_s == 0:
            continue
        share = s.total_s / total
        bar = "█" * round(share * _BAR)
        if name == "collate":
            bar += " (times are per batch)"
        quantiles = f"{duration(s.p50_s):<10} {duration(s.p99_s):<10}"
        lines.append(f"  {name:<12}{share:>8.1%}              {quantiles} {bar}".rstrip())
    off = {"waiting": (stats.waiting_s, "for a free slot: the training loop is slower")}
    if stats.path == "native":
        off["idle"] = (stats.idle_s, "nothing asked for (between epochs, at an epoch's end)")
    else:
        off["waiting"] = (stats.waiting_s, "for the training loop")
    if stats.workers or stats.path == "native":
        lines += [f"  {name:<12}{s / total:>8.1%}              {why}" for name, (s, why) in off.items()]
    return lines


def _profile(recording: Recording) -> list[str]:
    """Where Python's time goes, the largest parts first."""
    parts = [(part, share) for part, share in recording.profile.items() if share >= 0.02]
    if not parts:
        return []
    who = "workers'" if recording.stats.workers else "loop's"
    looks = counted(recording.looks, "look", "looks") + f" at the {who} stack" + "s" * (recording.looks != 1)
    by = f"by {'only ' * recording.few_looks}{looks}" if recording.looks else "by looking at their stacks"
    lines = ["", f"  of the {who} time in Python, {by}"]
    return [*lines, *(f"  {share:>8.1%}  {part.removeprefix('python: ')}" for part, share in parts[:8]), ""]


def _machine(stats: LoaderStats) -> list[str]:
    system = stats.system
    elapsed = max(system.elapsed_s, 1e-9)
    cores = f"usable cores {system.usable_cores}"
    if system.quota_cores is not None:
        cores = f"quota {cores_of(system.quota_cores)}"
    if system.machine_cpu_s > 0:
        busy = system.machine_cpu_s / elapsed / max(1, len(system.core_busy))
        mine = system.process_cpu_s / elapsed
        workers = " and its workers" if stats.path == "python" and stats.workers else ""
        cores += f", busy {busy:.0%} ({cores_of(mine, 1)} by this process{workers})"
    what = "workers" if stats.path == "native" else "worker processes"
    line = f"  {what} {stats.workers} · {cores}"
    if stats.path == "native":
        line += f" · batch ready at {stats.ready_share:.0%} of requests"
    lines = [f"{line} · {stats.images_per_s:,.0f} images/s"]
    slow = stats.usage.slow_reads
    if slow.count > 0.01 * stats.usage.reads:
        lines.append(
            f"  storage: {slow.count:,} of {counted(stats.usage.reads, 'read')} waited for it,"
            f" {duration(slow.mean_s)} each; the others came from memory"
        )
    return lines


def _index(stats: LoaderStats) -> list[str]:
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
            f"  decode index: {counted(index.rejected, 'entry', 'entries')} did not fit the files and went"
            " unused; stoker index DIR --verify tells which"
        )
    if stats.index_problem:
        lines.append(f"  decode index: nothing is added to it: {stats.index_problem}")
    return lines


def _bad(stats: LoaderStats) -> list[str]:
    """What became of samples that could not be loaded."""
    lines = []
    if stats.failed_batches:
        were = "was" if stats.failed_batches == 1 else "were"
        lost = counted(stats.failed_batches, "batch", "batches")
        lines.append(f"  {lost} {were} lost to samples that could not be loaded")
    done = [f"{n:,} {what}" for n, what in ((stats.skipped, "skipped"), (stats.replaced, "replaced")) if n]
    if done:
        both = counted(stats.skipped + stats.replaced, "sample")
        lines.append(f"  {both} could not be loaded: {', '.join(done)} (loader.errors says which)")
    return lines


def cure_lines(cures: tuple[Cure, ...], measured: float, verdict: Verdict) -> list[str]:
    """The cures as a numbered table."""
    if not cures:
        return []
    lines = ["", "What would help, best first"]
    width = max(len(c.what) for c in cures)
    for n, cure in enumerate(cures, 1):
        rate = (
            f"{measured:,.0f} → {cure.images_per_s:,.0f} images/s" if cure.images_per_s else "not predicted"
        )
        lines.append(f"  {n}. {cure.what:<{width}}   {rate:<28} {cure.how}".rstrip())
    if verdict.kind in ("loader-bound", "balanced"):
        lines.append(f"  the step's own pace is {verdict.pace:,.0f} images/s")
    return lines


def render(recording: Recording, verdict: Verdict, details: bool | None = None) -> str:
    """The report. ``details``: figures under the verdict; None: unless all is well."""
    stats = recording.stats
    if stats.batches == 0:
        return "Nothing to report yet: no batch has been handed over."
    headline = verdict.headline
    if verdict.kind == "accelerator-bound":
        enough = enough_workers(recording, verdict)
        if enough:
            headline = headline.removesuffix(".") + f" ({enough} of {stats.workers} workers would be enough)."
    lines = [headline, *(f"  {line}" for line in verdict.evidence)]
    if details is None:
        details = verdict.kind != "accelerator-bound" or bool(_bad(stats) or stats.index_problem)
    if not details:
        return "\n".join(map(printable, lines))
    lines += ["", *_steps(recording, verdict)]
    if stats.path == "python" and recording.facts.get("plan"):
        lines.append(f"  served by PyTorch's own iteration: {recording.facts['plan']}")
    lines += [*_stages(stats), *_profile(recording), *_machine(stats), *_index(stats)]
    lines += _bad(stats)
    lines += cure_lines(verdict.cures, steady_rate(recording), verdict)
    return "\n".join(map(printable, lines))
