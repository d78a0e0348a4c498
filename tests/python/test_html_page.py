"""The HTML report as a page: one file without a script, whatever names come along; and in a real browser."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import browser
import pytest
from html_pages import RUNS, SVG, Tags, page_of, pictures
from recordings import CURES, EVIL, recording

from stoker.diagnosis import judge
from stoker.diagnosis.html_report import html_report
from stoker.stats.records import SystemStats

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
    assert "caf\\udce9.jpeg" in page
    page.encode("utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_nothing_from_outside_and_no_script(name: str) -> None:
    page = Tags(page_of(name))
    forbidden = {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base"}
    assert not forbidden & set(page.tags)
    for key, value in page.attributes:
        assert key not in ("src", "href", "xlink:href", "srcset", "style"), key
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


# ---- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pages = {name.replace(" ", "-"): page_of(name) for name in RUNS}
    pages["hostile"] = hostile(EVIL)
    return browser.looked_at(pages, (700, 1280), tmp_path_factory.mktemp("browser"))


def test_the_browser_shows_every_page_without_complaint_or_request(seen: dict[str, Any]) -> None:
    assert len(seen) == 2 * (len(RUNS) + 1)
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
    assert count > 120


def test_nothing_overflows(seen: dict[str, Any]) -> None:
    for name, page in seen.items():
        assert page["scroll"] <= page["client"], name
        assert page["wide"] == [], name
        for picture in page["pictures"]:
            assert picture["outside"] == [], (name, picture["name"])
            assert picture["overlapping"] == [], (name, picture["name"])


def test_it_prints(tmp_path: Path) -> None:
    full = browser.printed(page_of("device"), tmp_path, "full")
    empty = browser.printed(page_of("empty"), tmp_path, "empty")
    for pdf in (full, empty):
        assert pdf.startswith(b"%PDF-")
    count = [len(re.findall(rb"/Type\s*/Page\b", pdf)) for pdf in (full, empty)]
    assert count[0] > count[1] >= 1
    assert len(empty) + 20_000 < len(full) < 5_000_000
