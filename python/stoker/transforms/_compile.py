"""From descriptions to the core's plan."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .. import _C
from ._base import Compose, InterpolationMode, Transform, flatten
from ._choices import RandomApply, RandomChoice, RandomOrder
from ._color import ColorJitter, Grayscale, RandomGrayscale
from ._convert import ConvertImageDtype, Normalize, PILToTensor, RandomErasing, ToDtype, ToImage, ToTensor
from ._geometry import (
    CenterCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)

_INTERPOLATION = {
    InterpolationMode.NEAREST: _C.Interpolation.NEAREST,
    InterpolationMode.BILINEAR: _C.Interpolation.BILINEAR,
    InterpolationMode.BICUBIC: _C.Interpolation.BICUBIC,
}
_PADDING = {
    "constant": _C.PadMode.CONSTANT,
    "edge": _C.PadMode.EDGE,
    "reflect": _C.PadMode.REFLECT,
    "symmetric": _C.PadMode.SYMMETRIC,
}
_CHOICES = (RandomApply, RandomChoice, RandomOrder)
_FLIPS = (RandomHorizontalFlip, RandomVerticalFlip)
_COLORS = (ColorJitter, Grayscale, RandomGrayscale)


@dataclass
class _Affine:
    """What an element is now: pixel · scale + bias, for each channel."""

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def times(self, factor: float) -> _Affine:
        return _Affine(_three(s * factor for s in self.scale), _three(b * factor for b in self.bias))

    def normalized(self, mean: Sequence[float], std: Sequence[float]) -> _Affine:
        return _Affine(
            _three(s / d for s, d in zip(self.scale, std)),
            _three((b - m) / d for b, m, d in zip(self.bias, mean, std)),
        )


def _three(values: Any) -> tuple[float, float, float]:
    a, b, c = values
    return float(a), float(b), float(c)


def _op(t: Transform, before: _Affine, after: _Affine) -> _C.Op:
    """The core's operation. ``before``, ``after``: what an element is there, and at the end."""
    kind = _C.OpKind
    if isinstance(t, Resize):
        op = _C.Op(kind.RESIZE)
        if isinstance(t.size, int):
            op.short_side = t.size
            op.max_size = t.max_size or 0
        else:
            op.size = t.size
        op.interpolation = _INTERPOLATION[t.interpolation]
    elif isinstance(t, CenterCrop):
        op = _C.Op(kind.CENTER_CROP)
        op.size = t.size
    elif isinstance(t, RandomCrop):
        op = _C.Op(kind.RANDOM_CROP)
        op.size = t.size
        op.padding = t.padding or (0, 0, 0, 0)
        op.pad_if_needed = t.pad_if_needed
        op.fill = t.fill
        op.pad_mode = _PADDING[t.padding_mode]
    elif isinstance(t, RandomResizedCrop):
        op = _C.Op(kind.RANDOM_RESIZED_CROP)
        op.size = t.size
        op.scale = t.scale
        op.ratio = t.ratio
        op.interpolation = _INTERPOLATION[t.interpolation]
    elif isinstance(t, RandomHorizontalFlip):
        op = _C.Op(kind.RANDOM_HORIZONTAL_FLIP)
        op.probability = t.p
    elif isinstance(t, RandomVerticalFlip):
        op = _C.Op(kind.RANDOM_VERTICAL_FLIP)
        op.probability = t.p
    elif isinstance(t, Pad):
        op = _C.Op(kind.PAD)
        op.padding = t.padding
        op.fill = t.fill
        op.pad_mode = _PADDING[t.padding_mode]
    elif isinstance(t, ColorJitter):
        op = _C.Op(kind.COLOR_JITTER)
        op.jitter = (t.brightness, t.contrast, t.saturation, t.hue)
    elif isinstance(t, (Grayscale, RandomGrayscale)):
        op = _C.Op(kind.RANDOM_GRAYSCALE)
        op.probability = t.p if isinstance(t, RandomGrayscale) else 1.0
    elif isinstance(t, RandomErasing):
        op = _C.Op(kind.RANDOM_ERASING)
        op.probability = t.p
        op.scale = t.scale
        op.ratio = t.ratio
        noise = t.value == "random"
        value = _three(t.value * (3 // len(t.value)) if isinstance(t.value, tuple) else (0.0,) * 3)
        rates = _three(a / b for a, b in zip(after.scale, before.scale))
        op.value = _three((v - b) * r + a for v, b, r, a in zip(value, before.bias, rates, after.bias))
        op.noise = rates if noise else (0.0, 0.0, 0.0)
    else:
        assert isinstance(t, _CHOICES)
        op = _choice(t, before, after)
    return op


def _choice(t: RandomApply | RandomChoice | RandomOrder, before: _Affine, after: _Affine) -> _C.Op:
    kind = _C.OpKind
    if isinstance(t, RandomApply):
        op = _C.Op(kind.RANDOM_APPLY)
        op.probability = t.p
        op.children = [_op(child, before, after) for child in flatten(t.transforms)]
        return op
    children = []
    for branch in t.transforms:  # a Compose among them is one branch
        several = [_op(child, before, after) for child in flatten(branch)]
        if len(several) != 1:
            together = _C.Op(kind.RANDOM_APPLY)
            together.probability = 1.0
            together.children = several
            several = [together]
        children += several
    op = _C.Op(kind.RANDOM_CHOICE if isinstance(t, RandomChoice) else kind.RANDOM_ORDER)
    op.children = children
    if isinstance(t, RandomChoice) and t.p is not None:
        op.weights = t.p
    return op


def _erases(t: Any) -> bool:
    inner = flatten(t.transforms) if isinstance(t, _CHOICES) else ()
    return isinstance(t, RandomErasing) or any(_erases(child) for child in inner)


def _only_flips_beside_erasing(t: Any) -> bool:
    if isinstance(t, _CHOICES):
        return all(_only_flips_beside_erasing(child) for child in flatten(t.transforms))
    return isinstance(t, (RandomErasing, *_FLIPS))


class Compiler:
    """Takes transforms one by one, and says of each whether the core can run it there."""

    def __init__(self) -> None:
        self.is_float = False
        self.channels = 3
        self._now = _Affine()
        self._ops: list[tuple[Transform, _Affine]] = []
        self._erased = False
        self._count = 0

    def add(self, t: Any) -> None:
        """Append ``t``.

        Raises:
            TypeError: it is not a description.
            ValueError: the core cannot run it at this place. The compiler is as it was.
        """
        name = type(t).__name__
        if not isinstance(t, Transform) or isinstance(t, Compose):
            raise TypeError(f"{t!r} is not a stoker.transforms description")
        if isinstance(t, (ToImage, PILToTensor)):
            return
        if isinstance(t, (ToTensor, ToDtype, ConvertImageDtype)):
            self._convert(t, name)
        elif isinstance(t, Normalize):
            self._normalize(t)
        else:
            trial = copy.copy(self)
            trial._check(t, name, nested=False)
            count = self._count + _C.count_ops([_op(t, self._now, self._now)])
            if count > _C.max_ops:
                raise ValueError(f"{name} would make more than {_C.max_ops} transforms")
            self._erased, self.channels = trial._erased, trial.channels
            self._ops.append((t, self._now))
            self._count = count

    def _convert(self, t: ToTensor | ToDtype | ConvertImageDtype, name: str) -> None:
        to_float = isinstance(t, ToTensor) or t.dtype == torch.float32
        if not to_float and self.is_float:
            raise ValueError(f"{name}(torch.uint8) after ToDtype(torch.float32) is not supported")
        if to_float and not self.is_float:
            self.is_float = True
            if not isinstance(t, ToDtype) or t.scale:
                self._now = self._now.times(1.0 / 255.0)

    def _normalize(self, t: Normalize) -> None:
        if not self.is_float:
            raise ValueError("Normalize needs ToDtype(torch.float32, scale=True) before it")
        if self.channels == 1 and (len(t.mean) > 1 or len(t.std) > 1):
            raise ValueError("Normalize has 3 values, but Grayscale has left 1 channel")
        three = [tuple(v) * (3 // len(v)) for v in (t.mean, t.std)]
        self._now = self._now.normalized(*three)

    def _check(self, t: Transform, name: str, nested: bool) -> None:
        if isinstance(t, _CHOICES):
            if isinstance(t, RandomOrder) and _erases(t) and not _only_flips_beside_erasing(t):
                raise ValueError("RandomOrder: only flips may stand beside RandomErasing")
            for child in flatten(t.transforms):
                if not isinstance(child, Transform):
                    raise TypeError(f"{child!r} in {name} is not a stoker.transforms description")
                self._check(child, type(child).__name__, nested=True)
        elif isinstance(t, RandomErasing):
            self._check_erasing(t)
            self._erased = True
        elif isinstance(t, _FLIPS):
            pass
        elif self._erased:
            raise ValueError(f"{name} must stand before RandomErasing")
        elif isinstance(t, _COLORS):
            if self.is_float:
                raise ValueError(f"{name} must stand before ToDtype(torch.float32)")
            if isinstance(t, Grayscale):
                if nested and t.num_output_channels != self.channels:
                    raise ValueError("Grayscale would leave images of different numbers of channels")
                self.channels = t.num_output_channels
        elif isinstance(t, (CenterCrop, RandomCrop, Pad)):
            if self.is_float and not self._crops_as_pixels(t, nested):
                raise ValueError(
                    f"{name} must stand before ToDtype(torch.float32): its fill is in other units there"
                )
        elif isinstance(t, (Resize, RandomResizedCrop)):
            if self.is_float:
                raise ValueError(f"{name} must stand before ToDtype(torch.float32)")
        else:
            raise ValueError(f"{name} cannot stand among the transforms of a random choice")

    def _crops_as_pixels(self, t: CenterCrop | RandomCrop | Pad, nested: bool) -> bool:
        """Whether it comes to the same before the conversion to float: it fills nothing, or with 0."""
        if isinstance(t, RandomCrop) and t.padding is None and not t.pad_if_needed:
            return True
        if isinstance(t, CenterCrop):
            size = None if nested else self.plan().fixed_size
            height, width = t.size if isinstance(t.size, Sequence) else (t.size, t.size)
            if size is not None and size[0] >= height and size[1] >= width:
                return True
        elif t.padding_mode != "constant":
            return True
        fills = (0, 0, 0) if isinstance(t, CenterCrop) else t.fill
        return not any(self._now.bias) and fills == (0, 0, 0)

    def _check_erasing(self, t: RandomErasing) -> None:
        if isinstance(t.value, tuple):
            if self.channels == 1 and len(t.value) > 1:
                raise ValueError("RandomErasing has 3 values, but Grayscale has left 1 channel")
            if not self.is_float and any(v != int(v) or not 0 <= v <= 255 for v in t.value):
                raise ValueError("RandomErasing: value must be 0..255 before ToDtype(torch.float32)")
        elif not self.is_float:
            raise ValueError('RandomErasing(value="random") needs ToDtype(torch.float32) before it')

    def plan(self, channels_last: bool = False) -> _C.SamplePlan:
        """The plan of all that has been added."""
        plan = _C.SamplePlan()
        plan.ops = [_op(t, before, self._now) for t, before in self._ops]
        plan.is_float = self.is_float
        plan.channels = self.channels
        plan.scale = self._now.scale
        plan.bias = self._now.bias
        plan.channels_last = channels_last
        return plan


def compile_plan(transform: Any, channels_last: bool = False) -> _C.SamplePlan:
    """Compile descriptions into the core's plan.

    Raises:
        TypeError: something is no description.
        ValueError: an order that is not supported: Normalize before ToDtype(float32), say, or a
            resize behind it.
    """
    compiler = Compiler()
    for t in flatten(transform):
        compiler.add(t)
    return compiler.plan(channels_last)
