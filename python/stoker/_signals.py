"""What a signal's handler raises can come out of any line. It says nothing about the line."""

from __future__ import annotations

import functools
import signal
from types import CodeType
from typing import Any


def _code_of(handler: Any) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    for function in (handler, getattr(handler, "__func__", None), vars(type(handler)).get("__call__")):
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None


def is_interrupt(error: BaseException) -> bool:
    """Whether ``error`` is no fault of the code that it came out of: KeyboardInterrupt and its like, and
    what a handler that is written in Python has raised."""
    if not isinstance(error, Exception):
        return True
    codes = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False
