"""The iterators of a ``stoker.DataLoader``: one for the native path, and torch's own, timed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import _utils
from torch.utils.data import dataloader as torch_dataloader

from . import _C
from .datasets import NativeDataset
from .errors import DataError
from .stats import ConsumerClock

if TYPE_CHECKING:
    from .dataloader import DataLoader


class _Timed:
    """Runs the consumer's clock around torch's own iterators."""

    _stoker_clock: ConsumerClock
    _num_yielded: int

    def _next_data(self) -> Any:
        self._stoker_clock.asked()
        try:
            data = super()._next_data()  # type: ignore[misc]
        except DataError as e:
            e.batch = self._num_yielded
            raise
        self._stoker_clock.answered()
        return data


class TimedSingleProcessIterator(_Timed, torch_dataloader._SingleProcessDataLoaderIter):
    def __init__(self, loader: DataLoader[Any]) -> None:
        self._stoker_clock = loader._clock
        super().__init__(loader)


class TimedMultiProcessIterator(_Timed, torch_dataloader._MultiProcessingDataLoaderIter):
    def __init__(self, loader: DataLoader[Any]) -> None:
        self._stoker_clock = loader._clock
        super().__init__(loader)


class NativeIterator(torch_dataloader._BaseDataLoaderIter):
    """One epoch (with ``persistent_workers`` one after the other) from the core.

    The base class draws the base seed and then makes the sampler's iterator, in torch's order.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        super()._reset(loader, first_iter=True)  # as torch's with workers: the sampler's iterator anew
        self._loader = loader
        self._clock = loader._clock
        self._core: _C.Loader | None = None
        self._epoch = 0
        self._begin()

    def _begin(self) -> None:
        self._failure: Exception | None = None
        self._exhausted = False
        self._batch = 0
        if self._core is None or self._core.pid != os.getpid():
            self._core = self._loader._lease_core()
        self._core.start_epoch(int(self._base_seed), self._epoch)
        self._fill(self._core)

    def _reset(self, loader: DataLoader[Any], first_iter: bool = False) -> None:
        """The next epoch of ``persistent_workers``: the base seed stays, as in torch."""
        super()._reset(loader, first_iter)
        self._clock.epoch_begins()
        self._epoch += 1
        self._begin()

    def _fill(self, core: _C.Loader) -> None:
        """Submit batches until as many are in flight as may be. What the sampler raises is kept
        until the batches before it have been handed over."""
        while not self._exhausted and core.in_flight < core.prefetch:
            try:
                indices = next(self._sampler_iter)
                core.submit(list(indices) if self._auto_collation else [indices])
            except StopIteration:
                self._exhausted = True
            except Exception as e:
                self._failure = e
                self._exhausted = True
        if self._exhausted:
            core.end_of_indices()

    def _next_data(self) -> Any:
        core = self._core
        if core is None:
            raise StopIteration
        self._clock.asked()
        if core.in_flight == 0:
            self._give_back()
            if self._failure is not None:
                raise self._failure
            raise StopIteration
        if not core.wait(self._timeout):
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        try:
            images, labels = core.next()
        except DataError as e:
            e.batch = self._batch
            raise
        finally:
            self._batch += 1
            self._fill(core)
        data = self._collate(images, labels)
        self._clock.answered()
        return data

    def _collate(self, images: torch.Tensor, labels: torch.Tensor) -> Any:
        """The batch in the structure that torch gives it."""
        assert isinstance(self._dataset, NativeDataset)
        transform = self._dataset.target_transform
        collate: Any = self._collate_fn
        stacked = collate is _utils.collate.default_collate  # the core has stacked the images already
        if transform is None and stacked:
            return [images, labels]
        targets: list[Any] = labels.tolist()
        if transform is not None:
            targets = [transform(label) for label in targets]
        if stacked:
            data = [images, collate(tuple(targets))]
        else:
            samples = list(zip(images.unbind(0), targets))
            data = collate(samples if self._auto_collation else samples[0])
        if self._pin_memory:
            pin: Any = _utils.pin_memory.pin_memory
            data = pin(data, self._pin_memory_device)
        return data

    def _give_back(self) -> None:
        core, self._core = self._core, None
        if core is not None:
            self._loader._return_core(core)

    def __del__(self) -> None:
        if getattr(self, "_core", None) is not None:
            self._give_back()
