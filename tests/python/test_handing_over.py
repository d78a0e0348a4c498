"""What an iterator keeps of the batches that it hands over, and what it leaves of torch's own next()."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
import zlib
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Numbers

from stoker import _C, DataLoader


class Longer(torch_data.IterableDataset[int]):
    """Gives more than its length says."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


@pytest.mark.parametrize("kind", [torch_data.DataLoader, DataLoader])
def test_a_stream_that_is_longer_than_it_says_is_warned_of(kind: Any) -> None:
    loader = kind(Longer(), num_workers=0)
    assert len(loader) == 3
    with pytest.warns(UserWarning, match="was reported to be 3.*but 4 samples have been fetched"):
        assert len(list(loader)) == 5


@pytest.mark.parametrize("kind", [torch_data.DataLoader, DataLoader])
def test_a_profiler_sees_torchs_own_range(kind: Any) -> None:
    loader = kind(Numbers(), 4, num_workers=0)
    batches = iter(loader)
    next(batches)  # before there is a profiler
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        left = len(list(batches))
    counts = {event.key: event.count for event in profile.key_averages()}
    assert sum(count for key, count in counts.items() if key.startswith("enumerate(DataLoader)#")) == left + 1


@pytest.mark.parametrize("kind", [torch_data.DataLoader, DataLoader])
def test_a_next_that_others_put_in_torchs_place_is_called(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base = torch_data.dataloader._BaseDataLoaderIter
    torchs, seen = base.__next__, []

    def watching(self: Any) -> Any:
        seen.append(torchs(self))
        return seen[-1]

    batches = iter(kind(Numbers(), 4, num_workers=0))
    next(batches)
    monkeypatch.setattr(base, "__next__", watching)
    assert len(list(batches)) == len(seen) == 9


# ---- what is drawn and handed over ---------------------------------------------------------------


def place(passage: _C.Passage) -> tuple[int, int, int]:
    return passage.batches, passage.samples, passage.raised


def test_a_batch_that_is_kept_has_not_been_had() -> None:
    passage = _C.Passage(True)
    for batch in ([1, 2], [3]):
        passage.note(batch)
    assert (passage.give(), passage.give(), passage.has_more()) == ([1, 2], [3], False)
    passage.keep("made of 1 and 2")
    assert (place(passage), passage.number, passage.drawn) == ((0, 0, 0), 1, 1)
    passage.keep_instead(None)
    assert (passage.has_kept, passage.kept) == (True, None)
    passage.kept = None
    assert (place(passage), passage.has_kept) == ((1, 2, 0), False)
    passage.delivered(raised=True)
    assert place(passage) == (2, 3, 1)
    with pytest.raises(IndexError, match="nothing is drawn"):
        passage.delivered()
    assert place(passage) == (2, 3, 1)


def test_a_batch_that_was_not_taken_is_given_again() -> None:
    passage = _C.Passage(True)
    for batch in ([1], [2], [3]):
        passage.note(batch)
        passage.give()
    passage.delivered()
    passage.give_again(2)
    assert (passage.given, passage.give()) == (2, [3])
    passage.give_again()
    assert [passage.give(), passage.give()] == [[2], [3]]
    with pytest.raises(IndexError):
        passage.give()


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


@pytest.mark.parametrize(
    "batch", [[], [0, -1, 2**62], (5,), [Index(7), 8], torch.arange(3), [2**63], ["a", "ü"]]
)
def test_checksums_are_of_the_indices_or_of_what_is_shown_of_them(batch: Any) -> None:
    try:
        data = array("q", batch if isinstance(batch, (list, tuple)) else [batch]).tobytes()
    except (TypeError, OverflowError):
        data = repr(batch).encode()
    passage = _C.Passage(True)
    passage.note([1])
    passage.note(batch)
    passage.delivered()
    passage.delivered()
    before = zlib.crc32(array("q", [1]).tobytes())
    assert passage.checksum == _C.batch_checksum(before, batch) == zlib.crc32(data, before)
    assert passage.samples == 1 + len(batch)


def test_an_index_that_raises_draws_nothing() -> None:
    class Raises:
        def __index__(self) -> int:
            raise OSError("no index today")

    passage = _C.Passage(True)
    with pytest.raises(OSError, match="no index today"):
        passage.note([1, Raises()])
    assert passage.drawn == 0


def test_what_has_no_length_becomes_a_list() -> None:
    passage = _C.Passage(True)
    passage.note(iter([4, 5]))
    assert passage.give() == [4, 5]
    alone = _C.Passage(False)
    alone.note(4)
    alone.delivered()
    assert place(alone) == (1, 1, 0)


@pytest.mark.parametrize(
    "make", ["type('P', (_C.Passage,), {})(True)", "type('S', (_C.StreamIterator,), {})(iter(()), row)"]
)
def test_the_garbage_collector_may_look_at_one_that_is_being_made(make: str) -> None:
    """At the first of a new class, when nothing of it is there yet."""
    code = (
        "import gc\nfrom stoker import _C\nfrom stoker.stats.workers import WorkerBlock, new_row\n"
        f"row = new_row(WorkerBlock(0))\ngc.set_threshold(1)\nfor _ in range(20): {make}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


class Thing:
    passage: _C.Passage


@pytest.mark.parametrize("kept", [True, False])
def test_a_cycle_through_it_is_collected(kept: bool) -> None:
    thing = Thing()
    thing.passage = _C.Passage(True)
    thing.passage.note([thing])
    if kept:
        thing.passage.keep(thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None
