"""torchvision's transforms and datasets, recognised without importing torchvision.

Only exact types, whose meaning is known: a subclass may do anything, and so may a module with hooks.
Both versions of the transforms are known, on PIL images and on tensors where the two agree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from . import transforms as T
from .transforms._base import padding_of

State = Literal["pil", "uint8", "float", "stoker"]
"""What a transform gets: a PIL image, a uint8 or a float tensor, or what Stoker's own datasets begin
with, which may be regarded as an image or as a tensor."""

_V1, _V2 = "torchvision.transforms", "torchvision.transforms.v2"


class NotNativeError(ValueError):
    """Why a transform cannot run in the core; begins with the transform's name."""


def _is(obj: Any, module: str, name: str) -> bool:
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and type(obj) is found


def version(t: Any) -> int:
    """1 or 2 for exactly a transform of torchvision's; 0 for anything else."""
    name = type(t).__name__
    if not type(t).__module__.startswith(_V1):
        return 0
    return 2 if _is(t, _V2, name) else 1 if _is(t, _V1, name) else 0


def children(t: Any) -> list[Any] | None:
    """What stands in a Compose (or nn.Sequential); None for anything else."""
    if (version(t) and type(t).__name__ == "Compose") or type(t) is torch.nn.Sequential:
        return None if _has_hooks(t) else list(t.transforms if hasattr(t, "transforms") else t)
    return None


_PRESETS = "torchvision.transforms._presets"


def preset(t: Any) -> list[Any] | None:
    """What ``Weights.transforms()`` of a classification model does, one by one; None for anything else."""
    if not _is(t, _PRESETS, "ImageClassification") or _has_hooks(t):
        return None
    v1: Any = sys.modules[_V1]
    return [
        v1.Resize(t.resize_size, t.interpolation, antialias=t.antialias),
        v1.CenterCrop(t.crop_size),
        v1.PILToTensor(),
        v1.ConvertImageDtype(torch.float),
        v1.Normalize(t.mean, t.std),
    ]


def _template(self: Any, image: Any) -> Any:
    return self.inner(image)


def handed_on(t: Any) -> Any:
    """The callable that an object of a script's own class hands the image on to, where its ``__call__`` (or
    ``forward``) consists of ``return self.<name>(image)`` and nothing else; None where that is not so."""
    kind = type(t)
    is_module = isinstance(t, torch.nn.Module)
    if version(t) or (is_module and (kind.__call__ is not torch.nn.Module.__call__ or _has_hooks(t))):
        return None
    function = getattr(kind, "forward" if is_module else "__call__", None)
    code = getattr(function, "__code__", None)
    if code is None or code.co_code != _template.__code__.co_code or len(code.co_names) != 1:
        return None
    if code.co_argcount != 2 or code.co_flags & 0xC or code.co_kwonlyargcount or code.co_cellvars:
        return None
    name = code.co_names[0]
    if "__getattribute__" in {key for base in kind.__mro__[:-1] for key in vars(base)} or hasattr(kind, name):
        return None
    inner = vars(t).get(name)
    return vars(t).get("_modules", {}).get(name) if inner is None and is_module else inner


def _has_hooks(t: Any) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return any(vars(t).get(name) for name in hooks) or "forward" in vars(t)


def _antialiased(t: Any, state: State) -> None:
    # Pillow always does, whatever it is told.
    if state != "pil" and t.antialias not in (True, None):
        raise NotNativeError(f"{type(t).__name__}: antialias=False on tensors is not native")


def _interpolation(t: Any, state: State) -> T.InterpolationMode:
    name = type(t).__name__
    mode = getattr(t.interpolation, "value", t.interpolation)
    if mode == "nearest" and state == "uint8":
        raise NotNativeError(f"{name}: torch's interpolation 'nearest' of tensors is not native")
    if mode == "nearest-exact":
        mode = "nearest"
    try:
        return T.InterpolationMode(mode)
    except ValueError:
        raise NotNativeError(f"{name}: interpolation {mode!r} is not native") from None


def _fill(t: Any) -> Any:
    if isinstance(t.fill, dict):
        raise NotNativeError(f"{type(t).__name__}: a fill for each type is not native")
    return 0 if t.fill is None else t.fill


def _resize(t: Any, state: State) -> T.Transform:
    _antialiased(t, state)
    if t.size is None:
        raise NotNativeError("Resize: size=None is not native")
    return T.Resize(t.size, _interpolation(t, state), t.max_size)


def _random_resized_crop(t: Any, state: State) -> T.Transform:
    _antialiased(t, state)
    return T.RandomResizedCrop(t.size, t.scale, t.ratio, _interpolation(t, state))


def _random_crop(t: Any, state: State) -> T.Transform:
    padding = t.padding
    if padding is not None and version(t) == 2:
        left, right, top, bottom = padding
        padding = (left, top, right, bottom)
    elif padding is not None and t.pad_if_needed and t.padding_mode in ("reflect", "symmetric"):
        raise NotNativeError(f"RandomCrop: padding twice by {t.padding_mode!r} is not native")
    return T.RandomCrop(t.size, padding, t.pad_if_needed, _fill(t), t.padding_mode)


def _pad(t: Any, state: State) -> T.Transform:
    return T.Pad(padding_of(t.padding, "Pad"), _fill(t), t.padding_mode)


def _color_jitter(t: Any, state: State) -> T.Transform:
    if t.hue is not None and state == "uint8":
        raise NotNativeError("ColorJitter: hue on tensors is not native; put it before ToImage")
    return T.ColorJitter(t.brightness, t.contrast, t.saturation, t.hue)


def _random_erasing(t: Any, state: State) -> T.Transform:
    if state == "pil":
        raise NotNativeError("RandomErasing does nothing to PIL images")
    value = t.value
    if value is None:
        value = "random"
    return T.RandomErasing(t.p, t.scale, t.ratio, value)


def _to_tensor(t: Any, state: State) -> T.Transform:
    if state not in ("pil", "stoker"):
        raise NotNativeError("ToTensor does not take tensors")
    if torch.get_default_dtype() != torch.float32:
        raise NotNativeError("ToTensor: a default dtype other than float32 is not native")
    return T.ToTensor()


def _image_to_tensor(t: Any, state: State) -> T.Transform:
    if type(t).__name__ == "PILToTensor" and state not in ("pil", "stoker"):
        raise NotNativeError("PILToTensor does not take tensors")
    return T.ToImage()


def _to_dtype(t: Any, state: State) -> T.Transform:
    name = type(t).__name__
    if state == "pil":
        raise NotNativeError(f"{name} does nothing to PIL images (put ToImage before it)")
    if not isinstance(t.dtype, torch.dtype):
        raise NotNativeError(f"{name}: a dtype for each type is not native")
    return T.ToDtype(t.dtype, scale=getattr(t, "scale", True))


def _normalize(t: Any, state: State) -> T.Transform:
    return T.Normalize([float(m) for m in t.mean], [float(s) for s in t.std])


def _branches(t: Any, state: State) -> list[Any]:
    several = []
    for branch in t.transforms:
        inner = children(branch)
        if inner is None:
            several.append(translate(branch, state))
        else:
            several.append(T.Compose([translate(child, state) for child in inner]))
    return several


def _random_choice(t: Any, state: State) -> T.Transform:
    return T.RandomChoice(_branches(t, state), t.p)


_Translator = Callable[[Any, State], T.Transform | None]

_TRANSLATORS: dict[str, _Translator] = {
    "CenterCrop": lambda t, _: T.CenterCrop(t.size),
    "ColorJitter": _color_jitter,
    "ConvertImageDtype": _to_dtype,
    "Grayscale": lambda t, _: T.Grayscale(t.num_output_channels),
    "Identity": lambda t, _: None,
    "Normalize": _normalize,
    "PILToTensor": _image_to_tensor,
    "Pad": _pad,
    "RGB": lambda t, _: None,  # which decoded images are
    "RandomApply": lambda t, state: T.RandomApply(_branches(t, state), t.p),
    "RandomChoice": _random_choice,
    "RandomCrop": _random_crop,
    "RandomErasing": _random_erasing,
    "RandomGrayscale": lambda t, _: T.RandomGrayscale(t.p),
    "RandomHorizontalFlip": lambda t, _: T.RandomHorizontalFlip(t.p),
    "RandomOrder": lambda t, state: T.RandomOrder(_branches(t, state)),
    "RandomResizedCrop": _random_resized_crop,
    "RandomVerticalFlip": lambda t, _: T.RandomVerticalFlip(t.p),
    "Resize": _resize,
    "ToDtype": _to_dtype,
    "ToImage": _image_to_tensor,
    "ToPureTensor": lambda t, _: None,
    "ToTensor": _to_tensor,
}

NATIVE_NAMES: Sequence[str] = tuple(sorted([*_TRANSLATORS, "Compose"]))
"""The names of torchvision's transforms that have a native counterpart."""


def translate(t: Any, state: State) -> T.Transform | None:
    """The description that does what ``t`` does with an image in ``state``; None: it does nothing.

    Raises:
        NotNativeError: there is none; the text says why.
    """
    if isinstance(t, T.Transform):
        return t
    name = type(t).__name__
    if type(t) is torch.nn.Identity:
        return None
    if not version(t):
        whole = name if not hasattr(t, "__qualname__") else t.__qualname__
        raise NotNativeError(f"{whole}, is a Python callable")
    if isinstance(t, torch.nn.Module) and _has_hooks(t):
        raise NotNativeError(f"{name}, has hooks")
    translator = _TRANSLATORS.get(name)
    if translator is None:
        raise NotNativeError(f"torchvision's {name}, has no native counterpart")
    try:
        return translator(t, state)
    except NotNativeError:
        raise
    except (TypeError, ValueError) as e:
        raise NotNativeError(str(e)) from None


def state_after(t: T.Transform | None, state: State) -> State:
    """What a description leaves of an image in ``state``."""
    if isinstance(t, T.ToTensor) or (
        isinstance(t, (T.ToDtype, T.ConvertImageDtype)) and t.dtype == torch.float32
    ):
        return "float"
    if isinstance(t, (T.ToImage, T.PILToTensor)) and state == "pil":
        return "uint8"
    return state


def folder_problem(dataset: Any) -> str | None:
    """Why a torchvision dataset of files cannot be loaded natively; "" where it can, unless its ``loader``
    says otherwise.

    None: it is no such dataset.
    """
    module = "torchvision.datasets"
    kind = type(dataset)
    base = getattr(sys.modules.get(module), "DatasetFolder", None)
    if base is None or not isinstance(dataset, base):
        return None
    own = kind.__module__.startswith(module)
    for method in ("__getitem__", "__getitems__", "__len__", "__getattribute__"):
        if getattr(kind, method, None) is not getattr(base, method, None):
            return f"{kind.__name__} overrides {method}"
    if not own:
        return f"{kind.__name__} is a class of its own (torchvision's ImageFolder itself would be native)"
    return ""


def is_torchvisions(loader: Any) -> bool:
    """Whether a function is one of those by which torchvision's datasets read images."""
    folder = sys.modules.get("torchvision.datasets.folder")
    if folder is None or getattr(loader, "__globals__", None) is not vars(folder):
        return False
    code: Any = loader.__code__
    return code.co_name in ("default_loader", "pil_loader")
