"""``stoker bench``: how fast the loader is on this machine, and what an image costs.

| workload | what |
| --- | --- |
| W1 | the ImageNet training recipe: RandomResizedCrop(224), flip, normalize, float32 |
| W2 | evaluation: short side to 256, centre crop 224, normalize, float32 |
| W3 | as W1, uint8 out |
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from . import _C
from ._cpus import auto_workers, usable_cores
from .dataloader import DataLoader
from .datasets import IMG_EXTENSIONS, ImageList
from .transforms import (
    CenterCrop,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToDtype,
    Transform,
)

WORKLOADS = ("W1", "W2", "W3")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B


@dataclass(frozen=True)
class BenchResult:
    """One run; times over the timed epochs, after one that warms up.

    Attributes:
        images_per_s: handed over per second.
        cpu_s_per_image: user + system time of the process per image, the consumer's included.
        stage_s_per_image: of that, the workers' time by stage (wall time).
        clock_share: of the CPU time, what measuring it costs: clock readings per image × the measured
            time of one.
        first_batch_s: from making the loader to its first batch, in the warm-up epoch.
        peak_memory_mb: the process's largest resident size, torch included.
        torch_memory_mb: resident size before the loader was made.
    """

    workload: str
    data: str
    images: int
    epochs: int
    workers: int
    batch: int
    images_per_s: float
    cpu_s_per_image: float
    stage_s_per_image: dict[str, float]
    clock_share: float
    first_batch_s: float
    peak_memory_mb: float
    torch_memory_mb: float
    environment: dict[str, Any]


def environment() -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "usable_cores": usable_cores(),
        "simd": _C.simd_target(),
        "pinned_memory": _C.has_pinned_memory(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def workload_transform(name: str) -> Transform:
    """The transforms of a workload. Raises ValueError for an unknown name."""
    normalize = [ToDtype(torch.float32, scale=True), Normalize(_MEAN, _STD)]
    if name == "W1":
        return Compose([RandomResizedCrop(224), RandomHorizontalFlip(), *normalize])
    if name == "W2":
        return Compose([Resize(256), CenterCrop(224), *normalize])
    if name == "W3":
        return Compose([RandomResizedCrop(224), RandomHorizontalFlip()])
    raise ValueError(f"unknown workload {name!r}; these are: {', '.join(WORKLOADS)}")


def find_images(folder: Path) -> list[str]:
    """Every image below ``folder``, by name, sorted. Raises FileNotFoundError where there is none."""
    files = sorted(
        os.path.join(parent, file)
        for parent, _, names in os.walk(folder, followlinks=True)
        for file in names
        if file.lower().endswith(IMG_EXTENSIONS)
    )
    if not files:
        raise FileNotFoundError(f"no images below {folder} (by name: {', '.join(IMG_EXTENSIONS)})")
    return files


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run_bench(
    data: Path,
    workload: str = "W1",
    workers: int | None = None,
    batch: int = 64,
    epochs: int = 3,
    on_batch: Callable[[int, int], None] | None = None,
) -> BenchResult:
    """Iterate over the images below ``data`` and measure.

    Args:
        data: folder, searched deeply.
        workload: "W1", "W2" or "W3".
        workers: threads; None: ``num_workers="auto"``.
        batch: images in a batch.
        epochs: timed passes, after one that is not.
        on_batch: called with (images so far, images in all) after each batch.
    """
    transform = workload_transform(workload)
    files = find_images(data)
    workers = auto_workers() if workers is None else workers
    before_mb = _resident_mb()
    began = time.perf_counter()
    dataset = ImageList(files, [0] * len(files), transform)
    loader = DataLoader(dataset, batch, shuffle=workload != "W2", num_workers=workers)
    total, done = len(files) * (epochs + 1), 0
    first_batch_s = 0.0

    def one_epoch() -> None:
        nonlocal done, first_batch_s
        for images, _ in loader:
            first_batch_s = first_batch_s or time.perf_counter() - began
            done += len(images)
            if on_batch is not None:
                on_batch(done, total)

    one_epoch()
    warm = loader.stats()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(epochs):
        one_epoch()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    images = len(files) * epochs
    stages = loader.stats().stages
    clock_s = _C.spans_per_sample * _C.measure_span_ns(100_000) * 1e-9
    return BenchResult(
        workload=workload,
        data=str(data),
        images=images,
        epochs=epochs,
        workers=workers,
        batch=batch,
        images_per_s=images / wall,
        cpu_s_per_image=cpu / images,
        stage_s_per_image={
            name: (stage.total_s - warm.stages[name].total_s) / images for name, stage in stages.items()
        },
        clock_share=clock_s / (cpu / images),
        first_batch_s=first_batch_s,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        torch_memory_mb=before_mb,
        environment=environment(),
    )


def render_bench(result: BenchResult) -> str:
    """The result in words."""
    env = result.environment
    stages = " · ".join(f"{name} {s * 1e3:.2f}" for name, s in result.stage_s_per_image.items())
    return "\n".join(
        [
            f"{result.workload} on {result.images // result.epochs:,} images from {result.data}",
            f"  {result.images_per_s:,.0f} images/s with {result.workers} workers, batches of {result.batch}",
            f"  {result.cpu_s_per_image * 1e3:.2f} ms CPU per image   (by stage, ms: {stages})",
            f"  of which {result.clock_share:.3%} for measuring it",
            f"  first batch {result.first_batch_s * 1e3:.0f} ms · peak memory {result.peak_memory_mb:.0f} MB,"
            f" of which {result.torch_memory_mb:.0f} MB before the loader was made",
            f"  {env['usable_cores']} usable cores, SIMD {env['simd']}, torch {env['torch']},"
            f" load average {env['load_average']}",
        ]
    )


def as_dict(result: BenchResult) -> dict[str, Any]:
    """The result for JSON."""
    return asdict(result)
