"""What a loader measures, and the words that come of it. Nothing here rests on absolute times."""

from __future__ import annotations

import dataclasses
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import photo_like
from torch.utils.data import Subset

from stoker import _C, DataLoader, Durations, ImageList, LoaderStats
from stoker import transforms as T
from stoker.stats import ConsumerClock, render

STAGES = ["read", "decode", "transform"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    photo_like(100, 75).resize((1200, 900)).save(path)
    return path


def run(loader: Any, consumer: Callable[[], None] = lambda: None) -> LoaderStats:
    for _ in loader:
        consumer()
    stats: LoaderStats = loader.stats()
    return stats


# ---- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_counts(numbered: list[Path], workers: int) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 6, num_workers=workers)
    for epoch in range(1, 4):
        stats = run(loader)
        assert stats.path == "native"
        assert stats.workers == workers
        assert stats.batches == 7 * epoch
        assert stats.samples == 40 * epoch
        assert stats.failed_batches == 0
        assert stats.wait.count == 7 * epoch
        assert stats.step.count == 7 * epoch
        assert list(stats.stages) == STAGES
        assert all(stage.count == 40 * epoch for stage in stats.stages.values())
        assert 0 <= stats.ready_share <= 1
        assert stats.first_batch_s > 0
    next(iter(loader))
    stats = loader.stats()
    assert (stats.batches, stats.samples) == (22, 126)
    assert (stats.wait.count, stats.step.count) == (22, 21)  # the last step has no end yet


def test_nothing_measured_yet(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), num_workers=1)
    stats = loader.stats()
    assert (stats.batches, stats.samples, stats.wait_share, stats.images_per_s) == (0, 0, 0.0, 0.0)
    assert "no batch" in loader.report()
    json.dumps(stats.to_dict())


def test_iterators_side_by_side_count_together(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    for batches in (0, 1):
        for _ in loader:
            for _ in loader:
                pass
            break
        stats = loader.stats()
        assert stats.batches == 11 * (batches + 1)
        assert stats.samples == 4 * stats.batches
    for a, b in zip(loader, loader):
        assert torch.equal(a[1], b[1])
    stats = loader.stats()
    assert stats.samples == 4 * stats.batches


def test_a_changed_transform_keeps_the_counts(numbered: list[Path]) -> None:
    dataset = ImageList(numbered, range(40), T.CenterCrop(8))
    loader = DataLoader(dataset, 4, num_workers=2)
    run(loader)
    dataset.transform = T.CenterCrop(9)
    assert run(loader).samples == 80


def test_python_path(numbered: list[Path]) -> None:
    loader = DataLoader(Subset(ImageList(numbered, range(40), T.CenterCrop(8)), range(10)), 4)
    stats = run(loader)
    assert (stats.path, stats.batches, stats.wait.count, stats.samples) == ("python", 3, 3, 0)
    assert stats.stages == {}
    assert 0 < stats.wait_share <= 1
    assert stats.first_batch_s > 0
    assert "Subset is not one of Stoker's datasets" in loader.report()


# ---- shares and words ----------------------------------------------------------------------------


def test_a_slow_consumer_never_waits_and_the_workers_do(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    run(loader)  # past the start of the threads
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    stats = run(loader, lambda: time.sleep(0.04))
    assert stats.wait_share < 0.1
    assert stats.ready_share >= 0.7
    assert stats.step.mean_s > 10 * stats.wait.p50_s
    work = sum(stage.total_s for stage in stats.stages.values())
    assert stats.waiting_s > 2 * (work + stats.idle_s)
    report = loader.report()
    assert "the loader keeps up" in report
    waiting = next(line for line in report.splitlines() if line.strip().startswith("waiting"))
    assert float(waiting.split()[1].rstrip("%")) > 50


@pytest.mark.parametrize("workers", [0, 1])
def test_a_consumer_without_work_always_waits(large: Path, workers: int) -> None:
    loader = DataLoader(ImageList([large] * 20, range(20), T.Resize((8, 8))), 2, num_workers=workers)
    stats = run(loader)
    assert stats.wait_share > 0.9
    assert stats.waiting_s < 0.3 * sum(stage.total_s for stage in stats.stages.values())
    assert stats.images_per_s > 0
    report = loader.report()
    assert "of its time for data, mostly for decode" in report.splitlines()[0]


def test_the_dominating_stage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "small.jpg"  # nothing to decode, and much to resize
    photo_like(8, 8).save(path)
    loader = DataLoader(ImageList([path] * 24, range(24), T.Resize((700, 700))), 2, num_workers=1)
    run(loader)
    assert "mostly for transform" in loader.report().splitlines()[0]


def test_worker_time_adds_up(large: Path) -> None:
    loader = DataLoader(ImageList([large] * 24, range(24), T.CenterCrop(8)), 2, num_workers=2)
    begin = time.perf_counter()
    run(loader, lambda: time.sleep(0.01))
    stats = loader.stats()
    elapsed = time.perf_counter() - begin
    total = sum(stage.total_s for stage in stats.stages.values()) + stats.waiting_s + stats.idle_s
    assert 0.5 * 2 * elapsed < total <= 2 * elapsed * 1.01
    assert stats.wait.total_s + stats.step.total_s <= elapsed


def durations(count: int, total_s: float) -> Durations:
    mean = total_s / max(1, count)
    return Durations(count, total_s, mean, mean, mean, mean, mean)


def made_up(**changes: Any) -> LoaderStats:
    stats = LoaderStats(
        path="native",
        workers=2,
        batches=100,
        samples=6400,
        failed_batches=0,
        wait=durations(100, 6.0),
        step=durations(100, 4.0),
        first_batch_s=0.5,
        ready_share=0.25,
        stages={
            "read": durations(6400, 7.0),
            "decode": durations(6400, 2.0),
            "transform": durations(6400, 1.0),
        },
        waiting_s=0.0,
        idle_s=10.0,
    )
    return dataclasses.replace(stats, **changes)


def test_the_words() -> None:
    text = render(made_up(), cores=4)
    assert text.splitlines()[0] == (
        "The training loop waited 60% of its time for data, "
        "mostly for read (70% of the workers' working time)."
    )
    assert "2 of 4 usable cores work for it: more workers would help." in text
    assert "step 100 ms = 40.0 ms training + 60.0 ms waiting for data" in text
    assert "100 batches" in text
    assert "first batch 500 ms" in text
    assert "640 images/s" in text
    assert "25% of requests" in text
    for name, share in {"read": "35.0%", "decode": "10.0%", "transform": "5.0%", "idle": "50.0%"}.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(name))
        assert share in line
    assert "more workers" not in render(made_up(), cores=2)
    assert "lost" not in text
    assert "1,234 batches were lost" in render(made_up(failed_batches=1234), cores=2)


def test_the_words_where_the_loader_keeps_up() -> None:
    text = render(made_up(wait=durations(100, 0.1), step=durations(100, 9.9)), cores=4)
    assert text.splitlines()[0].endswith("waited 1.0% of its time for data: the loader keeps up.")


# ---- the record ----------------------------------------------------------------------------------


def test_the_record_is_frozen_plain_and_serialisable(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    stats = run(loader)
    record = json.loads(json.dumps(stats.to_dict()))
    names = {f.name for f in dataclasses.fields(LoaderStats)}
    assert set(record) == names | {"wait_share", "images_per_s"}
    assert set(record["stages"]["decode"]) == {f.name for f in dataclasses.fields(Durations)}
    assert record["wait_share"] == stats.wait_share
    assert pickle.loads(pickle.dumps(stats)) == stats
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.batches = 3  # type: ignore[misc]


def test_distributions_are_ordered(numbered: list[Path]) -> None:
    stats = run(DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2))
    for d in (stats.wait, stats.step, *stats.stages.values()):
        assert 0 <= d.p50_s <= d.p90_s <= d.p99_s
        assert d.p99_s <= d.max_s * (1 + 1 / 16)
        assert d.mean_s <= d.max_s <= d.total_s
        assert d.total_s == pytest.approx(d.mean_s * d.count, rel=1e-6)


@pytest.mark.parametrize("low", [0, 1, 15, 16, 17, 1000, 10**6, 10**12])
def test_quantiles_are_exact_to_a_sixteenth(low: int) -> None:
    histogram = _C.Histogram()
    values = [low + low * i // 100 for i in range(1000)]
    for value in values:
        histogram.record(value)
    snapshot = Durations(**histogram.snapshot())
    assert snapshot.count == 1000
    assert snapshot.total_s == pytest.approx(sum(values) * 1e-9)
    assert snapshot.max_s == pytest.approx(max(values) * 1e-9)
    for quantile, got in ((0.5, snapshot.p50_s), (0.9, snapshot.p90_s), (0.99, snapshot.p99_s)):
        assert got == pytest.approx(values[int(quantile * 999)] * 1e-9, rel=1 / 16, abs=1e-9)


def test_the_consumers_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0

    def tick(seconds: float) -> None:
        nonlocal now
        now += int(seconds * 1e9)

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now)
    now = 10**9
    clock = ConsumerClock()
    clock.epoch_begins()
    for _ in range(3):
        tick(1)
        clock.asked()
        tick(2)
        clock.answered()
    assert clock.batches == 3
    assert clock.first_batch_s == pytest.approx(3)
    assert (clock.wait().count, clock.wait().total_s) == (3, pytest.approx(6))
    assert (clock.step().count, clock.step().total_s) == (2, pytest.approx(2))
    tick(100)  # between two epochs: no step
    clock.epoch_begins()
    clock.asked()
    tick(5)
    clock.answered()
    assert clock.step().count == 2
    assert clock.wait().max_s == pytest.approx(5)
    assert clock.first_batch_s == pytest.approx(3)


def test_asking_for_stats_in_the_middle_disturbs_nothing(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    seen = []
    for _ in loader:
        seen.append(loader.stats().batches)
        assert loader.report()
    assert seen == list(range(1, 11))
