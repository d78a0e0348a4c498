"""Loops beside other programs, which would use every core alone: what they take is no fault of the loader."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit import Truth, image_list, loop, native_loader, photos, sleeping, train, training_transform
from python_loops import Numbers

from stoker import DataLoader
from stoker._cpus import usable_cores
from stoker.diagnosis import Recording


@contextmanager
def other_programs() -> Iterator[None]:
    """One for each core."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(usable_cores())]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def no_step(number: int) -> None:
    """The loop takes the next batch at once."""


@loop("busy machine, remote samples", Truth("loader-bound", "python", "asleep"), beside=True)
def remote_samples_beside(data: Path) -> Recording:
    """__getitem__ waits for a server, and hardly needs a core."""
    loader: Any = DataLoader(Numbers(8, lambda batch: (0.02, 0.0002)), 8, num_workers=2)
    with other_programs():
        train(loader, sleeping(0.005))
        return loader.recording()


@loop(
    "busy machine, no step",
    Truth("loader-bound", "decode", "oversubscription", evidence="other processes"),
    beside=True,
)
def no_step_beside(data: Path) -> Recording:
    """A worker for each core, none of which it has to itself."""
    loader = native_loader(image_list(photos(data, 800, 600), training_transform()), 16, usable_cores())
    with other_programs():
        train(loader, no_step)
        return loader.recording()


@loop(
    "busy machine, no workers",
    Truth("loader-bound", "python", "workers", evidence="other processes used"),
    beside=True,
)
def no_workers_beside(data: Path) -> Recording:
    """__getitem__ computes in the loop's own thread."""
    loader: Any = DataLoader(Numbers(8, lambda batch: (0, 0.001)), 8, num_workers=0)
    with other_programs():
        train(loader, sleeping(0.002))
        return loader.recording()
