"""``stoker index DIR``: entries of other files, interrupted and killed builds, progress."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from conftest import OLD_S, RunScript, encode, leave_alone, photo_like, write_photos
from index_helpers import counts, entries, epoch, loader_of, padded, report, run, same, written
from rich.console import Console

from stoker import _progress
from stoker.index import FILE_NAME

# ---- wrong entries -------------------------------------------------------------------------------


def swap(a: Path, b: Path) -> None:
    """Each file's content to the other's name; sizes and times of the names stay."""
    size = max(a.stat().st_size, b.stat().st_size)
    assert a.stat().st_size == b.stat().st_size == size
    times = [file.stat().st_mtime_ns for file in (a, b)]
    between = a.with_suffix(".swap")
    a.rename(between)
    b.rename(a)
    between.rename(b)
    for file, time in zip((a, b), times):
        os.utime(file, ns=(time, time))


@pytest.mark.parametrize("behind", [False, True])
def test_verify_finds_entries_of_other_files(data: Path, own_cache: Path, behind: bool) -> None:
    a, b = data / "a" / "001.jpg", data / "a" / "002.jpg"
    size = max(a.stat().st_size, b.stat().st_size) + 10
    for file in (a, b):
        file.write_bytes(padded(file.read_bytes(), size, behind))
    leave_alone(data)
    report(data)
    swap(a, b)
    assert counts(report(data)) == {"known": 16}
    wrong = report(data, "--verify", status=1)
    assert counts(wrong) == {"good": 14, "wrong": 2}
    assert [f["path"] for f in wrong["failures"]] == [str(a), str(b)]
    assert {f["reason"] for f in wrong["failures"]} == {"its entry in the index is not this file's"}
    words = run(data, "--verify")
    assert words.status == 1
    assert words.out.startswith(f"{data / FILE_NAME}: 2 entries are WRONG; delete the file and make it anew.")
    assert f"{a}: cannot decode: its entry in the index is not this file's" in words.out
    # The loader notices, too, and decodes these without.
    for mode in ("fast", "exact"):
        loader = loader_of(data, pixels=mode)
        for seed in range(3):
            assert same(epoch(loader, seed), epoch(loader_of(data, pixels=mode, index=None), seed))
        stats = loader.stats().index
        assert (stats.used, stats.rejected) == (3 * 14, 3 * 2)
        assert "stoker index DIR --verify tells which" in loader.report(details=True)


def test_verify_compares_the_sizes_of_jpegs(data: Path) -> None:
    files = sorted(data.rglob("*.jpg"))
    size = 400_000
    for number, file in enumerate(files[:4]):
        content = encode(photo_like(300, 240 + number), "PNG" if number < 2 else "JPEG")
        file.write_bytes(content + bytes(size + number // 2 - len(content)))
    leave_alone(data)
    report(data)
    swap(files[0], files[1])
    swap(files[2], files[3])
    wrong = report(data, "--verify", status=1)
    # Of other formats an entry says nothing that could be wrong.
    assert wrong["wrong"] == 2
    assert [f["path"] for f in wrong["failures"]] == [str(file) for file in files[2:4]]


# ---- ends ----------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """480 names of four files of 0.9 MB: more than one portion of an index's entries."""
    folder = tmp_path / "large"
    (folder / "a").mkdir(parents=True)
    for number in range(4):
        content = encode(photo_like(1000, 800, seed=number), "JPEG", quality=97, subsampling=0)
        assert len(content) > 800_000
        first = folder / "a" / f"{number}.jpg"
        first.write_bytes(content)
        os.utime(first, (OLD_S + number, OLD_S + number))
        for copy in range(119):
            (folder / "a" / f"{number}-{copy}.jpg").hardlink_to(first)
    return folder


KILLED_AT = """
import contextlib
import stoker._progress, stoker.cli
which, images, awaited = sys.argv.pop(1), int(sys.argv.pop(1)), sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)

@contextlib.contextmanager
def progress(console, what):
    def on_progress(done, total):
        if done >= images:
            while awaited and not os.path.exists(awaited):
                time.sleep(0.01)  # the first portion is on its way to the disk
            os.kill(os.getpid(), getattr(signal, which))
    yield on_progress

stoker._progress.progress = progress
stoker.cli.main()
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_keeps_what_is_done(data: Path, tmp_path: Path, run_script: RunScript, as_json: bool) -> None:
    for number in range(300):
        (data / "a" / f"copy{number}.jpg").hardlink_to(data / "a" / "000.jpg")
    arguments = ["index", data, "--workers", 2, *(["--json"] if as_json else [])]
    stopped = run_script(KILLED_AT, "SIGINT", 64, "", *arguments)
    assert (stopped.returncode, stopped.stderr) == (130, "")
    done = entries(data / FILE_NAME)
    assert 64 <= done < 316
    if as_json:
        interrupted = json.loads(stopped.stdout)
        assert interrupted["interrupted"]
        assert 0 < interrupted["checkpoints"] <= done
    else:
        assert stopped.stdout.startswith(f"Interrupted. {data / FILE_NAME}: ")
        assert "run the same command again to go on." in stopped.stdout
    rest = report(data)
    assert counts(rest) == {"known": done, "checkpoints": 316 - done}
    assert entries(data / FILE_NAME) == 316
    assert counts(report(data, "--verify")) == {"good": 316}
    assert [file.name for file in data.iterdir() if file.is_file()] == [FILE_NAME]


def test_ctrl_c_counts_what_is_done(data: Path, run_script: RunScript) -> None:
    for number in range(300):
        (data / "a" / f"copy{number}.jpg").hardlink_to(data / "a" / "000.jpg")
    stopped = run_script(KILLED_AT, "SIGINT", 64, "", "index", data, "--workers", 2, "--json")
    assert json.loads(stopped.stdout)["checkpoints"] == entries(data / FILE_NAME)


def test_a_killed_build_goes_on(large: Path, run_script: RunScript) -> None:
    file = large / FILE_NAME
    killed = run_script(KILLED_AT, "SIGKILL", 472, file, "index", large, "--workers", 2, timeout=120)
    assert killed.returncode == -9
    done = entries(large / FILE_NAME)
    assert 0 < done < 480
    again = report(large)
    assert counts(again) == {"known": done, "checkpoints": 480 - done}
    assert entries(large / FILE_NAME) == 480
    info = report(large, "--info")
    assert counts(info) == {"checkpoints": 480}
    assert info["index_bytes"] <= 0.01 * info["data_bytes"]


def test_killed_before_anything_was_written(data: Path, run_script: RunScript) -> None:
    killed = run_script(KILLED_AT, "SIGKILL", 1, "", "index", data, "--workers", 1)
    assert killed.returncode == -9
    assert counts(report(data)) == {"checkpoints": 16}
    assert counts(report(data, "--verify")) == {"good": 16}


def test_a_loader_while_the_index_is_built(data: Path, own_cache: Path) -> None:
    loader = loader_of(data)
    plain = loader_of(data, index=None)
    assert same(epoch(loader), epoch(plain))
    written(loader)
    report(data)
    write_photos(data / "a", 1)
    report(data)
    new = loader_of(data)
    assert same(epoch(new), epoch(loader_of(data, index=None)))
    assert new.stats().index.used == 17


# ---- progress ------------------------------------------------------------------------------------


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    with _progress.progress(Console(file=out), "images") as on_progress:
        on_progress(1, 4000)
        assert out.getvalue() == ""
        monkeypatch.setattr(_progress, "_LOG_EVERY_S", 0.0)
        on_progress(1000, 4000)
    (line,) = out.getvalue().splitlines()
    assert line.startswith("images: 1,000 of 4,000, ")
    assert "/s, about " in line
    assert line.endswith(" s left")


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with _progress.progress(console, "images") as on_progress:
        on_progress(5, 10)
        on_progress(10, 10)
    assert "images" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[2K")
