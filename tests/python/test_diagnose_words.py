"""What `stoker diagnose` prints and writes, of findings that are given."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from both_paths import Numbers
from recordings import durations, recording

import stoker
from stoker.diagnosis import command
from stoker.diagnosis.command import diagnose
from stoker.diagnosis.findings import Finding, as_json, findings_in, words_for
from stoker.diagnosis.recording import Recording


def written(folder: Path, number: int, seconds: float, rank: str = "", final: bool = True) -> Path:
    """A loader's file, as a script's process writes it."""
    loader = stoker.DataLoader(Numbers(12), 2)
    for _ in loader:
        time.sleep(0.001)
    made = loader.recording()
    stats = dataclasses.replace(
        made.stats, wait=durations([seconds / 2] * 6), step=durations([seconds / 2] * 6)
    )
    made = dataclasses.replace(made, stats=stats)
    record = {"pid": 40 + number, "rank": rank, "final": final}
    file = folder / f"loader-{number}.json"
    file.write_text(json.dumps({**record, "recording": json.loads(made.to_json())}))
    return file


def test_findings_are_those_that_can_be_read(tmp_path: Path) -> None:
    whole = written(tmp_path, 1, 0.002).read_text()
    longest = written(tmp_path, 2, 0.02, rank="1", final=False)
    for number, text in enumerate(("", "{", whole[: len(whole) // 2], "[]", "null", '{"pid": 1}', "\x00")):
        (tmp_path / f"loader-9-{number}.json").write_text(text)
    (tmp_path / "loader-8.json").write_text(whole.replace('"version": 1', '"version": 99'))
    (tmp_path / "loader-7.json").write_bytes(b"\xff\xfe")
    (tmp_path / "loader-3.json.77.part").write_text(whole)
    found = findings_in(tmp_path)
    assert [(f.pid, f.rank, f.final) for f in found] == [(42, "1", False), (41, "", True)]
    longest.unlink()
    assert [f.pid for f in findings_in(tmp_path)] == [41]


def test_words(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        written(tmp_path, number, 0.002 * (4 - number), rank="1" if number == 3 else "", final=number > 1)
    first, second, third = found = findings_in(tmp_path)
    text = words_for(found, 139, ["train.py"])
    assert text.startswith("The script ended with status 139 (SIGSEGV); this is what was seen of it.\n")
    assert "before it could finish its recording" in text
    assert text.index(first.verdict.headline) < text.index("Also, process 42, ")
    assert "Also, rank 1, " in text
    assert "ended" not in words_for([second, third], 0, ["train.py"])
    assert "ended" not in words_for([second, third], None, ["train.py"])
    assert "status 200;" in words_for([second], 200, ["train.py"])
    assert "No batch of a DataLoader was seen in -m package:" in words_for([], None, ["-m", "package", "x"])


def test_a_finding_knows_its_time(tmp_path: Path) -> None:
    written(tmp_path, 1, 0.01)
    (found,) = findings_in(tmp_path)
    assert isinstance(found, Finding)
    assert found.time_s == pytest.approx(6 * 0.01)


@pytest.fixture
def crashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """A script that ends with status 3, before any verdict."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    written(folder, 1, 0.002)
    found = findings_in(folder)
    monkeypatch.setattr(command, "run", lambda *arguments: (3, found))
    return found


def diagnosis(html: Path, **options: Any) -> int:
    given = {
        "steps": 0,
        "headroom": False,
        "stop": False,
        "trace": None,
        "recording": None,
        "json_file": None,
    }
    return diagnose(["train.py"], html=html, **{**given, **options})


@pytest.mark.parametrize("steps", [0, 1000])
def test_how_it_ended_is_told(
    tmp_path: Path, crashed: list[Finding], capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    assert diagnosis(tmp_path / "a.html", steps=steps) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("\nThe script ended with status 3; ")
    assert crashed[0].verdict.headline in err
    assert err.endswith(f"The report, with pictures: {tmp_path / 'a.html'}\n")
    assert (tmp_path / "a.html").stat().st_size > 0


def test_a_report_that_cannot_be_written_is_no_end_of_it(
    tmp_path: Path, crashed: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    recording, found = tmp_path / "recording.json", tmp_path / "found.json"
    assert diagnosis(tmp_path / "no" / "a.html", recording=recording, json_file=found) == 3
    said, _, printed = capsys.readouterr().err.partition("\n")
    assert said == f"stoker diagnose: {tmp_path / 'no' / 'a.html'} is not written: No such file or directory"
    assert crashed[0].verdict.headline in printed
    assert "The report, with" not in printed
    written = json.loads(found.read_text())
    assert (written["exit_status"], written["loaders"][0]["pid"]) == (3, 41)
    assert json.loads(recording.read_text())["version"] == 1
    assert diagnosis(tmp_path / "a.html", json_file=tmp_path / "no" / "found.json") == 3
    assert f"{tmp_path / 'no' / 'found.json'} is not written: No such" in capsys.readouterr().err
    assert os.listdir(tmp_path / "recordings") == ["loader-1.json"]


@pytest.mark.parametrize(("options", "steps"), [({"stop": True}, 50), ({"headroom": True}, 50), ({}, 0)])
def test_stop_and_headroom_have_steps_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool], steps: int
) -> None:
    given: list[int] = []

    def run(arguments: Any, after: int, *others: Any) -> tuple[int, list[Finding]]:
        given.append(after)
        return 0, []

    monkeypatch.setattr(command, "run", run)
    assert diagnosis(tmp_path / "a.html", **options) == 0
    assert given == [steps]


def test_a_headroom_that_was_not_reached_is_said(
    tmp_path: Path, crashed: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosis(tmp_path / "a.html", headroom=True)
    assert "--headroom: not measured, the loop ended after 6 batches, of 50\n" in capsys.readouterr().err
    diagnosis(tmp_path / "a.html")
    assert "--headroom" not in capsys.readouterr().err


def test_the_json_tells_what_the_words_tell(tmp_path: Path) -> None:
    found = ranks_of(tmp_path, {"0": 0.02, "1": 0.01, "2": 0.03, "3": 0.4})
    found[1] = dataclasses.replace(found[1], final=False)
    loaders = json.loads(as_json(found, 0))["loaders"]
    assert [loader["final"] for loader in loaders] == [True, False, True, True]
    assert [loader["waits_for"] for loader in loaders] == ["", *["rank 3"] * 3]


@pytest.mark.parametrize("found", [True, False])
def test_the_json_says_so_while_the_script_runs_on(
    tmp_path: Path, crashed: list[Finding], monkeypatch: pytest.MonkeyPatch, found: bool
) -> None:
    """Written with the verdict, and again when the script has ended."""
    file = tmp_path / "found.json"
    seen: list[Any] = []

    def run(*arguments: Any) -> tuple[int, list[Finding]]:
        if found:
            arguments[-1](crashed)
            seen.append(json.loads(file.read_text()))
        return 5, crashed if found else []

    monkeypatch.setattr(command, "run", run)
    assert diagnosis(tmp_path / "a.html", json_file=file, steps=3) == 5
    seen.append(json.loads(file.read_text()))
    assert [s["exit_status"] for s in seen] == ([None, 5] if found else [5])
    assert [len(s["loaders"]) for s in seen] == ([1, 1] if found else [0])


# ---- ranks ---------------------------------------------------------------------------------------


def starved(share: float, steps: int = 100) -> Recording:
    """A loop that waits for its data for so much of its time."""
    made = recording("python", steps=steps)
    kept = tuple(
        dataclasses.replace(s, wait_s=0.1 * share, step_s=0.1 * (1 - share), first=s.number == 0)
        for s in made.steps
    )
    wait, step = durations([s.wait_s for s in kept]), durations([s.step_s for s in kept])
    return dataclasses.replace(made, steps=kept, stats=dataclasses.replace(made.stats, wait=wait, step=step))


def ranks_of(folder: Path, shares: dict[str, float], **others: Any) -> list[Finding]:
    for number, (rank, share) in enumerate(shares.items()):
        record = {"pid": 40 + number, "rank": rank, "final": True, "world": 4, "run": "train.py", **others}
        text = starved(share).to_json()
        (folder / f"loader-{40 + number}-0.json").write_text(
            json.dumps({**record, "recording": json.loads(text)})
        )
    return findings_in(folder)


def test_the_rank_that_the_others_wait_for_comes_first(tmp_path: Path) -> None:
    found = ranks_of(tmp_path, {"0": 0.02, "1": 0.01, "2": 0.03, "3": 0.4})
    assert [f.rank for f in found] == ["3", "2", "0", "1"]
    assert found[0].verdict.lost_share == pytest.approx(0.4, rel=0.1)
    assert found[0].verdict.evidence[0] == (
        "rank 3 of 4 waits most for its data: 40% of the time, the others 3% at most; the others wait for it"
    )
    text = words_for(found, 0, ["train.py"])
    assert (
        text.index(found[0].verdict.headline) < text.index("rank 3 of 4 waits") < text.index("Also, rank 2")
    )
    assert text.count(" It waits for rank 3.") == 3


def test_several_ranks_may_be_late_and_some_unseen(tmp_path: Path) -> None:
    found = ranks_of(tmp_path, {"8": 0.02, "9": 0.3, "10": 0.4, "11": 0.01}, world=16)
    assert (
        found[0]
        .verdict.evidence[0]
        .startswith("ranks 9, 10 of 16 (4 of them were seen) wait most for their data: 40% of the time")
    )
    assert [f.waits_for for f in found] == ["", "", "ranks 9, 10", "ranks 9, 10"]


@pytest.mark.parametrize(
    ("shares", "others"),
    [
        ({"0": 0.4, "1": 0.38, "2": 0.35, "3": 0.3}, {}),  # all are late
        ({"0": 0.04, "1": 0.01, "2": 0.01, "3": 0.01}, {}),  # none is
        ({"0": 0.02, "1": 0.4}, {"world": 1}),
        ({"": 0.4}, {}),
    ],
)
def test_nobody_is_blamed(tmp_path: Path, shares: dict[str, float], others: dict[str, Any]) -> None:
    found = ranks_of(tmp_path, shares, **others)
    assert "most for" not in words_for(found, 0, ["train.py"])
    assert not any(f.waits_for for f in found)


def test_only_one_loaders_ranks_are_compared(tmp_path: Path) -> None:
    """Not those of a script that is begun again, nor of another loader; and a long one is first."""
    ranks_of(tmp_path, {"0": 0.02, "1": 0.4}, world=2)
    long = json.loads(starved(0.01, steps=900).to_json())
    for pid, number, run in ((50, 0, "train.py again"), (40, 1, "train.py")):
        record = {"pid": pid, "rank": "0", "number": number, "run": run, "final": True, "world": 2}
        (tmp_path / f"loader-{pid}-{number}.json").write_text(json.dumps({**record, "recording": long}))
    found = findings_in(tmp_path)
    assert [(f.pid, f.number, f.waits_for) for f in found[2:]] == [(41, 0, ""), (40, 0, "rank 1")]
    assert {(f.pid, f.number, f.waits_for) for f in found[:2]} == {(50, 0, ""), (40, 1, "")}


BEHIND = """
import os, sys, time
from pathlib import Path
folder = Path(os.environ["STOKER_DIAGNOSE"])
for name in sys.argv[1:]:
    for file in Path(name).iterdir():
        (folder / "part").write_text(file.read_text())
        (folder / "part").rename(folder / file.name)
    time.sleep(0.7)
"""


@pytest.mark.parametrize("patience", [60.0, 0.0])
def test_a_verdict_waits_for_ranks_that_are_a_little_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(command, "_PATIENCE_S", patience)
    (tmp_path / "script.py").write_text(BEHIND)
    for name in ("first", "then"):
        (tmp_path / name).mkdir()
        ranks_of(tmp_path / name, {"0": 0.02, "1": 0.4}, world=2)
    late = tmp_path / "first" / "loader-41-0.json"
    late.write_text(late.read_text().replace('"final": true', '"final": false'))
    given: list[list[Finding]] = []
    arguments = [str(tmp_path / name) for name in ("script.py", "first", "then")]
    status, found = command.run(arguments, 2, on_verdict=given.append)
    assert (status, len(given)) == (0, 1)
    assert given[0] == found
    if patience:
        assert {(f.rank, f.final) for f in found} == {("0", True), ("1", True)}


def test_only_other_ranks_are_behind(tmp_path: Path) -> None:
    found = ranks_of(tmp_path, {"0": 0.02, "1": 0.4}, world=2)
    behind = [found[0], dataclasses.replace(found[1], final=False)]
    assert command._ranks_are_behind(behind)
    assert not command._ranks_are_behind(found)
    assert not command._ranks_are_behind([dataclasses.replace(f, rank="") for f in behind])
