"""Loops on the native path that wait for their loader, each for another reason."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kit import (
    SkippedError,
    Truth,
    batch_seconds,
    image_list,
    loop,
    native_loader,
    photos,
    sleeping,
    train,
    training_transform,
)
from torch.utils.data import default_collate

from stoker import transforms as T
from stoker._cpus import usable_cores
from stoker.diagnosis import Recording

LARGE = 1600, 1200


@loop("decode, all cores", Truth("loader-bound", "decode", "cores"))
def decode_on_all_cores(data: Path) -> Recording:
    """Large photographs, a worker for each core, a quick step."""
    files = photos(data, *LARGE)
    loader = native_loader(image_list(files, training_transform()), 16, usable_cores())
    train(loader, sleeping(0.002))
    return loader.recording()


@loop("decode, one worker", Truth("loader-bound", "decode", "workers"))
def decode_with_one_worker(data: Path) -> Recording:
    """The same with a single worker, though there are more cores."""
    if usable_cores() < 2:
        raise SkippedError("one core: one worker is all that it takes")
    loader = native_loader(image_list(photos(data, *LARGE), training_transform()), 8, 1)
    train(loader, sleeping(0.002))
    return loader.recording()


@loop("decode, no workers", Truth("loader-bound", "decode", "workers"))
def decode_without_workers(data: Path) -> Recording:
    """num_workers=0: the training loop decodes."""
    loader = native_loader(image_list(photos(data, *LARGE), training_transform()), 8, 0)
    train(loader, sleeping(0.005))
    return loader.recording()


@loop("transform", Truth("loader-bound", "transform", "cores"))
def heavy_transform(data: Path) -> Recording:
    """Small photographs made large: nearly nothing to decode, much to resize; a quick step."""
    dataset = image_list(photos(data, 64, 48), T.Resize((800, 800)))
    loader_s = batch_seconds(native_loader(dataset, 8, usable_cores()))
    loader = native_loader(dataset, 8, usable_cores())
    train(loader, sleeping(0.3 * loader_s))
    return loader.recording()


@loop("validation within the epoch", Truth("loader-bound", "decode"))
def validation_within_the_epoch(data: Path) -> Recording:
    """The loop waits at each step, and once it validates for so long that the workers have time to spare: two
    batches are soon ready. No queue is long enough to use that time for."""
    dataset = image_list(photos(data, 800, 600, 1), T.Compose([T.Resize(224), T.CenterCrop(224)]))
    loader_s = batch_seconds(native_loader(dataset, 8, usable_cores()))
    loader = native_loader(dataset, 8, usable_cores())

    def step(number: int) -> None:
        time.sleep(60 * loader_s if number == 100 else 0.4 * loader_s)

    train(loader, step, seconds=20, batches=150)
    return loader.recording()


@loop("batches of one", Truth("loader-bound", "hand-over", "hand-over"))
def batches_of_one(data: Path) -> Recording:
    """The smallest photographs, one at a time: they are ready when the loop asks, and to take one over takes
    longer than to load it."""
    loader = native_loader(image_list(photos(data, 32, 24), training_transform(32)), 1, usable_cores())
    train(loader, lambda number: None)
    return loader.recording()


class Fetching:
    """A dataset whose samples come from slow code of its own."""

    def __init__(self, files: list[Path], transform: Any) -> None:
        self.content = [file.read_bytes() for file in files]
        self.transform = transform

    def __len__(self) -> int:
        return 100_000

    def stoker_sample(self, index: int) -> tuple[bytes, int]:
        time.sleep(0.004)  # as a database answers
        return self.content[index % len(self.content)], 0

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("the native path asks for stoker_sample only")


@loop("slow stoker_sample", Truth("loader-bound", "fetch", "fetch"))
def slow_stoker_sample(data: Path) -> Recording:
    """Samples that a database hands over one by one, in the training loop's thread."""
    loader = native_loader(Fetching(photos(data, 160, 120), training_transform(96)), 8, 2)
    train(loader, sleeping(0.005))
    return loader.recording()


def slow_collate(samples: list[Any]) -> Any:
    """As one that mixes the samples of a batch."""
    batch = default_collate(samples)
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        batch[0].float().sum()
    return batch


@loop("slow collate_fn", Truth("loader-bound", "collate", "collate"))
def slow_collate_fn(data: Path) -> Recording:
    """On the native path it runs in the training loop's thread, however many workers there are."""
    dataset = image_list(photos(data, 160, 120), training_transform(96))
    loader = native_loader(dataset, 8, 2, collate_fn=slow_collate)
    train(loader, sleeping(0.005))
    return loader.recording()


@loop("two loaders, the slow one", Truth("loader-bound", "decode", "workers"), which=0)
@loop("two loaders, the quick one", Truth("accelerator-bound"), which=1)
def two_loaders(data: Path, which: int) -> Recording:
    """Training waits for its loader, validation in between does not wait for its own."""
    if usable_cores() < 2:
        raise SkippedError("one core: one worker is all that it takes")
    slow = native_loader(image_list(photos(data, *LARGE), training_transform()), 8, 1)
    quick = native_loader(image_list(photos(data, 160, 120), training_transform(96)), 8, 1)
    for _ in range(4):
        train(slow, sleeping(0.005), 1.0)
        train(quick, sleeping(0.03), 0.5)
    return (slow, quick)[which].recording()
