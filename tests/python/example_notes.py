"""Notes what the loaders of a process give: imported at the start of each process of an example.

For each batch a line of JSON goes to $STOKER_NOTES.RANK: which iterator gave it, of which folder, the
labels, and a checksum of the images. The end of an epoch is a line as well.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import dataloader as torch_dataloader
from torchvision_operators import define_operators


def folder_of(dataset: Any) -> str:
    while not hasattr(dataset, "root") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return Path(getattr(dataset, "root", "")).name


def this_rank() -> int:
    if torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return int(os.environ.get("RANK", "0"))


def write(iterator: Any, **what: Any) -> None:
    line = {"by": type(iterator).__name__, "of": folder_of(iterator._dataset), **what}
    with open(f"{os.environ['STOKER_NOTES']}.{this_rank()}", "a") as file:
        file.write(json.dumps(line) + "\n")


def begin() -> None:
    define_operators()
    torch.set_num_threads(1)
    base = torch_dataloader._BaseDataLoaderIter
    given = base.__next__

    def next_batch(iterator: Any) -> Any:
        try:
            images, labels = batch = given(iterator)
        except StopIteration:
            write(iterator, end=True)
            raise
        pixels = zlib.crc32(images.contiguous().numpy().tobytes())
        write(iterator, end=False, labels=labels.tolist(), pixels=pixels)
        return batch

    base.__next__ = next_batch  # type: ignore[method-assign]
