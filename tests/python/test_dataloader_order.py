"""stoker.DataLoader against torch's: order of samples, generators, and random transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import all_indices, indices

from stoker import _C, DataLoader, ImageList
from stoker import transforms as T

RANDOM = [T.RandomResizedCrop(16), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("batch_size", [3, None])
def test_order_and_generator_are_torchs(
    labelled: ImageList, workers: int, persistent: bool, given: bool, batch_size: int | None
) -> None:
    if persistent and workers == 0:
        pytest.skip("torch refuses it")
    runs = []
    for cls in (torch_data.DataLoader, DataLoader):
        torch.manual_seed(5)
        generator = torch.Generator().manual_seed(6) if given else None
        # As torch with workers: without, its dataset[i] itself draws from the global generator.
        processes = workers if given or cls is DataLoader else max(1, workers)
        loader = cls(
            labelled,
            batch_size,
            shuffle=True,
            num_workers=processes,
            generator=generator,
            persistent_workers=persistent,
        )
        states, orders = [], []
        for _ in range(3):
            orders.append([torch.as_tensor(targets).tolist() for _, targets in loader])
            states.append((generator or torch.default_generator).get_state())
        runs.append((orders, states))
    (torchs, torch_states), (ours, states) = runs
    assert ours == torchs
    assert ours[0] != ours[1] != ours[2]
    assert all(map(torch.equal, states, torch_states))


class Eager:
    """A batch sampler that draws when its iterator is made, not at the first batch."""

    def __len__(self) -> int:
        return 40

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[i] for i in torch.randperm(40).tolist()])


@pytest.mark.parametrize("persistent", [False, True])
def test_order_of_a_sampler_that_draws_early_is_torchs_with_workers(
    labelled: ImageList, persistent: bool
) -> None:
    orders = []
    for cls in (torch_data.DataLoader, DataLoader):
        torch.manual_seed(5)
        loader = cls(labelled, batch_sampler=Eager(), num_workers=2, persistent_workers=persistent)
        orders.append([indices(loader) for _ in range(2)])
    assert orders[0] == orders[1]


def test_distributed_sampler(labelled: ImageList) -> None:
    seen: list[int] = []
    for rank in range(3):
        sampler = torch_data.DistributedSampler(labelled, num_replicas=3, rank=rank, seed=1)
        sampler.set_epoch(4)
        loader, theirs = (
            cls(labelled, 5, sampler=sampler, num_workers=2) for cls in (DataLoader, torch_data.DataLoader)
        )
        order = indices(loader)
        assert order == indices(theirs)
        seen += all_indices(loader)
    assert set(seen) == set(range(40))


def epochs(dataset: ImageList, seed: int, count: int = 1, **options: Any) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    loader = DataLoader(dataset, 8, shuffle=True, **options)
    return [torch.cat([images for images, _ in loader]) for _ in range(count)]


def test_one_seed_gives_one_result_for_any_workers_and_targets(
    numbered: list[Path], simd_target: Callable[[str], object]
) -> None:
    dataset = ImageList(numbered, range(40), RANDOM)
    expected = epochs(dataset, 1, 2, num_workers=0)
    for options in (
        {"num_workers": 1},
        {"num_workers": 2, "prefetch_factor": 5},
        {"num_workers": 8, "prefetch_factor": 1},
        {"num_workers": 8, "memory_format": torch.channels_last},
    ):
        assert all(map(torch.equal, expected, epochs(dataset, 1, 2, **options)))
    for target in _C.simd_targets():
        simd_target(target)
        assert all(map(torch.equal, expected, epochs(dataset, 1, 2, num_workers=2)))


@pytest.mark.parametrize("persistent", [False, True])
def test_another_epoch_or_seed_is_augmented_otherwise(numbered: list[Path], persistent: bool) -> None:
    dataset = ImageList([numbered[0]] * 40, range(40), RANDOM)
    a = epochs(dataset, 1, 3, num_workers=2, persistent_workers=persistent)
    b = epochs(dataset, 1, 3, num_workers=2, persistent_workers=persistent)
    other = epochs(dataset, 2, 1, num_workers=2, persistent_workers=persistent)
    assert all(map(torch.equal, a, b))
    # Every sample shows the same small photograph, so only augmentation tells the 160 apart; by
    # chance a few are the same.
    assert len({image.numpy().tobytes() for image in torch.cat([*a, *other])}) > 150


def test_augmentation_belongs_to_the_sample_not_to_its_place(numbered: list[Path]) -> None:
    dataset = ImageList(numbered, range(40), RANDOM)
    results = []
    for order, size in ((range(40), 8), (range(39, -1, -1), 7)):
        torch.manual_seed(1)
        loader = DataLoader(dataset, size, sampler=order, num_workers=2)
        results.append({int(y): x for images, targets in loader for x, y in zip(images, targets)})
    assert all(torch.equal(results[0][i], results[1][i]) for i in range(40))


@pytest.mark.parametrize("workers", [0, 3])
def test_a_repeated_index_is_augmented_anew(numbered: list[Path], workers: int) -> None:
    dataset = ImageList(numbered, range(40), RANDOM)
    torch.manual_seed(1)
    loader = DataLoader(dataset, 4, sampler=[7] * 10, num_workers=workers)
    images = torch.cat([images for images, _ in loader])
    assert len({image.numpy().tobytes() for image in images}) == 10
