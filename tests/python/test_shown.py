"""What a notebook's cell, or the interpreter, shows of Stoker's objects: words, never a bare record."""

from __future__ import annotations

import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from both_paths import Numbers
from recordings import CURES, EVIL, recording

from stoker import BadSample, DataLoader, ImageFolder, ImageList
from stoker import transforms as T
from stoker.diagnosis import judge
from stoker.diagnosis.live import LiveLine
from stoker.stats.records import IndexStats

RUN = recording(device=True, index=IndexStats(used=5, recorded=2))
VERDICT = dataclasses.replace(judge(RUN), cures=CURES)
BAD = BadSample(0, 3, 41, "a.jpg", "decode", "truncated after 7 bytes", "replaced", 12)


def loader_of(numbered: list[Path]) -> Any:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1)
    for _ in loader:
        pass
    return loader


def shown() -> list[Any]:
    stats = RUN.stats
    parts = [stats.wait, stats.stages["decode"], stats.usage, stats.slowest[0], stats.device, stats.system]
    return [RUN, VERDICT, CURES[0], BAD, stats, stats.index, *parts]


def text_of(html: str) -> str:
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(html)
    parser.close()
    return "".join(found)


@pytest.mark.parametrize("record", shown(), ids=lambda record: type(record).__name__)
def test_a_record_shows_itself_in_words(record: Any) -> None:
    words = repr(record)
    assert words == str(record)
    assert words
    assert not re.search(r"\w+_s=|\w+\(\w+=|object at 0x", words)
    assert text_of(record._repr_html_()) == words


def test_the_words_are_the_records_figures() -> None:
    words = str(RUN.stats)
    for figure in ("4 workers", "240 batches", "7,680 samples", "524 images/s", "34%", "cuda idle"):
        assert figure in words
    assert "count" not in words
    assert str(BAD) == (
        "bad sample 41 ('a.jpg'), replaced by sample 12 in batch 3 of epoch 0: decode: truncated after"
        " 7 bytes"
    )
    assert str(VERDICT).splitlines()[0] == VERDICT.headline
    assert "  1. num_workers 4 → 7: 702 images/s predicted (in DataLoader(…))" in str(VERDICT)
    nothing = dataclasses.replace(RUN.stats, batches=0)
    assert str(nothing) == "Nothing measured yet: no batch has been handed over (native path, 4 workers)"


def test_a_loader_shows_its_plan_and_what_it_measured(numbered: list[Path]) -> None:
    loader = loader_of(numbered)
    assert repr(loader) == "<DataLoader: ImageList, 40 samples, num_workers=1, native path>"
    words = text_of(loader._repr_html_())
    assert str(loader.plan()) in words
    assert "10 batches, 40 samples" in words
    python = DataLoader(Numbers(7), 2, num_workers=0)
    assert repr(python) == "<DataLoader: Numbers, 7 samples, num_workers=0, Python path>"
    assert repr(python.plan()) == str(python.plan()) == text_of(python.plan()._repr_html_())


def test_a_loader_whose_dataset_fails_shows_itself_too() -> None:
    class Failing(Numbers):
        def __len__(self) -> int:
            raise RuntimeError("not <yet>")

    loader = DataLoader(Numbers(7), 2, num_workers=0)
    loader.__dict__["dataset"] = Failing()
    assert repr(loader) == "<DataLoader: Failing, num_workers=0, Python path>"
    assert "RuntimeError: not <yet>" in text_of(loader._repr_html_())


def test_a_report_shows_itself_as_it_is_printed(numbered: list[Path]) -> None:
    report = loader_of(numbered).report()
    assert isinstance(report, str)
    assert repr(report) == str(report) == text_of(report._repr_html_())  # type: ignore[attr-defined]
    assert "'" not in repr(report)[:1]


def test_words_from_outside_are_escaped(tmp_path: Path, numbered: list[Path]) -> None:
    bad = dataclasses.replace(BAD, path="a\udce9.jpg", reason=EVIL)
    assert "<script" not in bad._repr_html_()
    bad._repr_html_().encode("utf-8")
    verdict = dataclasses.replace(VERDICT, headline=EVIL, evidence=(EVIL,))
    assert "<script" not in verdict._repr_html_()
    (tmp_path / "<b>" / "class").mkdir(parents=True)
    (tmp_path / "<b>" / "class" / "0.jpg").write_bytes(numbered[0].read_bytes())
    folder = ImageFolder(tmp_path / "<b>", T.CenterCrop(8))
    assert "<b>" not in DataLoader(folder, 1)._repr_html_()


def test_plurals() -> None:
    one = DataLoader(Numbers(1), 1, num_workers=1).plan()
    assert dict(one.parts)["dataset"] == "Numbers, 1 sample"
    assert dict(one.parts)["workers"].startswith("1 process, of ")
    many = DataLoader(Numbers(2), 1, num_workers=2).plan()
    assert dict(many.parts)["workers"].startswith("2 processes, of ")


# ---- the progress line ---------------------------------------------------------------------------


class Notebook(io.StringIO):
    """As ipykernel's: no terminal, but a carriage return goes back."""

    __module__ = "ipykernel.iostream"


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def watched(numbered: list[Path], out: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stoker.diagnosis.live.TERMINAL_S", 0.0)
    monkeypatch.setattr("stoker.diagnosis.live.LOG_S", 0.0)
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=0, progress=True)
    loader._live = LiveLine(out)
    assert sum(1 for _ in loader) == 10


def test_the_progress_line_shows_in_a_notebook(numbered: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = Notebook()
    watched(numbered, out, monkeypatch)
    assert out.getvalue().startswith("\rstoker: ")
    assert out.getvalue().count("\n") == 1


def test_a_training_goes_on_where_nobody_reads_the_line(
    numbered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(numbered, Closed(), monkeypatch)
    monkeypatch.setattr("sys.stderr", None)
    watched(numbered, None, monkeypatch)
