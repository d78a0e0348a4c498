"""Changes of colour, with Pillow's arithmetic, as torchvision has it for PIL images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._base import Transform, factor_range, probability


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue, in random order, by random factors.

    ``brightness``, ``contrast``, ``saturation``: (low, high) of the factor, or how far it may be from
    1. ``hue``: (low, high) within −0.5 … 0.5 of a turn, or how far from 0.
    """

    brightness: float | Sequence[float] | None = None
    contrast: float | Sequence[float] | None = None
    saturation: float | Sequence[float] | None = None
    hue: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        self._fix(
            brightness=factor_range(self.brightness, "ColorJitter: brightness"),
            contrast=factor_range(self.contrast, "ColorJitter: contrast"),
            saturation=factor_range(self.saturation, "ColorJitter: saturation"),
            hue=factor_range(self.hue, "ColorJitter: hue", center=0.0),
        )


@dataclass(frozen=True)
class Grayscale(Transform):
    """Make the image gray: of ``num_output_channels`` 1, or 3 that are the same."""

    num_output_channels: int = 1

    def __post_init__(self) -> None:
        if self.num_output_channels not in (1, 3):
            raise ValueError(
                f"Grayscale: num_output_channels must be 1 or 3, got {self.num_output_channels!r}"
            )


@dataclass(frozen=True)
class RandomGrayscale(Transform):
    """Make the image gray with probability ``p``, keeping its channels."""

    p: float = 0.1

    def __post_init__(self) -> None:
        probability(self.p, "RandomGrayscale")
