"""``stoker.DataLoader``: torch's DataLoader, with its batches from the C++ core where that can be."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
import torch.utils.data as torch_data
from torch.utils.data import dataloader as torch_dataloader

from . import _C, _rebuilt, _state
from ._auto import AutoWorkers, workers_for
from ._cores import Cores
from ._iterators import TimedMultiProcessIterator, TimedSingleProcessIterator
from ._measured import MeasuredLoader
from ._native import NativeIterator
from ._recorder import Recorder, is_iterable, sampler_of
from ._sources import Source, resolve
from ._words import counted
from .bad_samples import BadSample, ErrorLog, OnError, TooManyErrorsError
from .diagnosis.live import LiveLine
from .distributed import ShardSampler, rank_and_world_size, ranks_of
from .errors import StateError
from .index import IndexLike, check, named
from .plan import Plan, make_plan
from .stats import Meter
from .stats.device import accelerator_available

__all__ = ["AutoWorkers", "DataLoader"]

T = TypeVar("T")
Workers = int | Literal["auto"]
PixelMode = Literal["fast", "exact"]

_OUT_OF_ORDER = "with in_order=False nobody knows which samples have been had"

# Of what the core counts in 32 bits.
_MOST_WORKERS = 2**16


class _AskedByAccelerate:
    """Accelerate asks by this attribute, and so says that it is about to prepare the loader."""

    def __get__(self, loader: Any, kind: type) -> bool:
        if loader is not None and "accelerate.data_loader" in sys.modules:
            from .accelerate import about_to_prepare

            about_to_prepare(loader)
        return False


class DataLoader(MeasuredLoader, torch_data.DataLoader[T]):
    """A DataLoader whose samples are read, decoded and transformed in C++, ahead of the step.

    Takes torch's arguments with torch's meaning, and is a subclass of torch's class. Where the core
    knows a dataset's files and all its transforms (Stoker's datasets; torchvision's ImageFolder and
    DatasetFolder; ``Subset``, ``ConcatDataset`` and ``random_split`` of those; datasets with
    ``stoker_sample``) the work is done by ``num_workers`` threads of this process. Anything else is
    served by PyTorch's own iteration, with the native parts inline. ``plan()`` says which, and why.

    ``stoker_sample(index) -> (path or bytes, target)`` is what a map-style dataset may offer in place
    of reading the file itself; its attribute ``transform``, where it has one, is applied to the
    image. It is called in the consumer's thread, ahead of the step; targets may be anything that
    ``default_collate`` takes.

    A batch is ``[images, targets]``: images (batch, 3, height, width) of the transform's dtype, targets
    (batch,) int64, as ``default_collate`` makes them. Batches come in the sampler's order. Each owns
    its memory, pinned or not, for as long as it is kept.

    A sample that cannot be loaded raises DataError from ``next()`` at its batch; the next call goes
    on with the next batch. ``on_error`` changes that.

    What differs from torch:
        num_workers: "auto" (default): the usable cores (affinity and cgroup quota, divided by
            LOCAL_WORLD_SIZE) less what the training process needs: threads on the native path, processes on
            the Python path, as many. There 0 where they cannot serve the dataset (an iterable one; one that
            cannot be pickled for a start method other than fork), and ``plan()`` says why.
            ``loader.num_workers`` is the int. 0: in the calling thread.
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
        shard: "auto": where no sampler is given, this rank's share of the samples, by torch.distributed
            or RANK and WORLD_SIZE, as DistributedSampler (seed 0) gives it; each epoch its own order
            without ``set_epoch``, for one rank as for many. Make the loader where the rank is known.
            None (default): no shards.
        on_error: what a sample that cannot be loaded does. "raise" (default). "skip": its batch is
            smaller, and a batch of which nothing is left does not come; refused where there are several
            ranks, which must give the same number of batches. "replace": another sample stands in its
            place, the same one whenever the epoch is repeated or resumed.
        max_errors: how many samples of an epoch may be skipped or replaced before TooManyErrorsError is
            raised: a count, or a float for a share of the epoch's samples. None (default): no limit.
        error_manifest: a file to which each bad sample adds a line of JSON (BadSample's fields). The
            same records are in ``errors``. With "raise", what a Python dataset raises is not among them.
        progress: a line on standard error that says how the loader does: images/s, wait, queue, verdict so
            far; over itself on a terminal, every 30 s elsewhere.
        timeout: the error says which samples were pending.

    Its place in the epoch is in ``state_dict()``, and ``load_state_dict()`` goes back there, as with
    torchdata's StatefulDataLoader: see there.

    Threads: iterate from one thread at a time; a second one gets RuntimeError. Where the system refuses
    threads, those that there are do the work, if need be the calling one. Signals: a handler may raise
    anywhere in ``next()``; a batch counts as had, in ``state_dict()``, exactly when that has returned it.
    Fork: an iterator belongs to the process that made it and is refused elsewhere; a loader inherited over
    a fork makes new ones.
    """

    _is_accelerate_prepared = _AskedByAccelerate()

    # Of subclasses that call ``__init__`` late, or torch's only, or do all by themselves (torchdata's
    # StatefulDataLoader): the defaults, until somebody says otherwise.
    memory_format: torch.memory_format = torch.contiguous_format
    pixels: PixelMode = "fast"
    num_workers = 0
    prefetch_factor: int | None = None
    dct_scaling = False
    index: IndexLike = "auto"
    shard: Literal["auto"] | None = None
    on_error: OnError = "raise"
    max_errors: float | None = None
    error_manifest: str | os.PathLike[str] | None = None
    progress = False
    _live: LiveLine | None = None
    _pins_by_default = False
    _begins_here = False  # whether iterators are known to be made by this class
    _source: Source | None = None
    _python_reason = "stoker.DataLoader.__init__ has not been called"
    _log = functools.cached_property(lambda _self: ErrorLog("raise", None, None))
    _cores: Cores = functools.cached_property(lambda _self: Cores())  # type: ignore[assignment]
    _meter: Meter = functools.cached_property(lambda self: Meter(self._cores.work_s))  # type: ignore[assignment]
    _recorder: Recorder = functools.cached_property(lambda _self: Recorder())  # type: ignore[assignment]

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
        shard: Literal["auto"] | None = None,
        on_error: OnError = "raise",
        max_errors: float | None = None,
        error_manifest: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> None:
        check(index)
        if pixels not in ("fast", "exact"):
            raise ValueError(f'pixels must be "fast" or "exact", got {pixels!r}')
        if dct_scaling and pixels == "exact":
            raise ValueError('dct_scaling changes pixels: it goes with pixels="fast" only')
        if memory_format not in (torch.contiguous_format, torch.channels_last):
            raise ValueError("memory_format must be torch.contiguous_format or torch.channels_last")
        self._begins_here = True
        self._source, self._python_reason = resolve(dataset)
        native = not self._python_reason
        if isinstance(num_workers, AutoWorkers) or num_workers == "auto":
            sent = collate_fn, worker_init_fn
            num_workers = workers_for(native, dataset, multiprocessing_context, sent)
        elif not isinstance(num_workers, int):
            raise TypeError(f"num_workers must be an int or 'auto', got {num_workers!r}")
        elif num_workers > _MOST_WORKERS:
            raise ValueError(f"num_workers must not be above {_MOST_WORKERS:,}, got {num_workers:,}")
        if native and prefetch_factor is not None:
            if not isinstance(prefetch_factor, int):
                raise TypeError(f"prefetch_factor must be an int, got {prefetch_factor!r}")
            if not 1 <= prefetch_factor <= _MOST_WORKERS:
                most = f"not above {_MOST_WORKERS:,}"
                raise ValueError(f"prefetch_factor must be at least 1 and {most}, got {prefetch_factor}")
        self.memory_format = memory_format
        self.pixels = pixels
        self.dct_scaling = dct_scaling
        self.index = index
        self.shard = shard
        self.on_error = on_error
        self.max_errors = max_errors
        self.error_manifest = error_manifest
        self.progress = progress
        self._live = LiveLine() if progress else None
        self._pins_by_default = pin_memory is None
        self._log = ErrorLog(on_error, max_errors, error_manifest)
        if on_error != "raise" and isinstance(dataset, torch_data.IterableDataset):
            raise ValueError(
                f"on_error={on_error!r} needs a map-style dataset: an iterable one ends with its error"
            )
        self._forget()
        table = self._source.table if self._source is not None else None
        if native and table is not None and index not in ("auto", None):
            named(table.root, index)
        if shard not in ("auto", None):
            raise ValueError(f'shard must be "auto" or None, got {shard!r}')
        if shard == "auto" and sampler is None and batch_sampler is None:
            sampler = self._shard_sampler(dataset, bool(shuffle), drop_last)
            shuffle = None
        super().__init__(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            sampler=sampler,
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=accelerator_available() if pin_memory is None else pin_memory,
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
        self._check_ranks()
        if native:
            _rebuilt.watch(self)

    @staticmethod
    def _shard_sampler(dataset: Any, shuffle: bool, drop_last: bool) -> ShardSampler:
        if isinstance(dataset, torch_data.IterableDataset):
            raise ValueError('shard="auto" needs a map-style dataset: an iterable one shards itself')
        rank, ranks = rank_and_world_size()
        sampler = ShardSampler(dataset, ranks, rank, shuffle=shuffle, drop_last=drop_last)
        sampler.alone = ranks == 1
        return sampler

    def _forget(self) -> None:
        """The state that a new loader starts with: nothing measured, no core."""
        self._cores = Cores()
        self._meter = Meter(self._cores.work_s)
        self._recorder = Recorder()

    def __getstate__(self) -> dict[str, Any]:
        """A copy, as pickled for another process, has measured nothing and has a core of its own."""
        own = ("_meter", "_cores", "_recorder", "_iterator", "_last_reading")
        kept = {name: value for name, value in self.__dict__.items() if name not in own}
        kept["_log"] = self._log
        return {**kept, "_resume": self._recorder.resume}

    def __setstate__(self, state: dict[str, Any]) -> None:
        resume = state.pop("_resume", None)
        self.__dict__.update(state, _iterator=None, _log=copy.copy(state["_log"]))
        self._live = LiveLine() if self.progress else None
        self._forget()
        self._recorder.resume = resume

    @property
    def native(self) -> bool:
        """Whether the C++ core loads the batches; if not, ``plan()`` says why."""
        return not self._python_reason

    def check_worker_number_rationality(self) -> None:
        """Torch's warning about too many worker processes; the native path has none."""
        if not self.native:
            super().check_worker_number_rationality()

    def _resolve(self) -> None:
        self._source, self._python_reason = resolve(self.dataset)
        if not self._begins_here and type(self)._get_iterator is not DataLoader._get_iterator:
            self._source = None
            self._python_reason = f"{type(self).__name__} makes its iterators itself"

    def _resolved(self) -> Source:
        """The dataset's source as it is now: transforms and subsets may have been changed."""
        self._resolve()
        if self._source is None or self._python_reason:
            raise RuntimeError(
                f"the dataset was changed while its native iterator was in use: {self._python_reason}"
            )
        return self._source

    def _ranks(self) -> int:
        return ranks_of(self.sampler, self.batch_sampler, sampler_of(self))

    def _check_ranks(self) -> None:
        """Batches that are left out would be missing on one rank only, for which the others wait."""
        if self.on_error == "skip" and (ranks := self._ranks()) > 1:
            raise ValueError(
                f'on_error="skip" leaves out batches of which no sample is good, and this process is one of '
                f"{ranks} ranks, which must all have the same number of batches, or the others wait for "
                f'ever: use on_error="replace"'
            )

    def _batch_is_empty(self, batch: int) -> None:
        """Nothing is left of a batch, which does not come."""
        if (ranks := self._ranks()) > 1:
            raise TooManyErrorsError(
                f"not one sample of batch {batch:,} could be loaded or replaced, and the {ranks} ranks must "
                "all have the same number of batches"
            )

    def _nothing_left_of_epoch(self, batches: int) -> None:
        why = "its dataset has ended" if is_iterable(self) else "its sampler gives no more"
        if self._log.epoch.bad and self.on_error != "raise":
            why += ", or what it gave could not be loaded"
        warnings.warn(
            f"the state that was loaded is from an epoch of which no batch is left behind {batches:,} "
            f"({why}): that epoch is over, and the next one begins",
            stacklevel=4,
        )

    def _epoch_begins(self) -> None:
        self._check_ranks()
        self._meter.epoch_begins()
        self._log.epoch_begins()

    def _samples_in_epoch(self) -> int:
        """How many samples this loader gives in an epoch, as well as that can be told."""
        batches: Any = self.batch_sampler
        if self.batch_size is None and isinstance(getattr(batches, "batch_size", None), int):  # it was given
            with contextlib.suppress(TypeError, NotImplementedError):
                return len(batches) * int(batches.batch_size)
        for sized in (self.sampler, self.dataset):
            try:
                return len(sized)  # type: ignore[arg-type]
            except (TypeError, NotImplementedError):
                continue
        return 0

    def __iter__(self) -> torch_dataloader._BaseDataLoaderIter:
        if isinstance(self._iterator, NativeIterator) and resolve(self.dataset)[1]:
            self._iterator = None  # of persistent_workers: the core cannot load the dataset any more
        return super().__iter__()

    def _get_iterator(self) -> torch_dataloader._BaseDataLoaderIter:
        self._begins_here = True
        self._resolve()
        if self._pins_by_default and self.pin_memory:
            self.pin_memory = torch.accelerator.is_available()  # now that the driver is started anyway
        self._epoch_begins()
        iterator = self._made_iterator()
        if self._live is not None:
            weakref.finalize(iterator, self._live.end)
        self._meter.iterator_made()
        return iterator

    def _made_iterator(self) -> torch_dataloader._BaseDataLoaderIter:
        resume = self._recorder.resume
        if resume is None:
            return self._new_iterator()
        epoch = int(resume["loader_epoch"]) + bool(resume["finished"])
        self._log.epoch_begins(epoch, int(resume["errors"]))
        try:
            return self._new_iterator()
        except BaseException:  # the next one, too, goes on where the state was made
            self._recorder.run, self._recorder.resume = None, resume
            raise

    def _new_iterator(self) -> torch_dataloader._BaseDataLoaderIter:
        if self.native:
            return NativeIterator(self)
        if self.num_workers == 0:
            return TimedSingleProcessIterator(self)
        return TimedMultiProcessIterator(self)

    def _twin(self) -> DataLoader[Any]:
        """See Note [An iterator's own loader]."""
        twin: _Twin = object.__new__(_Twin)
        twin.__dict__.update({name: getattr(self, name) for name in _SHARED}, _iterator=None)
        return twin

    @property
    def errors(self) -> tuple[BadSample, ...]:
        """The samples that could not be loaded since the loader was made (the last 100,000)."""
        return tuple(self._log.records)

    @property
    def epochs_done(self) -> int:
        """How many epochs are over: all their batches have been had, or another epoch was begun.

        It is the number, from 0, of the epoch that the next batch is of, and part of the state:
        ``for epoch in range(loader.epochs_done, epochs)`` goes on where a state was made, wherever that was.
        """
        resume, run = self._recorder.resume, self._recorder.run
        if resume is not None and (run is None or run.has_still_to_resume):
            return int(resume["loader_epoch"]) + bool(resume["finished"])
        return max(self._log.epoch.number, 0) + (run is not None and run.is_over())

    def _make_state(self) -> dict[str, Any]:
        extra = {"loader_epoch": max(self._log.epoch.number, 0), "errors": self._log.epoch.bad}
        return _state.make_state(self, self._recorder, extra)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: how many batches of its epoch have been handed over, and what it takes
        to get there again. Some kilobytes whatever the dataset, of types that JSON has.

        Exact on the native path: the same batches, bit for bit. On the Python path the order is exact,
        and the random numbers of its transforms are not. With ``in_order=False`` there it says so, and is
        refused when it is loaded: nobody knows which samples have been had.

        An epoch of which all batches have been had is over, whether or not the loop has seen its end: the
        state says ``finished``, and the next epoch follows; ``epochs_done`` counts it.

        On the Python path it holds the ``state_dict()`` of a dataset that also has ``load_state_dict``, and
        of an iterable dataset's iterator, in each worker, as torchdata's StatefulDataLoader does: of the
        types that theirs are.

        On both paths it holds the ``state_dict()`` of a sampler or batch sampler that also has
        ``load_state_dict``, or of its iterator, as of the last batch that has been had. Where the indices
        before cannot be drawn again, since the script has changed the sampler on the way, the sampler goes on
        from there; samples that had come before in this epoch then get other random numbers.
        """
        if not self.in_order and not self.native:
            return _state.refused_state(_OUT_OF_ORDER)
        run = self._recorder.run
        if self._recorder.resume is not None and (run is None or run.has_still_to_resume):
            return dict(self._loaded)  # nothing has happened since
        return self._make_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, with the next iterator, where ``state`` was made.

        The loader must be made alike: the same samples, sampler and batch size. The number of workers
        may differ, but for iterable datasets; and with DistributedSampler or ``shard="auto"`` the number
        of ranks, if all ranks load the state of one: what was left of the epoch is dealt to them anew.

        Raises:
            StateError: the state does not fit, with the reason. What can only be seen by drawing the
                indices again is raised by the iterator.
        """
        if not self.in_order and not self.native:
            raise StateError(_OUT_OF_ORDER)
        resume = _state.check_state(self, state, self._make_state())
        _state.restore_sampler(self, resume)
        self._loaded = state
        self._iterator = None
        self._recorder.run = None
        self._recorder.resume = resume

    @staticmethod
    def _state_error(done: int, wanted: int) -> StateError:
        return StateError(
            f"the state is {counted(wanted, 'batch', 'batches')} into its epoch, but the dataset gave only"
            f" {done:,}"
        )

    def plan(self) -> Plan:
        """What runs where, part by part, and why; ``print`` it."""
        self._resolve()
        return make_plan(self, self._source, self._python_reason, self._decode_index())

    def _decode_index(self) -> _C.DecodeIndex | None:
        """The index that the native path goes by."""
        if not self.native or self._source is None:
            return None
        return self._cores.index(self._source, self.index)


# What an iterator needs of its loader.
_SHARED = (
    "dataset", "batch_size", "sampler", "batch_sampler", "num_workers", "collate_fn", "pin_memory",
    "drop_last", "timeout", "worker_init_fn", "multiprocessing_context", "generator", "prefetch_factor",
    "persistent_workers", "pin_memory_device", "in_order", "memory_format", "pixels", "dct_scaling", "index",
    "shard", "on_error", "max_errors", "error_manifest", "progress", "_auto_collation", "_index_sampler",
    "_dataset_kind", "_IterableDataset_len_called", "_begins_here", "_pins_by_default", "_source",
    "_python_reason", "_live", "_log", "_cores", "_meter", "_recorder",
)  # fmt: skip


class _Twin(DataLoader[Any]):
    """See Note [An iterator's own loader]. What torch works out anew, and a subclass may, is noted here."""

    _auto_collation: Any = False
    _index_sampler: Any = None
    multiprocessing_context: Any = None
