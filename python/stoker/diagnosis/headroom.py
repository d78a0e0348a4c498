"""How fast a loop goes with a perfect loader: the same few batches, handed out again for a while."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import MutableMapping
from typing import Any

import torch

KEPT = 4  # batches that take turns
LEAST_BATCHES = 8


def copied(data: Any, tensors: bool = True) -> Any:
    """A batch of its own, in the same kind of memory: a loop may change the one that it has been given.

    ``tensors``: those too, and not only what holds them.
    """
    if isinstance(data, torch.Tensor):
        return _tensor_copied(data) if tensors else data
    if isinstance(data, (str, bytes, int, float, type(None))):
        return data
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(copied(value, tensors) for value in data))
    if type(data) in (list, tuple):
        return type(data)(copied(value, tensors) for value in data)
    if isinstance(data, MutableMapping):
        made = copy.copy(data)
        for key, value in data.items():
            made[key] = copied(value, tensors)
        return made
    return copy.deepcopy(data)


def _tensor_copied(data: torch.Tensor) -> torch.Tensor:
    if data.is_pinned():
        return torch.empty_like(data, pin_memory=True).copy_(data)
    return data.detach().clone().requires_grad_(data.requires_grad)


def versions(data: Any) -> tuple[int, ...]:
    """How often each tensor has been changed in place."""
    if isinstance(data, torch.Tensor):
        return (0 if data.is_inference() else data._version,)
    if isinstance(data, MutableMapping):
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        return tuple(version for value in data for version in versions(value))
    return ()


class Headroom:
    """Keeps the last batches of a loop, and then gives them out again for some seconds.

    A loop that changes its batches in place gets a copy of them each time, whose cost does not count;
    that it does is seen in the first of them, which are copies and not counted.

    Attributes:
        wanted: whether that is still to come.
        batches_per_s: how fast the loop took them, first ones apart.
    """

    def __init__(self, seconds: float) -> None:
        self.wanted = seconds > 0
        self.batches_per_s = 0.0
        self._seconds = seconds
        self._kept: deque[Any] = deque(maxlen=KEPT)
        self._tried: list[tuple[Any, tuple[int, ...]]] = []  # the first ones given, as they were then
        self._changes = False
        self._given = 0
        self._began = 0.0
        self._copying_s = 0.0

    def keep(self, data: Any, to_come: int) -> bool:
        """A batch of the loader's own; ``to_come``: how many follow before the first is needed again.

        Returns whether it was copied. Raises what the batch's own type does where it cannot be.
        """
        if not self.wanted or to_come >= KEPT:
            return False
        self._kept.append(copied(data))
        return True

    def give_up(self) -> None:
        """Nothing is handed out again."""
        self.wanted = False
        self._kept.clear()
        self._tried.clear()

    def batch(self) -> tuple[Any] | None:
        """The next one; None: the time is over, and the loader's turn comes again."""
        now = time.perf_counter()
        first = len(self._kept)  # that are not counted
        if self._given == first:
            self._began, self._copying_s = now, 0.0
            self._changes = any(versions(data) != before for data, before in self._tried)
            self._tried.clear()
        counted = self._given - first
        took = now - self._began - self._copying_s
        if not self._kept or (counted >= LEAST_BATCHES and now - self._began >= self._seconds):
            self.batches_per_s = counted / took if self._kept and took > 0 else 0.0
            self.wanted = False
            self._kept.clear()
            return None
        trying = self._given < first
        data = copied(self._kept[self._given % len(self._kept)], tensors=trying or self._changes)
        if trying:
            # A shell of its own: what the loop takes out of the batch is still looked at.
            self._tried.append((copied(data, tensors=False), versions(data)))
        self._copying_s += time.perf_counter() - now
        self._given += 1
        return (data,)
