"""Where something makes a loader of torch's class out of Stoker's parts, it is said, once."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch.utils.data as torch_data
from both_paths import Numbers
from conftest import write_photos

from stoker import DataLoader, ImageFolder, _rebuilt
from stoker import transforms as T


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    root = tmp_path_factory.mktemp("rebuilt")
    write_photos(root / "a", 8)
    return ImageFolder(root, T.CenterCrop(8))


class Around:
    """A framework's own batch sampler."""

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batch_sampler)


class Own(torch_data.DataLoader[Any]):
    pass


Maker = Callable[[Any], Any]
REBUILT: dict[str, Maker] = {
    "batch sampler": lambda given: torch_data.DataLoader(given.dataset, batch_sampler=given.batch_sampler),
    "sampler": lambda given: torch_data.DataLoader(given.dataset, 4, sampler=given.sampler),
    "around it": lambda given: Own(given.dataset, batch_sampler=Around(given.batch_sampler)),  # type: ignore[arg-type]
    "as sampler": lambda given: torch_data.DataLoader(
        given.dataset, batch_size=None, sampler=Around(given.batch_sampler), collate_fn=list
    ),
}
LET_BE: dict[str, Maker] = {
    "the same dataset": lambda given: torch_data.DataLoader(given.dataset, 4, shuffle=True),
    "another dataset": lambda given: torch_data.DataLoader(Numbers(8), 4, sampler=given.sampler),
    "stoker's own": lambda given: DataLoader(given.dataset, 4, sampler=given.sampler, num_workers=0),
}


def said(loader: Any) -> list[Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        iter(loader)
    return caught


@pytest.mark.parametrize("how", REBUILT)
def test_once_and_where_it_is_iterated(folder: ImageFolder, how: str) -> None:
    given = DataLoader(folder, 4, shuffle=True, num_workers=1)
    other = REBUILT[how](given)
    (warning,) = said(other)
    assert "out of the dataset and the sampler of a stoker.DataLoader" in str(warning.message)
    assert type(other).__name__ in str(warning.message)
    assert warning.filename == __file__
    assert not said(other)
    assert not said(REBUILT[how](given))


@pytest.mark.parametrize("how", LET_BE)
def test_a_loader_that_a_script_makes_itself_is_none(folder: ImageFolder, how: str) -> None:
    given = DataLoader(folder, 4, shuffle=True, num_workers=1)
    assert not said(LET_BE[how](given))


def test_on_the_python_path_nothing_is_lost() -> None:
    given = DataLoader(Numbers(8), 4, num_workers=0)
    assert not given.native
    assert not said(REBUILT["batch sampler"](given))


def test_also_where_the_loader_itself_is_gone(folder: ImageFolder) -> None:
    """``loader = framework(loader)`` leaves its name to the other one."""
    other = REBUILT["around it"](DataLoader(folder, 4, num_workers=1))
    gc.collect()
    assert len(said(other)) == 1


def test_what_is_gone_is_not_kept(folder: ImageFolder) -> None:
    for _ in range(20):
        DataLoader(folder, 4, num_workers=1)
    gc.collect()
    DataLoader(folder, 4, num_workers=1)
    assert len(_rebuilt._native) < 10
