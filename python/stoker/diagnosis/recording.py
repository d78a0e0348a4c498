"""A recording: all that is known of a run, from which verdict, report and pictures are made, now or later."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._shown import Shown
from .._typed import made
from ..stats.clocks import StepRecord
from ..stats.records import BOUNDS, LoaderStats
from ..stats.system import SystemReading
from ._words import counted

VERSION = 1
LEAST_LOOKS = 30  # at the workers' stacks, before the largest part of their profile means something


@dataclass(frozen=True, repr=False)
class Recording(Shown):
    """What a loader measured.

    Attributes:
        stats: since it was made.
        steps: the last steps, one by one (at most STEPS_KEPT).
        readings: of the system's counters, the earliest first, the latest one last.
        facts: name → words: what ran, for a reader: "dataset", "transform", "torch", ….
        profile: under ``stoker diagnose``, on the Python path: part of a worker's code → share of its time
            on a core or asleep at work, by looking at its stack now and then. Parts: "read", "decode",
            "transform: NAME", "python: FUNCTION (FILE:LINE)", "collate".
        loops: of such a part, the share of its time that was spent in loops of the script's own.
        looks: how often the stacks were looked at; 0: not known.
        profile_failed: what has ended the looks too early, as the name of an error; "": nothing.
        headroom: images/s that the loop took when it was given the same batches again and again, with
            nothing to load; 0: not tried.
        variants: CPU time per image that the loader would take with another setting, as a share of what
            it takes now: from trials on the run's own samples. Keys: see stoker.diagnosis.trial; under
            ``stoker diagnose`` "native" or "images", see stoker.diagnosis.metered.
        source_lines: of parts of the profile, the line of source.
    """

    stats: LoaderStats
    steps: tuple[StepRecord, ...]
    readings: tuple[SystemReading, ...]
    facts: dict[str, str]
    variants: dict[str, float]
    profile: dict[str, float] = field(default_factory=dict)
    headroom: float = 0.0
    loops: dict[str, float] = field(default_factory=dict)
    looks: int = 0
    profile_failed: str = ""
    source_lines: dict[str, str] = field(default_factory=dict)

    @property
    def few_looks(self) -> bool:
        """Too few for the profile to tell which part takes most of the time."""
        return 0 < self.looks < LEAST_LOOKS

    def __str__(self) -> str:
        steps, batches = len(self.steps), counted(self.stats.batches, "batch", "batches")
        return f"Recording of {batches}, the last {steps:,} step by step, {self.stats.path} path"

    def to_dict(self) -> dict[str, Any]:
        """Of types that JSON has; ``from_dict`` is its inverse."""
        return {
            "version": VERSION,
            "stats": self.stats.to_dict(),
            "steps": [asdict(step) for step in self.steps],
            "readings": [asdict(reading) for reading in self.readings],
            "facts": self.facts,
            "variants": self.variants,
            "profile": self.profile,
            "headroom": self.headroom,
            "loops": self.loops,
            "looks": self.looks,
            "profile_failed": self.profile_failed,
            "source_lines": self.source_lines,
        }

    def to_json(self) -> str:
        """One JSON object; ``from_json`` is its inverse."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_json(text: str) -> Recording:
        """Raises ValueError for what is no recording, or another version's."""
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("not a recording of stoker's: no JSON") from None
        return Recording.from_dict(record)

    @staticmethod
    def from_dict(record: Any) -> Recording:
        """Raises ValueError for what is no recording, or another version's."""
        if not isinstance(record, dict) or "version" not in record:
            raise ValueError("not a recording of stoker's: it has no version")
        version = record["version"]
        if type(version) is not int or version != VERSION:
            raise ValueError(f"a recording of version {version!a:.20}; this stoker reads version {VERSION}")
        try:
            known = _known(Recording, record)
            return made(Recording, {**known, "stats": _known(LoaderStats, known.get("stats"))}, BOUNDS)
        except ValueError as error:
            raise ValueError(f"not a recording of stoker's: {error}") from None


def _known(kind: type, record: Any) -> Any:
    """What is a field of it: to_dict has more."""
    if not isinstance(record, dict):
        return record
    return {name: value for name, value in record.items() if name in kind.__dict__["__dataclass_fields__"]}


def write_whole(file: Path, text: str) -> None:
    """The file has the old text or the new one, whatever happens.

    What is no file of its own (a link, a pipe, a device such as /dev/stdout) stays, and is written into.
    """
    if file.is_symlink() or (file.exists() and not file.is_file()):
        file.write_text(text, encoding="utf-8")
        return
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
