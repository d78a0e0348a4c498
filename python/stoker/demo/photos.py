"""The demo's photographs: JPEGs like ImageNet's, derived from pictures in installed packages.

Nothing is downloaded. Eight photographs from scikit-image and matplotlib each become one class
folder; every file in it is a random crop of the source, scaled, perhaps mirrored, varied in
exposure and colour, given film grain and saved with the JPEG settings that ImageNet's files have
(500 x 375 pixels and 110 KB on average; 76 % 4:4:4, 20 % 4:2:0, 2 % 4:2:2, 2 % grayscale).

Photo number i is a function of (seed, i) alone: the same files for any number of threads.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stoker._words import counted
from stoker.demo.errors import DemoError

DEFAULT_COUNT = 1000
_SEED = 2012
_STALE_AFTER_S = 3600.0

# Class name -> (package that ships the photograph, path inside it). All are at least 300 x 400.
_SOURCES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "officer": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}

# ImageNet's usual sizes in pixels (width, height), and how often each is drawn.
_SIZES = ((500, 375), (500, 333), (375, 500), (333, 500))
_SIZE_SHARES = (0.52, 0.22, 0.16, 0.10)

# JPEG chroma subsampling as Pillow names it ("gray": one component), and how often each is drawn.
_SUBSAMPLINGS = ("4:4:4", "4:2:0", "4:2:2", "gray")
_SUBSAMPLING_SHARES = (0.76, 0.20, 0.02, 0.02)

# JPEG quality: two thirds of ImageNet's files have 96, the rest are spread below.
_QUALITIES = (96, 90, 84, 75)
_QUALITY_SHARES = (0.67, 0.13, 0.12, 0.08)


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/stoker`, or `~/.cache/stoker`. It may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stoker"


def demo_photos(
    count: int = DEFAULT_COUNT,
    cache_dir: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return a folder of class folders with `count` JPEGs in all; derive them if they are missing.

    They are written to a temporary folder beside the final one, which is renamed once complete: a
    run that is killed leaves no half set behind, and whatever folder is returned is whole.

    `on_progress(done, count)` is called from this thread after each photo written, never when the
    folder was there already. Raises DemoError if a source photograph is not installed, and OSError
    if the cache cannot be written.
    """
    parent = cache_folder() if cache_dir is None else cache_dir
    folder = parent / f"demo-photos-v1-{count}"
    if folder.is_dir():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(parent)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
    try:
        _derive_all(partial, count, on_progress)
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # there already: another demo has just finished the same set
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def demo_photos_with_progress(console: Console) -> Path:
    """`demo_photos()` with a progress bar on a terminal, one line elsewhere, none if cached."""
    columns = (
        TextColumn("Deriving photographs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=DEFAULT_COUNT, visible=False)

        def show(done: int, count: int) -> None:
            if done == 1 and not console.is_terminal:
                console.print(f"Deriving {counted(count, 'photograph')}, once")
            progress.update(task, completed=done, visible=True)

        return demo_photos(on_progress=show)


def _remove_stale(parent: Path) -> None:
    """Remove temporary folders that killed runs left; a younger one may be somebody's work."""
    for partial in parent.glob(".demo-photos-*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(partial, ignore_errors=True)


def _derive_all(folder: Path, count: int, on_progress: Callable[[int, int], None] | None) -> None:
    for name in _SOURCES:
        _source(name)  # so that a missing package is reported before any work is done
        (folder / name).mkdir()
    _grain()  # likewise once, before the threads share it
    # Threads, not processes: Pillow and NumPy release the GIL in everything that takes time here.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        futures = [pool.submit(_derive_one, folder, index) for index in range(count)]
        try:
            for done, future in enumerate(futures, start=1):
                future.result()
                if on_progress is not None:
                    on_progress(done, count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@cache
def _source(name: str) -> Image.Image:
    """The source photograph of a class, RGB. Raises DemoError if its package is not installed."""
    package, path = _SOURCES[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DemoError(f"the demo's photographs are in the package {package}, not installed here")
    file = Path(spec.origin).parent / path
    if not file.is_file():
        raise DemoError(f"the installed package {package} does not ship {path}")
    return Image.open(file).convert("RGB")


def _derive_one(folder: Path, index: int) -> None:
    """Write photo `index` into its class folder."""
    rng = np.random.default_rng([_SEED, index])
    names = list(_SOURCES)
    name = names[index % len(names)]
    width, height = _SIZES[rng.choice(len(_SIZES), p=_SIZE_SHARES)]
    photo = _random_crop(_source(name), width, height, rng)
    if rng.random() < 0.5:
        photo = ImageOps.mirror(photo)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        photo = enhance(photo).enhance(float(rng.uniform(0.8, 1.25)))
    photo = _add_grain(photo, float(rng.gamma(1.6, 2.15)), rng)
    subsampling = str(rng.choice(_SUBSAMPLINGS, p=_SUBSAMPLING_SHARES))
    quality = int(rng.choice(_QUALITIES, p=_QUALITY_SHARES))
    if subsampling == "gray":
        photo, subsampling = photo.convert("L"), "4:4:4"
    photo.save(folder / name / f"{name}_{index:05d}.jpg", quality=quality, subsampling=subsampling)


def _random_crop(source: Image.Image, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A random window of the source with the proportions width : height, scaled to that size."""
    largest = min(source.width / width, source.height / height)
    # Seldom more than a third larger than life: enlarged further, a photograph has no fine detail
    # left, and its file would be far smaller than a camera's.
    smallest = min(0.75, 0.9 * largest)
    scale = float(rng.uniform(smallest, largest))
    left = float(rng.uniform(0, source.width - scale * width))
    top = float(rng.uniform(0, source.height - scale * height))
    box = (left, top, left + scale * width, top + scale * height)
    return source.resize((width, height), Image.Resampling.BICUBIC, box=box)


def _add_grain(photo: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Add film grain: Gaussian noise in each colour, its standard deviation in pixel levels."""
    grain_hwc = _grain()
    top = rng.integers(grain_hwc.shape[0] - photo.height)
    left = rng.integers(grain_hwc.shape[1] - photo.width)
    noisy_hwc = grain_hwc[top : top + photo.height, left : left + photo.width] * deviation
    noisy_hwc += np.asarray(photo)
    np.clip(noisy_hwc, 0, 255, out=noisy_hwc)
    return Image.fromarray(noisy_hwc.astype(np.uint8))


@cache
def _grain() -> npt.NDArray[np.float32]:
    """Noise of standard deviation 1, to cut each photo's grain from: drawing it anew is slow."""
    rng = np.random.default_rng(_SEED)
    return rng.standard_normal((1024, 1024, 3), dtype=np.float32)
