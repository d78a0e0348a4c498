"""The verdict: on loops whose truth is known, recorded by tests/verdicts/live.py, and at its thresholds."""

from __future__ import annotations

import gzip
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from two_workers import made

from stoker.diagnosis import Recording, Verdict, judge
from stoker.diagnosis.steady import find_bursts, lost_with
from stoker.stats import StageStats

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "verdicts"))

from live import file_of
from loops import LOOPS

RECORDINGS = Path(__file__).resolve().parents[1] / "data" / "recordings"
LIMIT_WORDS = {
    "cores": "all cores are busy",
    "workers": "workers",
    "storage": "waiting for storage",
    "asleep": "the workers sleep",
    "quota": "CPU quota",
    "oversubscription": "take the cores",
    "fetch": "stoker_sample",
    "collate": "collate_fn",
}
CAUSE_WORDS = {
    "python": "Python",
    "collate": "collate_fn",
    "fetch": "stoker_sample",
    "hand-over": "handing batches over",
}

# ---- recorded loops ------------------------------------------------------------------------------


def recorded(name: str) -> Recording:
    return Recording.from_json(gzip.decompress((RECORDINGS / file_of(name)).read_bytes()).decode())


def test_every_loop_is_recorded_and_nothing_else() -> None:
    assert {file_of(name) for name in LOOPS} == {file.name for file in RECORDINGS.iterdir()}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loops_truth_is_found(name: str) -> None:
    verdict = judge(recorded(name))
    assert LOOPS[name].truth.wrong(verdict) == "", verdict


@pytest.mark.parametrize("name", LOOPS)
def test_the_headline_names_it(name: str) -> None:
    truth, headline = LOOPS[name].truth, judge(recorded(name)).headline
    unseen = truth.kind == "accelerator-bound" and not truth.by_device  # nobody looked at the accelerator
    assert headline.lower().startswith("step-bound" if unseen else truth.kind)
    assert ("the GPU" in headline) == bool(truth.by_device)
    if truth.period:
        assert f"every {truth.period} steps" in headline
    if truth.kind == "loader-bound":
        assert CAUSE_WORDS.get(truth.cause or "", truth.cause or "") in headline
        assert LIMIT_WORDS.get(truth.limit or "", "") in headline


# ---- made-up recordings --------------------------------------------------------------------------


def share_lost(share: float, **more: Any) -> Verdict:
    """Each step loses the same: such a share of its time."""
    return judge(made([share / (1 - share)] * 40, **more))


def bursts_of(loss_s: float, period: int, steps: int = 48, **more: Any) -> Recording:
    return made([loss_s if i % period == period - 1 else 0.0 for i in range(steps)], **more)


@pytest.mark.parametrize(
    ("share", "kind"),
    [
        (0.0, "balanced"),
        (0.049, "balanced"),
        (0.051, "balanced"),
        (0.099, "balanced"),
        (0.101, "loader-bound"),
    ],
)
def test_the_share_that_is_lost_when_workers_never_pause(share: float, kind: str) -> None:
    verdict = share_lost(share)
    assert verdict.kind == kind
    assert verdict.lost_share == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(("busy", "kind"), [(0.89, "accelerator-bound"), (0.93, "balanced")])
def test_little_lost_and_what_the_loader_could_feed(busy: float, kind: str) -> None:
    assert share_lost(0.01, busy=busy).kind == kind


@pytest.mark.parametrize(("steps", "kind"), [(3, "unknown"), (4, "loader-bound")])
def test_too_few_steps(steps: int, kind: str) -> None:
    verdict = judge(made([1.0] * steps))
    assert verdict.kind == kind
    assert (verdict.kind == "unknown") == ("Too early" in verdict.headline)


@pytest.mark.parametrize(("first_s", "kind"), [(4.3, "accelerator-bound"), (4.8, "start-up")])
def test_a_tenth_of_the_time_in_first_batches_is_start_up(first_s: float, kind: str) -> None:
    assert judge(made([0.0] * 40, busy=0.2, first_s=first_s)).kind == kind


def test_each_worker_process_has_to_begin() -> None:
    """Four of them: four batches of an epoch are its start, the native path's first one only."""
    waits = [0.5, 0.5, 0.5, *[0.0] * 36]
    python: dict[str, Any] = {"path": "python", "stages": {"python": StageStats(400, 5.0)}, "workers": 4}
    verdict = judge(made(waits, 0.2, first_s=2.0, **python))
    assert (verdict.kind, verdict.lost_share) == ("start-up", 0.0)
    assert judge(made(waits, 0.2, busy=0.5, first_s=2.0)).lost_share > 0.1
    few = judge(made([0.5] * 3 + [0.0] * 4, 0.2, first_s=2.0, **python))  # hardly any steps but starts
    assert few.lost_share == pytest.approx(1.5 / 2.9)


def test_what_each_worker_process_takes_to_begin_is_start_up() -> None:
    python: dict[str, Any] = {"path": "python", "stages": {"python": StageStats(400, 2.0)}, "workers": 4}
    assert judge(made([0.5, 0.5, 0.5, *[0.0] * 36], 0.2, first_s=0.5, **python)).kind == "start-up"
    assert judge(made([0.1, 0.1, 0.1, *[0.0] * 36], 0.2, first_s=0.5, **python)).kind != "start-up"


def test_a_measured_headroom_is_the_pace() -> None:
    recording = made([1.0] * 40)
    assert judge(recording).pace == pytest.approx(10)
    assert judge(replace(recording, headroom=25.0)).pace == 25


def test_a_slow_start_does_not_hide_a_slow_loader() -> None:
    assert judge(made([1.0] * 40, first_s=20.0)).kind == "loader-bound"


# ---- bursts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [3, 8])
def test_bursts_and_their_period(period: int) -> None:
    verdict = judge(bursts_of(period * 0.2, period, busy=0.6))
    assert (verdict.kind, verdict.period) == ("bursty", period)
    assert f"every {period} steps and hardly in between; on average" in verdict.headline


def test_steps_that_are_not_known_leave_the_period_as_it_is() -> None:
    recording = made([2.0 if i % 8 == 3 else 0.0 for i in range(60)], busy=0.6)
    few = tuple(step for step in recording.steps if step.number % 10 != 5)
    assert len({b.number - a.number for a, b in pairwise(few)}) > 1
    verdict = judge(replace(recording, steps=few))
    assert (verdict.kind, verdict.period) == ("bursty", 8)


def test_a_burst_of_two_steps_counts_once() -> None:
    verdict = judge(made([2.0 if i % 8 in (3, 4) else 0.0 for i in range(48)], busy=0.6))
    assert (verdict.kind, verdict.period) == ("bursty", 8)


def test_a_period_whose_loss_is_spread_over_its_steps() -> None:
    random = Random(4)
    losses = [(0.0, 0.2, 0.9, 1.0, 0.7, 0.8, 0.3, 0.0)[i % 8] * random.uniform(0.5, 1.5) for i in range(96)]
    found = find_bursts(losses)
    assert found is not None
    assert found.period == 8
    whole = []  # of steps of which each loses something
    for seed in range(30):
        random = Random(seed)
        pattern = (0.1, 0.3, 0.5, 0.6, 0.6, 0.5, 0.4, 0.3)
        found = find_bursts([pattern[i % 8] * random.uniform(0.5, 1.5) for i in range(96)])
        assert found is not None
        whole.append(found.period)
    assert whole.count(8) >= 25
    shuffled = random.sample(losses, len(losses))
    found = find_bursts(shuffled)
    assert found is not None
    assert found.period == 0


def test_bursts_far_apart_have_a_period_too() -> None:
    found = find_bursts([2.0 if i % 40 == 7 else 0.01 * (i % 3) for i in range(240)])
    assert found is not None
    assert (found.period, found.count) == (40, 6)


def test_irregular_bursts_have_no_period() -> None:
    verdict = judge(made([9.0 if i in (5, 17, 21, 38, 47) else 0.0 for i in range(60)], busy=0.5))
    assert (verdict.kind, verdict.period) == ("bursty", 0)
    assert "in 4 of 60 steps" in verdict.headline or "in 5 of 60 steps" in verdict.headline


@pytest.mark.parametrize(("busy", "kind"), [(0.89, "bursty"), (0.92, "loader-bound")])
def test_bursts_of_a_loader_that_never_pauses_are_its_own(busy: float, kind: str) -> None:
    assert judge(bursts_of(2.0, 8, busy=busy)).kind == kind


@pytest.mark.parametrize(("loss_s", "kind"), [(0.41, "accelerator-bound"), (0.43, "bursty")])
def test_bursts_that_cost_little_are_left_alone(loss_s: float, kind: str) -> None:
    assert judge(bursts_of(loss_s, 8, busy=0.5)).kind == kind


def blocking(every: int, steps: int, busy: float) -> Recording:
    """A loop whose step takes 0.7 on average, all of it in one of ``every``, and that waits 0.3 on average,
    in five of eight."""
    recording = made([0.3 * 8 / 5 if i % 8 in (2, 3, 4, 5, 6) else 0.0 for i in range(steps)], 0.7, busy)
    own = [0.7 * every if i % every == every - 1 else 0.0001 for i in range(steps)]
    changed = tuple(replace(s, step_s=own[s.number - 1]) if s.number else s for s in recording.steps)
    return replace(recording, steps=changed)


@pytest.mark.parametrize(("busy", "kind"), [(0.6, "bursty"), (0.75, "bursty"), (0.85, "loader-bound")])
def test_waits_in_most_steps_that_a_longer_queue_would_cure(busy: float, kind: str) -> None:
    """The loader takes 0.6, 0.75 or 0.85 for a batch, the step 0.7 on average."""
    verdict = judge(blocking(8, 320, busy))
    assert verdict.kind == kind
    if kind == "bursty":
        assert verdict.period == 8


def python_run(recording: Recording, busy: float, **changes: Any) -> Recording:
    """The same, of worker processes."""
    stats = recording.stats
    work = 2 * busy * (stats.wait.total_s + stats.step.total_s)
    stages = {"python": StageStats(stats.samples, work)}
    return replace(recording, stats=replace(stats, path="python", stages=stages, blame={}, **changes))


@pytest.mark.parametrize(
    ("busy", "ahead", "kind", "cause"),
    [
        (0.2, 2, "bursty", "python"),  # with which two thirds of the loss are explained
        (0.2, 4, "loader-bound", "hand-over"),  # less than half of it
        (0.2, 0, "loader-bound", "hand-over"),  # not known: torch's default, two for each worker
        (0.6, 8, "loader-bound", "python"),  # the workers are no more idle than busy
    ],
)
def test_a_queue_explains_the_loss_or_it_is_lost_between_worker_processes_and_loop(
    busy: float, ahead: int, kind: str, cause: str
) -> None:
    verdict = judge(python_run(blocking(8, 320, busy), busy, ahead=ahead))
    assert (verdict.kind, verdict.cause) == (kind, cause)


def test_worker_processes_that_are_far_too_slow_are_not_bursty() -> None:
    """They come with eight batches at a time, and take 2.4 steps for each."""
    recording = bursts_of(16.0, 8, busy=0.8)
    assert judge(recording).kind == "bursty"  # of threads it is known that they paused
    assert judge(python_run(recording, 0.8)).kind == "loader-bound"


def test_no_queue_is_long_enough_for_a_validation() -> None:
    assert judge(blocking(160, 320, 0.6)).kind == "loader-bound"


def test_worker_processes_that_are_not_there_have_no_time_to_spare() -> None:
    """The elapsed time, which has pauses between epochs and slow starts, is no measure on the Python path."""
    recording = made([0.5] * 40, first_s=20.0)
    work = 2 * (40 * 1.5 + 1)
    stages = {"python": StageStats(410, work, work / 410)}
    stats = replace(recording.stats, path="python", stages=stages, blame={}, waiting_s=2 * 60.0)
    verdict = judge(replace(recording, stats=stats))
    assert (verdict.kind, verdict.cause) == ("loader-bound", "python")
    assert verdict.capacity == pytest.approx(10 / 1.5)


def test_the_loss_that_a_queue_leaves() -> None:
    assert lost_with(2, [1.0] * 20, 0.9) == 0
    assert lost_with(2, [1.0] * 20, 2.0) == pytest.approx(0.5)
    assert lost_with(32, [0.0, 0.0, 0.0, 4.0] * 8, 0.9) == pytest.approx(0, abs=1e-9)
    assert lost_with(1, [0.0, 0.0, 0.0, 4.0] * 8, 0.9) == pytest.approx(2.7 / 6.7)


# ---- the device's clock ----------------------------------------------------------------------------


def test_waits_that_the_devices_queue_hides_are_none() -> None:
    verdict = judge(made([1.0] * 40, busy=0.5, idle=[0.01] * 40))
    assert (verdict.kind, verdict.by_device) == ("accelerator-bound", True)
    assert "the GPU waited 0.5%" in verdict.headline
    assert any("the host waited 50%" in line for line in verdict.evidence)


def test_waits_that_the_device_has_felt() -> None:
    verdict = judge(made([1.0] * 40, idle=[0.8] * 40))
    assert (verdict.kind, verdict.by_device) == ("loader-bound", True)
    assert verdict.lost_share == pytest.approx(0.4)


@pytest.mark.parametrize(("known", "by_device"), [(19, False), (20, True)])
def test_the_device_counts_where_half_of_the_steps_were_measured(known: int, by_device: bool) -> None:
    recording = made([1.0] * 40, idle=[0.0] * 40)
    steps = tuple(replace(s, device_idle_s=0.0 if 0 < s.number <= known else None) for s in recording.steps)
    verdict = judge(replace(recording, steps=steps))
    assert verdict.by_device == by_device
    assert verdict.lost_share == pytest.approx(0.0 if by_device else 0.5)


# ---- steps that are not like the others -----------------------------------------------------------


def test_a_few_very_long_steps_are_no_part_of_the_steady_state() -> None:
    """A compilation of 100 s in fifty steps that lose half of their time."""
    plain = made([1.0] * 50)
    long = tuple(replace(s, step_s=100.0) if i == 2 else s for i, s in enumerate(plain.steps))
    verdict, usual = judge(replace(plain, steps=long)), judge(plain)
    assert verdict.kind == usual.kind == "loader-bound"
    assert verdict.lost_share == pytest.approx(usual.lost_share)
    assert verdict.pace == pytest.approx(usual.pace)
    assert any("left out: 1 very long step, of up to 100.0 s" in line for line in verdict.evidence)
    # Nor have the workers been idle in it, or less busy for it.
    stats = plain.stats
    step = replace(stats.step, total_s=stats.step.total_s + 99.0)
    for changes in (
        {"waiting_s": stats.waiting_s + 2 * 100.0},
        {"path": "python", "blame": {}},
        {"workers": 0, "stages": {"decode": StageStats(510, 60.0)}},
    ):
        without = replace(plain, stats=replace(stats, **changes))
        if "waiting_s" in changes:
            without = plain
        with_it = replace(without, stats=replace(stats, **changes, step=step), steps=long)
        assert judge(with_it).capacity == pytest.approx(judge(without).capacity, rel=0.03)
    # Steps that are long again and again belong to the run.
    often = tuple(replace(s, step_s=100.0) if i % 8 == 2 else s for i, s in enumerate(plain.steps))
    assert not any("left out" in line for line in judge(replace(plain, steps=often)).evidence)


def test_a_constant_loss_has_no_period() -> None:
    assert find_bursts([0.1 + 1e-12 * (i % 6) for i in range(60)]).period == 0  # type: ignore[union-attr]
