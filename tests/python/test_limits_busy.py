"""The verdict on a machine whose cores other programs keep busy, and the cures there; recordings made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from two_workers import made

from stoker.diagnosis import Cure, Recording, Verdict, judge
from stoker.diagnosis.cures import cures_for
from stoker.diagnosis.words import render
from stoker.stats import StageStats, SystemStats, WorkerUsage

ELAPSED = 80.0
PYTHON: dict[str, Any] = {"path": "python", "blame": {}}


def beside(mine: float, workers_cpu: float | None = None, others: float | None = None) -> SystemStats:
    """Two cores, ``mine`` of which this process uses, and other programs the rest, or so much."""
    others = 2 - mine if others is None else others
    cpu_s = mine * ELAPSED
    workers_s = cpu_s if workers_cpu is None else workers_cpu * ELAPSED
    return SystemStats(ELAPSED, 2, None, cpu_s, workers_s, (mine + others) * ELAPSED, (1.0, 1.0))


def busy(usage: WorkerUsage, system: SystemStats, **more: Any) -> Recording:
    if more.get("path") == "python":
        more.setdefault("stages", {"python": StageStats(400, usage.work_s)})
    return made([1.0] * 40, usage=usage, system=system, **more)


def of(recording: Recording) -> tuple[Verdict, dict[str, Cure]]:
    verdict = judge(recording)
    return verdict, {cure.key: cure for cure in cures_for(recording, verdict)}


# ---- sleep -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mine", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("loading", [0.1, 0.7])
def test_workers_that_sleep_are_asleep_whatever_else_runs(workers: int, mine: float, loading: float) -> None:
    """Of the CPU time that they use so much is in loading itself; the rest is in what torch does there."""
    work = max(1, workers) * ELAPSED
    cpu_s = loading * mine * ELAPSED
    usage = WorkerUsage(work, cpu_s, 0.9 * work - cpu_s, 0.1 * work)
    stages = {"python": StageStats(400, work)}
    recording = made(
        [1.9] * 40, 0.1, usage=usage, system=beside(mine), **PYTHON, stages=stages, workers=workers
    )
    verdict, cures = of(recording)
    assert verdict.limit == "asleep"
    assert "sleep" in verdict.headline
    assert any("slept for" in line for line in verdict.evidence)
    assert "threads" not in cures
    # They need next to nothing of the cores, which strangers leave to those that are seldom awake.
    assert cures["workers"].value > 3
    assert cures["workers"].images_per_s > 1.5 * verdict.images_per_s


def test_sleep_and_the_want_of_a_core_are_weighed() -> None:
    """What would be left on an idle machine counts, as long as it is more than what is wanted for."""
    asleep = WorkerUsage(100.0, 20.0, 45.0, 35.0)
    assert judge(busy(asleep, beside(0.25), **PYTHON)).limit == "asleep"
    assert judge(busy(replace(asleep, asleep_s=34.0, no_core_s=46.0), beside(0.25), **PYTHON)).limit == (
        "oversubscription"
    )
    working = WorkerUsage(100.0, 30.0, 29.0, 41.0)
    assert judge(busy(working, beside(0.4), **PYTHON)).limit == "oversubscription"


def test_threads_inside_the_workers_need_cores_to_be_to_blame() -> None:
    usage = WorkerUsage(160.0, 10.0, 90.0, 60.0)
    some = busy(usage, beside(0.9, 0.9), **PYTHON)  # 62 s beside those that load, who sleep meanwhile
    assert "threads inside the worker processes" not in judge(some).headline  # other programs use more
    more = busy(usage, beside(1.6, 1.6), **PYTHON)
    assert "threads inside the worker processes" in judge(more).headline
    assert any("used 1.6 cores, the threads that load 0.1" in line for line in judge(more).evidence)
    waiting = replace(usage, cpu_s=0.5, asleep_s=155.0, no_core_s=4.5)
    assert judge(busy(waiting, beside(0.2, 0.2), **PYTHON)).limit == "asleep"
    # Of 64 workers that sleep, what torch does in them adds up to a core and a half.
    crowd = WorkerUsage(64 * ELAPSED, 20.0, 63 * ELAPSED, 60.0)
    assert judge(busy(crowd, beside(1.5, 1.5), **PYTHON, workers=64)).limit == "asleep"
    # Nobody lacks a core, and nobody sleeps.
    content = WorkerUsage(100.0, 95.0, 1.0, 4.0)
    assert judge(busy(content, beside(2.0, 2.0), **PYTHON)).limit == "cores"


def test_what_is_set_already_is_no_cure() -> None:
    usage = WorkerUsage(160.0, 10.0, 90.0, 60.0)
    recording = busy(usage, beside(1.6, 1.6), **PYTHON)
    assert "OMP_NUM_THREADS=1" in of(recording)[1]["threads"].how
    for value, said in (("1", False), ("4", True)):
        there = replace(recording, facts={"OMP_NUM_THREADS": value})
        assert ("OMP_NUM_THREADS=1" in of(there)[1]["threads"].how) == said


# ---- cores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mine", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("path", ["native", "python"])
def test_cores_that_other_programs_have_are_not_busy_with_it(mine: float, path: str) -> None:
    """A loader without a step beside programs that would use every core alone."""
    usage = WorkerUsage(160.0, mine * ELAPSED, 0.0, 160.0 - mine * ELAPSED)
    more = PYTHON if path == "python" else {}
    verdict, cures = of(busy(usage, beside(mine), **more))
    assert (verdict.kind, verdict.limit) == ("loader-bound", "oversubscription")
    assert "other processes take the cores from the workers" in verdict.headline
    assert "all cores are busy with it" not in verdict.headline
    assert "cores" not in cures
    # Alone it would get both cores.
    alone = min(verdict.pace, verdict.images_per_s * 2 / mine)
    assert cures["others"].images_per_s == pytest.approx(alone, rel=0.15)


@pytest.mark.parametrize("others", [0.0, 0.2, 0.45])
def test_cores_are_counted_whole(others: float) -> None:
    """What other programs use of them now makes no fraction of what to buy."""
    mine = 2 - others
    usage = WorkerUsage(160.0, mine * ELAPSED, 0.0, 160.0 - mine * ELAPSED)
    verdict, cures = of(busy(usage, beside(mine)))
    assert (verdict.limit, cures["cores"].what, cures["cores"].value) == ("cores", "cores 2 → 4", 4)
    assert "all cores are busy with it" in verdict.headline
    assert verdict.images_per_s < cures["cores"].images_per_s <= 2.5 * verdict.images_per_s


def test_a_step_that_sleeps_beside_other_programs_gets_no_fraction_of_a_core() -> None:
    usage = WorkerUsage(140.0, 12.0, 0.0, 128.0)
    recording = made([0.08] * 40, usage=usage, system=beside(0.2, 0.15))
    verdict, cures = of(recording)
    assert verdict.kind == "balanced"
    assert "cores" not in cures
    assert set(cures) <= {"others"}


def test_workers_as_many_as_cores_that_do_not_fill_them_are_not_said_to() -> None:
    system = SystemStats(ELAPSED, 2, None, 60.0, 60.0, 64.0, (0.4, 0.4))
    verdict = judge(busy(WorkerUsage(100.0, 60.0, 30.0, 10.0), system))
    assert verdict.limit != "cores" or "all cores are busy" not in verdict.headline


def test_what_other_programs_use_is_said_where_something_else_is_the_limit() -> None:
    usage = WorkerUsage(80.0, 30.0, 0.0, 50.0)
    verdict, _ = of(busy(usage, beside(0.5, 0.4), workers=0))
    assert (verdict.limit, "there are no workers" in verdict.headline) == ("workers", True)
    assert "the machine's other processes used 1.5 of 2 cores" in verdict.evidence
    unrun = "the loop's thread was ready to run, but had no core, for 62% of its time at work"
    assert unrun in verdict.evidence
    calm, _ = of(busy(WorkerUsage(80.0, 80.0), beside(1.0, 1.0, 0.1), workers=0))
    assert not any("other processes" in line or "no core" in line for line in calm.evidence)


# ---- no workers ------------------------------------------------------------------------------------


def starving(mine: float = 1.0, others: float = 0.0, headroom: float = 0.0, **more: Any) -> Recording:
    """No workers; 86 % of the time goes into loading, of which the thread has a core for a share ``mine``."""
    recording = made([0.86] * 40, step_s=0.14, first_s=0.86, workers=0, **PYTHON, **more)
    work = recording.stats.wait.total_s
    usage = WorkerUsage(work, mine * work, 0.0, (1 - mine) * work)
    elapsed = 41.0
    cpu_s = mine * elapsed
    system = SystemStats(elapsed, 2, None, cpu_s, usage.cpu_s, cpu_s + others * elapsed, (1.0, 1.0))
    stages = {"python": StageStats(410, work)}
    stats = replace(recording.stats, usage=usage, system=system, stages=stages)
    return replace(recording, stats=stats, headroom=headroom)


@pytest.mark.parametrize(("mine", "others"), [(1.0, 0.0), (0.6, 1.4), (0.3, 1.7)])
def test_more_workers_than_none_whatever_else_runs(mine: float, others: float) -> None:
    recording = starving(mine, others)
    verdict, cures = of(recording)
    assert (verdict.kind, verdict.limit) == ("loader-bound", "workers")
    assert cures["workers"].what == "num_workers 0 → 2"
    assert 1.4 * 10 < cures["workers"].images_per_s <= 2 * 10 / 0.86 * 1.001


@pytest.mark.parametrize(("mine", "others"), [(1.0, 0.0), (0.6, 1.4)])
@pytest.mark.parametrize("headroom", [30.0, 71.4, 200.0])
def test_predictions_agree_with_and_without_a_measured_headroom(
    mine: float, others: float, headroom: float
) -> None:
    """Which is a limit, and no part of what is measured now."""
    without, with_it = (of(starving(mine, others, h))[1]["workers"].images_per_s for h in (0.0, headroom))
    assert with_it == pytest.approx(without)
    assert of(starving(mine, others, 15.0))[1]["workers"].images_per_s == pytest.approx(15)


LOOP = {"python: elastic (data.py:12)": 0.4, "python: elastic (data.py:10)": 0.1, "decode": 0.3,
        "python: noise (data.py:16)": 0.2}  # fmt: skip


def test_the_function_that_takes_the_time_is_named_with_what_would_replace_it() -> None:
    recording = replace(starving(), profile=LOOP, loops={"python: elastic (data.py:12)": 1.0}, looks=840)
    verdict, cures = of(recording)
    assert "elastic() (data.py)" in verdict.headline
    assert "elastic() (data.py:12) took 50% of the time at work, by 840 looks at the loop's stacks" in (
        verdict.evidence
    )
    assert cures["function"].what == "NumPy or torch in place of the loop in elastic() (data.py:12)"
    assert cures["function"].images_per_s == pytest.approx(10 / (0.14 + 0.43))
    assert "at most" in cures["function"].how
    straight = replace(recording, loops={"python: elastic (data.py:12)": 0.1})
    assert of(straight)[1]["function"].what == "a quicker elastic() (data.py:12)"
    text = render(recording, replace(verdict, cures=tuple(cures.values())))
    assert "by 840 looks at the loop's stacks" in text


def test_images_that_python_loads_are_loaded_natively_with_a_stoker_sample() -> None:
    profile = {"decode": 0.5, "read": 0.1, "transform: ColorJitter": 0.2, "transform: Mine": 0.2}
    recording = replace(starving(), profile=profile, looks=500)
    _, cures = of(recording)
    assert "stoker_sample" in cures["images"].what
    assert "return path, label" in cures["images"].how
    assert cures["images"].images_per_s == 0
    tried = of(replace(recording, variants={"images": 0.1}))[1]["images"]
    assert tried.images_per_s == pytest.approx(10 / (0.14 + 0.86 * 0.3))
    dear = of(replace(recording, variants={"images": 0.79}))[1]["images"]
    assert dear.images_per_s == 0  # it would bring next to nothing before the rest is quicker
    assert "images" not in of(replace(recording, variants={"native": 0.1}))[1]
    assert "images" not in of(replace(recording, profile={"python: f (a.py:1)": 1.0}))[1]


def test_a_transform_that_stoker_has_is_no_function_of_the_scripts() -> None:
    for name, expected in (("ColorJitter", False), ("Mine", True)):
        recording = replace(starving(), profile={f"transform: {name}": 0.7, "decode": 0.3}, looks=500)
        _, cures = of(recording)
        assert ("function" in cures) == expected
        assert "images" in cures
        assert not expected or cures["function"].what == "a quicker transform Mine"


def test_a_function_that_sleeps_is_not_made_quicker_by_numpy() -> None:
    usage = WorkerUsage(160.0, 2.0, 156.0, 2.0)
    recording = replace(
        busy(usage, beside(0.1), **PYTHON), profile={"python: get (data.py:6)": 1.0}, looks=2000
    )
    _, cures = of(recording)
    assert cures["function"].what == "less waiting in get() (data.py:6)"
    assert cures["function"].images_per_s == 0


def test_a_profile_of_few_looks_is_modest() -> None:
    recording = replace(starving(), profile=LOOP, looks=12)
    verdict, cures = of(recording)
    assert verdict.cause == "python"
    assert "elastic" not in verdict.headline
    assert "only 12 looks at the loop's stacks: too few to tell which part of the code takes the time" in (
        verdict.evidence
    )
    assert set(cures) == {"workers"}
    assert "by only 12 looks at the loop's stacks" in render(recording, verdict)
    ended = judge(replace(recording, profile_failed="TypeError"))
    assert "the looks at the stacks have ended too early (TypeError)" in ended.evidence


def test_without_a_profile_the_way_to_one_is_named() -> None:
    assert "stoker diagnose" in of(starving())[1]["diagnose"].what
    assert "diagnose" not in of(busy(WorkerUsage(160.0, 160.0), beside(2.0)))[1]
