"""The lines of source behind the parts of a profile, for a reader of the report."""

from __future__ import annotations

import contextlib
import linecache
import os
import re
import sys
from collections.abc import Iterable

_OWN = re.compile(r"python: .* \((.+):(\d+)\)")
_LONGEST = 160  # characters of a line


def source_lines(parts: Iterable[str]) -> dict[str, str]:
    """Part ("python: FUNCTION (FILE:LINE)") → that line, where one imported file alone has the name."""
    files: dict[str, set[str]] = {}
    for module in list(sys.modules.values()):
        with contextlib.suppress(Exception):  # what calls itself a module may raise anything
            file = getattr(module, "__file__", None)
            if isinstance(file, str):
                files.setdefault(os.path.basename(file), set()).add(os.path.abspath(file))
    found = {}
    for part in parts:
        match = _OWN.fullmatch(part)
        candidates = files.get(match[1], set()) if match else set()
        if match and len(candidates) == 1:
            line = linecache.getline(next(iter(candidates)), int(match[2])).strip()
            if line:
                found[part] = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    return found
