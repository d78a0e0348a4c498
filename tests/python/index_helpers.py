"""What the tests of the decode index share: epochs whose errors count, index files, the command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

from stoker import _C, DataError, DataLoader, ImageFolder
from stoker import transforms as T
from stoker.cli import app

CROPS = [T.RandomResizedCrop(48), T.RandomHorizontalFlip()]
MODES: list[dict[str, Any]] = [
    {"pixels": "fast"},
    {"pixels": "fast", "dct_scaling": True},
    {"pixels": "exact"},
]

Outcome = tuple[torch.Tensor, torch.Tensor] | str


def epoch(loader: DataLoader[Any], seed: int = 0, between: Callable[[int], None] | None = None) -> list[Any]:
    """What each batch was: tensors, or the error's reason. Calls `between` before each batch."""
    torch.manual_seed(seed)
    iterator = iter(loader)
    outcomes: list[Outcome] = []
    while True:
        if between is not None:
            between(len(outcomes))
        try:
            images, labels = next(iterator)
        except StopIteration:
            return outcomes
        except DataError as e:
            outcomes.append(f"{e.index}, {e.batch}, {e.stage}: {e.reason}")
        else:
            outcomes.append((images, labels))


def same(a: list[Any], b: list[Any]) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        if isinstance(x, str) or isinstance(y, str):
            if x != y:
                return False
        elif not (torch.equal(x[0], y[0]) and torch.equal(x[1], y[1])):
            return False
    return True


def errors(outcomes: list[Any]) -> int:
    return sum(isinstance(outcome, str) for outcome in outcomes)


def loader_of(data: Any, **options: Any) -> DataLoader[Any]:
    """A loader over a folder or a dataset, small batches, two workers."""
    dataset = ImageFolder(data, CROPS) if isinstance(data, (str, Path)) else data
    workers = options.pop("num_workers", 2)
    return DataLoader(dataset, options.pop("batch_size", 3), num_workers=workers, **options)


def written(loader: DataLoader[Any]) -> None:
    """Waits until what the loader has recorded is in the file, as it will be a moment later."""
    index = loader._decode_index()
    assert index is not None
    index.flush(True)


def entries(path: Path) -> int:
    """How many entries an index file has; 0 where it is none."""
    (source,) = _C.DecodeIndex(b"", [(os.fsencode(path), b"")], False, b"").sources()
    return int(source["entries"])


def cached(home: Path) -> list[Path]:
    """The index files in a cache."""
    return sorted((home / "stoker" / "index").glob("*"))


def padded(jpeg: bytes, size: int, behind: bool = False) -> bytes:
    """The same image in so many bytes: comments behind the first marker, or zeros behind the last."""
    missing = size - len(jpeg)
    if behind or missing == 0:
        return jpeg + bytes(missing)
    comments = b""
    while missing > 0:
        length = missing if missing <= 65_000 else 60_000
        comments += b"\xff\xfe" + (length - 2).to_bytes(2, "big") + b"x" * (length - 4)
        missing -= length
    return jpeg[:2] + comments + jpeg[2:]


def check_problem(loader: DataLoader[Any], words: str) -> None:
    written(loader)
    assert words in loader.stats().index_problem
    assert f"decode index: nothing is added to it: {loader.stats().index_problem}" in loader.report()
    assert loader.stats().index_problem in str(loader.plan())


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    status: int
    out: str
    err: str


def run(*arguments: object) -> Done:
    """``stoker index …`` in this process."""
    result = CliRunner().invoke(app, ["index", *map(str, arguments)], catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


def report(*arguments: object, status: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert (done.status, done.err) == (status, "")
    parsed: dict[str, Any] = json.loads(done.out)
    return parsed


def counts(report: dict[str, Any]) -> dict[str, int]:
    """Of images: those that are not zero."""
    skipped = ("images", "entries", "blocks", "index_bytes", "data_bytes")
    return {k: v for k, v in report.items() if type(v) is int and v and k not in skipped}
