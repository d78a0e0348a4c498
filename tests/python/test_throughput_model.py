"""The throughput model against values worked out by hand, and what must hold for any of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import IMAGES, recording_of, steps_of, system_of

from stoker.diagnosis import judge
from stoker.diagnosis.model import Model, best_workers, model_of, predicted, steady_rate
from stoker.stats import WorkerUsage

# 4 ms of CPU and 1 ms asleep an image, 1 ms of CPU beside it, and a step of 0.5 ms.
MODEL = Model(workers=2, cores=4, cpu_s=0.004, asleep_s=0.001, other_cpu_s=0.001, step_s=0.0005)


def rates_of(model: Model, most: int) -> list[float]:
    """Of 1, 2, … workers."""
    return [replace(model, workers=n).rate() for n in range(1, most + 1)]


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({}, 400),  # the workers: 2 / 5 ms
        ({"workers": 4}, 800),  # the workers and the cores alike
        ({"workers": 8}, 800),  # the cores: 4 / 5 ms
        ({"workers": 8, "cores": 16}, 1600),
        ({"workers": 16, "cores": 16}, 2000),  # the step
        ({"workers": 16, "cores": 2.5}, 500),
        ({"workers": 0}, 1 / 0.0055),  # all in one line
        ({"workers": 0, "cores": 16}, 1 / 0.0055),
        ({"workers": 4, "cores": 16, "asleep_s": 0.012}, 250),  # they sleep
        ({"workers": 1, "step_s": 0.02}, 50),
    ],
)
def test_the_formulas(changes: dict[str, float], rate: float) -> None:
    assert replace(MODEL, **changes).rate() == pytest.approx(rate)


def test_the_loaders_own_rate() -> None:
    assert replace(MODEL, workers=16, cores=16).loader_rate() == pytest.approx(3200)
    assert replace(MODEL, step_s=1).loader_rate() == pytest.approx(400)


def test_cheaper_images_cost_the_workers_less_cpu_and_nothing_else() -> None:
    assert MODEL.with_cost(0.5) == replace(MODEL, cpu_s=0.002)


@pytest.mark.parametrize(
    ("changes", "most", "best"),
    [
        ({}, 16, 4),  # as many as the cores can feed
        ({}, 3, 3),
        ({"asleep_s": 0.012}, 64, 13),  # 16 ms an image for one: 13 bring 98 % of the cores' 800/s
        ({"step_s": 0.005}, 16, 1),
        ({"cores": 16}, 64, 10),  # the step's 2,000/s
    ],
)
def test_the_best_number_of_workers(changes: dict[str, float], most: int, best: int) -> None:
    assert best_workers(rates_of(replace(MODEL, **changes), most)) == best


SECONDS = st.floats(1e-6, 10)
MODELS = st.builds(
    Model,
    workers=st.integers(1, 64),
    cores=st.floats(0.1, 256),
    cpu_s=SECONDS,
    asleep_s=st.floats(0, 10),
    other_cpu_s=st.floats(0, 10),
    step_s=SECONDS,
)


@given(MODELS, st.integers(0, 64), st.floats(0, 256))
def test_more_workers_and_cores_are_never_slower(model: Model, workers: int, cores: float) -> None:
    more = replace(model, workers=model.workers + workers, cores=model.cores + cores)
    assert more.rate() >= model.rate()


@given(MODELS, st.floats(0, 1), st.booleans())
def test_cheaper_images_are_never_slower(model: Model, share: float, alone: bool) -> None:
    model = replace(model, workers=0) if alone else model
    assert model.with_cost(share).rate() >= model.rate()


@given(MODELS, st.floats(0, 1), st.floats(0, 1))
def test_nothing_is_faster_than_the_step(model: Model, share: float, measured_share: float) -> None:
    pace = 1 / model.step_s
    then = replace(model.with_cost(share), workers=512, cores=512)
    assert then.rate() <= pace * (1 + 1e-9)
    assert predicted(measured_share * pace, model, then) <= pace * (1 + 1e-9)
    # Even where what was measured is above it.
    assert predicted(5 * pace, model, then) <= pace * (1 + 1e-9)


@given(MODELS, st.integers(1, 64))
def test_the_best_workers_are_the_fewest_that_do(model: Model, most: int) -> None:
    all_rates = rates_of(model, most)
    best = best_workers(all_rates)
    assert 1 <= best <= most
    assert all_rates[best - 1] >= 0.98 * max(all_rates)
    assert all(rate < 0.98 * max(all_rates) for rate in all_rates[: best - 1])


def test_a_prediction_is_the_measured_rate_times_the_ratio() -> None:
    # The model says 400 now and 800 then; what it leaves out of both cancels.
    assert predicted(300, MODEL, replace(MODEL, workers=4)) == pytest.approx(600)
    assert predicted(1500, MODEL, replace(MODEL, workers=4)) == pytest.approx(2000)
    assert predicted(300, MODEL, MODEL) == pytest.approx(300)


# ---- of a recording ------------------------------------------------------------------------------


def test_the_model_of_a_recording() -> None:
    recording = recording_of()
    model = model_of(recording, judge(recording))
    assert model is not None
    assert dataclasses.astuple(model) == pytest.approx(
        (
            2,
            4 - 0.1,  # others used a tenth of a core
            19 / IMAGES,
            0.5 / IMAGES,
            1 / IMAGES,  # what the process used beside its workers
            0.04 / 64,
            0,
            0,
            4,
        )
    )
    assert steady_rate(recording) == pytest.approx(640)


def test_of_a_quota_other_processes_take_nothing() -> None:
    recording = recording_of()
    recording = recording_of(system=system_of(recording, quota_cores=2.5, usable_cores=2, machine_cpu_s=99.0))
    model = model_of(recording, judge(recording))
    assert model is not None
    assert model.cores == 2.5


def test_there_is_always_something_of_a_core() -> None:
    recording = recording_of()
    recording = recording_of(system=system_of(recording, machine_cpu_s=1000.0))
    model = model_of(recording, judge(recording))
    assert model is not None
    assert 0 < model.cores <= 0.1


@pytest.mark.parametrize("nothing", [{"samples": 0}, {"usage": WorkerUsage()}])
def test_too_little_is_known(nothing: dict[str, object]) -> None:
    recording = recording_of(**nothing)
    assert model_of(recording, judge(recording)) is None


def test_first_batches_do_not_count_in_the_steady_rate() -> None:
    steps = steps_of(0.06, 0.04)
    slow = (replace(steps[0], wait_s=30.0), *steps[1:])
    assert steady_rate(recording_of(steps=slow)) == pytest.approx(640)


def test_without_batches_there_is_no_rate() -> None:
    recording = recording_of(batches=0, samples=0, steps=())
    rate = steady_rate(recording)
    assert rate == 0
    assert math.isfinite(rate)
