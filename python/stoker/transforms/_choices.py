"""Choices among other transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._words import counted
from ._base import Transform, probability


def _several(transforms: Any, owner: str) -> tuple[Any, ...]:
    several = tuple(transforms)
    if not several:
        raise ValueError(f"{owner} needs at least one transform")
    return several


@dataclass(frozen=True)
class RandomApply(Transform):
    """All of ``transforms`` with probability ``p``, else none of them."""

    transforms: Sequence[Any]
    p: float = 0.5

    def __post_init__(self) -> None:
        probability(self.p, "RandomApply")
        self._fix(transforms=_several(self.transforms, "RandomApply"))


@dataclass(frozen=True)
class RandomChoice(Transform):
    """One of ``transforms``; ``p``: a weight for each, or None: all the same."""

    transforms: Sequence[Any]
    p: Sequence[float] | None = None

    def __post_init__(self) -> None:
        transforms = _several(self.transforms, "RandomChoice")
        weights = None if self.p is None else tuple(float(w) for w in self.p)
        if weights is not None:
            if len(weights) != len(transforms):
                given = f"{counted(len(transforms), 'transform')}, but {counted(len(weights), 'weight')}"
                raise ValueError(f"RandomChoice: {given}")
            if not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
                raise ValueError(f"RandomChoice: p must be weights >= 0, not all 0, got {self.p!r}")
        self._fix(transforms=transforms, p=weights)


@dataclass(frozen=True)
class RandomOrder(Transform):
    """All of ``transforms``, in random order."""

    transforms: Sequence[Any]

    def __post_init__(self) -> None:
        self._fix(transforms=_several(self.transforms, "RandomOrder"))
