"""Progress of a long command: a bar with rate and time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LOG_EVERY_S = 30.0


@contextmanager
def progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, in all). ``what`` is counted, in the plural."""
    began = logged = time.monotonic()
    if console.is_terminal:
        columns = (
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}/s"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=None, rate="")

            def show(done: int, total: int) -> None:
                rate = f"{done / max(1e-9, time.monotonic() - began):,.0f}"
                bar.update(task, completed=done, total=total, rate=rate)

            yield show
        return

    def log(done: int, total: int) -> None:
        nonlocal logged
        now = time.monotonic()
        if now - logged >= _LOG_EVERY_S:
            logged = now
            rate = done / (now - began)
            left = (total - done) / max(rate, 1e-9)
            console.print(f"{what}: {done:,} of {total:,}, {rate:,.0f}/s, about {left:,.0f} s left")

    yield log
