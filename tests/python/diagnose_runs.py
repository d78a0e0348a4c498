"""Runs scripts with and without `stoker diagnose`, and says how they ended."""

from __future__ import annotations

import atexit
import json
import multiprocessing.util
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import typer.main
from torch.utils.data import dataloader as torch_dataloader

import stoker.cli
import stoker.diagnosis.command

HERE = Path(__file__).parent
SCRIPTS = HERE / "diagnosed"
JSON = "found.json"
PYTHONPATH = os.pathsep.join([str(Path(stoker.__file__).parents[1]), str(HERE)])

# What a run of the command imports: forks of this process have it then.
typer.main.get_group(stoker.cli.app).commands["diagnose"].make_context("diagnose", ["script.py"])


@dataclass(frozen=True)
class Ended:
    """``status``: as a shell gives it. ``left``: what lies in the temporary folder afterwards.
    ``json``: what --json has written to JSON, in the folder where the script ran."""

    status: int
    stdout: str
    stderr: str
    left: list[str]
    json: Any

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json["loaders"]
        return found


class Running:
    """A process with its own folder for temporary files, whose output goes to files."""

    def __init__(self, cwd: Path, stdin: bytes, variables: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._at = Path(self._folder.name)
        (self._at / "tmp").mkdir()
        (self._at / "stdin").write_bytes(stdin)
        for name in ("stdout", "stderr"):
            (self._at / name).touch()
        environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1", **variables}
        self.environment = {**environment, "TMPDIR": str(self._at / "tmp")}
        self.cwd = cwd
        self.running = True
        self._json: Path | None = None
        self.pipe: int | None = None  # in place of a file for standard output

    def run(self, command: Sequence[str]) -> None:
        """Starts a command in a session of its own."""
        self.pid = os.fork()
        if self.pid == 0:
            self._begin()
            os.execvpe(command[0], list(command), self.environment)

    def fork(self, script: str, arguments: Sequence[str]) -> None:
        """Starts a script in a fork of this process, which has torch already."""
        self.pid = os.fork()
        if self.pid == 0:
            self._begin()
            sys.argv = [script, *arguments]
            os.environ.update(self.environment)
            status = 1
            try:
                runpy.run_path(script, run_name="__main__")
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def diagnose(self, arguments: Sequence[str], forks: bool = False) -> None:
        """Starts the command ``stoker diagnose`` in a fork, which need not import torch.

        ``forks``: nor needs the script, which has a fork in place of a Python of its own.
        """
        self._json = self.cwd / JSON
        self.pid = os.fork()
        if self.pid == 0:
            self._begin()
            tempfile.tempdir = None
            os.environ.clear()
            os.environ.update(self.environment)
            sys.argv = ["stoker", "diagnose", *arguments]
            status = 70
            if forks:
                fork_scripts()
            try:
                stoker.cli.main()
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def kill(self) -> None:
        """Ends it, and what it has started, where nobody has waited for its end."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.running = False

    def _begin(self) -> None:
        os.setsid()
        os.chdir(self.cwd)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        os.dup2(os.open(self._at / "stdin", os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(self._at / name, os.O_WRONLY | os.O_APPEND), number)
        if self.pipe is not None:
            os.dup2(self.pipe, 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)  # line by line, as Python's own

    def printed(self, text: str, timeout: float = 180) -> None:
        """Waits until that is on standard output."""
        deadline = time.monotonic() + timeout
        while text not in (self._at / "stdout").read_text():
            assert time.monotonic() < deadline, f"no {text!r} after {timeout} s: {self._outputs()}"
            time.sleep(0.02)

    def _outputs(self) -> tuple[str, str]:
        return (self._at / "stdout").read_text(), (self._at / "stderr").read_text()

    def end(self, timeout: float = 300) -> Ended:
        deadline = time.monotonic() + timeout
        done = status = 0
        while not done:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if not done and time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"no end after {timeout} s: {self._outputs()}")
            time.sleep(0.01)
        self.running = False
        code = os.waitstatus_to_exitcode(status)
        left = [p.name for p in (self._at / "tmp").iterdir() if p.name.startswith("stoker-diagnose")]
        found = None
        if self._json is not None and self._json.exists():
            found = json.loads(self._json.read_text())
            self._json.unlink()
        ended = Ended(code if code >= 0 else 128 - code, *self._outputs(), left, found)
        self._folder.cleanup()
        return ended


class _Fork:
    """What the command needs of subprocess.Popen, of a Python script in a fork of this process."""

    def __init__(self, command: list[str], env: Mapping[str, str], preexec_fn: Callable[[], None]) -> None:
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            preexec_fn()
            os.environ.clear()
            os.environ.update(env)
            os._exit(_run_metered(command[1:]))

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while self.status is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("script", timeout)
            else:
                time.sleep(0.01)
        return self.status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def fork_scripts() -> None:
    """From now on ``stoker diagnose`` runs its script in a fork of this process."""
    command: Any = stoker.diagnosis.command
    command.subprocess = SimpleNamespace(Popen=_Fork, TimeoutExpired=subprocess.TimeoutExpired)


def _run_metered(arguments: list[str]) -> int:
    """As a Python does that has imported torch after sitecustomize; returns the exit status."""
    atexit._clear()  # this process's, whose fork it is
    multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]
    status = 1
    try:
        inject = runpy.run_path(str(stoker.diagnosis.command.INJECT / "sitecustomize.py"))
        inject["_meter"](torch_dataloader)
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except BaseException:
        traceback.print_exc()
    multiprocessing.util._exit_function()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def plain(command: Sequence[str], cwd: Path, stdin: bytes = b"", **variables: str) -> Ended:
    """A command as it is."""
    running = Running(cwd, stdin, variables)
    running.run(command)
    return running.end()


def fork(script: str, cwd: Path, *arguments: str) -> Running:
    """Starts a script as it is, in a process that has torch imported."""
    running = Running(cwd, b"", {})
    running.fork(script, arguments)
    return running


def forked(script: str, cwd: Path, *arguments: str) -> Ended:
    return fork(script, cwd, *arguments).end()


def start(arguments: Sequence[str], cwd: Path, stdin: bytes = b"", **variables: str) -> Running:
    """Starts ``stoker diagnose`` with its options, a script and its arguments.

    Of several at once each needs a folder of its own.
    """
    running = Running(cwd, stdin, variables)
    running.diagnose(arguments)
    return running


def diagnosed(arguments: Sequence[str], cwd: Path, stdin: bytes = b"", **variables: str) -> Ended:
    return start(arguments, cwd, stdin, **variables).end()


def diagnosed_fork(arguments: Sequence[str], cwd: Path) -> Ended:
    """As ``diagnosed``, in a process that has torch imported: 3 s less."""
    running = Running(cwd, b"", {})
    running.diagnose(arguments, forks=True)
    return running.end()


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def both(script: str, cwd: Path, *options: str, arguments: Sequence[str] = ()) -> tuple[Ended, Ended]:
    """A script's code without and with ``stoker diagnose OPTIONS``."""
    (cwd / "script.py").write_text(script)
    alone = plain(python("script.py", *arguments), cwd)
    return alone, diagnosed([*options, "script.py", *arguments], cwd)
