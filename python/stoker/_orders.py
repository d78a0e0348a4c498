"""Orders of torchvision's transforms that can only raise, so that a dataset can refuse them when it is made
and not in the first batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from . import _torchvision
from .transforms import ConvertImageDtype, Normalize, PILToTensor, ToDtype, ToImage, ToTensor, Transform

Form = Literal["pil", "uint8", "float", "either"]
"""What an image is: Pillow's, a tensor, or, as what gets it wants it, Pillow's or a uint8 tensor."""

# What leaves an image in the form that it has, be it native or not.
_KEEP = frozenset({
    "AugMix", "AutoAugment", "CenterCrop", "ColorJitter", "ElasticTransform", "GaussianBlur", "Grayscale",
    "Identity", "JPEG", "Pad", "RGB", "RandAugment", "RandomAdjustSharpness", "RandomAffine",
    "RandomAutocontrast", "RandomChannelPermutation", "RandomCrop", "RandomEqualize", "RandomErasing",
    "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert", "RandomPerspective",
    "RandomPhotometricDistort", "RandomPosterize", "RandomResizedCrop", "RandomRotation",
    "RandomSolarize", "RandomVerticalFlip", "RandomZoomOut", "Resize", "ToPureTensor", "TrivialAugmentWide",
})  # fmt: skip
_TO_TENSOR = ("PILToTensor", "ToImage", "ToTensor")
_OF_BYTES = (
    "AugMix",
    "AutoAugment",
    "RandAugment",
    "RandomEqualize",
    "RandomPosterize",
    "TrivialAugmentWide",
)


def are_for_pil(transforms: Sequence[Any]) -> bool:
    """Whether transforms that Python runs were written for PIL images: all up to one that makes a tensor of
    an image are torchvision's."""
    for t in transforms:
        name = type(t).__name__
        if _torchvision.preset(t) is not None:
            return True
        if not _torchvision.version(t) or name in ("Lambda", "ToPILImage"):
            return False
        if name in _TO_TENSOR:
            return True
    return False


def misplaced(transforms: Sequence[Any]) -> str:
    """Which of torchvision's conversions, of images that are either, would mean something else than there:
    it does nothing to a PIL image, and what makes a tensor of it comes later. "" where there is none."""
    names = [type(t).__name__ if _torchvision.version(t) else "" for t in transforms]
    first = min((names.index(name) for name in _TO_TENSOR if name in names), default=0)
    early = [name for name in names[:first] if name in ("ConvertImageDtype", "ToDtype")]
    return f"{early[0]} must stand behind {names[first]}" if early else ""


def impossible(transforms: Sequence[Any], form: Form) -> str:
    """Why ``transforms`` raise whatever the image is that they get; "" where that is not known."""
    for t in transforms:
        problem = _problem(t, form)
        if problem:
            return problem
        after = _after(t, form)
        if after is None:
            return ""
        form = after
    return ""


def _problem(t: Any, form: Form) -> str:
    """Why ``t`` cannot take an image in this form."""
    name, version = type(t).__name__, _torchvision.version(t)
    is_ours = isinstance(t, Transform)
    if (isinstance(t, Normalize) or (version and name == "Normalize")) and form != "float":
        return f"{name} needs ToTensor, or ToDtype(torch.float32, scale=True), before it"
    if version == 1:
        if name in ("ToTensor", "PILToTensor") and form in ("uint8", "float"):
            return f"{name} does not take tensors, which the image is already"
        if name in ("ConvertImageDtype", "RandomErasing") and form == "pil":
            return f"{name} needs ToTensor or PILToTensor before it"
        if name == "ToPILImage" and form == "pil":
            return "ToPILImage does not take PIL images, which the image is already"
        if name in _OF_BYTES and form == "float":
            return f"{name} must stand before ToTensor: it takes bytes, not floats"
    if is_ours and form == "float" and not isinstance(t, (Normalize, ToDtype, ConvertImageDtype, ToTensor)):
        return f"{name} behind a Python callable needs a uint8 image, and the image is float32 already"
    return ""


def _after(t: Any, form: Form) -> Form | None:
    """The form that ``t`` leaves an image in; None: nobody knows."""
    name, version = type(t).__name__, _torchvision.version(t)
    if isinstance(t, (ToTensor, ToDtype, ConvertImageDtype)) or (
        version and name in ("ConvertImageDtype", "ToDtype")
    ):
        if form == "pil" and version == 2:
            return form
        to_float = isinstance(t, ToTensor) or t.dtype == torch.float32
        return "float" if to_float else "uint8" if t.dtype == torch.uint8 else None
    if isinstance(t, (ToImage, PILToTensor)) or (version and name in ("ToImage", "PILToTensor")):
        return "uint8" if form in ("pil", "either") else form
    if version and name == "ToTensor":
        return "float" if form in ("pil", "either") else form
    if version and name == "ToPILImage":
        return "pil"
    if isinstance(t, Transform) or (version and (name in _KEEP or name == "Normalize")):
        return form
    return None
