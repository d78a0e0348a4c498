"""Iterators with worker processes end without closing a file's descriptor twice, whoever ends them."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch.utils.data as torch_data

from stoker import DataLoader, StateError


class Numbers(torch_data.Dataset[int]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> int:
        return index


class Failing(torch_data.Sampler[int]):
    """Fails before the first index."""

    def __len__(self) -> int:
        return 12

    def __iter__(self) -> Iterator[int]:
        raise KeyError("no first index")


def joined() -> None:
    """The threads that send to workers have ended."""
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(30)
            assert not thread.is_alive()


@contextlib.contextmanager
def no_error_unseen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Nothing is raised in a thread or in a __del__, where nobody can catch it."""
    seen: list[str] = []

    def note(args: Any) -> None:
        seen.append(repr(args.exc_value))

    monkeypatch.setattr(threading, "excepthook", note)
    monkeypatch.setattr(sys, "unraisablehook", note)
    joined()
    gc.collect()
    seen.clear()
    gc.disable()
    try:
        yield seen
        gc.collect()
        joined()
        assert seen == []
    finally:
        gc.enable()


def refused_by_its_state() -> None:
    loader: DataLoader[Any] = DataLoader(Numbers(), 2, sampler=range(12), num_workers=2)
    iterator = iter(loader)
    next(iterator), next(iterator)
    other: DataLoader[Any] = DataLoader(Numbers(), 2, sampler=range(11, -1, -1), num_workers=2)
    other.load_state_dict({**loader.state_dict(), "sampler": "range"})
    with contextlib.suppress(StateError):
        next(iter(other))


def failed_in_its_sampler() -> None:
    try:
        iter(DataLoader(Numbers(), 2, sampler=Failing(), num_workers=2))
    except KeyError as e:
        error = e
        error.kept = error  # type: ignore[attr-defined]  # its frames hold the iterator


def idle_worker() -> None:
    """Of two workers one has been sent nothing."""
    iterator: Any = iter(DataLoader(Numbers(), 12, num_workers=2))
    next(iterator)
    iterator.itself = iterator


@pytest.mark.parametrize("left", [refused_by_its_state, failed_in_its_sampler, idle_worker])
def test_iterators_that_the_garbage_collector_ends(
    left: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_error_unseen(monkeypatch):
        for _ in range(3):
            left()
            gc.collect()


def test_a_refused_iterator_needs_no_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    with no_error_unseen(monkeypatch):
        made: list[weakref.ref[Any]] = []
        start = torch_data.dataloader._MultiProcessingDataLoaderIter.__init__

        def noted(self: Any, loader: Any) -> None:
            made.append(weakref.ref(self))
            start(self, loader)

        monkeypatch.setattr(torch_data.dataloader._MultiProcessingDataLoaderIter, "__init__", noted)
        refused_by_its_state()
        assert [ref() for ref in made] == [None, None]


def test_a_forked_process_leaves_other_processes_workers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with no_error_unseen(monkeypatch) as seen:
        iterator: Any = iter(DataLoader(Numbers(), 1, num_workers=2))
        assert int(next(iterator)) == 0
        iterator.itself = iterator
        if (pid := os.fork()) == 0:
            code = 1
            try:
                del iterator
                gc.collect()
                joined()
                code = len(seen)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [int(number) for number in iterator] == list(range(1, 12))
        del iterator


def test_workers_of_which_the_second_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing.process as processes

    start, started = processes.BaseProcess.start, []

    def limited(self: Any) -> None:
        if started:
            raise BlockingIOError("no more processes")
        start(self)
        started.append(self)

    with no_error_unseen(monkeypatch):
        with monkeypatch.context() as context:
            context.setattr(processes.BaseProcess, "start", limited)
            with pytest.raises(BlockingIOError):
                iter(DataLoader(Numbers(), 1, num_workers=2))
        started.pop().join(30)
