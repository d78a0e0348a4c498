"""Samples that cannot be loaded: what is done about them, and the record of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from ._arguments import expanded
from ._printable import json_printable, printable, printable_name
from ._shown import Shown
from ._words import counted

OnError = Literal["raise", "skip", "replace"]

_KEPT = 100_000
# How many others are tried in place of one bad sample.
MAX_REPLACEMENTS = 100


@dataclass(frozen=True, repr=False)
class BadSample(Shown):
    """One failure to load a sample.

    Attributes:
        epoch: of this loader, from 0.
        batch: within the epoch, from 0.
        index: of the sample in the loader's dataset.
        path: of its file, as ``os.fsdecode`` has it; "" where that is not known.
        stage: "read", "decode" or "transform"; "python" where Python code raised.
        reason: what went wrong, in words.
        action: "raised", "skipped" or "replaced".
        replaced_by: the index of the sample that stands in its place, or None.
    """

    epoch: int
    batch: int
    index: int
    path: str
    stage: str
    reason: str
    action: str
    replaced_by: int | None = None

    def __str__(self) -> str:
        where = f" ({self.path!r})" if self.path else ""
        by = f" by sample {self.replaced_by:,}" if self.replaced_by is not None else ""
        return (
            f"bad sample {self.index:,}{where}, {self.action}{by} in batch {self.batch:,} of epoch"
            f" {self.epoch}: {self.stage}: {self.reason}"
        )


class TooManyErrorsError(RuntimeError):
    """More samples of one epoch were bad than ``max_errors`` allows."""


def reason_of(error: Exception) -> str:
    """An exception in one line, with the place that it comes from."""
    try:
        words = str(error)
    except Exception as e:  # an exception whose text raises is one sample's failure as well
        words = f"(its text raised {type(e).__name__})"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {words} ({where.filename}, line {where.lineno}, in {where.name})"


def check(on_error: str, max_errors: float | None) -> None:
    """Raises ValueError or TypeError for what cannot be a loader's arguments."""
    if on_error not in ("raise", "skip", "replace"):
        raise ValueError(f'on_error must be "raise", "skip" or "replace", got {on_error!r}')
    if max_errors is None:
        return
    if isinstance(max_errors, bool) or not isinstance(max_errors, (int, float)):
        raise TypeError(f"max_errors must be an int, a fraction or None, got {max_errors!r}")
    if max_errors < 0 or (isinstance(max_errors, float) and max_errors > 1):
        raise ValueError(f"max_errors must be a count >= 0 or a fraction in [0, 1], got {max_errors!r}")


def replacement(base_seed: int, epoch: int, index: int, occurrence: int, attempt: int, size: int) -> int:
    """The sample tried in place of a bad one: a function of its arguments, the same in every run."""
    key = struct.pack("<QqqQQ", base_seed & (2**64 - 1), epoch, index, occurrence, attempt)
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") % size


def _words(bad: BadSample) -> str:
    return f"{bad.index:,} ({printable_name(bad.path) or 'no file'}): {printable(bad.reason)}"


@dataclass
class EpochErrors:
    """How many samples of one epoch, as one iterator gives it, were bad."""

    number: int = -1
    bad: int = 0


class ErrorLog:
    """What was bad, in memory (the last 100,000) and in the manifest; and whether it is too much.

    Threads: one at a time.
    """

    def __init__(
        self, on_error: OnError, max_errors: float | None, manifest: str | os.PathLike[str] | None
    ) -> None:
        check(on_error, max_errors)
        self.on_error: OnError = on_error
        self.max_errors = max_errors
        self.manifest = None if manifest is None else expanded(manifest)
        self.records: deque[BadSample] = deque(maxlen=_KEPT)
        self.epoch = EpochErrors()  # of the latest iterator

    def epoch_begins(self, number: int | None = None, so_far: int = 0) -> None:
        """``number``: of a resumed run's epoch; ``so_far``: how many were bad before this point of it."""
        self.epoch = EpochErrors(self.epoch.number + 1 if number is None else number, so_far)

    def add(self, bad: BadSample, epoch: EpochErrors, samples_in_epoch: int) -> None:
        """Record ``bad``, which ``epoch`` has had.

        Raises:
            TooManyErrorsError: that makes it too many.
            OSError: the manifest cannot be written.
        """
        self.records.append(bad)
        epoch.bad += 1
        if self.manifest is not None:
            line = json_printable(json.dumps(dataclasses.asdict(bad), ensure_ascii=False, default=str)) + "\n"
            # One write to a file opened for appending: lines of several ranks do not mix.
            fd = os.open(self.manifest, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(fd, line.encode())
            finally:
                os.close(fd)
        if self.on_error == "raise" or self.max_errors is None:
            return
        limit = self.max_errors
        allowed = int(limit * samples_in_epoch) if isinstance(limit, float) else limit
        if epoch.bad > allowed:
            share = f" ({limit:g} of {samples_in_epoch:,})" if isinstance(limit, float) else ""
            raise TooManyErrorsError(
                f"{counted(epoch.bad, 'sample')} of this epoch could not be loaded, and max_errors allows "
                f"{allowed:,}{share}; the last was sample {_words(bad)}"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "records": deque(maxlen=_KEPT), "epoch": EpochErrors()}

    def check_for_nothing(self, epoch: EpochErrors) -> None:
        """At the end of an epoch that has given nothing.

        Raises:
            TooManyErrorsError: because all of its samples were bad.
        """
        if epoch.bad and self.on_error != "raise" and self.records:
            last = self.records[-1]
            raise TooManyErrorsError(
                f"not one sample of this epoch could be loaded, of {epoch.bad:,}; the last was sample "
                f"{_words(last)}"
            )
