"""Images of which some cannot be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.utils.data as torch_data
from conftest import write_photos
from python_datasets import Opaque

from stoker import ImageList
from stoker import transforms as T

BAD = (3, 10, 11, 12, 13, 22)  # 10 to 13: all but two of a batch of six
SAMPLES = 24


def bad_images(folder: Path) -> ImageList:
    """In ``folder``, those of BAD damaged or missing; a sample's label is its number."""
    paths = write_photos(folder, SAMPLES)
    for n in BAD:
        paths[n].write_bytes(b"no image" if n != 22 else paths[0].read_bytes()[:200])
    paths[3].unlink()
    return ImageList(paths, range(SAMPLES), [T.RandomResizedCrop(8), T.RandomHorizontalFlip()])


def either(images: ImageList, path: str) -> Any:
    """The images on that path."""
    return images if path == "native" else Opaque(images)


class Fussy(torch_data.Dataset[int]):
    """Raises KeyError for 1, 5 and 9, of ten."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        if index % 4 == 1:
            raise KeyError(f"nothing under {index}")
        return index
