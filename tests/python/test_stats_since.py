"""Differences: histograms, sums of the core's, and what a loader has done since the last call."""

from __future__ import annotations

import dataclasses
import gc
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from both_paths import Mapped, Numbers, Stream
from hypothesis import given
from hypothesis import strategies as st

from stoker import _C, DataError, DataLoader, Durations, ImageList, LoaderStats
from stoker import transforms as T
from stoker.stats import workers as w
from stoker.stats.workers import WorkerBlock

NS = st.integers(0, 10**13)


def snapshot(values: list[int], times: int = 1) -> _C.HistogramSnapshot:
    histogram = _C.Histogram()
    for value in values * times:
        histogram.record(value)
    return histogram.snapshot()


def durations(of: _C.HistogramSnapshot) -> Durations:
    return Durations(**of.to_dict())


@given(st.lists(NS, max_size=50), st.lists(NS, max_size=50))
def test_since_is_what_was_recorded_since(before: list[int], later: list[int]) -> None:
    since = durations(snapshot(before + later).since(snapshot(before)))
    alone = durations(snapshot(later))
    assert (since.count, since.total_s, since.mean_s) == (alone.count, alone.total_s, alone.mean_s)
    if later and max(later) > max(before, default=-1):
        assert since == alone
    # Where the longest came before, the longest since is known to 1/16 only.
    for name in ("p50_s", "p90_s", "p99_s", "max_s"):
        if max(later, default=0) < 2**44:
            assert getattr(since, name) == pytest.approx(getattr(alone, name), rel=0.0626, abs=1e-9)


@given(st.lists(NS, max_size=50), st.lists(NS, max_size=50))
def test_sums_of_histograms(first: list[int], second: list[int]) -> None:
    total = snapshot(first)
    total.add(snapshot(second))
    assert durations(total) == durations(snapshot(first + second))
    assert durations(_C.HistogramSnapshot()) == Durations()


@pytest.mark.parametrize("low", [0, 1, 15, 16, 17, 1000, 10**6, 10**12])
def test_quantiles_are_exact_to_a_sixteenth(low: int) -> None:
    values = [low + low * i // 100 for i in range(1000)]
    got = durations(snapshot(values))
    assert got.count == 1000
    assert got.total_s == pytest.approx(sum(values) * 1e-9)
    assert got.max_s == pytest.approx(max(values) * 1e-9)
    for quantile, value in ((0.5, got.p50_s), (0.9, got.p90_s), (0.99, got.p99_s)):
        assert value == pytest.approx(values[int(quantile * 999)] * 1e-9, rel=1 / 16, abs=1e-9)


# ---- histograms in shared memory -----------------------------------------------------------------


def test_shared_histograms_are_in_their_memory() -> None:
    memory = torch.zeros(3 * _C.SharedHistograms.bytes, dtype=torch.uint8)
    one, other = _C.SharedHistograms(memory), _C.SharedHistograms(memory)
    assert len(one) == 3
    one.record(1, 500)
    one.record(1, 1500)
    one.record(2, 70, 10)
    assert durations(other.snapshot(0)) == Durations()
    assert durations(other.snapshot(1)) == durations(snapshot([500, 1500]))
    assert durations(other.snapshot(2)) == durations(snapshot([70], times=10))
    memory.zero_()
    assert durations(one.snapshot(2)) == Durations()


def test_shared_histograms_that_do_not_exist() -> None:
    shared = _C.SharedHistograms(torch.zeros(2 * _C.SharedHistograms.bytes, dtype=torch.uint8))
    with pytest.raises(IndexError, match="2"):
        shared.record(2, 1)
    with pytest.raises(IndexError, match="2"):
        shared.snapshot(2)


@pytest.mark.parametrize(
    "memory",
    [
        torch.zeros(_C.SharedHistograms.bytes, dtype=torch.int8),
        torch.zeros(2 * _C.SharedHistograms.bytes, dtype=torch.uint8)[::2],
        torch.zeros(_C.SharedHistograms.bytes + 1, dtype=torch.uint8)[1:],
    ],
    ids=["type", "strides", "alignment"],
)
def test_memory_that_histograms_cannot_be_in(memory: torch.Tensor) -> None:
    with pytest.raises(RuntimeError, match="contiguous, aligned uint8"):
        _C.SharedHistograms(memory)


# ---- loaders -------------------------------------------------------------------------------------


def counts(stats: LoaderStats) -> tuple[int, ...]:
    """All that a loader counts, batches first."""
    stages = [stage.count for stage in stats.stages.values()]
    index = dataclasses.astuple(stats.index)
    loops = (stats.wait, stats.step, stats.batch, stats.fetch, stats.collate)
    distributions = [distribution.count for distribution in loops]
    return (stats.batches, stats.samples, stats.failed_batches, *distributions, *stages, *index)


def run(loader: Any, epochs: int = 1) -> None:
    for _ in range(epochs):
        for _ in loader:
            pass


@pytest.mark.parametrize("workers", [0, 2])
def test_since_the_last_call_on_the_native_path(numbered: list[Path], workers: int) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=workers)
    run(loader)
    first = loader.stats(since_last=True)
    assert first.batches == 10
    assert counts(first) == counts(loader.stats())  # the first call: since the start
    nothing = loader.stats(since_last=True)
    assert set(counts(nothing)) == {0}
    assert nothing.wait == nothing.step == nothing.batch == Durations()
    run(loader, 3)
    since = loader.stats(since_last=True)
    everything = loader.stats()
    assert (since.batches, since.samples, since.wait.count, since.step.count) == (30, 120, 30, 30)
    assert sum(since.queue) == 30
    assert all(stage.count == 120 for stage in since.stages.values())
    assert everything.batches == 40
    for name in ("wait", "step", "batch"):
        a, b, c = (getattr(stats, name) for stats in (first, since, everything))
        assert a.total_s + b.total_s == pytest.approx(c.total_s, abs=2e-9)
    assert first.first_wait_s + since.first_wait_s == pytest.approx(everything.first_wait_s, abs=2e-9)
    assert first.first_batch_s == since.first_batch_s == everything.first_batch_s
    assert 0 < since.system.elapsed_s < everything.system.elapsed_s


@pytest.mark.parametrize("workers", [0, 1])
def test_since_the_last_call_on_the_python_path(workers: int) -> None:
    loader = DataLoader(Numbers(40), 4, num_workers=workers)
    run(loader)
    first = loader.stats(since_last=True)
    assert (first.path, first.batches, first.samples) == ("python", 10, 40)
    assert {name: stage.count for name, stage in first.stages.items()} == {
        "native": 40,
        "python": 40,
        "collate": 10,
    }
    run(loader, 2)
    since = loader.stats(since_last=True)
    everything = loader.stats()
    assert (since.batches, since.samples, since.wait.count, since.step.count) == (20, 80, 20, 20)
    assert since.stages["collate"].count == 20
    assert (everything.batches, everything.samples) == (30, 120)
    assert first.usage.work_s + since.usage.work_s == pytest.approx(everything.usage.work_s, abs=5e-9)


def test_a_call_without_it_does_not_move_the_last_one(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    loader.stats(since_last=True)
    run(loader)
    assert loader.stats().batches == loader.recording().stats.batches == 10
    loader.report()
    assert loader.stats(since_last=True).batches == 10


def test_every_few_steps_of_one_epoch(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 2, num_workers=2)
    seen = []
    for number, _ in enumerate(loader, 1):
        if number % 5 == 0:
            stats = loader.stats(since_last=True)
            seen.append((stats.batches, stats.wait.count, stats.step.count))
    assert seen == [(5, 5, 4), (5, 5, 5), (5, 5, 5), (5, 5, 5)]


def test_loaders_are_independent(numbered: list[Path]) -> None:
    dataset = ImageList(numbered, range(40), T.CenterCrop(8))
    one, other = DataLoader(dataset, 4, num_workers=1), DataLoader(Numbers(40), 4)
    run(one)
    assert one.stats(since_last=True).batches == 10
    assert other.stats(since_last=True).batches == 0
    run(other)
    run(one)
    assert one.stats(since_last=True).batches == 10
    assert other.stats(since_last=True).batches == 10


def test_failed_batches_since(numbered: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    loader = DataLoader(ImageList([*numbered[:7], broken], range(8), T.CenterCrop(8)), 4, num_workers=1)
    for _ in range(2):
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(DataError):
            next(iterator)
        stats = loader.stats(since_last=True)
        assert (stats.batches, stats.failed_batches) == (1, 1)


def test_samples_of_batches_that_workers_had_completed_before() -> None:
    """At an epoch's end the workers have nothing left to complete."""

    def stumble(index: int) -> int:
        if index % 4 == 1:
            raise KeyError(index)
        return index

    loader = DataLoader(Mapped(stumble, 10), 5, num_workers=1, prefetch_factor=2, on_error="skip")
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 60
    while loader._meter.reading(_C.StatsSum()).python[w.COMPLETE].to_dict()["count"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert loader.stats(since_last=True).samples == 4
    next(batches)
    assert loader.stats(since_last=True).samples == 3
    assert loader.stats().samples == 7


def test_a_streams_samples_count(numbered: list[Path]) -> None:
    loader = DataLoader(Stream(10), 4)
    for _ in range(2):
        run(loader)
        stats = loader.stats(since_last=True)
        assert (stats.batches, stats.samples) == (3, 10)


def test_an_iterator_may_go_while_the_record_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = DataLoader(Numbers(12), 4, num_workers=0)
    iterators = [iter(loader), iter(loader)]
    for iterator in iterators:
        next(iterator)
    del iterator
    add_to = WorkerBlock.add_to

    def interrupted(block: WorkerBlock, sums: list[Any]) -> None:
        add_to(block, sums)
        iterators.clear()  # as the garbage collector does, whenever it likes
        gc.collect()

    monkeypatch.setattr(WorkerBlock, "add_to", interrupted)
    for _ in range(2):
        assert counts(loader.stats())[:2] == (2, 8)
    assert not loader._meter._blocks


def test_a_core_may_be_given_back_while_the_record_is_made(
    numbered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    iterators = [iter(loader), iter(loader)]
    for iterator in iterators:
        next(iterator)
    del iterator
    stats_of = _C.Loader.stats

    def interrupted(core: _C.Loader) -> _C.StatsSum:
        stats = stats_of(core)
        iterators.clear()
        gc.collect()
        return stats

    monkeypatch.setattr(_C.Loader, "stats", interrupted)
    assert [loader.stats().batches for _ in range(2)] == [2, 2]


def test_time_begins_with_the_first_iterator(monkeypatch: pytest.MonkeyPatch) -> None:
    real, ahead = time.perf_counter, 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: real() + ahead)
    loader = DataLoader(Numbers(8), 4)
    assert loader.stats().batches == 0  # asked before anything was measured
    ahead = 3600.0
    run(loader)
    assert loader.stats().system.elapsed_s < 3600
    assert loader.recording().readings[0].at_s > real() + 1800
