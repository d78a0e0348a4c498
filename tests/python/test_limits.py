"""Why a loader is not faster, as the verdict says it, of recordings that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from two_workers import made, total

from stoker.diagnosis import Verdict, judge
from stoker.stats import StageStats, SystemStats, WorkerUsage


def limit_of(**stats: Any) -> str:
    return judge(made([1.0] * 40, **stats)).limit


def test_all_cores_or_too_few_workers() -> None:
    assert limit_of() == "cores"
    one = SystemStats(100.0, 2, None, 100.0, 99.0, 110.0)
    assert limit_of(workers=1, system=one) == "workers"
    assert limit_of(workers=0) == "workers"
    assert limit_of(workers=2, system=one) == "cores"


def test_workers_that_sleep_now_and_then_leave_cores_for_more() -> None:
    """Two of them on two cores, of which they leave one idle."""
    idle = SystemStats(100.0, 2, None, 110.0, 105.0, 110.0)
    assert limit_of(usage=WorkerUsage(100.0, 70.0, 30.0, 0.0), system=idle) == "workers"
    assert limit_of(usage=WorkerUsage(100.0, 90.0, 10.0, 0.0), system=idle) == "cores"
    # Nor is a core idle that runs another machine.
    assert limit_of(workers=1, system=idle) == "workers"
    assert limit_of(workers=1, system=replace(idle, stolen_s=85.0)) == "cores"


def test_more_workers_are_no_help_where_other_processes_have_the_cores() -> None:
    taken = SystemStats(100.0, 2, None, 100.0, 99.0, 190.0)
    verdict = judge(made([1.0] * 40, workers=1, system=taken))
    assert verdict.limit == "oversubscription"
    assert "other processes take the cores" in verdict.headline
    # As many as there would be without those processes, which have nearly half of the cores.
    two = judge(made([1.0] * 40, workers=2, system=taken, usage=WorkerUsage(180.0, 99.0, 0.0, 81.0)))
    assert two.limit == "oversubscription"
    assert limit_of(workers=2, system=replace(taken, machine_cpu_s=140.0)) == "cores"
    # What comes and goes leaves cores idle in between.
    some = SystemStats(100.0, 4, None, 200.0, 199.0, 350.0)
    assert limit_of(workers=3, system=some) == "oversubscription"


def test_other_machines_on_the_same_hardware() -> None:
    stolen = SystemStats(100.0, 2, None, 110.0, 105.0, 115.0, stolen_s=80.0)
    verdict = judge(made([1.0] * 40, usage=WorkerUsage(200.0, 105.0, 5.0, 90.0), system=stolen))
    assert verdict.limit == "oversubscription"
    assert "other machines on the same hardware take the cores" in verdict.headline
    assert any("ran other machines on 0.8 of the cores" in line for line in verdict.evidence)


def test_ranks_on_one_machine_share_its_cores() -> None:
    """Four of them on eight cores, two workers each, all busy: more workers would help nobody."""
    full = SystemStats(100.0, 8, None, 195.0, 190.0, 780.0, ranks=4)
    verdict = judge(made([1.0] * 40, system=full))
    assert verdict.limit == "cores"
    assert any(
        "4 ranks share 8 of 8 cores, which other processes leave: 2 for this one" in line
        for line in verdict.evidence
    )
    # Ready without a core for a while: by its own job's ranks, which fill their shares of the cores.
    assert limit_of(usage=WorkerUsage(100.0, 70.0, 0.0, 28.0), system=full) == "cores"
    crowded = SystemStats(100.0, 8, None, 150.0, 145.0, 790.0, ranks=4)  # by strangers, too
    assert limit_of(workers=1, system=crowded) == "oversubscription"
    assert limit_of(workers=2, system=crowded) == "cores"
    half = SystemStats(100.0, 8, None, 100.0, 95.0, 400.0, ranks=4)
    assert limit_of(workers=1, system=half) == "workers"
    assert limit_of(workers=2, system=half) == "cores"


def test_a_quota_that_several_processes_share() -> None:
    """Each uses a quarter of it."""
    shared = SystemStats(100.0, 8, 8.0, 200.0, 190.0, 800.0, ranks=4, group_cpu_s=790.0)
    verdict = judge(made([1.0] * 40, workers=2, system=shared))
    assert verdict.limit == "quota"
    assert any("2.0 were used, 5.9 by other processes in it" in line for line in verdict.evidence)
    alone = SystemStats(100.0, 8, 8.0, 200.0, 190.0, 800.0, group_cpu_s=200.0)
    assert limit_of(workers=2, system=alone) == "workers"


def test_threads_inside_worker_processes() -> None:
    """They use more of the cores than those that load."""
    python = {"path": "python", "stages": {"python": StageStats(400, 300.0, 0.75)}, "blame": {}}
    busy = {"system": SystemStats(80.0, 4, None, 310.0, 308.0, 315.0), "workers": 4}
    usage = WorkerUsage(150.0, 100.0, 0.0, 50.0)
    verdict = judge(made([1.0] * 40, **python, **busy, usage=usage))
    assert verdict.limit == "oversubscription"
    assert "threads inside the worker processes" in verdict.headline
    assert any("used 3.9 cores, the threads that load 1.2" in line for line in verdict.evidence)
    assert limit_of(**python, **busy, usage=replace(usage, cpu_s=290.0)) == "cores"
    # A fifth of the cores, but less than a third of the loading.
    assert limit_of(**python, **busy, usage=WorkerUsage(250.0, 240.0)) == "cores"
    # Half of the loading, but next to nothing of the cores.
    little = SystemStats(80.0, 4, None, 310.0, 45.0, 315.0)
    assert limit_of(**python, system=little, workers=4, usage=WorkerUsage(31.0, 30.0)) == "cores"
    # They have the cores that nobody else wanted.
    idle = SystemStats(80.0, 8, None, 310.0, 308.0, 315.0)
    assert limit_of(**python, system=idle, workers=4, usage=WorkerUsage(110.0, 100.0)) == "workers"


def hand_over_of(busy: float, **more: Any) -> Verdict:
    """Worker processes, and a loop that waits for all its batches though its steps are all alike."""
    stages = {"python": StageStats(400, busy * 160.0, busy * 0.4)}
    changes = {"path": "python", "stages": stages, "blame": {}, "ahead": 4, **more}
    return judge(made([1.0 + 0.1 * (i % 3) for i in range(40)], **changes))


def test_idle_workers_of_a_loop_that_waits_hand_over_slowly() -> None:
    verdict = hand_over_of(0.1)
    assert (verdict.kind, verdict.cause, verdict.limit) == ("loader-bound", "hand-over", "hand-over")
    assert "handing batches over" in verdict.headline
    assert hand_over_of(0.8).limit != "hand-over"  # they are busy most of the time


def handed(wait_s: float, ready: int, **more: Any) -> Verdict:
    """Workers with time to spare, and a loop that waits in each step, which finds so many batches ready."""
    recording = made([wait_s] * 40, busy=0.3, ready_share=1.0, **more)
    return judge(replace(recording, steps=tuple(replace(s, ready=ready) for s in recording.steps)))


@pytest.mark.parametrize(
    ("wait_s", "kind"), [(0.04, "accelerator-bound"), (0.08, "balanced"), (0.5, "loader-bound")]
)
def test_a_loop_that_waits_for_batches_that_are_ready_takes_long_to_take_them(
    wait_s: float, kind: str
) -> None:
    verdict = handed(wait_s, 2)
    limit = "" if kind == "accelerator-bound" else "hand-over"
    assert (verdict.kind, verdict.cause, verdict.limit) == (kind, limit, limit)
    if limit:
        assert "though the batches were ready; it goes into handing batches over" in verdict.headline
        assert any("a batch was ready at 100% of requests; to take one over" in e for e in verdict.evidence)
        assert not any("shared memory" in line for line in verdict.evidence)
    assert handed(wait_s, 0).limit != "hand-over"
    assert handed(wait_s, -1).limit != "hand-over"  # not known
    assert handed(wait_s, 2, fetch=total([30.0])).cause != "hand-over"


def test_most_of_the_loss_must_be_handing_over() -> None:
    recording = made([0.2] * 30 + [0.5] * 30, busy=0.3)
    for ready, handed_over in ((lambda wait_s: wait_s < 0.3, False), (lambda wait_s: wait_s > 0.3, True)):
        steps = tuple(replace(s, ready=int(ready(s.wait_s))) for s in recording.steps)
        assert (judge(replace(recording, steps=steps)).limit == "hand-over") == handed_over


def test_what_work_on_the_device_hides_of_a_hand_over_is_no_loss() -> None:
    recording = made([0.5] * 40, busy=0.3)
    for idle_s, kind in ((0.0, "accelerator-bound"), (0.4, "loader-bound")):
        steps = tuple(replace(s, ready=1, device_idle_s=idle_s) for s in recording.steps)
        verdict = judge(replace(recording, steps=steps))
        assert verdict.by_device
        assert (verdict.kind, verdict.limit) == (kind, "hand-over" if idle_s else "")
    # All waited 0.5; where the batch was ready the device was idle for 0.1 of that, elsewhere for 0.4.
    steps = tuple(
        replace(s, ready=n % 2, device_idle_s=0.1 if n % 2 else 0.4) for n, s in enumerate(recording.steps)
    )
    assert judge(replace(recording, steps=steps)).limit != "hand-over"


@pytest.mark.parametrize(("asleep", "limit"), [(0.49, "cores"), (0.51, "storage")])
def test_workers_that_sleep(asleep: float, limit: str) -> None:
    usage = WorkerUsage(100.0, 100 * (1 - asleep), 100 * asleep, 0.0)
    assert limit_of(usage=usage) == limit


def test_in_what_worker_processes_sleep_is_known_by_what_they_read() -> None:
    idle = SystemStats(80.0, 2, None, 40.0, 20.0, 40.0)
    python: dict[str, Any] = {"path": "python", "usage": WorkerUsage(100.0, 20.0, 80.0, 0.0), "system": idle}
    assert limit_of(**python) == "asleep"
    assert limit_of(**{**python, "system": replace(idle, storage_bytes=200_000_000)}) == "storage"
    reading = replace(made([1.0] * 40, **python), profile={"read": 0.9, "decode": 0.1})
    assert judge(reading).limit == "storage"
    waiting = replace(reading, profile={"python: request (client.py:3)": 0.9})
    assert judge(waiting).limit == "asleep"


@pytest.mark.parametrize(
    ("no_core", "workers_use", "limit"),
    [(0.24, 0.5, "cores"), (0.26, 0.5, "oversubscription"), (0.26, 0.8, "cores")],
)
def test_workers_without_a_core(no_core: float, workers_use: float, limit: str) -> None:
    """Without one because others have it, and not because the workers are more than the cores."""
    system = SystemStats(100.0, 2, None, 190.0, 2 * 100 * workers_use, 200.0)
    assert limit_of(usage=WorkerUsage(100.0, 70.0, 0.0, 100 * no_core), system=system) == limit


def test_the_loops_own_thread_takes_no_core_from_the_loader_while_it_takes_batches() -> None:
    usage, system = WorkerUsage(100.0, 70.0, 0.0, 30.0), SystemStats(100.0, 2, None, 190.0, 100.0, 195.0)
    assert limit_of(usage=usage, system=system, wait_cpu_s=40.0) == "oversubscription"
    assert limit_of(usage=usage, system=system, wait_cpu_s=60.0) == "cores"
    crowded = judge(made([1.0] * 40, usage=usage, system=system, wait_cpu_s=40.0))
    assert any("other threads of this process used 0.5 cores" in line for line in crowded.evidence)
    without = judge(made([1.0] * 40, usage=usage, system=system, wait_cpu_s=60.0, workers=0))
    assert without.limit == "oversubscription"  # that loads, itself


@pytest.mark.parametrize(
    ("used", "throttled", "limit"), [(80.0, 0.2, "cores"), (86.0, 0.0, "quota"), (50.0, 0.3, "quota")]
)
def test_a_quota(used: float, throttled: float, limit: str) -> None:
    assert limit_of(system=SystemStats(100.0, 1, 1.0, used, used, used, throttled_share=throttled)) == limit


def test_what_is_stolen_of_many_cores_is_nothing_of_a_small_quota() -> None:
    assert limit_of(system=SystemStats(100.0, 1, 1.0, 50.0, 50.0, 50.0, stolen_s=48.0)) == "cores"


def test_the_datasets_own_fetching() -> None:
    verdict = judge(made([1.0] * 40, fetch=total([30.0])))
    assert (verdict.cause, verdict.limit) == ("fetch", "fetch")
    assert judge(made([1.0] * 40, busy=0.2, fetch=total([30.0]))).cause == "fetch"  # no queue would cure it
    assert limit_of(fetch=total([10.0])) == "cores"


def test_a_collate_fn_in_the_loops_thread() -> None:
    verdict = judge(made([1.0] * 40, collate=total([30.0])))
    assert (verdict.cause, verdict.limit) == ("collate", "collate")
    assert "mostly for collate_fn; on the native path it runs in the training loop's own" in verdict.headline
    assert handed(0.5, 2, collate=total([30.0])).cause == "collate"  # and no hand-over
    assert limit_of(collate=total([10.0])) == "cores"
    both = {"collate": total([13.0]), "fetch": total([12.0])}
    assert limit_of(**both) == "collate"
    assert limit_of(**{**both, "fetch": total([14.0])}) == "fetch"


def test_one_slow_sample_is_to_blame_only_where_the_others_had_finished() -> None:
    # Of two workers one: three quarters of that.
    blame = {"read": 0.0, "decode": 63.0, "transform": 0.0, "off": 37.0}
    assert judge(made([1.0] * 40, blame=blame)).cause == "decode"
    assert judge(made([1.0] * 40, blame={**blame, "decode": 61.0})).cause == "one sample"
