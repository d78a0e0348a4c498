"""What a loader's iterators draw from its sampler, noted so that it can be drawn again.

A loader's iterators draw their indices through a Recorder, which notes what the sampler gave and
what the random generators were before it began. Resuming means: the generators as they were, the
sampler anew, and as many batches dropped as had been delivered; a checksum of their indices tells
whether that led to the same place.
"""

from __future__ import annotations

import base64
import copy
import itertools
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import BatchSampler, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from . import _C
from .distributed import ShardSampler

if TYPE_CHECKING:
    from .dataloader import DataLoader


class StateError(ValueError):
    """A state that does not fit the loader that it was given to."""


def encoded(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _decoded(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def generators(loader: DataLoader[Any]) -> dict[str, torch.Generator]:
    """The generators that a loader's sampler may draw from, by name."""
    found = {"loader": loader.generator} if loader.generator is not None else {}
    found["default"] = torch.default_generator
    sampler = sampler_of(loader)
    own = getattr(sampler, "generator", None)
    if isinstance(own, torch.Generator) and all(own is not g for g in found.values()):
        found["sampler"] = own
    return found


def sampler_of(loader: DataLoader[Any]) -> Any:
    """The sampler of single indices, where there is one."""
    if loader.batch_sampler is None:
        return loader.sampler
    return getattr(loader.batch_sampler, "sampler", loader.batch_sampler)


def deals_in_turn(sampler: Any) -> bool:
    """Whether a sampler gives its ranks every n-th index, as torch's DistributedSampler does."""
    plain = (DistributedSampler.__iter__, ShardSampler.__iter__)
    return isinstance(sampler, DistributedSampler) and type(sampler).__iter__ in plain


def _checksum(crc: int, batch: Any) -> int:
    data = _C.index_bytes(batch)
    return zlib.crc32(repr(batch).encode() if data is None else data, crc)


class Run:
    """One pass over the index sampler.

    Attributes:
        batches, samples, checksum: of the batches that the consumer has had, or that raised.
        raised: how many of them raised.
        finished: the consumer has had all.
        generators: those that the sampler may draw from, by name, as the pass began.
        offset: how many samples of the epoch, of all ranks, had been had before this pass.
        begun: the sampler has been asked.
        base_seed, epoch: what the iterator keys its random numbers by.
        on_skip: called with the indices of each batch that a resumed pass leaves out.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._its_loader = weakref.ref(loader)  # which the iterator holds
        self._batched = loader._auto_collation
        recorder = loader._recorder
        self._resume = resume = recorder.resume
        self.generators = generators(loader)
        self.batches = self.samples = self.checksum = self.raised = 0
        self.finished = False
        self.base_seed, self.epoch = 0, 0
        self.on_skip: Callable[[Any], None] | None = None
        self._drawn: deque[tuple[int, int, Any]] = deque()  # checksum, samples, indices of those ahead
        self._crc = 0
        self.begun = False
        self._under_way = False  # the sampler has given this pass a batch, or has raised
        self._refused: StateError | None = None
        self.offset = int(resume["offset"]) if resume else 0
        if resume:
            set_generators(self.generators, resume, "before")
        self.sampler_epoch = getattr(sampler_of(loader), "epoch", None)
        self.before = states_of(self.generators)
        self._inner = self._resharded() if self.offset else iter(loader._index_sampler)
        self._created = states_of(self.generators) if resume else {}
        self.first: dict[str, torch.Tensor] = {}

    def _loader(self) -> DataLoader[Any]:
        loader = self._its_loader()
        assert loader is not None
        return loader

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        batch = next(self._inner) if self._under_way else self._first()
        if self._batched and not hasattr(batch, "__len__"):
            batch = list(batch)
        self._note(batch)
        return batch

    def _first(self) -> Any:
        """The first batch behind those that had been had before."""
        if self._refused is not None:
            raise self._refused
        if not self.begun:
            self.begun = True
            try:
                self._begin()
            except StateError as e:
                self._refused = e
                raise
        try:
            return next(self._inner)
        finally:
            self._under_way = True
            if self._resume is not None:
                # Behind what the sampler drew for its first step, which may have been this one.
                _set_generator(torch.default_generator, self._resume, "default", "now")

    def _note(self, batch: Any) -> None:
        self._crc = crc = _checksum(self._crc, batch)
        self._drawn.append((crc, len(batch) if self._batched else 1, batch))

    def _begin(self) -> None:
        resume = self._resume
        if resume is None:
            self.first = states_of(self.generators)
            return
        # What was drawn between making the iterator and its first step is undone: the sampler may
        # draw now.
        for name, generator in self.generators.items():
            if not _set_generator(generator, resume, name, "first"):
                generator.set_state(self._created[name])
        self.first = states_of(self.generators)
        own = resume["rank"] == world_of(self._loader())[0]
        if not own:  # of another rank's state: its indices are checked, and mine dropped
            self._check_other_rank(resume)
        for done in range(int(resume["batches"])):
            try:
                self._note(next(self._inner))
            except StopIteration:
                raise StateError(
                    f"the state is {resume['batches']:,} batches into its epoch, but the sampler gave only "
                    f"{done:,}"
                ) from None
            skipped = self.delivered()
            if self.on_skip is not None:
                self.on_skip(skipped)
        if own:
            _check_replayed(self.checksum, resume)
        recorder = self._loader()._recorder
        if recorder.resume is resume:
            recorder.resume = None
        self.on_skip = None

    def _check_other_rank(self, resume: dict[str, Any]) -> None:
        sampler = copy.copy(sampler_of(self._loader()))
        sampler.rank = resume["rank"]
        batches: Any = self._loader().batch_sampler
        if not deals_in_turn(sampler) or (batches is not None and type(batches) is not BatchSampler):
            return  # which nobody can make for another rank
        inner = self._dealt(sampler) if self.offset else iter(sampler)
        crc = 0
        if batches is not None:
            inner = iter(BatchSampler(inner, batches.batch_size, batches.drop_last))
        for batch in itertools.islice(inner, int(resume["batches"])):
            crc = _checksum(crc, batch)
        _check_replayed(crc, resume)

    @property
    def has_still_to_resume(self) -> bool:
        """It begins from a state, and has not gone there yet."""
        return self._resume is not None and not self.begun

    def delivered(self) -> Any:
        """The consumer has had the oldest batch drawn; returns its indices."""
        self.checksum, samples, batch = self._drawn.popleft()
        self.samples += samples
        self.batches += 1
        return batch

    @property
    def has_drawn(self) -> bool:
        """The batch that the consumer gets next is drawn."""
        return bool(self._drawn)

    def oldest(self) -> Any:
        """The indices of the batch that the consumer gets next, which is drawn; None: its place in an
        iterable dataset has none."""
        return self._drawn[0][2]

    def _resharded(self) -> Iterator[Any]:
        """Batches of what is left of the epoch behind ``offset``, dealt to the present ranks anew."""
        sampler = sampler_of(self._loader())
        batches: Any = self._loader().batch_sampler
        mine = self._dealt(sampler)
        if isinstance(sampler, ShardSampler):
            sampler.epoch += 1  # as if it had been asked itself
        if batches is None:
            yield from mine
        else:
            yield from BatchSampler(mine, batches.batch_size, batches.drop_last)

    def _dealt(self, sampler: Any) -> Iterator[Any]:
        """What is left for the sampler's rank."""
        everything = copy.copy(sampler)
        everything.num_replicas, everything.rank = 1, 0
        everything.num_samples = everything.total_size = len(sampler.dataset)
        left = list(everything)[self.offset :]
        ranks = sampler.num_replicas
        if sampler.drop_last:
            left = left[: len(left) // ranks * ranks]
        elif left:
            missing = -len(left) % ranks
            left += (left * (missing // len(left) + 1))[:missing]
        return iter(left[sampler.rank :: ranks])


def _check_replayed(checksum: int, resume: dict[str, Any]) -> None:
    if checksum != int(resume["checksum"]):
        raise StateError(
            f"the sampler gave other indices than in the run that the state is from, in its first "
            f"{resume['batches']:,} batches: it draws from a generator that the loader does not know "
            "(give it to the loader as generator=), or the data set has changed"
        )


class Recorder:
    """What is known of a loader's passes over its index sampler.

    Attributes:
        run: the latest.
        resume: the state that the next pass begins from.
        start: the generators' states before the present iterator was made.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.resume: dict[str, Any] | None = None
        self.start: dict[str, torch.Tensor] = {}

    def constructing(self, loader: DataLoader[Any]) -> dict[str, Any] | None:
        """An iterator is about to be made; returns the state that it begins from."""
        resume = self.resume
        if resume is not None:
            self._check_epoch(loader, resume)
            if resume["whole"]:  # an epoch from its start: all that is needed is what was drawn from
                set_generators(generators(loader), resume, "before")
                self.resume = None
        self.start = states_of(generators(loader))
        return resume

    @staticmethod
    def _check_epoch(loader: DataLoader[Any], resume: dict[str, Any]) -> None:
        wanted = resume["sampler_epoch"]
        epoch = getattr(sampler_of(loader), "epoch", None)
        if wanted is not None and epoch != wanted:
            raise StateError(
                f"the sampler is at epoch {epoch}, but the state is in the middle of epoch {wanted}: call "
                f"set_epoch({wanted})"
            )


class IndexSampler:
    """A loader's index sampler as its iterators see it: each pass over it is a Run."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Run:
        run = self._loader._recorder.run = Run(self._loader)
        return run

    def __len__(self) -> int:
        return len(self._loader._index_sampler)


def states_of(generators: dict[str, torch.Generator]) -> dict[str, torch.Tensor]:
    return {name: g.get_state() for name, g in generators.items()}


def set_generators(generators: dict[str, torch.Generator], state: dict[str, Any], when: str) -> None:
    for name, generator in generators.items():
        _set_generator(generator, state, name, when)


def _set_generator(generator: torch.Generator, state: dict[str, Any], name: str, when: str) -> bool:
    saved = state["generators"].get(name, {}).get(when)
    if saved is not None:
        generator.set_state(_decoded(saved))
    return saved is not None


def is_iterable(loader: DataLoader[Any]) -> bool:
    return isinstance(loader.dataset, IterableDataset)


def world_of(loader: DataLoader[Any]) -> tuple[int, int]:
    sampler = sampler_of(loader)
    if isinstance(sampler, DistributedSampler):
        return int(sampler.rank), int(sampler.num_replicas)
    return 0, 1
