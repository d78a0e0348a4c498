"""From pixels to the tensor that training gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from ._base import Transform, positive_range, probability


@dataclass(frozen=True)
class ToImage(Transform):
    """Nothing: samples are uint8 image tensors from the start. Accepted as torchvision's name."""


@dataclass(frozen=True)
class ToDtype(Transform):
    """Convert to ``dtype``: torch.float32 (``scale=True``: from 0..255 to 0..1) or torch.uint8."""

    dtype: torch.dtype
    scale: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in (torch.float32, torch.uint8):
            raise ValueError(f"ToDtype: dtype must be torch.float32 or torch.uint8, got {self.dtype}")


@dataclass(frozen=True)
class Normalize(Transform):
    """(value − mean) / std for each channel; after ``ToDtype(torch.float32, …)``.

    ``inplace`` changes nothing here; it is accepted as torchvision's parameter.
    """

    mean: Sequence[float]
    std: Sequence[float]
    inplace: bool = False

    def __post_init__(self) -> None:
        mean = tuple(float(m) for m in self.mean)
        std = tuple(float(s) for s in self.std)
        if len(mean) not in (1, 3) or len(std) not in (1, 3):
            raise ValueError("Normalize: mean and std must have 1 or 3 values")
        if any(not math.isfinite(v) for v in mean + std) or any(s == 0.0 for s in std):
            raise ValueError("Normalize: mean and std must be finite, and std not zero")
        self._fix(mean=mean, std=std)


@dataclass(frozen=True)
class PILToTensor(Transform):
    """Nothing, as ToImage."""


@dataclass(frozen=True)
class ToTensor(Transform):
    """torchvision's first version's name for ``ToDtype(torch.float32, scale=True)``."""


@dataclass(frozen=True)
class ConvertImageDtype(Transform):
    """``ToDtype(dtype, scale=True)`` under another name of torchvision's."""

    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if self.dtype not in (torch.float32, torch.uint8):
            raise ValueError(
                f"ConvertImageDtype: dtype must be torch.float32 or torch.uint8, got {self.dtype}"
            )


@dataclass(frozen=True)
class RandomErasing(Transform):
    """Overwrite a random rectangle with probability ``p``.

    ``scale``: its share of the image; ``ratio``: its height / width. ``value``: what it is
    overwritten with, one number or one for each channel, in the units that the image has at that
    point; or "random", normal noise (mean 0, standard deviation 1; after ToDtype(torch.float32)).
    ``inplace`` changes nothing here; it is accepted as torchvision's parameter.
    """

    p: float = 0.5
    scale: Sequence[float] = (0.02, 0.33)
    ratio: Sequence[float] = (0.3, 3.3)
    value: float | Sequence[float] | Literal["random"] = 0.0
    inplace: bool = False

    def __post_init__(self) -> None:
        probability(self.p, "RandomErasing")
        if self.value == "random":
            value: tuple[float, ...] | str = "random"
        elif isinstance(self.value, str):
            raise ValueError(f'RandomErasing: value must be numbers or "random", got {self.value!r}')
        else:
            numbers = (self.value,) if isinstance(self.value, (int, float)) else self.value
            value = tuple(float(v) for v in numbers)
            if len(value) not in (1, 3) or not all(math.isfinite(v) for v in value):
                raise ValueError(f"RandomErasing: value must be 1 or 3 finite numbers, got {self.value!r}")
        scale = positive_range(self.scale, "RandomErasing: scale")
        if scale[1] > 1:
            raise ValueError(f"RandomErasing: scale must not be above 1, got {self.scale!r}")
        self._fix(scale=scale, ratio=positive_range(self.ratio, "RandomErasing: ratio"), value=value)
