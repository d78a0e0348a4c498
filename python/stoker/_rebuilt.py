"""Whether something has made a loader of torch's own out of Stoker's, and nobody has said so."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader as TorchLoader

# Note [Loaders that were taken apart]
# Frameworks make a loader of torch's class out of the parts of one that they are given: its dataset, and its
# sampler or batch sampler, or one of their own around it. The script then believes in a native loader that
# never runs. It is seen where torch's class makes an iterator, which Stoker's does without it: that method
# of torch's is wrapped, once, when the first native loader is made.
_MOST_AROUND = 8  # samplers around one another


class _Parts:
    """What a native loader was made of. The loader itself may be gone when they are iterated."""

    def __init__(self, loader: TorchLoader[Any]) -> None:
        self.kind = type(loader).__name__
        self.loader = weakref.ref(loader)
        self.dataset = _reference(loader.dataset)
        self.orders = [_reference(loader.batch_sampler), _reference(loader.sampler)]

    def are_in(self, dataset: Any, orders: list[Any]) -> bool:
        own = [reference() for reference in self.orders]
        return self.dataset() is dataset and any(order is part for order in orders for part in own)

    def are_gone(self) -> bool:
        return self.dataset() is None or all(reference() is None for reference in self.orders)


def _reference(thing: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(thing)
    except TypeError:  # a list of indices
        return lambda: None


_native: list[_Parts] = []


def watch(loader: TorchLoader[Any]) -> None:
    """Say so, once, where the parts of ``loader`` are iterated in another one."""
    _native[:] = [parts for parts in _native if not parts.are_gone()]
    _native.append(_Parts(loader))
    if not getattr(TorchLoader._get_iterator, "says_so", False):
        TorchLoader._get_iterator = _saying_so(TorchLoader._get_iterator)  # type: ignore[method-assign]


def was_said(loader: TorchLoader[Any]) -> None:
    """The script has been told of it."""
    _native[:] = [parts for parts in _native if parts.loader() is not loader]


def _saying_so(get_iterator: Any) -> Any:
    @functools.wraps(get_iterator)
    def _get_iterator(self: Any) -> Any:
        orders = [*_chain(self.batch_sampler), *_chain(self.sampler)]
        given = [parts for parts in _native if parts.are_in(self.dataset, orders)]
        if given:
            _native[:] = [parts for parts in _native if parts not in given]
            warnings.warn(
                f"a {type(self).__name__} has been made out of the dataset and the sampler of a "
                f"stoker.{given[0].kind}, and its batches are not loaded natively: iterate Stoker's own",
                stacklevel=3,
            )
        return get_iterator(self)

    _get_iterator.says_so = True  # type: ignore[attr-defined]
    return _get_iterator


def _chain(order: Any) -> Iterator[Any]:
    """A sampler, and those that it is around."""
    for _ in range(_MOST_AROUND):
        if order is None:
            return
        yield order
        inner = getattr(order, "batch_sampler", None)
        order = getattr(order, "sampler", None) if inner is None else inner
