"""Batches that raise: their numbers, what is counted of them, and what else comes with bad samples."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_images import BAD, Fussy, bad_images, either
from both_paths import drained

from stoker import DataError, DataLoader, ImageList
from stoker import transforms as T


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    return bad_images(tmp_path_factory.mktemp("lost"))


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_counted_on_behind_one_that_raises(images: ImageList, path: str, workers: int) -> None:
    loader = DataLoader(either(images, path), 6, num_workers=workers)
    errors, given = [], []
    batches = iter(loader)
    while True:
        try:
            given.append(next(batches)[1].tolist())
        except DataError as e:
            errors.append((e.batch, e.index))
        except StopIteration:
            break
    assert (given, errors) == ([], [(0, 3), (1, 10), (2, 12), (3, 22)])
    assert {bad.batch for bad in loader.errors} == {0, 1, 2, 3}
    assert (loader.stats().batches, loader.stats().failed_batches) == (0, 4)


class FussySource(Fussy):
    """Of which the core knows where its samples are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.transform = T.CenterCrop(8)

    def stoker_sample(self, index: int) -> tuple[Path, int]:
        return self.path, self[index]


def fussy_collate(samples: list[tuple[Any, int]]) -> int:
    return Fussy()[samples[0][1]]


@pytest.mark.parametrize("kind", ["python", "stoker_sample", "target_transform", "collate_fn"])
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_that_raise_anything_are_counted(images: ImageList, workers: int, kind: str) -> None:
    paths = [images.path(0)] * 10
    options: dict[str, Any] = {"collate_fn": fussy_collate} if kind == "collate_fn" else {}
    dataset = {
        "python": lambda: Fussy(),
        "stoker_sample": lambda: FussySource(Path(paths[0])),
        "target_transform": lambda: ImageList(paths, range(10), T.CenterCrop(8), Fussy().__getitem__),
        "collate_fn": lambda: ImageList(paths, range(10), T.CenterCrop(8)),
    }[kind]()
    loader = DataLoader(dataset, 1, num_workers=workers, **options)
    assert loader.native == (kind != "python")
    assert drained(iter(loader)).count(KeyError) == 3
    stats = loader.stats()
    assert (stats.batches, stats.samples, stats.failed_batches) == (7, 7, 3)


def test_labels_are_pinned_where_samples_were_left_out(
    images: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = DataLoader(images, 6, on_error="skip", num_workers=0)
    iterator: Any = iter(loader)
    pinned = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.dtype)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    iterator._pin_memory = True
    next(iterator)
    assert sorted(map(str, pinned)) == ["torch.int64", "torch.uint8"]


@pytest.mark.parametrize("copy_of", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_has_errors_of_its_own(images: ImageList, copy_of: Any) -> None:
    loader = DataLoader(images, 6, on_error="skip", num_workers=0, progress=True)
    list(loader)
    state = loader.state_dict()
    twin = copy_of(loader)
    assert twin.errors == ()
    assert twin._live is not None
    assert twin._live is not loader._live
    list(twin)
    assert len(twin.errors) == len(loader.errors) == len(BAD)
    now = loader.state_dict()
    assert (now["loader_epoch"], now["errors"]) == (state["loader_epoch"], state["errors"]) == (0, len(BAD))


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_batch_that_a_manifest_refuses_is_lost(
    images: ImageList, tmp_path: Path, path: str, on_error: Any
) -> None:
    loader = DataLoader(either(images, path), 6, num_workers=0, on_error=on_error, error_manifest=tmp_path)
    batches = iter(loader)
    for lost in (1, 2):
        with pytest.raises(IsADirectoryError):
            next(batches)
        assert (loader.stats().batches, loader.stats().failed_batches) == (0, lost)
        assert loader.state_dict()["batches"] == lost
