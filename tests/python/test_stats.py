"""What a loader counts and measures. Nothing here rests on absolute times."""

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
from both_paths import Sampled
from conftest import photo_like
from made_up import durations, on_device, stats_of
from python_datasets import Opaque
from torch.utils.data import default_collate
from undisturbed import undisturbed

from stoker import DataLoader, ImageList, IndexStats, LoaderStats
from stoker import transforms as T
from stoker.stats import SlowSample, StageStats, WorkerUsage

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
        assert stats.batch.count == 7 * epoch
        assert sum(stats.queue) == 7 * epoch
        assert list(stats.stages) == STAGES
        assert list(stats.blame) == [*STAGES, "off"]
        assert stats.fetch.count == 0
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
    assert stats.system.elapsed_s >= 0
    assert loader.report() == "Nothing to report yet: no batch has been handed over."
    assert loader.verdict().kind == "unknown"
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
    loader = DataLoader(Opaque(ImageList(numbered[:10], range(10), T.CenterCrop(8))), 4)
    stats = run(loader)
    assert (stats.path, stats.batches, stats.wait.count, stats.samples) == ("python", 3, 3, 10)
    assert {name: stage.count for name, stage in stats.stages.items()} == {
        "native": 10,
        "python": 10,
        "collate": 3,
    }
    assert 0 < stats.wait_share <= 1
    assert stats.first_batch_s > 0
    assert "Opaque is a dataset that only Python can read" in loader.report(details=True)


def test_samples_that_a_dataset_gives_one_by_one(numbered: list[Path]) -> None:
    loader = DataLoader(Sampled(numbered), 4, num_workers=1)
    stats = run(loader)
    assert (stats.path, stats.samples, stats.fetch.count) == ("native", 40, 40)


def slow_collate(samples: list[Any]) -> Any:
    time.sleep(0.02)
    return default_collate(samples)


def test_a_collate_fn_is_measured_in_the_loops_thread(numbered: list[Path]) -> None:
    data = ImageList(numbered[:10], range(10), T.CenterCrop(8))
    stats = run(DataLoader(data, 4, num_workers=1, collate_fn=slow_collate))
    assert (stats.path, stats.collate.count) == ("native", 3)
    assert 0.06 <= stats.collate.total_s <= stats.wait.total_s
    assert run(DataLoader(data, 4, num_workers=1)).collate.count == 0  # the core has stacked them
    loader = DataLoader(data, 4, num_workers=1, collate_fn=slow_collate)
    assert [run(loader).collate.count, loader.stats(since_last=True).collate.count] == [3, 3]
    assert loader.stats(since_last=True).collate.count == 0


# ---- shares --------------------------------------------------------------------------------------


@pytest.mark.alone
@undisturbed
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
    assert loader.verdict().kind == "accelerator-bound"
    (line,) = loader.report().splitlines()
    assert "The loader is not to blame" in line
    waiting = next(line for line in loader.report(True).splitlines() if line.strip().startswith("waiting"))
    assert float(waiting.split()[1].rstrip("%")) > 50


@pytest.mark.alone
@pytest.mark.parametrize("workers", [0, 1])
@undisturbed
def test_a_consumer_without_work_always_waits(large: Path, workers: int) -> None:
    loader = DataLoader(ImageList([large] * 20, range(20), T.Resize((8, 8))), 2, num_workers=workers)
    stats = run(loader)
    assert stats.wait_share > 0.5
    assert stats.step.p50_s < 0.1 * stats.wait.p50_s
    assert stats.waiting_s < 0.3 * sum(stage.total_s for stage in stats.stages.values())
    assert stats.images_per_s > 0
    assert max(stats.blame, key=lambda name: stats.blame[name]) == "decode"
    assert loader.verdict().kind != "accelerator-bound"


def resizing(folder: Path) -> Any:
    """Nothing to decode, and much to resize."""
    path = folder / "small.jpg"
    photo_like(8, 8).save(path)
    return ImageList([path] * 24, range(24), T.Resize((700, 700)))


@pytest.mark.alone
@undisturbed
def test_the_dominating_stage_is_blamed(tmp_path: Path) -> None:
    loader = DataLoader(resizing(tmp_path), 2, num_workers=1)
    stats = run(loader)
    assert max(stats.stages, key=lambda name: stats.stages[name].total_s) == "transform"
    assert max(stats.blame, key=lambda name: stats.blame[name]) == "transform"
    assert loader.verdict().kind != "accelerator-bound"


@pytest.mark.alone
def test_no_state_is_blamed_for_less_than_nothing(tmp_path: Path) -> None:
    dataset = resizing(tmp_path)
    for _ in range(5):
        stats = run(DataLoader(dataset, 2, num_workers=1))
        assert all(seconds >= 0 for seconds in stats.blame.values())


@pytest.mark.alone
@undisturbed
def test_worker_time_adds_up(large: Path) -> None:
    loader = DataLoader(ImageList([large] * 24, range(24), T.CenterCrop(8)), 2, num_workers=2)
    begin = time.perf_counter()
    run(loader, lambda: time.sleep(0.01))
    stats = loader.stats()
    elapsed = time.perf_counter() - begin
    stages = sum(stage.total_s for stage in stats.stages.values())
    total = stages + stats.waiting_s + stats.idle_s
    assert 0.5 * 2 * elapsed < total <= 2 * elapsed * 1.01
    assert stats.wait.total_s + stats.step.total_s <= elapsed
    assert stats.busy_share == pytest.approx(stages / total)
    usage = stats.usage
    assert usage.cpu_s + usage.asleep_s + usage.no_core_s == pytest.approx(usage.work_s, rel=0.02)
    assert stages * 0.9 < usage.work_s < total


@undisturbed  # a small one takes longer where it gets no core
def test_the_slowest_sample_is_found(large: Path, numbered: list[Path]) -> None:
    files = [*numbered[:13], large, *numbered[13:]]
    loader = DataLoader(ImageList(files, range(41), T.CenterCrop(8)), 4, num_workers=2)
    stats = run(loader)
    slowest = stats.slowest[0]
    assert (slowest.index, slowest.path) == (13, str(large))
    assert list(slowest.stages) == STAGES
    assert slowest.total_s == sum(slowest.stages.values())
    assert len({s.index for s in stats.slowest}) == len(stats.slowest) == 8
    times = [s.total_s for s in stats.slowest]
    assert times == sorted(times, reverse=True)


# ---- the record ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["native", "python"])
def test_the_record_is_frozen_plain_and_serialisable(numbered: list[Path], path: str) -> None:
    data: Any = ImageList(numbered, range(40), T.CenterCrop(8))
    loader = DataLoader(data if path == "native" else Opaque(data), 4, num_workers=2)
    stats = run(loader)
    assert stats.path == path
    record = json.loads(json.dumps(stats.to_dict()))
    names = {f.name for f in dataclasses.fields(LoaderStats)}
    assert set(record) == names | {"wait_share", "images_per_s"}
    assert set(record["stages"]["decode" if path == "native" else "python"]) == {
        f.name for f in dataclasses.fields(StageStats)
    }
    assert record["wait_share"] == stats.wait_share
    assert record["images_per_s"] == stats.images_per_s
    assert LoaderStats.from_dict(record) == LoaderStats.from_dict(stats.to_dict()) == stats
    assert pickle.loads(pickle.dumps(stats)) == stats
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.batches = 3  # type: ignore[misc]


def test_a_record_with_everything_in_it() -> None:
    stats = stats_of(0.06, 0.04, device=on_device(0.02), index=IndexStats(3, 1, 4, 1, 5, 9, 2))
    sample = SlowSample(7, "\udcff.jpg", {"read": 0.25})  # a name that is not UTF-8
    usage = WorkerUsage(4, 3, 2, 1, 9, durations(3, 0.75))
    stats = dataclasses.replace(
        stats,
        slowest=(sample,),
        usage=usage,
        index_problem="full",
        fetch=durations(4, 2.0),
        collate=durations(2, 1.0),
        ahead=2,
        wait_cpu_s=0.25,
        skipped=2,
        replaced=3,
    )
    record = json.loads(json.dumps(stats.to_dict()))
    assert LoaderStats.from_dict(record) == stats
    fields = {f.name for f in dataclasses.fields(LoaderStats)}
    defaults = {f.name: f.default for f in dataclasses.fields(LoaderStats)}
    assert {name for name in fields if getattr(stats, name) == defaults[name]} == set()


def test_the_names_that_training_scripts_use() -> None:
    stats = stats_of(0.06, 0.04)
    assert stats.data_time == stats.wait
    assert stats.batch_time == stats.batch
    assert stats.time_to_first_batch == stats.first_batch_s == 0.5
    assert stats.wait_share == pytest.approx(0.6)
    assert stats.images_per_s == pytest.approx(640)


def test_distributions_are_ordered(numbered: list[Path]) -> None:
    stats = run(DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2))
    for d in (stats.wait, stats.step, stats.batch, *stats.stages.values()):
        assert 0 <= d.p50_s <= d.p90_s <= d.p99_s
        assert d.p99_s <= d.max_s * (1 + 1 / 16)
        assert d.mean_s <= d.max_s <= d.total_s
        assert d.total_s == pytest.approx(d.mean_s * d.count, rel=1e-6)


def test_asking_for_stats_in_the_middle_disturbs_nothing(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    seen = []
    for _ in loader:
        seen.append(loader.stats().batches)
        assert loader.recording().stats.batches == loader.stats().batches
    assert seen == list(range(1, 11))


def test_a_report_in_the_middle_disturbs_nothing(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    labels = []
    for _, targets in loader:
        if len(labels) == 20:
            assert loader.report()
        labels += targets.tolist()
    assert labels == list(range(40))
    stats = loader.stats()
    assert (stats.batches, stats.samples) == (10, 40)  # trials do not count
