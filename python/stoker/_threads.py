"""Threads of Stoker's own: one that fails says so to whoever started it, and prints nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start(
    work: Callable[[], None], name: str, failed: Callable[[BaseException], None]
) -> threading.Thread | None:
    """Starts a daemon thread.

    Args:
        work: what it does.
        name: of the thread.
        failed: is given what has ended the work too early, in that thread; or, in this one, why there could
            be no thread. What it raises itself is lost.

    Returns:
        The thread; None: there could be none.
    """

    def fenced() -> None:
        try:
            work()
        except BaseException as error:
            _tell(failed, error)

    thread = threading.Thread(target=fenced, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:  # of threads there is a limit
        _tell(failed, error)
        return None
    return thread


def _tell(failed: Callable[[BaseException], None], error: BaseException) -> None:
    try:
        failed(error)
    except BaseException:  # nobody is left who could be told
        return
