"""That a script's own dataset is measured changes nothing of it: what torch gives is what comes."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Mapped, Numbers, Stream, StumblingStream, drained, on_both

from stoker import DataLoader
from stoker.stats import workers as w
from stoker.stats.stand_ins import metered

WORKERS = pytest.mark.parametrize("workers", [0, 2])


class Marked(Numbers):
    """Says what its worker's init function has left on it."""

    mark = -1

    def __getitem__(self, index: int) -> Any:
        info: Any = torch_data.get_worker_info()
        return self.mark, info is None or info.dataset is self


class MarkedStream(Stream):
    mark = -1

    def __iter__(self) -> Iterator[Any]:
        info: Any = torch_data.get_worker_info()
        return iter([(self.mark, info is None or info.dataset is self)] * 3)


def leave_mark(worker: int) -> None:
    info: Any = torch_data.get_worker_info()
    assert type(info.dataset) in (Marked, MarkedStream)
    assert info.id == worker
    info.dataset.mark = worker


def test_a_workers_dataset_is_the_scripts_own() -> None:
    def run(cls: Any) -> Any:
        return [
            [
                drained_list(cls(data(4), None, num_workers=2, worker_init_fn=init))
                for init in (leave_mark, None)
            ]
            for data in (Marked, MarkedStream)
        ]

    def drained_list(loader: Any) -> list[Any]:
        return [tuple(batch) for batch in loader]

    (marked, plain), (stream, plain_stream) = on_both(run)
    assert sorted(marked) == [(0, True), (0, True), (1, True), (1, True)]
    assert set(plain) == set(plain_stream) == {(-1, True)}
    assert set(stream) == {(0, True), (1, True)}


class Together(Numbers):
    """Gives its samples by the batch, in whatever form it likes."""

    def __init__(self, form: Callable[[list[int]], Any]) -> None:
        super().__init__(12)
        self.form = form

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("one by one")

    def __getitems__(self, indices: list[int]) -> Any:
        return self.form(indices)


def as_it_is(samples: Any) -> Any:
    return samples


@WORKERS
@pytest.mark.parametrize(
    "form", [list, tuple, torch.tensor, lambda i: {"x": i}], ids=["list", "tuple", "tensor", "dict"]
)
def test_what_getitems_gives_is_what_collate_gets(form: Callable[[list[int]], Any], workers: int) -> None:
    batches = on_both(lambda cls: list(cls(Together(form), 4, num_workers=workers, collate_fn=as_it_is)))
    assert len(batches) == 3
    loader = DataLoader(Together(form), 4, num_workers=workers, collate_fn=as_it_is)
    for _ in loader:
        pass
    assert loader.stats().samples == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_goes_on_behind_an_exception(workers: int) -> None:
    result = on_both(lambda cls: drained(iter(cls(StumblingStream(), 1, num_workers=workers))))
    assert result == [[1], [2], KeyError, [4], [5], [6]]


def test_a_streams_iterator_is_made_with_the_loaders() -> None:
    def made(cls: Any) -> int:
        dataset = StumblingStream()
        _iterator = iter(cls(dataset))
        return dataset.iterators

    assert on_both(made) == 1


@WORKERS
def test_exceptions_of_a_dataset(workers: int) -> None:
    def load(index: int) -> int:
        if index == 5:
            raise ValueError("five")
        return index

    result = on_both(lambda cls: drained(iter(cls(Mapped(load), 3, num_workers=workers))))
    assert result == [[0, 1, 2], ValueError, [6, 7, 8], [9, 10, 11]]


pipes = pytest.importorskip("torch.utils.data.datapipes")


@WORKERS
@pytest.mark.filterwarnings("ignore")
def test_data_pipes_are_shuffled_and_sharded_as_in_torch(workers: int) -> None:
    def run(cls: Any) -> list[list[int]]:
        pipe = pipes.iter.IterableWrapper(range(12)).shuffle().sharding_filter()
        torch.manual_seed(3)
        return [[int(i) for i in cls(pipe, None, num_workers=workers, shuffle=s)] for s in (True, False)]

    shuffled, plain = on_both(run)
    assert sorted(shuffled) == sorted(plain) == list(range(12))
    assert shuffled != plain


@WORKERS
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_pipes_are_measured_and_stay_what_they_are(workers: int, persistent: bool) -> None:
    """Two shufflers, shards, and a second epoch: each seed is drawn as in torch, and each sample counted."""
    loaders = []

    def run(cls: Any) -> list[Any]:
        torch.manual_seed(5)
        pipe = pipes.iter.IterableWrapper(range(12)).shuffle().sharding_filter().map(str).shuffle()
        loaders.append(cls(pipe, 2, num_workers=workers, persistent_workers=persistent and workers > 0))
        return [list(loaders[-1]) for _ in range(2)]

    first, second = on_both(run)
    assert first != second
    assert sorted(i for batch in second for i in batch) == sorted(str(i) for i in range(12))
    stats = loaders[-1].stats()
    assert (stats.batches, stats.samples, stats.stages["python"].count) == (12, 24, 24)


@WORKERS
@pytest.mark.filterwarnings("ignore")
def test_pipes_with_an_index_are_measured(workers: int) -> None:
    loaders = []

    def run(cls: Any) -> list[Any]:
        pipe = pipes.map.SequenceWrapper(range(10)).map(str)
        loaders.append(cls(pipe, 2, num_workers=workers))
        return list(loaders[-1])

    assert on_both(run)[-1] == ["8", "9"]
    assert loaders[-1].stats().stages["python"].count == 10


def test_a_pipes_graph_begins_with_what_stands_for_it() -> None:
    from torch.utils.data.graph import traverse_dps

    pipe = pipes.iter.IterableWrapper(range(3)).sharding_filter()
    measured = metered(pipe, True, w.WorkerBlock(0))
    ((first, rest),) = traverse_dps(measured).values()
    assert first is measured
    assert [p for p, _ in rest.values()] == [pipe]
    assert not hasattr(measured, "apply_sharding")  # or it would be sharded twice
    assert list(pickle.loads(pickle.dumps(measured))) == [0, 1, 2]


# ---- what torchdata's StatefulDataLoader looks for -------------------------------------------------


class Counter:
    """Samples that count on from a state. ``own``: it is its own iterator."""

    def __init__(self, own: bool = False) -> None:
        self.own, self.at = own, 0

    def __iter__(self) -> Iterator[int]:
        return self if self.own else Counter(True)

    def __next__(self) -> int:
        self.at += 1
        return self.at - 1

    def __getitem__(self, index: int) -> int:
        return index

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def has_state(thing: Any) -> bool:
    """As a Protocol's isinstance() finds out, from Python 3.12 on: without __getattr__."""
    missing = object()
    names = ("state_dict", "load_state_dict")
    return all(inspect.getattr_static(thing, name, missing) is not missing for name in names)


@pytest.mark.parametrize("again", [lambda x: x, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("iterable", [False, True])
def test_a_state_is_saved_and_loaded(again: Callable[[Any], Any], iterable: bool) -> None:
    data: Any = again(metered(Counter(), iterable, w.WorkerBlock(0)))
    assert has_state(data)
    data.load_state_dict({"at": 7})
    assert (data.state_dict(), data.inner.at) == ({"at": 7}, 7)
    if iterable:
        iterator = iter(data)
        assert has_state(iterator)
        assert iterator is not data
        assert [next(iterator), next(iterator), iterator.state_dict()] == [0, 1, {"at": 2}]
        iterator.load_state_dict({"at": 5})
        assert next(iterator) == 5


def test_a_dataset_that_is_its_own_iterator_stays_that() -> None:
    """Its state would be saved twice."""
    data = again = metered(Counter(own=True), True, w.WorkerBlock(0))
    for _ in range(2):
        assert iter(again) is again
        assert next(again) == 0
        again = pickle.loads(pickle.dumps(data))
        data.inner.at = again.inner.at = 0
    with pytest.raises(TypeError, match="'Counter' object is not an iterator"):
        next(metered(Counter(), True, w.WorkerBlock(0)))


def test_what_has_no_state_gets_none() -> None:
    for data, iterable in ((Numbers(3), False), (Stream(3), True)):
        stand_in = metered(data, iterable, w.WorkerBlock(0))
        assert not has_state(stand_in)
        assert not hasattr(stand_in, "state_dict")
    assert not has_state(iter(stand_in))


def test_attributes_are_the_datasets_own() -> None:
    data = Marked(3)
    data.mark = 9
    stand_in: Any = metered(data, False, w.WorkerBlock(0))
    assert (stand_in.mark, copy.copy(stand_in).mark) == (9, 9)
    assert copy.copy(stand_in).inner is data
    with pytest.raises(AttributeError):
        stand_in.no_such_thing  # noqa: B018
    with pytest.raises(AttributeError):
        object.__new__(type(stand_in)).mark  # noqa: B018 - as in unpickling


def test_a_dataset_whose_attributes_raise_is_measured_all_the_same() -> None:
    class Rude(Numbers):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert metered(Rude(3), False, w.WorkerBlock(0))[1] == Numbers(3)[1]
