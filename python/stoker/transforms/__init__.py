"""Image transforms with torchvision's names and parameters (``torchvision.transforms.v2``).

These are frozen descriptions: they hold no pixels and compute nothing. A dataset compiles them once
into a plan that the C++ core carries out, geometry first: resizing and cropping are worked out
before a pixel is decoded, so only what they need is decoded.

Sizes are ``(height, width)`` in pixels; an int stands for a square, and in ``Resize`` for the short
side. Resizing is antialiased and equals Pillow's bit for bit, as do the changes of colour.
"""

from ._base import Compose, InterpolationMode, Transform
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

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "Grayscale",
    "InterpolationMode",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "ToDtype",
    "ToImage",
    "ToTensor",
    "Transform",
]
