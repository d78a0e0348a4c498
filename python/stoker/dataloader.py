"""``stoker.DataLoader``: torch's DataLoader, with its batches from the C++ core where that can be."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
import torch.utils.data as torch_data
from torch.utils.data import dataloader as torch_dataloader

from . import _C
from ._cpus import auto_workers, usable_cores
from ._iterators import NativeIterator, TimedMultiProcessIterator, TimedSingleProcessIterator
from .datasets import NativeDataset
from .index import IndexLike, check, named, open_index
from .plan import Plan, make_plan
from .stats import ConsumerClock, Durations, IndexStats, LoaderStats, render

__all__ = ["AutoWorkers", "DataLoader"]

T = TypeVar("T")
Workers = int | Literal["auto"]
PixelMode = Literal["fast", "exact"]

_indexes: weakref.WeakSet[_C.DecodeIndex] = weakref.WeakSet()
_running: weakref.WeakSet[_C.Loader] = weakref.WeakSet()
# Cores that a fork brought along: their workers exist in the parent only, so nothing may touch them.
_inherited: list[_C.Loader] = []


@atexit.register
def _stop_all() -> None:
    """Ends the tasks of loaders that are still running when the interpreter exits, and writes what
    their indexes have not."""
    for core in list(_running):
        if core.pid == os.getpid():
            core.stop()
    for index in list(_indexes):
        index.flush(True)


class AutoWorkers(int):
    """A worker count that was worked out for ``num_workers="auto"``.

    An int like any other; given to another DataLoader it stands for "auto" again.
    """


def python_reason(dataset: Any) -> str:
    """Why the core cannot load ``dataset``'s batches by itself; "" where it can."""
    kind = type(dataset)
    if not isinstance(dataset, NativeDataset):
        return f"{kind.__name__} is not one of Stoker's datasets"
    for method in ("__getitem__", "__getitems__", "sample_plan", "_target"):
        if getattr(kind, method, None) is not getattr(NativeDataset, method, None):
            return f"{kind.__name__} overrides {method}"
    if dataset.sample_plan().fixed_size is None:
        return "its transforms leave images of different sizes (add a crop, or Resize((height, width)))"
    return ""


class DataLoader(torch_data.DataLoader[T]):
    """A DataLoader whose samples are read, decoded and transformed in C++, ahead of the step.

    Takes torch's arguments with torch's meaning, and is a subclass of torch's class. With one of
    Stoker's datasets the work is done by ``num_workers`` threads of this process; with any other
    dataset PyTorch's own iteration serves it, and ``report()`` says why.

    A batch is ``[images, targets]``: images (batch, 3, height, width) of the transform's dtype, targets
    (batch,) int64, as ``default_collate`` makes them. Batches come in the sampler's order. Each owns
    its memory, pinned or not, for as long as it is kept.

    A sample that cannot be loaded raises DataError from ``next()`` at its batch; the next call goes
    on with the next batch.

    What differs from torch:
        num_workers: "auto" (default): the usable cores (affinity and cgroup quota, divided by
            LOCAL_WORLD_SIZE) less what the training process needs; on the Python path 0, torch's
            default. ``loader.num_workers`` is the int. 0: in the calling thread.
        pin_memory: None (default): pinned where there is an accelerator.
        prefetch_factor: on the native path the number of batches ahead in all (default 2), not
            for each worker; at least 1. Memory is at most prefetch_factor + 2 batches.
        memory_format: torch.contiguous_format or torch.channels_last, of the images (native path).
        pixels: "fast" (default): a JPEG's planes are resized at their own resolution and converted
            to RGB last; within rounding of Pillow's pixels (mean difference below 0.6 of 255).
            "exact": Pillow's pixels, bit for bit, as ``dataset[i]`` always gives them. Other formats,
            and transforms without a bilinear or bicubic resize, are exact in either mode.
        dct_scaling: with "fast", reduce JPEGs while decoding as long as the crop is at least four
            times as large as the result. For large photographs; less like Pillow.
        index: the decode index, by which a crop decodes only what it touches of a JPEG; the same pixels
            in less time. "auto" (default): the one that ``stoker index`` has left in the data's folder,
            or one above; what that lacks is added, as a by-product of the first epoch, to one in the
            user's cache folder. A path: that file, made where there is none. None: no index.
        worker_init_fn, multiprocessing_context: not used on the native path: it has no processes.
        collate_fn: on the native path it gets (image, target) samples in the consumer's thread.

    Threads: iterate from one thread at a time. Fork: an iterator belongs to the process that made it
    and is refused elsewhere; a loader inherited over a fork makes new ones.
    """

    def __init__(
        self,
        dataset: torch_data.Dataset[T],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: torch_data.Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: torch_data.Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: Workers = "auto",
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool | None = None,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: torch.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        memory_format: torch.memory_format = torch.contiguous_format,
        pixels: PixelMode = "fast",
        dct_scaling: bool = False,
        index: IndexLike = "auto",
    ) -> None:
        check(index)
        if pixels not in ("fast", "exact"):
            raise ValueError(f'pixels must be "fast" or "exact", got {pixels!r}')
        if dct_scaling and pixels == "exact":
            raise ValueError('dct_scaling changes pixels: it goes with pixels="fast" only')
        if memory_format not in (torch.contiguous_format, torch.channels_last):
            raise ValueError("memory_format must be torch.contiguous_format or torch.channels_last")
        self._python_reason = python_reason(dataset)
        native = not self._python_reason
        if isinstance(num_workers, AutoWorkers) or num_workers == "auto":
            num_workers = AutoWorkers(auto_workers() if native else 0)
        elif not isinstance(num_workers, int):
            raise TypeError(f"num_workers must be an int or 'auto', got {num_workers!r}")
        if native and prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"prefetch_factor must be at least 1, got {prefetch_factor}")
        self.memory_format = memory_format
        self.pixels: PixelMode = pixels
        self.dct_scaling = dct_scaling
        self.index = index
        self._forget()
        if native and index not in ("auto", None):
            named(dataset._table.root, index)  # type: ignore[attr-defined]
        super().__init__(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            sampler=sampler,
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=torch.accelerator.is_available() if pin_memory is None else pin_memory,
            drop_last=drop_last,
            timeout=timeout,
            worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context,
            generator=generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
        )

    def _forget(self) -> None:
        """The state that a new loader starts with: nothing measured, no core."""
        self._clock = ConsumerClock()
        self._spare: _C.Loader | None = None  # a core that no iterator is using
        self._cores: dict[_C.Loader, Any] = {}  # all that exist, and what each was made for
        self._past = _C.StatsSum()  # what those measured that are gone
        self._opened: tuple[int, _C.DecodeIndex | None] | None = None  # the index, and by which process

    def __getstate__(self) -> dict[str, Any]:
        """A copy, as pickled for another process, has measured nothing and has a core of its own."""
        own = ("_clock", "_spare", "_cores", "_past", "_opened", "_iterator")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _iterator=None)
        self._forget()

    @property
    def native(self) -> bool:
        """Whether the C++ core loads the batches; if not, ``report()`` says why."""
        return not self._python_reason

    def check_worker_number_rationality(self) -> None:
        """Torch's warning about too many worker processes; the native path has none."""
        if not self.native:
            super().check_worker_number_rationality()

    def _get_iterator(self) -> torch_dataloader._BaseDataLoaderIter:
        self._clock.epoch_begins()
        if self.native:
            return NativeIterator(self)
        if self.num_workers == 0:
            return TimedSingleProcessIterator(self)
        return TimedMultiProcessIterator(self)

    def _lease_core(self) -> _C.Loader:
        """A core for one iterator: the spare one, or a new one where there is none that fits."""
        dataset = self.dataset
        assert isinstance(dataset, NativeDataset)
        self._leave_inherited()
        made_for = dataset.plan_key(), self.pixels, self.dct_scaling
        core, self._spare = self._spare, None
        if core is not None and self._cores[core] != made_for:
            self._retire(core)
            core = None
        if core is None:
            plan = dataset.sample_plan(self.memory_format == torch.channels_last)
            plan.exact_pixels = self.pixels == "exact"
            plan.dct_scaling = self.dct_scaling
            prefetch = (self.prefetch_factor or 2) if self.num_workers > 0 else 1
            core = _C.Loader(
                dataset._table, plan, self.num_workers, prefetch, self.pin_memory, self._decode_index()
            )
            _running.add(core)
            self._cores[core] = made_for
        return core

    def _decode_index(self) -> _C.DecodeIndex | None:
        """The decode index, opened when first asked for (in each process)."""
        dataset = self.dataset
        assert isinstance(dataset, NativeDataset)
        if self._opened is None or self._opened[0] != os.getpid():
            index = open_index(dataset._table, self.index)
            self._opened = os.getpid(), index
            if index is not None:
                _indexes.add(index)
        return self._opened[1]

    def _index_problem(self) -> str:
        """Why nothing is added to the index; an index that a fork brought along is not asked."""
        pid, index = self._opened or (0, None)
        return index.problem if index is not None and pid == os.getpid() else ""

    def _return_core(self, core: _C.Loader) -> None:
        self._leave_inherited()
        if core not in self._cores:
            return
        core.stop()
        if self._spare is None:
            self._spare = core
        else:
            self._retire(core)

    def _retire(self, core: _C.Loader) -> None:
        self._past.add(core)
        del self._cores[core]

    def _leave_inherited(self) -> None:
        """Put aside what a fork brought along: only its own process may touch a core."""
        for core in [core for core in self._cores if core.pid != os.getpid()]:
            _inherited.append(core)
            del self._cores[core]
            if self._spare is core:
                self._spare = None

    def stats(self) -> LoaderStats:
        """What has been measured since the loader was made; cheap, at any time."""
        self._leave_inherited()
        total = _C.StatsSum()
        total.add(self._past)
        for core in self._cores:
            total.add(core)
        core_stats = total.to_dict() if self.native else {}
        return LoaderStats(
            path="native" if self.native else "python",
            workers=int(self.num_workers),
            batches=self._clock.batches,
            samples=int(core_stats.get("samples", 0)),
            failed_batches=int(core_stats.get("failed_batches", 0)),
            wait=self._clock.wait(),
            step=self._clock.step(),
            first_batch_s=self._clock.first_batch_s,
            ready_share=core_stats.get("ready_at_request", 0) / max(1, core_stats.get("batches", 0)),
            stages={name: Durations(**s) for name, s in core_stats.get("stages", {}).items()},
            waiting_s=float(core_stats.get("waiting_s", 0.0)),
            idle_s=float(core_stats.get("idle_s", 0.0)),
            index=IndexStats(**core_stats.get("index", {})),
            index_problem=self._index_problem(),
        )

    def plan(self) -> Plan:
        """What runs where, part by part, and why; ``print`` it."""
        index = self._decode_index() if self.native else None
        return make_plan(self, self._python_reason, index)

    def report(self) -> str:
        """How long the training loop waited for data, and why, in words."""
        return render(self.stats(), usable_cores(), self._python_reason)
