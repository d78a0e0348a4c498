"""What users hand over, checked before it reaches the core: errors speak of their argument, in words."""

from __future__ import annotations

import operator
import os
from typing import Any

_INT64 = range(-(2**63), 2**63)


def expanded(path: str | bytes | os.PathLike[Any]) -> Any:
    """A path as str or bytes, "~" at its beginning replaced by the home folder."""
    return os.path.expanduser(os.fspath(path))


def encoded(path: str | bytes | os.PathLike[Any]) -> bytes:
    """``expanded``, as the file system has it."""
    name = os.fsencode(path)
    return os.path.expanduser(name) if name.startswith(b"~") else name


def sample_index(index: Any, size: int) -> int:
    """A sample's index, counted from the front.

    Raises:
        TypeError: it is no int.
        IndexError: there is no such sample.
    """
    try:
        number = operator.index(index)
    except TypeError:
        raise TypeError(f"a sample's index must be an int, got {index!r}") from None
    if not -size <= number < size:
        raise IndexError(f"sample {number} of a dataset of {size}")
    return number % size


def label_of(label: Any, path: bytes) -> int:
    """A label that the table can hold."""
    if isinstance(label, bool) or not hasattr(label, "__index__"):
        raise TypeError(f"labels must be ints, got {label!r} for {os.fsdecode(path)}")
    number = operator.index(label)
    if number not in _INT64:
        raise ValueError(f"labels must fit 64 bits, got {number} for {os.fsdecode(path)}")
    return number


def pixel_count(max_pixels: Any) -> int:
    """The most pixels that an image may have."""
    if isinstance(max_pixels, bool) or not hasattr(max_pixels, "__index__"):
        raise TypeError(f"max_pixels must be an int, got {max_pixels!r}")
    number = operator.index(max_pixels)
    if not 0 <= number < 2**63:
        raise ValueError(f"max_pixels must be at least 0 and fit 63 bits, got {number}")
    return number


def indices_problem(indices: list[Any]) -> Exception | None:
    """What is wrong with the indices that a sampler gave; None where they are ints."""
    for index in indices:
        try:
            number = operator.index(index)
        except TypeError:
            return TypeError(f"the sampler gave {index!r}, but a sample's index must be an int")
        if number not in _INT64:
            return IndexError(f"the sampler gave {number}, and there is no such sample")
    return None


def sample_problem(samples: list[Any]) -> str:
    """The first of a dataset's samples that the table cannot hold, in words; "" where that is not found."""
    for index, sample in enumerate(samples):
        what = f"sample {index:,} is {sample!r}"
        try:
            path, label = sample
            os.fsencode(path)
        except (TypeError, ValueError):
            return what
        if not hasattr(label, "__index__"):
            return what
        if operator.index(label) not in _INT64:
            return f"{what}, and the label does not fit 64 bits"
    return ""
