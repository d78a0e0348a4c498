"""Loops on the Python path: worker processes, and code of the script's own."""

from __future__ import annotations

import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from kit import ROWS, Truth, image_list, loop, photos, sleeping, train, training_transform
from torch.utils.data import default_collate

from stoker import DataLoader
from stoker import transforms as T
from stoker._cpus import usable_cores
from stoker.diagnosis import Recording


def burn(seconds: float) -> None:
    """Computes for so long, on a core: by CPU time, so that it is the same work on a busy machine."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def slow_transform(image: torch.Tensor) -> torch.Tensor:
    burn(0.01)
    return image


@loop("Python transform", Truth("loader-bound", "python", "cores"))
def python_transform(data: Path) -> Recording:
    """A slow function of the script's own between known transforms, in two worker processes."""
    transform = T.Compose([T.RandomResizedCrop(96), T.PILToTensor(), slow_transform])
    loader = DataLoader(image_list(photos(data, 160, 120), transform), 8, num_workers=2)
    train(loader, sleeping(0.002))
    return loader.recording()


class Numbers:
    """A dataset that takes its time for some of its samples.

    Args:
        slow: of a batch's number, the seconds that each of its samples sleeps, and those that it computes.
    """

    def __init__(self, batch_size: int, slow: Any) -> None:
        self.batch_size = batch_size
        self.slow = slow

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> torch.Tensor:
        asleep_s, busy_s = self.slow(index // self.batch_size)
        if asleep_s:
            time.sleep(asleep_s)
        burn(busy_s)
        return torch.full((1000,), float(index))


@loop("Python, remote samples", Truth("loader-bound", "python", "asleep"))
def remote_samples(data: Path) -> Recording:
    """__getitem__ waits for a server."""
    loader: Any = DataLoader(Numbers(8, lambda batch: (0.02, 0.0002)), 8, num_workers=2)
    train(loader, sleeping(0.005))
    return loader.recording()


@loop("Python, one worker", Truth("loader-bound", "python", "workers"))
def python_without_enough_workers(data: Path) -> Recording:
    """__getitem__ computes, in the only worker process."""
    loader: Any = DataLoader(Numbers(8, lambda batch: (0, 0.006)), 8, num_workers=1)
    train(loader, sleeping(0.005))
    return loader.recording()


def slow_collate(samples: list[Any]) -> Any:
    burn(0.06)
    return default_collate(samples)


@loop("Python, collate_fn", Truth("loader-bound", "collate", "cores"))
def collating(data: Path) -> Recording:
    """A collate_fn that takes longer than all samples together."""
    dataset = Numbers(8, lambda batch: (0, 0.0005))
    loader: Any = DataLoader(dataset, 8, num_workers=2, collate_fn=slow_collate)
    train(loader, sleeping(0.002))
    return loader.recording()


@loop("Python, bursts", Truth("bursty", "python", period=8))
def python_bursts(data: Path) -> Recording:
    """Every eighth batch waits for a server."""
    dataset = Numbers(4, lambda batch: (0.08 if batch % 8 == 7 else 0.0, 0.0005))
    loader: Any = DataLoader(dataset, 4, num_workers=2)
    train(loader, sleeping(0.02))
    return loader.recording()


class ManyTensors(Numbers):
    """Samples of a hundred small tensors, which are quickly made."""

    def __getitem__(self, index: int) -> Any:
        return list(torch.zeros(100, 4))


def as_they_are(samples: list[Any]) -> list[Any]:
    return samples


@loop("Python, many small tensors", Truth("loader-bound", "hand-over", "hand-over"))
def handing_over(data: Path) -> Recording:
    """The workers have little to do, and each batch hundreds of tensors to be handed over one by one."""
    dataset = ManyTensors(8, None)
    loader: Any = DataLoader(dataset, 8, num_workers=2, collate_fn=as_they_are)
    train(loader, sleeping(0.002))
    return loader.recording()


class Packed(Numbers):
    """Samples that a pool of threads computes, as OpenCV and OpenMP have one in each process."""

    pool: ThreadPoolExecutor | None = None

    def __getitem__(self, index: int) -> torch.Tensor:
        threads = 4 * usable_cores()
        if self.pool is None:  # in the worker: threads do not survive a fork
            self.pool = ThreadPoolExecutor(threads)
        text = bytes(range(256)) * 200
        return torch.tensor([len(packed) for packed in self.pool.map(zlib.compress, [text] * threads)])


@loop("Python, threads in the workers", Truth("loader-bound", "python", "oversubscription"))
def threads_in_the_workers(data: Path) -> Recording:
    """A worker process for each core, and in each of them more threads than there are cores."""
    loader: Any = DataLoader(Packed(8, None), 8, num_workers=usable_cores())
    train(loader, sleeping(0.002))
    return loader.recording()


def slow_init(worker: int) -> None:
    time.sleep(1.5)


@loop("cold start", Truth("start-up"))
def cold_start(data: Path) -> Recording:
    """Workers that take long to begin, as those that open a large archive, and are quick from then on."""
    dataset = image_list(photos(data, 160, 120), T.Compose([training_transform(96), lambda image: image]))
    loader = DataLoader(dataset, 8, num_workers=2, worker_init_fn=slow_init)
    train(loader, sleeping(0.1), 4.5)
    return loader.recording()


def late_init(worker: int) -> None:
    time.sleep(0.6)


@loop("Python, late and in epochs", Truth("loader-bound", "python", "asleep"))
def late_and_in_epochs(data: Path) -> Recording:
    """Workers that begin late, and a validation between short epochs: time in which there are no workers, and
    which must not pass for time that they had to spare. 20 ms a batch, and a step of 13 ms."""
    dataset = Numbers(4, lambda batch: (0.01, 0.0001))
    loader: Any = DataLoader(dataset, 4, num_workers=2, worker_init_fn=late_init)
    for _ in range(2):
        train(loader, sleeping(0.013), batches=50)
        time.sleep(0.5)
    return loader.recording()
