"""Bad samples under several ranks, which must all give the same number of batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Numbers
from torch.utils.data.distributed import DistributedSampler

from stoker import DataLoader, ImageList
from stoker import transforms as T
from stoker.bad_samples import TooManyErrorsError

REFUSED = 'one of 2 ranks.*use on_error="replace"'


class AllBad(Numbers):
    def __getitem__(self, index: int) -> Any:
        raise ValueError(index)


@pytest.fixture(params=["native", "python"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Not one sample of it can be loaded."""
    if request.param == "python":
        return AllBad(8)
    paths = [tmp_path / f"{i}.jpg" for i in range(8)]
    for path in paths:
        path.write_bytes(b"nothing")
    return ImageList(paths, range(8), T.CenterCrop(8))


def test_skip_is_refused_where_ranks_are_known(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler: Any = DistributedSampler(data, 2, 0)
    batches: Any = torch_data.BatchSampler(sampler, 2, False)
    for order in ({"sampler": sampler}, {"batch_sampler": batches}):
        with pytest.raises(ValueError, match=REFUSED):
            DataLoader(data, on_error="skip", **order)
        DataLoader(data, on_error="replace", **order)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=REFUSED):
        DataLoader(data, on_error="skip")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match=REFUSED):
        DataLoader(data, on_error="skip", shard="auto")
    monkeypatch.setenv("WORLD_SIZE", "1")
    DataLoader(data, on_error="skip", shard="auto")


@pytest.mark.parametrize("options", [{"num_workers": 0}, {"num_workers": 1, "persistent_workers": True}])
@pytest.mark.parametrize("path", ["native", "python"])
def test_skip_is_refused_when_a_process_group_comes_later(
    labelled: ImageList, monkeypatch: pytest.MonkeyPatch, path: str, options: Any
) -> None:
    """Between two epochs, too."""
    loader: Any = DataLoader(labelled if path == "native" else Numbers(), 8, on_error="skip", **options)
    assert len(list(loader)) == 5
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda *_: 0)
    with pytest.raises(ValueError, match=REFUSED):
        iter(loader)


def test_a_batch_that_nothing_can_replace_is_an_error_there(data: Any) -> None:
    sampler: Any = DistributedSampler(data, 2, 0)
    batches = iter(DataLoader(data, 2, sampler=sampler, on_error="replace", num_workers=0))
    with pytest.raises(TooManyErrorsError, match="not one sample of batch 0 could be loaded or replaced"):
        next(batches)
