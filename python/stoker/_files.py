"""Finding images in folders, by their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ._printable import printable_name
from .datasets import IMG_EXTENSIONS


def image_paths(folder: Path) -> Iterator[bytes]:
    """Every image below ``folder``, links to folders followed, each folder's own files first.

    Raises, once it is asked for the first: FileNotFoundError where there is none,
    NotADirectoryError where ``folder`` is no folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{printable_name(str(folder))} is not a folder")
    none = True
    for parent, folders, names in os.walk(os.fsencode(folder), followlinks=True):
        folders.sort()
        for name in sorted(names):
            if name.decode("utf-8", "replace").lower().endswith(IMG_EXTENSIONS):
                none = False
                yield os.path.join(parent, name)
    if none:
        raise FileNotFoundError(
            f"no images below {printable_name(str(folder))} (by name: {', '.join(IMG_EXTENSIONS)})"
        )


def find_images(folder: Path) -> list[str]:
    """Every image below ``folder``, sorted. Raises as ``image_paths`` does."""
    return sorted(map(os.fsdecode, image_paths(folder)))
