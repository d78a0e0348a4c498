"""The cores of one loader: leased to its iterators, kept between epochs, counted in its statistics."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from . import _C
from ._sources import Source
from .index import IndexLike, open_index
from .stats.workers import by_row

if TYPE_CHECKING:
    from .dataloader import DataLoader

T = TypeVar("T")

_indexes: weakref.WeakSet[_C.DecodeIndex] = weakref.WeakSet()
_running: weakref.WeakSet[_C.Loader] = weakref.WeakSet()
_all: weakref.WeakSet[Cores] = weakref.WeakSet()
# Cores that a fork brought along: their workers exist in the parent only, so nothing may touch them.
_inherited: list[_C.Loader] = []


@atexit.register
def _stop_all() -> None:
    """Ends the tasks of loaders that are still running when the interpreter exits, and writes what
    their indexes have not."""
    for core in list(_running):
        if core.pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # a thread that does not leave it
                core.stop()
    for index in list(_indexes):
        index.flush(True)


def _forked() -> None:
    for cores in list(_all):
        cores.begin_anew()


os.register_at_fork(after_in_child=_forked)


class Cores:
    """All cores of a loader: one that is spare, those that iterators have. In a fork it has none, and has
    measured nothing."""

    def __init__(self) -> None:
        self._made: dict[_C.Loader, Any] = {}
        # The index: by which process it was opened, and for which table.
        self._opened: tuple[int, Any, _C.DecodeIndex | None] | None = None
        self.begin_anew()
        _all.add(self)

    def begin_anew(self) -> None:
        """Put aside what a fork brought along."""
        _inherited.extend(self._made)
        self._lock = threading.RLock()
        self._retired = 0  # how many cores are gone
        self._spare: _C.Loader | None = None  # a core that no iterator is using
        self._made = {}  # all that exist, and what each was made for
        self._past = _C.StatsSum()  # what those measured that are gone
        self._past_work_s: tuple[float, ...] = ()

    def lease(self, loader: DataLoader[Any], source: Source, pin_memory: bool) -> _C.Loader:
        """A core for one iterator: the spare one, or a new one where there is none that fits.

        ``pin_memory``: asked for, and there is an accelerator.
        """
        prefetch = max(1, loader._batches_ahead)
        arguments = loader.pixels, loader.dct_scaling, loader.memory_format
        made_for = source.key(), arguments, int(loader.num_workers), prefetch, pin_memory
        core, self._spare = self._spare, None
        if core is not None and self._made[core] != made_for:
            self._retire(core)
            core = None
        if core is None:

            def prepare(plan: _C.SamplePlan) -> None:
                plan.exact_pixels = loader.pixels == "exact"
                plan.dct_scaling = loader.dct_scaling

            samples = source.sample_set(prepare, loader.memory_format == torch.channels_last)
            index = self.index(source, loader.index)
            core = _C.Loader(samples, loader.num_workers, prefetch, pin_memory, index)
            _running.add(core)
            self._made[core] = made_for
        return core

    def index(self, source: Source, which: IndexLike) -> _C.DecodeIndex | None:
        """The decode index, opened when first asked for (in each process)."""
        if source.table is None:
            return None
        opened_for = os.getpid(), source.table.root
        if self._opened is None or self._opened[:2] != opened_for:
            index = open_index(source.table, which)
            self._opened = (*opened_for, index)
            if index is not None:
                _indexes.add(index)
        return self._opened[2]

    def index_problem(self) -> str:
        """Why nothing is added to the index; an index that a fork brought along is not asked."""
        pid, _, index = self._opened or (0, None, None)
        return index.problem if index is not None and pid == os.getpid() else ""

    def give_back(self, core: _C.Loader) -> None:
        if core not in self._made:
            return
        core.stop()
        if self._spare is None:
            self._spare = core
        else:
            self._retire(core)

    def _retire(self, core: _C.Loader) -> None:
        with self._lock:
            self._retired += 1
            self._past.add(core.stats())
            self._past_work_s = by_row(self._past_work_s, core.work_s())
            del self._made[core]

    def _counted_once(self, add_up: Callable[[], T]) -> T:
        """What ``add_up`` makes of the cores that there are and of those that are gone. A core may go
        meanwhile, in this thread too: its iterator need only be collected."""
        with self._lock:
            while True:
                retired = self._retired
                total = add_up()
                if retired == self._retired:
                    return total

    def measured(self) -> _C.StatsSum:
        """What all of them have measured."""

        def add_up() -> _C.StatsSum:
            total = _C.StatsSum()
            total.add(self._past)
            for core in list(self._made):
                total.add(core.stats())
            return total

        return self._counted_once(add_up)

    def work_s(self) -> tuple[float, ...]:
        """For how many seconds each worker has been at work, by its number in its core. Cheap."""
        return self._counted_once(
            lambda: by_row(self._past_work_s, *(core.work_s() for core in list(self._made)))
        )
