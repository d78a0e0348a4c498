"""The state that a sampler, or its iterator, has of its own: part of the loader's state, as in torchdata."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler
from torch.utils.data import DataLoader as TorchLoader

from .errors import StateError

# Note [A sampler's own state]
# As torchdata's StatefulDataLoader does, a loader saves state_dict() of a sampler or batch sampler that also
# has load_state_dict(), and of its iterator. Indices are drawn ahead; so both are asked behind each batch's
# indices, and the loader's state has their answer of the last batch that had been had, and the one before
# the epoch's first.
# To resume, the sampler is first given the state from before the epoch, and the batches are drawn again as
# from any other sampler. That is checked, and exact: the core then knows which samples had come before. If
# the sampler is not in the same state behind that, the state is believed: the script has changed the sampler
# on the way, or it cannot begin its epoch again. Then it is given the state of the last batch, and goes on
# from there, as in torchdata. If it is in the same state and its indices are others, the state does not fit.


def is_stateful(thing: Any) -> bool:
    return all(callable(getattr(thing, name, None)) for name in ("state_dict", "load_state_dict"))


class _Noted:
    """A sampler whose iterator begins where a state says."""

    def __init__(self, sampler: Any) -> None:
        self.inner = sampler
        self.stateful: Any = None  # the latest iterator, where it has a state
        self.state: Any = None  # of the next iterator

    def __iter__(self) -> Iterator[Any]:
        iterator: Iterator[Any] = iter(self.inner)
        self.stateful = iterator if is_stateful(iterator) else None
        state, self.state = self.state, None
        if state is not None:
            _load(iterator, state)
        return iterator


class _Batching:
    """Torch's plain BatchSampler, as its own code sees it, with another sampler."""

    def __init__(self, seen: BatchSampler, sampler: Any) -> None:
        self._seen = seen
        self.sampler = sampler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, name)

    def __iter__(self) -> Iterator[Any]:
        batching: Any = BatchSampler.__iter__
        batches: Iterator[Any] = batching(self)
        return batches


class SamplerStates:
    """The states of one pass over a loader's index sampler. See Note [A sampler's own state].

    Attributes:
        start: from before the first batch; None: nothing has a state.
    """

    def __init__(self, loader: TorchLoader[Any], single: Any, saved: dict[str, Any] | None) -> None:
        """``single``: the sampler of single indices; ``saved``: the state to resume from."""
        order: Any = loader._index_sampler
        plain = type(order) is BatchSampler
        if plain:
            single = order.sampler
        self._noted = _Noted(single if plain else order)
        self._order: Any = _Batching(order, self._noted) if plain else self._noted
        # Where a script's own batch sampler has no state, its sampler may; where that stands in the middle
        # of a batch nobody knows.
        self._alone = plain or is_stateful(order) or not is_stateful(single)
        self._sampler = order if is_stateful(order) else single
        self._has_state = is_stateful(self._sampler)
        self._saved = saved
        if saved is not None and saved["start"] is not None:
            self.load(saved["start"])
        self.start = self.now() if saved is None else saved["start"]

    def load(self, state: dict[str, Any]) -> None:
        """Bring the sampler to ``state``, and its next iterator."""
        if state["sampler"] is not None:
            _load(self._sampler, state["sampler"])
        self._noted.state = state["iterator"]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._order)

    def now(self) -> dict[str, Any] | None:
        """What sampler and iterator have; None: nothing."""
        its = self._noted.stateful
        iterator = its.state_dict() if its is not None and its is not self._sampler else None
        sampler = self._sampler.state_dict() if self._has_state else None
        if sampler is None and iterator is None:
            return None
        return copy.deepcopy({"sampler": sampler, "iterator": iterator})  # it changes with the next batch

    def record(self, behind: dict[str, Any] | None, over: bool) -> dict[str, Any] | None:
        """As it is in a loader's state. ``behind``: of the last batch that had been had; None: of none."""
        now = self.now() if over else behind or self.start
        return None if now is None else {"start": self.start, "now": now}

    @property
    def resumes(self) -> bool:
        return self._saved is not None

    def go_on(self) -> dict[str, Any] | None:
        """Behind batches that were drawn again: bring the sampler to the state of the last one.

        Returns:
            That state, and the sampler shall be iterated anew; None: it is there already.
        """
        if self._saved is None or not self._alone or _same(self.now(), self._saved["now"]):
            return None
        now: dict[str, Any] = self._saved["now"]
        self.load(now)
        return now


def _load(thing: Any, state: Any) -> None:
    if not is_stateful(thing):
        raise StateError("the state has a sampler's own state, and this sampler has no load_state_dict()")
    thing.load_state_dict(copy.deepcopy(state))  # the sampler may keep it, and change it


def _same(one: Any, other: Any) -> bool:
    """Also where one has been JSON, which has no tuples."""
    try:
        return json.dumps(one) == json.dumps(other)
    except (TypeError, ValueError):  # it holds arrays and the like
        return pickle.dumps(one) == pickle.dumps(other)


def check(saved: Any) -> None:
    """Raises StateError where ``saved`` is no record of this module."""
    if saved is None:
        return
    fits = isinstance(saved, dict) and {"start", "now"} <= saved.keys()
    if not fits or not all(
        isinstance(state, dict) and {"sampler", "iterator"} <= state.keys()
        for state in (saved["now"], saved["start"] or saved["now"])
    ):
        raise StateError("the state's sampler_state is not what a state has")
