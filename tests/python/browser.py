"""A page as a real browser shows it: Chromium without a window."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# In each page, before anything else of it.
COLLECT = """<script>
window.problems = [];
window.onerror = (message) => { window.problems.push("error: " + message); };
for (const kind of ["error", "warn"]) console[kind] = (...words) => window.problems.push(words.join(" "));
</script>"""

# Around all pages: shows each in a frame of each width, and says what is there.
LOOK = """<!DOCTYPE html><html><body><script>
const pages = PAGES, widths = WIDTHS, found = {};
const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2.5;
const visible = (shape) => { const box = shape.getBBox(); return box.width > 0 && box.height > 0; };
function look_at_picture(svg) {
  const box = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
  const boxes = texts.map((text) => text.getBoundingClientRect()), outside = [], overlapping = [];
  boxes.forEach((a, i) => {
    const inside = a.left > box.left - 1 && a.right < box.right + 1
                && a.top > box.top - 1 && a.bottom < box.bottom + 1;
    if (!inside) outside.push(texts[i].textContent);
    for (let j = 0; j < i; ++j)
      if (over(a, boxes[j])) overlapping.push(texts[j].textContent + " | " + texts[i].textContent);
  });
  const shapes = [...svg.querySelectorAll("rect, path")].filter((e) => !e.closest("pattern"))
    .filter((e) => e.getAttribute("fill") != "none");
  return {name: svg.id, width: box.width, height: box.height,
          shapes: shapes.filter(visible).length, outside, overlapping,
          smallest: Math.min(...boxes.filter((a) => a.height > 0).map((a) => a.height))};
}
function look(frame) {
  const inside = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const wide = [...page.body.querySelectorAll("*")].filter((e) => !e.closest("svg"))
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != "inline")
    .filter((e) => getComputedStyle(e).overflowX != "auto");  // which is scrolled inside the page
  return {problems: inside.problems, resources: inside.performance.getEntriesByType("resource").length,
          scroll: root.scrollWidth, client: root.clientWidth,
          wide: wide.map((e) => e.tagName + " " + e.textContent),
          pictures: [...page.querySelectorAll("svg")].map(look_at_picture)};
}
let left = Object.keys(pages).length * widths.length;
for (const name in pages) for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style.cssText = "border:0;height:900px;width:" + width + "px";
  frame.onload = () => {
    found[name + " " + width] = look(frame);
    if (--left == 0) document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
  };
  frame.srcdoc = pages[name];
  document.body.append(frame);
}
</script></body></html>"""


def find() -> str:
    """Chromium's program; skips the test where there is none, unless STOKER_REQUIRE_CHROMIUM is set."""
    for name in NAMES:
        if program := shutil.which(name):
            return program
    if os.environ.get("STOKER_REQUIRE_CHROMIUM"):
        pytest.fail("no Chromium, though STOKER_REQUIRE_CHROMIUM is set")
    pytest.skip("no Chromium")


def _run(folder: Path, page: Path, *options: str) -> str:
    # A profile of its own for each run: a locked one would hand the page to another instance.
    with_own_profile = [f"--user-data-dir={folder / ('profile-' + page.stem)}", "--no-first-run"]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    done = subprocess.run(
        [find(), *flags, *with_own_profile, *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def looked_at(pages: dict[str, str], widths: tuple[int, ...], folder: Path) -> dict[str, Any]:
    """What the browser found in each page at each width: "name width" → see ``look`` in LOOK."""
    watched = {name: page.replace("<head>", "<head>" + COLLECT, 1) for name, page in pages.items()}
    text = json.dumps(watched).replace("<", "\\u003c")
    file = folder / "look.html"
    file.write_text(LOOK.replace("PAGES", text).replace("WIDTHS", str(list(widths))), encoding="utf-8")
    for budget_ms in (10_000, 100_000, 1_000_000):  # a busy machine's frames may come after the first
        shown = _run(folder, file, f"--virtual-time-budget={budget_ms}", "--dump-dom")
        if found := re.search("FOUND(.*)END", unescape(shown), re.DOTALL):
            break
    assert found, shown[-2000:]
    result: dict[str, Any] = json.loads(found[1])
    return result


def printed(page: str, folder: Path, name: str) -> bytes:
    """The page as a PDF."""
    file, pdf = folder / f"{name}.html", folder / f"{name}.pdf"
    file.write_text(page, encoding="utf-8")
    _run(folder, file, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    return pdf.read_bytes()
