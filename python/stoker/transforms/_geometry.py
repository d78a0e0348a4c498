"""Where pixels come from: resizing, cropping, padding, flipping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._base import (
    InterpolationMode,
    Transform,
    fill_of,
    height_width,
    interpolation_mode,
    padding_mode_of,
    padding_of,
    positive_range,
    probability,
    require_antialias,
    side,
)


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
            side(self.size, "Resize: size")
            if isinstance(self.size, int)
            else height_width(self.size, "Resize: size")
        )
        if not isinstance(self.size, int) and len(self.size) == 1:
            size = self.size[0]  # as torchvision has it: a list of one is the short side
        if self.max_size is not None:
            if not isinstance(size, int):
                raise ValueError("Resize: max_size goes with an int size only")
            if side(self.max_size, "Resize: max_size") <= size:
                raise ValueError(f"Resize: max_size {self.max_size} must be larger than size {size}")
        require_antialias(self.antialias, "Resize")
        self._fix(size=size, interpolation=interpolation_mode(self.interpolation, "Resize"))


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Crop ``size`` from the middle; a smaller image is padded with black."""

    size: int | Sequence[int]

    def __post_init__(self) -> None:
        self._fix(size=height_width(self.size, "CenterCrop: size"))


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
        padding_mode_of(self.padding_mode, "RandomCrop")
        self._fix(
            size=height_width(self.size, "RandomCrop: size"),
            padding=None if self.padding is None else padding_of(self.padding, "RandomCrop"),
            fill=fill_of(self.fill, "RandomCrop"),
        )


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """Crop a random part, ``scale`` of the area and ``ratio`` (width / height), resized to ``size``."""

    size: int | Sequence[int]
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0)
    interpolation: InterpolationMode = InterpolationMode.BILINEAR
    antialias: bool | None = True

    def __post_init__(self) -> None:
        require_antialias(self.antialias, "RandomResizedCrop")
        self._fix(
            size=height_width(self.size, "RandomResizedCrop: size"),
            scale=positive_range(self.scale, "RandomResizedCrop: scale"),
            ratio=positive_range(self.ratio, "RandomResizedCrop: ratio"),
            interpolation=interpolation_mode(self.interpolation, "RandomResizedCrop"),
        )


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """Mirror left to right with probability ``p``."""

    p: float = 0.5

    def __post_init__(self) -> None:
        probability(self.p, "RandomHorizontalFlip")


@dataclass(frozen=True)
class RandomVerticalFlip(Transform):
    """Mirror top to bottom with probability ``p``."""

    p: float = 0.5

    def __post_init__(self) -> None:
        probability(self.p, "RandomVerticalFlip")


@dataclass(frozen=True)
class Pad(Transform):
    """Add ``padding`` around the image: an int, (left/right, top/bottom) or (left, top, right, bottom).

    ``fill`` and ``padding_mode``: as RandomCrop's.
    """

    padding: int | Sequence[int]
    fill: int | Sequence[int] = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        padding_mode_of(self.padding_mode, "Pad")
        self._fix(padding=padding_of(self.padding, "Pad"), fill=fill_of(self.fill, "Pad"))
