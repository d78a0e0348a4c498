"""What PyTorch documents of datasets holds on both paths: those made of others, those that change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Numbers, Sampled, on_both, refusal, targets_of
from conftest import all_indices, indices
from torchvision_operators import define_operators

from stoker import DataLoader, ImageList
from stoker import transforms as T

N = Numbers()
BOTH = (torch_data.DataLoader, DataLoader)


# ---- datasets ------------------------------------------------------------------------------------

COMPOSED: dict[str, Callable[[Any], Any]] = {
    "subset": lambda d: torch_data.Subset(d, [7, -1, 7, 0]),
    "subset by a range": lambda d: torch_data.Subset(d, range(30, 10, -7)),
    "subset by a tensor": lambda d: torch_data.Subset(d, torch.tensor([4, 2])),
    "subset of a subset": lambda d: torch_data.Subset(torch_data.Subset(d, [9, 8, 7, 6]), [3, -4]),
    "sum": lambda d: d + torch_data.Subset(d, [3, 1]),
    "concatenation": lambda d: torch_data.ConcatDataset([torch_data.Subset(d, [1]), d, d]),
    "split": lambda d: torch_data.random_split(d, [30, 10], torch.Generator().manual_seed(1))[1],
    "shares": lambda d: torch_data.random_split(d, [0.25, 0.75], torch.Generator().manual_seed(2))[0],
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("composed", COMPOSED)
def test_datasets_made_of_datasets(labelled: ImageList, composed: str, workers: int) -> None:
    make = COMPOSED[composed]
    for arguments in ({"batch_size": 3}, {"batch_size": 2, "sampler": [-1, 0, 1, -2]}):
        expected = indices(torch_data.DataLoader(make(N), **arguments))
        loader = DataLoader(make(labelled), num_workers=workers, **arguments)
        assert loader.native
        assert indices(loader) == expected
        assert indices(DataLoader(make(N), num_workers=workers, **arguments)) == expected


def test_a_dataset_without_a_length_needs_a_sampler() -> None:
    class Endless:
        def __getitem__(self, index: int) -> int:
            return 10 * index

    assert on_both(lambda cls: list(cls(Endless(), 2, sampler=[3, 1, 4], num_workers=0)))[0].tolist() == [
        30,
        10,
    ]
    theirs, ours = (refusal(lambda cls=cls: list(cls(Endless(), num_workers=0))) for cls in BOTH)
    assert ours == theirs


def test_getitems_gets_a_whole_batch() -> None:
    class Whole(Numbers):
        def __getitems__(self, batch: list[int]) -> list[Any]:
            return [(torch.zeros(1), 100 * len(batch) + index) for index in batch]

    assert on_both(lambda cls: all_indices(cls(Whole(5), 3, num_workers=0))) == [300, 301, 302, 203, 204]


class Relabelled(Numbers):
    """Wraps another dataset, as people do: what it lacks is the other's."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(len(dataset))
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        image, target = self.dataset[index]
        return image, 100 + target

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)


class Derived(Sampled):
    def __getitem__(self, index: int) -> Any:
        image, target = super().__getitem__(index)
        return image, 100 + target


@pytest.mark.parametrize(
    "kind",
    [
        "list in a wrapper",
        "stoker_sample in a wrapper",
        "derived",
    ],
)
def test_a_getitem_that_changes_samples_is_respected(
    labelled: ImageList, numbered: list[Path], kind: str
) -> None:
    dataset = {
        "list in a wrapper": lambda: Relabelled(torch_data.Subset(labelled, range(4))),
        "stoker_sample in a wrapper": lambda: Relabelled(Sampled(numbered[:4])),
        "derived": lambda: Derived(numbered[:4]),
    }[kind]()
    assert on_both(lambda cls: indices(cls(dataset, 4, num_workers=0))) == [[100, 101, 102, 103]]


# ---- datasets that change ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["native", "python"])
def test_what_is_changed_between_epochs_counts_from_the_next(labelled: ImageList, path: str) -> None:
    subset = torch_data.Subset(labelled if path == "native" else N, [0, 1, 2])
    loader = DataLoader(subset, 2, num_workers=2)
    assert indices(loader) == [[0, 1], [2]]
    subset.indices = [5, 6, 7, 8, 9]
    assert (len(loader), indices(loader)) == (3, [[5, 6], [7, 8], [9]])
    subset.indices[0] = 30
    assert indices(loader) == [[30, 6], [7, 8], [9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_changed_target_transform_counts_from_the_next_epoch(numbered: list[Path], workers: int) -> None:
    dataset = ImageList(numbered[:4], range(4), T.CenterCrop(8))
    loader = DataLoader(dataset, 4, num_workers=workers)
    assert indices(loader) == [[0, 1, 2, 3]]
    dataset.target_transform = lambda target: -target
    assert indices(loader) == [[0, -1, -2, -3]]
    dataset.target_transform = None
    assert indices(loader) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "left_early",
    [
        False,
        True,
    ],
)
def test_a_change_counts_with_persistent_workers_too(labelled: ImageList, left_early: bool) -> None:
    subset = torch_data.Subset(labelled, [0, 1, 2, 3])
    loader = DataLoader(subset, 2, num_workers=1, persistent_workers=True)
    assert targets_of(next(iter(loader))) == [0, 1]
    if not left_early:
        assert len(indices(loader)) == 2
    subset.indices = [9, 8, 7, 6, 5, 4]
    assert indices(loader) == [[9, 8], [7, 6], [5, 4]]


@pytest.mark.parametrize(
    "count",
    [
        100,
        200,
    ],
)
def test_samples_of_a_torchvision_folder_changed_in_place(folder: Path, count: int) -> None:
    if not define_operators():
        pytest.skip("torchvision is not installed")
    from torchvision import datasets
    from torchvision.transforms import v2

    transform = v2.Compose([v2.CenterCrop(8), v2.PILToTensor()])
    dataset = datasets.ImageFolder(str(folder), transform)
    dataset.samples = [dataset.samples[0]] * count
    loader = DataLoader(dataset, 3, num_workers=1)
    assert loader.native
    assert targets_of(next(iter(loader))) == [0, 0, 0]
    dataset.samples[1] = (dataset.samples[1][0], 7)
    assert targets_of(next(iter(loader))) == [0, 7, 0]
