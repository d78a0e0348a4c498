"""What the processes of a run have written, in order, and in words."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .._printable import printable, printable_name
from ._words import counted
from .cures import with_cures
from .recording import Recording
from .verdict import LOST_SOME, Verdict, judge
from .words import render


@dataclass(frozen=True)
class Finding:
    """What was found of one loader in one process.

    Attributes:
        pid, rank: of the process; rank "" where it has none.
        final: whether the recording was finished; a process that was killed leaves its last one.
        number: the loader's, in its process.
        run: what is the same in all ranks that train together; "" where there is no other.
        world: how many they are, on all machines.
        waits_for: ranks whose loaders keep this one waiting, in words; "" where none does.
    """

    pid: int
    rank: str
    final: bool
    recording: Recording
    verdict: Verdict
    number: int = 0
    run: str = ""
    world: int = 1
    waits_for: str = ""

    @property
    def time_s(self) -> float:
        stats = self.recording.stats
        return stats.wait.total_s + stats.step.total_s

    @property
    def lost_share(self) -> float:
        """Of the steady time, that lost to the loader; below 0 where it is not known yet."""
        return -1.0 if self.verdict.kind == "unknown" else self.verdict.lost_share


def findings_in(folder: Path) -> list[Finding]:
    """What the processes have written, the loader that took most of the time first; of one loader's ranks
    that which lost most to it, as the others wait for it.

    A file that is damaged says nothing.
    """
    found = []
    for file in sorted(folder.glob("loader-*.json")):
        try:
            found.append(_finding(json.loads(file.read_text())))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue  # half written, or not by this version of it
    groups = [_in_order(group) for group in together(found)]
    groups.sort(key=lambda group: -max(f.time_s for f in group))
    return [finding for group in groups for finding in group]


def _finding(record: dict[str, Any]) -> Finding:
    recording = Recording.from_dict(record["recording"])
    return Finding(
        int(record["pid"]),
        str(record["rank"]),
        bool(record["final"]),
        recording,
        with_cures(recording, judge(recording)),
        int(record.get("number", 0)),
        str(record.get("run", "")),
        int(record.get("world", 1)),
    )


def together(found: Sequence[Finding]) -> list[list[Finding]]:
    """The findings of each loader, in all ranks that have it: those made alike, in the same order."""
    groups: dict[object, list[Finding]] = {}
    before: Counter[object] = Counter()  # of this kind, in this rank
    for finding in sorted(found, key=lambda f: (f.pid, f.number)):
        if not finding.rank or finding.world < 2:
            groups[finding.pid, finding.number] = [finding]
            continue
        facts = finding.recording.facts
        kind = (finding.run, finding.world, *(facts.get(name) for name in ("dataset", "batch", "workers")))
        groups.setdefault((kind, before[finding.rank, kind]), []).append(finding)
        before[finding.rank, kind] += 1
    return list(groups.values())


def _in_order(ranks: list[Finding]) -> list[Finding]:
    """One loader's ranks, that first which lost most to it; and what that is to the others."""
    known = sorted((f for f in ranks if f.lost_share >= 0), key=lambda f: -f.lost_share)
    unknown = [f for f in ranks if f.lost_share < 0]
    if len(known) < 2:
        return known + unknown
    most = known[0].lost_share
    late = [f for f in known if f.lost_share >= most / 2]
    others = known[len(late) :]
    if most < LOST_SOME or len(late) > len(known) / 2:
        return known + unknown
    names = "rank " + late[0].rank
    if len(late) > 1:
        names = "ranks " + ", ".join(sorted((f.rank for f in late), key=lambda r: (len(r), r)))
    wait = "waits most for its data" if len(late) == 1 else "wait most for their data"
    seen = "" if len(ranks) >= known[0].world else f" ({len(ranks)} of them were seen)"
    whom = "it" if len(late) == 1 else "them"
    words = (
        f"{names} of {known[0].world}{seen} {wait}: {most:.0%} of the time, the others"
        f" {others[0].lost_share:.0%} at most; the others wait for {whom}"
    )
    first = late[0].verdict
    late[0] = replace(late[0], verdict=replace(first, evidence=(words, *first.evidence)))
    return [*late, *(replace(f, waits_for=names) for f in others), *unknown]


def words_for(
    found: Sequence[Finding], status: int | None, arguments: Sequence[str], headroom_after: int = 0
) -> str:
    """What is printed: the main loader's report, the others in a line each, and how the script ended.

    ``status``: None while it still runs; ``headroom_after``: the steps behind which that was asked for, 0:
    it was not.
    """
    lines = []
    if status:
        lines.append(
            f"The script ended with status {status}{_signal_words(status)}; this is what was seen of it."
        )
    if not found:
        script = " ".join(arguments[:2]) if arguments[0] == "-m" else arguments[0]
        lines.append(
            f"No batch of a DataLoader was seen in {printable_name(script)}: "
            "nothing to diagnose. It must iterate over torch's DataLoader (or Stoker's) in a Python process "
            "that reads PYTHONPATH."
        )
        return "\n".join(lines)
    first, *others = found
    if not first.final:
        lines.append(
            "The process was ended before it could finish its recording; these are its last figures."
        )
    lines.append(render(first.recording, first.verdict, details=True))
    if first.recording.headroom > 0:
        lines.append(
            f"  with batches from memory the loop takes {first.recording.headroom:,.0f} images/s (measured)"
        )
    elif first.recording.stats.batches <= headroom_after:
        batches = counted(first.recording.stats.batches, "batch", "batches")
        lines.append(f"  --headroom: not measured, the loop ended after {batches}, of {headroom_after:,}")
    for other in others:
        where = f"rank {other.rank}" if other.rank else f"process {other.pid}"
        dataset = other.recording.facts.get("dataset", "")
        waits = f" It waits for {other.waits_for}." if other.waits_for else ""
        lines.append(f"\nAlso, {where}, {printable(dataset)}: {other.verdict.headline}{waits}")
    return "\n".join(lines)


def _signal_words(status: int) -> str:
    if status <= 128:
        return ""
    try:
        return f" ({signal.Signals(status - 128).name})"
    except ValueError:
        return ""


def as_json(found: Sequence[Finding], status: int | None) -> str:
    """One object: ``exit_status`` (None while the script still runs) and ``loaders``."""
    return json.dumps({"exit_status": status, "loaders": [_as_dict(f) for f in found]}, indent=2) + "\n"


def _as_dict(finding: Finding) -> dict[str, object]:
    return {
        "pid": finding.pid,
        "rank": finding.rank,
        "final": finding.final,
        "waits_for": finding.waits_for,
        "verdict": asdict(finding.verdict),
        "stats": finding.recording.stats.to_dict(),
        "profile": finding.recording.profile,
        "headroom": finding.recording.headroom,
        "facts": finding.recording.facts,
    }
