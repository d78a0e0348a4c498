"""For how long each worker has been at work, in the readings that recordings keep."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from both_paths import Mapped, Numbers, Stream
from conftest import RunScript

from stoker import _C, DataLoader, ImageList
from stoker import transforms as T
from stoker._cores import Cores
from stoker.diagnosis import Recording
from stoker.stats import Meter
from stoker.stats.stand_ins import MeteredDataset
from stoker.stats.workers import WorkerBlock, by_row

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


def busy(loader: DataLoader[Any]) -> tuple[float, ...]:
    """At the latest reading, which this takes."""
    return loader.recording().readings[-1].worker_busy_s


def drain(loader: DataLoader[Any]) -> tuple[float, ...]:
    for _ in loader:
        pass
    return busy(loader)


def never_less(earlier: tuple[float, ...], later: tuple[float, ...]) -> bool:
    return len(earlier) == len(later) and all(a <= b + 1e-9 for a, b in zip(earlier, later))


@WORKERS
def test_native_workers_are_at_work_in_the_stages(numbered: list[Path], workers: int) -> None:
    dataset = ImageList(numbered, range(40), T.CenterCrop(8))
    loader = DataLoader(dataset, 4, num_workers=workers)
    before = (0.0,) * max(1, workers)
    for size in (8, 8, 9, 9):  # the core for 8 goes
        dataset.transform = T.CenterCrop(size)
        now = drain(loader)
        assert len(now) == max(1, workers)
        assert never_less(before, now)
        stages = loader.stats().stages.values()
        assert sum(now) == pytest.approx(sum(stage.total_s for stage in stages), abs=1e-6)
        before = now
    assert sum(before) > 0


@WORKERS
def test_torchs_workers_are_at_work_in_dataset_and_collate(workers: int) -> None:
    loader = DataLoader(Numbers(24), 4, num_workers=workers)
    before = (0.0,) * max(1, workers)
    for _ in range(3):
        now = drain(loader)
        assert never_less(before, now)
        assert sum(now) == pytest.approx(loader.stats().usage.work_s, abs=1e-6)
        before = now
    assert all(seconds > 0 for seconds in before), "each has had batches"


@WORKERS
def test_a_streams_workers(workers: int) -> None:
    loader = DataLoader(Stream(10), 4, num_workers=workers)
    now = drain(loader)
    assert len(now) == max(1, workers)
    assert sum(now) == pytest.approx(loader.stats().usage.work_s, abs=1e-6)


def slow_for_one(index: int) -> int:
    if index % 8 < 4:  # batches of four in turn: those of worker 0
        time.sleep(0.02)
    return index


def test_a_row_is_the_workers_that_torch_numbers_so() -> None:
    loader = DataLoader(Mapped(slow_for_one, 16), 4, num_workers=2)
    first, second = drain(loader)
    assert first >= 8 * 0.02
    assert loader.stats().usage.asleep_s >= 0.1
    for _ in range(2):
        once = first, second
        first, second = drain(loader)
        assert first - once[0] >= 8 * 0.02
    assert len(busy(loader)) == 2


def test_a_loader_that_changes_its_path_goes_on(numbered: list[Path]) -> None:
    def identity(image: Any) -> Any:
        return image

    dataset = ImageList(numbered, range(40), T.CenterCrop(8))
    loader = DataLoader(dataset, 4, num_workers=2)
    native = drain(loader)
    dataset.transform = T.Compose([T.CenterCrop(8), identity])
    both = drain(loader)
    assert loader.stats().path == "python"
    assert never_less(native, both)
    assert sum(both) == pytest.approx(sum(native) + loader.stats().usage.work_s, abs=1e-6)


def test_sums_by_row() -> None:
    assert by_row() == ()
    assert by_row((), (1.0, 2.0), (3.0,)) == (4.0, 2.0)


def test_a_block_knows_the_work_of_each_row() -> None:
    block = WorkerBlock(3)
    shared = _C.SharedHistograms(block.histograms[1])
    shared.record(3, 2_000_000_000, 2)  # work
    shared.record(4, 7_000_000_000)  # of which on a core
    assert block.work_s() == pytest.approx((0.0, 4.0, 0.0))
    data = MeteredDataset(Mapped(lambda index: index), block)
    data[0]
    assert block.work_s()[0] > 0
    with pytest.raises(IndexError, match="3"):
        _C.SharedHistograms(torch.zeros(3 * _C.SharedHistograms.bytes, dtype=torch.uint8)).total_s(3)


def test_before_anything_is_loaded_nobody_has_worked(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    iterator = iter(loader)
    assert loader._meter.system.readings[0].worker_busy_s == ()
    next(iterator)
    assert len(busy(loader)) == 2


def test_a_recording_without_it_still_loads(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=2)
    drain(loader)
    recording = loader.recording()
    assert Recording.from_json(recording.to_json()) == recording
    record = json.loads(recording.to_json())
    for reading in record["readings"]:
        del reading["worker_busy_s"]
    old = Recording.from_json(json.dumps(record))
    assert [reading.worker_busy_s for reading in old.readings] == [()] * len(recording.readings)
    assert [reading.at_s for reading in old.readings] == [reading.at_s for reading in recording.readings]


@pytest.mark.parametrize("native", [True, False])
def test_a_loaders_meter_goes_with_it(numbered: list[Path], native: bool) -> None:
    dataset: Any = ImageList(numbered, range(40), T.CenterCrop(8)) if native else Numbers(8)
    loader = DataLoader(dataset, 4, num_workers=0)
    drain(loader)
    gone = weakref.ref(loader._meter), weakref.ref(loader._cores)
    gc.collect()
    gc.disable()
    try:
        del loader
        assert [reference() for reference in gone] == [None, None], "a cycle keeps the core's memory"
    finally:
        gc.enable()


def test_a_fork_reads_nothing_of_its_parents_cores(
    numbered: list[Path], tmp_path: Path, run_script: RunScript
) -> None:
    code = """
report, *paths = sys.argv[1:]
from stoker import DataLoader, ImageList, transforms as T
loader = DataLoader(ImageList(paths, range(len(paths)), T.CenterCrop(8)), 4, num_workers=2)
sum(1 for _ in loader)
before = loader.recording().readings[-1].worker_busy_s
if os.fork() == 0:
    loader._meter._read_system()
    sum(1 for _ in loader)
    loader.save_report(report)
    print(len(loader.recording().readings[-1].worker_busy_s))
    sys.stdout.flush()
    os._exit(0)
print(os.wait()[1])
"""
    finished = run_script(code, tmp_path / "report.html", *numbered)
    assert finished.stdout.split() == ["2", "0"], finished.stderr


@pytest.mark.alone
def test_asking_many_workers_is_cheap() -> None:
    meter = Meter(lambda: (1.0,) * 64)
    blocks = [meter.new_block(0) for _ in range(2)]
    for block in blocks:
        block.histograms = torch.zeros((64, block.histograms.shape[1]), dtype=torch.uint8)

    def cost(ask: Callable[[], Any]) -> float:
        begin = time.thread_time()
        for _ in range(100):
            ask()
        return (time.thread_time() - begin) / 100

    assert min(cost(meter._worker_busy_s) for _ in range(10)) < 0.002  # once a second


def test_a_core_that_goes_while_the_cores_are_counted_counts_once() -> None:
    """An iterator is collected at any moment, and gives its core back."""

    class Core:
        def stats(self) -> _C.StatsSum:
            return _C.StatsSum()

        def work_s(self) -> list[float]:
            return [1.0]

    class Made(dict[Any, Any]):
        """Of which one goes when they are looked at."""

        def __iter__(self) -> Iterator[Any]:
            if going:
                cores._retire(going.pop())
            return super().__iter__()

    cores: Any = Cores()
    one, other = Core(), Core()
    going = [one]
    cores._made = Made({one: None, other: None})
    assert cores.work_s() == (2.0,)
    assert list(cores._made) == [other]
    assert cores.work_s() == (2.0,)
    going = [other]
    cores.measured()
    assert cores.work_s() == (2.0,)
