"""Samplers, batch samplers and their iterators that have a state of their own: it belongs to the loader's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Numbers
from conftest import write_photos
from resuming import BATCH, BATCHES, SAMPLES, take

from stoker import DataLoader, ImageList, StateError
from stoker import transforms as T

WORKERS = pytest.mark.parametrize("workers", [0, 2])
Order = torch_data.Sampler


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    paths = write_photos(tmp_path_factory.mktemp("samplers"), SAMPLES)
    return ImageList(paths, range(SAMPLES), [T.RandomResizedCrop(8)])


@pytest.fixture(params=["native", "python"])
def data(request: pytest.FixtureRequest, images: ImageList) -> Any:
    return images if request.param == "native" else Numbers(SAMPLES)


class Placed(Order[Any]):
    """Knows its epoch and its place there, by which alone it goes on."""

    def __init__(self) -> None:
        self.epoch, self.at = 0, 0

    def __len__(self) -> int:
        return SAMPLES

    def __iter__(self) -> Iterator[int]:
        order = random.Random(self.epoch).sample(range(SAMPLES), SAMPLES)
        while self.at < SAMPLES:
            self.at += 1
            yield order[self.at - 1]
        self.epoch, self.at = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.at = state["epoch"], state["at"]


class Yielded(Order[int]):
    """As torchdata's StatefulDistributedSampler: counts what it gave, and leaves that out once."""

    def __init__(self) -> None:
        self.yielded, self.next = 0, 0

    def __len__(self) -> int:
        return SAMPLES

    def __iter__(self) -> Iterator[int]:
        self.yielded, self.next = self.next, 0
        for index in range(self.yielded, SAMPLES):
            self.yielded += 1
            yield index * 7 % SAMPLES

    def state_dict(self) -> dict[str, int]:
        return {"yielded": self.yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.next = state["yielded"]


class Drawing(Order[int]):
    """Draws with replacement from numbers of its own, which are its state."""

    def __init__(self) -> None:
        self.random = random.Random(1)

    def __len__(self) -> int:
        return SAMPLES

    def __iter__(self) -> Iterator[int]:
        return iter([self.random.randrange(SAMPLES // 4) for _ in range(SAMPLES)])

    def state_dict(self) -> dict[str, Any]:
        return {"random": self.random.getstate()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        version, numbers, gauss = state["random"]
        self.random.setstate((version, tuple(numbers), gauss))


class PlacedBatches(Placed):
    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Any]:
        return iter(torch_data.BatchSampler(super().__iter__(), BATCH, False))  # type: ignore[arg-type]


class Place:
    """An iterator with a state, of a sampler that has none."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.at == SAMPLES:
            raise StopIteration
        self.at += 1
        return self.at * 3 % SAMPLES

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


class Places(Order[int]):
    def __len__(self) -> int:
        return SAMPLES

    def __iter__(self) -> Iterator[int]:
        return Place()


def loader_of(data: Any, order: Any, workers: int) -> Any:
    torch.manual_seed(2)
    if isinstance(order, PlacedBatches):
        return DataLoader(data, batch_sampler=order, num_workers=workers)
    return DataLoader(data, BATCH, sampler=order, num_workers=workers)


def values(batches: Any) -> list[Any]:
    return [[part.tolist() for part in batch] for batch in batches]


@WORKERS
@pytest.mark.parametrize("cut", [0, 1, 4, BATCHES])
@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("kind", [Placed, PlacedBatches, Yielded, Drawing, Places])
def test_the_rest_of_the_run_is_the_same(
    data: Any, kind: Callable[[], Any], epoch: int, cut: int, workers: int
) -> None:
    """The images' random crops as well, where indices come again too."""
    whole = loader_of(data, kind(), workers)
    expected = [values(whole) for _ in range(3)]
    cut_off = loader_of(data, kind(), workers)
    for _ in range(epoch):
        list(cut_off)
    had, state = take(cut_off, cut)
    resumed = loader_of(data, kind(), workers)
    resumed.load_state_dict(state)
    rest = [] if cut == BATCHES else values(resumed)
    assert values(had) + rest == expected[epoch]
    assert values(resumed) == expected[epoch + 1]


@WORKERS
def test_a_state_between_epochs_has_the_samplers(data: Any, workers: int) -> None:
    order = Placed()
    order.epoch = 5
    state = loader_of(data, order, workers).state_dict()
    resumed = loader_of(data, Placed(), workers)
    resumed.load_state_dict(state)
    assert resumed.sampler.epoch == 5
    assert values(resumed) == values(loader_of(data, order, workers))


@WORKERS
def test_twice_in_one_epoch(data: Any, workers: int) -> None:
    expected = values(loader_of(data, Yielded(), workers))
    loader, had = loader_of(data, Yielded(), workers), 0
    for count in (2, 3, 1):
        _, state = take(loader, count)
        had += count
        loader = loader_of(data, Yielded(), workers)
        loader.load_state_dict(state)
    assert values(loader) == expected[had:]


class Adaptive(Placed):
    """The training loop says which samples come from here on."""

    step = 1

    def __iter__(self) -> Iterator[int]:
        while self.at < SAMPLES:
            self.at += 1
            yield self.at * self.step % SAMPLES

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at, "step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at, self.step = state["at"], state["step"]


@WORKERS
def test_what_the_script_has_changed_on_the_way_is_gone_on_with(data: Any, workers: int) -> None:
    """Its indices cannot be drawn again: the sampler goes on from the last batch's state, as in torchdata."""

    def targets_of(batches: Any) -> list[Any]:
        return [targets.tolist() for _, targets in batches]

    order = Adaptive()
    cut_off = loader_of(data, order, workers)
    batches = iter(cut_off)
    for _ in range(2):
        next(batches)
    order.step = 3
    for _ in range(6):  # more than are drawn ahead
        next(batches)
    state = json.loads(json.dumps(cut_off.state_dict()))
    rest = targets_of(batches)
    resumed = loader_of(data, Adaptive(), workers)
    resumed.load_state_dict(state)
    iterator = iter(resumed)
    first = targets_of([next(iterator)])
    later = resumed.state_dict()
    assert first + targets_of(iterator) == rest
    assert (later["batches"], later["samples"]) == (9, 9 * BATCH)
    again = loader_of(data, Adaptive(), workers)
    again.load_state_dict(later)
    assert targets_of(again) == rest[1:]


class Unseeded(Placed):
    """Draws its order from numbers that nobody keeps, and says that it is at the same place."""

    def __iter__(self) -> Iterator[int]:
        order = random.Random().sample(range(SAMPLES), SAMPLES)
        while self.at < SAMPLES:
            self.at += 1
            yield order[self.at - 1]


def test_a_state_that_does_not_say_which_indices_come_is_refused(data: Any) -> None:
    _, state = take(loader_of(data, Unseeded(), 0), 4)
    resumed = loader_of(data, Unseeded(), 0)
    resumed.load_state_dict(state)
    with pytest.raises(StateError, match="gave other indices"):
        next(iter(resumed))


def test_arrays_in_states_are_compared(data: Any) -> None:
    class Arrays(Placed):
        def state_dict(self) -> dict[str, Any]:
            return {"both": torch.tensor([self.epoch, self.at])}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.epoch, self.at = state["both"].tolist()

    expected = values(loader_of(data, Arrays(), 0))
    cut_off = loader_of(data, Arrays(), 0)
    batches = iter(cut_off)
    next(batches)
    resumed = loader_of(data, Arrays(), 0)
    resumed.load_state_dict(cut_off.state_dict())
    assert values(resumed) == expected[1:]


class Ahead:
    """A script's own batch sampler, which looks ahead: its sampler is not where its batches are."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Any]:
        batches = iter(torch_data.BatchSampler(self.sampler, BATCH, False))
        ahead = [next(batches), next(batches)]
        for batch in batches:
            ahead.append(batch)
            yield ahead.pop(0)
        yield from ahead


def looking_ahead(data: Any, sampler: Any) -> Any:
    torch.manual_seed(2)
    return DataLoader(data, batch_sampler=Ahead(sampler), num_workers=0)


def test_a_script_s_own_batch_sampler_of_a_sampler_with_a_state(data: Any) -> None:
    whole = looking_ahead(data, Placed())
    expected = [values(whole), values(whole)]
    cut_off = looking_ahead(data, Placed())
    list(cut_off)
    _, state = take(cut_off, 3)
    resumed = looking_ahead(data, Placed())
    resumed.load_state_dict(state)
    assert values(resumed) == expected[1][3:]


def test_where_nobody_knows_the_batch_samplers_place_there_is_no_going_on(data: Any) -> None:
    order = Adaptive()
    cut_off = looking_ahead(data, order)
    batches = iter(cut_off)
    next(batches)
    order.step = 3
    for _ in range(5):
        next(batches)
    resumed = looking_ahead(data, Adaptive())
    resumed.load_state_dict(cut_off.state_dict())
    with pytest.raises(StateError, match="gave other indices"):
        next(iter(resumed))


def test_what_does_not_fit(data: Any) -> None:
    _, state = take(loader_of(data, Placed(), 0), 3)
    for wrong in (3, {}, {"start": None, "now": None}, {"start": 1, "now": {"sampler": 1, "iterator": 1}}):
        with pytest.raises(StateError, match="sampler_state is not what"):
            loader_of(data, Placed(), 0).load_state_dict({**state, "sampler_state": wrong})
    old = {name: value for name, value in state.items() if name != "sampler_state"}  # of a version without
    resumed = loader_of(data, Placed(), 0)
    resumed.load_state_dict(old)
    assert values(resumed) == values(loader_of(data, Placed(), 0))[3:]
    stateless = type("Placed", (Order,), {"__iter__": lambda _self: iter(range(SAMPLES))})
    with pytest.raises(StateError, match="has no load_state_dict"):
        DataLoader(data, BATCH, sampler=stateless(), num_workers=0).load_state_dict(state)


def test_samplers_without_a_state_add_nothing(data: Any) -> None:
    assert "sampler_state" not in take(DataLoader(data, BATCH, shuffle=True, num_workers=0), 3)[1]


def test_batches_given_as_a_sampler() -> None:
    """As it is done with ``batch_size=None``."""

    def loader() -> Any:
        return DataLoader(
            Indexed(), batch_size=None, sampler=torch_data.BatchSampler(Placed(), BATCH, False), num_workers=0
        )

    whole, cut_off = loader(), loader()
    expected = [[batch.tolist() for batch in whole] for _ in range(2)]
    list(cut_off)
    batches = iter(cut_off)
    next(batches)
    resumed = loader()
    resumed.load_state_dict(cut_off.state_dict())
    assert [batch.tolist() for batch in resumed] == expected[1][1:]


class Indexed(torch_data.Dataset[Any]):
    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: Any) -> torch.Tensor:
        return torch.tensor(index)
