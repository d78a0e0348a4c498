"""The HTML report's picture of the workers along the run: that it shows what was read of each."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from html_pages import RUNS, SVG, page_of, pictures
from recordings import at_work, recording

from stoker.diagnosis import Recording, judge
from stoker.diagnosis._occupancy import MOST_CELLS, MOST_ROWS, occupancy, shade, shares_of
from stoker.diagnosis._svg import SHADES
from stoker.diagnosis.html_report import html_report
from stoker.stats.system import SystemReading


def page(run: Recording) -> str:
    return html_report(run, judge(run))


def drawn(name: str) -> ElementTree.Element:
    return pictures(page_of(name))["occupancy"]


def cells(svg: ElementTree.Element) -> list[tuple[str, float]]:
    """(row, share at work) of each, by their tooltips: row by row, from left to right."""
    tips = [rect.findtext(f"{SVG}title", "") for rect in svg.iter(f"{SVG}rect") if len(rect)]
    found = [re.fullmatch(r"(.+?), .+: ([\d.]+)% at work", words) for words in tips]
    return [(match[1], float(match[2]) / 100) for match in found if match]


def bars(svg: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    """(x, y) of a shade's cells; the first is the scale's own."""
    (path,) = (path for path in svg.iter(f"{SVG}path") if path.get("class") == kind)
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+),([\d.]+)h", path.attrib["d"])]


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ["native", "python", "device"])
def test_each_worker_has_a_row_and_each_interval_a_cell(name: str) -> None:
    run = RUNS[name]
    intervals, workers = len(run.readings) - 1, run.stats.workers
    expected = [(f"worker {w}", at_work(w, i)) for w in range(workers) for i in range(intervals)]
    found = cells(drawn(name))
    assert [row for row, _ in found] == [row for row, _ in expected]
    assert [share for _, share in found] == pytest.approx([share for _, share in expected], abs=0.0051)


def test_a_cell_has_the_shade_of_its_share() -> None:
    run, svg = RUNS["native"], drawn("native")
    intervals, workers = len(run.readings) - 1, run.stats.workers
    expected = [round(5 * at_work(w, i)) for w in range(workers) for i in range(intervals)]
    for level in range(1, len(SHADES)):
        found = bars(svg, f"shade{level}")[1:]
        assert len(found) == expected.count(level)
        rows = sorted({y for _, y in found})
        assert len(rows) == workers
        width = 676 / intervals
        places = {(rows.index(y), round((x - 64) / width)) for x, y in found}
        assert places == {divmod(n, intervals) for n, shown in enumerate(expected) if shown == level}
    assert len(bars(svg, "shade0")) == 1, "what is white needs no cell"


def test_shades_are_told_apart_in_grey() -> None:
    def light(colour: str) -> float:
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))
        return 116 * float(luminance) ** (1 / 3) - 16  # CIE L*, for what is not nearly black

    lights = [light(colour) for colour in SHADES]
    assert lights[0] == pytest.approx(100, abs=0.1)
    assert all(a - b > 9 for a, b in pairwise(lights))


def test_the_scale_names_each_shade() -> None:
    svg = drawn("native")
    said = texts(svg)
    begin = said.index("at work:")
    assert said[begin + 1 : begin + 7] == ["none", "to 20%", "to 40%", "to 60%", "to 80%", "to 100%"]
    scale = [bars(svg, f"shade{level}")[0] for level in range(len(SHADES))]
    assert scale == sorted(scale)
    assert len({y for _, y in scale}) == 1
    assert [shade(s) for s in (0, 0.004, 0.01, 0.2, 0.201, 0.4, 0.6, 0.8, 0.81, 1)] == [
        0, 0, 1, 1, 2, 2, 3, 4, 5, 5,
    ]  # fmt: skip


def test_a_rows_mean_stands_behind_it() -> None:
    run = RUNS["native"]
    said = texts(drawn("native"))
    means = said[said.index("mean") + 1 :][1:8:2]
    intervals = len(run.readings) - 1
    expected = [sum(at_work(w, i) for i in range(intervals)) / intervals for w in range(4)]
    assert [float(words.rstrip("%")) / 100 for words in means] == pytest.approx(expected, abs=0.0051)


def test_the_loops_own_thread_is_one_row() -> None:
    for name in ("no workers", "no workers python"):
        found = cells(drawn(name))
        assert {row for row, _ in found} == {"loop"}
        assert len(found) == len(RUNS[name].readings) - 1
        assert "each of 1 worker" not in drawn(name).attrib["aria-label"]
        assert "the loop&#x27;s own thread was at work" in page_of(name)
        assert "free" not in page_of(name)


def test_too_many_workers_are_put_together_and_the_caption_says_so() -> None:
    run, page = RUNS["many"], page_of("many")
    columns, rows = occupancy(run.readings)
    assert [(row.first, row.last) for row in rows] == [(w, w + 1) for w in range(0, 38, 2)]
    assert "Of 38 workers, 2 neighbours share a row, which shows their mean." in page
    assert "share a row" not in page_of("native")
    found = cells(drawn("many"))
    assert len(found) == len(rows) * len(columns) <= MOST_CELLS
    assert found[0][0] == "worker 0–1"
    per = -(-(len(run.readings) - 1) // (MOST_CELLS // 19))
    each = [at_work(w, i) for w in (2, 3) for i in range(per)]
    assert rows[1].shares[0] == pytest.approx(sum(each) / len(each))


@pytest.mark.parametrize("workers", [1, 12, 13, 20, 21, 32, 33, 64, 65, 200])
def test_rows_and_cells_are_few_enough(workers: int) -> None:
    readings = tuple(SystemReading(float(i), worker_busy_s=(0.5 * i,) * workers) for i in range(512))
    columns, rows = occupancy(readings)
    assert 1 <= len(rows) <= min(MOST_ROWS, workers)
    assert len(rows) * len(columns) <= MOST_CELLS
    assert len(columns) > 30
    assert [row.first for row in rows][1:] == [row.last + 1 for row in rows][:-1]
    assert rows[-1].last == workers - 1
    assert all(share == pytest.approx(0.5) for row in rows for share in row.shares)


def test_work_that_is_counted_late_was_done_before() -> None:
    assert shares_of([0.5, 0.0, 1.0], [1.0, 1.0, 2.0]) == (0.5, 0.0, 0.5)
    assert shares_of([0.2, 0.0, 2.5], [1.0, 1.0, 1.0]) == pytest.approx((0.7, 1.0, 1.0))
    assert shares_of([0.0, 9.0], [1.0, 1.0]) == (1.0, 1.0)
    assert shares_of([-3.0, 0.5], [1.0, 1.0]) == (0.0, 0.5), "a fork, whose parent's cores are not its own"


def test_a_worker_that_begins_late() -> None:
    readings = (
        SystemReading(0.0),
        SystemReading(1.0, worker_busy_s=(0.4,)),
        SystemReading(2.0, worker_busy_s=(0.8, 1.0)),
    )
    _, rows = occupancy(readings)
    assert [row.shares for row in rows] == [pytest.approx((0.4, 0.4)), (0.0, 1.0)]


def test_what_a_recording_does_not_have_is_said() -> None:
    old = tuple(dataclasses.replace(reading, worker_busy_s=()) for reading in RUNS["native"].readings)
    without = page(dataclasses.replace(RUNS["native"], readings=old))
    assert "occupancy" not in pictures(without)
    assert "Not measured: the recording does not have each worker&#x27;s time." in without
    early = page(dataclasses.replace(RUNS["native"], readings=old[:1]))
    assert "Not measured: fewer than two readings of the workers." in early
    same = dataclasses.replace(recording(), readings=(RUNS["native"].readings[0],) * 2)
    assert "Not measured: the recording does not have each worker" in page(same)


def test_the_caption_says_what_work_is() -> None:
    assert "also while it waits for storage or a core" in page_of("native")
    assert "in the dataset or in collate_fn, asleep or not" in page_of("python")
    assert "Any worker that is free takes the next sample" in page_of("native")
    assert "Numbered from 0, as PyTorch does" in page_of("python")
    intervals = len(RUNS["native"].readings) - 1
    assert f"{intervals} intervals of a second or more" in page_of("native")
