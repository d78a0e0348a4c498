"""For tests against torch's DataLoader on both paths: datasets, and what came of an iteration."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.data as torch_data

from stoker import DataLoader, ImageList
from stoker import transforms as T


class Numbers(torch_data.Dataset[Any]):
    """Its targets are the samples' indices, as those of the fixture `labelled`."""

    def __init__(self, size: int = 40) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        number = range(self.size)[index]
        return torch.full((1,), float(number)), number


class Mapped(Numbers):
    """What a function makes of each index."""

    def __init__(self, function: Callable[[int], Any], size: int = 12) -> None:
        super().__init__(size)
        self.function = function

    def __getitem__(self, index: int) -> Any:
        return self.function(index)


class Sampled(torch_data.Dataset[Any]):
    """Files in the core, targets from a function; for torch's loader the same by dataset[i]."""

    def __init__(self, paths: list[Path], target: Callable[[int], Any] = lambda index: index) -> None:
        self.paths = paths
        self.target = target
        self.transform = T.CenterCrop(8)

    def __len__(self) -> int:
        return len(self.paths)

    def stoker_sample(self, index: int) -> tuple[Path, Any]:
        return self.paths[index], self.target(index)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.stoker_sample(index)
        return ImageList([path], [0], self.transform)[0][0], target


class Noise(Numbers):
    """Random numbers from torch, numpy and Python."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(torch.rand(())), np.random.rand(), random.random()]), index


def where(index: int) -> tuple[int, str]:
    """The sample, and how the process that makes it was started."""
    return index, multiprocessing.get_start_method()


class Held:
    """A sample's function that does not return for one index before `go` is set."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.go = multiprocessing.Event()

    def __call__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == self.index:
            self.go.wait(60)
        return torch.zeros(1), index


def dies_at_five(index: int) -> int:
    if index == 5:
        os._exit(3)
    return index


class Stream(torch_data.IterableDataset[int]):
    """0, 1, ... size - 1, in every worker."""

    def __init__(self, size: int = 10) -> None:
        self.start, self.stop = 0, size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))


class Stumbling:
    """An iterator that goes on behind an exception, its third; the second calls ``then``."""

    def __init__(self, then: Callable[[], None] | None = None) -> None:
        self.number = 0
        self.then = then

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.then is not None and self.number == 1:
            self.then()
        self.number += 1
        if self.number == 3:
            raise KeyError("three")
        if self.number > 6:
            raise StopIteration
        return self.number


class StumblingStream(torch_data.IterableDataset[int]):
    """Counts the iterators that are made."""

    def __init__(self, then: Callable[[], None] | None = None) -> None:
        self.then = then
        self.iterators = 0

    def __iter__(self) -> Iterator[int]:
        self.iterators += 1
        return Stumbling(self.then)


class Sharded(Stream):
    """Each worker gives its part, as in the documentation of IterableDataset."""

    def __iter__(self) -> Iterator[int]:
        worker = torch_data.get_worker_info()
        if worker is None:
            return iter(range(self.start, self.stop))
        share = -(-(self.stop - self.start) // worker.num_workers)
        start = self.start + worker.id * share
        return iter(range(start, min(start + share, self.stop)))


class Sized(Sharded):
    def __init__(self, size: int = 10, claimed: int | None = None) -> None:
        super().__init__(size)
        self.claimed = size if claimed is None else claimed

    def __len__(self) -> int:
        return self.claimed


def same(a: Any, b: Any) -> bool:
    """Equal in structure, types, dtypes and values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return bool(a == b)


def end_workers(iterator: Any) -> None:
    """End its worker processes now, not whenever it is collected: those of persistent workers, or
    behind an exception, whose traceback is a cycle."""
    end = getattr(iterator, "_shutdown_workers", None)
    if end is not None:
        end()


def targets_of(batch: Any) -> Any:
    targets = batch[1] if isinstance(batch, (list, tuple)) else batch
    return targets.tolist() if isinstance(targets, torch.Tensor) else targets


def drained(iterator: Iterator[Any], limit: int = 60) -> list[Any]:
    """Each batch's targets; the types of the exceptions among them."""
    results: list[Any] = []
    while len(results) < limit:
        try:
            results.append(targets_of(next(iterator)))
        except StopIteration:
            if not getattr(iterator, "_persistent_workers", True):
                end_workers(iterator)
            return results
        except Exception as e:
            results.append(type(e))
    raise AssertionError(f"no end: {results}")


def refusal(make: Callable[[], Any]) -> tuple[type[Exception], str]:
    """The exception that something raises."""
    try:
        make()
    except Exception as e:
        return type(e), str(e)
    raise AssertionError("nothing was raised")


def on_both(run: Callable[[Any], Any]) -> Any:
    """What torch's class gives, once ours has given the same."""
    theirs, ours = map(run, (torch_data.DataLoader, DataLoader))
    assert same(ours, theirs)
    return theirs
