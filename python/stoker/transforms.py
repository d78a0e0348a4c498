"""Image transforms with torchvision's names and parameters (``torchvision.transforms.v2``).

These are frozen descriptions: they hold no pixels and compute nothing. A dataset compiles them once
into a plan that the C++ core carries out, geometry first: resizing and cropping are worked out
before a pixel is decoded, so only what they need is decoded.

Sizes are ``(height, width)`` in pixels; an int stands for a square, and in ``Resize`` for the short
side. Resizing is antialiased and equals Pillow's bit for bit.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import _C

__all__ = [
    "CenterCrop",
    "Compose",
    "InterpolationMode",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "ToDtype",
    "ToImage",
    "Transform",
]


class InterpolationMode(enum.Enum):
    """How Resize and RandomResizedCrop interpolate; torchvision's own enum is taken as well."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


_NATIVE_INTERPOLATION = {
    InterpolationMode.NEAREST: _C.Interpolation.NEAREST,
    InterpolationMode.BILINEAR: _C.Interpolation.BILINEAR,
    InterpolationMode.BICUBIC: _C.Interpolation.BICUBIC,
}
_NATIVE_PADDING = {
    "constant": _C.PadMode.CONSTANT,
    "edge": _C.PadMode.EDGE,
    "reflect": _C.PadMode.REFLECT,
    "symmetric": _C.PadMode.SYMMETRIC,
}


class Transform:
    """Base of all descriptions."""

    def _fix(self, **fields: Any) -> None:
        """Replace fields of a frozen dataclass by their normal form, at construction only."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def _side(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} must be a positive int, got {value!r}")
    return value


def _height_width(size: Any, what: str) -> tuple[int, int]:
    if isinstance(size, int):
        return _side(size, what), _side(size, what)
    if isinstance(size, Sequence) and len(size) in (1, 2):
        return _side(size[0], what), _side(size[-1], what)
    raise ValueError(f"{what} must be an int or (height, width), got {size!r}")


def _interpolation(value: Any, owner: str) -> InterpolationMode:
    try:
        return InterpolationMode(getattr(value, "value", value))
    except ValueError:
        known = ", ".join(m.value for m in InterpolationMode)
        raise ValueError(f"{owner}: interpolation must be one of {known}, got {value!r}") from None


def _require_antialias(antialias: bool | None, owner: str) -> None:
    if antialias not in (True, None):
        raise ValueError(f"{owner}: antialias=False is not supported; resizing is always antialiased")


def _probability(p: float, owner: str) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{owner}: p must lie in [0, 1], got {p}")


def _range(value: Any, what: str) -> tuple[float, float]:
    if not isinstance(value, Sequence) or len(value) != 2 or not 0 < value[0] <= value[1]:
        raise ValueError(f"{what} must be (low, high) with 0 < low <= high, got {value!r}")
    return float(value[0]), float(value[1])


@dataclass(frozen=True)
class Resize(Transform):
    """Resize to ``size``: (height, width), or an int for the short side, keeping the proportions.

    ``max_size`` bounds the long side, with an int ``size`` only.
    """

    size: int | Sequence[int]
    interpolation: InterpolationMode = InterpolationMode.BILINEAR
    max_size: int | None = None
    antialias: bool | None = True

    def __post_init__(self) -> None:
        size: int | tuple[int, ...] = (
            _side(self.size, "Resize: size")
            if isinstance(self.size, int)
            else _height_width(self.size, "Resize: size")
        )
        if not isinstance(self.size, int) and len(self.size) == 1:
            size = self.size[0]  # as torchvision has it: a list of one is the short side
        if self.max_size is not None:
            if not isinstance(size, int):
                raise ValueError("Resize: max_size goes with an int size only")
            if _side(self.max_size, "Resize: max_size") <= size:
                raise ValueError(f"Resize: max_size {self.max_size} must be larger than size {size}")
        _require_antialias(self.antialias, "Resize")
        self._fix(size=size, interpolation=_interpolation(self.interpolation, "Resize"))


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Crop ``size`` from the middle; a smaller image is padded with black."""

    size: int | Sequence[int]

    def __post_init__(self) -> None:
        self._fix(size=_height_width(self.size, "CenterCrop: size"))


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Crop ``size`` at a random place, after padding.

    ``padding``: an int for all sides, (left/right, top/bottom) or (left, top, right, bottom).
    ``fill`` (gray, or R, G, B in 0..255) goes with ``padding_mode="constant"``; the other modes are
    "edge", "reflect" and "symmetric".
    """

    size: int | Sequence[int]
    padding: int | Sequence[int] | None = None
    pad_if_needed: bool = False
    fill: int | Sequence[int] = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        padding = self.padding
        if isinstance(padding, int):
            padding = (padding,) * 4
        elif padding is not None:
            padding = {1: tuple(padding) * 4, 2: tuple(padding) * 2}.get(len(padding), tuple(padding))
        if padding is not None and (len(padding) != 4 or any(p < 0 for p in padding)):
            raise ValueError(f"RandomCrop: padding must be 1, 2 or 4 ints >= 0, got {self.padding!r}")
        fill = (self.fill,) * 3 if isinstance(self.fill, int) else tuple(self.fill)
        if len(fill) != 3 or any(not 0 <= int(f) <= 255 for f in fill):
            raise ValueError(f"RandomCrop: fill must be 1 or 3 ints in 0..255, got {self.fill!r}")
        if self.padding_mode not in _NATIVE_PADDING:
            known = ", ".join(_NATIVE_PADDING)
            raise ValueError(f"RandomCrop: padding_mode must be one of {known}, got {self.padding_mode!r}")
        self._fix(size=_height_width(self.size, "RandomCrop: size"), padding=padding, fill=fill)


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """Crop a random part, ``scale`` of the area and ``ratio`` (width / height), resized to ``size``."""

    size: int | Sequence[int]
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0)
    interpolation: InterpolationMode = InterpolationMode.BILINEAR
    antialias: bool | None = True

    def __post_init__(self) -> None:
        _require_antialias(self.antialias, "RandomResizedCrop")
        self._fix(
            size=_height_width(self.size, "RandomResizedCrop: size"),
            scale=_range(self.scale, "RandomResizedCrop: scale"),
            ratio=_range(self.ratio, "RandomResizedCrop: ratio"),
            interpolation=_interpolation(self.interpolation, "RandomResizedCrop"),
        )


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """Mirror left to right with probability ``p``."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _probability(self.p, "RandomHorizontalFlip")


@dataclass(frozen=True)
class RandomVerticalFlip(Transform):
    """Mirror top to bottom with probability ``p``."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _probability(self.p, "RandomVerticalFlip")


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
        self._fix(mean=mean * (3 // len(mean)), std=std * (3 // len(std)))


@dataclass(frozen=True)
class Compose(Transform):
    """Several transforms, one after the other."""

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        self._fix(transforms=tuple(self.transforms))


TransformLike = Transform | Sequence[Transform] | None


def flatten(transform: TransformLike) -> Iterator[Transform]:
    """The single transforms, in order. Raises TypeError for anything that is no description."""
    if transform is None:
        return
    if isinstance(transform, Compose):
        transform = transform.transforms
    if isinstance(transform, Sequence) and not isinstance(transform, str):
        for t in transform:
            yield from flatten(t)
    elif isinstance(transform, Transform):
        yield transform
    else:
        raise TypeError(
            f"{transform!r} is not a stoker.transforms description; these are: {', '.join(__all__)}"
        )


def _geometric_op(t: Transform) -> _C.Op | None:
    """The core's operation for a geometric transform; None for any other."""
    kind = _C.OpKind
    if isinstance(t, Resize):
        op = _C.Op(kind.RESIZE)
        if isinstance(t.size, int):
            op.short_side = t.size
            op.max_size = t.max_size or 0
        else:
            op.size = t.size
        op.interpolation = _NATIVE_INTERPOLATION[t.interpolation]
    elif isinstance(t, CenterCrop):
        op = _C.Op(kind.CENTER_CROP)
        op.size = t.size
    elif isinstance(t, RandomCrop):
        op = _C.Op(kind.RANDOM_CROP)
        op.size = t.size
        op.padding = t.padding or (0, 0, 0, 0)
        op.pad_if_needed = t.pad_if_needed
        op.fill = t.fill
        op.pad_mode = _NATIVE_PADDING[t.padding_mode]
    elif isinstance(t, RandomResizedCrop):
        op = _C.Op(kind.RANDOM_RESIZED_CROP)
        op.size = t.size
        op.scale = t.scale
        op.ratio = t.ratio
        op.interpolation = _NATIVE_INTERPOLATION[t.interpolation]
    elif isinstance(t, (RandomHorizontalFlip, RandomVerticalFlip)):
        horizontal = isinstance(t, RandomHorizontalFlip)
        op = _C.Op(kind.RANDOM_HORIZONTAL_FLIP if horizontal else kind.RANDOM_VERTICAL_FLIP)
        op.probability = t.p
    else:
        return None
    return op


def compile_plan(transform: TransformLike, channels_last: bool = False) -> _C.SamplePlan:
    """Compile transforms into the core's plan.

    Raises:
        TypeError: something is not one of this module's descriptions.
        ValueError: an order that is not supported: Normalize before ToDtype(float32), or a resize or
            crop behind it.
    """
    plan = _C.SamplePlan()
    ops: list[_C.Op] = []
    is_float = False
    scale, bias = [1.0] * 3, [0.0] * 3
    for t in flatten(transform):
        op = _geometric_op(t)
        if op is not None:
            if is_float and not isinstance(t, (RandomHorizontalFlip, RandomVerticalFlip)):
                raise ValueError(f"{type(t).__name__} must stand before ToDtype(torch.float32)")
            ops.append(op)
        elif isinstance(t, ToDtype):
            if t.dtype == torch.uint8 and is_float:
                raise ValueError("ToDtype(torch.uint8) after ToDtype(torch.float32) is not supported")
            if t.dtype == torch.float32 and not is_float:
                is_float = True
                scale = [1.0 / 255.0 if t.scale else 1.0] * 3
        elif isinstance(t, Normalize):
            if not is_float:
                raise ValueError("Normalize needs ToDtype(torch.float32, scale=True) before it")
            scale = [s / d for s, d in zip(scale, t.std)]
            bias = [(b - m) / d for b, m, d in zip(bias, t.mean, t.std)]
    plan.ops = ops
    plan.is_float = is_float
    plan.scale = scale
    plan.bias = bias
    plan.channels_last = channels_last
    return plan
