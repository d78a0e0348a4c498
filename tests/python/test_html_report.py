"""The HTML report: that what stands in it is the recording's."""

from __future__ import annotations

import dataclasses
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from html_pages import RUNS, SVG, Tags, page_of, pictures, pictures_text, with_cures
from recordings import CURES

from stoker.diagnosis import judge
from stoker.diagnosis.html_report import html_report
from stoker.diagnosis.model import steady_rate
from stoker.diagnosis.origin import IN_THE_TITLE
from stoker.stats.clocks import WORKER_STATES

UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0}
NUMBER = r"([\d.,]+) (s|ms|µs|min)\b"


def seconds(words: str) -> list[float]:
    """The durations in a text."""
    return [float(n.replace(",", "")) * UNITS[unit] for n, unit in re.findall(NUMBER, words)]


def shares(words: str) -> list[float]:
    return [float(n) / 100 for n in re.findall(r"([\d.]+)%", words)]


def tips(svg: ElementTree.Element) -> list[str]:
    """The tooltips of a picture."""
    return [rect.findtext(f"{SVG}title", "") for rect in svg.iter(f"{SVG}rect") if len(rect)]


def heights(svg: ElementTree.Element, kind: str) -> list[float]:
    """How high the bars of a kind are, from left to right."""
    (path,) = (path for path in svg.iter(f"{SVG}path") if path.get("class") == kind)
    return [float(height) for height in re.findall(r"v([\d.]+)", path.attrib["d"])]


def rounded(value: float) -> Any:
    return pytest.approx(value, rel=0.006, abs=1e-9)


# ---- what stands in it ---------------------------------------------------------------------------


def test_the_verdict_comes_first_then_its_evidence() -> None:
    run = RUNS["device"]
    verdict = with_cures(run)
    assert verdict.evidence
    texts = [text for text in Tags(html_report(run, verdict, "A title")).texts if text.strip()]
    body = texts.index("A title", 2)
    head = ["A title", "torch 2.13.0", verdict.headline, verdict.evidence[0]]
    assert texts[body : body + 4] == head


def test_cures_with_prediction_against_the_measured() -> None:
    run = RUNS["device"]
    verdict = with_cures(run)
    rows = [row for row in Tags(html_report(run, verdict)).cells if len(row) == 5][1:]
    assert [row[1] for row in rows] == [cure.what for cure in CURES]
    assert [row[2] for row in rows] == [cure.how for cure in CURES]
    for row, cure in zip(rows[:2], CURES):
        assert row[3] == f"{cure.images_per_s:,.0f} images/s"
        assert float(row[4].split()[0]) == rounded(cure.images_per_s / steady_rate(run))
    assert rows[2][3:] == ["not predicted", "–"]


def test_throughput_bars_are_as_long_as_their_figures() -> None:
    run = RUNS["device"]
    verdict = with_cures(run)
    values = [
        steady_rate(run),
        CURES[0].images_per_s,
        CURES[1].images_per_s,
        verdict.pace,
        verdict.capacity,
    ]
    bars = pictures(html_report(run, verdict))["throughput"].findall(f"{SVG}rect")
    lengths = [float(bar.attrib["width"]) for bar in bars]
    assert [length / lengths[0] for length in lengths] == pytest.approx(
        [v / values[0] for v in values], rel=1e-3
    )


@pytest.mark.parametrize("name", ["native", "device"])
def test_the_chain_shares_the_workers_time_and_the_loops(name: str) -> None:
    stats = RUNS[name].stats
    label = pictures(page_of(name))["chain"].attrib["aria-label"]
    stages = {key: stage.total_s for key, stage in stats.stages.items()}
    whole = sum(stages.values()) + stats.waiting_s + stats.idle_s
    slow = stats.usage.slow_reads.total_s
    expected = [slow, stages["read"] - slow, stages["decode"], stages["transform"]]
    loop = stats.wait.total_s + stats.step.total_s
    found = shares(label)
    names = re.findall(r"(?:: |, )([a-z ]+?) (?:[\d.]+%|none)", label)
    links = ["storage", "read", "decode", "transform", "copy", "step"]
    assert found[:4] == pytest.approx([s / whole for s in expected], abs=0.0051)
    assert ", copy none, " in label
    if stats.device is None:
        assert names == links
        assert found[4:] == pytest.approx([stats.step.total_s / loop], abs=0.0051)
    else:
        assert names == [*links, "device idle"]
        idle = stats.device.idle.total_s / loop
        assert found[4:] == pytest.approx([stats.step.total_s / loop, idle], abs=0.0051)


def test_the_chain_of_the_python_path() -> None:
    stats = RUNS["python"].stats
    label = pictures(page_of("python"))["chain"].attrib["aria-label"]
    whole = sum(stage.total_s for stage in stats.stages.values()) + stats.waiting_s
    expected = [stats.stages[name].total_s / whole for name in ("native", "python", "collate")]
    loop = stats.wait.total_s + stats.step.total_s
    assert re.findall(r"(?:: |, )([A-Za-z+ ]+?) [\d.]+%", label) == [
        "storage", "C++ parts", "Python", "copy", "step",
    ]  # fmt: skip
    assert shares(label)[0] == pytest.approx(stats.usage.asleep_s / whole, abs=0.0051)
    assert shares(label)[1:4] == pytest.approx(expected, abs=0.0051)
    assert shares(label)[4] == pytest.approx(stats.step.total_s / loop, abs=0.0051)


def test_the_chain_says_what_copying_is() -> None:
    for name in ("native", "device", "python", "no workers python"):
        assert "The copy to a device is part of the step." in page_of(name)
        native = RUNS[name].stats.path == "native"
        assert ("Copy: none, as samples are written straight into their batch." in page_of(name)) == native
        assert ("Copy: the time of collate_fn" in page_of(name)) == (not native)
        assert ("Device idle: for how much" in page_of(name)) == (name == "device")


def test_the_chain_fills_boxes_as_far_as_their_shares_and_leads_to_the_step() -> None:
    for name, links in (("native", 6), ("device", 6), ("python", 5)):
        chain = pictures(page_of(name))["chain"]
        boxes = [box for box in chain.findall(f"{SVG}rect") if box.attrib["fill"] == "none"]
        assert len(boxes) == links + (name == "device")
        arrows = [path for path in chain.findall(f"{SVG}path") if "v10 z" in path.attrib["d"]]
        assert len(arrows) == links - 1
        (step,) = heights(chain, "step")
        of = RUNS[name].stats
        share = of.step.total_s / (of.step.total_s + of.wait.total_s)
        assert step == pytest.approx(float(boxes[0].attrib["height"]) * share, abs=0.01)
    (copy,) = heights(pictures(page_of("python"))["chain"], "collate")
    label = pictures(page_of("python"))["chain"].attrib["aria-label"]
    assert copy == pytest.approx(96 * shares(label)[3], abs=0.5)


def test_the_chain_has_a_collate_fn_where_it_runs() -> None:
    page, stats = page_of("collate"), RUNS["collate"].stats
    chain = pictures(page)["chain"]
    label = chain.attrib["aria-label"]
    names = re.findall(r"(?:: |, )([a-z_ ]+?) (?:[\d.]+%|none)", label)
    assert names == ["storage", "read", "decode", "transform", "copy", "collate_fn", "step"]
    share = stats.wait.total_s / 2 / (stats.wait.total_s + stats.step.total_s)
    assert shares(label)[4] == pytest.approx(share, abs=0.0051)
    (collate,) = heights(chain, "collate")
    assert collate == pytest.approx(96 * share, abs=0.01)
    arrows = [path for path in chain.findall(f"{SVG}path") if "v10 z" in path.attrib["d"]]
    assert len(arrows) == 6
    assert "thread, took 50% of its wait." in page
    assert "Copy: none" not in page
    assert "collate_fn" in [row[0] for row in Tags(page).cells]


def test_each_step_is_a_bar_of_its_height() -> None:
    run = RUNS["device"]
    drawn = pictures(page_of("device"))["steps"]
    found = tips(drawn)
    bars = [heights(drawn, kind) for kind in ("step", "wait", "device")]
    assert [len(found), *map(len, bars)] == [len(run.steps)] * 4
    scales = []
    for step, words, up, above, down in zip(run.steps, found, *bars):
        assert words.startswith(f"step {step.number:,}:")
        assert seconds(words) == [
            rounded(step.wait_s),
            rounded(step.step_s),
            rounded(step.device_idle_s or 0),
        ]
        if step.wait_s < 0.1:  # the others are cut off
            scales.append(up / step.step_s)
            assert above / step.wait_s == pytest.approx(scales[-1], rel=0.02)
            assert down / (step.device_idle_s or 0) == pytest.approx(scales[-1], rel=0.02)
    assert len(scales) > 200
    assert min(scales) == pytest.approx(max(scales), rel=0.01)


def test_a_device_that_is_seldom_idle_shows_when() -> None:
    run = RUNS["device"]
    steps = tuple(
        dataclasses.replace(s, wait_s=0.0, step_s=0.05, device_idle_s=0.1 if n % 40 == 7 else 1e-6)
        for n, s in enumerate(run.steps)
    )
    run = dataclasses.replace(run, steps=steps)
    page = html_report(run, judge(run))
    drawn = heights(pictures(page)["steps"], "device")
    up = heights(pictures(page)["steps"], "step")
    for n, (down, above) in enumerate(zip(drawn, up)):
        assert down == pytest.approx(above if n % 40 == 7 else 0, rel=0.02, abs=0.1)
    assert "It is cut off where it was longer than 50.0 ms: at most 100 ms." in page


def test_many_steps_are_put_together_and_the_caption_says_so() -> None:
    run, page = RUNS["many"], page_of("many")
    found = tips(pictures(page)["steps"])
    assert len(run.steps) == 4096
    assert 250 < len(found) <= 300
    assert "Each bar is the mean of 14 steps" in page
    assert "the last 4,096 of 5,000 steps" in page
    first = run.steps[:14]
    assert found[0].startswith("steps 904–917:")
    assert seconds(found[0])[0] == rounded(sum(s.wait_s for s in first) / 14)
    assert found[-1].startswith("steps 4,992–4,999:")


def test_workers_while_the_loop_waited() -> None:
    run = RUNS["native"]
    drawn = pictures(page_of("native"))["workers"]
    found = tips(drawn)
    assert len(found) == len(run.steps)
    bars = [heights(drawn, state) for state in ("read", "decode", "transform")]
    assert [height[1] for height in bars] == pytest.approx(
        [150 * share for share in (0.08, 0.72, 0.2)], rel=0.01
    )
    for step, words in zip(run.steps, found):
        named = {name: float(n) for name, n in re.findall(r"(\w+) (\d+\.\d\d)", words)}
        expected = {state: s / step.wait_s for state, s in zip(WORKER_STATES, step.blame)}
        assert named == pytest.approx(expected, abs=0.0051)


def test_core_use_between_readings() -> None:
    run = RUNS["native"]
    found = tips(pictures(page_of("native"))["cores"])
    intervals = len(run.readings) - 1
    assert len(found) == 5 * intervals
    busy = [float(words.split(": ")[1].split()[0]) for words in found]
    assert busy == pytest.approx([2.0] * intervals + [c / 5 for c in (1, 2, 3, 4) for _ in range(intervals)])
    assert "core 4" in page_of("native")
    assert "core 4" not in page_of("many"), "forty rows would be too many"
    assert len(tips(pictures(page_of("many"))["cores"])) <= 120


def test_queue_depth_and_histogram() -> None:
    run, drawn = RUNS["native"], pictures(page_of("native"))
    depths = [float(re.findall(r": ([\d.]+) complete", words)[0]) for words in tips(drawn["depth"])]
    assert depths == [step.ready for step in run.steps]
    texts = " ".join(text.text or "" for text in drawn["queue"].iter(f"{SVG}text"))
    assert [int(n) for n in re.findall(r"(\d+) requests?", texts)] == list(run.stats.queue)


@pytest.mark.parametrize("name", ["device", "python"])
def test_percentiles_are_the_recordings(name: str) -> None:
    stats = RUNS[name].stats
    rows = {row[0]: row for row in Tags(page_of(name)).cells if len(row) == 9}
    expected = {**stats.stages, "wait": stats.wait, "step": stats.step}
    if stats.device is not None:
        expected["device idle"] = stats.device.idle
    assert expected.keys() <= rows.keys()
    for key, d in expected.items():
        assert rows[key][2] == f"{d.count:,}"
        values = (d.mean_s, d.p50_s, d.p90_s, d.p99_s, d.max_s, d.total_s)
        assert [seconds(cell)[0] for cell in rows[key][3:]] == [rounded(value) for value in values]


def test_slowest_samples() -> None:
    stats = RUNS["native"].stats
    rows = [row for row in Tags(page_of("native")).cells if len(row) == 7][1:]
    typical = sum(stage.mean_s for stage in stats.stages.values())
    assert len(rows) == len(stats.slowest) == 4
    for row, sample in zip(rows, stats.slowest):
        assert row[:2] == [f"{sample.index:,}", sample.path]
        assert seconds(row[2])[0] == rounded(sample.total_s)
        assert float(row[3].split()[0]) == rounded(sample.total_s / typical)
        assert [seconds(cell)[0] for cell in row[4:]] == [rounded(s) for s in sample.stages.values()]


def test_all_facts_are_there() -> None:
    rows = [tuple(row) for row in Tags(page_of("native")).cells if len(row) == 2]
    said = {key: value for key, value in RUNS["native"].facts.items() if key not in IN_THE_TITLE}
    assert set(said.items()) <= set(rows)
    assert len(said) == 2


def test_what_was_not_measured_is_said() -> None:
    assert "Device idle: not measured" in page_of("native")
    assert "Device idle: not measured" not in page_of("device")
    assert "do not tell what they do when" in page_of("python")
    assert Tags(page_of("python")).texts.count("Not measured: PyTorch's iteration does not tell.") == 1
    for name in ("no workers", "no workers python"):
        assert "in the loop's own thread" in pictures_text(page_of(name))
    assert "in the loop's own thread" not in pictures_text(page_of("native"))
    for name in ("empty", "empty python"):
        page = page_of(name)
        assert pictures(page) == {}
        assert page.count("Not measured:") >= 7
        assert page.count("<section") == 9
        assert not re.search(r"\b(nan|inf|None)\b", page)


def test_an_early_verdict_gives_no_bounds() -> None:
    run = RUNS["one"]
    assert judge(run).kind == "unknown"
    assert "the step alone" not in pictures(page_of("one"))["throughput"].attrib["aria-label"]
    assert "steady time lost" not in page_of("one")
    assert "in 1 batch" in page_of("one")


@pytest.mark.parametrize("part", ["decode", "transform: Resize", "read", "python: load (a.py:7)"])
def test_what_a_profile_blames_is_marked_as_the_scripts_code(part: str) -> None:
    run = dataclasses.replace(RUNS["python"], profile={part: 1.0})
    verdict = judge(run)
    assert verdict.kind == "loader-bound"
    page = html_report(run, dataclasses.replace(verdict, limit="cores"))
    texts = [(t.text or "", t.attrib["x"]) for t in pictures(page)["chain"].iter(f"{SVG}text")]
    (marked,) = [x for text, x in texts if "limits the run" in text]
    assert marked == dict(texts)["Python"]
