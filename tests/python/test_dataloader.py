"""stoker.DataLoader against torch's: structure, values, arguments, attributes, paths."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import all_indices, indices, photo_like, plain
from python_datasets import Opaque
from torch.utils.data import default_collate

from stoker import AutoWorkers, DataLoader, ImageFolder, ImageList, LoaderStats, _cpus, dataloader
from stoker import transforms as T

FIXED = [T.Resize((20, 22)), T.ToDtype(torch.float32, scale=True), T.Normalize([0.5], [0.25])]
RANDOM = [T.RandomResizedCrop(16), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True)]


@pytest.fixture(scope="module")
def fixed(folder: Path) -> ImageFolder:
    return ImageFolder(folder, FIXED)


def same(a: Any, b: Any) -> bool:
    """Equal in structure, types, dtypes and values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return bool(a == b)


# ---- batches -------------------------------------------------------------------------------------


def test_it_is_a_torch_data_loader(fixed: ImageFolder) -> None:
    loader = DataLoader(fixed, batch_size=5)
    assert isinstance(loader, torch_data.DataLoader)
    assert loader.native
    assert len(loader) == 8
    batch = next(iter(loader))
    assert type(batch) is list
    images, targets = batch
    assert (images.shape, images.dtype) == ((5, 3, 20, 22), torch.float32)
    assert (targets.shape, targets.dtype) == ((5,), torch.int64)


class Backwards:
    """A sampler, or with batches a batch sampler."""

    def __init__(self, *batches: int) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches) or 37

    def __iter__(self) -> Iterator[Any]:
        order = iter(range(36, -1, -1))
        if not self.batches:
            yield from order
        for size in self.batches:
            yield [next(order) for _ in range(size)]


def collate(samples: list[Any]) -> dict[str, Any]:
    return {"x": torch.stack([x for x, _ in samples]), "y": [y for _, y in samples]}


ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"batch_size": 5},
    {"batch_size": 5, "drop_last": True},
    {"batch_size": 50},
    {"batch_size": 50, "drop_last": True},
    {"batch_size": 4, "sampler": Backwards()},
    {"batch_size": 4, "sampler": torch.arange(9)},
    {"batch_sampler": Backwards(1, 7, 3, 20)},
    {"batch_sampler": [torch.tensor([3, 4]), [5]]},
    {"batch_size": None},
    {"batch_size": None, "sampler": Backwards()},
    {"batch_size": 6, "collate_fn": collate},
    {"batch_size": 6, "collate_fn": lambda samples: samples},
    {"batch_size": 6, "collate_fn": default_collate},
    {"batch_size": None, "collate_fn": lambda sample: sample},
    {"batch_size": 6, "pin_memory": False},
]


@pytest.mark.parametrize("workers", [0, 1, 2, 8, "auto"])
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=plain)
def test_batches_are_those_of_torchs_iteration(
    fixed: ImageFolder, arguments: dict[str, Any], workers: Any
) -> None:
    expected = list(torch_data.DataLoader(fixed, **arguments))
    loader = DataLoader(fixed, num_workers=workers, pixels="exact", **arguments)
    assert loader.native
    for _ in range(2):
        assert same(list(loader), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 20},
        {"persistent_workers": True},
        {"prefetch_factor": 1},
        {"prefetch_factor": 30},
        {"in_order": False},
        {"worker_init_fn": lambda worker: 1 / 0},
        {"multiprocessing_context": "spawn"},
    ],
    ids=plain,
)
def test_options_that_need_workers(fixed: ImageFolder, options: dict[str, Any]) -> None:
    expected = list(torch_data.DataLoader(fixed, 4))
    loader = DataLoader(fixed, 4, num_workers=2, pixels="exact", **options)
    for _ in range(2):
        assert same(list(loader), expected)


@pytest.mark.parametrize(
    "target_transform",
    [float, str, lambda y: None if y < 0 else (y, {"name": str(y)}), lambda y: torch.full((2,), y)],
)
@pytest.mark.parametrize("size", [5, None])
def test_target_transform(folder: Path, target_transform: Callable[[int], Any], size: int | None) -> None:
    dataset = ImageFolder(folder, FIXED, target_transform)
    expected = list(torch_data.DataLoader(dataset, size))
    got = list(DataLoader(dataset, size, num_workers=2, pixels="exact"))
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert torch.equal(a[0], b[0])
        assert type(a) is type(b) is list
        assert type(a[1]) is type(b[1])
        assert str(a[1]) == str(b[1])


def test_samplers_may_give_any_integers(labelled: ImageList) -> None:
    sampler = [torch.tensor(3), 4, torch.arange(9).numpy()[5]]
    assert indices(DataLoader(labelled, 2, sampler=sampler, num_workers=1)) == [[3, 4], [5]]


def test_negative_indices_count_from_the_end_as_in_dataset_i(labelled: ImageList) -> None:
    assert indices(DataLoader(labelled, 2, sampler=[-1, 0, -40], num_workers=1)) == [[39, 0], [0]]


def test_iterating_an_exhausted_iterator(labelled: ImageList) -> None:
    iterator = iter(DataLoader(labelled, 40, num_workers=1))
    assert len(iterator) == 1
    next(iterator)
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(iterator)


def test_an_accelerator_that_does_not_start_is_none(
    fixed: ImageFolder, labelled: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the driver is too old: by default nothing is pinned then, and nothing said."""
    monkeypatch.setattr(dataloader, "accelerator_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for dataset in (fixed, Opaque(labelled)):
        loader = DataLoader(dataset, num_workers=0)
        assert loader.pin_memory is True
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            images, _ = next(iter(loader))
        assert not images.is_pinned()
        assert loader.pin_memory is False


def test_pin_memory(fixed: ImageFolder) -> None:
    accelerator = torch.accelerator.is_available()
    assert DataLoader(fixed).pin_memory is accelerator
    assert DataLoader(fixed, pin_memory=False).pin_memory is False
    for pin_memory in (None, False):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            images, _ = next(iter(DataLoader(fixed, num_workers=1, pin_memory=pin_memory)))
        assert images.is_pinned() == (accelerator and pin_memory is None)
    if not accelerator:
        for cls in (torch_data.DataLoader, DataLoader):
            with pytest.warns(UserWarning, match="no accelerator is found"):
                next(iter(cls(fixed, num_workers=0, pin_memory=True)))


# ---- arguments and attributes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_workers": -1}, ValueError, "num_workers"),
        ({"num_workers": "many"}, TypeError, "int or 'auto'"),
        ({"num_workers": 1.5}, TypeError, "int or 'auto'"),
        ({"num_workers": None}, TypeError, "int or 'auto'"),
        ({"prefetch_factor": 0, "num_workers": 1}, ValueError, "prefetch_factor must be at least 1"),
        ({"prefetch_factor": 2, "num_workers": 0}, ValueError, "prefetch_factor"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"persistent_workers": True, "num_workers": 0}, ValueError, "persistent_workers"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last"),
        ({"shuffle": True, "sampler": [1]}, ValueError, "mutually exclusive"),
        ({"batch_sampler": [[1]], "batch_size": 2}, ValueError, "mutually exclusive"),
        ({"multiprocessing_context": "no such", "num_workers": 1}, ValueError, "start method"),
    ],
)
def test_refused_arguments(
    labelled: ImageList, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DataLoader(labelled, **arguments)


def test_every_parameter_of_torch_is_there_in_its_order() -> None:
    theirs = list(inspect.signature(torch_data.DataLoader.__init__).parameters.values())
    ours = inspect.signature(DataLoader.__init__).parameters
    assert [p.name for p in theirs] == list(ours)[: len(theirs)]
    assert all(ours[p.name].kind == p.kind for p in theirs)
    assert {p.name for p in theirs if ours[p.name].default != p.default} == {"num_workers", "pin_memory"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"batch_size": 7, "shuffle": True, "drop_last": True, "num_workers": 3, "prefetch_factor": 4},
        {"batch_size": None, "num_workers": 0},
        {"batch_size": 3, "num_workers": 1, "persistent_workers": True, "timeout": 9, "pin_memory": False},
        {"memory_format": torch.channels_last, "generator": torch.Generator(), "collate_fn": collate},
        {"num_workers": 2, "multiprocessing_context": "fork", "in_order": False, "worker_init_fn": print},
    ],
    ids=lambda a: ",".join(a) or "defaults",
)
def test_a_loader_can_be_made_anew_from_its_attributes(
    labelled: ImageList, arguments: dict[str, Any]
) -> None:
    # As Lightning does to replace the sampler.
    loader = DataLoader(labelled, **arguments)
    parameters = [
        n for n in inspect.signature(DataLoader.__init__).parameters if n not in ("self", "shuffle")
    ]
    attributes = {name: getattr(loader, name) for name in parameters}
    for name, value in arguments.items():
        if name not in ("shuffle", "multiprocessing_context"):
            assert attributes[name] == value
    if loader.batch_size is not None:
        attributes["batch_sampler"] = None
    attributes["sampler"] = torch_data.SequentialSampler(labelled)
    twin = DataLoader(**attributes)
    assert type(twin.num_workers) is type(loader.num_workers)
    for name in parameters:
        if name not in ("batch_sampler", "sampler"):
            assert getattr(twin, name) == attributes[name]
    if loader.collate_fn is not collate and loader.batch_size is not None:
        assert all_indices(twin) == list(range(35 if loader.drop_last else 40))
    if loader.batch_size is not None:  # and with its own batch sampler
        attributes.update(batch_sampler=loader.batch_sampler, batch_size=1, sampler=None, drop_last=False)
        assert len(list(DataLoader(**attributes))) == len(loader)


def test_auto_workers(labelled: ImageList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cpus, "usable_cores", lambda: 16)
    loader = DataLoader(labelled)
    assert type(loader.num_workers) is AutoWorkers
    assert isinstance(loader.num_workers, int)
    assert loader.num_workers == 14
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    again = DataLoader(labelled, num_workers=loader.num_workers)  # stands for "auto" again
    assert again.num_workers == 3
    assert type(DataLoader(labelled, num_workers=3).num_workers) is int
    assert isinstance(pickle.loads(pickle.dumps(loader.num_workers)), AutoWorkers)


def test_more_workers_than_cores_are_no_reason_to_warn(labelled: ImageList) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(DataLoader(labelled, num_workers=64))) == 40
    with pytest.warns(UserWarning, match="worker processes"):
        DataLoader(Opaque(labelled), num_workers=64).check_worker_number_rationality()


@pytest.mark.parametrize("copy_of", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_independent(labelled: ImageList, copy_of: Callable[[Any], Any]) -> None:
    loader = DataLoader(labelled, 8, num_workers=2, persistent_workers=True)
    expected = indices(loader)
    twin = copy_of(loader)
    assert twin.stats().batches == 0
    assert twin._log is not loader._log
    pairs = [(a.tolist(), b.tolist()) for (_, a), (_, b) in zip(loader, twin)]
    assert pairs == [(e, e) for e in expected]


def test_a_changed_transform_counts_from_the_next_epoch(numbered: list[Path]) -> None:
    dataset = ImageList(numbered, range(40), T.CenterCrop(8))
    loader = DataLoader(dataset, 20, num_workers=2)
    assert next(iter(loader))[0].shape == (20, 3, 8, 8)
    dataset.transform = [T.CenterCrop(10)]
    assert next(iter(loader))[0].shape == (20, 3, 10, 10)
    dataset.transform.append(T.CenterCrop(6))
    assert next(iter(loader))[0].shape == (20, 3, 6, 6)


# ---- what torch's own iteration serves -----------------------------------------------------------


class Squares(torch_data.Dataset[Any]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        worker = torch_data.get_worker_info()
        return torch.tensor([-1 if worker is None else worker.id]), index


class Doubled(ImageList):
    def __getitem__(self, index: int) -> Any:
        image, target = super().__getitem__(index)
        return image, 2 * target


class Stream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(6))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_python_dataset_goes_to_worker_processes(workers: int) -> None:
    loader = DataLoader(Squares(), 2, num_workers=workers)
    assert not loader.native
    batches = list(loader)
    assert [y.tolist() for _, y in batches] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert {int(x) for x in torch.cat([x for x, _ in batches])} == ({0, 1} if workers else {-1})
    report = loader.report(details=True)
    assert "Squares is a dataset that only Python can read" in report
    assert f"worker processes {workers}" in report
    stats: LoaderStats = loader.stats()
    assert (stats.path, stats.batches, stats.wait.count, stats.workers) == ("python", 5, 5, workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_overridden_getitem_is_respected(numbered: list[Path], workers: int) -> None:
    loader = DataLoader(Doubled(numbered, range(40), T.CenterCrop(8)), 20, num_workers=workers)
    assert not loader.native
    assert all_indices(loader) == [2 * i for i in range(40)]
    assert "Doubled overrides __getitem__" in loader.report(details=True)


def test_transforms_without_a_fixed_size(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for index, path in enumerate(paths):
        photo_like(20, 20 + 10 * (index // 2)).save(path)
    dataset = ImageList(paths, range(4), T.Resize(10))
    loader = DataLoader(dataset, 2, num_workers=0)
    assert not loader.native
    assert [x.shape[-2:] for x, _ in loader] == [(10, 10), (15, 10)]
    assert "different sizes" in loader.report(details=True)
    assert not DataLoader(dataset, batch_sampler=[[0]]).native
    assert DataLoader(ImageList(paths, range(4), [T.Resize(10), T.CenterCrop(8)])).native
    assert DataLoader(ImageList(paths, range(4), [T.Resize((10, 10)), T.Resize(8)])).native


def test_single_samples_of_different_sizes(folder: Path) -> None:
    dataset = ImageFolder(folder)
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    expected = list(torch_data.DataLoader(dataset, batch_size=None))
    assert same(list(loader), expected)


def test_iterable_datasets_and_subsets(labelled: ImageList) -> None:
    stream = DataLoader(Stream(), 4)
    assert [batch.tolist() for batch in stream] == [[0, 1, 2, 3], [4, 5]]
    assert stream.num_workers == 0
    assert indices(DataLoader(torch_data.Subset(labelled, [5, 3, 9]), 2)) == [[5, 3], [9]]
    with pytest.raises(ValueError, match="prefetch_factor"):
        DataLoader(Stream(), prefetch_factor=2)  # num_workers is 0 there, as torch's default
