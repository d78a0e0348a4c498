"""What the processes that load samples write about it: where their time goes, and images that they opened."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from .profile import Profile
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
        self._counts: Counter[str] = Counter()
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
                self._counts.update(record[0])
                for name in record[1][: max(0, KEPT_FILES - len(self._opened))]:
                    self._opened[name] = None

    def read(self) -> tuple[dict[str, float], list[str]]:
        """Each part's share of all workers' time, and images that they have opened."""
        self.fold()
        counts, opened = self._counts.copy(), list(self._opened)
        for file in self._folder.glob(f"{self._begin}*.json"):
            record = _read(file)
            if record is not None:
                counts.update(record[0])
                opened += record[1]
        total = sum(counts.values())
        return {part: n / total for part, n in counts.most_common()}, opened


def _read(file: Path) -> tuple[dict[str, int], list[str]] | None:
    """None: it is damaged, or half written."""
    try:
        record = json.loads(file.read_text())
        return dict(record["counts"]), list(record["opened"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
