"""What the decode index saves: CPU time of reading and decoding a sample with it, of what it takes
without, over the crop's part of the image, the image's size and the index's share of the files.

    python tests/bench/index_savings.py PHOTOS

Makes images of each size from the photographs in PHOTOS (JPEG, quality 90, 4:4:4 and 4:2:0 in turn),
and prints one line of JSON: {"whole_ms": {"MEGAPIXELS": ms}, "ratio": {"MEGAPIXELS": {"CROP":
{"SHARE": ratio}}}}. Times are CPU time in one thread, least of several passes for each image; crops
are of a random place, the same ones with and without.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

import stoker
from stoker import _C
from stoker import transforms as T
from stoker.datasets import NativeDataset

MEGAPIXELS = (0.05, 0.2, 0.8, 3.0)
CROPS = (0.05, 0.25, 0.5, 0.75, 1.0)  # of the image's area
SHARES = (0.0025, 0.005, 0.0098, 0.02, 0.04)  # of the file's bytes


def make_images(photos: Path, megapixels: float, count: int, folder: Path) -> NativeDataset:
    """``count`` images, each of its own width and height in the same number of pixels."""
    files = []
    for i, photo in enumerate(sorted(photos.rglob("*.*"))[:: 500 // count][:count]):
        with Image.open(photo) as image:
            scale = math.sqrt(megapixels * 1e6 / (image.width * image.height))
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            files.append(folder / f"{megapixels}-{i}.jpg")
            resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
            resized.save(files[-1], quality=90, subsampling=2 * (i % 2))
        os.utime(files[-1], (1e9, 1e9))  # a file that was changed a moment ago gets no entry
    return stoker.ImageList(files, [0] * len(files))


def index_of(dataset: NativeDataset, share: float, folder: Path) -> _C.DecodeIndex:
    table = dataset._table
    file = os.fsencode(folder / f"{share}-{len(os.listdir(folder))}.index")
    index = _C.DecodeIndex(table.root, [(file, b"")], True, table.root, share, bytes(16))
    _C.IndexBuilder(index, 2**40).build(table, 0, len(table))
    index.flush(True)
    return index


class Timed:
    """Batches of one image, in this thread; its least time over the passes."""

    def __init__(self, dataset: NativeDataset, index: _C.DecodeIndex | None) -> None:
        parts = [(0, dataset.sample_plan())]
        samples = _C.SampleSet(dataset._table, parts, None, len(dataset))
        self.core = _C.Loader(samples, 0, 1, False, index)
        self.count = len(dataset)
        self.least = [math.inf] * self.count

    def one_pass(self) -> None:
        self.core.start_epoch(7, 0)
        for i in range(self.count):
            began = time.thread_time()
            self.core.submit([i])
            while not self.core.wait(1.0):
                pass
            self.core.next()
            self.least[i] = min(self.least[i], time.thread_time() - began)

    @property
    def seconds(self) -> float:
        return sum(self.least)


def measure(photos: Path, images: int, passes: int) -> dict[str, object]:
    whole: dict[str, float] = {}
    ratio: dict[str, dict[str, dict[str, float]]] = {}
    for megapixels in MEGAPIXELS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            dataset = make_images(photos, megapixels, images, folder)
            indexes = {share: index_of(dataset, share, folder) for share in SHARES}
            rows = ratio.setdefault(f"{megapixels:g}", {})
            for crop in CROPS:
                # The aspect ratio of most photographs, so that large crops fit.
                recipe = T.RandomResizedCrop(64, scale=(crop, crop), ratio=(1.3, 1.36))
                dataset.transform = recipe if crop < 1 else T.Resize((64, 64))
                plain = Timed(dataset, None)
                indexed = {share: Timed(dataset, index) for share, index in indexes.items()}
                for _ in range(passes):
                    for timed in (plain, *indexed.values()):
                        timed.one_pass()
                rows[f"{crop:g}"] = {
                    f"{share:g}": round(timed.seconds / plain.seconds, 3) for share, timed in indexed.items()
                }
                if crop == 1:
                    whole[f"{megapixels:g}"] = round(plain.seconds / plain.count * 1e3, 3)
    return {"whole_ms": whole, "ratio": ratio}


def keep_memory() -> None:
    """Have malloc keep what is freed: or a loader's buffers cost page faults, or not, by chance."""
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 32 << 20)
    libc.mallopt(trim_threshold, 2**31 - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--passes", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    print(json.dumps(measure(args.photos, args.images, args.passes)))


if __name__ == "__main__":
    main()
