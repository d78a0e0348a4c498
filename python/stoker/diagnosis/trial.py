"""What an image would cost with another setting: the run's own samples, loaded again by each of them.

A trial loads some samples of the data set in the calling thread, once as the loader is set and once for
each variant, and takes the thread's CPU time, which other load on the machine hardly changes. Half a second
in all, whatever the images. It draws from no generator of torch's, and touches no file but its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .. import _C
from .._sources import Source, resolve
from ..index import open_index
from ..transforms import Compose, PILToTensor, RandomResizedCrop

MOST_SAMPLES = 64
LEAST_SAMPLES = 8
SECONDS_EACH = 0.16  # of a variant, over all its passes
MOST_WRAPPERS = 16  # of a data set, around each other
PASSES = 4  # the cheapest counts: other load only ever makes one dearer


@dataclass(frozen=True)
class Setting:
    """What a loader may be set to, as far as it changes an image's cost."""

    exact: bool = False
    dct_scaling: bool = False
    channels_last: bool = False
    as_uint8: bool = False
    index: _C.DecodeIndex | None = None


def _chosen(size: int) -> list[int]:
    """Samples from all over the data set, by numbers of their own."""
    generator = torch.Generator().manual_seed(size)
    return torch.randint(size, (min(MOST_SAMPLES, size),), generator=generator).tolist()


class _Run:
    """One setting's loader, without workers: it loads in the calling thread."""

    def __init__(self, source: Source, setting: Setting) -> None:
        def prepare(plan: _C.SamplePlan) -> None:
            plan.exact_pixels = setting.exact
            plan.dct_scaling = setting.dct_scaling and not setting.exact
            if setting.as_uint8:
                plan.is_float = False

        samples = source.sample_set(prepare, setting.channels_last)
        self._source = source
        self._core = _C.Loader(samples, 0, 1, False, setting.index)

    def cpu_s(self, indices: list[int]) -> float:
        """CPU time that it takes for them."""
        sources = None if self._source.tabled else [self._source.fetch(i)[0] for i in indices]
        self._core.start_epoch(1, 0)
        began = time.thread_time()
        self._core.submit(indices, sources)
        self._core.wait(0)
        _, _, failures, _ = self._core.next()
        if len(failures) == len(indices):
            raise failures[0][2]
        return time.thread_time() - began


def _costs(source: Source, settings: dict[str, Setting]) -> dict[str, float]:
    """CPU seconds per image of each setting, in passes that take turns."""
    runs = {name: _Run(source, setting) for name, setting in settings.items()}
    chosen = _chosen(source.size)
    costs = dict.fromkeys(runs, float("inf"))
    for run in runs.values():  # what is made at first use; of the index, the entries
        run.cpu_s(chosen[:2])
    once = max(runs[next(iter(runs))].cpu_s(chosen[:4]) / len(chosen[:4]), 1e-7)
    chosen = chosen[: max(LEAST_SAMPLES, min(len(chosen), int(SECONDS_EACH / PASSES / once)))]
    for _ in range(PASSES):
        for name, run in runs.items():
            costs[name] = min(costs[name], run.cpu_s(chosen) / len(chosen))
    return costs


def _with_entries(source: Source, setting: Setting, folder: str) -> Setting | None:
    """The setting with an index that knows the chosen samples, below ``folder``."""
    if source.table is None:
        return None
    # With a key of its own: a trial leaves nothing behind.
    index = open_index(source.table, Path(folder) / "trial.index", Path(folder) / "trial.key")
    if index is None:
        return None
    known = replace(setting, index=index)
    _Run(source, known).cpu_s(_chosen(source.size))
    index.flush(True)
    return known


def variants(source: Source, now: Setting) -> dict[str, float]:
    """CPU time per image with another setting, as a share of that with ``now``.

    Keys: "fast" (pixels), "index", "uint8" (in place of float32), and "all" for all of those together.
    Those that are set already, or cannot be, are missing. Empty where the samples cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _variants(source, now, folder)
        except Exception:  # whatever the dataset's own code raises
            return {}


def _variants(source: Source, now: Setting, folder: str) -> dict[str, float]:
    tried: dict[str, Setting] = {"now": now}
    changes: dict[str, Callable[[Setting], Setting]] = {}
    if now.exact:
        changes["fast"] = lambda s: replace(s, exact=False)
    plan = source.leaves[0].pipeline.plan()
    if plan.is_float and not now.as_uint8:
        changes["uint8"] = lambda s: replace(s, as_uint8=True)
    indexed = None if now.index is not None else _with_entries(source, now, folder)
    if indexed is not None:
        changes["index"] = lambda s: replace(s, index=indexed.index)
    for name, change in changes.items():
        tried[name] = change(now)
    if len(changes) > 1:
        everything = now
        for change in changes.values():
            everything = change(everything)
        tried["all"] = everything
    costs = _costs(source, tried)
    base = costs.pop("now")
    return {name: cost / base for name, cost in costs.items()}


class _Opened:
    """Images that a script's own data set has opened, by the transform that it has."""

    def __init__(self, files: list[str], transform: Any) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def stoker_sample(self, index: int) -> tuple[str, int]:
        return self.files[index], 0


def _innermost(dataset: Any) -> Any:
    """What wrappers hold. Not for ever: one may hold itself, or answer whatever it is asked."""
    for _ in range(MOST_WRAPPERS):
        if getattr(dataset, "dataset", dataset) is dataset:
            break
        dataset = dataset.dataset
    return dataset


def native_source(dataset: Any, opened: list[str]) -> Source | None:
    """The data set as the core can load it; where it does not know it, the images that it has ``opened``,
    where it knows their transform. None: neither."""
    source, reason = resolve(dataset)
    if source is not None and not reason:
        return source
    dataset = _innermost(dataset)
    transform = getattr(dataset, "transform", None) or getattr(dataset, "transforms", None)
    files = [file for file in dict.fromkeys(opened) if Path(file).is_file()]
    if transform is None or not files:
        return None
    source, reason = resolve(_Opened(files, transform))
    return source if not reason else None


def image_source(opened: list[str]) -> Source | None:
    """The images that a script's own data set has opened, cropped and resized as for most trainings: what
    stands for loading them in C++ where their own transforms are not known. None: they cannot be loaded."""
    files = [file for file in dict.fromkeys(opened) if Path(file).is_file()]
    if not files:
        return None
    source, reason = resolve(_Opened(files, Compose([RandomResizedCrop(224), PILToTensor()])))
    return source if not reason else None


def native_cost_s(source: Source) -> float:
    """CPU seconds per image on the native path as it is by default; 0: the samples cannot be loaded."""
    try:
        return _costs(source, {"now": Setting()})["now"]
    except Exception:  # whatever the dataset's own code raises
        return 0.0
