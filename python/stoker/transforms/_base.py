"""What all descriptions share: their base, and the checks of their parameters."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


class InterpolationMode(enum.Enum):
    """How Resize and RandomResizedCrop interpolate; torchvision's own enum is taken as well."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Transform:
    """Base of all descriptions.

    ``transform(image)`` does what it describes to an image that has been decoded: a PIL image, a uint8
    tensor (3, height, width) or a uint8 array (height, width, 3). It returns what ``dataset[i]`` has, a
    tensor (3, height, width), pixel for pixel; random numbers come from torch's generator.
    """

    def __call__(self, image: Any) -> Any:
        from .._pipeline import apply  # which runs descriptions, and so knows of them

        return apply(self, image)

    def _fix(self, **fields: Any) -> None:
        """Replace fields of a frozen dataclass by their normal form, at construction only."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


_LARGEST_SIDE = 2**31 - 1


def side(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} must be a positive int, got {value!r}")
    if value > _LARGEST_SIDE:
        raise ValueError(f"{what} must not be above {_LARGEST_SIDE:,}, got {value:,}")
    return value


def height_width(size: Any, what: str) -> tuple[int, int]:
    if isinstance(size, int):
        return side(size, what), side(size, what)
    if isinstance(size, Sequence) and len(size) in (1, 2):
        return side(size[0], what), side(size[-1], what)
    raise ValueError(f"{what} must be an int or (height, width), got {size!r}")


def interpolation_mode(value: Any, owner: str) -> InterpolationMode:
    try:
        return InterpolationMode(getattr(value, "value", value))
    except ValueError:
        known = ", ".join(m.value for m in InterpolationMode)
        raise ValueError(f"{owner}: interpolation must be one of {known}, got {value!r}") from None


def require_antialias(antialias: bool | None, owner: str) -> None:
    if antialias not in (True, None):
        raise ValueError(f"{owner}: antialias=False is not supported; resizing is always antialiased")


def probability(p: float, owner: str) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{owner}: p must lie in [0, 1], got {p}")


def positive_range(value: Any, what: str) -> tuple[float, float]:
    if not isinstance(value, Sequence) or len(value) != 2 or not 0 < value[0] <= value[1]:
        raise ValueError(f"{what} must be (low, high) with 0 < low <= high, got {value!r}")
    if not math.isfinite(value[1]):
        raise ValueError(f"{what} must be finite, got {value!r}")
    return float(value[0]), float(value[1])


def factor_range(value: Any, what: str, center: float = 1.0) -> tuple[float, float]:
    """torchvision's ColorJitter: a number is how far from ``center`` a factor may go."""
    if value is None:
        value = 0.0
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"{what} must not be negative, got {value!r}")
        value = (center - value, center + value)
        if center > 0:
            value = (max(value[0], 0.0), value[1])
    low, high = (0.0, math.inf) if center > 0 else (-0.5, 0.5)
    if not isinstance(value, Sequence) or len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{what} must be a number or (low, high) between {low} and {high}, got {value!r}")
    if not math.isfinite(value[1]):
        raise ValueError(f"{what} must be finite, got {value!r}")
    return float(value[0]), float(value[1])


PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def padding_of(padding: Any, owner: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of 1, 2 or 4 ints."""
    if isinstance(padding, int):
        padding = (padding,)
    padding = tuple(padding)
    padding = {1: padding * 4, 2: padding * 2}.get(len(padding), padding)
    if len(padding) != 4 or any(not isinstance(p, int) or not 0 <= p < 1 << 16 for p in padding):
        raise ValueError(f"{owner}: padding must be 1, 2 or 4 ints >= 0 and < 65,536, got {padding!r}")
    return padding[0], padding[1], padding[2], padding[3]


def fill_of(fill: Any, owner: str) -> tuple[int, int, int]:
    """Red, green and blue of a fill colour."""
    values = (fill,) * 3 if isinstance(fill, (int, float)) else tuple(fill)
    if len(values) == 1:
        values *= 3
    if len(values) != 3 or any(not 0 <= f <= 255 or f != int(f) for f in values):
        raise ValueError(f"{owner}: fill must be 1 or 3 ints in 0..255, got {fill!r}")
    return int(values[0]), int(values[1]), int(values[2])


def padding_mode_of(mode: str, owner: str) -> None:
    if mode not in PADDING_MODES:
        raise ValueError(f"{owner}: padding_mode must be one of {', '.join(PADDING_MODES)}, got {mode!r}")


@dataclass(frozen=True)
class Compose(Transform):
    """Several transforms, one after the other."""

    transforms: Sequence[Any]

    def __post_init__(self) -> None:
        self._fix(transforms=tuple(self.transforms))


def flatten(transform: Any) -> Iterator[Any]:
    """The single transforms of a description, a Compose or a sequence of them, in order."""
    if transform is None:
        return
    if isinstance(transform, Compose):
        transform = transform.transforms
    if isinstance(transform, Sequence) and not isinstance(transform, str):
        for t in transform:
            yield from flatten(t)
    else:
        yield transform
