"""Real training loops whose truth is known, by which the verdict is measured.

    python tests/verdicts/loops.py --list
    python tests/verdicts/loops.py NAME --out FILE [--data DIR]

Each runs a few seconds on photographs that it makes itself (or takes from STOKER_PHOTOS) and writes its
recording. A loop is a function of a folder that returns a Recording; ``kit.loop`` enters it here. Exit
status 3: this machine does not let it run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import busy_loops
import device_loops
import machine_loops
import native_loops
import python_loops
import step_loops
import torch_loops
from kit import LOOPS, SkippedError

__all__ = ["LOOPS"]
THEMES = (native_loops, step_loops, python_loops, machine_loops, device_loops, torch_loops, busy_loops)
CANNOT_RUN = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", nargs="?", choices=list(LOOPS), metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--data", type=Path, metavar="DIR", help="for the photographs; kept")
    arguments = parser.parse_args()
    if arguments.list or arguments.name is None:
        for entry in LOOPS.values():
            print(f"{entry.name:30} {entry.truth!s:40} {entry.about}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            recording = LOOPS[arguments.name].run(arguments.data or Path(folder))
        except SkippedError as reason:
            print(reason, file=sys.stderr)
            return CANNOT_RUN
    if arguments.out is not None:
        arguments.out.write_text(recording.to_json())
    else:
        print(recording.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
