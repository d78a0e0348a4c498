"""The state that a dataset, or its iterator, has of its own: part of the loader's state, as in torchdata."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch.utils.data import _utils, get_worker_info

from ._sampler_states import is_stateful
from .errors import StateError
from .stats.stand_ins import MeteredIterable

# Note [A dataset's own state]
# As torchdata's StatefulDataLoader does, a loader saves state_dict() of a dataset that also has
# load_state_dict(), and of the iterator of an iterable one. Without worker processes they are asked when the
# loader is. Worker processes have copies of their own; there the states as of each batch come along with
# it, so that those of the last batches that were handed over are known whatever the workers have done since.
# They go back in torchdata's order: the dataset's, then its iterator is made, then the iterator's. An
# iterable dataset with such a state is not wound forward.


@dataclass
class Stated:
    """A batch, and the states in the worker process that it is from, as of this batch."""

    batch: Any
    worker: int
    state: dict[str, Any]

    def pin_memory(self, device: str | None = None) -> Stated:
        pin: Any = _utils.pin_memory.pin_memory
        self.batch = pin(self.batch, device)
        return self


def _state_of(measured: Any) -> dict[str, Any] | None:
    """What dataset and iterator have; None: nothing."""
    dataset: Any = measured.inner
    iterator: Any = getattr(measured, "latest", None)
    own = dataset.state_dict() if is_stateful(dataset) and iterator is not dataset else None
    its = iterator.state_dict() if is_stateful(iterator) else None
    return None if own is None and its is None else {"dataset": own, "iterator": its}


class StatedCollate:
    """A collate function in a worker process, whose batches bring the states along."""

    def __init__(self, collate: Any, measured: Any) -> None:
        self._collate = collate
        self._measured = measured

    def __call__(self, samples: Any) -> Any:
        batch = self._collate(samples)
        state = _state_of(self._measured)
        info = get_worker_info()
        if state is None or info is None:
            return batch
        return Stated(batch, info.id, copy.deepcopy(state))  # it is sent later, by another thread


class StatedInit:
    """A worker_init_fn behind which the worker's dataset has its state."""

    def __init__(self, init: Any, measured: Any, states: list[Any]) -> None:
        self._init = init
        self._measured = measured
        self._states = states

    def __call__(self, worker: int) -> None:
        self._init(worker)
        _restore(self._measured, self._states[worker])


def _restore(measured: Any, state: dict[str, Any] | None) -> None:
    if state is None:
        return
    if state["dataset"] is not None:
        measured.inner.load_state_dict(state["dataset"])
    if state["iterator"] is not None:
        measured.iterator_state = state["iterator"]


class DatasetStates:
    """The states of one iterator's dataset: those that it begins with, and those that are.

    Attributes:
        instead: they stand for the batches that had been had, which are not loaded again.
        first_worker: the worker process that the next batch is from.
    """

    def __init__(self, measured: Any, workers: int, saved: Any, mid_epoch: bool, persistent: bool) -> None:
        self._measured = measured
        self._workers: list[Any] = [None] * max(1, workers)
        self._processes = workers > 0
        self.instead, self.first_worker = False, 0
        if saved is None:
            return
        if saved["own"] is not None:
            if not is_stateful(measured.inner):
                raise StateError(
                    "the state has a dataset's own state, and this dataset has no load_state_dict()"
                )
            measured.inner.load_state_dict(saved["own"])
        if (mid_epoch or persistent) and len(saved["workers"]) == len(self._workers):
            self._workers = list(saved["workers"])
        if mid_epoch:
            self.instead = any(state is not None for state in self._workers)
            self.first_worker = int(saved["next"]) if workers else 0
        else:
            self._workers = [state and {**state, "iterator": None} for state in self._workers]
        if not self._processes:
            _restore(measured, self._workers[0])

    @property
    def wanted(self) -> bool:
        """Whether worker processes may have states to send."""
        return self._processes and (
            isinstance(self._measured, MeteredIterable) or is_stateful(self._measured.inner)
        )

    @property
    def possible(self) -> bool:
        """Whether there may be something to save."""
        latest = getattr(self._measured, "latest", None)
        return self.wanted or is_stateful(self._measured.inner) or latest is not None

    def collate(self, collate: Any) -> Any:
        return StatedCollate(collate, self._measured) if self.wanted else collate

    def init(self, init: Any) -> Any:
        return StatedInit(init, self._measured, self._workers) if self.wanted else init

    def without(self, data: Any) -> Any:
        """The batch that a worker process has sent."""
        if not isinstance(data, Stated):
            return data
        self._workers = list(self._workers)
        self._workers[data.worker] = data.state
        self.first_worker = (data.worker + 1) % len(self._workers)
        return data.batch

    def record(self) -> dict[str, Any] | None:
        """As it is in a loader's state; None: nothing has one."""
        states = self._workers if self._processes else [_state_of(self._measured)]
        own = own_state(self._measured.inner)
        if own is None and all(state is None for state in states):
            return None
        return {"own": own, "workers": states, "next": self.first_worker}


def own_state(dataset: Any) -> Any:
    """Of the dataset in the loader's own process."""
    return dataset.state_dict() if is_stateful(dataset) else None


def check(saved: Any, workers: int, has_workers: int, mid_epoch: bool) -> None:
    """Raises StateError where ``saved`` is no record of this module, or is for other workers."""
    if saved is None:
        return
    fits = isinstance(saved, dict) and {"own", "workers", "next"} <= saved.keys()
    if not fits or not isinstance(saved["workers"], list) or type(saved["next"]) is not int:
        raise StateError("the state's dataset is not what a state has")
    if any(
        state is not None and not (isinstance(state, dict) and {"dataset", "iterator"} <= state.keys())
        for state in saved["workers"]
    ):
        raise StateError("the states of the dataset's workers are not what a state has")
    had = any(state is not None for state in saved["workers"])
    if mid_epoch and had and max(1, workers) != max(1, has_workers):
        raise StateError(
            f"the state is in the middle of an epoch with num_workers {workers}, each of which has a "
            f"dataset with a state of its own; this loader has {has_workers}"
        )
