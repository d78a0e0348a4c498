"""What would help: which cures are named for which run, in which order, with which predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from made_up import (
    BATCHES,
    IMAGES,
    crowded,
    cures,
    durations,
    on_python,
    recording_of,
    stage,
    steps_of,
    system_of,
)

from stoker.diagnosis import Recording, judge
from stoker.diagnosis.cures import WORTH_IT, cures_for, enough_workers, with_cures
from stoker.stats import StepRecord, WorkerUsage

# ---- which ---------------------------------------------------------------------------------------


def test_workers_where_cores_are_free() -> None:
    recording = recording_of()
    assert judge(recording).limit == "workers"
    found = cures(recording)
    assert list(found) == ["workers"]
    cure = found["workers"]
    assert (cure.what, cure.value) == ("num_workers 2 → 4", 4)
    # 640 now, with cores to spare; then all 3.9 cores at 20 s for 6,400 images.
    assert cure.images_per_s == pytest.approx(6400 * 3.9 / 20, rel=1e-6)


def test_workers_in_place_of_none() -> None:
    usage = WorkerUsage(work_s=6.0, cpu_s=6.0, reads=IMAGES)
    system = system_of(recording_of(), process_cpu_s=10.0, worker_cpu_s=0.0, machine_cpu_s=10.0)
    found = cures(recording_of(workers=0, usage=usage, system=system))
    assert found["workers"].what.startswith("num_workers 0 → ")
    # Alone: 6 s + 4 s for 6,400 images; with enough workers the step's own pace counts.
    assert found["workers"].images_per_s == pytest.approx(1600, rel=0.02)


def test_no_workers_but_cores_where_all_cores_are_busy() -> None:
    recording = crowded()
    assert judge(recording).limit == "cores"
    found = cures(recording)
    assert list(found) == ["cores"]
    assert (found["cores"].what, found["cores"].value) == ("cores 4 → 8", 8)
    assert found["cores"].images_per_s > 1.8 * 640 * 0.98


def test_more_workers_get_what_is_idle_of_the_cores() -> None:
    """One worker and a step that computes on the same two cores: neither keeps them busy by itself."""
    usage = WorkerUsage(work_s=9.0, cpu_s=8.0, no_core_s=0.9, reads=IMAGES)
    system = system_of(
        recording_of(), usable_cores=2, process_cpu_s=16.4, worker_cpu_s=8.0, machine_cpu_s=16.4
    )
    recording = recording_of(workers=1, usage=usage, system=system, waiting_s=0.0)
    verdict = judge(recording)
    assert (verdict.limit, "more workers would help" in verdict.headline) == ("workers", True)
    cure = cures(recording)["workers"]
    assert cure.value == 2
    assert cure.images_per_s == pytest.approx(IMAGES / 16.4 * 2)  # 640 takes 1.64 cores


def test_cores_where_a_quota_holds_it_back() -> None:
    system = system_of(
        recording_of(),
        usable_cores=2,
        quota_cores=2.0,
        process_cpu_s=20.0,
        worker_cpu_s=19.0,
        throttled_s=4.0,
    )
    recording = recording_of(system=system)
    assert judge(recording).limit == "quota"
    found = cures(recording)
    assert found["cores"].what == "cores 2 → 4"
    assert "workers" not in found


def test_more_workers_than_cores_where_they_sleep() -> None:
    usage = WorkerUsage(work_s=20.0, cpu_s=2.0, asleep_s=18.0, reads=IMAGES)
    system = system_of(recording_of(), process_cpu_s=3.0, worker_cpu_s=2.0, machine_cpu_s=3.0)
    recording = recording_of(usage=usage, system=system)
    assert judge(recording).limit == "storage"
    cure = cures(recording)["workers"]
    assert cure.value > 4
    assert "sleep" in cure.how
    assert cure.images_per_s == pytest.approx(1600, rel=0.03)


def test_workers_that_sleep_half_of_the_time_may_be_twice_as_many() -> None:
    usage = WorkerUsage(work_s=20.0, cpu_s=10.0, asleep_s=10.0, reads=IMAGES)
    system = system_of(recording_of(), process_cpu_s=10.0, worker_cpu_s=10.0, machine_cpu_s=10.0)
    cure = cures(recording_of(0.098, 0.002, usage=usage, system=system))["workers"]
    assert cure.value == 8
    assert cure.images_per_s == pytest.approx(640 * 4)


def test_nothing_faster_than_the_step_is_promised() -> None:
    found = cures(recording_of(0.02, 0.04, variants={"fast": 0.01}))
    assert found
    assert all(c.images_per_s <= 1600 * (1 + 1e-9) for c in found.values())


def test_native_in_place_of_python_by_what_it_would_cost() -> None:
    found = cures(recording_of(0.096, 0.004, **on_python(), variants={"native": 0.25}))
    assert "DataLoader" in found["native"].how
    # 19 s at a quarter, and 0.5 s asleep.
    assert found["native"].images_per_s == pytest.approx(640 * 19.5 / (19 / 4 + 0.5))


def test_what_worker_processes_do_beside_loading_goes_with_them() -> None:
    """On one core, of which they use 4 s for it, and the loop 1 s."""
    system = system_of(
        recording_of(), usable_cores=1, process_cpu_s=24.0, worker_cpu_s=23.0, machine_cpu_s=24.0
    )
    changes = {**on_python(), "variants": {"native": 0.25}, "system": system}
    found = cures(recording_of(0.096, 0.004, **changes))
    assert found["native"].images_per_s == pytest.approx(640 * 24 / (19 / 4 + 1))
    # Of the loop's 1 s, most went into taking batches over.
    found = cures(recording_of(0.096, 0.004, **changes, wait_cpu_s=0.75))
    assert found["native"].images_per_s == pytest.approx(640 * 24 / (19 / 4 + 0.25))


def test_native_in_place_of_loading_in_the_loop() -> None:
    """Which, without workers, is what the loop does while it waits."""
    system = system_of(recording_of(), usable_cores=1, process_cpu_s=9.9, worker_cpu_s=9.4, machine_cpu_s=9.9)
    usage = WorkerUsage(work_s=9.5, cpu_s=9.4, asleep_s=0.1)
    recording = recording_of(
        0.096, 0.004, **on_python(workers=0, usage=usage), system=system, variants={"native": 0.25},
        wait_cpu_s=9.4,
    )  # fmt: skip
    pace = judge(recording).pace
    now_s = 9.5 / IMAGES + 1 / pace  # one behind the other
    then_s = (9.4 / 4 + 0.5) / IMAGES  # one worker's, beside the step's half second on the only core
    assert cures(recording)["native"].images_per_s == pytest.approx(640 * now_s / then_s)


def test_native_transforms_in_place_of_python_ones() -> None:
    found = cures(recording_of(0.096, 0.004, **on_python()))
    assert "at most" in found["native"].how
    # 5 of 19 s remain.
    assert found["native"].images_per_s == pytest.approx(640 * 19.5 / (5 + 0.5))


@pytest.mark.parametrize("stages", [{"python": stage(19)}, {"native": stage(19), "python": stage(1)}])
def test_no_native_transforms_where_none_are_known_or_python_is_cheap(stages: dict[str, Any]) -> None:
    assert "native" not in cures(recording_of(**on_python(stages=stages)))


def test_native_is_no_cure_of_a_native_run() -> None:
    assert "native" not in cures(crowded(variants={"native": 0.1}))


def test_fewer_threads_where_others_take_the_cores() -> None:
    usage = WorkerUsage(work_s=20.0, cpu_s=12.0, no_core_s=8.0, reads=IMAGES)
    system = system_of(
        recording_of(), process_cpu_s=38.0, worker_cpu_s=12.0, machine_cpu_s=40.0, torch_threads=32
    )
    recording = recording_of(usage=usage, system=system)
    assert judge(recording).limit == "oversubscription"
    cure = cures(recording)["threads"]
    assert cure.value == 2
    assert "torch has 32: torch.set_num_threads(2)" in cure.what
    assert 640 < cure.images_per_s <= 1600
    assert "threads" not in cures(recording_of())
    # They would be faster then than the step.
    quick = recording_of(usage=dataclasses.replace(usage, cpu_s=7.0, no_core_s=13.0), system=system)
    assert cures(quick)["threads"].images_per_s == pytest.approx(judge(quick).pace)


def test_one_thread_in_each_worker_process() -> None:
    system = system_of(recording_of(), process_cpu_s=38.0, worker_cpu_s=37.0, machine_cpu_s=39.0)
    recording = recording_of(**on_python(usage=WorkerUsage(20.0, 12.0, 0.0, 8.0)), system=system)
    cure = cures(recording)["threads"]
    assert (cure.what, cure.value) == ("one thread in each worker process", 1)
    assert "worker_init_fn" in cure.how


def test_less_to_hand_over() -> None:
    steps = tuple(StepRecord(n, 0.0, 0.05 + 0.001 * (n % 3), 0.05, n == 0) for n in range(BATCHES))
    wait = durations(BATCHES, sum(s.wait_s for s in steps))
    python = on_python(stages={"python": stage(1.0)}, usage=WorkerUsage(1.0, 1.0), ahead=4)
    recording = recording_of(0.05, 0.05, steps=steps, wait=wait, **python)
    assert judge(recording).limit == "hand-over"
    assert "hand-over" in cures(recording)
    assert "hand-over" not in cures(recording_of())


def test_larger_batches_where_the_loop_takes_long_to_be_handed_them() -> None:
    steps = tuple(dataclasses.replace(s, ready=2) for s in steps_of(0.06, 0.04))
    recording = recording_of(steps=steps, variants={"uint8": 0.5})
    assert judge(recording).cause == "hand-over"
    found = cures(recording)
    assert list(found) == ["batches"]  # nothing that makes the workers quicker
    assert "64 samples" in found["batches"].how


@pytest.mark.parametrize(
    ("own", "strangers", "stolen", "key", "words"),
    [
        (9.0, 8.0, 7.0, "threads", "other threads take the cores"),
        (8.0, 9.0, 7.0, "others", "other processes take the cores"),
        (7.0, 9.0, 8.0, "others", "other processes take the cores"),
        (7.0, 8.0, 9.0, "others", "other machines on the same hardware take the cores"),
    ],
)
def test_whoever_has_most_of_the_cores_is_to_leave_them(
    own: float, strangers: float, stolen: float, key: str, words: str
) -> None:
    usage = WorkerUsage(work_s=20.0, cpu_s=12.0, no_core_s=8.0, reads=IMAGES)
    process = 12.0 + own
    system = system_of(
        recording_of(), process_cpu_s=process, worker_cpu_s=12.0, machine_cpu_s=process + strangers,
        stolen_s=stolen,
    )  # fmt: skip
    recording = recording_of(usage=usage, system=system)
    assert words in judge(recording).headline
    found = cures(recording)
    assert [k for k in found if k in ("threads", "others")] == [key]
    if key == "others":
        assert ("processes" in found[key].what) == ("processes" in words)


def test_a_datasets_own_reading() -> None:
    recording = recording_of(fetch=durations(IMAGES, 5.0))
    assert judge(recording).limit == "fetch"
    cure = cures(recording)["fetch"]
    assert cure.images_per_s == 0
    assert "fetch" not in cures(recording_of())


def test_a_collate_fn_in_the_loops_thread() -> None:
    found = cures(recording_of(collate=durations(BATCHES, 5.0)))
    assert found["collate"].images_per_s == 0
    assert "on the device" in found["collate"].how
    assert "collate" not in cures(recording_of())


def bursty(every: int, wait_s: float) -> Recording:
    """Two workers with time to spare, and every so often a long wait."""
    steps = tuple(
        StepRecord(n, 0.0, wait_s if n % every == every - 1 else 0.0, 0.04, n == 0) for n in range(BATCHES)
    )
    total = sum(s.wait_s for s in steps)
    return recording_of(
        0.0, 0.04, steps=steps, wait=durations(BATCHES, total), batch=durations(BATCHES, total + 4),
        waiting_s=0.6 * 20, first_wait_s=0.0,
        stages={"decode": stage(6)}, usage=WorkerUsage(work_s=6.0, cpu_s=6.0, reads=IMAGES),
        system=system_of(recording_of(), elapsed_s=total + 4),
    )  # fmt: skip


def test_batches_ahead_cover_bursts() -> None:
    recording = bursty(10, 0.2)
    assert judge(recording).kind == "bursty"
    found = cures(recording)
    assert list(found) == ["prefetch"]
    assert (found["prefetch"].what, found["prefetch"].value) == ("prefetch_factor 2 → 7", 7)


def test_worker_processes_have_a_queue_each() -> None:
    recording = bursty(10, 0.2)
    stats = dataclasses.replace(
        recording.stats, **on_python(ahead=4, stages={"python": stage(6)}, usage=WorkerUsage(6.0, 6.0))
    )
    (found,) = cures(dataclasses.replace(recording, stats=stats)).values()
    assert found.what == "prefetch_factor 2 → 5"  # of two workers: five batches more, and one to make it even
    assert found.how.startswith("6 more batches")


def test_the_workers_own_pace_says_how_far_they_get_ahead() -> None:
    """Those that are hardly faster than the steps take long to fill a queue again."""
    slow = dataclasses.replace(
        bursty(10, 0.2).stats, stages={"decode": stage(10.8)}, waiting_s=1.3, usage=WorkerUsage(10.8, 10.8)
    )
    recording = dataclasses.replace(bursty(10, 0.2), stats=slow)
    assert judge(recording).kind == "bursty"
    assert cures(recording)["prefetch"].value > cures(bursty(10, 0.2))["prefetch"].value


def test_bursts_of_a_loader_whose_pace_is_not_known() -> None:
    recording = bursty(10, 0.2)
    stats = dataclasses.replace(recording.stats, stages={}, waiting_s=0.0)
    recording = dataclasses.replace(recording, stats=stats)
    verdict = judge(recording)
    assert (verdict.kind, verdict.capacity) == ("bursty", 0)
    cure = cures(recording)["prefetch"]
    assert cure.value == 7
    assert cure.images_per_s == pytest.approx(verdict.pace)


def test_no_number_of_batches_ahead_covers_everything() -> None:
    recording = bursty(10, 0.04 * 300)
    assert judge(recording).kind == "bursty"
    assert list(cures(recording)) == ["samples"]


@pytest.mark.parametrize(
    ("path", "epochs", "persistent", "expected"),
    [
        ("python", 2, None, ["persistent"]),
        ("python", 2, "False", ["persistent"]),
        ("python", 2, "True", ["longer"]),
        ("python", 1, "False", ["longer"]),
        ("native", 2, None, []),
    ],
)
def test_start_up(path: str, epochs: int, persistent: str | None, expected: list[str]) -> None:
    steps = steps_of(0.001, 0.04)
    steps = tuple(
        dataclasses.replace(s, wait_s=2.0 / epochs, first=True) if s.number % (BATCHES // epochs) == 0 else s
        for s in steps
    )
    changes: dict[str, Any] = on_python() if path == "python" else {}
    recording = recording_of(
        0.001,
        0.04,
        steps=steps,
        facts={} if persistent is None else {"persistent_workers": persistent},
        **{**changes, "wait": durations(BATCHES, 2.1), "first_wait_s": 2.0, "waiting_s": 60.0},
    )
    assert judge(recording).kind == "start-up"
    assert list(cures(recording)) == expected


def test_nothing_for_a_run_that_is_bound_by_its_step() -> None:
    usage = WorkerUsage(work_s=40.0, cpu_s=39.0, asleep_s=0.5, reads=IMAGES)
    recording = recording_of(0.0045, 0.1, waiting_s=100.0, usage=usage, variants={"fast": 0.1, "all": 0.1})
    assert judge(recording).kind == "accelerator-bound"
    assert cures(recording) == {}


def test_nothing_before_anything_is_known() -> None:
    recording = recording_of(steps=steps_of(0.06, 0.04)[:3], batches=3, samples=192)
    assert judge(recording).kind == "unknown"
    assert cures(recording) == {}


# ---- in which order ------------------------------------------------------------------------------


def test_best_first_and_those_without_a_prediction_last() -> None:
    recording = crowded(
        fetch=durations(IMAGES, 4.0), variants={"fast": 0.9, "index": 0.6, "uint8": 0.8, "all": 0.3}
    )
    assert judge(recording).limit == "fetch"
    found = list(cures(recording).values())
    rates = [c.images_per_s for c in found]
    assert rates == sorted(rates, reverse=True)
    assert [c.key for c in found] == ["all", "index", "uint8", "fast", "fetch"]
    assert all(rate >= WORTH_IT * 640 for rate in rates[:-1])


def test_a_verdict_with_its_cures_is_the_verdict_otherwise() -> None:
    recording = recording_of()
    verdict = judge(recording)
    cured = with_cures(recording, verdict)
    assert cured.cures == cures_for(recording, verdict) != ()
    assert dataclasses.replace(cured, cures=()) == verdict


# ---- enough --------------------------------------------------------------------------------------


def test_fewer_workers_that_would_be_enough() -> None:
    # Four workers for 40 s of 3.2 ms an image; a step of 100 ms takes 640 images/s.
    usage = WorkerUsage(work_s=10.0, cpu_s=10.0, reads=IMAGES)
    recording = recording_of(0.0005, 0.1, workers=4, usage=usage, waiting_s=30.0)
    assert enough_workers(recording, judge(recording)) == 2  # 1,280/s; one would just not do
    alone = recording_of(0.0005, 0.1, workers=1, usage=usage, waiting_s=30.0)
    assert enough_workers(alone, judge(alone)) == 0


def test_a_machine_that_others_have_a_part_of() -> None:
    system = system_of(
        recording_of(), worker_cpu_s=10.0, process_cpu_s=11.0, machine_cpu_s=11.5, stolen_s=9.0
    )
    usage = WorkerUsage(work_s=20.0, cpu_s=10.0, asleep_s=0.5, no_core_s=9.5, reads=IMAGES)
    recording = recording_of(usage=usage, system=system)
    assert judge(recording).limit == "oversubscription"
    assert cures(recording)["others"].what == "a machine whose cores are its own"
