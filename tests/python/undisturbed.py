"""For tests that look at the time: other programs on the machine are not what they are about."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

RUNS = 10


def undisturbed(test: Callable[..., None]) -> Callable[..., None]:
    """Runs a test again where it fails: what is wrong fails each time, what was disturbed does not."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        for _ in range(RUNS - 1):
            try:
                return test(*arguments, **named)
            except AssertionError:
                pass
        return test(*arguments, **named)

    return run
