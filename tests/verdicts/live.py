"""Runs the loops, judges them, and says how many verdicts were right.

    python tests/verdicts/live.py [--runs 3] [--only WORD ...] [--record DIR]

Each run is a process of its own. One during which other processes had more than 15 % of the cores says
nothing about the verdict and is repeated, at most five times. Ctrl-C ends it with the
table so far. Exit status 1 where a verdict was wrong or a loop did not run to its end.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from kit import Loop
from loops import CANNOT_RUN, LOOPS

from stoker.diagnosis import Recording, Verdict, judge

MOST_REPEATS = 5
DISTURBED = 0.15  # of the cores' time, used by others
LONGEST_S = 120


@dataclass
class Result:
    """What became of a loop's runs: of each its verdict, and what was wrong with it; the last recording."""

    loop: Loop
    runs: list[tuple[Verdict, str]] = field(default_factory=list)
    last: Recording | None = None
    repeats: int = 0
    skipped: str = ""
    failed: str = ""

    @property
    def ok(self) -> bool:
        return not self.failed and all(not wrong for _, wrong in self.runs)


def file_of(name: str) -> str:
    """The name of a loop's recording."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") + ".json.gz"


def others_share(recording: Recording, stolen_s: float) -> float:
    """Of the cores' time, what had nothing to do with the loop: other processes and other machines."""
    system = recording.stats.system
    cores = max(1, len(system.core_busy))
    used = system.strangers_cores + stolen_s / max(system.elapsed_s, 1e-9)
    return used / cores


def stolen() -> float:
    """Core seconds that a hypervisor has given to others so far."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def wait_for_calm(longest_s: float = 10) -> None:
    """Until others leave the cores alone, or so long."""
    end = time.monotonic() + longest_s
    while psutil.cpu_percent(0.5) > 100 * DISTURBED and time.monotonic() < end:
        pass


def run_once(result: Result, data: Path) -> bool:
    """Whether the run counts."""
    name = result.loop.name
    out = data / "recording.json"
    script = str(Path(__file__).with_name("loops.py"))
    if not result.loop.beside:
        wait_for_calm()
    before = stolen()
    command = [sys.executable, script, name, "--data", str(data), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
    if done.returncode == CANNOT_RUN:
        result.skipped = done.stderr.strip()
        return True
    if done.returncode != 0:
        result.failed = done.stderr.strip().splitlines()[-1] if done.stderr else f"exit {done.returncode}"
        return True
    recording = Recording.from_json(out.read_text())
    out.unlink()
    disturbed = not result.loop.beside and others_share(recording, stolen() - before) > DISTURBED
    if disturbed and result.repeats < MOST_REPEATS:
        result.repeats += 1
        return False
    verdict = judge(recording)
    result.runs.append((verdict, result.loop.truth.wrong(verdict)))
    result.last = recording
    return True


def _short(value: Any) -> Any:
    """Floats with six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_short(inner) for inner in value]
    return value


def trimmed(recording: Recording) -> bytes:
    """The recording without what the verdict does not look at, as a compressed file."""
    steps = tuple(dataclasses.replace(step, blame=()) for step in recording.steps)
    slowest = tuple(
        dataclasses.replace(sample, path=Path(sample.path).name) for sample in recording.stats.slowest
    )
    stats = dataclasses.replace(recording.stats, slowest=slowest)
    less = dataclasses.replace(
        recording, stats=stats, steps=steps, readings=recording.readings[:1] + recording.readings[-1:]
    )
    text = json.dumps(_short(json.loads(less.to_json())), separators=(",", ":"))
    return gzip.compress(text.encode(), 9, mtime=0)


def said(verdict: Verdict) -> str:
    parts = [verdict.kind, verdict.cause, verdict.limit, f"every {verdict.period}" if verdict.period else ""]
    return ", ".join(part for part in parts if part)


def print_result(result: Result) -> None:
    loop = result.loop
    words = Counter(said(verdict) for verdict, _ in result.runs)
    mark = "skipped" if result.skipped else "ok" if result.ok else "WRONG"
    runs = " | ".join(f"{count} × {word}" for word, count in words.items())
    print(
        f"{loop.name:30} {loop.truth!s:44} {mark:8}{result.repeats:2} repeats  "
        f"{result.skipped or result.failed or runs}"
    )
    for verdict, wrong in result.runs:
        if wrong:
            print(f"    {wrong}\n    {verdict.headline}")


def run_all(results: list[Result], runs: int, data: Path, record: Path | None) -> None:
    """In rounds: each loop once, then each once more."""
    for number in range(1, runs + 1):
        for result in results:
            while len(result.runs) < number and not result.skipped and not result.failed:
                run_once(result, data)
            verdict, wrong = result.runs[-1] if result.runs else (None, "")
            words = result.skipped or result.failed or wrong or (said(verdict) if verdict else "")
            print(f"round {number}: {result.loop.name}: {words}", file=sys.stderr, flush=True)
            if record is not None and result.last is not None and not wrong:
                record.mkdir(parents=True, exist_ok=True)
                (record / file_of(result.loop.name)).write_bytes(trimmed(result.last))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="loops with it in their names")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="writes a recording of each that was right"
    )
    arguments = parser.parse_args()
    words = arguments.only or [""]
    results = [Result(entry) for entry in LOOPS.values() if any(word in entry.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_all(results, arguments.runs, Path(folder), arguments.record)
        except KeyboardInterrupt:
            results = [result for result in results if result.runs or result.skipped or result.failed]
    for result in results:
        print_result(result)
    ran = [result for result in results if not result.skipped]
    right = sum(result.ok for result in ran)
    wrong = [wrong for result in ran for _, wrong in result.runs]
    print(
        f"\n{right} of {len(ran)} loops right, {wrong.count('')} of {len(wrong)} runs, "
        f"{sum(result.repeats for result in ran)} repeated, {len(results) - len(ran)} skipped"
    )
    return 0 if right == len(ran) else 1


if __name__ == "__main__":
    sys.exit(main())
