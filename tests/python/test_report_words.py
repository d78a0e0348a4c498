"""The report in words, from recordings that were made up: what it says, and what it leaves out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from made_up import (
    BATCHES,
    IMAGES,
    durations,
    on_device,
    on_python,
    recording_of,
    stage,
    steps_of,
    system_of,
)

from stoker import IndexStats
from stoker.diagnosis import Recording, judge
from stoker.diagnosis._words import duration
from stoker.diagnosis.cures import with_cures
from stoker.diagnosis.words import render
from stoker.stats import SlowSample, StepRecord, SystemStats, WorkerUsage


def words(recording: Recording, details: bool | None = None) -> str:
    return render(recording, with_cures(recording, judge(recording)), details)


def line_with(text: str, beginning: str) -> str:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(beginning)]
    return line


def well(**changes: Any) -> Recording:
    """A run that is bound by its step."""
    return recording_of(0.0005, 0.1, **{"waiting_s": 60.0, **changes})


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (750, "12.5 min"),
        (599, "599 s"),
        (99.96, "100 s"),
        (75, "75.0 s"),
        (9.996, "10.0 s"),
        (1, "1.00 s"),
        (0.9996, "1.00 s"),
        (0.5, "500 ms"),
        (0.1, "100 ms"),
        (0.09999999, "100 ms"),
        (0.0425, "42.5 ms"),
        (0.001, "1.00 ms"),
        (0.00099999, "1.00 ms"),
        (0.00042, "420 µs"),
        (0.0000445, "44.5 µs"),
        (0, "0 s"),
    ],
)
def test_durations_have_a_unit_that_leaves_few_digits(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_the_verdict_comes_first() -> None:
    recording = recording_of()
    verdict = judge(recording)
    lines = words(recording).splitlines()
    assert lines[0] == verdict.headline
    assert "waited 60% of the time" in lines[0]
    assert [line.strip() for line in lines[1 : 1 + len(verdict.evidence)]] == list(verdict.evidence)


def test_the_figures() -> None:
    text = words(recording_of())
    assert "step 100 ms = 40.0 ms training + 60.0 ms waiting for data" in text
    assert "100 batches" in text
    assert "first batch 500 ms" in text
    assert "640 images/s" in text
    assert "workers 2 · usable cores 4, busy 52% (2.0 cores by this process)" in text
    assert "batch ready at 25% of requests" in text
    for name, share in {"read": "20.0%", "decode": "60.0%", "transform": "20.0%", "waiting": "0.0%"}.items():
        assert share in line_with(text, name)
    bars = [line_with(text, name).count("█") for name in ("read", "decode", "transform")]
    assert bars[0] == bars[2] > 0
    assert bars[1] == pytest.approx(3 * bars[0], abs=2)
    assert "1.88 ms" in line_with(text, "decode")  # 12 s of 6,400 images


def test_workers_that_have_nothing_to_do() -> None:
    text = words(recording_of(waiting_s=10.0, idle_s=10.0))
    assert "25.0%" in line_with(text, "waiting")
    assert "25.0%" in line_with(text, "idle")
    assert "30.0%" in line_with(text, "decode")


def test_what_would_help_is_numbered_with_its_figures() -> None:
    recording = recording_of(variants={"fast": 0.6})
    cures = with_cures(recording, judge(recording)).cures
    text = words(recording)
    assert "What would help, best first" in text
    assert line_with(text, "1.").split() == [
        *["1.", "num_workers", "2", "→", "4", "640", "→"], f"{cures[0].images_per_s:,.0f}", "images/s"
    ]  # fmt: skip
    assert cures[1].what in line_with(text, "2.")
    assert f"640 → {cures[1].images_per_s:,.0f} images/s" in line_with(text, "2.")
    assert "the step's own pace is 1,600 images/s" in text


def test_a_cure_without_a_prediction_says_so() -> None:
    text = words(recording_of(fetch=durations(IMAGES, 5.0)))
    assert "stoker_sample" in text.splitlines()[0]
    (line,) = [line for line in text.splitlines() if "returns a path" in line]
    assert "not predicted" in line


def test_no_cures_no_heading() -> None:
    recording = recording_of()
    assert "What would help" not in render(recording, judge(recording))


# ---- where all is well ---------------------------------------------------------------------------


def test_one_line_where_the_step_is_what_binds() -> None:
    (line,) = words(well()).splitlines()
    assert line.startswith("Step-bound: the training loop waited ")  # nobody has looked at an accelerator
    assert line.endswith("The loader is not to blame.")
    seen = well(steps=steps_of(0.0005, 0.1, 0.0005), device=on_device(0.0005))
    (line,) = words(seen).splitlines()
    assert line.startswith("Accelerator-bound: the GPU waited ")
    assert line.endswith("Nothing to do.")


def test_details_of_a_run_where_all_is_well() -> None:
    text = words(well(), details=True)
    assert "= 100 ms training + 500 µs waiting for data" in text
    assert "decode" in text
    assert "What would help" not in text


def test_no_details_of_a_run_where_it_is_not() -> None:
    text = words(recording_of(), details=False)
    assert text == "\n".join([judge(recording_of()).headline])


def test_fewer_workers_that_would_be_enough_are_named() -> None:
    usage = WorkerUsage(work_s=10.0, cpu_s=10.0, reads=IMAGES)
    (line,) = words(well(workers=4, usage=usage)).splitlines()
    assert line.endswith("(2 of 4 workers would be enough).")
    assert "would be enough" not in words(well(workers=1, usage=usage))


@pytest.mark.parametrize("changes", [{"failed_batches": 3}, {"index_problem": "the disk is full"}])
def test_problems_are_told_even_where_all_is_well(changes: dict[str, Any]) -> None:
    text = words(well(**changes))
    assert text.startswith("Step-bound: ")
    assert ("3 batches were lost" in text) == ("failed_batches" in changes)
    assert ("nothing is added to it: the disk is full" in text) == ("index_problem" in changes)


# ---- what there may be beside --------------------------------------------------------------------


def test_nothing_to_report_yet() -> None:
    empty = recording_of(batches=0, samples=0, steps=(), wait=durations(0, 0), step=durations(0, 0))
    assert words(empty) == "Nothing to report yet: no batch has been handed over."


def test_too_early_to_tell() -> None:
    few = recording_of(steps=steps_of(0.06, 0.04)[:3], batches=3, samples=192)
    assert words(few).startswith("Too early to tell")


def test_no_accelerator_is_said() -> None:
    assert line_with(words(recording_of()), "device idle") == (
        "  device idle behind the loader: not measured, no accelerator is in use"
    )


def test_the_devices_idleness_is_said() -> None:
    recording = recording_of(steps=steps_of(0.06, 0.04, 0.05), device=on_device(0.05))
    text = words(recording)
    assert line_with(text, "cuda").startswith("  cuda idle behind the loader 50.0 ms a step")
    assert "not measured" not in text
    assert "the GPU waited 50% of the time" in text.splitlines()[0]


def test_lost_batches() -> None:
    assert "1,234 batches were lost" in words(recording_of(failed_batches=1234))
    assert "lost" not in words(recording_of())


def test_a_quota_is_told_in_place_of_the_cores() -> None:
    system = system_of(recording_of(), quota_cores=2.5, usable_cores=2)
    text = words(recording_of(system=system))
    assert "quota 2.5 cores" in text
    assert "usable cores" not in text


def test_where_the_machine_tells_nothing() -> None:
    text = words(recording_of(system=SystemStats(elapsed_s=10, usable_cores=4)))
    assert "busy" not in line_with(text, "workers 2")


@pytest.mark.parametrize(("slow", "told"), [(0, False), (60, False), (70, True), (IMAGES, True)])
def test_reads_that_waited_for_storage(slow: int, told: bool) -> None:
    usage = dataclasses.replace(recording_of().stats.usage, slow_reads=durations(slow, slow * 0.0125))
    text = words(recording_of(usage=usage))
    assert (f"storage: {slow:,} of 6,400 reads waited for it, 12.5 ms each" in text) == told


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (IndexStats(), None),
        (IndexStats(unknown=IMAGES), None),
        (
            IndexStats(used=4800, nothing=1600, decoded_bytes=30, plain_bytes=100),
            "75% of samples used it, which saved 70% of their entropy decoding",
        ),
        (IndexStats(recorded=6000, unknown=400), "being built; the next epoch decodes less"),
        (IndexStats(nothing=5166, rejected=1234), "1,234 entries did not fit the files and went unused"),
    ],
)
def test_the_decode_index(index: IndexStats, expected: str | None) -> None:
    text = words(recording_of(index=index))
    if expected is None:
        assert "decode index" not in text
    else:
        assert expected in line_with(text, "decode index")


def test_on_the_python_path_the_reason_is_told() -> None:
    facts = {"plan": "Python, because Opaque is a dataset that only Python can read"}
    text = words(recording_of(**on_python(), facts=facts))
    assert f"served by PyTorch's own iteration: {facts['plan']}" in text
    assert "worker processes 2" in text
    assert "requests" not in text  # nothing is known of batches that were ready
    assert "(times are per batch)" in line_with(text, "collate")
    assert f"{14 / 20:.1%}" in line_with(text, "python")
    assert "idle" not in [line.split()[0] for line in text.splitlines() if line.strip()]
    assert "mostly for Python" in text.splitlines()[0]
    assert "PyTorch" not in words(recording_of(facts={"plan": "native"}))


def test_a_run_of_one_batch_has_words_too() -> None:
    one = recording_of(
        steps=steps_of(0.06, 0.0)[:1], batches=1, samples=64, wait=durations(1, 0.06), step=durations(0, 0)
    )
    assert words(one).startswith("Too early to tell")
    assert BATCHES > 1


def test_one_batch() -> None:
    recording = recording_of(steps=steps_of(0.06, 0.04)[:1], batches=1, samples=64, failed_batches=1)
    text = words(recording)
    assert "  1 batch · first batch 500 ms\n" in text
    assert "  step " not in text
    assert "  1 batch was lost to samples" in text


@pytest.mark.parametrize(("workers", "whose"), [(2, "this process and its workers"), (0, "this process")])
def test_whose_cores_are_busy(workers: int, whose: str) -> None:
    assert f" cores by {whose})" in words(recording_of(**on_python(workers=workers)))


def test_a_sample_is_compared_with_what_a_sample_takes() -> None:
    """Not with collate's time, which is a batch's."""
    steps = tuple(StepRecord(n, 0.0, 0.5 if n % 20 == 19 else 0.0, 0.04, n == 0) for n in range(BATCHES))
    slow = SlowSample(7, "/a.jpg", {"native": 0.0, "python": 0.2})
    recording = recording_of(
        0.0, 0.04, steps=steps, wait=durations(BATCHES, 2.5), batch=durations(BATCHES, 6.5), first_wait_s=0.0,
        **on_python(
            stages={"python": stage(3.2), "collate": stage(1.5, BATCHES)},  # 0.5 ms a sample, 15 ms a batch
            usage=WorkerUsage(work_s=4.7, cpu_s=4.7), slowest=(slow,), waiting_s=8.3,
        ),
    )  # fmt: skip
    verdict = judge(recording)
    assert verdict.kind == "bursty"
    assert "sample 7 (/a.jpg) took 0.20 s, 400 times the mean" in verdict.evidence
