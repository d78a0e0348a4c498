"""Threads of Stoker's own: none of them dies silently, or into the user's terminal."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stoker
from stoker import _threads
from stoker.diagnosis import profile as profiles
from stoker.diagnosis.profile import Profile, classify, look_at
from stoker.diagnosis.worker_files import WorkerFiles, WorkerProfiles
from stoker.stats import workers as w
from stoker.stats.stand_ins import metered

SOURCES = Path(stoker.__file__).parent


def test_every_thread_is_fenced() -> None:
    """They are started in one place."""
    found = [
        str(file.relative_to(SOURCES))
        for file in SOURCES.rglob("*.py")
        if re.search(r"threading\.Thread\(|threading\.Timer\(|start_new_thread", file.read_text())
    ]
    assert found == ["_threads.py"]


def fails() -> None:
    raise SystemError("injected")


@pytest.mark.parametrize("error", [SystemError("injected"), SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_thread_is_told_and_not_printed(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    told: list[BaseException] = []
    thread = _threads.start(work, "stoker-test", told.append)
    assert thread is not None
    assert (thread.daemon, thread.name) == (True, "stoker-test")
    thread.join(30)
    assert told == [error]
    thread = _threads.start(work, "stoker-test", lambda error: fails())
    assert thread is not None
    thread.join(30)
    assert capsys.readouterr() == ("", "")


def test_where_there_can_be_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    told: list[BaseException] = []
    assert _threads.start(fails, "stoker-test", told.append) is None
    assert [type(error) for error in told] == [RuntimeError]
    profile = Profile()
    profile.begin()
    profile.end()
    assert (profile.looks, profile.failed) == (0, "RuntimeError")


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        sum(range(1000))


def test_a_look_that_fails_is_one_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script's own classes are asked what they are."""
    looked: list[int] = []

    def look(frame: Any, asleep: bool) -> tuple[str, bool]:
        looked.append(1)
        if len(looked) % 2:
            raise TypeError("injected")
        return "decode", False

    monkeypatch.setattr(profiles, "look_at", look)
    profile = Profile()
    profile.begin()
    until(lambda: profile.looks >= 4)
    profile.end()
    assert set(profile.shares()) == {"decode", "python"}
    assert profile.failed == ""
    assert capsys.readouterr().err == ""


def test_a_profile_that_ends_too_early_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("stoker.diagnosis.profile.sys", SimpleNamespace(
        getswitchinterval=sys.getswitchinterval, setswitchinterval=sys.setswitchinterval,
        _current_frames=fails,
    ))  # fmt: skip
    watched = WorkerFiles(tmp_path, "1-0")
    watched.begin()
    until(lambda: watched.profile.failed != "")
    watched.end()
    watched.write()
    seen, _ = WorkerProfiles(tmp_path, "1-0").read()
    assert (seen.profile, seen.profile_failed) == ({}, "SystemError")
    assert capsys.readouterr().err == ""


def test_an_observer_that_fails_is_none_of_the_scripts_business(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched = WorkerFiles(tmp_path, "1-0")
    monkeypatch.setattr(watched, "write", fails)
    monkeypatch.setattr(watched, "_next_s", 0.0)
    watched.begin()
    watched.end()
    assert not list(tmp_path.iterdir())


def code_of(name: str) -> Any:
    return SimpleNamespace(co_name=name, co_filename="train.py", co_firstlineno=7)


def test_code_that_is_of_no_line_is_its_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two statements a frame has none."""
    monkeypatch.setattr(profiles, "_in_loop", lambda frame: False)
    frame: Any = SimpleNamespace(
        f_code=code_of("work"), f_lineno=None, f_globals={"__name__": "train"}, f_locals={}, f_back=None
    )
    assert classify(frame, False) == "python: work (train.py:7)"


def looked_at(work: Callable[[Callable[[], None]], Any]) -> tuple[str, bool]:
    """What the stack is taken for when ``work`` calls what it is given."""
    found: list[tuple[str, bool]] = []

    def look() -> None:
        frame = sys._getframe(1)
        while frame.f_code.co_name in ("<lambda>", "look"):
            frame = frame.f_back  # type: ignore[assignment]
        found.append(look_at(frame, False))

    class Dataset:
        def __getitem__(self, index: int) -> None:
            work(look)

    metered(Dataset(), False, w.WorkerBlock(0))[0]  # the stack is looked at up to here
    return found[0]


def test_loops_are_known_by_their_byte_code() -> None:
    def looping(look: Callable[[], None]) -> None:
        for _ in range(2):
            look()

    def before(look: Callable[[], None]) -> None:
        look()
        for _ in range(2):
            pass

    def comprehension(look: Callable[[], None]) -> list[None]:
        return [look() for _ in range(2)]

    def endless(look: Callable[[], None]) -> None:
        while True:
            look()
            return

    for work, loops in ((looping, True), (before, False), (comprehension, True), (endless, False)):
        part, in_loop = looked_at(work)
        assert part.startswith(f"python: {work.__name__} (test_threads.py:")
        assert in_loop == loops, work
    assert not look_at(None, False)[1]
