"""The HTML reports that the tests are about, and ways to look into one."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from recordings import CURES, recording

from stoker import Durations
from stoker.diagnosis import Recording, Verdict, judge
from stoker.diagnosis.html_report import html_report

SVG = "{http://www.w3.org/2000/svg}"


def with_cures(run: Recording) -> Verdict:
    return dataclasses.replace(judge(run), cures=CURES)


def with_collate_fn(run: Recording) -> Recording:
    """In the training loop's thread, for half of its wait."""
    stats = run.stats
    collate = Durations(stats.batches, stats.wait.total_s / 2)
    return dataclasses.replace(run, stats=dataclasses.replace(stats, collate=collate))


RUNS = {
    "native": recording(),
    "collate": with_collate_fn(recording()),
    "python": recording("python", workers=2),
    "device": recording(device=True),
    "empty": recording(steps=0),
    "empty python": recording("python", steps=0),
    "one": recording(steps=1),
    "no workers": recording(workers=0, steps=30),
    "no workers python": recording("python", workers=0, steps=30),
    "many": recording(steps=5000, device=True, cores=40, workers=38),
    "long names": recording(name="train/" + "deep_" * 60 + ".jpeg"),
    "hours": recording(kept=7, first_batch_s=4000.0),
}


def page_of(name: str) -> str:
    run = RUNS[name]
    return html_report(run, with_cures(run) if name in ("device", "many") else judge(run))


class Tags(HTMLParser):
    """The page's tags, attributes and texts, as a browser's parser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.lasttag in ("td", "th"):
            self.cells[-1][-1] += data


def pictures(page: str) -> dict[str, ElementTree.Element]:
    found = [ElementTree.fromstring(svg) for svg in re.findall("<svg.*?</svg>", page, re.DOTALL)]
    return {svg.attrib["id"]: svg for svg in found}


def pictures_text(page: str) -> str:
    return " ".join(text.text or "" for svg in pictures(page).values() for text in svg.iter(f"{SVG}text"))
