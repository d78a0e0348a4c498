"""What the processes that load samples write about it: where their time goes, and images that they opened."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .profile import Profile, shares_of
from .recording import write_whole

KEPT_FILES = 64  # names of opened images, for trials
_FIRST_WRITE_S, _WRITE_EVERY_S = 0.1, 0.5

_opened: list[str] = []  # by this process


class WorkerFiles:
    """Watches one process load samples for one loader; a failure of its own ends only the watching.

    Attributes:
        pid: of the process; a fork of it begins anew.
    """

    def __init__(self, folder: Path, tag: str) -> None:
        self.pid = os.getpid()
        self._file = folder / f"worker-{tag}-{self.pid}-{time.monotonic_ns()}.json"
        self._ended = False
        self.profile = Profile()
        self._next_s = time.monotonic() + _FIRST_WRITE_S
        remember_opened_images()

    def begin(self) -> None:
        self.profile.begin()

    def end(self) -> None:
        self.profile.end()
        try:
            self._note()
        except Exception:  # it is called from the script's own thread, which shall not notice
            self._ended = True

    def _note(self) -> None:
        if time.monotonic() >= self._next_s and not self._ended:
            self._next_s = time.monotonic() + _WRITE_EVERY_S
            remember_opened_images()
            self.write()

    def write(self) -> None:
        try:
            write_whole(self._file, json.dumps({**self.profile.to_dict(), "opened": _opened}))
        except OSError:  # stoker diagnose is gone, and its folder; or the disk is full
            self._ended = True


class WorkerProfiles:
    """What the processes have written that load samples for one loader. Of those that have ended only the sum
    is kept, so that files and time stay as few as the workers of the last epoch, however long the run.

    Threads: one at a time, in the process that has the loader.
    """

    def __init__(self, folder: Path, tag: str) -> None:
        self._folder = folder
        self._begin = f"worker-{tag}-"
        self._ended = _Sums()
        self._opened: dict[str, None] = {}

    def fold(self) -> None:
        """Takes the files of ended processes into the sum."""
        for file in self._folder.glob(f"{self._begin}*"):
            if psutil.pid_exists(int(file.name.removeprefix(self._begin).split("-")[0])):
                continue
            record = _read(file)
            try:
                file.unlink()
            except OSError:  # it is counted as that of one that lives
                continue
            if record is not None:
                self._ended.add(record)
                for name in record.opened[: max(0, KEPT_FILES - len(self._opened))]:
                    self._opened[name] = None

    def read(self) -> tuple[Profiled, list[str]]:
        """What all workers' time went into, and images that they have opened."""
        self.fold()
        sums, opened = _Sums(), list(self._opened)
        sums.add(self._ended)
        for file in self._folder.glob(f"{self._begin}*.json"):
            record = _read(file)
            if record is not None:
                sums.add(record)
                opened += record.opened
        return sums.profiled(), opened


@dataclass(frozen=True)
class Profiled:
    """What the workers' time went into: see stoker.diagnosis.Recording."""

    profile: dict[str, float]
    loops: dict[str, float]
    looks: int
    profile_failed: str


class _Sums:
    """Of some workers."""

    def __init__(self) -> None:
        self.spent_ns: Counter[str] = Counter()
        self.loop_ns: Counter[str] = Counter()
        self.looks = 0
        self.failed = ""
        self.opened: list[str] = []

    def add(self, other: _Sums) -> None:
        self.spent_ns.update(other.spent_ns)
        self.loop_ns.update(other.loop_ns)
        self.looks += other.looks
        self.failed = self.failed or other.failed

    def profiled(self) -> Profiled:
        loops = {part: ns / self.spent_ns[part] for part, ns in self.loop_ns.items() if self.spent_ns[part]}
        return Profiled(shares_of(self.spent_ns), loops, self.looks, self.failed)


def _read(file: Path) -> _Sums | None:
    """None: it is damaged, or half written."""
    made = _Sums()
    try:
        record = json.loads(file.read_text())
        for sums, name in ((made.spent_ns, "spent_ns"), (made.loop_ns, "loop_ns")):
            sums.update({str(part): int(ns) for part, ns in record[name].items()})
        made.looks, made.failed = int(record["looks"]), str(record["failed"])
        made.opened = [str(name) for name in record["opened"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return made


def remember_opened_images() -> None:
    """Notes the files of images that Pillow opens from now on, where it has been imported.

    By its method: a function that is replaced, as PIL.Image.open, could no longer be pickled.
    """
    image_file: Any = getattr(sys.modules.get("PIL.ImageFile"), "ImageFile", None)
    if image_file is None or hasattr(image_file.__init__, "__wrapped__"):
        return
    begin = image_file.__init__

    @functools.wraps(begin)
    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        name = getattr(self, "filename", "") or getattr(self.fp, "name", "")
        if len(_opened) < KEPT_FILES and name and isinstance(name, str):
            with contextlib.suppress(OSError):
                _opened.append(os.path.abspath(name))

    image_file.__init__ = remembering
