"""What it costs that everything is measured, always: less than a hundredth of loading."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from both_paths import Mapped
from conftest import write_photos

from stoker import _C, ImageFolder
from stoker import transforms as T
from stoker._sources import resolve
from stoker.diagnosis.trial import native_cost_s
from stoker.stats import Meter
from stoker.stats.stand_ins import MeteredDataset
from stoker.stats.workers import WorkerBlock

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def image_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """CPU time for one image of 400 x 300 pixels, smaller than an ordinary photograph."""
    root = tmp_path_factory.mktemp("photographs")
    write_photos(root / "a", 8)
    transforms = [T.RandomResizedCrop(224), T.RandomHorizontalFlip(), T.ToTensor()]
    source, reason = resolve(ImageFolder(root, transforms))
    assert source is not None
    assert not reason
    cost_s = native_cost_s(source)
    assert cost_s > 0
    return cost_s


def cheapest(measure: Callable[[int], float]) -> float:
    """Other load only ever makes it dearer."""
    return min(measure(2000) for _ in range(10))


def test_a_worker_measures_for_less_than_a_hundredth_of_its_time(image_s: float) -> None:
    span_ns, usage_ns = cheapest(_C.measure_span_ns), cheapest(_C.measure_usage_ns)
    assert span_ns > 0
    assert usage_ns > 0
    assert (_C.spans_per_sample * span_ns + _C.usages_per_sample * usage_ns) * 1e-9 < 0.01 * image_s


def test_the_loop_is_measured_for_less_than_a_hundredth_of_its_batches(image_s: float) -> None:
    meter = Meter()
    meter.epoch_begins()

    def steps(count: int) -> float:
        begin = time.thread_time()
        for _ in range(count):
            meter.asked()
            meter.answered(1, (1, 2, 3, 4, 5))
        return (time.thread_time() - begin) / count

    assert cheapest(steps) < 0.01 * 32 * image_s  # of a small batch


def test_the_machine_is_read_for_less_than_a_hundredth_of_a_second() -> None:
    meter = Meter()

    def readings(count: int) -> float:
        begin = time.thread_time()
        for _ in range(count // 100):
            meter.system.read()
        return (time.thread_time() - begin) / (count // 100)

    assert cheapest(readings) < 0.01  # and there is one a second


def test_asking_for_the_record_is_cheap() -> None:
    meter = Meter()
    meter.epoch_begins()

    def records(count: int) -> float:
        begin = time.thread_time()
        _, last = meter.stats(_C.StatsSum(), "native", 2, "")
        for _ in range(count // 100):
            _, last = meter.stats(_C.StatsSum(), "native", 2, "", last)
        return (time.thread_time() - begin) / (count // 100)

    assert cheapest(records) < 0.02


def test_memory_does_not_grow(tmp_path: Path) -> None:
    meter = Meter()
    meter.epoch_begins()
    for _ in range(5000):
        meter.asked()
        meter.answered()
    assert len(meter.clock.steps) <= 4096
    assert len(meter.system.readings) <= 512


def test_metering_quick_samples_costs_next_to_nothing() -> None:
    def load(index: int) -> int:
        return sum(range(250))  # some 5 µs

    inner = Mapped(load, 64)
    metered = MeteredDataset(inner, WorkerBlock(0))
    indices = list(range(64))

    def plain(indices: list[int]) -> list[Any]:
        return [inner[index] for index in indices]

    def cost_s(load: Callable[[list[int]], Any]) -> float:
        begin = time.thread_time()
        for _ in range(50):
            load(indices)
        return (time.thread_time() - begin) / 50 / 64

    costs = [(cost_s(plain), cost_s(metered.__getitems__)) for _ in range(12)]
    without, with_it = (min(c) for c in zip(*costs))
    assert with_it - without < 2e-6
