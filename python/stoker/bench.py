"""``stoker bench``: how fast the loader is on this machine, and what an image costs.

| workload | what |
| --- | --- |
| W1 | the ImageNet training recipe: RandomResizedCrop(224), flip, normalize, float32 |
| W2 | evaluation: short side to 256, centre crop 224, normalize, float32 |
| W3 | as W1, uint8 out |
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import RandomSampler

from . import _C
from ._cpus import auto_workers, usable_cores
from ._files import find_images
from ._words import counted
from .dataloader import DataLoader, PixelMode
from .datasets import ImageList
from .index import IndexLike
from .stats.device import accelerator_available
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


@dataclass(frozen=True)
class Accelerator:
    """A training step that a loader is to feed, as MLPerf Storage emulates it for ResNet-50."""

    name: str
    batch: int
    step_s: float

    @property
    def images_per_s(self) -> float:
        return self.batch / self.step_s


ACCELERATORS = {"h100": Accelerator("h100", batch=400, step_s=0.224)}
PASSING_UTILISATION = 0.90  # MLPerf Storage's bar for this model
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B


@dataclass(frozen=True)
class Emulation:
    """A run against emulated accelerators, which take a batch and compute (sleep) for a step.

    Attributes:
        accelerator, batch: which, and its batch.
        accelerators: how many take turns.
        utilisation: share of the time that they computed; the rest they waited for the loader.
        passes: whether that reaches 0.90.
        fed: accelerators that the loader's free-running speed keeps busy all the time.
    """

    accelerator: str
    batch: int
    accelerators: int
    utilisation: float
    passes: bool
    fed: float


@dataclass(frozen=True)
class BenchResult:
    """One run; times over the timed epochs, after one that warms up.

    Attributes:
        images_per_s: handed over per second.
        cpu_s_per_image: user + system time of the process per image, the consumer's included.
        stage_s_per_image: the workers' time by stage, with that in which they had no core or slept: on a busy
            machine, and with more workers than cores, more than the CPU time.
        no_core_s_per_image, asleep_s_per_image: of it, ready to run without a core, and asleep in a read.
        clock_share: of the CPU time, what measuring it costs: clock readings, and readings of the threads'
            use of their cores, per image × the measured time of one.
        first_batch_s: from making the loader to its first batch, in the warm-up epoch.
        peak_memory_mb: the process's largest resident size, torch included.
        torch_memory_mb: resident size before the loader was made.
        index_share: share of the samples that used the decode index.
        index_saved: share of their entropy decoding that it saved them.
        emulation: the run against emulated accelerators, where one was asked for.
    """

    workload: str
    pixels: str
    data: str
    images: int
    epochs: int
    workers: int
    batch: int
    images_per_s: float
    cpu_s_per_image: float
    stage_s_per_image: dict[str, float]
    no_core_s_per_image: float
    asleep_s_per_image: float
    clock_share: float
    first_batch_s: float
    peak_memory_mb: float
    torch_memory_mb: float
    index_share: float
    index_saved: float
    emulation: Emulation | None
    environment: dict[str, Any]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _cpu_model() -> str:
    """As the kernel names it; where it does not (on Arm), the architecture."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _accelerator() -> str:
    """The accelerators that torch can use, in words."""
    if not accelerator_available():
        return "none"
    try:
        device = torch.accelerator.current_accelerator()
        count = torch.accelerator.device_count()
        if device is None or count == 0:
            return "none"
        name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    except Exception as error:  # a driver that does not start
        return f"cannot be used: {error}"
    return f"{count} × {name}" if count > 1 else name


def environment() -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": _version("torchvision"),
        "os": f"{_os_name()}, {platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "accelerator": _accelerator(),
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


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run_bench(
    data: Path,
    workload: str = "W1",
    workers: int | None = None,
    batch: int = 64,
    epochs: int = 3,
    pixels: PixelMode = "fast",
    emulate: str | None = None,
    index: IndexLike = "auto",
    on_batch: Callable[[int, int], None] | None = None,
) -> BenchResult:
    """Iterate over the images below ``data`` and measure.

    Args:
        data: folder, searched deeply.
        workload: "W1", "W2" or "W3".
        workers: threads; None: ``num_workers="auto"``.
        batch: images in a batch.
        epochs: timed passes, after one that is not.
        pixels: the loader's pixel mode.
        index: the loader's decode index; what "auto" lacks is made in the epoch that warms up.
        emulate: also run against this accelerator, one of ACCELERATORS, with its own batch size.
        on_batch: called with (images so far, images in all) after each batch.
    """
    if emulate is not None and emulate not in ACCELERATORS:
        raise ValueError(f"unknown accelerator {emulate!r}; these are: {', '.join(ACCELERATORS)}")
    transform = workload_transform(workload)
    files = find_images(data)
    workers = auto_workers() if workers is None else workers
    before_mb = _resident_mb()
    began = time.perf_counter()
    dataset = ImageList(files, [0] * len(files), transform)
    loader = DataLoader(
        dataset, batch, shuffle=workload != "W2", num_workers=workers, pixels=pixels, index=index
    )
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
    stats = loader.stats()
    stages = stats.stages
    # The cheapest of ten: another program on the core makes a clock's reading dearer, never cheaper.
    span_ns = min(_C.measure_span_ns(10_000) for _ in range(10))
    usage_ns = min(_C.measure_usage_ns(1_000) for _ in range(10))
    clock_s = (_C.spans_per_sample * span_ns + _C.usages_per_sample * usage_ns) * 1e-9
    # Before a larger batch's run. The kernel's record of the peak lags a little behind the present size.
    peak_mb = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, _resident_mb(), before_mb)
    emulation = None
    if emulate is not None:
        emulation = emulate_accelerators(ACCELERATORS[emulate], dataset, workers, pixels, images / wall)
    return BenchResult(
        workload=workload,
        pixels=pixels,
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
        no_core_s_per_image=(stats.usage.no_core_s - warm.usage.no_core_s) / images,
        asleep_s_per_image=(stats.usage.asleep_s - warm.usage.asleep_s) / images,
        clock_share=clock_s / (cpu / images),
        first_batch_s=first_batch_s,
        peak_memory_mb=peak_mb,
        torch_memory_mb=before_mb,
        index_share=(stats.index.used - warm.index.used) / images,
        index_saved=stats.index.saved_share,
        emulation=emulation,
        environment=environment(),
    )


def emulate_accelerators(
    accelerator: Accelerator,
    dataset: ImageList,
    workers: int,
    pixels: PixelMode,
    images_per_s: float,
    seconds: float = 5.0,
) -> Emulation:
    """Feed as many emulated accelerators as the loader's free-running speed suggests, at least one."""
    fed = images_per_s / accelerator.images_per_s
    count = max(1, int(fed / PASSING_UTILISATION))
    step_s = accelerator.step_s / count  # they take turns
    endless = RandomSampler(dataset, replacement=True, num_samples=2**40)
    loader = DataLoader(dataset, accelerator.batch, sampler=endless, num_workers=workers, pixels=pixels)
    batches = iter(loader)
    next(batches)  # the first batch has nothing computed ahead of it
    began = due = now = time.perf_counter()
    steps = 0
    while steps < 10 or now < began + seconds:
        next(batches)
        due = max(due, time.perf_counter()) + step_s
        time.sleep(max(0.0, due - time.perf_counter()))
        now = time.perf_counter()
        steps += 1
    utilisation = steps * step_s / (now - began)
    return Emulation(
        accelerator=accelerator.name,
        batch=accelerator.batch,
        accelerators=count,
        utilisation=min(1.0, utilisation),
        passes=utilisation >= PASSING_UTILISATION,
        fed=fed,
    )


def default_sweep() -> list[int]:
    """Worker counts worth trying here: 1, 2, 4 … up to the usable cores."""
    cores = usable_cores()
    counts = [1]
    while counts[-1] * 2 < cores:
        counts.append(counts[-1] * 2)
    return counts if cores == 1 else [*counts, cores]


def _title(result: BenchResult) -> str:
    per_epoch = result.images // result.epochs
    return f"{result.workload}, {result.pixels} pixels, on {counted(per_epoch, 'image')} from {result.data}"


def render_sweep(results: Sequence[BenchResult]) -> str:
    """A table of runs that differ in their worker count."""
    first = results[0]
    lines = [
        _title(first),
        "  workers   images/s   against 1 worker   CPU ms per image",
    ]
    base = first.images_per_s / max(1, first.workers)
    lines += [
        f"  {r.workers:7d}   {r.images_per_s:8,.0f}   {r.images_per_s / base:13.2f} ×   "
        f"{r.cpu_s_per_image * 1e3:16.2f}"
        for r in results
    ]
    return "\n".join(lines)


def _emulation_line(e: Emulation) -> str:
    """How busy emulated accelerators were kept, and how many the loader alone could keep busy."""
    name = e.accelerator.upper()
    whom = f"an emulated {name} was" if e.accelerators == 1 else f"{e.accelerators} emulated {name} were"
    verdict = "enough" if e.passes else "too little"
    return (
        f"  {whom} busy {e.utilisation:.0%} of the time, with batches of {e.batch}: {verdict}"
        f" (MLPerf Storage asks for {PASSING_UTILISATION:.0%})\n"
        f"  at its full speed the loader is fast enough for {e.fed:.2f} {name}"
    )


def _index_line(result: BenchResult) -> str:
    return (
        f"  decode index: {result.index_share:.0%} of samples used it, which saved"
        f" {result.index_saved:.0%} of their entropy decoding"
    )


def _stages_line(result: BenchResult) -> str:
    """The workers' time, which is no CPU time: what of it was none is said."""
    stages = result.stage_s_per_image
    parts = " · ".join(f"{name} {s * 1e3:.2f}" for name, s in stages.items())
    line = f"  {sum(stages.values()) * 1e3:.2f} ms of a worker's time per image: {parts}"
    off = {"without a core": result.no_core_s_per_image, "asleep in reads": result.asleep_s_per_image}
    words = [f"{s * 1e3:.2f} {what}" for what, s in off.items() if s > 0.05 * sum(stages.values())]
    return line + (f"; of that {' and '.join(words)}" if words else "")


def render_bench(result: BenchResult) -> str:
    """The result in words."""
    env = result.environment
    return "\n".join(
        [
            _title(result),
            f"  {result.images_per_s:,.0f} images/s with {counted(result.workers, 'worker')},"
            f" batches of {counted(result.batch, 'image')}",
            f"  {result.cpu_s_per_image * 1e3:.2f} ms CPU per image, of which {result.clock_share:.3%} for"
            " measuring it",
            _stages_line(result),
            f"  first batch {result.first_batch_s * 1e3:.0f} ms · peak memory {result.peak_memory_mb:.0f} MB,"
            f" of which {result.torch_memory_mb:.0f} MB before the loader was made",
            *([_index_line(result)] if result.index_share > 0 else []),
            *([_emulation_line(result.emulation)] if result.emulation is not None else []),
            f"  {counted(env['usable_cores'], 'usable core')}, SIMD {env['simd']}, torch {env['torch']},"
            f" load average {env['load_average']}",
        ]
    )


def as_dict(result: BenchResult) -> dict[str, Any]:
    """The result for JSON."""
    return asdict(result)
