"""The native path's iterator: indices from the sampler, batches from the core."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import _utils
from torch.utils.data import dataloader as torch_dataloader

from . import _C, _state
from ._arguments import indices_problem
from ._iterators import HandsOver, LoaderView, timed_out, twin_of
from ._printable import printable_name
from ._signals import is_interrupt
from ._sources import Fetched
from .bad_samples import MAX_REPLACEMENTS, BadSample, reason_of, replacement
from .errors import DataError
from .stats.ranges import wait_range

if TYPE_CHECKING:
    from .dataloader import DataLoader


@dataclass
class _Broken:
    """Stands for the target of a sample that Python could not give."""

    error: Exception

    def reason(self) -> str:
        return reason_of(self.error)


class _Flight(NamedTuple):
    """A batch in flight: its number within the epoch, what Python knows of its samples, and their
    sources. Or what kept it from being submitted."""

    number: int
    known: list[Any]
    sources: list[Fetched] | None
    error: Exception | None = None

    @property
    def indices(self) -> list[Any]:
        return self.known if self.sources is None else [index for index, _ in self.known]


class _Ready(NamedTuple):
    """A batch whose failures have been dealt with."""

    images: torch.Tensor
    targets: Any
    empty: bool


class NativeIterator(HandsOver, torch_dataloader._BaseDataLoaderIter):
    """One epoch (with ``persistent_workers`` one after the other) from the core.

    Any step may be cut short by what a signal's handler raises, and is taken up again by the next call:
    see Note [What a signal's handler raises].

    The base class draws the base seed and then makes the sampler's iterator, in torch's order.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._core: _C.Loader | None = None
        self._start(loader)

    def _start(self, loader: DataLoader[Any]) -> None:
        given = loader
        self._loader = loader = twin_of(loader)
        resume = loader._recorder.constructing(loader)
        view: Any = LoaderView(given, loader)
        super().__init__(view)
        if loader.num_workers > 0:
            super()._reset(loader, first_iter=True)  # as torch's with workers: the sampler's iterator anew
        self._meter = loader._meter
        self._errors = loader._log.epoch
        self._goes_on = _state.is_in_mid_epoch(resume)  # and has given nothing of its epoch yet
        self._epoch = 0
        self._batch = 0
        if resume is not None and not resume["whole"]:
            self._base_seed, self._epoch = resume["base_seed"], resume["epoch"]
            self._batch = int(resume["batches"])
        assert loader._source is not None
        self._source = loader._source
        self._begin()

    def _begin(self) -> None:
        self._failure: Exception | None = None
        self._exhausted = False
        self._in_flight: deque[_Flight] = deque()
        # What the core gave for the first of them; a list, for the core to put it there.
        self._got: list[Any] = [None]
        if self._core is None or self._core.pid != os.getpid():
            self._core = self._loader._cores.lease(self._loader, self._source, bool(self._pin_memory))
        self._core.start_epoch(int(self._base_seed), self._epoch)
        run = self._run = self._sampler_iter
        run.base_seed, run.epoch = int(self._base_seed), self._epoch
        core = self._core
        batched = self._auto_collation
        run.on_skip = lambda batch: core.skip(list(batch) if batched else [batch])
        self._given = self._batch  # batches that were handed over, those before a resume included
        # Without workers nothing is done before it is asked for, the sampler's steps included.
        self._ahead = self._num_workers > 0
        if self._ahead:
            self._fill(core)

    def _reset(self, loader: DataLoader[Any], first_iter: bool = False) -> None:
        """The next epoch of ``persistent_workers``: the base seed stays, as in torch."""
        self._loader._epoch_begins()
        self._errors = self._loader._log.epoch
        self._source = self._loader._resolved()
        self._give_back()  # the dataset may have changed
        super()._reset(loader, first_iter)
        self._goes_on = False
        self._epoch += 1
        self._batch = 0
        self._begin()
        self._meter.iterator_made()

    def _fill(self, core: _C.Loader) -> None:
        """Submit batches until as many are in flight as may be. What the sampler raises is kept
        until the batches before it have been handed over."""
        run = self._run
        while not self._exhausted and len(self._in_flight) - self._has_got < core.prefetch:
            # Where this was cut short, the batch is drawn and not in flight.
            run.give_again(self._in_flight[-1].number + 1 if self._in_flight else run.number)
            try:
                indices = next(self._sampler_iter)
            except StopIteration:
                self._exhausted = True
                break
            except Exception as e:
                if is_interrupt(e):
                    raise
                self._failure = e
                self._exhausted = True
                break
            batch = list(indices) if self._auto_collation else [indices]
            self._in_flight.append(self._flight(run.given - 1, batch))
            self._submit(core)
        if self._exhausted:
            core.end_of_indices()

    @property
    def _has_got(self) -> bool:
        return self._got[0] is not None

    def _flight(self, number: int, batch: list[Any]) -> _Flight:
        if self._source.tabled:
            return _Flight(number, batch, None)
        try:
            fetched = [self._fetch(index) for index in batch]
        except Exception as e:
            if is_interrupt(e):
                raise
            return _Flight(number, batch, None, e)  # that batch's own
        sources = [where for where, _ in fetched]
        return _Flight(number, [(i, target) for i, (_, target) in zip(batch, fetched)], sources)

    def _submit(self, core: _C.Loader) -> None:
        """Give the core the batch in flight that it does not have yet, where there is one."""
        good = [at for at, flight in enumerate(self._in_flight) if flight.error is None]
        for at in good[core.in_flight + self._has_got :]:
            flight, before = self._in_flight[at], core.in_flight
            try:
                core.submit(flight.indices, *(() if flight.sources is None else (flight.sources,)))
            except Exception as e:
                if core.in_flight > before or is_interrupt(e):
                    raise
                problem = indices_problem(flight.indices) if isinstance(e, TypeError) else None
                self._in_flight[at] = flight._replace(error=problem or e)  # that batch's own

    def _fetch(self, index: Any) -> tuple[Fetched, Any]:
        """A sample's source and target; where that raises and shall not, no bytes and what it was."""
        began = time.perf_counter_ns()
        try:
            where, target = self._source.fetch(index)
            self._meter.fetch.record(time.perf_counter_ns() - began)
            return where, target
        except Exception as e:
            if self._loader.on_error == "raise" or is_interrupt(e):
                raise
            return (b"", b""), _Broken(e)

    def _next_data(self) -> Any:
        self._meter.asked()
        run = self._run
        try:
            while not run.has_kept:
                self._make_batch()
            self._settle()  # which may have been cut short
            data = run.kept
        except StopIteration:
            self._loader._end_progress()
            if not self._goes_on:
                raise
            self._loader._nothing_left_of_epoch(self._run.number)
            self._begin_next_epoch()
            return self._next_data()
        except BaseException:
            self._loader._end_progress()
            raise
        self._goes_on = False
        self._given += 1
        self._meter.answered(*self._batch_wait)
        if self._loader.progress:
            self._loader._progress()
        return data

    def _begin_next_epoch(self) -> None:
        """As the loader's next iterator does, with this one in its place."""
        if self._persistent_workers:
            self._reset(self._loader)
            return
        self._loader._epoch_begins()
        self._start(self._loader)
        self._meter.iterator_made()

    def _make_batch(self) -> None:
        """Make the next batch; it is kept, or where nothing of it is left it is not."""
        self._settle()
        core = self._core
        if core is None:
            raise StopIteration
        if not self._in_flight:
            self._fill(core)
        if not self._in_flight:
            self._end()
        flight = self._in_flight[0]
        self._batch = flight.number
        if flight.error is not None:
            self._lose(core)
            raise flight.error
        self._submit(core)
        ready = self._ready(core, flight)
        data = None
        try:
            if not ready.empty:
                data = self._collate(ready.images, ready.targets)
        except Exception as e:
            if not is_interrupt(e):
                self._meter.failed_batches += 1
                self._run.delivered()
            raise
        if ready.empty:
            self._run.delivered()
            self._loader._batch_is_empty(flight.number)
            return
        self._meter.samples += len(ready.targets)
        self._run.keep(data)
        self._settle()

    def _end(self) -> None:
        """All batches have been had."""
        if self._failure is None:
            self._run.finished = True
        self._give_back()
        if self._failure is not None:
            raise self._failure
        self._meter.ended()
        if self._given == 0:
            self._loader._log.check_for_nothing(self._errors)
        raise StopIteration

    def _ready(self, core: _C.Loader, flight: _Flight) -> _Ready:
        """The oldest batch in flight, whose place in flight is then filled."""
        if not self._has_got:
            with wait_range():
                in_time = core.wait(self._timeout)
            if not in_time:
                pending = [f"{index:,} ({printable_name(path)})" for index, path in core.pending()]
                raise timed_out(self._timeout, flight.number, pending)
            core.next(self._got)
        got = self._got[0]
        if got is MemoryError:
            self._lose(core)
            raise MemoryError(f"out of memory for batch {flight.number:,}")
        if not isinstance(got, _Ready):
            images, labels, failures, (complete, blame) = got
            self._batch_wait = complete, blame
            try:
                images, targets = self._without_failures(
                    core, images, labels, flight.known, flight.sources, failures
                )
            except Exception as e:
                if not is_interrupt(e):
                    self._lose(core)
                raise
            self._got[0] = got = _Ready(images, targets, len(targets) == 0 and len(labels) > 0)
        if self._ahead:
            self._fill(core)
        return got

    def _lose(self, core: _C.Loader) -> None:
        """The batch raises: it is not to come again."""
        self._meter.failed_batches += 1
        self._run.delivered()
        self._settle()
        if self._ahead:
            self._fill(core)

    def _settle(self) -> None:
        """Put away what the run is behind already."""
        while self._in_flight and self._in_flight[0].number < self._run.number:
            if self._in_flight[0].error is None:
                self._got[0] = None
            self._in_flight.popleft()

    def _without_failures(
        self,
        core: _C.Loader,
        images: torch.Tensor,
        labels: torch.Tensor,
        known: list[Any],
        sources: list[Fetched] | None,
        failures: list[tuple[int, int, DataError]],
    ) -> tuple[torch.Tensor, Any]:
        """The batch's images and targets, once the policy has dealt with what failed."""
        targets: Any = labels
        if sources is not None:
            targets = [target for _, target in known]
        elif self._source.transforms_targets:
            targets = [self._target(i, label) for i, label in zip(known, labels.tolist())]
        failures = self._with_broken(failures, known, targets)
        if failures:
            bad = _Replacer(self, core, images, targets).without(failures)
            if bad:
                good = [i for i in range(len(images)) if i not in bad]
                keep = torch.tensor(good, dtype=torch.int64, device="cpu")
                images = images.index_select(0, keep).contiguous(memory_format=self._loader.memory_format)
                if self._pin_memory:
                    images = images.pin_memory()
                if isinstance(targets, torch.Tensor):
                    targets = targets[keep].pin_memory() if self._pin_memory else targets[keep]
                else:
                    targets = [targets[i] for i in keep.tolist()]
        return images, targets

    def _target(self, index: int, label: int) -> Any:
        try:
            return self._source.target(index, label)
        except Exception as e:
            if self._loader.on_error == "raise" or is_interrupt(e):
                raise
            return _Broken(e)

    def _with_broken(
        self, failures: list[tuple[int, int, DataError]], known: list[Any], targets: Any
    ) -> list[tuple[int, int, DataError]]:
        """``failures``, and the samples whose targets are what Python raised."""
        if isinstance(targets, torch.Tensor):
            return failures
        found = {position: (position, n, error) for position, n, error in failures}
        for position, target in enumerate(targets):
            if isinstance(target, _Broken):
                index = known[position][0] if isinstance(known[position], tuple) else known[position]
                found[position] = (position, 0, DataError(int(index), "", "python", target.reason()))
        return [found[position] for position in sorted(found)]

    def _collate(self, images: torch.Tensor, targets: Any) -> Any:
        """The batch in the structure that torch gives it."""
        collate: Any = self._collate_fn
        stacked = collate is _utils.collate.default_collate  # the core has stacked the images already
        if stacked:
            if isinstance(targets, torch.Tensor):
                return [images, targets]
            data = [images, collate(tuple(targets))]
        else:
            began = time.perf_counter_ns()
            several = targets.tolist() if isinstance(targets, torch.Tensor) else targets
            samples = list(zip(images.unbind(0), several))
            data = collate(samples if self._auto_collation else samples[0])
            self._meter.collate.record(time.perf_counter_ns() - began)
        if self._pin_memory:
            pin: Any = _utils.pin_memory.pin_memory
            data = pin(data, self._pin_memory_device)
        return data

    def _give_back(self) -> None:
        core, self._core = self._core, None
        if core is not None:
            self._loader._cores.give_back(core)

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None:
            self._give_back()
            if core.pid == os.getpid():
                self._meter.left()


class _Replacer:
    """Deals with the failures of one batch as the loader's ``on_error`` says."""

    def __init__(self, iterator: NativeIterator, core: _C.Loader, images: torch.Tensor, targets: Any) -> None:
        self._iterator = iterator
        self._loader = iterator._loader
        self._source = iterator._source
        self._core = core
        self._images = images
        self._targets = targets

    def without(self, failures: list[tuple[int, int, DataError]]) -> set[int]:
        """The positions to leave out; the others are as they should be.

        Raises:
            DataError: the first failure, where the policy is to raise.
            TooManyErrorsError: more than ``max_errors`` allows.
        """
        left_out: set[int] = set()
        first: DataError | None = None
        for position, occurrence, error in failures:
            if self._by_python(position, error):
                continue
            error.batch = self._iterator._batch
            if self._loader.on_error == "raise":
                self._note(error, "raised")
                first = first or error
            elif self._loader.on_error == "skip":
                self._note(error, "skipped")
                left_out.add(position)
            elif not self._replaced(position, occurrence, error):
                left_out.add(position)
        if first is not None:
            raise first
        return left_out

    def _note(self, error: DataError, action: str, by: int | None = None) -> None:
        errors, batch = self._iterator._errors, self._iterator._batch
        bad = BadSample(
            errors.number, batch, error.index, error.path, error.stage, error.reason, action, by
        )  # fmt: skip
        self._iterator._meter.bad_sample(action)
        self._loader._log.add(bad, errors, self._loader._samples_in_epoch())

    def _replaced(self, position: int, occurrence: int, error: DataError) -> bool:
        seed, epoch = int(self._iterator._base_seed), self._iterator._epoch
        for attempt in range(MAX_REPLACEMENTS):
            other = replacement(seed, epoch, error.index, occurrence, attempt, self._source.size)
            try:
                target = self._load(other, position, attempt)
            except Exception as e:
                if is_interrupt(e):
                    raise
                continue  # recorded when its own turn comes
            self._note(error, "replaced", other)
            self._targets[position] = target
            return True
        self._note(error, "skipped")
        return False

    def _load(self, index: int, position: int, attempt: int) -> Any:
        # Numbers of its own, which no sample of the epoch has.
        occurrence = 2**31 + attempt
        if self._source.tabled:
            label = self._core.load_into(index, occurrence, self._images, position)
            return self._source.target(index, label) if self._source.transforms_targets else label
        where, target = self._source.fetch(index)
        self._core.load_into(index, occurrence, self._images, position, where)
        return target

    def _by_python(self, position: int, error: DataError) -> bool:
        """Where a torchvision dataset's own loader can read what the core cannot: whether it did."""
        leaf, local = self._source.locate(error.index)
        if not leaf.has_a_loader_of_its_own(error):
            return False
        before = random.getstate()
        with torch.random.fork_rng(devices=[]):
            seed = hash((int(self._iterator._base_seed), self._iterator._epoch, error.index))
            torch.default_generator.manual_seed(seed)  # not those of accelerators, which are not put back
            random.seed(seed)  # which some of torchvision's transforms draw from
            try:
                image, _ = leaf.dataset[local]
            except Exception as its_error:
                if is_interrupt(its_error):
                    raise
                leaf.neither_can_read(error, its_error)
                return False
            finally:
                random.setstate(before)
        if not isinstance(image, torch.Tensor) or image.shape != self._images.shape[1:]:
            return False
        self._images[position].copy_(image)
        return True
