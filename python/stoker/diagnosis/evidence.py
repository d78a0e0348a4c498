"""The figures that a verdict rests on, a line each. Pure."""

from __future__ import annotations

from ._words import cores_of, counted, duration, percent
from .hot import hottest
from .limits import Limit, inner_threads_s, loading_cpu_s
from .recording import Recording
from .steady import Bursts, Steady

MUCH = 0.25  # of the time at work without a core, or of the cores by other programs


def evidence_of(
    recording: Recording, steady: Steady, bursts: Bursts | None, kind: str, limit: Limit
) -> list[str]:
    """What a reader needs to believe the verdict."""
    stats = recording.stats
    usage, system = stats.usage, stats.system
    lines = []
    if steady.by_device and abs(steady.wait_s - steady.idle_s) > 0.05 * steady.time_s:
        hidden = steady.wait_s / max(steady.time_s, 1e-9)
        lines.append(f"the host waited {percent(hidden)}, of which work still queued on the device hid some")
    if limit == "storage" and stats.path == "native":
        lines.append(
            f"{usage.slow_reads.count:,} of {counted(usage.reads, 'read')} waited for storage, "
            f"{duration(usage.slow_reads.mean_s)} each"
        )
    elif limit in ("storage", "asleep"):
        who = "the workers" if stats.workers else "the loop's thread"
        lines.append(f"{who} slept for {percent(usage.share(usage.asleep_s))} of the time at work")
    elapsed = max(system.elapsed_s, 1e-9)
    mine = system.process_cpu_s / elapsed
    if limit == "quota" and system.quota_cores is not None:
        shared = f", {system.others_cores:.1f} by other processes in it" if system.group_cpu_s else ""
        lines.append(
            f"quota {cores_of(system.quota_cores)}, of which {mine:.1f} were used{shared}; it held"
            f" threads back in {percent(system.throttled_share)} of its periods"
        )
    if limit == "oversubscription":
        lines.append(_no_core(recording))
        own = max(0.0, system.process_cpu_s - loading_cpu_s(stats)) / elapsed
        lines.append(
            f"other threads of this process used {own:.1f} cores, other processes {system.others_cores:.1f}"
        )
        if system.stolen_s > 0.05 * elapsed:
            lines.append(f"the hypervisor ran other machines on {system.stolen_s / elapsed:.1f} of the cores")
        if inner_threads_s(stats) > 0:
            lines.append(
                f"the worker processes used {system.worker_cpu_s / elapsed:.1f} cores, the threads that load"
                f" {usage.cpu_s / elapsed:.1f} of them"
            )
    elif kind in ("loader-bound", "balanced"):
        lines += _beside(recording)
    if kind == "loader-bound":
        lines += _looks(recording)
    if kind in ("loader-bound", "balanced") and system.ranks > 1:
        lines.append(
            f"{system.ranks} ranks share {system.all_cores - system.strangers_cores:.3g} of"
            f" {system.all_cores:g} cores, which other processes leave: {system.my_cores:.3g} for this one"
        )
    if limit == "hand-over" and stats.path == "native":
        lines.append(
            f"a batch was ready at {percent(stats.ready_share)} of requests; to take one over took"
            f" {duration(stats.wait.p50_s)} (median)"
        )
    elif limit == "hand-over":
        lines.append(
            "each batch goes from a worker process through shared memory to the loop's own thread"
            + ("" if recording.facts.get("pin_memory") != "True" else ", by way of the one that pins it")
        )
    if steady.left_out:
        lines.append(
            f"left out: {counted(len(steady.left_out), 'very long step')}, of up to"
            f" {max(steady.left_out):.1f} s, as for a compilation, a checkpoint or a validation"
        )
    slow = stats.slowest[0] if stats.slowest else None
    if kind == "bursty" and slow is not None and bursts is not None:
        typical = sum(stats.stages[name].mean_s for name in slow.stages if name in stats.stages)
        if slow.total_s > 20 * typical and slow.total_s > 0.3 * bursts.mean_s:
            name = f" ({slow.path})" if slow.path else ""
            lines.append(
                f"sample {slow.index:,}{name} took {slow.total_s:.2f} s, "
                f"{slow.total_s / max(typical, 1e-9):,.0f} times the mean"
            )
    return lines


def _no_core(recording: Recording) -> str:
    usage = recording.stats.usage
    share = percent(usage.share(usage.no_core_s))
    if recording.stats.workers == 0:
        return f"the loop's thread was ready to run, but had no core, for {share} of its time at work"
    return f"workers that were ready to run had no core for {share} of their time"


def _beside(recording: Recording) -> list[str]:
    """What other programs have of the cores, where that is much, though something else is the limit."""
    usage, system = recording.stats.usage, recording.stats.system
    lines = [_no_core(recording)] if usage.share(usage.no_core_s) > MUCH else []
    if system.strangers_cores > MUCH * system.all_cores:
        lines.append(
            f"the machine's other processes used {system.strangers_cores:.1f} of {system.all_cores:g} cores"
        )
    return lines


def _looks(recording: Recording) -> list[str]:
    """What the profile says, and on how many looks at the stacks it rests."""
    who = "workers'" if recording.stats.workers else "loop's"
    looks = counted(recording.looks, f"look at the {who} stack", f"looks at the {who} stacks")
    lines = []
    hot = hottest(recording)
    if hot is not None:
        by = f", by {looks}" if recording.looks else ""
        lines.append(f"{hot.words} took {percent(hot.share)} of the time at work{by}")
    if recording.few_looks:
        lines.append(f"only {looks}: too few to tell which part of the code takes the time")
    if recording.profile_failed:
        lines.append(f"the looks at the stacks have ended too early ({recording.profile_failed})")
    return lines
