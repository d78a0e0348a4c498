"""Where decode indexes are, and which one a loader uses; ``docs/decode-index.md`` says what they are.

A decode index remembers places inside JPEG files from which decoding can go on, so that a crop
decodes only what it touches. The files themselves stay as they are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import _C
from ._arguments import encoded
from ._index_key import open_index as open_with_key
from ._printable import printable_name

FILE_NAME = "stoker.index"
"""What ``stoker index DIR`` calls the index that it leaves in DIR."""

_NO_LIMIT = 2**62  # of pixels: nothing is decoded for an estimate

IndexLike = str | os.PathLike[str] | None


@dataclass(frozen=True)
class Location:
    """An index file, as a data set sees it.

    Attributes:
        path: the file.
        root: the folder that its names are relative to; b"" for the one that it lies in.
        prefix: what a sample's name begins with in it: b"" or a folder, ending in "/".
    """

    path: bytes
    root: bytes
    prefix: bytes

    @property
    def source(self) -> tuple[bytes, bytes]:
        return self.path, self.prefix


def cache_folder() -> Path:
    """Of indexes that loaders make by themselves: below XDG_CACHE_HOME, by default ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "stoker" / "index"


def key_file() -> Path:
    """The secret that this user's entries are tagged with."""
    return cache_folder().parent / "index.key"


def _real(root: bytes) -> bytes:
    return os.path.realpath(root or b".")


def automatic(root: bytes) -> Location:
    """The index that a loader makes by itself for samples below the folder ``root``."""
    real = _real(root)
    name = os.path.basename(real).decode("utf-8", "replace") or "root"
    readable = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:64]
    file = cache_folder() / f"{readable}-{_C.hash_name(real):016x}.index"
    return Location(os.fsencode(file), real, b"")


def _below(real: bytes, base: bytes) -> bytes | None:
    """What a name begins with in an index of ``base``, for samples in the folder ``real``."""
    if real == base:
        return b""
    inside = base if base.endswith(b"/") else base + b"/"
    return real[len(inside) :] + b"/" if real.startswith(inside) else None


def _and_above(real: bytes) -> Iterator[bytes]:
    yield real
    while (above := os.path.dirname(real)) != real:
        yield above
        real = above


def beside(root: bytes) -> Location | None:
    """The index that ``stoker index`` has left in the folder ``root`` or one above it."""
    real = _real(root)
    for folder in _and_above(real):
        path = os.path.join(folder, os.fsencode(FILE_NAME))
        if not os.path.isfile(path):
            continue
        problem, index_root, _ = _C.index_root(path)
        prefix = _below(real, index_root or folder)
        if not problem and prefix is not None:
            return Location(path, index_root, prefix)
    return None


def _in_file(file: bytes, real: bytes, new: Location) -> Location:
    """The index in ``file``, for samples in the folder ``real``; ``new`` where it is yet to be made."""
    if not os.path.lexists(file):
        return new
    problem, index_root, made_anew = _C.index_root(file)
    if made_anew:
        return new
    if problem:
        raise ValueError(f"{printable_name(os.fsdecode(file))} {problem}")
    return Location(file, index_root, _below(real, index_root or _real(os.path.dirname(file))) or b"")


def left_in(folder: bytes) -> Location:
    """The index that ``stoker index`` leaves in ``folder``, there already or not.

    Raises:
        ValueError: something else has its name.
    """
    real = _real(folder)
    file = os.path.join(real, os.fsencode(FILE_NAME))
    return _in_file(file, real, Location(file, b"", b""))


def named(root: bytes, path: str | os.PathLike[str]) -> Location:
    """The index in the file ``path``, which is made where there is none.

    Names are relative to its root where the samples lie below that; where they do not (a copy of the
    data elsewhere), relative to theirs.

    Raises:
        ValueError: the file is there, but not an index that can be used.
    """
    file = os.path.abspath(encoded(path))
    if os.path.isdir(file):
        raise ValueError(f"index: {printable_name(os.fsdecode(file))} is a folder, not an index file")
    real = _real(root)
    return _in_file(file, real, Location(file, real, b""))


def check(index: IndexLike) -> None:
    """Raises TypeError for what cannot be a loader's ``index``."""
    if index is not None and not isinstance(index, (str, os.PathLike)):
        raise TypeError(f'index must be "auto", a path or None, got {index!r}')
    if index == "":
        raise ValueError('index must be "auto", a path or None, got an empty string')


def open_index(table: _C.SampleTable, index: IndexLike, key: Path | None = None) -> _C.DecodeIndex | None:
    """The decode index for a loader's samples; None where ``index`` is None.

    "auto": the one beside the data first, and one in the cache folder for what that does not have.
    ``key``: where the secret lies, in place of this user's own.
    """
    if index is None:
        return None
    root = table.root
    if index == "auto":
        written = automatic(root)
        first = beside(root)
        sources = ([first.source] if first is not None else []) + [written.source]
        with contextlib.suppress(OSError):  # recording says so when it fails
            os.makedirs(os.path.dirname(written.path), exist_ok=True)
    else:
        written = named(root, index)
        sources = [written.source]
    return open_with_key(key or key_file(), root, sources, True, written.root)


def estimate_savings(
    index: _C.DecodeIndex, table: _C.SampleTable, plan: _C.SamplePlan, images: int
) -> float | None:
    """Share of the entropy-coded data that ``plan`` need not decode thanks to ``index``.

    Of what its samples would have to decode without, over ``images`` of them spread evenly over the
    table, each with one draw of its random numbers. None where none of them has checkpoints.
    """
    builder = _C.IndexBuilder(index, _NO_LIMIT)
    count = min(images, len(table))
    plain = decoded = 0
    for n in range(count):
        sample = builder.estimate(table, n * len(table) // count, plan, n)
        if sample is not None:
            plain += sample[0]
            decoded += sample[1]
    return 1 - decoded / plain if plain > 0 else None
