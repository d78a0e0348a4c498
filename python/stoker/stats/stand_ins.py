"""What stands for a dataset, its iterator and its collate function in torch's workers, and measures them."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

from torch.utils.data import IterDataPipe, MapDataPipe, get_worker_info

from .. import _C
from .workers import WorkerBlock, WorkerRow, new_row

_STATE = ("state_dict", "load_state_dict")  # by which torchdata's StatefulDataLoader knows what has a state


class _StandIn:
    """Has what ``inner`` has, but for its special methods.

    What saves and loads its state are attributes of its own: a Protocol's isinstance() sees no others.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        for name in _STATE:
            with contextlib.suppress(Exception):  # whatever the script's own class raises
                method = getattr(inner, name)
                if callable(method):
                    self.__dict__[name] = method

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask for special methods, and that of an object that is still empty.
        if name.startswith("__") or "inner" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.inner, name)


# Those that have a row, which a fork must not go on with: it is another worker, or none.
_measuring: weakref.WeakSet[_Metered] = weakref.WeakSet()


def _forked() -> None:
    for measuring in list(_measuring):
        measuring._row = None
    _measuring.clear()


os.register_at_fork(after_in_child=_forked)


class _Metered(_StandIn):
    """What stands for a dataset in the worker, and measures it.

    ``inner`` is what the script's own worker_init_fn sees: see MeteredInit.
    """

    def __init__(self, inner: Any, block: WorkerBlock) -> None:
        super().__init__(inner)
        self._block = block
        self._row: WorkerRow | None = None

    def row(self) -> WorkerRow:
        """Of the calling process, which keeps it."""
        if self._row is None:
            self._row = new_row(self._block)
            _measuring.add(self)
        return self._row

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_row": None}

    def __len__(self) -> int:
        return len(self.inner)

    def __str__(self) -> str:
        return str(self.inner)  # torch's warnings name their dataset


class MeteredDataset(_Metered):
    """A map-style dataset."""

    def __getitem__(self, index: Any) -> Any:
        row = self._row or self.row()
        row.begin()
        try:
            sample = self._one(row, index)
        except BaseException:
            row.end(True)
            raise
        row.end()
        return sample

    def __getitems__(self, indices: list[Any]) -> Any:
        row = self._row or self.row()
        inner = self.inner
        together = getattr(inner, "__getitems__", None)
        one_by_one = row.begin()
        try:
            if together:
                samples = together(indices)
            elif one_by_one:
                samples = [self._one(row, index) for index in indices]
                row.end()
                return samples
            else:
                samples = [inner[index] for index in indices]
        except BaseException:
            row.end(True)
            raise
        row.end_together(len(indices))
        return samples

    def _one(self, row: WorkerRow, index: Any) -> Any:
        sample = self.inner[index]
        row.sample(index)
        return sample


class MeteredIterable(_Metered):
    """An iterable dataset; its samples have no index, but for their number.

    One that is its own iterator stays that: torchdata saves its state once then.
    """

    def __init__(self, inner: Any, block: WorkerBlock) -> None:
        super().__init__(inner, block)
        self._own: _MeteredIterator | None = None
        self.latest: Any = None  # the dataset's iterator, where it has a state
        self.iterator_state: Any = None  # that the next one begins with

    def __iter__(self) -> Iterator[Any]:
        samples = iter(self.inner)
        self.latest = samples if hasattr(samples, "load_state_dict") else None
        if self.iterator_state is not None:
            state, self.iterator_state = self.iterator_state, None
            cast(Any, samples).load_state_dict(state)
        iterator = _MeteredIterator(samples, self.row())
        if samples is not self.inner:
            return iterator
        self._own = iterator
        return self

    def __next__(self) -> Any:
        if self._own is None:
            raise TypeError(f"{type(self.inner).__name__!r} object is not an iterator")
        return next(self._own)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_own": None, "latest": None}


# Note [Data pipes]
# torch seeds, shuffles and shards a data pipe by its class, throughout the graph that its attributes make.
# What stands for one is therefore a pipe, and ``inner`` its source. It must have no seed and no shards of its
# own, or there would be one more draw: so it passes no attribute on, and has torch's pickling, by which the
# graph is found.
class _Pipe(_Metered):
    """See Note [Data pipes]."""

    def __getstate__(self) -> Any:
        state, hook = super().__getstate__(), self._torchs().getstate_hook
        return state if hook is None else hook(state)

    def __getattr__(self, name: str) -> Any:
        return self._torchs().__getattr__(self, name)

    @classmethod
    def _torchs(cls) -> Any:
        """The kind of pipe that it is."""
        return IterDataPipe if issubclass(cls, IterDataPipe) else MapDataPipe


class MeteredIterPipe(_Pipe, MeteredIterable, IterDataPipe[Any]):
    """An iterable one."""


class MeteredMapPipe(_Pipe, MeteredDataset, MapDataPipe[Any]):
    """A map-style one."""


class _MeteredIterator(_StandIn, _C.StreamIterator):
    """A dataset's iterator. No generator: one that raises may go on with the next sample.

    Its samples are timed one by one, in C++; a batch's work begins with the first that is asked for.
    """

    def __init__(self, samples: Iterator[Any], row: WorkerRow) -> None:
        _C.StreamIterator.__init__(self, samples, row)
        _StandIn.__init__(self, samples)


class MeteredCollate:
    """A collate function, timed in the row of the dataset beside it."""

    def __init__(self, collate: Callable[[Any], Any], dataset: _Metered) -> None:
        self._collate = collate
        self._dataset = dataset

    def __call__(self, samples: Any) -> Any:
        row = self._dataset._row or self._dataset.row()
        row.begin_collate()
        try:
            return self._collate(samples)
        finally:
            row.end_collate()


class MeteredInit:
    """A worker_init_fn behind which the worker's dataset is the one that was given."""

    def __init__(self, init: Callable[[int], None] | None) -> None:
        self._init = init

    def __call__(self, worker: int) -> None:
        info: Any = get_worker_info()
        if info is not None and isinstance(info.dataset, _Metered):
            # It refuses to be changed, and where it keeps its attributes differs from torch to torch.
            object.__setattr__(info, "dataset", info.dataset.inner)
        if self._init is not None:
            self._init(worker)


def metered(dataset: Any, iterable: bool, block: WorkerBlock) -> _Metered:
    """What stands for ``dataset``; torch treats it as that."""
    if isinstance(dataset, IterDataPipe):
        return MeteredIterPipe(dataset, block)
    if isinstance(dataset, MapDataPipe):
        return MeteredMapPipe(dataset, block)
    return MeteredIterable(dataset, block) if iterable else MeteredDataset(dataset, block)
