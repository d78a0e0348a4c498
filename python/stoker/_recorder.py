"""What a loader's iterators draw from its sampler, noted so that it can be drawn again.

A loader's iterators draw their indices through a Recorder, which notes what the sampler gave and
what the random generators were before it began. Resuming means: the generators as they were, the
sampler anew, and as many batches dropped as had been delivered; a checksum of their indices tells
whether that led to the same place.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import BatchSampler, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from . import _C
from ._sampler_states import SamplerStates
from ._signals import is_interrupt
from ._state_values import decoded
from ._words import counted
from .distributed import ShardSampler
from .errors import StateError

if TYPE_CHECKING:
    from .dataloader import DataLoader


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


# Note [What a signal's handler raises]
# It may come between any two steps of what ``next`` does. A batch shall then be neither lost nor
# given twice, and the state must count it exactly when ``next`` has returned it. So each step that
# changes what is known of a batch is one call of the core, into whose midst no handler comes; a batch
# that is made is kept until the one store before ``return``. What is left: an exception out of the
# user's own code (a sampler that is in the midst of a step, an iterable dataset, torch's worker
# processes) has that code's effects; a sampler in the midst of a step is not asked again.
class Run(_C.Passage):
    """One pass over the index sampler. See Note [What a signal's handler raises].

    Attributes:
        batches, samples, checksum: of the batches that the consumer has had, or that raised.
        raised: how many of them raised.
        sampler_state: what the sampler had of its own behind the last of them.
        has_kept, kept: the batch that the consumer gets next is made already; it has not been had.
        number: of the batch that is to be made next.
        drawn: how many batches are drawn and not made.
        given: how many batches of the epoch it has given, those before a resume included.
        finished: the consumer has had all, and knows: see ``is_over``.
        generators: those that the sampler may draw from, by name, as the pass began.
        offset: how many samples of the epoch, of all ranks, had been had before this pass.
        begun: the sampler has been asked.
        base_seed, epoch: what the iterator keys its random numbers by.
        dataset_states: gives those that the dataset has of its own; None: nobody has looked.
        on_skip: called with the indices of each batch that a resumed pass leaves out.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader._auto_collation)
        self._its_loader = weakref.ref(loader)  # which the iterator holds
        recorder = loader._recorder
        self._resume = resume = recorder.resume
        self.generators = generators(loader)
        self.finished = False
        self.base_seed, self.epoch = 0, 0
        self.on_skip: Callable[[Any], None] | None = None
        self.dataset_states: Callable[[], Any] | None = None
        self._drawing = False  # the sampler is in the midst of a step
        self._peeked: list[Any] = []  # what is_over has asked for: a batch's indices, or an error
        self._exhausted = False
        self.begun = self._restored = self._resumed = False
        self._refused: Callable[[], Exception] | None = None  # Note [What holds an iterator] in _iterators.py
        self.offset = int(resume["offset"]) if resume else 0
        if resume:
            set_generators(self.generators, resume, "before")
        saved = resume.get("sampler_state") if resume else None
        self._sampler_states = SamplerStates(loader, sampler_of(loader), saved)
        # A state that was loaded may be of an epoch's end, and the sampler say so.
        self._may_be_over = (recorder.sampler_restored or saved is not None) and not self.offset
        self.sampler_epoch = getattr(sampler_of(loader), "epoch", None)
        self.before = states_of(self.generators)
        self._inner = self._resharded() if self.offset else iter(self._sampler_states)
        self._created = states_of(self.generators) if resume else {}
        self.first: dict[str, torch.Tensor] = {}

    def _loader(self) -> DataLoader[Any]:
        loader = self._its_loader()
        assert loader is not None
        return loader

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._refused is not None:
            raise self._refused()
        if not self.begun:
            self.begun = True
            try:
                self._begin()
            except StateError as e:
                self._refused = functools.partial(StateError, *e.args)
                raise
            except BaseException:
                self._refused = _interrupted
                raise
        if not self.has_more():
            self._draw()
        return self.give()

    def _draw(self) -> None:
        if self._drawing:
            self._refused = _interrupted
            raise _interrupted()
        self._drawing = True
        try:
            batch = self._next_of_sampler()
        except Exception as e:  # the sampler's own; StopIteration as well
            self._drawing = is_interrupt(e)
            raise
        finally:
            if self._resume is not None and not self._restored:
                # Behind what the sampler drew for its first step, which may have been this one.
                self._restored = True
                _set_generator(torch.default_generator, self._resume, "default", "now")
        self._note(batch)
        self._drawing = False

    def _next_of_sampler(self) -> Any:
        if self._peeked:
            batch = self._peeked.pop()
            if isinstance(batch, Exception):
                raise batch
            return batch
        try:
            return self._step()
        except StopIteration:
            self._exhausted = True
            raise

    def _step(self) -> Any:
        try:
            return next(self._inner)
        except StopIteration:
            if not self._may_be_over:
                raise
            self._inner = iter(self._sampler_states)
            self._may_be_over = False
            return next(self._inner)

    def sampler_record(self) -> dict[str, Any] | None:
        """The sampler's own states, as they are in the loader's: see Note [A sampler's own state]."""
        return self._sampler_states.record(self.sampler_state, self.finished)

    def is_over(self) -> bool:
        """Whether the consumer has had all batches, whoever has seen the end.

        A sampler that has given as many as its length says is asked whether there is one more.
        """
        ahead = self.has_kept or self.drawn or self._peeked or self._drawing
        if self.finished or ahead or not self.begun:
            return self.finished
        if not self._exhausted and self._seems_over():
            self._drawing = True
            try:
                self._peeked.append(self._next_of_sampler())
            except StopIteration:
                pass
            except Exception as e:
                if is_interrupt(e):
                    raise
                self._peeked.append(e)  # the next step's own
            self._drawing = False
        self.finished = self._exhausted
        return self.finished

    def _seems_over(self) -> bool:
        if self.offset:
            return True  # what is left of an epoch is a list, which may be asked at any time
        with contextlib.suppress(Exception):  # whatever the script's own sampler raises
            return 0 < len(self._loader()._index_sampler) <= self.batches
        return False

    def _note(self, batch: Any) -> None:
        self._may_be_over = False
        self.note(batch, self._sampler_states.now())

    def _begin(self) -> None:
        resume = self._resume
        recorder = self._loader()._recorder
        recorder.sampler_restored = False
        if resume is None:
            self.first = states_of(self.generators)
            return
        self._set_first(resume)
        self.first = states_of(self.generators)
        self._go_there(resume)
        self._resumed = True
        if recorder.resume is resume:
            recorder.resume = None
        self.on_skip = None

    def _set_first(self, resume: dict[str, Any]) -> None:
        """What was drawn between making the iterator and its first step is undone: the sampler draws now."""
        for name, generator in self.generators.items():
            if not _set_generator(generator, resume, name, "first"):
                generator.set_state(self._created[name])

    def _go_there(self, resume: dict[str, Any]) -> None:
        """Behind the batches that had been had. See Note [A sampler's own state]."""
        states, on_skip = self._sampler_states, self.on_skip or (lambda _batch: None)
        skipped: list[Any] = []  # until it is known that they are the right ones
        wrong = self._draw_again(resume, skipped.append if states.resumes else on_skip)
        if not self.offset and (instead := states.go_on()) is not None:
            set_generators(self.generators, resume, "before")
            self._inner = iter(states)
            self._set_first(resume)
            batches, samples = int(resume["batches"]), int(resume["samples"])
            self.go_to(batches, samples, int(resume["checksum"]), int(resume["raised"]), instead)
        elif wrong is not None:
            raise StateError(wrong)
        else:
            for batch in skipped:
                on_skip(batch)

    def _draw_again(self, resume: dict[str, Any], on_skip: Callable[[Any], None]) -> str | None:
        """The batches that had been had; returns what was wrong with them."""
        own = resume["rank"] == world_of(self._loader())[0]
        if not own:  # of another rank's state: its indices are checked, and mine dropped
            self._check_other_rank(resume)
        for done in range(int(resume["batches"])):
            try:
                self._note(self._step())
            except StopIteration:
                wanted = counted(resume["batches"], "batch", "batches")
                return f"the state is {wanted} into its epoch, but the sampler gave only {done:,}"
            batch = self.give()
            self.delivered()
            on_skip(batch)
        return _replay_problem(self.checksum, resume) if own else None

    def _check_other_rank(self, resume: dict[str, Any]) -> None:
        sampler = sampler_of(self._loader())
        batches: Any = self._loader().batch_sampler
        if not deals_in_turn(sampler) or (batches is not None and type(batches) is not BatchSampler):
            return  # which nobody can make for another rank
        inner: Any = _plain(sampler, int(resume["rank"]), sampler.num_replicas)
        if self.offset:
            inner = self._dealt(sampler, int(resume["rank"]))
        crc = 0
        if batches is not None:
            inner = BatchSampler(inner, batches.batch_size, batches.drop_last)
        for batch in itertools.islice(inner, int(resume["batches"])):
            crc = _C.batch_checksum(crc, batch)
        if (wrong := _replay_problem(crc, resume)) is not None:
            raise StateError(wrong)

    def stands_behind(self, resume: dict[str, Any]) -> None:
        """The batches that had been had need not be drawn again: the dataset knows its place."""
        self.stand_behind(int(resume["batches"]), int(resume["samples"]), int(resume["raised"]))

    @property
    def has_still_to_resume(self) -> bool:
        """It begins from a state, and has not gone there yet."""
        return self._resume is not None and not self._resumed

    def _resharded(self) -> Iterator[Any]:
        """Batches of what is left of the epoch behind ``offset``, dealt to the present ranks anew."""
        sampler = sampler_of(self._loader())
        batches: Any = self._loader().batch_sampler
        mine = self._dealt(sampler, sampler.rank)
        if isinstance(sampler, ShardSampler):
            sampler.epoch += 1  # as if it had been asked itself
        if batches is None:
            yield from mine
        else:
            yield from BatchSampler(mine, batches.batch_size, batches.drop_last)

    def _dealt(self, sampler: Any, rank: int) -> Iterator[Any]:
        """What is left for one of the sampler's ranks."""
        left = list(_plain(sampler, 0, 1))[self.offset :]
        ranks = sampler.num_replicas
        if sampler.drop_last:
            left = left[: len(left) // ranks * ranks]
        elif left:
            missing = -len(left) % ranks
            left += (left * (missing // len(left) + 1))[:missing]
        return iter(left[rank::ranks])


def _plain(sampler: Any, rank: int, ranks: int) -> DistributedSampler[Any]:
    """A sampler that deals in turn as ``sampler`` does, for another rank: one of torch's class, since
    the script's own may mind being copied."""
    plain: Any = DistributedSampler(
        sampler.dataset, ranks, 0, sampler.shuffle, sampler.seed, sampler.drop_last
    )
    plain.rank, plain.epoch = rank, sampler.epoch
    if ranks == 1:
        plain.num_samples = plain.total_size = len(sampler.dataset)
    else:
        plain.num_samples, plain.total_size = sampler.num_samples, sampler.total_size
    return plain  # type: ignore[no-any-return]


def _interrupted() -> RuntimeError:
    return RuntimeError(
        "this iterator was interrupted while its sampler was in the midst of a step, and nobody knows which "
        "batch comes next: make a new one (the loader's state_dict() knows what has been had)"
    )


def _replay_problem(checksum: int, resume: dict[str, Any]) -> str | None:
    if checksum == int(resume["checksum"]):
        return None
    return (
        "the sampler gave other indices than in the run that the state is from, in its first "
        f"{counted(resume['batches'], 'batch', 'batches')}: it draws from a generator that the loader "
        "does not know (give it to the loader as generator=), or the data set has changed"
    )


class Recorder:
    """What is known of a loader's passes over its index sampler.

    Attributes:
        run: the latest.
        resume: the state that the next pass begins from.
        start: the generators' states before the present iterator was made.
        sampler_restored: the sampler was given a state of its own, and has not been asked since.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.resume: dict[str, Any] | None = None
        self.start: dict[str, torch.Tensor] = {}
        self.sampler_restored = False

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
        sampler = sampler_of(loader)
        if resume.get("sampler_state") and not hasattr(sampler, "set_epoch"):
            return  # it keeps its epochs itself
        epoch = getattr(sampler, "epoch", None)
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
        generator.set_state(decoded(saved))
    return saved is not None


def is_iterable(loader: DataLoader[Any]) -> bool:
    return isinstance(loader.dataset, IterableDataset)


def world_of(loader: DataLoader[Any]) -> tuple[int, int]:
    sampler = sampler_of(loader)
    if isinstance(sampler, DistributedSampler):
        return int(sampler.rank), int(sampler.num_replicas)
    return 0, 1
