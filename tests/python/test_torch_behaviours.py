"""What PyTorch documents of DataLoader holds on both paths: order, samplers, batches, collate."""

from __future__ import annotations

import collections
import functools
import gc
import itertools
import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Mapped, Noise, Numbers, drained, end_workers, refusal, same, targets_of
from conftest import all_indices, indices, plain

from stoker import DataLoader, ImageList

N = Numbers()
WORKERS = [(0, False), (2, False), (2, True)]


# ---- order ---------------------------------------------------------------------------------------

ORDERS: dict[str, Callable[[], dict[str, Any]]] = {
    "shuffle": lambda: {"shuffle": True, "batch_size": 7},
    "drop_last": lambda: {"shuffle": True, "batch_size": 7, "drop_last": True},
    "single": lambda: {"shuffle": True, "batch_size": None},
    "generator": lambda: {
        "shuffle": True,
        "batch_size": 6,
        "generator": torch.Generator().manual_seed(8),
    },
    "replacement": lambda: {
        "sampler": torch_data.RandomSampler(N, replacement=True, num_samples=75),
        "batch_size": 9,
    },
    "several rounds": lambda: {"sampler": torch_data.RandomSampler(N, num_samples=90), "batch_size": 9},
    "own generator": lambda: {
        "sampler": torch_data.RandomSampler(N, generator=torch.Generator().manual_seed(3)),
        "batch_size": 9,
    },
    "weighted": lambda: {
        "sampler": torch_data.WeightedRandomSampler([1.0 + i % 5 for i in range(40)], 55),
        "batch_size": 8,
    },
    "weighted without replacement": lambda: {
        "sampler": torch_data.WeightedRandomSampler([1.0 + i for i in range(40)], 20, replacement=False),
        "batch_size": 8,
    },
    "subset": lambda: {
        "sampler": torch_data.SubsetRandomSampler(range(5, 25)),
        "batch_size": 3,
        "drop_last": True,
    },
    "batch sampler": lambda: {
        "batch_sampler": torch_data.BatchSampler(torch_data.RandomSampler(N), 6, drop_last=False)
    },
}


def epochs(cls: Any, dataset: Any, order: str, workers: int, persistent: bool) -> list[Any]:
    """The order of a few epochs, and the generators' states behind each."""
    torch.manual_seed(5)
    arguments = ORDERS[order]()
    loader = cls(dataset, num_workers=workers, persistent_workers=persistent, **arguments)
    of_loader = arguments.get("generator", torch.default_generator)
    result = []
    for _ in range(3 if persistent or workers == 0 else 2):
        batches = [torch.as_tensor(targets_of(batch)).tolist() for batch in loader]
        states = [torch.default_generator.get_state(), of_loader.get_state()]
        result.append((batches, [state.numpy().tobytes() for state in states]))
    end_workers(loader._iterator)
    return result


@functools.cache
def torchs_epochs(order: str, workers: int, persistent: bool) -> list[Any]:
    return epochs(torch_data.DataLoader, N, order, workers, persistent)


@pytest.mark.parametrize(("workers", "persistent"), WORKERS)
@pytest.mark.parametrize("order", ORDERS)
def test_one_seed_gives_torchs_order_and_leaves_the_generators_as_torch_does(
    dataset: Any, order: str, workers: int, persistent: bool
) -> None:
    expected = torchs_epochs(order, workers, persistent)
    assert epochs(DataLoader, dataset, order, workers, persistent) == expected
    assert expected[0][0] != expected[1][0]


@pytest.mark.parametrize(("workers", "persistent"), WORKERS)
def test_an_epoch_left_early_does_not_change_the_order_of_the_next(
    dataset: Any, workers: int, persistent: bool
) -> None:
    def orders(cls: Any, of: Any) -> list[Any]:
        torch.manual_seed(2)
        loader = cls(of, 4, shuffle=True, num_workers=workers, persistent_workers=persistent)
        left = [targets_of(batch) for batch in itertools.islice(loader, 3)]
        whole = [indices(loader), indices(loader)]
        end_workers(loader._iterator)
        return [left, *whole]

    assert orders(DataLoader, dataset) == orders(torch_data.DataLoader, N)


class Counting:
    """A sampler that moves on whenever it is asked for an iterator."""

    def __init__(self) -> None:
        self.asked = 0

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[int]:
        self.asked += 1
        return iter([(self.asked + i) % 40 for i in range(6)])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [3, None])
def test_a_sampler_is_asked_for_an_iterator_as_often_as_by_torch(
    dataset: Any, size: int | None, workers: int
) -> None:
    orders = []
    for cls, of in ((torch_data.DataLoader, N), (DataLoader, dataset)):
        loader = cls(of, size, sampler=Counting(), num_workers=workers)
        orders.append([[targets_of(batch) for batch in loader] for _ in range(2)])
    assert orders[0] == orders[1]


@pytest.mark.parametrize(("workers", "persistent"), WORKERS)
def test_random_numbers_of_a_python_dataset_are_torchs(workers: int, persistent: bool) -> None:
    runs = []
    for cls in (torch_data.DataLoader, DataLoader):
        torch.manual_seed(4)
        np.random.seed(4)
        random.seed(4)
        loader = cls(Noise(12), 4, shuffle=True, num_workers=workers, persistent_workers=persistent)
        runs.append([list(loader) for _ in range(2)])
        end_workers(loader._iterator)
    assert same(*runs)


# ---- iterators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_two_iterators_in_turn(dataset: Any, workers: int) -> None:
    loader = DataLoader(dataset, 16, num_workers=workers)
    pairs = [(a.tolist(), b.tolist()) for (_, a), (_, b) in zip(loader, loader)]
    assert pairs == [(batch, batch) for batch in indices(torch_data.DataLoader(N, 16))]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_within_a_loop(dataset: Any, workers: int) -> None:
    loader = DataLoader(dataset, 20, num_workers=workers)
    assert [(int(a[0]), int(b[0])) for _, a in loader for _, b in loader] == [
        (0, 0), (0, 20), (20, 0), (20, 20),
    ]  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
def test_an_older_iterator_goes_on_behind_a_newer_one(dataset: Any, workers: int) -> None:
    loader = DataLoader(dataset, 16, num_workers=workers)
    older = iter(loader)
    assert targets_of(next(older)) == list(range(16))
    assert all_indices(loader) == list(range(40))
    assert drained(older) == [list(range(16, 32)), list(range(32, 40))]


def test_persistent_workers_keep_one_iterator(dataset: Any) -> None:
    for cls, of in ((torch_data.DataLoader, N), (DataLoader, dataset)):
        loader = cls(of, 20, num_workers=1, persistent_workers=True)
        assert iter(loader) is iter(loader)
        assert all_indices(loader) == list(range(40))
        end_workers(loader._iterator)
    loader = DataLoader(dataset, 20, num_workers=1)
    assert iter(loader) is not iter(loader)


def in_this_moment(test: Callable[[], weakref.ref[Any]]) -> bool:
    """Whether what a function leaves behind is freed without the garbage collector."""
    gc.disable()
    try:
        return test()() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_iterator_that_nobody_holds_is_freed_at_once(dataset: Any, workers: int) -> None:
    def left(loader: Any) -> weakref.ref[Any]:
        iterator = iter(loader)
        next(iterator)
        return weakref.ref(iterator)

    for cls, of in ((torch_data.DataLoader, N), (DataLoader, dataset)):
        loader = cls(of, 4, num_workers=workers)
        assert in_this_moment(functools.partial(left, loader))


def test_a_loader_that_nobody_holds_ends_its_persistent_workers_at_once() -> None:
    def left(cls: Any) -> weakref.ref[Any]:
        loader = cls(N, 20, num_workers=1, persistent_workers=True)
        list(loader)
        return weakref.ref(loader._iterator)

    assert in_this_moment(functools.partial(left, torch_data.DataLoader))
    kept = left(DataLoader)
    freed = kept() is None
    if not freed:
        end_workers(kept())
    assert freed


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_side_by_side(dataset: Any, labelled: ImageList, workers: int) -> None:
    three = (DataLoader(of, size, num_workers=workers) for of, size in ((dataset, 9), (N, 13), (labelled, 7)))
    assert [[int(y[0]) for _, y in batches] for batches in zip(*three)] == [
        [0, 0, 0], [9, 13, 7], [18, 26, 14], [27, 39, 21],
    ]  # fmt: skip


LENGTHS: list[dict[str, Any]] = [
    {},
    {"batch_size": 7},
    {"batch_size": 7, "drop_last": True},
    {"batch_size": 41, "drop_last": True},
    {"batch_size": None},
    {"batch_size": 4, "sampler": range(9)},
    {"batch_size": None, "sampler": [1, 2, 3]},
    {"batch_sampler": [[1, 2], [3]]},
]


@pytest.mark.parametrize("arguments", LENGTHS, ids=plain)
def test_the_length_is_the_number_of_batches(dataset: Any, arguments: dict[str, Any]) -> None:
    loader = DataLoader(dataset, num_workers=0, **arguments)
    expected = len(torch_data.DataLoader(N, **arguments))
    assert len(loader) == len(iter(loader)) == len(list(loader)) == expected


def test_a_sampler_without_a_length_leaves_the_loader_without_one(dataset: Any) -> None:
    class Endless:
        def __iter__(self) -> Iterator[int]:
            return itertools.cycle(range(40))

    loader = DataLoader(dataset, 16, sampler=Endless(), num_workers=1)
    assert refusal(lambda: len(loader)) == refusal(lambda: len(torch_data.DataLoader(N, sampler=Endless())))
    batches = list(itertools.islice(loader, 4))
    assert [int(targets[0]) for _, targets in batches] == [0, 16, 32, 8]


# ---- samplers and batches ------------------------------------------------------------------------

SAMPLERS: list[Any] = [
    range(10, 2, -3),
    (5, 4),
    {7: "a", 3: "b"},
    {1: 0, 2: 0}.keys(),
    collections.deque([4, 4, 4]),
    np.array([3, 1, 2]),
    torch.tensor([30, 10]),
    [-1, -40, 0],
    [True, False],
    torch_data.SequentialSampler(range(3)),
]


@pytest.mark.parametrize("size", [2, None])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=plain)
def test_a_sampler_is_anything_that_can_be_iterated(dataset: Any, sampler: Any, size: int | None) -> None:
    runs = [cls(of, size, sampler=sampler) for cls, of in ((torch_data.DataLoader, N), (DataLoader, dataset))]
    theirs, ours = ([targets_of(batch) for batch in run] for run in runs)
    assert ours == theirs


BATCHES: list[list[Any]] = [
    [[1], [2, 3, 4], [5, 6]],
    [(1,), (2, 3, 4), (5, 6)],
    [range(2), range(5, 3, -1)],
    [{3}, {4, 5}],
    [torch.tensor([1, 2]), np.array([3])],
    [[torch.tensor(7), np.int64(8)], [9]],
    [[2, 2, 2], [-1]],
]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batches", BATCHES, ids=plain)
def test_a_batch_sampler_gives_batches_of_any_length_and_type(
    dataset: Any, batches: list[Any], workers: int
) -> None:
    expected = indices(torch_data.DataLoader(N, batch_sampler=batches))
    assert indices(DataLoader(dataset, batch_sampler=batches, num_workers=workers)) == expected


class Unsized:
    def __init__(self, *items: int) -> None:
        self.items = items

    def __iter__(self) -> Iterator[int]:
        return iter(self.items)


def test_a_batch_needs_no_length(dataset: Any) -> None:
    batches = [Unsized(1, 2), Unsized(3)]
    assert indices(torch_data.DataLoader(N, batch_sampler=batches)) == [[1, 2], [3]]
    assert indices(DataLoader(dataset, batch_sampler=batches, num_workers=0)) == [[1, 2], [3]]


def test_iterators_are_batches_too(dataset: Any) -> None:
    class Chunks:
        def __iter__(self) -> Iterator[Iterator[int]]:
            return (map(int, chunk) for chunk in ((1, 2), (3,)))

    assert indices(DataLoader(dataset, batch_sampler=Chunks(), num_workers=0)) == [[1, 2], [3]]


@pytest.mark.parametrize("workers", [0, 2])
def test_without_automatic_batching_the_sampler_may_give_keys_of_any_kind(workers: int) -> None:
    words = {"a": 1.5, "b": np.arange(2), "c": "text", ("d", 1): None}
    lists = Mapped(lambda many: torch.tensor(many) * 10)
    for arguments in (
        {"dataset": words, "batch_size": None, "sampler": list(words)},
        {"dataset": lists, "batch_size": None, "sampler": torch_data.BatchSampler(range(7), 3, False)},
        {"dataset": {"x": 1, "y": 2, "z": 3}, "batch_size": 2, "sampler": ["z", "y", "x"]},
    ):
        theirs, ours = (
            list(cls(num_workers=workers, **arguments)) for cls in (torch_data.DataLoader, DataLoader)
        )
        assert same(ours, theirs)
