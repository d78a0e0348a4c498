"""``stoker diagnose`` inside the script's own processes: meters every DataLoader, and writes what it finds.

Brought in by inject/sitecustomize.py. The environment says how:

    STOKER_DIAGNOSE            folder for recordings, one file for each loader and process
    STOKER_DIAGNOSE_STEPS      after so many steps of a loader its recording is final; 0: at the end
    STOKER_DIAGNOSE_HEADROOM   seconds for which to hand out batches again, once that many steps are done
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from multiprocessing import util as multiprocessing_util
from pathlib import Path
from typing import Any

from torch.utils.data import dataloader as torch_dataloader
from torch.utils.data import get_worker_info

from ..dataloader import DataLoader as StokersLoader
from ..stats import Meter
from ..stats import workers as w
from ..stats.meter import retire_with
from ..stats.stand_ins import MeteredCollate, MeteredInit
from ..stats.stand_ins import metered as metered_dataset
from . import ranks
from .metered import Metered
from .worker_files import WorkerFiles

MOST_LOADERS = 64  # of one process, that are told apart


class Run:
    """The loaders of this process."""

    def __init__(self, folder: Path, steps: int, headroom_s: float) -> None:
        self.folder = folder
        self.steps = steps
        self.headroom_s = headroom_s
        self.pid = os.getpid()
        self.loaders: list[Metered] = []
        self.tag = ""  # of the loader that this process loads samples for
        self._watched: dict[tuple[str, int], WorkerFiles] = {}
        self._said: set[str] = set()
        self._lock = threading.RLock()
        self._at_end()

    def _at_end(self) -> None:
        atexit.register(self.finish)
        multiprocessing_util.Finalize(None, self.finish, exitpriority=100)  # its processes skip atexit

    def _same_process(self) -> None:
        """Begins anew in a fork: what the parent has measured is the parent's."""
        if os.getpid() != self.pid:
            self._parents = self.loaders, self._watched  # kept: what they hold is not this process's to end
            self.pid, self.loaders, self._watched, self._lock = os.getpid(), [], {}, threading.RLock()
            if get_worker_info() is None:
                self._at_end()

    def observer(self) -> WorkerFiles | None:
        """Of this thread, in which samples are loaded; None: it cannot be watched."""
        try:
            self._same_process()
            key = self.tag, threading.get_ident()
            if key not in self._watched:
                self._watched[key] = WorkerFiles(self.folder, self.tag)
            return self._watched[key]
        except Exception as error:
            self.say_once(f"the stacks of a process are not looked at: {error!r}")
            return None

    def of(self, loader: Any) -> Metered:
        """What is known of a loader (or of the view of one that an iterator has been given)."""
        self._same_process()
        twin = loader.__dict__.get("_twin")
        twin = twin if isinstance(twin, StokersLoader) else loader
        with self._lock:
            found = self._known(twin)
            if found is None:
                meter = twin._meter if isinstance(twin, StokersLoader) else Meter()
                found = Metered(twin, meter, len(self.loaders), self)
                self.loaders.append(found)
            elif found.loader() is None:
                found.loader, found.dataset = weakref.ref(twin), twin.dataset
            self._let_go(found)
        return found

    def _known(self, loader: Any) -> Metered | None:
        if isinstance(loader, StokersLoader):
            return next((m for m in self.loaders if m.meter is loader._meter), None)
        for metered in self.loaders:
            if metered.loader() is loader:
                return metered
        if len(self.loaders) >= MOST_LOADERS:
            return self.loaders[-1]
        return next((m for m in self.loaders if m.goes_on_with(loader)), None)

    def _let_go(self, current: Metered) -> None:
        """Of the datasets whose loaders are gone only one is kept: that with the most batches."""
        gone = [m for m in self.loaders if m is not current and m.loader() is None]
        for metered in sorted(gone, key=lambda m: -m.meter.clock.batches)[1:]:
            metered.dataset = None

    def write_profiles(self) -> None:
        """What this process knows of its own loading."""
        for watched in list(self._watched.values()):
            watched.write()

    def say_once(self, words: str) -> None:
        """On standard error: by one of several ranks, and once by that."""
        if words not in self._said and ranks.rank() in ("", "0"):
            print(f"stoker diagnose: {words}", file=sys.stderr, flush=True)
        self._said.add(words)

    def finish(self) -> None:
        """The process ends."""
        if os.getpid() != self.pid or get_worker_info() is not None or not self.folder.is_dir():
            return
        for metered in self.loaders:
            try:
                if metered.meter.clock.batches and not metered.broken:
                    metered.write(final=True)
            except (Exception, KeyboardInterrupt) as error:
                print(f"stoker diagnose: no recording of a loader: {error!r}", file=sys.stderr)


_run: Run | None = None


def _run_here() -> Run:
    global _run
    if _run is None:
        _run = Run(
            Path(os.environ["STOKER_DIAGNOSE"]),
            int(os.environ.get("STOKER_DIAGNOSE_STEPS", "0")),
            float(os.environ.get("STOKER_DIAGNOSE_HEADROOM", "0")),
        )
        w.make_observer = _run.observer
    return _run


class _ObservedInit(MeteredInit):
    """A worker_init_fn behind which the worker is profiled, also where it was spawned."""

    def __init__(self, init: Any, tag: str) -> None:
        super().__init__(init)
        self._tag = tag

    def __call__(self, worker: int) -> None:
        _run_here().tag = self._tag
        super().__call__(worker)


class _View:
    """A loader with another worker_init_fn."""

    def __init__(self, loader: Any, run: Run) -> None:
        self._loader = loader
        self.worker_init_fn = _ObservedInit(loader.worker_init_fn, run.of(loader).tag)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def install() -> None:
    """Meters the DataLoaders of this process and of its workers, from now on."""
    run = _run_here()
    base: Any = torch_dataloader._BaseDataLoaderIter
    several: Any = torch_dataloader._MultiProcessingDataLoaderIter
    base.__init__ = _base_init(run, base.__init__)
    base.__next__ = _next(run, base.__next__)
    several.__init__ = _several_init(run, several.__init__)
    several._reset = _several_reset(several._reset)


# Below, torch's iterators are patched, which all loaders' iterators come from, Stoker's too. What the meter
# does is apart from what torch does: a failure of it is no failure of the script's.


def _is_ours(iterator: Any) -> bool:
    return type(iterator).__module__.startswith("stoker.")


def _metered(iterator: Any) -> Metered | None:
    metered: Metered | None = iterator.__dict__.get("_stoker_metered")
    return None if metered is None or metered.broken or metered.pid != os.getpid() else metered


def _base_init(run: Run, init: Any) -> Any:
    def base_init(self: Any, loader: Any) -> None:
        init(self, loader)
        try:
            _meter_iterator(run, self, loader._loader if isinstance(loader, _View) else loader)
        except Exception as error:
            print(f"stoker diagnose: a loader is not metered: {error!r}", file=sys.stderr)

    return base_init


def _meter_iterator(run: Run, iterator: Any, loader: Any) -> None:
    metered = run.of(loader)
    metered.iterator = weakref.ref(iterator)
    run.tag = metered.tag
    metered.profiles.fold()
    if not _is_ours(iterator):
        block = metered.meter.new_block(int(loader.num_workers))
        retire_with(iterator, metered.meter, block)
        iterable = iterator._dataset_kind == torch_dataloader._DatasetKind.Iterable
        dataset = metered_dataset(iterator._dataset, iterable, block)
        iterator._collate_fn = MeteredCollate(iterator._collate_fn, dataset)
        iterator._dataset = dataset
        metered.meter.epoch_begins()
    iterator._stoker_metered = metered


def _several_init(run: Run, init: Any) -> Any:
    def several_init(self: Any, loader: Any) -> None:
        if _is_ours(self):
            init(self, loader)
            return
        try:
            view = _View(loader, run)
        except Exception:  # base_init says so
            view = loader
        init(self, view)
        metered = _metered(self)
        if metered is not None:
            metered.meter.system.workers.update(p.pid for p in self._workers if p.pid is not None)
            metered.meter.iterator_made()

    return several_init


def _several_reset(reset: Any) -> Any:
    def several_reset(self: Any, loader: Any, first_iter: bool = False) -> None:
        metered = _metered(self)
        if metered is not None and not first_iter and not _is_ours(self):
            try:
                metered.meter.epoch_begins()
            except Exception as error:
                metered.fail(error)
        reset(self, loader, first_iter)
        if metered is not None and not first_iter and not _is_ours(self):
            metered.meter.iterator_made()

    return several_reset


def _next(run: Run, advance: Any) -> Any:
    def next_batch(self: Any) -> Any:
        metered = _metered(self)
        if metered is None:
            return advance(self)
        try:
            again = metered.again()
            if again is not None:
                return again[0]
            run.tag = metered.tag
            metered.asked()
        except Exception as error:
            metered.fail(error)
        try:
            data = advance(self)
        except StopIteration:
            metered.ended()
            raise
        if not metered.broken:
            try:
                metered.answered(data)
            except Exception as error:
                metered.fail(error)
        return data

    return next_batch
