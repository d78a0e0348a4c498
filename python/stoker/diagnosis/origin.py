"""Which run a recording is of: the facts that a report's title has."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys

import torch

# The facts with a version, and what each is of.
VERSIONS = {"stoker": "stoker", "torch": "torch", "python": "Python"}
IN_THE_TITLE = ("script", "command", "date", "host", *VERSIONS)


def origin() -> dict[str, str]:
    """Of this process: "script", "command", "date", "host", and versions."""
    from .. import __version__

    words = list(sys.orig_argv) or list(sys.argv)
    if words:
        words[0] = os.path.basename(words[0])
    return {
        "script": _script(),
        "command": shlex.join(words),
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        "host": platform.node(),
        "stoker": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def _script() -> str:
    """Its file's name; "notebook" in one."""
    if "ipykernel" in sys.modules:
        return "notebook"
    return os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c", "-") else "python"
