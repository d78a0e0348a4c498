"""The part of ``stoker.DataLoader`` that says how it does: statistics, verdict, report."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import _C
from ._arguments import expanded
from ._cores import Cores
from ._shown import Report, words_as_html
from ._sources import resolve
from .diagnosis import Recording, Verdict, judge
from .diagnosis.chrome_trace import chrome_trace
from .diagnosis.cures import with_cures
from .diagnosis.html_report import html_report
from .diagnosis.live import LiveLine
from .diagnosis.origin import origin
from .diagnosis.recording import write_whole
from .diagnosis.thumbnails import thumbnails_of
from .diagnosis.trial import Setting, variants
from .diagnosis.words import render
from .plan import Plan, dataset_words
from .stats import LoaderStats, Meter
from .stats.meter import Reading


class MeasuredLoader:
    """What a loader has measured, as figures, words and pictures."""

    dataset: Any
    num_workers: int
    prefetch_factor: int | None
    persistent_workers: bool
    memory_format: torch.memory_format
    pixels: Any
    dct_scaling: bool
    _cores: Cores
    _meter: Meter
    _live: LiveLine | None
    _last_reading: Reading | None = None  # of stats(since_last=True)

    if TYPE_CHECKING:  # what the loader has

        @property
        def native(self) -> bool: ...

        def plan(self) -> Plan: ...

        def _decode_index(self) -> _C.DecodeIndex | None: ...

    def stats(self, since_last: bool = False) -> LoaderStats:
        """What has been measured since the loader was made; cheap, at any time.

        Args:
            since_last: only since the last call with it, for a line of log every N steps.
        """
        stats, reading = self._stats_since(self._last_reading if since_last else None)
        if since_last:
            self._last_reading = reading
        return stats

    def _stats_since(self, earlier: Reading | None) -> tuple[LoaderStats, Reading]:
        path = "native" if self.native else "python"
        core, problem = self._cores.measured(), self._cores.index_problem()
        workers = int(self.num_workers)
        return self._meter.stats(core, path, workers, problem, earlier, self._batches_ahead)

    @property
    def _batches_ahead(self) -> int:
        """Batches that may be under way or complete before they are asked for."""
        workers = int(self.num_workers)
        return (self.prefetch_factor or 2) * (1 if self.native else workers) if workers else 0

    def recording(self, trials: bool = False) -> Recording:
        """All that is known of the run so far: what verdict, report and pictures are made from.

        Args:
            trials: also load some samples with other settings, to predict what those would bring: takes
                about half a second of this thread's time.
        """
        stats = self.stats()
        shares = self._trials(stats) if trials else {}
        plan = self.plan()
        facts = {
            "plan": "native" if plan.native else f"Python, because {plan.reason}",
            **dict(plan.parts),
            **origin(),
        }
        if not plan.native:
            facts["persistent_workers"] = str(self.persistent_workers)
            if "OMP_NUM_THREADS" in os.environ:
                facts["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
        return self._recorded(stats, facts, shares)

    def _recorded(self, stats: LoaderStats, facts: dict[str, str], shares: dict[str, float]) -> Recording:
        meter = self._meter
        return Recording(stats, tuple(meter.clock.steps), tuple(meter.system.readings), facts, shares)

    def _trials(self, stats: LoaderStats) -> dict[str, float]:
        source, reason = resolve(self.dataset)
        if source is None or reason or stats.samples == 0:
            return {}
        index = self._decode_index() if stats.index.used > 0.5 * stats.samples else None
        channels_last = self.memory_format == torch.channels_last
        now = Setting(self.pixels == "exact", self.dct_scaling, channels_last, index=index)
        return variants(source, now)

    def verdict(self) -> Verdict:
        """What the run is bound by, and what would help, as a record: see ``report()``."""
        return self._judged()[1]

    def report(self, details: bool | None = None) -> str:
        """How long the training loop waited for data, why, and what would help, in words.

        Args:
            details: the figures under the verdict; None: unless all is well, which one line says.

        Where the run is not as fast as its step allows, this takes about half a second: it loads some of
        the samples again with other settings, to predict what those would bring.
        """
        return Report(render(*self._judged(), details))

    def __repr__(self) -> str:
        try:
            dataset = dataset_words(self.dataset)
        except Exception:  # a dataset's own code
            dataset = type(self.dataset).__name__
        where = "native" if self.native else "Python"
        return f"<{type(self).__name__}: {dataset}, num_workers={int(self.num_workers)}, {where} path>"

    def _repr_html_(self) -> str:
        """For a notebook: the plan, and what has been measured so far."""
        try:
            words = f"{self.plan()}\n\n{self.stats()}"
        except Exception as error:  # a dataset's own code
            words = f"{self!r}\n{type(error).__name__}: {error}"
        return words_as_html(words)

    def _judged(self) -> tuple[Recording, Verdict]:
        recording = self.recording()
        verdict = judge(recording)
        if verdict.kind in ("loader-bound", "balanced"):
            recording = replace(recording, variants=self._trials(recording.stats))
        return recording, with_cures(recording, verdict)

    def save_report(self, file: str | os.PathLike[str]) -> None:
        """Writes the report with pictures: one HTML file that needs no other."""
        recording, verdict = self._judged()
        page = html_report(recording, verdict, thumbnails=thumbnails_of(recording.stats))
        write_whole(Path(expanded(file)), page)

    def save_trace(self, file: str | os.PathLike[str]) -> None:
        """Writes the last steps as a Chrome trace (JSON), which ui.perfetto.dev opens."""
        write_whole(Path(expanded(file)), chrome_trace(self.recording()))

    def _end_progress(self) -> None:
        """What is printed next begins a line of its own."""
        if self._live is not None:
            self._live.end()

    def _progress(self) -> None:
        """A batch has been handed over."""
        if self._live is None:
            return
        self._live.show(lambda: self._recorded(self.stats(), {}, {}), self._stats_since)
        self._meter.clock.begin_step()  # the line is no part of it
