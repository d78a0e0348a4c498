"""States of loaders over iterable datasets, which are resumed by dropping what had been had."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch.utils.data as torch_data
from both_paths import StumblingStream
from resuming import BATCH, BATCHES, SAMPLES, take

from stoker import DataLoader, StateError


class Stream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        info = torch_data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, SAMPLES, step))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [1, 5, 9])
def test_iterable_datasets(workers: int, cut: int) -> None:
    expected = list(DataLoader(Stream(), BATCH, num_workers=workers))
    _, state = take(DataLoader(Stream(), BATCH, num_workers=workers), cut)
    resumed = DataLoader(Stream(), BATCH, num_workers=workers)
    resumed.load_state_dict(state)
    assert [b.tolist() for b in resumed] == [b.tolist() for b in expected[cut:]]
    assert len(list(resumed)) == BATCHES


class NoStream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(())


def test_an_iterable_that_has_become_shorter_is_refused() -> None:
    _, state = take(DataLoader(Stream(), BATCH), 5)
    resumed = DataLoader(NoStream(), BATCH)
    resumed.load_state_dict(state)
    for _ in range(2):  # and not from its start
        with pytest.raises(StateError, match="5 batches into its epoch, but the dataset gave only 0"):
            iter(resumed)
        assert resumed.state_dict() == state


@pytest.mark.parametrize("batch_size", [1, None])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_an_iterable_that_raises_is_resumed_behind_what_it_had_raised(
    cut: int, workers: int, batch_size: int | None
) -> None:
    loader = DataLoader(StumblingStream(), batch_size, num_workers=workers)
    batches = iter(loader)
    expected: list[Any] = []
    for _ in range(6):
        try:
            expected.append(int(next(batches)))
        except KeyError:
            expected.append(KeyError)
        if len(expected) == cut:
            state = loader.state_dict()
    assert expected == [1, 2, KeyError, 4, 5, 6]
    assert state["batches"] == cut
    resumed = DataLoader(StumblingStream(), batch_size, num_workers=workers)
    resumed.load_state_dict(state)
    batches = iter(resumed)
    for wanted in expected[cut:]:
        if wanted is KeyError:
            with pytest.raises(KeyError):
                next(batches)
        else:
            assert int(next(batches)) == wanted
    assert list(batches) == []


def an_error_of_its_own() -> None:
    raise OSError("the share is not there")


def end_of_the_worker() -> None:
    os._exit(1)


@pytest.mark.parametrize(
    ("then", "workers", "error"),
    [
        (an_error_of_its_own, 0, OSError),
        (an_error_of_its_own, 1, OSError),
        (end_of_the_worker, 1, RuntimeError),
    ],
)
def test_what_had_not_raised_before_is_no_batch_that_had_been_had(
    then: Callable[[], None], workers: int, error: type[Exception]
) -> None:
    _, state = take(DataLoader(StumblingStream(), 1, num_workers=workers), 2)
    resumed = DataLoader(StumblingStream(then), 1, num_workers=workers)
    resumed.load_state_dict(state)
    for _ in range(2):
        with pytest.raises(error):
            iter(resumed)
        assert resumed.state_dict() == state


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_iterator_that_could_not_be_made_keeps_the_place(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def refuses(self: Any) -> Any:
        raise error

    _, state = take(DataLoader(Stream(), BATCH), BATCHES - 1)
    resumed = DataLoader(Stream(), BATCH)
    resumed.load_state_dict(state)
    with monkeypatch.context() as patched:
        patched.setattr(Stream, "__iter__", refuses)
        with pytest.raises(error):
            iter(resumed)
    assert resumed.state_dict() == state
    assert len(list(resumed)) == 1
