"""state_dict and load_state_dict: the same batches as in a run that was never interrupted."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from index_helpers import same
from resuming import BATCH, BATCHES, SAMPLES, take
from torch.utils.data.distributed import DistributedSampler

from stoker import DataLoader, ImageList, StateError
from stoker import transforms as T


class Numbers(torch_data.Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, count: int = SAMPLES) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(index), index


@pytest.fixture(scope="module")
def images(numbered: list[Path]) -> ImageList:
    return ImageList(numbered, range(SAMPLES), [T.RandomResizedCrop(8), T.RandomHorizontalFlip()])


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from conftest import write_photos

    return write_photos(tmp_path_factory.mktemp("state"), SAMPLES)


def tuples(batches: list[Any]) -> list[Any]:
    return [tuple(batch) for batch in batches]


@pytest.mark.parametrize("cut", [0, 1, 7, BATCHES])
@pytest.mark.parametrize("sampler", ["shuffle", "weighted"])
@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("workers", [(0, 2, False), (2, 1, False), (2, 2, True)])
@pytest.mark.parametrize("path", ["native", "python"])
def test_the_rest_of_the_run_is_the_same(
    images: ImageList, path: str, workers: tuple[int, int, bool], own_generator: bool, sampler: str, cut: int
) -> None:
    before, after, persistent = workers
    if path == "python" and after and cut not in (1, BATCHES):
        pytest.skip("processes take long")

    def loader(seed: int, workers: int) -> Any:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed) if own_generator else None
        order: Any = {"shuffle": True}
        if sampler == "weighted":  # with replacement: an index comes several times
            weights = torch.arange(1.0, SAMPLES + 1)
            order = {"sampler": torch_data.WeightedRandomSampler(weights, SAMPLES, generator=generator)}
        return DataLoader(
            images if path == "native" else Numbers(),  # type: ignore[arg-type]
            BATCH,
            num_workers=workers,
            persistent_workers=persistent,
            generator=generator,
            index=None,
            **order,
        )

    whole = loader(7, before)
    expected = [tuples(list(whole)) for _ in range(3)]
    first = loader(7, before)
    assert same(tuples(list(first)), expected[0])
    taken, state = take(first, cut)
    assert same(tuples(taken), expected[1][:cut])
    del first
    second = loader(1234, after)
    torch.rand(5)
    second.load_state_dict(state)
    if cut < BATCHES:
        assert same(tuples(list(second)), expected[1][cut:])
    assert same(tuples(list(second)), expected[2])


def test_a_state_twice_in_one_epoch(images: ImageList) -> None:
    torch.manual_seed(3)
    expected = tuples(list(DataLoader(images, BATCH, shuffle=True)))
    torch.manual_seed(3)
    _, state = take(DataLoader(images, BATCH, shuffle=True), 3)
    second = DataLoader(images, BATCH, shuffle=True)
    second.load_state_dict(state)
    assert second.state_dict() == state  # before anything has happened
    middle, state = take(second, 4)
    assert same(tuples(middle), expected[3:7])
    third = DataLoader(images, BATCH, shuffle=True)
    third.load_state_dict(state)
    assert same(tuples(list(third)), expected[7:])


def test_the_training_loops_own_draws_do_not_matter(images: ImageList) -> None:
    """Dropout on the CPU draws from the generator that samplers are seeded from."""

    def epochs(loader: Any, first: Any = None) -> Iterator[Any]:
        for _ in range(2):
            for batch in loader:
                torch.rand(3)
                yield tuple(batch)

    torch.manual_seed(0)
    expected = list(epochs(DataLoader(images, BATCH, shuffle=True)))
    torch.manual_seed(0)
    loader = DataLoader(images, BATCH, shuffle=True)
    running = epochs(loader)
    taken = [next(running) for _ in range(6)]
    state = loader.state_dict()
    torch.manual_seed(99)
    resumed = DataLoader(images, BATCH, shuffle=True)
    resumed.load_state_dict(state)
    torch.rand(100)  # what a new process has drawn by then
    rest = []
    for batch in resumed:
        torch.rand(3)
        rest.append(tuple(batch))
    assert same(taken + rest, expected[:BATCHES])
    rest = []
    for batch in resumed:
        torch.rand(3)
        rest.append(tuple(batch))
    assert same(rest, expected[BATCHES:])


def test_a_break_is_the_middle_of_an_epoch(images: ImageList) -> None:
    torch.manual_seed(1)
    expected = tuples(list(DataLoader(images, BATCH, shuffle=True)))
    torch.manual_seed(1)
    loader = DataLoader(images, BATCH, shuffle=True)
    for n, _ in enumerate(loader):
        if n == 4:
            break
    resumed = DataLoader(images, BATCH, shuffle=True)
    resumed.load_state_dict(loader.state_dict())
    assert same(tuples(list(resumed)), expected[5:])


def test_it_is_small_whatever_the_dataset_and_json_has_its_types() -> None:
    loader = DataLoader(Numbers(1_000_000), 1000, shuffle=True)
    iterator = iter(loader)
    next(iterator)
    text = json.dumps(loader.state_dict())
    assert len(text) < 32_000
    assert json.loads(text) == loader.state_dict()
    assert json.loads(text)["version"] == 1


def test_states_of_copies_are_independent(images: ImageList) -> None:
    loader = DataLoader(images, BATCH, shuffle=True)
    take(loader, 3)
    for twin in (copy.copy(loader), pickle.loads(pickle.dumps(loader))):
        assert twin.state_dict()["batches"] == 0
    assert loader.state_dict()["batches"] == 3


def test_batches_lost_to_an_error_count_as_had(images: ImageList, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"nothing")
    paths = [images.path(i) for i in range(8)]
    dataset = ImageList([*paths[:5], broken, *paths[5:]], range(9), T.CenterCrop(8))
    loader = DataLoader(dataset, 2)
    iterator = iter(loader)
    next(iterator), next(iterator)
    with pytest.raises(RuntimeError):
        next(iterator)
    resumed = DataLoader(dataset, 2)
    resumed.load_state_dict(loader.state_dict())
    assert [labels.tolist() for _, labels in resumed] == [[6, 7], [8]]


# ---- refused -------------------------------------------------------------------------------------


def test_what_is_no_state(images: ImageList) -> None:
    loader = DataLoader(images, BATCH)
    good = loader.state_dict()
    for state, message in [
        (None, "not the state of"),
        ({}, "not the state of"),
        ({**good, "version": 2}, "version 2"),
        ({k: v for k, v in good.items() if k != "checksum"}, "lacks checksum"),
        ({**good, "dataset_size": 41}, "dataset_size 41, this one has 40"),
        ({**good, "sampler": "RandomSampler"}, "sampler 'RandomSampler', this one has 'SequentialSampler'"),
    ]:
        with pytest.raises(StateError, match=message):
            loader.load_state_dict(state)  # type: ignore[arg-type]


def test_another_batch_size_in_mid_epoch(images: ImageList) -> None:
    _, state = take(DataLoader(images, BATCH), 2)
    with pytest.raises(StateError, match="batch_size 4, this loader has 5"):
        DataLoader(images, 5).load_state_dict(state)
    _, state = take(DataLoader(images, BATCH), BATCHES)
    DataLoader(images, 5).load_state_dict(state)  # at an epoch's end it does not matter


class Unseeded(torch_data.Sampler[int]):
    """Draws from a generator that nobody knows of."""

    def __iter__(self) -> Iterator[int]:
        order = list(range(SAMPLES))
        random.shuffle(order)
        return iter(order)

    def __len__(self) -> int:
        return SAMPLES


def test_a_sampler_that_does_not_replay(images: ImageList) -> None:
    _, state = take(DataLoader(images, BATCH, sampler=Unseeded()), 3)
    resumed = DataLoader(images, BATCH, sampler=Unseeded())
    resumed.load_state_dict(state)
    for _ in range(2):  # and not silently the second time
        with pytest.raises(StateError, match="a generator that the loader does not know"):
            next(iter(resumed))


def test_a_sampler_that_has_become_shorter(images: ImageList) -> None:
    _, state = take(DataLoader(images, BATCH, sampler=range(SAMPLES)), 7)
    resumed = DataLoader(images, BATCH, sampler=range(10))
    resumed.load_state_dict(state)
    with pytest.raises(StateError, match="7 batches into its epoch, but the sampler gave only 3"):
        next(iter(resumed))


def test_in_order_false_has_no_state() -> None:
    loader = DataLoader(Numbers(), in_order=False, num_workers=2)
    state = loader.state_dict()  # frameworks ask for one whether or not they will use it
    for other in (loader, DataLoader(Numbers())):
        with pytest.raises(StateError, match="in_order=False"):
            other.load_state_dict(state)


def test_another_epoch_of_a_distributed_sampler(images: ImageList) -> None:
    def loader() -> tuple[DataLoader[Any], DistributedSampler[Any]]:
        sampler: DistributedSampler[Any] = DistributedSampler(images, 2, 0)
        return DataLoader(images, BATCH, sampler=sampler), sampler

    first, sampler = loader()
    sampler.set_epoch(5)
    _, state = take(first, 2)
    second, sampler = loader()
    second.load_state_dict(state)
    assert sampler.epoch == 5
    sampler.set_epoch(6)
    with pytest.raises(StateError, match=r"at epoch 6, .* call set_epoch\(5\)"):
        iter(second)
