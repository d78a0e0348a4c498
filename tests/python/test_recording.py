"""Recordings: what is in them, and their way through JSON."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from both_paths import Numbers
from conftest import write_photos
from made_up import on_device, on_python, recording_of, steps_of

from stoker import DataLoader, ImageFolder, ImageList
from stoker import transforms as T
from stoker.diagnosis import Recording, judge
from stoker.diagnosis.recording import write_whole


@pytest.mark.parametrize("workers", [0, 2])
def test_the_recording_of_a_native_run(numbered: list[Path], workers: int) -> None:
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=workers)
    for _ in range(2):
        for _ in loader:
            pass
    recording = loader.recording()
    assert recording.stats.batches == 20
    assert [s.number for s in recording.steps] == list(range(20))
    assert [s.number for s in recording.steps if s.first] == [0, 10]
    assert all(s.ready >= 0 and len(s.blame) == 5 for s in recording.steps)
    assert sum(s.wait_s for s in recording.steps) == pytest.approx(recording.stats.wait.total_s, abs=1e-7)
    assert sum(s.step_s for s in recording.steps) == pytest.approx(recording.stats.step.total_s, abs=1e-7)
    at = [s.at_s for s in recording.steps]
    assert at == sorted(at)
    read_at = [r.at_s for r in recording.readings]
    assert read_at == sorted(read_at)
    assert len(read_at) >= 2
    assert recording.facts["plan"] == "native"
    assert recording.facts["torch"] == torch.__version__
    assert recording.variants == {}
    assert Recording.from_json(recording.to_json()) == recording


@pytest.mark.parametrize("workers", [0, 1])
def test_the_recording_of_a_run_on_the_python_path(workers: int) -> None:
    loader = DataLoader(Numbers(40), 4, num_workers=workers)
    for _ in loader:
        pass
    recording = loader.recording(trials=True)
    assert recording.facts["plan"].startswith(
        "Python, because Numbers is a dataset that only Python can read"
    )
    assert all(s.ready == -1 and s.blame == () for s in recording.steps)
    assert recording.variants == {}  # nothing that the core could try
    assert Recording.from_json(recording.to_json()) == recording


def test_the_recording_of_nothing() -> None:
    recording = DataLoader(Numbers(4)).recording(trials=True)
    assert (recording.stats.batches, recording.steps, recording.variants) == (0, (), {})
    assert Recording.from_json(recording.to_json()) == recording


def test_a_recording_with_trials(tmp_path: Path, own_cache: Path) -> None:
    write_photos(tmp_path / "data" / "a", 8)
    loader = DataLoader(ImageFolder(tmp_path / "data", [T.RandomResizedCrop(32)]), 4, num_workers=1)
    for _ in loader:
        pass
    before = loader.stats()
    recording = loader.recording(trials=True)
    assert set(recording.variants) == {"index"}
    assert all(share > 0 for share in recording.variants.values())
    assert (recording.stats.batches, recording.stats.samples) == (before.batches, before.samples)
    assert loader.stats().samples == before.samples
    assert Recording.from_json(recording.to_json()) == recording


@pytest.mark.parametrize(
    "changes", [{}, on_python(), {"device": on_device(0.02)}], ids=["native", "python", "device"]
)
def test_made_up_recordings_survive_json(changes: dict[str, Any]) -> None:
    steps = steps_of(0.06, 0.04, 0.02 if "device" in changes else None)
    recording = recording_of(steps=steps, facts={"plan": "x"}, variants={"fast": 0.5}, **changes)
    again = Recording.from_json(recording.to_json())
    assert again == recording
    assert judge(again) == judge(recording)


GOOD = recording_of().to_json()


def without(*path: str) -> str:
    """A recording from which something is missing."""
    record = json.loads(GOOD)
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(record)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "3",
        '"version"',
        "{}",
        '{"version": 1}',
        '{"version": 1, "stats": {}, "steps": [], "readings": [], "facts": {}, "variants": {}}',
        GOOD[:-20],
        *(without(part) for part in ("version", "stats", "steps", "readings", "facts", "variants")),
        without("stats", "wait"),
        without("stats", "batches"),
        GOOD.replace('"steps": [', '"steps": [{"nobody": "knows"}, ', 1),
        GOOD.replace('"steps": [', '"steps": [5, ', 1),
        GOOD.replace('"device": null', '"device": {}', 1),
    ],
)
def test_what_is_no_recording_is_refused(text: str) -> None:
    assert text != GOOD
    with pytest.raises(ValueError, match="not a recording of stoker's"):
        Recording.from_json(text)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_versions_recording_is_refused(version: Any) -> None:
    with pytest.raises(ValueError, match=f"a recording of version {version!r}; this stoker reads version 1"):
        Recording.from_json(json.dumps({**json.loads(GOOD), "version": version}))


# ---- files ---------------------------------------------------------------------------------------


def test_a_file_is_replaced_by_a_whole_one(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    with file.open() as reader:
        write_whole(file, "whole ü")
        assert reader.read() == "old"
    assert file.read_bytes().decode() == "whole ü"
    assert list(tmp_path.iterdir()) == [file]


def test_a_text_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "\udcff")
    assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "new")
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    """As must every device: root may replace /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    reader.join(10)
    assert read == ["new"]


def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "report.html", tmp_path / "latest.html"
    link.symlink_to(file.name)
    for text in ("first", "second"):
        write_whole(link, text)
        assert (file.read_text(), link.is_symlink()) == (text, True)
