"""Refuses a torch that the extension was not built for, before loading it can go wrong."""

from __future__ import annotations

import json
from pathlib import Path

import torch

REBUILD = "pip install --force-reinstall --no-deps --no-build-isolation"


def check_torch(info_file: Path | None = None, running: str | None = None) -> None:
    """Raise ImportError unless the running torch is the one that the extension was built against.

    Args:
        info_file: written by setup.py beside the extension; default: this installation's.
        running: version to compare with; default: ``torch.__version__``.
    """
    info_file = info_file or Path(__file__).with_name("_build_info.json")
    running = running or str(torch.__version__)
    try:
        info = json.loads(info_file.read_text())
    except FileNotFoundError:
        raise ImportError(
            "stoker's extension has not been built. In the source tree run:\n"
            "  make deps   (or: pip install --no-build-isolation -e .)"
        ) from None
    if info["torch"] != running:
        raise ImportError(
            f"stoker was built for torch {info['torch']}, but this is torch {running}. "
            f"Rebuild it:\n  {REBUILD} {info['source']}"
        )
