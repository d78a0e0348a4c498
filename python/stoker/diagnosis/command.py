"""``stoker diagnose``: runs a script as it is, and says afterwards why its training is as fast as it is."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from .._printable import printable, printable_name
from .._threads import start
from .chrome_trace import chrome_trace
from .findings import Finding, as_json, findings_in, together, words_for
from .html_report import html_report
from .recording import write_whole
from .thumbnails import thumbnails_of

INJECT = Path(__file__).parent / "inject"
_POLL_S = 0.2
DEFAULT_STEPS = 50  # before --headroom begins or --stop ends the script
HEADROOM_S = 3.0
_TERMINALS = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PATIENCE_S = 5.0  # with what has been asked to end, and with ranks that are a little behind
OPTIONS = ("--steps", "--headroom", "--stop", "--html", "--trace", "--recording", "--json")
NOT_FOUND, NOT_RUNNABLE = 127, 126  # a shell's exit statuses


class NotRunnableError(Exception):
    """A command that cannot be run; ``status`` is what a shell would exit with."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


def command_for(arguments: Sequence[str]) -> list[str]:
    """The command line that runs a script: by this Python where it is one, else as a program.

    Raises:
        NotRunnableError: there is no such file or program, or it is neither.
    """
    script, *rest = arguments
    if script == "-m":
        return [sys.executable, "-m", *rest]
    path = Path(script)
    if path.is_dir():
        if (path / "__main__.py").is_file():
            return [sys.executable, script, *rest]
        program = shutil.which(script) if os.sep not in script else None
        if program is None:
            raise NotRunnableError(f"{script} is a folder", NOT_RUNNABLE)
        return [program, *rest]
    if path.is_file() and path.suffix == ".py":
        return [sys.executable, script, *rest]
    if path.is_file() and os.access(path, os.X_OK):
        return [script if os.sep in script else os.path.join(os.curdir, script), *rest]
    if path.is_file() and _has_python_shebang(path):
        return [sys.executable, script, *rest]
    if path.is_file():
        raise NotRunnableError(f"{script} is neither a Python script (.py) nor executable", NOT_RUNNABLE)
    program = shutil.which(script)
    if program is None or os.sep in script:
        raise NotRunnableError(f"{script}: no such file or program", NOT_FOUND)
    return [program, *rest]


def _has_python_shebang(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(128)
    return first.startswith(b"#!") and b"python" in first


def environment_for(folder: Path, steps: int, headroom_s: float, base: Mapping[str, str]) -> dict[str, str]:
    """The script's environment: its own, and what brings the meters in."""
    paths = [str(INJECT), *filter(None, [base.get("PYTHONPATH", "")])]
    return {
        **base,
        "PYTHONPATH": os.pathsep.join(paths),
        "STOKER_DIAGNOSE": str(folder),
        "STOKER_DIAGNOSE_STEPS": str(steps),
        "STOKER_DIAGNOSE_HEADROOM": str(headroom_s),
    }


class _Process:
    """The script's process: passes signals on, and ends as it does."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        # What the terminal sends reaches the script by itself; what it makes of it is its own affair.
        self._before = {s: signal.getsignal(s) for s in (*_TERMINALS, *_PASSED_ON)}
        for number in _TERMINALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            self.process = subprocess.Popen(command, env=environment, preexec_fn=self._reset_signals)
        except OSError as error:
            self._restore()
            raise NotRunnableError(f"{command[0]}: {error.strerror}", NOT_RUNNABLE) from None
        for number in _PASSED_ON:
            if self._before[number] != signal.SIG_IGN:
                signal.signal(number, lambda received, _: self.process.send_signal(received))

    def _reset_signals(self) -> None:
        for number in _TERMINALS:
            ignored = self._before[number] == signal.SIG_IGN
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, while_running: Callable[[], None]) -> int:
        """The exit status as a shell gives it: 128 + n for death by signal n."""
        try:
            while True:
                try:
                    status = self.process.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    while_running()
        finally:
            self._restore()
        return status if status >= 0 else 128 - status


def run(
    arguments: Sequence[str],
    steps: int = 0,
    headroom_s: float = 0.0,
    stop: bool = False,
    on_verdict: Callable[[list[Finding]], None] = lambda found: None,
) -> tuple[int, list[Finding]]:
    """Runs a script and meters its loaders.

    Args:
        arguments: the script and its arguments, or a program and its.
        steps: after so many steps of its first loader the verdict is given; 0: at the end.
        headroom_s: for how long to hand out batches again after that.
        stop: end the script then.
        on_verdict: called with the findings of that moment, while the script runs on.

    Returns:
        Its exit status (0 where it was stopped on purpose), and what was found.
    """
    with tempfile.TemporaryDirectory(prefix="stoker-diagnose-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        process = _Process(command_for(arguments), environment_for(folder, steps, headroom_s, os.environ))
        given: list[Finding] = []
        ending: list[threading.Thread | None] = []
        seen: dict[Path, int] = {}
        due = math.inf

        def look() -> None:
            nonlocal due
            if steps == 0 or given or not (_changed(folder, seen) or time.monotonic() >= due):
                return
            found = findings_in(folder)
            if any(f.final for f in found):
                due = min(due, time.monotonic() + _PATIENCE_S)
                if time.monotonic() < due and _ranks_are_behind(found):
                    return
                given.extend(found)
                on_verdict(found)
                if stop:
                    ending.append(_end(process.process))

        status = process.wait(look)
        for thread in ending:
            if thread is not None:
                thread.join()
        return (0 if ending else status), given or findings_in(folder)


def _ranks_are_behind(found: Sequence[Finding]) -> bool:
    """Whether a loader's recording is final in one rank and not in another."""
    return any(len({f.final for f in ranks}) > 1 for ranks in together(found))


def _changed(folder: Path, seen: dict[Path, int]) -> bool:
    """Whether there are recordings that were not there at the last call."""
    now = {}
    for file in folder.glob("loader-*.json"):
        with contextlib.suppress(OSError):
            now[file] = file.stat().st_mtime_ns
    changed = bool(now) and now != seen
    seen.update(now)
    return changed


def _end(process: subprocess.Popen[bytes]) -> threading.Thread | None:
    """Asks the script to end, and makes it, and what it has started, where that does not help: in a thread;
    None: there can be none."""
    started: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()

    def insist() -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        for left in started:  # a shell's, for one, which ends without them
            with contextlib.suppress(psutil.Error):
                left.terminate()
        _, alive = psutil.wait_procs(started, _PATIENCE_S)
        if process.poll() is None:
            process.kill()
        for left in alive:
            with contextlib.suppress(psutil.Error):
                left.kill()

    def failed(error: BaseException) -> None:
        print(f"stoker diagnose: the script was asked to end, and no more: {error!r}", file=sys.stderr)

    return start(insist, "stoker-end", failed)


def diagnose(
    arguments: Sequence[str],
    steps: int,
    headroom: bool,
    stop: bool,
    html: Path,
    trace: Path | None,
    recording: Path | None,
    json_file: Path | None,
) -> int:
    """The command; returns the script's exit status."""
    if misplaced := [option for option in arguments[1:] if option.partition("=")[0] in OPTIONS]:
        print(
            f"stoker diagnose: {', '.join(misplaced)} behind the script is the script's own option; one of"
            f" diagnose's stands before it: stoker diagnose {misplaced[0]} … {arguments[0]}",
            file=sys.stderr,
        )
    if (headroom or stop) and steps == 0:
        steps = DEFAULT_STEPS

    def say(found: list[Finding], status: int | None) -> None:
        text = "\n" + words_for(found, status, arguments, steps if headroom else 0)
        if _write(found, html, trace, recording):
            text += f"\n\nThe report, with pictures: {html}"
        print(text, file=sys.stderr, flush=True)

    def write_json(found: list[Finding], status: int | None) -> None:
        if json_file is not None:
            _write_file(json_file, as_json(found, status))

    early: list[Finding] = []

    def on_verdict(found: list[Finding]) -> None:
        early.extend(found)
        write_json(found, None)
        say(found, None)

    try:
        status, found = run(arguments, steps, HEADROOM_S if headroom else 0.0, stop, on_verdict)
    except NotRunnableError as error:
        print(f"stoker diagnose: {printable(str(error))}", file=sys.stderr)
        return error.status
    write_json(found, status)
    if not early:
        say(found, status)
    return status


def _write(found: list[Finding], html: Path, trace: Path | None, recording: Path | None) -> bool:
    """Writes the files that were asked for, of the main loader; returns whether the report could be."""
    if not found:
        return False
    first = found[0]
    thumbnails = thumbnails_of(first.recording.stats)
    reported = _write_file(html, html_report(first.recording, first.verdict, thumbnails=thumbnails))
    if trace is not None:
        _write_file(trace, chrome_trace(first.recording))
    if recording is not None:
        _write_file(recording, first.recording.to_json())
    return reported


def _write_file(file: Path, text: str) -> bool:
    """Whether it could be: the script's exit status matters more."""
    try:
        write_whole(file, text)
    except OSError as error:
        print(
            f"stoker diagnose: {printable_name(str(file))} is not written: {error.strerror}", file=sys.stderr
        )
        return False
    return True
