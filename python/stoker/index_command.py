"""``stoker index DIR``: make, check and describe the decode index of a folder of images."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from . import _C
from ._cpus import usable_cores
from ._files import image_paths
from ._index_key import open_index
from ._printable import printable, printable_name
from ._words import counted
from .bench import workload_transform
from .datasets import MAX_PIXELS
from .index import Location, estimate_savings, key_file, left_in, named
from .transforms._compile import compile_plan

Progress = Callable[[int, int], None]
"""Called with (images so far, images in all), in the calling thread."""

_CHUNK = 32  # images a task: a fraction of a second, so that Ctrl-C and progress are prompt
_ESTIMATED = 1000  # images that savings are estimated on


@dataclass(frozen=True)
class Failure:
    """An image that has no part in the index, and why."""

    path: str
    stage: str
    reason: str


@dataclass(frozen=True)
class BuildReport:
    """What one ``stoker index DIR`` did.

    Attributes:
        images: found by their names.
        known: had an entry already.
        checkpoints, size_only: got one; size_only: other codings than the common one, small files.
        small: left out because even an entry without checkpoints would take more than 1 %.
        just_changed: left out because they changed within the last two seconds, and may still.
        failures: could not be read or decoded.
        merged: whether the file was written anew, without entries of files that are gone.
    """

    index: str
    images: int
    known: int
    checkpoints: int
    size_only: int
    small: int
    just_changed: int
    failures: list[Failure]
    merged: bool
    seconds: float
    interrupted: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """What ``stoker index DIR --verify`` found: each image's entry against libjpeg-turbo's pixels.

    Attributes:
        others: entries that this user's key has not made, or that are damaged: never used.
    """

    index: str
    images: int
    good: int
    size_only: int
    unknown: int
    small: int
    wrong: int
    others: int
    failures: list[Failure]
    seconds: float


@dataclass(frozen=True)
class InfoReport:
    """What an index covers and what it saves.

    Attributes:
        entries, blocks, index_bytes: of the file; an image that changed has an entry for each state.
        images, data_bytes: found in the folder.
        checkpoints, size_only, unknown, small: images by what the index has of them, as they are now;
            small: nothing, because they are too small for an entry.
        others: have an entry that this user's key has not made, or that is damaged: never used.
        savings: workload → share of the entropy-coded data that a sample need not decode, of what it
            would have to without the index; on images with checkpoints.
    """

    index: str
    entries: int
    blocks: int
    index_bytes: int
    images: int
    data_bytes: int
    checkpoints: int
    size_only: int
    unknown: int
    small: int
    others: int = 0
    failures: list[Failure] = field(default_factory=list)
    savings: dict[str, float] = field(default_factory=dict)


def as_dict(report: BuildReport | VerifyReport | InfoReport) -> dict[str, Any]:
    """The report for JSON."""
    return asdict(report)


def _open(folder: Path, out: Path | None, record: bool) -> tuple[_C.SampleTable, _C.DecodeIndex, Location]:
    root = os.fsencode(folder)
    table = _C.SampleTable(root)
    for path in image_paths(folder):
        table.append(path, 0)
    table.shrink_to_fit()
    location = left_in(root) if out is None else named(root, out)
    if not record and not os.path.exists(location.path):
        raise FileNotFoundError(
            f"{printable_name(os.fsdecode(location.path))} does not exist: make it with stoker index"
        )
    index = open_index(key_file(), table.root, [location.source], record, location.root)
    return table, index, location


class _Survey:
    """Work on all samples of a table, and what came of them: counts by result, failures, bytes.

    Counts what was done even where the wait for it was interrupted.
    """

    def __init__(self, table: _C.SampleTable, index: _C.DecodeIndex) -> None:
        self.counts = [0] * 6
        self.failures: list[tuple[int, str, str]] = []
        self.bytes = 0
        self._table = table
        self._index = index
        self._local = threading.local()  # a builder for each thread
        self._lock = threading.Lock()

    def _work(self, step: str, first: int, last: int) -> int:
        if not hasattr(self._local, "builder"):
            self._local.builder = _C.IndexBuilder(self._index, MAX_PIXELS)
        counts, failures, *read = getattr(self._local.builder, step)(self._table, first, last)
        with self._lock:
            self.counts = [a + b for a, b in zip_longest(self.counts, counts, fillvalue=0)]
            self.failures += failures
            self.bytes += sum(read)
        return last - first

    def run(self, step: str, workers: int | None, on_progress: Progress | None) -> None:
        """Call the builders' ``step`` for all samples; ends early where recording has ended."""
        count = len(self._table)
        workers = usable_cores() if workers is None else workers
        recording = self._index.recording
        chunks = ((first, min(count, first + _CHUNK)) for first in range(0, count, _CHUNK))
        done, running = 0, set[Future[int]]()
        with ThreadPoolExecutor(workers, thread_name_prefix="stoker-index") as pool:
            try:
                while recording == self._index.recording:
                    # A few chunks ahead of the threads, not all of them at once.
                    for first, last in islice(chunks, 2 * workers - len(running)):
                        running.add(pool.submit(self._work, step, first, last))
                    if not running:
                        break
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    done += sum(future.result() for future in finished)
                    if on_progress is not None:
                        on_progress(done, count)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _failures(table: _C.SampleTable, failures: list[tuple[int, str, str]]) -> list[Failure]:
    return [Failure(os.fsdecode(table.path(i)), stage, reason) for i, stage, reason in failures]


def build(
    folder: Path, out: Path | None = None, workers: int | None = None, on_progress: Progress | None = None
) -> BuildReport:
    """Make the index of the images below ``folder``, or add to it what it lacks.

    What is done is kept when it is interrupted or killed, so that the next run goes on from there.

    Raises:
        OSError: the index cannot be written; no images.
        ValueError: ``out`` is something else.
    """
    began = time.perf_counter()
    table, index, location = _open(folder, out, record=True)
    survey, interrupted = _Survey(table, index), False
    try:
        survey.run("build", workers, on_progress)
    except KeyboardInterrupt:
        interrupted = True
    index.flush(True)
    if not index.recording:
        raise OSError(f"the index could not be written: {index.problem}")
    # An index of more than this folder has entries that its images say nothing of.
    whole = location.prefix == b"" and location.root in (b"", os.path.realpath(table.root))
    merged = whole and not interrupted and index.compact_to(table)
    counts = survey.counts
    return BuildReport(
        index=os.fsdecode(location.path),
        images=len(table),
        known=counts[0],
        checkpoints=counts[1],
        size_only=counts[2],
        small=counts[3],
        just_changed=counts[4],
        failures=_failures(table, survey.failures),
        merged=merged,
        seconds=time.perf_counter() - began,
        interrupted=interrupted,
    )


def verify(
    folder: Path, out: Path | None = None, workers: int | None = None, on_progress: Progress | None = None
) -> VerifyReport:
    """Decode every image by libjpeg-turbo and from each of its checkpoints, and compare.

    Raises FileNotFoundError where there is no index.
    """
    began = time.perf_counter()
    table, index, location = _open(folder, out, record=False)
    survey = _Survey(table, index)
    survey.run("verify", workers, on_progress)
    good, size_only, unknown, small, wrong, others = survey.counts
    return VerifyReport(
        index=os.fsdecode(location.path),
        images=len(table),
        good=good,
        size_only=size_only,
        unknown=unknown,
        small=small,
        wrong=wrong,
        others=others,
        failures=_failures(table, survey.failures),
        seconds=time.perf_counter() - began,
    )


def info(folder: Path, out: Path | None = None, workers: int | None = None) -> InfoReport:
    """What the index of the images below ``folder`` covers and saves; opens files, reads none.

    Raises FileNotFoundError where there is no index.
    """
    table, index, location = _open(folder, out, record=False)
    path = os.fsdecode(location.path)
    (source,) = index.sources()
    if not source["good"]:
        raise ValueError(f"{printable_name(path)} {source['state']}")
    survey = _Survey(table, index)
    survey.run("survey", workers, None)
    savings = {}
    for workload in ("W1", "W2"):
        share = estimate_savings(index, table, compile_plan(workload_transform(workload)), _ESTIMATED)
        if share is not None:
            savings[workload] = share
    return InfoReport(
        index=path,
        entries=source["entries"],
        blocks=source["blocks"],
        index_bytes=source["bytes"],
        images=len(table),
        data_bytes=survey.bytes,
        checkpoints=survey.counts[0],
        size_only=survey.counts[1],
        unknown=survey.counts[2],
        small=survey.counts[3],
        others=survey.counts[5],
        failures=_failures(table, survey.failures),
        savings=savings,
    )


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _failure_lines(failures: list[Failure]) -> list[str]:
    if not failures:
        return []
    have = "has" if len(failures) == 1 else "have"
    lines = [f"  {counted(len(failures), 'image')} {have} no part in it:"]
    lines += [f"    {f.path}: cannot {f.stage}: {f.reason}" for f in failures[:5]]
    return [*lines, *(["    …"] if len(failures) > 5 else [])]


def render_build(report: BuildReport) -> str:
    """The report in words."""
    made = report.checkpoints + report.size_only
    done = f"{report.index}: {counted(made, 'entry', 'entries')} added, {report.known:,} already there"
    if report.interrupted:
        done = f"Interrupted. {done}; run the same command again to go on."
    lines = [
        done,
        f"  {counted(report.images, 'image')} · new ones: {report.checkpoints:,} with checkpoints,"
        f" {report.size_only:,} with their size only · {report.small:,} too small for an entry"
        f" · {report.seconds:.1f} s",
    ]
    if report.just_changed:
        lines.append(
            f"  {counted(report.just_changed, 'image')} left out, changed a moment ago: run the command again"
        )
    if report.merged:
        lines.append("  merged into one block, without entries of files that are gone")
    return "\n".join(map(printable, [*lines, *_failure_lines(report.failures)]))


_OTHERS = "This user's key has not made them, or they are damaged: stoker index DIR makes them anew."


def render_verify(report: VerifyReport) -> str:
    """The report in words: the verdict first."""
    if report.wrong:
        wrong = f"{counted(report.wrong, 'entry is', 'entries are')} WRONG"
        head = f"{report.index}: {wrong}; delete the file and make it anew."
    elif report.others:
        others = counted(report.others, "entry is", "entries are")
        head = f"{report.index}: {others} not used. {_OTHERS}"
    elif report.unknown:
        unknown = counted(report.unknown, "image has", "images have")
        head = f"{report.index}: all entries are right; {unknown} none."
    else:
        head = f"{report.index}: all entries are right."
    lines = [
        head,
        f"  {counted(report.images, 'image')} · {report.good:,} give libjpeg-turbo's pixels from each"
        f" checkpoint · {report.size_only:,} have their size only · {report.small:,} are too small for an"
        f" entry · {report.seconds:.1f} s",
    ]
    return "\n".join(map(printable, [*lines, *_failure_lines(report.failures)]))


_WORKLOADS = {"W1": "RandomResizedCrop(224)", "W2": "Resize(256) + CenterCrop(224)"}


def render_info(report: InfoReport) -> str:
    """The report in words."""
    covered = report.images - report.unknown - report.others
    share = report.index_bytes / max(1, report.data_bytes)
    lines = [
        f"{report.index}: covers {covered / report.images:.1%} of {counted(report.images, 'image')}",
        f"  size        {_size(report.index_bytes)}, {share:.2%} of the images' {_size(report.data_bytes)}"
        f" · {counted(report.entries, 'entry', 'entries')} in {counted(report.blocks, 'block')}",
        f"  images      {report.checkpoints:,} with checkpoints · {report.size_only:,} with their size only"
        f" · {report.small:,} too small for an entry · {report.unknown:,} unknown or changed since",
    ]
    if report.others:
        lines.append(f"  not used    entries of {report.others:,} images. {_OTHERS}")
    for workload, saved in report.savings.items():
        lines.append(f"  saves       {saved:.0%} of the entropy decoding of {_WORKLOADS[workload]}")
    return "\n".join(map(printable, [*lines, *_failure_lines(report.failures)]))
