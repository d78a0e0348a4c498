"""What torch's worker processes measure of a script's own dataset."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from both_paths import Mapped, Numbers, Sampled, Stream, drained

from stoker import _C, DataLoader, Durations, LoaderStats
from stoker import transforms as T
from stoker.stats import clocks
from stoker.stats import workers as w
from stoker.stats.stand_ins import MeteredCollate, MeteredDataset, MeteredIterable
from stoker.stats.workers import WorkerBlock

US = 1_000
MS = 1_000_000


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many nanoseconds pass, of a time that stands still otherwise."""
    now = 10**9

    def let(ns: int) -> None:
        nonlocal now
        now += ns

    monkeypatch.setattr(clocks, "made_time", lambda: now)
    return let


def of(block: WorkerBlock, kind: int) -> Durations:
    sums = w.new_sums()
    block.add_to(sums)
    return Durations(**sums[kind].to_dict())


def counts(stats: LoaderStats) -> dict[str, int]:
    return {name: stage.count for name, stage in stats.stages.items()}


# ---- one worker's measurements -------------------------------------------------------------------


def test_slow_samples_are_timed_one_by_one(passes: Callable[[int], None]) -> None:
    block = WorkerBlock(0)
    data = MeteredDataset(Mapped(lambda i: passes((i + 1) * MS), 12), block)
    for begin in (0, 4, 8):
        data.__getitems__(list(range(begin, begin + 4)))
    python = of(block, w.PYTHON)
    assert (python.count, python.total_s, python.max_s) == (12, pytest.approx(0.078), 0.012)
    assert {i: p for i, _, p in block.slow_samples()} == {i: (i + 1) * MS for i in range(4, 12)}
    work = of(block, w.WORK)
    assert (work.count, work.total_s) == (3, pytest.approx(0.078))


def test_quick_samples_are_timed_by_the_batch(passes: Callable[[int], None]) -> None:
    block = WorkerBlock(0)
    data = MeteredDataset(Mapped(lambda i: passes((1 + 8 * (i % 2)) * US), 16), block)
    data.__getitems__([0, 1, 2, 3])  # how quick they are is not known before the first
    assert of(block, w.PYTHON).max_s == pytest.approx(9e-6)
    block.histograms.zero_()
    data.__getitems__([4, 5, 6, 7])
    python = of(block, w.PYTHON)
    assert (python.count, python.total_s) == (4, pytest.approx(20e-6))
    assert python.max_s == pytest.approx(5e-6)  # the mean of 1 and 9


def test_samples_that_become_slow_are_timed_one_by_one_again(passes: Callable[[int], None]) -> None:
    block = WorkerBlock(0)
    cost = 5 * US
    data = MeteredDataset(Mapped(lambda i: passes(cost), 100), block)
    data.__getitems__([0, 1])
    cost = 2 * MS
    data.__getitems__([2, 3])
    data.__getitems__([4, 5])
    slow = {i for i, _, p in block.slow_samples() if p == 2 * MS}
    assert slow == {4, 5}


def test_time_in_the_core_and_in_python(passes: Callable[[int], None]) -> None:
    def load(index: int) -> int:
        _C.add_native_span(3 * MS)
        passes(5 * MS)
        return index

    block = WorkerBlock(0)
    data = MeteredDataset(Mapped(load), block)
    assert (data[3], data.__getitems__([4, 5])) == (3, [4, 5])
    native, python = of(block, w.NATIVE), of(block, w.PYTHON)
    assert (native.count, native.total_s) == (3, pytest.approx(0.009))
    assert (python.count, python.total_s) == (3, pytest.approx(0.006))
    assert sorted(block.slow_samples()) == [(i, 3 * MS, 2 * MS) for i in (3, 4, 5)]


def test_the_slowest_samples_are_kept_each_once(passes: Callable[[int], None]) -> None:
    block = WorkerBlock(0)
    rounds = 1
    data = MeteredDataset(Mapped(lambda i: passes((1 + i * rounds) * MS), 40), block)
    for times in (10, 20, 19):  # the last is a little quicker, and slower than most that are kept
        rounds = times
        for index in range(40):
            data[index]
    kept = sorted(block.slow_samples())
    assert kept == [(i, 0, (1 + 20 * i) * MS) for i in range(40 - w.SLOW_KEPT, 40)]


def test_a_batch_is_timed_in_collate(passes: Callable[[int], None]) -> None:
    block = WorkerBlock(0)
    data = MeteredDataset(Mapped(lambda i: passes(MS)), block)

    def collate(samples: list[Any]) -> str:
        passes(7 * MS)
        return "batch"

    metered = MeteredCollate(collate, data)
    assert metered(data.__getitems__([1, 2])) == "batch"
    collating = of(block, w.COLLATE)
    assert (collating.count, collating.total_s) == (1, pytest.approx(0.007))
    assert of(block, w.WORK).total_s == pytest.approx(0.009)


def test_work_is_on_a_core_or_not() -> None:
    def burn(index: int) -> None:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    block = WorkerBlock(0)
    data = MeteredDataset(Mapped(burn), block)
    data.__getitems__([0, 1])
    on, work = of(block, w.CPU), of(block, w.WORK)
    assert 0.04 <= on.total_s <= work.total_s + 1e-3
    block.histograms.zero_()
    MeteredDataset(Mapped(lambda i: time.sleep(0.03)), block).__getitems__([0, 1])
    on, work = of(block, w.CPU), of(block, w.WORK)
    assert work.total_s >= 0.06
    assert on.total_s < 0.03


def test_an_exception_passes_unchanged_and_loses_nothing(passes: Callable[[int], None]) -> None:
    error = KeyError("of the script's own")

    def load(index: int) -> int:
        passes(MS)
        if index == 2:
            raise error
        return index

    block = WorkerBlock(0)
    data = MeteredDataset(Mapped(load), block)
    with pytest.raises(KeyError) as caught:
        data.__getitems__([0, 1, 2, 3])
    assert caught.value is error
    with pytest.raises(KeyError) as caught:
        data[2]
    assert caught.value is error
    assert data[3] == 3
    assert of(block, w.PYTHON).count == 3  # those that were loaded
    assert of(block, w.WORK).total_s == pytest.approx(0.005)  # of all that was done

    def broken(samples: Any) -> None:
        passes(MS)
        raise error

    with pytest.raises(KeyError) as caught:
        MeteredCollate(broken, data)([])
    assert caught.value is error
    assert of(block, w.COLLATE).count == 1
    assert of(block, w.WORK).total_s == pytest.approx(0.006)


def test_a_stream_is_timed_sample_by_sample(passes: Callable[[int], None]) -> None:
    class Slow(Stream):
        def __iter__(self) -> Iterator[int]:
            for number in range(3):
                passes((number + 1) * MS)
                yield number + 100

    block = WorkerBlock(0)
    data = MeteredIterable(Slow(), block)
    assert list(data) == [100, 101, 102]
    python = of(block, w.PYTHON)
    assert (python.count, python.total_s) == (3, pytest.approx(0.006))
    assert sorted(block.slow_samples()) == [(n, 0, (n + 1) * MS) for n in range(3)]
    work = of(block, w.WORK)  # with the request that found the end
    assert (work.count, work.total_s) == (1, pytest.approx(0.006))


def test_quick_samples_of_a_stream_are_timed_too(passes: Callable[[int], None]) -> None:
    class Quick(Stream):
        def __iter__(self) -> Iterator[int]:
            for number in range(100):
                passes((10 + (number == 50)) * US)
                yield number

    block = WorkerBlock(0)
    assert list(MeteredIterable(Quick(), block)) == list(range(100))
    python = of(block, w.PYTHON)
    assert (python.count, python.total_s) == (100, pytest.approx(1.001e-3))
    assert max(block.slow_samples(), key=lambda s: s[2])[0] == 50


# ---- pickles -------------------------------------------------------------------------------------


def test_a_pickled_block_stays_the_same_memory() -> None:
    block = WorkerBlock(2)
    copy: WorkerBlock = pickle.loads(ForkingPickler.dumps(block))
    data = MeteredDataset(Numbers(), copy)
    data[1]  # also what a worker has measured with is pickled without its hands on the memory
    again: Any = pickle.loads(ForkingPickler.dumps(data))
    again[2]
    assert of(block, w.PYTHON).count == 2
    assert {i for i, _, _ in block.slow_samples()} == {1, 2}


def test_a_process_forked_later_measures_with_hands_of_its_own() -> None:
    data = MeteredDataset(Numbers(), WorkerBlock(2))
    data[1]
    context = multiprocessing.get_context("fork")
    own = context.SimpleQueue()
    mine = data.row()
    child = context.Process(target=lambda: own.put(data.row() is not mine))
    child.start()
    assert own.get()
    child.join()
    assert data.row() is mine


# ---- loaders -------------------------------------------------------------------------------------

WORKERS = pytest.mark.parametrize("workers", [0, 2])


@WORKERS
def test_counts_over_several_epochs(workers: int) -> None:
    loader = DataLoader(Numbers(40), 6, num_workers=workers)
    for epoch in range(1, 4):
        for _ in loader:
            pass
        stats = loader.stats()
        assert (stats.path, stats.workers) == ("python", workers)
        assert (stats.batches, stats.samples) == (7 * epoch, 40 * epoch)
        assert counts(stats) == {"native": 40 * epoch, "python": 40 * epoch, "collate": 7 * epoch}
        assert stats.stages["native"].total_s == 0
        assert stats.usage.cpu_s > 0
        assert stats.usage.cpu_s + stats.usage.asleep_s + stats.usage.no_core_s <= stats.usage.work_s * 1.5


@WORKERS
def test_persistent_workers_count_over_epochs(workers: int) -> None:
    loader = DataLoader(Numbers(12), 4, num_workers=workers, persistent_workers=workers > 0)
    for epoch in range(1, 4):
        for _ in loader:
            pass
        assert loader.stats().samples == 12 * epoch


@WORKERS
def test_a_stream_counts(workers: int) -> None:
    loader = DataLoader(Stream(10), 4, num_workers=workers)
    for _ in loader:
        pass
    each = max(1, workers)  # each worker gives all of it
    assert loader.stats().samples == 10 * each
    assert counts(loader.stats())["collate"] == 3 * each


@WORKERS
def test_single_samples_count(workers: int) -> None:
    loader = DataLoader(Numbers(5), None, num_workers=workers)
    for _ in loader:
        pass
    assert counts(loader.stats()) == {"native": 5, "python": 5, "collate": 5}


def both(index: int) -> int:
    return index


def test_a_spawned_worker_measures_too() -> None:
    loader = DataLoader(Mapped(both, 24), 4, num_workers=1, multiprocessing_context="spawn")
    assert drained(iter(loader)) == [list(range(b, b + 4)) for b in range(0, 24, 4)]
    assert counts(loader.stats()) == {"native": 24, "python": 24, "collate": 6}
    slowest = {s.index for s in loader.stats().slowest}
    assert slowest
    assert slowest <= set(range(24))


@WORKERS
def test_the_parts_that_the_core_runs(numbered: list[Path], workers: int) -> None:
    dataset: Any = Sampled(numbered[:12])
    dataset.transform = [T.CenterCrop(8), lambda image: image + 1]
    loader = DataLoader(dataset, 4, num_workers=workers)
    assert not loader.native
    for _ in loader:
        pass
    stats = loader.stats()
    assert counts(stats) == {"native": 12, "python": 12, "collate": 3}
    assert stats.stages["native"].total_s > 0
    assert stats.slowest
    assert {s.index for s in stats.slowest} <= set(range(12))
    assert all(s.stages["native"] > 0 for s in stats.slowest)


@WORKERS
def test_iterators_side_by_side_count_together(workers: int) -> None:
    loader = DataLoader(Numbers(12), 4, num_workers=workers)
    for a, b in zip(loader, loader):
        assert torch.equal(a[1], b[1])
    stats = loader.stats()
    # zip asks the second once less: it has not heard of the end.
    assert (stats.batches, stats.samples) == (6, 24)


def test_a_fork_of_a_process_that_has_used_openmp() -> None:
    """Operators of torch's on large tensors would hang in it."""
    torch.rand(1 << 20).exp_()
    pid = os.fork()
    if pid == 0:
        block = w.WorkerBlock(64)
        os._exit(int(block.histograms.shape[0] == 64 and not block.histograms.numpy().any()))
    deadline = time.monotonic() + 60
    done = status = 0
    while not done:
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done and time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 1  # what it had to say


@WORKERS
def test_what_a_dropped_iterator_had_measured_stays(workers: int) -> None:
    loader = DataLoader(Numbers(40), 4, num_workers=workers)
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    before = loader.stats()
    assert (before.batches, before.samples) == (3, 12)
    del iterator
    gc.collect()
    after = loader.stats()
    assert (after.batches, after.samples) == (3, 12)  # however many the workers had loaded ahead
    assert after.usage.work_s >= before.usage.work_s
    assert before.slowest
    assert after.slowest[0].total_s >= before.slowest[0].total_s
    for _ in loader:
        pass
    assert loader.stats().samples == 12 + 40
    assert len(loader._meter._blocks) <= 1


@WORKERS
def test_a_slow_sample_is_found_by_its_index(workers: int, passes: Callable[[int], None]) -> None:
    def load(index: int) -> int:
        passes((150 if index == 13 else 1) * MS)
        return index

    loader = DataLoader(Mapped(load, 24), 4, num_workers=workers)
    for _ in range(2):
        for _ in loader:
            pass
        slowest = loader.stats().slowest
        assert slowest[0].index == 13
        assert slowest[0].total_s >= 0.15
        assert len({s.index for s in slowest}) == len(slowest) == w.SLOW_KEPT
        assert [s.total_s for s in slowest] == sorted((s.total_s for s in slowest), reverse=True)
