"""Loops in which the step's time matters: against the loader's, in bursts, or oddly."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from kit import (
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
from PIL import Image

from stoker import ImageList
from stoker import transforms as T
from stoker._cpus import usable_cores
from stoker.diagnosis import Recording


@loop("step 0.25 × loader", Truth("loader-bound", "decode"), ratio=0.25)
@loop("step 0.5 × loader", Truth("loader-bound", "decode"), ratio=0.5)
@loop("step 1 × loader", Truth("balanced"), ratio=1.0)
@loop("step 2 × loader", Truth("accelerator-bound"), ratio=2.0)
@loop("step 4 × loader", Truth("accelerator-bound"), ratio=4.0)
def step_against_loader(data: Path, ratio: float) -> Recording:
    """The step takes so many times as long as the loader alone, measured a moment before."""
    dataset = image_list(photos(data, 800, 600, 1), T.Compose([T.Resize(224), T.CenterCrop(224)]))
    # Large batches: a sleep takes 0.1 ms longer than it was asked to.
    step_s = ratio * batch_seconds(native_loader(dataset, 32, usable_cores()))
    loader = native_loader(dataset, 32, usable_cores())
    train(loader, sleeping(step_s), batches=400)
    return loader.recording()


@loop("training on the CPU", Truth("accelerator-bound"))
def training_on_the_cpu(data: Path) -> Recording:
    """The step is torch's own computing, on a core of this machine; a light loader beside it."""
    torch.set_num_threads(1)
    loader = native_loader(image_list(photos(data, 160, 120), training_transform(96)), 8, 1)
    weights = torch.rand(1200, 1200)

    def step(number: int) -> None:
        torch.linalg.multi_dot([weights, weights, weights])

    train(loader, step)
    return loader.recording()


@loop("compilations", Truth("loader-bound", "decode", "cores", evidence="left out"))
def compilations(data: Path) -> Recording:
    """Two of the first steps take a second and more, as those do that compile the model; behind them the
    loader is too slow."""
    loader = native_loader(image_list(photos(data, 800, 600), training_transform()), 8, usable_cores())

    def step(number: int) -> None:
        time.sleep({1: 1.5, 5: 1.2}.get(number, 0.002))

    train(loader, step, 6)
    return loader.recording()


@loop("bursts", Truth("bursty", "decode", period=8))
def bursts(data: Path) -> Recording:
    """Every eighth batch is of large photographs, which the loader is too slow for."""
    size, period = 8, 8
    large, small = photos(data, 1600, 1200), photos(data, 160, 120)
    transform = training_transform(96)
    slow_s = batch_seconds(native_loader(image_list(large, transform), size, usable_cores()), 0.6)
    cycle = (small * period * size)[: (period - 1) * size] + (large * size)[:size]
    dataset = ImageList(cycle * 500, [0] * len(cycle) * 500, transform)
    loader = native_loader(dataset, size, usable_cores())
    train(loader, sleeping(slow_s / 4))
    return loader.recording()


@loop("one slow file", Truth("bursty", "one sample", period=0, evidence="photo.jpg) took"))
def one_slow_file(data: Path) -> Recording:
    """One of a thousand photographs is huge, and progressive, so that all of it has to be decoded."""
    small = photos(data, 160, 120)
    huge = data / "photo.jpg"
    if not huge.exists():
        Image.open(photos(data, 5000, 4000, 1)[0]).save(huge, quality=90, progressive=True)
    files = small * 250
    files[537] = huge
    loader = native_loader(ImageList(files, [0] * 1000, training_transform(96)), 10, 2)
    train(loader, sleeping(0.01), seconds=20)
    return loader.recording()


@loop("blocks every 8th step", Truth("bursty", period=8))
def blocks_now_and_then(data: Path) -> Recording:
    """Seven steps that take no time and one that takes eight times as long as a usual one.

    The loader needs 0.6 of a mean step for a batch, but only two batches may lie ready, so it idles in the
    long step and is waited for in the short ones. That time is really lost, and more workers are not what
    is missing: with more batches ahead nothing would be lost. So neither loader-bound nor accelerator-bound
    is true; bursty is.
    """
    dataset = image_list(photos(data, 800, 600, 1), T.Compose([T.Resize(224), T.CenterCrop(224)]))
    mean_s = batch_seconds(native_loader(dataset, 8, usable_cores())) / 0.6
    loader = native_loader(dataset, 8, usable_cores())

    def step(number: int) -> None:
        if number % 8 == 7:
            time.sleep(8 * mean_s)

    train(loader, step)
    return loader.recording()
