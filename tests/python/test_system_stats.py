"""What the machine did: control groups, cores of several ranks, and time that is not the loop's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from stoker import _C, DataLoader, ImageList
from stoker import transforms as T
from stoker._cpus import ranks_here
from stoker.stats import SystemStats, system
from stoker.stats import workers as w
from stoker.stats.meter import Meter, _python_usage, _stolen_share
from stoker.stats.system import (
    READINGS_KEPT,
    GroupCounters,
    SystemMeter,
    SystemReading,
    _core_times,
    group_counters,
    system_stats,
)

# ---- control groups ------------------------------------------------------------------------------


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_version_2(tmp_path: Path) -> None:
    """A group with a quota, in one without."""
    own = tmp_path / "self"
    own.write_text("0::/outer/inner\n")
    write(tmp_path / "outer", cpu__max="max 100000", cpu__stat="usage_usec 9000000")
    write(
        tmp_path / "outer/inner",
        cpu__max="150000 100000",
        cpu__stat="usage_usec 7000000\nnr_periods 80\nnr_throttled 20\nthrottled_usec 2500000\n",
    )
    assert group_counters(tmp_path, own) == GroupCounters(2.5, 80, 20, 7.0)


@pytest.mark.parametrize("place", ["cpu", "cpuacct"])
def test_version_1(tmp_path: Path, place: str) -> None:
    """Where the time used stands beside the quota, and where it has a hierarchy of its own."""
    own = tmp_path / "self"
    own.write_text("4:cpu,cpuacct:/job\n1:name=systemd:/\n")
    write(
        tmp_path / "cpu/job",
        cpu__cfs_quota_us="200000",
        cpu__cfs_period_us="100000",
        cpu__stat="nr_periods 8\nnr_throttled 2\nthrottled_time 1500000000\n",
    )
    write(tmp_path / place / "job", cpuacct__usage="3000000000")
    assert group_counters(tmp_path, own) == GroupCounters(1.5, 8, 2, 3.0)


@pytest.mark.parametrize(("outer", "inner", "used"), [(4, 2, 7.0), (2, 4, 9.0), (2, 2, 9.0)])
def test_the_least_of_several_quotas_is_the_one_that_is_used_up(
    tmp_path: Path, outer: int, inner: int, used: float
) -> None:
    own = tmp_path / "self"
    own.write_text("0::/outer/inner\n")
    write(tmp_path / "outer", cpu__max=f"{outer}00000 100000", cpu__stat="usage_usec 9000000")
    write(tmp_path / "outer/inner", cpu__max=f"{inner}00000 100000", cpu__stat="usage_usec 7000000")
    assert group_counters(tmp_path, own).cpu_s == used


def test_throttling_of_an_inner_group_is_not_hidden_by_what_the_outer_one_had(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.write_text("0::/outer/inner\n")
    write(tmp_path / "outer", cpu__stat="throttled_usec 60000000")
    write(tmp_path / "outer/inner", cpu__stat="throttled_usec 1000000")
    before = group_counters(tmp_path, own)
    write(tmp_path / "outer/inner", cpu__stat="throttled_usec 4000000")
    assert group_counters(tmp_path, own).throttled_s - before.throttled_s == pytest.approx(3.0)


def test_no_groups_no_counters(tmp_path: Path) -> None:
    assert group_counters(tmp_path, tmp_path / "none") == GroupCounters()


# ---- whose cores ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "ranks"), [(None, 1), ("8", 8), ("0", 1), ("many", 1)])
def test_ranks(monkeypatch: pytest.MonkeyPatch, said: str | None, ranks: int) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if said is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", said)
    assert ranks_here() == ranks


def test_cores_by_whom_they_are_used() -> None:
    """Ten seconds on 16 cores: two used by this process, seven by others."""
    alone = SystemStats(10.0, 16, None, process_cpu_s=20.0, machine_cpu_s=90.0)
    assert (alone.others_cores, alone.strangers_cores) == (7.0, 7.0)
    assert (alone.my_cores, alone.idle_cores) == (9.0, 7.0)
    rank = replace(alone, ranks=4)  # three of which are taken to use as much as this one
    assert (rank.others_cores, rank.strangers_cores) == (7.0, 1.0)
    assert (rank.my_cores, rank.idle_cores) == (3.75, 7.0)
    quota = replace(alone, quota_cores=4.0, group_cpu_s=30.0)  # whoever uses other cores does not matter
    assert (quota.others_cores, quota.my_cores, quota.idle_cores) == (1.0, 3.0, 1.0)
    unknown = replace(quota, group_cpu_s=0.0)
    assert (unknown.others_cores, unknown.my_cores) == (0.0, 4.0)


# ---- the loop's time and the rest ----------------------------------------------------------------


def test_readings_add_up() -> None:
    a = SystemReading(10.0, 4.0, 2.0, (6.0, 8.0), 1.0, 100, 512.0, (), 7, 3, 9.0, 5.0)
    b = SystemReading(2.0, 1.0, 1.0, (), 0.5, 50, 256.0, (), 2, 1, 3.0, 1.0)
    assert a.plus(b, -2.0) == SystemReading(6.0, 2.0, 0.0, (6.0, 8.0), 0.0, 0, 512.0, (), 3, 1, 3.0, 3.0)
    assert b.plus(a, 1.0).core_busy_s == (6.0, 8.0)


@pytest.mark.parametrize("way", ["to the end", "left"])
def test_time_between_epochs_is_not_the_loops(numbered: list[Path], way: str) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    began = time.perf_counter()
    for _ in range(2):
        for number, _ in enumerate(loader):
            if way == "left" and number == 6:
                break
        time.sleep(0.6)  # a validation, or nothing any more
    stats = loader.stats()
    wall = time.perf_counter() - began
    assert stats.system.elapsed_s < wall - 1.0
    assert stats.system.elapsed_s >= 0.9 * (stats.wait.total_s + stats.step.total_s)


def test_what_another_loaders_epoch_uses_in_between_is_not_the_loops() -> None:
    """Two loaders that take turns, by short epochs. What runs in the break is counted by CPU time, so that it
    does not matter how long the machine takes for it."""
    meter = Meter()
    loop_s = 0.0
    for _ in range(5):
        meter.epoch_begins()
        meter.iterator_made()
        began = time.perf_counter()
        meter.asked()
        meter.answered()
        time.sleep(0.12)
        meter.asked()
        meter.ended()
        loop_s += time.perf_counter() - began
        burnt = time.process_time() + 0.12
        while time.process_time() < burnt:
            pass
    stats, _ = meter.stats(_C.StatsSum(), "python", 1, "")
    assert loop_s <= stats.system.elapsed_s < loop_s + 0.3
    assert stats.system.process_cpu_s < 0.3


def test_the_present_step_is_the_loops_however_long_it_takes(numbered: list[Path]) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    batches = iter(loader)
    next(batches)
    time.sleep(0.6)
    assert loader.stats().system.elapsed_s >= 0.6


def test_an_iterator_that_is_dropped_late_does_not_end_the_loop() -> None:
    """The script still had that of the epoch before."""
    meter = Meter()
    meter.epoch_begins()
    meter.epoch_begins()
    meter.left()
    meter.asked()
    meter.answered()
    time.sleep(0.4)
    stats, _ = meter.stats(_C.StatsSum(), "python", 1, "")
    assert stats.system.elapsed_s >= 0.4


def test_a_reading_is_no_part_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    meter.epoch_begins()
    read = meter.system.read

    def slow(*arguments: Any) -> SystemReading:
        time.sleep(0.5)
        return read(*arguments)

    monkeypatch.setattr(system, "_EVERY_S", 0.0)
    meter.system.due_ns = 0
    monkeypatch.setattr(meter.system, "read", slow)
    for _ in range(2):
        meter.asked()
        meter.answered()
    meter.asked()
    assert meter.clock.step.snapshot().to_dict()["total_s"] < 0.5


def test_an_iterator_that_is_collected_while_the_system_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    meter.epoch_begins()
    time.sleep(0.15)  # after which a reading is due
    read, depth = meter.system.read, []

    def collecting(*arguments: Any) -> SystemReading:
        depth.append(1)
        meter.left()
        return read(*arguments)

    meter.system.due_ns = 0
    monkeypatch.setattr(meter.system, "read", collecting)
    meter.asked()
    meter.answered()
    assert len(depth) == 1  # none within the other
    time.sleep(0.4)
    stats, _ = meter.stats(_C.StatsSum(), "python", 1, "")
    assert stats.system.elapsed_s >= 0.5  # the loop goes on


def test_worker_processes_wait_when_they_are_not_at_work() -> None:
    meter = Meter()
    meter.epoch_begins()
    row = w.WorkerRow(meter.new_block(1))
    for _ in range(2):
        meter.asked()
        meter.answered()
        row.begin()
        time.sleep(0.05)
        row.end()
        time.sleep(0.2)
    meter.asked()
    stats, _ = meter.stats(_C.StatsSum(), "python", 1, "")
    assert stats.usage.work_s >= 0.1
    assert stats.waiting_s + stats.usage.work_s == pytest.approx(
        stats.wait.total_s + stats.step.total_s - stats.first_wait_s
    )


def test_a_loop_that_is_left_in_another_thread_has_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The garbage collector runs in any thread. The system is read in the loop's."""
    meter = Meter()
    readers: list[int] = []
    read = meter.system.read

    def spied(*arguments: Any) -> SystemReading:
        readers.append(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr(meter.system, "read", spied)
    for elsewhere in (True, False):
        meter.epoch_begins()
        readers.clear()
        time.sleep(0.15)  # after which a reading is due
        if elsewhere:
            thread = threading.Thread(target=meter.left)
            thread.start()
            thread.join()
            assert readers == []
        else:
            meter.left()
            assert readers == [threading.get_ident()]
        time.sleep(0.5)
        stats, _ = meter.stats(_C.StatsSum(), "python", 1, "")
        assert stats.system.elapsed_s < 0.45


def test_worker_processes_that_have_ended_have_used_what_they_said() -> None:
    earlier, now = SystemReading(1.0), SystemReading(11.0, process_cpu_s=2.0, workers_cpu_s=3.0)
    stats = system_stats(earlier, now, 5.0, in_process=False)
    assert (stats.worker_cpu_s, stats.process_cpu_s) == (5.0, 7.0)
    stats = system_stats(earlier, now, 1.0, in_process=False)
    assert (stats.worker_cpu_s, stats.process_cpu_s) == (3.0, 5.0)


def test_a_worker_process_that_is_gone_keeps_what_it_has_used() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    meter = SystemMeter()
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        meter.workers.add(worker.pid)
        used_s = meter.read().workers_cpu_s
        worker.kill()
    assert used_s > 0.2  # which the system counts in ticks
    assert meter.read().workers_cpu_s == used_s
    assert not meter.workers


@pytest.mark.parametrize("apart_s", [0.1, 1.0, 7.0])
def test_readings_are_kept_at_even_distances_however_often_they_are_taken(apart_s: float) -> None:
    meter = SystemMeter()
    for number in range(5000):
        meter._keep(SystemReading(number * apart_s))
        assert len(meter.readings) <= READINGS_KEPT
    at = [r.at_s for r in meter.readings]
    assert (at[0], at[-1]) == (0.0, 4999 * apart_s)
    gaps = [b - a for a, b in pairwise(at[:-1])]  # the last one is there as the latest
    assert max(gaps) <= 2 * min(gaps) + 1e-9
    assert len(at) > READINGS_KEPT / 4


def test_only_cores_that_the_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {core})
    busy, _ = _core_times()
    assert len(busy) == 1


def test_a_pid_that_is_anothers_by_now_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = SystemMeter()

    class Reused(psutil.Process):
        def is_running(self) -> bool:
            return False

    monkeypatch.setattr(psutil, "Process", Reused)
    meter.workers.add(Reused().pid)
    assert meter.read().workers_cpu_s == 0.0
    assert not meter.workers


def test_what_a_hypervisor_takes_is_no_sleep() -> None:
    """Of ten seconds' work five on a core, one ready without one, and four that nobody here knows of."""
    times = w.new_sums()
    for kind, ns in ((w.WORK, 10e9), (w.CPU, 5e9), (w.NO_CORE, 1e9)):
        histogram = _C.Histogram()
        histogram.record(int(ns))
        times[kind].add(histogram.snapshot())
    earlier = SystemReading(0.0, core_busy_s=(1.0, 1.0), stolen_s=3.0)
    now = SystemReading(10.0, core_busy_s=(9.0, 3.0), stolen_s=8.0)
    share = _stolen_share(earlier, now)
    assert share == pytest.approx(0.5)
    usage = _python_usage(times, share)
    assert (usage.no_core_s, usage.asleep_s) == (pytest.approx(3.5), pytest.approx(1.5))
    assert _python_usage(times, 2.0).asleep_s == 0.0
    assert _python_usage(times, 0.0).asleep_s == pytest.approx(4.0)
    assert _stolen_share(now, now) == 0.0
