"""Datasets, and iterators of datasets, that have a state of their own: it belongs to the loader's state."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch.utils.data as torch_data

from stoker import DataLoader, StateError

SAMPLES, BATCH = 40, 4
WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


def share() -> tuple[int, int]:
    info = torch_data.get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


class Stateful:
    """Counts on from ``at``."""

    at = 0

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


class Map(Stateful, torch_data.Dataset[Any]):
    """Each sample says how many its dataset has given before."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        self.at += 1
        return index, self.at - 1, share()[0]


class Places(Stateful):
    """An iterator over its worker's share. The first sample asks for all that is in front of it."""

    asked = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> tuple[int, int]:
        first, step = share()
        place = first + self.at * step
        if place >= SAMPLES:
            raise StopIteration
        self.at += 1
        self.asked += 1
        return place, self.asked


class Own(Places, torch_data.IterableDataset[Any]):
    """A dataset that is its own iterator, and begins anew when it has ended."""

    def __iter__(self) -> Iterator[Any]:
        if share()[0] + self.at * share()[1] >= SAMPLES:
            self.at = 0
        return self


class WithIterator(torch_data.IterableDataset[Any]):
    """Only its iterators have a state."""

    def __iter__(self) -> Iterator[Any]:
        return Places()


class Reshuffled(Stateful, torch_data.IterableDataset[Any]):
    """Its state is how often it was begun; its iterators know their places."""

    def __iter__(self) -> Iterator[Any]:
        self.at += 1
        places = Places()
        places.asked = 1000 * self.at
        return places


def batches(loader: Any) -> list[Any]:
    return [[part.tolist() for part in batch] for batch in loader]


def taken(loader: Any, count: int) -> Any:
    iterator = iter(loader)
    list(itertools.islice(iterator, count))
    return json.loads(json.dumps(loader.state_dict()))


@WORKERS
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_map_style_dataset_goes_on_with_its_state(workers: int, cut: int) -> None:
    expected = batches(DataLoader(Map(), BATCH, num_workers=workers))
    state = taken(DataLoader(Map(), BATCH, num_workers=workers), cut)
    resumed: Any = DataLoader(Map(), BATCH, num_workers=workers)
    resumed.load_state_dict(state)
    assert batches(resumed) == expected[cut:]


class SlowlySent(list[int]):
    """Takes its time on its way to another process."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        time.sleep(0.02)
        return list, (list(self),)


class InPlace(Map):
    """Its state is an object that it goes on to change."""

    def __init__(self) -> None:
        self.places = SlowlySent([0])

    def state_dict(self) -> Any:
        return {"at": self.places}

    def load_state_dict(self, state: Any) -> None:
        self.places = SlowlySent(state["at"])

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        self.places[0] += 1
        return index, self.places[0] - 1, share()[0]


def test_a_state_is_as_of_its_batch_whatever_the_worker_does_with_it_since() -> None:
    expected = batches(DataLoader(InPlace(), BATCH, num_workers=1))
    state = taken(DataLoader(InPlace(), BATCH, num_workers=1), 2)
    resumed: Any = DataLoader(InPlace(), BATCH, num_workers=1)
    resumed.load_state_dict(state)
    assert batches(resumed) == expected[2:]


@WORKERS
@pytest.mark.parametrize("cut", [1, 3, 7])
@pytest.mark.parametrize("kind", [Own, WithIterator])
def test_a_stream_that_knows_its_place_is_not_wound_forward(kind: Any, workers: int, cut: int) -> None:
    expected = batches(DataLoader(kind(), BATCH, num_workers=workers))
    state = taken(DataLoader(kind(), BATCH, num_workers=workers), cut)
    resumed: Any = DataLoader(kind(), BATCH, num_workers=workers)
    resumed.load_state_dict(state)
    rest = batches(resumed)
    assert [places for places, _ in rest] == [places for places, _ in expected[cut:]]
    assert rest[0][1][0] == 1  # the first that this iterator was asked for
    assert resumed.state_dict()["finished"]
    assert len(batches(resumed)) == len(expected)
    assert sorted(n for places, _ in expected for n in places) == list(range(SAMPLES))


@WORKERS
def test_dataset_and_iterator_both(workers: int) -> None:
    loader: Any = DataLoader(Reshuffled(), BATCH, num_workers=workers)
    state = taken(loader, 3)
    resumed: Any = DataLoader(Reshuffled(), BATCH, num_workers=workers)
    resumed.load_state_dict(state)
    asked = [asked for _, asked in batches(resumed)]
    assert asked[0][0] == 2001  # the dataset's state came first, then its iterator was made


@WORKERS
@pytest.mark.parametrize("persistent", [False, True])
def test_states_in_resumed_and_later_epochs(workers: int, persistent: bool) -> None:
    """Twice in one epoch, then at its end."""
    options = {"num_workers": workers, "persistent_workers": persistent and workers > 0}

    def loader() -> Any:
        return DataLoader(Map(), BATCH, **options)

    whole = loader()
    first, second = batches(whole), batches(whole)
    resumed = loader()
    resumed.load_state_dict(taken(loader(), 2))
    again = loader()
    again.load_state_dict(taken(resumed, 3))
    assert batches(again) == first[5:]
    behind = loader()
    behind.load_state_dict(json.loads(json.dumps(again.state_dict())))
    assert batches(behind) == second


def test_a_state_before_the_first_epoch_has_the_datasets() -> None:
    dataset = Map()
    dataset.at = 100
    state = DataLoader(dataset, BATCH).state_dict()
    resumed: Any = DataLoader(Map(), BATCH)
    resumed.load_state_dict(state)
    assert batches(resumed)[0][1] == [100, 101, 102, 103]


def test_errors_are_guarded_and_states_come_all_the_same() -> None:
    def loader() -> Any:
        return DataLoader(Map(), BATCH, num_workers=1, on_error="skip")

    resumed = loader()
    resumed.load_state_dict(taken(loader(), 3))
    assert batches(resumed) == batches(DataLoader(Map(), BATCH, num_workers=1))[3:]


def test_what_has_no_state_costs_nothing_in_the_loaders() -> None:
    class Plain(torch_data.Dataset[int]):
        def __len__(self) -> int:
            return SAMPLES

        def __getitem__(self, index: int) -> int:
            return index

    assert "dataset" not in taken(DataLoader(Plain(), BATCH), 3)


def test_what_does_not_fit() -> None:
    state = taken(DataLoader(Map(), BATCH, num_workers=2), 3)
    with pytest.raises(StateError, match="num_workers 2, each of which"):
        DataLoader(Map(), BATCH, num_workers=1).load_state_dict(state)
    for wrong in (3, {}, {"own": None, "workers": None, "next": 0}, {"own": 0, "workers": [1], "next": 0}):
        with pytest.raises(StateError, match="what a state has"):
            DataLoader(Map(), BATCH, num_workers=2).load_state_dict({**state, "dataset": wrong})
    old = {name: value for name, value in state.items() if name != "dataset"}  # of a version that had none
    resumed: Any = DataLoader(Map(), BATCH, num_workers=2)
    resumed.load_state_dict(old)
    assert batches(resumed)[0][0] == [12, 13, 14, 15]
