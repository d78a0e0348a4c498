"""``DataLoader(…, progress=True)``: one line that says how the loader does, while it does."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from ..stats.meter import Reading
from ..stats.records import LoaderStats
from .recording import Recording
from .verdict import judge

TERMINAL_S, LOG_S = 0.5, 30.0  # between two lines, on a terminal and elsewhere
WIDTH = 100
Since = Callable[[Reading | None], tuple[LoaderStats, Reading]]


def line_for(now: Recording, lately: LoaderStats) -> str:
    """The line: rate, wait and queue of late, and the verdict on the whole run so far."""
    verdict = judge(now)
    parts = [f"stoker: {lately.images_per_s:,.0f} images/s", f"waiting {lately.wait_share:.0%}"]
    ready = [step.ready for step in now.steps[-lately.batches :] if step.ready >= 0]
    if ready and lately.batches:
        parts.append(f"queue {sum(ready) / len(ready):.1f} of {max(len(lately.queue) - 1, 1)}")
    kind = verdict.headline.partition(":")[0].lower()
    parts.append(f"{kind} ({verdict.cause})" if verdict.cause and verdict.kind == "loader-bound" else kind)
    return " · ".join(parts)


def _width(terminal: TextIO) -> int:
    """Of a line that it does not wrap; WIDTH where nobody knows how wide it is."""
    try:
        columns = os.get_terminal_size(terminal.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return WIDTH
    return min(WIDTH, columns - 1) if columns > 1 else WIDTH


def _writes_over(out: TextIO) -> bool:
    """Whether a carriage return goes back to the line's beginning: on a terminal, and in a notebook."""
    if type(out).__module__.partition(".")[0] == "ipykernel":
        return True
    return bool(out.isatty())


class LiveLine:
    """Writes the line to ``out`` (standard error), over itself on a terminal and in a notebook.

    The training does not end with what it is written to. Threads: the consumer's.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._next_s = 0.0
        self._open = False
        self._last: Reading | None = None  # behind the line before

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}  # a copy has measured nothing

    def due(self) -> bool:
        return time.perf_counter() >= self._next_s

    def show(self, recording: Callable[[], Recording], since: Since) -> None:
        """Writes the line, where it is time; both are called only then. ``since``: the record since a reading
        (None: the start), and the reading now."""
        if not self.due():
            return
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or it is closed
            self._show(self._out or sys.stderr, recording, since)

    def _show(self, out: TextIO, recording: Callable[[], Recording], since: Since) -> None:
        terminal = _writes_over(out)
        first = self._next_s == 0.0
        self._next_s = time.perf_counter() + (TERMINAL_S if terminal else LOG_S)
        lately, self._last = since(self._last)
        if first:
            return  # the first line stands for what comes behind it
        line = line_for(recording(), lately)
        if terminal:
            width = _width(out)
            line = f"\r{line[:width]:<{width}}"
        out.write(line if terminal else line + "\n")
        out.flush()
        self._open = terminal

    def end(self) -> None:
        """The epoch is over, or has raised, or was left: what is printed next begins a line of its own."""
        if self._open:
            self._open = False
            with contextlib.suppress(AttributeError, OSError, ValueError):
                (self._out or sys.stderr).write("\n")
