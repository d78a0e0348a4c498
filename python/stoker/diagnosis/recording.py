"""A recording: all that is known of a run, from which verdict, report and pictures are made, now or later."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._shown import Shown
from ..stats.clocks import StepRecord
from ..stats.records import LoaderStats
from ..stats.system import SystemReading
from ._words import counted

VERSION = 1


@dataclass(frozen=True, repr=False)
class Recording(Shown):
    """What a loader measured.

    Attributes:
        stats: since it was made.
        steps: the last steps, one by one (at most STEPS_KEPT).
        readings: of the system's counters, the earliest first, the latest one last.
        facts: name → words: what ran, for a reader: "dataset", "transform", "torch", ….
        profile: under ``stoker diagnose``, on the Python path: part of a worker's code → share of its time
            at work, by looking at its stack now and then. Parts: "read", "decode", "transform: NAME",
            "python: FUNCTION (FILE:LINE)", "collate".
        headroom: images/s that the loop took when it was given the same batches again and again, with
            nothing to load; 0: not tried.
        variants: CPU time per image that the loader would take with another setting, as a share of what
            it takes now: from trials on the run's own samples. Keys: see stoker.diagnosis.trial.
        source_lines: of parts of the profile, the line of source.
    """

    stats: LoaderStats
    steps: tuple[StepRecord, ...]
    readings: tuple[SystemReading, ...]
    facts: dict[str, str]
    variants: dict[str, float]
    profile: dict[str, float] = field(default_factory=dict)
    headroom: float = 0.0
    source_lines: dict[str, str] = field(default_factory=dict)

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
        except ValueError:
            raise ValueError("not a recording of stoker's") from None
        return Recording.from_dict(record)

    @staticmethod
    def from_dict(record: Any) -> Recording:
        """Raises ValueError for what is no recording, or another version's."""
        try:
            version = record["version"]
            if version == VERSION:
                return Recording._of(record)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError("not a recording of stoker's") from None
        raise ValueError(f"a recording of version {version}; this stoker reads version {VERSION}")

    @staticmethod
    def _of(record: dict[str, Any]) -> Recording:
        return Recording(
            LoaderStats.from_dict(record["stats"]),
            tuple(StepRecord(**{**s, "blame": tuple(s["blame"])}) for s in record["steps"]),
            tuple(_reading(r) for r in record["readings"]),
            dict(record["facts"]),
            dict(record["variants"]),
            dict(record.get("profile", {})),
            float(record.get("headroom", 0.0)),
            dict(record.get("source_lines", {})),
        )


def _reading(record: dict[str, Any]) -> SystemReading:
    busy = tuple(record.get("worker_busy_s", ()))  # which earlier recordings do not have
    return SystemReading(**{**record, "core_busy_s": tuple(record["core_busy_s"]), "worker_busy_s": busy})


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
