"""The HTML report as a page: one file without a script, whatever names come along; and in a real browser."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import platform
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import browser
import numpy as np
import pytest
from both_paths import Numbers
from html_pages import RUNS, SVG, Tags, page_of, pictures
from photographs import photo_like
from PIL import Image
from recordings import CURES, EVIL, recording

import stoker
from stoker.diagnosis import Recording, judge
from stoker.diagnosis._css import css
from stoker.diagnosis._svg import DARK_FILLS, FILLS, INK
from stoker.diagnosis.html_report import html_report
from stoker.diagnosis.source_lines import source_lines
from stoker.diagnosis.thumbnails import MOST_BYTES, thumbnails_of
from stoker.stats.records import SlowSample, SystemStats

# ---- what it is made of --------------------------------------------------------------------------


def hostile(words: str) -> str:
    run = recording(name=words, device=True, index_problem=words, system=SystemStats(torch_threads=3))
    run = dataclasses.replace(run, facts={words: words})
    cures = tuple(dataclasses.replace(cure, what=words, how=words) for cure in CURES)
    verdict = dataclasses.replace(judge(run), headline=words, evidence=(words, words), cures=cures)
    return html_report(run, verdict, title=words)


def test_words_from_outside_stay_words() -> None:
    evil, good = Tags(hostile(EVIL)), Tags(hostile("harmless"))
    assert evil.tags == good.tags
    assert [key for key, _ in evil.attributes] == [key for key, _ in good.attributes]
    # In a picture long names are cut, so count where they are whole: title twice, headline, evidence, facts,
    # the index's problem, three cures with how, four samples.
    whole = sum(EVIL in text for text in evil.texts)
    assert whole >= 2 + 1 + 2 + 2 + 1 + 6 + 4
    assert len(pictures(hostile(EVIL))) == len(pictures(hostile("harmless"))) == 10


def test_a_name_that_is_not_utf8() -> None:
    page = html_report(recording(name="caf\udce9.jpeg"), judge(RUNS["native"]))
    assert "caf\\xe9.jpeg" in page
    page.encode("utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_nothing_from_outside_and_no_script(name: str) -> None:
    page = Tags(page_of(name))
    forbidden = {"script", "link", "iframe", "object", "embed", "image", "use", "base"}
    assert not forbidden & set(page.tags)
    for key, value in page.attributes:
        if key == "src":
            assert (value or "").startswith("data:image/png;base64,")
        assert key not in ("href", "xlink:href", "srcset", "style"), key
        assert not key.startswith("on")
        assert key == "xmlns" or "//" not in (value or "")
    assert not re.search(r"url\((?!#)|@import|@font-face", page_of(name))


@pytest.mark.parametrize("name", RUNS)
def test_pictures_are_named_and_their_ids_unique(name: str) -> None:
    drawn = re.findall("<svg.*?</svg>", page_of(name), re.DOTALL)
    ids = re.findall(r' id="([^"]+)"', page_of(name))
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", page_of(name))) <= set(ids)
    for svg in map(ElementTree.fromstring, drawn):
        assert svg.attrib["role"] == "img"
        title = svg.find(f"{SVG}title")
        assert title is not None
        assert title.text == svg.attrib["aria-label"] != ""


@pytest.mark.parametrize("name", RUNS)
def test_no_two_fills_of_a_picture_differ_by_colour_alone(name: str) -> None:
    for svg in pictures(page_of(name)).values():
        kinds = {p.attrib["id"].rpartition("-")[2]: p.find(f"{SVG}path") for p in svg.iter(f"{SVG}pattern")}
        marks = [path.attrib["d"] for path in kinds.values() if path is not None]
        if svg.attrib["id"] == "chain":  # boxes with their names below
            continue
        assert len(marks) == len(set(marks)), svg.attrib["id"]
        shapes = [
            r.attrib["fill"] for r in svg.iter(f"{SVG}rect") if r.attrib["fill"] not in ("none", "#fff")
        ]
        tiles = {r.attrib["fill"] for p in svg.iter(f"{SVG}pattern") for r in p.iter(f"{SVG}rect")}
        plain = {fill for fill in shapes if not fill.startswith("url") and fill not in tiles}
        assert len(plain) <= 1, svg.attrib["id"]


# ---- which run, its samples, its source ----------------------------------------------------------

ORIGIN = {
    "script": "train.py",
    "command": "python train.py --lr '<0.1>'",
    "date": "2031-02-03 04:05 +0000",
    "host": "node7",
    "stoker": "1.2.3",
    "torch": "2.13.0",
    "python": "3.12.1",
}


def test_the_title_says_which_run_it_was() -> None:
    run = dataclasses.replace(RUNS["native"], facts={**RUNS["native"].facts, **ORIGIN})
    page = html_report(run, judge(run))
    assert "<title>train.py: Stoker report</title>" in page
    assert "<code>python train.py --lr &#x27;&lt;0.1&gt;&#x27;</code>" in page
    assert "2031-02-03 04:05 +0000 · node7 · stoker 1.2.3 · torch 2.13.0 · Python 3.12.1" in page
    assert "node7" not in page[page.index("What ran") :]


def test_a_recording_knows_its_origin() -> None:
    facts = stoker.DataLoader(Numbers(4), 2).recording().facts
    assert facts.keys() >= ORIGIN.keys()
    assert facts["stoker"] == stoker.__version__
    assert facts["host"] == platform.node()


def slow_files(*paths: Path) -> Any:
    stats = recording().stats
    slow = tuple(SlowSample(i, str(path), {"read": 1.0}) for i, path in enumerate(paths))
    return dataclasses.replace(stats, slowest=slow)


def test_the_slowest_samples_are_shown(tmp_path: Path) -> None:
    photo_like(300, 200, seed=1).save(tmp_path / "a.jpg")
    stats = slow_files(tmp_path / "a.jpg")
    thumbnails = thumbnails_of(stats)
    with Image.open(io.BytesIO(thumbnails[str(tmp_path / "a.jpg")])) as image:
        assert (image.format, image.size) == ("PNG", (96, 64))
        right = Image.open(tmp_path / "a.jpg").resize((96, 64), Image.Resampling.BILINEAR)
        assert abs(np.asarray(image, float) - np.asarray(right, float)).mean() < 2
    run = dataclasses.replace(recording(), stats=stats)
    page = html_report(run, judge(run), thumbnails=thumbnails)
    assert page.count("<img ") == 1
    assert "<img " not in html_report(run, judge(run))


def test_what_cannot_be_shown_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_bytes(b"no image")
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    gone = [tmp_path / name for name in ("no.jpg", "pipe.jpg", "large.jpg", "gone.jpg", ".")]
    assert thumbnails_of(slow_files(*gone)) == {}


def test_hot_functions_come_with_their_line_of_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hot_code.py").write_text("def slow(row):\n    return [x * 2 for x in row if x < 3]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("hot_code")
    part = "python: slow (hot_code.py:2)"
    lines = source_lines([part, "decode", "python: other (no_such.py:1)", "python: past (hot_code.py:99)"])
    assert lines == {part: "return [x * 2 for x in row if x < 3]"}
    run = dataclasses.replace(RUNS["python"], profile={part: 0.9, "decode": 0.1}, source_lines=lines)
    assert "<code>return [x * 2 for x in row if x &lt; 3]</code>" in html_report(run, judge(run))
    assert Recording.from_json(run.to_json()).source_lines == lines


@pytest.mark.parametrize("name", RUNS)
def test_no_column_is_empty_and_one_rate_is_measured(name: str) -> None:
    page = page_of(name)
    for table in re.findall("<table.*?</table>", page, re.DOTALL):
        rows = [row for row in Tags(table).cells if row]
        for column in zip(*rows[1:]):
            assert any(cell not in ("", "–") for cell in column), (name, rows[0])
    assert len(set(re.findall(r"([\d,]+ images/s)</b><span>measured", page))) <= 1
    figure = re.search(r"<b>([\d.,]+ images/s)</b><span>measured", page)
    bars = re.search(r"Throughput: measured ([\d.,]+ images/s)", page)
    assert (figure is None) == (bars is None)
    if figure and bars:
        assert figure[1] == bars[1]


def test_what_is_dark_on_white_is_light_on_dark() -> None:
    """Each colour near black, white or grey has another one on a dark page."""
    rules = css()
    assert "prefers-color-scheme: dark" in rules
    used = {fill.colour for fill in FILLS.values()} | {INK}
    for colour in used:
        levels = [int(colour.ljust(7, colour[-1])[i : i + 2], 16) for i in (1, 3, 5)]
        if max(levels) - min(levels) < 8 and not 0x60 < levels[0] < 0xC0:
            assert colour in DARK_FILLS, colour
    for colour, dark in DARK_FILLS.items():
        assert f'svg [fill="{colour}"] {{ fill: {dark}; }}' in rules


# ---- in a browser --------------------------------------------------------------------------------


WIDTHS = (360, 700, 1280)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pages = {name.replace(" ", "-"): page_of(name) for name in RUNS}
    pages["hostile"] = hostile(EVIL)
    return browser.looked_at(pages, WIDTHS, tmp_path_factory.mktemp("browser"))


def test_the_browser_shows_every_page_without_complaint_or_request(seen: dict[str, Any]) -> None:
    assert len(seen) == len(WIDTHS) * (len(RUNS) + 1)
    for name, page in seen.items():
        assert page["problems"] == [], name
        assert page["resources"] == 0, name


def test_every_picture_is_drawn(seen: dict[str, Any]) -> None:
    count = 0
    for name, page in seen.items():
        for picture in page["pictures"]:
            count += 1
            assert picture["width"] > 600, (name, picture["name"])
            assert picture["height"] > 25, (name, picture["name"])
            assert picture["shapes"] >= 1, (name, picture["name"])
            assert picture["smallest"] > 8, (name, picture["name"])
    assert len(seen["device 700"]["pictures"]) == 10
    assert len(seen["python 700"]["pictures"]) == 7
    assert count > 180


def test_nothing_overflows(seen: dict[str, Any]) -> None:
    for name, page in seen.items():
        assert page["scroll"] <= page["client"], name
        assert page["wide"] == [], name
        for picture in page["pictures"]:
            assert picture["outside"] == [], (name, picture["name"])
            assert picture["overlapping"] == [], (name, picture["name"])


def test_it_prints(tmp_path: Path) -> None:
    """On two pages at most."""
    full = browser.printed(page_of("device"), tmp_path, "full")
    empty = browser.printed(page_of("empty"), tmp_path, "empty")
    for pdf in (full, empty):
        assert pdf.startswith(b"%PDF-")
    many, python = (browser.printed(page_of(name), tmp_path, name) for name in ("many", "python"))
    pages = [len(re.findall(rb"/Type\s*/Page\b", pdf)) for pdf in (full, empty, many, python)]
    assert pages == [2, 1, 2, 2]
    assert len(empty) + 20_000 < len(full) < 5_000_000
