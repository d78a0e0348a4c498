"""The Python path's iterators: torch's own, timed, recorded, and with bad samples caught."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from torch.utils.data import dataloader as torch_dataloader

from . import _C, _state
from ._dataset_states import DatasetStates
from ._inline import Guarded, GuardedCollate, GuardedDataset, InlineDataset
from ._recorder import IndexSampler, Run, is_iterable
from ._signals import is_interrupt
from .bad_samples import BadSample, EpochErrors
from .errors import DataError
from .stats import Meter
from .stats.meter import retire_with
from .stats.ranges import is_cuda_in_use, wait_range
from .stats.stand_ins import MeteredCollate, MeteredInit, metered

if TYPE_CHECKING:
    from .dataloader import DataLoader

_NAMED = 5  # samples that an error names
_Base = torch_dataloader._BaseDataLoaderIter


def _torchs_next() -> Any:
    """Torch's own ``__next__``; None where it has been replaced before this is imported."""
    code = getattr(_Base.__next__, "__code__", None)
    return _Base.__next__ if getattr(code, "co_filename", "") == torch_dataloader.__file__ else None


_TORCHS_NEXT = _torchs_next()


# Note [An iterator's own loader]
# A loader with persistent_workers holds its iterator, and an iterator needs its loader, which may be
# dropped before it. So that the two are no cycle (whose end, with all worker processes, would wait
# for the garbage collector), an iterator has a twin of the loader, which shares everything with it
# but the iterator. The twin is of a class of Stoker's own, whatever the loader's is: nothing that a
# script's subclass defines (__del__, __setattr__) runs where a twin is made, used or dropped, and it
# keeps nothing alive that the subclass has added. What torch's iterators ask for while they are made
# they read from the loader itself.
def twin_of(loader: DataLoader[Any]) -> Any:
    """See Note [An iterator's own loader]."""
    return loader._twin()


class LoaderView:
    """A loader as torch's iterators see it while they are made: with another dataset, index sampler or
    collate function."""

    def __init__(self, loader: DataLoader[Any], twin: DataLoader[Any], **others: Any) -> None:
        self._seen = loader
        self._twin = twin  # by which a diagnosis knows it
        self.__dict__.update(others, _index_sampler=IndexSampler(twin))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, name)


def timed_out(timeout: float, batch: int, samples: list[str]) -> RuntimeError:
    text = f"DataLoader timed out after {timeout:g} seconds, waiting for batch {batch:,}"
    if samples:
        more = f" and {len(samples) - _NAMED:,} more" if len(samples) > _NAMED else ""
        text += f"; of its samples these were pending: {', '.join(samples[:_NAMED])}{more}"
    return RuntimeError(text)


class HandsOver:
    """Torch's iterators, of which a batch has been had exactly when ``next`` returns it. See Note [What a
    signal's handler raises]."""

    _sampler_iter: Run
    _IterableDataset_len_called: Any
    _num_yielded: int
    _next_data: Any

    def __next__(self) -> Any:
        # Torch's own makes a range for profilers, which takes longer than all that is done here, and warns
        # of streams that are longer than they say. Others may have put theirs in its place.
        replaced = _Base.__next__ is not _TORCHS_NEXT
        if replaced or self._IterableDataset_len_called is not None or _C.is_profiled():
            data = super().__next__()  # type: ignore[misc]
        else:
            data = self._next_data()
            self._num_yielded += 1
        run = self._sampler_iter
        try:
            run.kept = None  # From here on it has been had.
            return data
        except BaseException:  # a tracer's or a debugger's: no handler runs between the two
            run.keep_instead(data)
            raise


class _Timed(HandsOver):
    """What is done around torch's own iterators: the consumer's clock, the recorder, bad samples."""

    _loader: DataLoader[Any]
    _meter: Meter
    _timeout: float
    _errors: EpochErrors
    _states: DatasetStates
    _first_batch = 0  # of the epoch, that this iterator gives
    _given = 0  # batches that were handed over
    _draws_late = False  # a batch's indices are drawn when it is asked for, and not ahead
    _goes_on = False  # in the middle of an epoch, of which this iterator has given nothing yet

    def _begin(self, loader: DataLoader[Any]) -> tuple[LoaderView, dict[str, Any] | None]:
        given = loader
        self._loader = loader = twin_of(loader)
        self._meter = loader._meter
        self._errors = loader._log.epoch
        resume = loader._recorder.constructing(loader)
        dataset, collate = loader.dataset, loader.collate_fn
        source = loader._source
        if source is not None:
            anew = loader.worker_init_fn is not None
            dataset = InlineDataset(dataset, source, loader.pixels == "exact", anew)
        if loader.on_error != "raise":
            dataset = GuardedDataset(dataset)
            collate = GuardedCollate(collate, loader.on_error, dataset, loader._auto_collation)
        block = self._meter.new_block(int(loader.num_workers))
        retire_with(self, self._meter, block)
        measured = metered(dataset, is_iterable(loader), block)
        self._by_index = not is_iterable(loader)
        self._states = DatasetStates(
            measured,
            int(loader.num_workers),
            None if resume is None else resume.get("dataset"),
            _state.is_in_mid_epoch(resume),
            bool(loader.persistent_workers),
        )
        return LoaderView(
            given,
            loader,
            dataset=measured,
            collate_fn=self._states.collate(MeteredCollate(collate, measured)),
            worker_init_fn=self._states.init(MeteredInit(loader.worker_init_fn)),
        ), resume

    def _begun(self, resume: dict[str, Any] | None) -> None:
        run = self._sampler_iter
        run.base_seed = int(self._base_seed)  # type: ignore[attr-defined]
        run.dataset_states = self._states.record if self._states.possible else None
        self._first_batch = self._given = 0
        self._goes_on = _state.is_in_mid_epoch(resume)
        if resume is None:
            return
        self._first_batch = int(resume["batches"])
        if not resume["whole"]:
            run.base_seed, run.epoch = resume["base_seed"], resume["epoch"]
        if self._states.instead and is_iterable(self._loader):
            run.stands_behind(resume)
        elif is_iterable(self._loader):
            for done in range(self._first_batch):
                self._drop(run, done, int(resume["raised"]))

    def _drop(self, run: Run, done: int, raised: int) -> None:
        """A batch that had been had in the run that is resumed, or had raised as ``raised`` in all did."""
        try:
            self._states.without(super()._next_data())
        except StopIteration:
            raise self._loader._state_error(done, self._first_batch) from None
        except Exception as e:
            if self._is_timeout(e) or not run.drawn or run.raised == raised:
                raise
            run.delivered(raised=True)
        else:
            run.delivered()

    def _next_data(self) -> Any:
        self._meter.asked()
        try:
            data = self._next_good()
        except StopIteration:
            self._loader._end_progress()
            if not self._goes_on:
                raise
            self._loader._nothing_left_of_epoch(self._first_batch)
            self._begin_next_epoch()
            return self._next_data()
        except BaseException:
            self._loader._end_progress()
            raise
        self._goes_on = False
        self._given += 1
        self._meter.answered()
        if self._loader.progress:
            self._loader._progress()
        return data

    def _begin_next_epoch(self) -> None:
        """As a loader's next iterator does, with this one in its place."""
        raise NotImplementedError

    def _next_good(self) -> Any:
        """The next batch of which something is left."""
        run = self._sampler_iter
        while True:
            if not run.has_kept:
                self._make_batch(run)
            data = run.kept
            if not isinstance(data, Guarded):
                return data
            try:
                self._note(data)
            except Exception as e:  # too many errors, or the manifest cannot be written
                if not is_interrupt(e):
                    self._meter.failed_batches += 1
                    run.kept = None
                raise
            if data.empty:
                run.kept = None
                self._loader._batch_is_empty(run.batches - 1)
                continue
            self._meter.left_out += sum(failed.replaced_by is None for failed in data.failures)
            run.keep_instead(data.batch)

    def _make_batch(self, run: Run) -> None:
        """Have torch make the next batch; it is kept."""
        if self._draws_late and self._by_index:
            run.give_again()  # what an interrupt has kept from being fetched
        try:
            if _C.is_profiled() or is_cuda_in_use():
                with wait_range():
                    data = super()._next_data()
            else:
                data = super()._next_data()
            if self._states.wanted:
                data = self._states.without(data)
        except StopIteration:
            run.finished = True
            self._meter.ended()
            if self._given + self._first_batch == 0:
                self._loader._log.check_for_nothing(self._errors)
            raise
        except DataError as e:
            e.batch = run.batches
            self._lost(run)
            if self._by_index:
                bad = BadSample(self._errors.number, e.batch, e.index, e.path, e.stage, e.reason, "raised")
                self._loader._log.add(bad, self._errors, 0)
            raise
        except Exception as e:
            if self._is_timeout(e):
                pending = run.oldest() if self._by_index else []
                several = pending if isinstance(pending, (list, tuple)) else [pending]
                raise timed_out(self._timeout, run.batches, [f"sample {i}" for i in several]) from None
            if not is_interrupt(e):
                self._lost(run)
            raise
        run.keep(data)

    def _lost(self, run: Run) -> None:
        """The batch has raised; where it was drawn it is gone, as in torch."""
        if run.drawn:
            self._meter.failed_batches += 1
            run.delivered(raised=True)

    def _is_timeout(self, error: Exception) -> bool:
        text = f"DataLoader timed out after {self._timeout} seconds"
        return type(error) is RuntimeError and str(error) == text

    def _note(self, data: Guarded) -> None:
        loader = self._loader
        batch = self._sampler_iter.batches
        for failed in data.failures:
            action = "skipped" if failed.replaced_by is None else "replaced"
            index = failed.index if isinstance(failed.index, int) else -1
            bad = BadSample(
                self._errors.number, batch, index, failed.path, failed.stage, failed.reason, action,
                failed.replaced_by,
            )  # fmt: skip
            self._meter.bad_sample(action)
            loader._log.add(bad, self._errors, loader._samples_in_epoch())


class TimedSingleProcessIterator(_Timed, torch_dataloader._SingleProcessDataLoaderIter):
    _draws_late = True

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._start(loader)

    def _start(self, loader: DataLoader[Any]) -> None:
        view, resume = self._begin(loader)
        super().__init__(view)
        self._begun(resume)

    def _begin_next_epoch(self) -> None:
        self._loader._epoch_begins()
        self._start(self._loader)
        self._meter.iterator_made()


# Note [What holds an iterator]
# An iterator that nobody holds any more ends its workers by its __del__, as torch does. Where the garbage
# collector ends it, because it is part of a cycle, that goes wrong in two ways, with torch's own loader
# as well. The collector ends the index queues' pipes together with the iterator, and __del__ then sends
# to these queues: a queue that has sent nothing yet, or that a fork has copied, starts its thread for
# that, and the thread closes the pipes' descriptors once more, by their numbers, which may be another
# file's by then. And the collector of a forked process, another iterator's worker for example, ends
# copies there, and with them workers that are not this process's. So
# - an error that the iterator keeps to raise it again is kept without its traceback, whose frames hold
#   the iterator;
# - an iterator that could not be made ends its workers at once;
# - the queues are held from outside as long as the iterator is there (weakref.finalize holds its
#   arguments), so that the collector does not find them;
# - only the process that has made an iterator ends its workers.
class TimedMultiProcessIterator(_Timed, torch_dataloader._MultiProcessingDataLoaderIter):
    _shutdown = True  # until torch has begun to start workers: there is nothing to end before
    _workers: Any = ()
    _index_queues: Any = ()

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._made_by = os.getpid()
        self._start(loader)

    def _start(self, loader: DataLoader[Any]) -> None:
        view, resume = self._begin(loader)
        try:
            super().__init__(view)
            self._queues = weakref.finalize(self, list, self._index_queues)
            self._queues.atexit = False
            self._meter.system.workers.update(p.pid for p in self._workers if p.pid is not None)
            self._begun(resume)
        except BaseException:
            self._shutdown_workers()
            raise

    def _shutdown_workers(self) -> None:
        """See Note [What holds an iterator]."""
        if os.getpid() != self._made_by:
            return
        if not hasattr(self, "_workers_status"):  # torch could not start all workers
            self._workers_status = [True] * len(self._workers)
        super()._shutdown_workers()
        if hasattr(self, "_queues"):
            self._queues.detach()

    def _begin_next_epoch(self) -> None:
        if self._persistent_workers:
            self._reset(self._loader)
            return
        self._loader._epoch_begins()
        self._start(self._loader)  # torch has ended the workers
        self._meter.iterator_made()

    def _try_put_index(self) -> None:
        if self._send_idx == 0:  # each worker's dataset goes on where it was
            for _ in range(self._states.first_worker):
                next(self._worker_queue_idx_cycle)
        super()._try_put_index()

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        epoch = None if first_iter else self._sampler_iter.epoch + 1
        if not first_iter:
            self._first_batch = 0
            self._given = 0
            self._goes_on = False
            self._states.first_worker = 0
            self._loader._epoch_begins()
            self._errors = self._loader._log.epoch
        super()._reset(loader, first_iter)
        if epoch is not None:
            self._sampler_iter.base_seed, self._sampler_iter.epoch = int(self._base_seed), epoch
            self._sampler_iter.dataset_states = self._states.record if self._states.possible else None
            self._meter.iterator_made()
