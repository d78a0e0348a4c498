"""Whether torchvision and Pillow read images as they were made to, or as a script has told them to.

Scripts change how images are read by replacing functions of those modules. The core knows only what these
do by themselves; where one was replaced, Python reads.
"""

from __future__ import annotations

import builtins
import io
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from .datasets import MAX_PIXELS

_FOLDER = "torchvision.datasets.folder"

# The formats that the core reads, and how their files begin.
_BEGINS = {
    "BMP": b"BM" + bytes(14),
    "JPEG": b"\xff\xd8\xff\xe0" + bytes(12),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(8),
    "PPM": b"P6 16 16 255\n" + bytes(3),
    "TIFF": b"II*\0\x08\0\0\0" + bytes(8),
    "WEBP": b"RIFF\x40\0\0\0WEBPVP8 ",
}
# Of an image's classes, what has to do with reading it and with torchvision's transforms of it.
_METHODS = (
    "__init__", "_open", "_new", "_prepare", "_seek", "convert", "copy", "crop", "draft", "load", "load_end",
    "load_prepare", "load_read", "load_seek", "resize", "transpose",
)  # fmt: skip
# Functions that Image.open calls, and itself.
_FUNCTIONS = ("_decompression_bomb_check", "fromarray", "init", "open", "preinit")


def is_made_in(function: Any, module: str) -> bool:
    """Whether a function is one that ``module`` itself defines. (Its name would not tell: functools.wraps
    gives a wrapper the name of what it wraps.)"""
    return isinstance(function, FunctionType) and function.__globals__ is vars(sys.modules[module])


def _only_watches(function: Any) -> bool:
    """Whether it is what ``stoker diagnose`` puts around a method to see which files are opened."""
    made_in = getattr(function, "__globals__", {})
    return bool(made_in.get("__name__") == "stoker.diagnosis.worker_files")


def _is(function: Any, module: str, name: str) -> bool:
    return is_made_in(function, module) and function.__code__.co_name == name


def folder_problem(dataset: Any) -> str:
    """Why the core cannot read what a torchvision dataset of files reads; "" where it can."""
    folder, loader, kind = sys.modules[_FOLDER], dataset.loader, type(dataset)
    if not is_made_in(kind.__getitem__, _FOLDER):
        return f"{kind.__name__}.__getitem__ was replaced"
    if _is(loader, _FOLDER, "default_loader"):
        if sys.modules["torchvision"].get_image_backend() != "PIL":
            return "torchvision's image backend is not PIL"
        if not _is(vars(folder).get("pil_loader"), _FOLDER, "pil_loader"):
            return f"{_FOLDER}.pil_loader was replaced"
    elif not _is(loader, _FOLDER, "pil_loader"):
        return f"{kind.__name__} has a loader of its own"
    if "open" in vars(folder):
        return f"{_FOLDER}.open was replaced"
    if vars(folder).get("Image") is not sys.modules["PIL.Image"]:
        return f"{_FOLDER}.Image was replaced"
    return reading_problem()


def reading_problem() -> str:
    """What was replaced of Pillow or Python by which files are read; "" where nothing was."""
    if builtins.open is not io.open:
        return "Python's open was replaced"
    image = sys.modules["PIL.Image"]
    for name in _FUNCTIONS:
        if not _is(vars(image).get(name), "PIL.Image", name):
            return f"PIL.Image.{name} was replaced"
    return next(_plugin_problems(image), "")


def _plugin_problems(image: Any) -> Iterator[str]:
    known = set(_BEGINS) if getattr(image, "_initialized", 0) >= 2 else set()
    for name in sorted(known - set(image.ID)):
        yield f"Pillow's reader of {name} was taken away"
    classes = {image.Image}
    for name in image.ID:
        factory, accept = image.OPEN.get(name, (None, None))
        module = getattr(factory, "__module__", "")
        if module.startswith("PIL."):
            if name in _BEGINS:
                classes.update(_classes_of(factory, module))
        elif name in _BEGINS:
            yield f"Pillow's reader of {name} was replaced"
        elif any(_accepts(accept, begin) for begin in _BEGINS.values()):
            yield f"a plug-in of Pillow, {name}, reads the formats that the core reads"
    for kind in classes:
        for method in _METHODS:
            function = vars(kind).get(method)
            if function is None or _only_watches(function):
                continue
            if not is_made_in(function, kind.__module__):
                yield f"{kind.__module__}.{kind.__name__}.{method} was replaced"


def _classes_of(factory: Any, module: str) -> list[type]:
    """The classes of the images that a reader makes; JPEG's is a function beside its class."""
    found = factory if isinstance(factory, type) else getattr(sys.modules[module], "JpegImageFile", object)
    return [kind for kind in found.__mro__ if kind.__module__.startswith("PIL.")]


def _accepts(accept: Any, begin: bytes) -> bool:
    """Whether a plug-in would try a file that begins so; where it says why not, it says so in words."""
    if accept is None:
        return True
    try:
        answer = accept(begin)
    except Exception:
        return True  # nobody knows
    return bool(answer) and not isinstance(answer, str)


def pixel_limit() -> int:
    """The largest image that the core reads for torchvision's datasets, by Pillow's MAX_IMAGE_PIXELS: what is
    larger Pillow reads by itself, which warns of it or refuses it as it was told to."""
    image: Any = sys.modules["PIL.Image"]
    limit = image.MAX_IMAGE_PIXELS
    if limit is None:
        return MAX_PIXELS
    return int(max(0, min(limit, MAX_PIXELS)))


def is_about_size(error: Exception) -> bool:
    """Whether Pillow refuses an image for its size (where warnings are errors, by one)."""
    image: Any = sys.modules["PIL.Image"]
    return isinstance(error, (image.DecompressionBombError, image.DecompressionBombWarning))
