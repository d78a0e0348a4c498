"""The command ``stoker``: what goes wrong while torch is imported is one line, too."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command ``stoker``."""
    try:
        from stoker.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:  # no torch, or another one than it was built for
        sys.exit(f"stoker: {error}")
