"""What the Python path adds to torch's own iteration, in calls that the interpreter makes: no time can
make these tests fail, and every reading, wrapper or check that is added for each batch or sample does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from torch.utils.data import _utils
from torch.utils.data import dataloader as torch_dataloader

from stoker import DataLoader
from stoker.stats import clocks, system
from stoker.stats.stand_ins import MeteredCollate, metered
from stoker.stats.workers import WorkerBlock

MOST_A_BATCH = 20  # functions of Python and of C


class Trivial(torch_data.Dataset[int]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index


class Stream(torch_data.IterableDataset[Any]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))


def tensors(size: int) -> Any:
    return torch_data.TensorDataset(torch.zeros(size, 4), torch.arange(size))


DATASETS = pytest.mark.parametrize("make", [tensors, Trivial, Stream])


def calls(act: Callable[[], Any]) -> int:
    count = 0

    def see(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def for_each(act: Callable[[int], Any]) -> float:
    """Calls for each more of something; what is done once does not count."""
    for size in (64, 192):
        act(size)
    return (calls(lambda: act(192)) - calls(lambda: act(64))) / 128


@pytest.fixture(autouse=True)
def no_reading_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come once a second."""
    monkeypatch.setattr(system, "_EVERY_S", 3600.0)


@DATASETS
@pytest.mark.parametrize("size", [1, 16])
def test_a_batch_costs_a_bounded_number_of_calls_more_than_torchs(
    make: Callable[[int], Any], size: int
) -> None:
    def epochs(kind: Any) -> Callable[[int], Any]:
        return lambda batches: list(kind(make(size * batches), size, num_workers=0))

    theirs, ours = for_each(epochs(torch_data.DataLoader)), for_each(epochs(DataLoader))
    assert ours - theirs <= MOST_A_BATCH


@DATASETS
def test_a_sample_in_a_batch_costs_no_call_more_than_torchs(
    make: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a worker process: what stands for the dataset there, and for the collate function."""
    if make is not Stream:
        monkeypatch.setattr(clocks, "made_time", lambda: 10**9)  # however busy the machine is, they are quick

    def batches_of(size: int, measured: bool) -> None:
        dataset = make(1 + 4 * size)
        iterable = isinstance(dataset, torch_data.IterableDataset)
        collate: Any = _utils.collate.default_collate
        if measured:
            dataset = metered(dataset, iterable, WorkerBlock(0))
            collate = MeteredCollate(collate, dataset)
        kind = torch_dataloader._DatasetKind
        which = kind.Iterable if iterable else kind.Map
        fetcher = kind.create_fetcher(which, dataset, True, collate, False)
        fetcher.fetch([0])  # how quick they are is not known before the first
        for batch in range(4):
            fetcher.fetch(list(range(batch * size, (batch + 1) * size)))

    theirs = for_each(lambda size: batches_of(size, False))
    ours = for_each(lambda size: batches_of(size, True))
    assert ours == theirs
