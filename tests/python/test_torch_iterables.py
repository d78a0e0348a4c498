"""What PyTorch documents of IterableDataset, of worker processes and of datasets that change."""

from __future__ import annotations

import itertools
import multiprocessing
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import (
    Held,
    Mapped,
    Numbers,
    Sharded,
    Sized,
    Stream,
    drained,
    end_workers,
    on_both,
    refusal,
    same,
    targets_of,
    where,
)
from conftest import all_indices, indices, plain

from stoker import DataLoader, ImageList
from stoker import transforms as T

N = Numbers()
BOTH = (torch_data.DataLoader, DataLoader)


# ---- iterable datasets ---------------------------------------------------------------------------

STREAMS: list[dict[str, Any]] = [
    {},
    {"batch_size": 4},
    {"batch_size": 4, "drop_last": True},
    {"batch_size": 20},
    {"batch_size": 20, "drop_last": True},
    {"batch_size": None},
    {"batch_size": 3, "collate_fn": tuple},
    {"batch_size": 3, "shuffle": False},
]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("arguments", STREAMS, ids=plain)
def test_batches_of_a_stream_are_torchs(arguments: dict[str, Any], workers: int) -> None:
    on_both(lambda cls: list(cls(Sharded(10), num_workers=workers, **arguments)))


def test_every_worker_gives_the_whole_stream_unless_it_is_sharded() -> None:
    numbers = on_both(lambda cls: [int(x) for x in cls(Stream(6), num_workers=2)])
    assert sorted(numbers) == sorted([*range(6), *range(6)])
    numbers = on_both(lambda cls: [int(x) for x in cls(Sharded(6), num_workers=2)])
    assert numbers == [0, 3, 1, 4, 2, 5]


def own_part(worker: int) -> None:
    info = torch_data.get_worker_info()
    assert info is not None
    assert info.id == worker
    share = info.dataset.stop // info.num_workers
    info.dataset.start, info.dataset.stop = worker * share, (worker + 1) * share


def test_worker_init_fn_can_shard_a_stream() -> None:
    numbers = on_both(lambda cls: [int(x) for x in cls(Stream(6), num_workers=2, worker_init_fn=own_part)])
    assert numbers == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_a_stream_begins_anew_in_each_epoch(workers: int, persistent: bool) -> None:
    def epochs(cls: Any) -> list[Any]:
        loader = cls(Sharded(12), 2, num_workers=workers, persistent_workers=persistent)
        left = list(itertools.islice(loader, 2))
        whole = [list(loader), list(loader)]
        end_workers(loader._iterator)
        return [left, *whole]

    left, first, second = on_both(epochs)
    assert same(first, second)
    assert same(first[:2], left)


@pytest.mark.parametrize(
    "workers",
    [
        0,
        2,
    ],
)
def test_two_iterators_of_a_stream(workers: int) -> None:
    loader = DataLoader(Sharded(6), 3, num_workers=workers)
    assert [(a.tolist(), b.tolist()) for a, b in zip(loader, loader)] == [
        ([0, 1, 2], [0, 1, 2]), ([3, 4, 5], [3, 4, 5]),
    ]  # fmt: skip


@pytest.mark.parametrize("options", STREAMS, ids=plain)
def test_the_length_is_worked_out_from_the_datasets(options: dict[str, Any]) -> None:
    for size in (0, 1, 11, 12):
        on_both(lambda cls, n=size: len(cls(Sized(n), num_workers=0, **options)))


def test_without_a_length_the_loader_has_none_either() -> None:
    theirs, ours = (refusal(lambda cls=cls: len(cls(Stream(3)))) for cls in BOTH)
    assert ours == theirs
    theirs, ours = (refusal(lambda cls=cls: len(iter(cls(Sized(3), num_workers=0)))) for cls in BOTH)
    assert ours[0] is theirs[0] is TypeError


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("claimed", [3, 5, 9])
def test_more_samples_than_were_claimed_warn_as_in_torch(claimed: int, asked: bool, workers: int) -> None:
    dataset = Sized(5, claimed)

    def said(cls: Any) -> list[str]:
        loader = cls(dataset, num_workers=workers)
        if asked:
            assert len(loader) == claimed
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert len(list(loader)) == 5
        return [str(warning.message) for warning in caught]

    assert len(on_both(said)) == (2 if asked and claimed == 3 else 0)


@pytest.mark.parametrize(
    "arguments", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}, {"sampler": []}], ids=plain
)
def test_a_stream_has_no_sampler(arguments: dict[str, Any]) -> None:
    theirs, ours = (refusal(lambda cls=cls: cls(Stream(3), **arguments)) for cls in BOTH)
    assert ours == theirs
    assert ours[0] is ValueError


def test_streams_one_behind_the_other() -> None:
    dataset = Stream(3) + torch_data.ChainDataset([Stream(2), Stream(1)])
    assert on_both(lambda cls: [int(x) for x in cls(dataset, num_workers=0)]) == [0, 1, 2, 0, 1, 0]


class Breaking(Stream):
    def __iter__(self) -> Iterator[int]:
        yield from range(self.start, self.stop)
        raise LookupError("the stream broke")


class NeverBegun(Stream):
    def __iter__(self) -> Iterator[int]:
        raise LookupError("the stream did not begin")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_stream_raises_comes_as_from_torch(workers: int) -> None:
    results = on_both(lambda cls: drained(iter(cls(Breaking(5), 2, num_workers=workers))))
    assert LookupError in results

    for cls in BOTH:
        iterator = None
        with pytest.raises(LookupError, match="the stream did not begin"):
            next(iterator := iter(cls(NeverBegun(5), 2, num_workers=workers)))
        end_workers(iterator)


@pytest.mark.parametrize("batch_size", [2, None])
def test_a_stream_that_takes_too_long_names_no_samples(batch_size: int | None) -> None:
    class Slow(Stream):
        def __iter__(self) -> Iterator[int]:
            return (held(i)[1] for i in range(4))

    held = Held(0)
    iterator = iter(DataLoader(Slow(), batch_size, num_workers=1, timeout=0.3))
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.3 seconds") as caught:
        next(iterator)
    held.go.set()
    end_workers(iterator)
    assert "None" not in str(caught.value)


# ---- worker processes ----------------------------------------------------------------------------


def worker_facts(index: int) -> Any:
    info = torch_data.get_worker_info()
    if info is None:
        return index, None
    return index, (info.id, info.num_workers, info.seed, type(info.dataset).__name__, torch.initial_seed())


@pytest.mark.parametrize("workers", [0, 2])
def test_get_worker_info_is_torchs(workers: int) -> None:
    def facts(cls: Any) -> list[Any]:
        torch.manual_seed(3)
        return list(cls(Mapped(worker_facts, 6), None, num_workers=workers))

    expected = on_both(facts)
    assert [fact is None for _, fact in expected] == [workers == 0] * 6
    assert torch_data.get_worker_info() is None


@pytest.mark.parametrize("persistent", [False, True])
def test_worker_init_fn_is_called_once_in_each_worker(tmp_path: Path, persistent: bool) -> None:
    def note(worker: int) -> None:
        with (tmp_path / "calls").open("a") as file:
            file.write(f"{worker}\n")

    loader = DataLoader(N, 20, num_workers=2, worker_init_fn=note, persistent_workers=persistent)
    assert all_indices(loader) == all_indices(loader) == list(range(40))
    end_workers(loader._iterator)
    calls = (tmp_path / "calls").read_text().split()
    assert sorted(calls) == (["0", "1"] if persistent else ["0", "0", "1", "1"])


def test_worker_init_fn_is_not_called_without_worker_processes(labelled: ImageList) -> None:
    calls: list[int] = []
    for dataset, workers in ((N, 0), (labelled, 0), (labelled, 2)):
        assert len(all_indices(DataLoader(dataset, 20, num_workers=workers, worker_init_fn=calls.append)))
    assert calls == []


def test_worker_init_fn_can_set_a_datasets_targets(numbered: list[Path]) -> None:
    def hundred(worker: int) -> None:
        torch_data.get_worker_info().dataset.target_transform = lambda y: 100 + y  # type: ignore[union-attr]

    dataset = ImageList(numbered[:4], range(4), [T.CenterCrop(8), lambda image: image])
    order = on_both(lambda cls: indices(cls(dataset, 2, num_workers=1, worker_init_fn=hundred)))
    assert order == [[100, 101], [102, 103]]


def test_worker_init_fn_can_set_a_subsets_indices(numbered: list[Path]) -> None:
    def backwards(worker: int) -> None:
        torch_data.get_worker_info().dataset.indices = [3, 2, 1]  # type: ignore[union-attr]

    dataset = ImageList(numbered[:4], range(4), [T.CenterCrop(8), lambda image: image])
    subset = torch_data.Subset(dataset, [0, 1, 2])
    assert on_both(lambda cls: indices(cls(subset, 3, num_workers=1, worker_init_fn=backwards))) == [
        [3, 2, 1]
    ]


@pytest.mark.parametrize("context", ["spawn", multiprocessing.get_context("forkserver")], ids=plain)
def test_workers_are_started_as_asked(context: Any) -> None:
    loader = DataLoader(Mapped(where, 3), None, num_workers=1, multiprocessing_context=context)
    method = context if isinstance(context, str) else context.get_start_method()
    assert loader.multiprocessing_context.get_start_method() == method
    assert list(loader) == [[i, method] for i in range(3)]


@pytest.mark.parametrize("in_order", [False, True])
def test_batches_may_come_as_they_are_ready(in_order: bool) -> None:
    held = Held(5)
    loader = DataLoader(Mapped(held), 1, sampler=[5, 0, 1, 2], num_workers=2, in_order=in_order)
    if in_order:
        held.go.set()
    iterator = iter(loader)
    got = [targets_of(next(iterator))]
    held.go.set()
    got += drained(iterator)
    assert (got[0] == [5]) == in_order
    assert sorted(got) == [[0], [1], [2], [5]]


class Nested(torch_data.IterableDataset[int]):
    """Its samples are another loader's, of a process that is a worker itself."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls

    def __iter__(self) -> Iterator[int]:
        inner = self.cls(list(range(4)), 2, num_workers=0)
        yield from (int(n) for batch in inner for n in batch)


@pytest.mark.parametrize("cls", BOTH)
def test_a_loader_inside_anothers_worker(cls: Any) -> None:
    given = sorted(DataLoader(Nested(cls), None, num_workers=2))
    assert given == sorted(2 * [0, 1, 2, 3])
