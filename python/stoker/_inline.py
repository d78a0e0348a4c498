"""Datasets as PyTorch's own iteration sees them: with their native parts in the core, and with bad
samples caught."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.utils.data as torch_data
from torch.utils.data import _utils

from ._signals import is_interrupt
from ._sources import Source, resolve
from .bad_samples import MAX_REPLACEMENTS, OnError, reason_of, replacement
from .errors import DataError


class _Wrapper(torch_data.Dataset[Any]):
    """Stands for another dataset: has its attributes, and passes on those that are set."""

    _own: tuple[str, ...] = ("_dataset",)

    def __init__(self, dataset: Any) -> None:
        object.__setattr__(self, "_dataset", dataset)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in type(self)._own:
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self)._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self._dataset, name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """A worker_init_fn that asks for its dataset's class hears of the one that was given."""
        kind: type = self._dataset.__class__
        return kind

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), dict(self.__dict__))

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def _rebuilt(kind: type, state: dict[str, Any]) -> Any:
    dataset: Any = object.__new__(kind)
    dataset.__setstate__(state)
    return dataset


class InlineDataset(_Wrapper):
    """A dataset whose samples are read, decoded and transformed by the core, up to the first
    transform that is Python's, in whatever process asks for them."""

    _own = ("_dataset", "_source", "_exact", "_given", "_looked_in")

    def __init__(self, dataset: Any, source: Source, exact: bool, anew: bool = False) -> None:
        """``anew``: whether each process looks at the dataset for itself, which a worker_init_fn may
        have changed there."""
        super().__init__(dataset)
        self._source: Source | None = source
        self._exact = exact
        self._given = self._transforms()
        self._looked_in = os.getpid() if anew else 0

    def _transforms(self) -> list[Any]:
        leaves = self._source.leaves if self._source is not None else []
        return [getattr(leaf.dataset, "transform", None) for leaf in leaves]

    def __getitem__(self, index: int) -> Any:
        other_process = self._looked_in not in (0, os.getpid())
        if other_process or any(now is not then for now, then in zip(self._transforms(), self._given)):
            self._looked_in = self._looked_in and os.getpid()
            self._source = resolve(self._dataset)[0]
            self._given = self._transforms()
        if self._source is None:  # only Python can read it as it is now
            return self._dataset[index]
        return self._source.load(index, self._exact)


@dataclass
class Failed:
    """A sample that could not be loaded, in its place among the others."""

    index: Any
    path: str
    stage: str
    reason: str
    replaced_by: int | None = None


def _failed(index: Any, error: Exception) -> Failed:
    if isinstance(error, DataError):
        return Failed(index, error.path, error.stage, error.reason)
    return Failed(index, "", "python", reason_of(error))


def _has_single_items(kind: type) -> bool:
    """Whether a dataset can be asked for one sample, or for several only."""
    one = getattr(kind, "__getitem__", None)
    return one is not torch_data.Dataset.__getitem__ or not hasattr(kind, "__getitems__")


class GuardedDataset(_Wrapper):
    """Gives a Failed in place of a sample that raises."""

    def __getitem__(self, index: Any) -> Any:
        try:
            if _has_single_items(type(self._dataset)):
                return self._dataset[index]
            return self._dataset.__getitems__([index])[0]
        except Exception as e:
            if is_interrupt(e):
                raise
            return _failed(index, e)


@dataclass
class Guarded:
    """A batch, and what was bad in it; ``empty``: nothing was left."""

    batch: Any
    failures: list[Failed]
    empty: bool

    def pin_memory(self, device: str | None = None) -> Guarded:
        if not self.empty:
            pin: Any = _utils.pin_memory.pin_memory
            self.batch = pin(self.batch, device)
        return self


class GuardedCollate:
    """Leaves out or replaces what has failed, and collates the rest."""

    def __init__(self, collate: Callable[[Any], Any], on_error: OnError, dataset: Any, batched: bool) -> None:
        self._collate = collate
        self._on_error = on_error
        self._dataset = dataset
        self._batched = batched

    def __call__(self, samples: Any) -> Guarded:
        given = samples if self._batched else [samples]
        failures = [s for s in given if isinstance(s, Failed)]
        good = []
        for sample in given:
            if isinstance(sample, Failed) and self._on_error == "replace":
                sample = self._other(sample)
            if not isinstance(sample, Failed):
                good.append(sample)
        if not good:
            return Guarded(None, failures, True)
        return Guarded(self._collate(good if self._batched else good[0]), failures, False)

    def _other(self, failed: Failed) -> Any:
        """A sample in its place; itself where there is none. Bad ones that are tried on the way are
        recorded when their own turn comes."""
        size = len(self._dataset)
        at = failed.index if isinstance(failed.index, int) else 0
        for attempt in range(MAX_REPLACEMENTS):
            other = replacement(0, 0, at, 0, attempt, size)
            sample = self._dataset[other]
            if not isinstance(sample, Failed):
                failed.replaced_by = other
                return sample
        return failed
