"""What the loops are made of: photographs, a clock, known truths, and the table that they are entered in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from photographs import photo_like

from stoker import DataLoader, ImageList
from stoker import transforms as T
from stoker.diagnosis import Recording, Verdict

SECONDS = 3.0  # that a loop runs
ROWS = 100_000  # of a data set: an epoch that no loop gets to the end of


class SkippedError(Exception):
    """This machine does not let the loop run; says why."""


@dataclass(frozen=True)
class Truth:
    """What the verdict must say. None: whatever it says.

    Attributes:
        kind, cause, limit, period, by_device: as in Verdict.
        evidence: a word that a line of the evidence must hold.
    """

    kind: str
    cause: str | None = None
    limit: str | None = None
    period: int | None = None
    by_device: bool | None = None
    evidence: str | None = None

    def __str__(self) -> str:
        parts = [self.kind, self.cause, self.limit]
        if self.period is not None:
            parts.append(f"every {self.period}" if self.period else "irregular")
        return ", ".join(part for part in parts if part)

    def wrong(self, verdict: Verdict) -> str:
        """What is not as it should be; "" where all is."""
        bad = []
        for name in ("kind", "cause", "limit", "period", "by_device"):
            wanted, said = getattr(self, name), getattr(verdict, name)
            if wanted is not None and said != wanted:
                bad.append(f"{name} is {said!r}, not {wanted!r}")
        if self.evidence is not None and not any(self.evidence in line for line in verdict.evidence):
            bad.append(f"no evidence of {self.evidence!r}")
        return "; ".join(bad)


@dataclass(frozen=True)
class Loop:
    """A training loop whose truth is known.

    Attributes:
        run: gets a folder for its files, which other runs may share; raises SkippedError where it cannot run.
        about: the function's docstring.
        beside: other programs run beside it on purpose.
    """

    name: str
    truth: Truth
    run: Callable[[Path], Recording]
    about: str
    beside: bool = False


LOOPS: dict[str, Loop] = {}


def loop(
    name: str, truth: Truth, beside: bool = False, **arguments: Any
) -> Callable[[Callable[..., Recording]], Any]:
    """Enters the function in the table; more than once with different ``arguments``. ``beside``: see Loop."""

    def enter(function: Callable[..., Recording]) -> Callable[..., Recording]:
        assert name not in LOOPS
        about = " ".join((function.__doc__ or "").split())
        LOOPS[name] = Loop(name, truth, lambda data: function(data, **arguments), about, beside)
        return function

    return enter


def photos(data: Path, width: int, height: int, count: int = 4) -> list[Path]:
    """Photographs of that size: those of STOKER_PHOTOS, resized, or invented ones. Made once for a folder."""
    folder = data / f"{width}x{height}"
    folder.mkdir(parents=True, exist_ok=True)
    given = os.environ.get("STOKER_PHOTOS", "")
    real = sorted(Path(given).rglob("*.[jJ]*[gG]"))[:count] if given else []
    files = [folder / f"{number}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        if file.exists():
            continue
        if number < len(real):
            image = Image.open(real[number]).convert("RGB").resize((width, height))
        else:
            image = photo_like(width, height, seed=number)
        image.save(file, quality=90)
    return files


def image_list(files: list[Path], transform: Any) -> ImageList:
    """The files again and again."""
    return ImageList((files * (ROWS // len(files) + 1))[:ROWS], [0] * ROWS, transform)


def training_transform(size: int = 224) -> T.Compose:
    return T.Compose([T.RandomResizedCrop(size), T.RandomHorizontalFlip(), T.PILToTensor()])


def native_loader(dataset: Any, batch_size: int, workers: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size, num_workers=workers, index=None, **options)


def train(loader: Any, step: Callable[[int], None], seconds: float = SECONDS, batches: int = ROWS) -> None:
    """Steps until time is up, or so many batches have been had."""
    end = time.perf_counter() + seconds
    for number, _ in enumerate(loader):
        step(number)
        if time.perf_counter() >= end or number + 1 >= batches:
            break


def sleeping(seconds: float) -> Callable[[int], None]:
    """A step on an accelerator that the loop waits for."""
    return lambda number: time.sleep(seconds)


def batch_seconds(loader: Any, seconds: float = 1.2, skip: int = 2) -> float:
    """How long the loader alone takes for a batch, when the first ones have come."""
    began, counted = 0.0, 0
    end = time.perf_counter() + seconds
    for number, _ in enumerate(loader):
        now = time.perf_counter()
        if number == skip:
            began = now
        counted = number - skip
        if counted >= 4 and now >= end:
            return (now - began) / counted
    raise AssertionError("the data set is too small")


def in_child(name: str, data: Path, environment: dict[str, str]) -> Recording:
    """The loop once more, in a process that is begun with other variables."""
    out = data / f"{name}-{os.getpid()}{environment.get('LOCAL_RANK', '')}.json"
    script = Path(__file__).with_name("loops.py")
    subprocess.run(
        [sys.executable, str(script), name, "--data", str(data), "--out", str(out)],
        env={**os.environ, **environment},
        check=True,
    )
    recording = Recording.from_json(out.read_text())
    out.unlink()
    return recording
