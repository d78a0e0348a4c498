"""`stoker diagnose` changes nothing of a script: its output, its end, and what it sees around it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from diagnose_runs import PYTHONPATH, Ended, Running, both, diagnosed, plain, python

SURROUNDINGS = """#!/usr/bin/env python
import os, sys
ours = ("STOKER_DIAGNOSE", "TMPDIR", "PYTHONPATH", "_")
print(sys.argv, __name__, __file__, os.getcwd(), sys.path, sys.flags, sys.stdin.read())
print(sorted((k, v) for k, v in os.environ.items() if not k.startswith(ours)))
print(os.environ["PYTHONPATH"].split(os.pathsep)[-2:])
print("torch" in sys.modules, "stoker" in sys.modules, sys.stdout.isatty(), os.isatty(0))
print("to stderr", file=sys.stderr)
"""
OURS = ["--steps", "3", "--json", "--html", "x"]  # the script's own, behind its name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same script in all places from where one can be run."""
    root = tmp_path_factory.mktemp("scripts")
    for name in ("script.py", "sub/script.py", "sub/folder/__main__.py", "package/module.py", "executable"):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(SURROUNDINGS)
    (root / "package/__init__.py").touch()
    (root / "executable").write_text(SURROUNDINGS.replace("/usr/bin/env python", sys.executable))
    (root / "shell").write_text(f'#!/bin/sh\necho from sh\n{sys.executable} sub/script.py "$@"\nexit 9\n')
    for name in ("executable", "shell"):
        (root / name).chmod(0o755)
    return root


@pytest.mark.parametrize(
    ("given", "natively"),
    [
        (["./sub/../script.py"], python("./sub/../script.py")),
        (["sub/script.py"], python("sub/script.py")),
        (["sub/folder"], python("sub/folder")),
        (["-m", "package.module"], python("-m", "package.module")),
        (["./executable"], ["./executable"]),
        (["./shell"], ["./shell"]),
        ([sys.executable, "-u", "script.py"], python("-u", "script.py")),
    ],
    ids=lambda v: " ".join(Path(p).name for p in v),
)
def test_a_script_sees_what_it_would_see(place: Path, given: list[str], natively: list[str]) -> None:
    alone = plain([*natively, *OURS], place, stdin=b"some\ninput")
    seen = diagnosed([*given, *OURS], place, stdin=b"some\ninput")
    assert "some\ninput" in alone.stdout
    assert seen.stdout == alone.stdout
    assert seen.status == alone.status
    hint, _, behind = seen.stderr.partition("\n")
    assert "--steps, --json, --html behind the script is the script's own option" in hint
    assert behind.startswith(alone.stderr + "\n")
    assert (
        f"No batch of a DataLoader was seen in {' '.join(given[:2]) if given[0] == '-m' else given[0]}"
        in behind
    )
    assert seen.left == []
    assert not (place / "stoker-diagnosis.html").exists()


ENDS = {
    "at the end": "",
    "with a number": "import sys; sys.exit(3)",
    "with a text": "import sys; sys.exit('said why')",
    "with an exception": "def f():\n    raise ValueError('mine')\nf()",
    "at once": "import os; os._exit(5)",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "by a segmentation fault": "import os; os.kill(os.getpid(), 11)",
    "interrupted": "raise KeyboardInterrupt",
    "in a fork's parent": "import os, sys\nif os.fork() == 0: sys.exit(1)\nprint(os.wait()[1]); sys.exit(4)",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_script_ends_as_it_would(tmp_path: Path, how: str) -> None:
    code = f"print('begun', flush=True)\n{ENDS[how]}\n"
    alone, seen = both(code, tmp_path)
    assert seen.stdout == alone.stdout
    assert seen.status == alone.status
    assert seen.stderr.startswith(alone.stderr + "\n")
    behind = seen.stderr.removeprefix(alone.stderr)
    assert "No batch of a DataLoader was seen in script.py" in behind
    assert (f"ended with status {alone.status}" in behind) == (alone.status != 0)
    assert ("(SIGKILL)" in behind) == (how == "killed")


WAITS = """
import signal, sys, time
def leave(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(7)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), leave)
print("ready", flush=True)
time.sleep(600)
"""


def interrupted(cwd: Path, number: signal.Signals, group: bool, *handled: str) -> tuple[Ended, Ended]:
    """The ends of a waiting script without and with diagnose, at a signal to it or to the group."""
    (cwd / "script.py").write_text(WAITS)
    ends = []
    for diagnose in (False, True):
        running = Running(cwd, b"", {})
        if diagnose:
            running.diagnose(["script.py", *handled])
        else:
            running.run(python("script.py", *handled))
        running.printed("ready")
        (os.killpg if group else os.kill)(running.pid, number)
        ends.append(running.end())
    return ends[0], ends[1]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_signals_are_passed_on(tmp_path: Path, name: str) -> None:
    alone, seen = interrupted(tmp_path, signal.Signals[name], False, name)
    assert (seen.status, seen.stdout) == (alone.status, alone.stdout) == (7, f"ready\ngot {name}\n")
    assert "ended with status 7;" in seen.stderr


@pytest.mark.parametrize(("name", "handled"), [("SIGINT", False), ("SIGINT", True), ("SIGQUIT", False)])
def test_the_terminals_signals_are_the_scripts(tmp_path: Path, name: str, handled: bool) -> None:
    alone, seen = interrupted(tmp_path, signal.Signals[name], True, *[name][: int(handled)])
    assert (seen.status, seen.stdout) == (alone.status, alone.stdout)
    assert seen.stderr.startswith(alone.stderr)
    assert "No batch of a DataLoader" in seen.stderr
    assert seen.left == []


def test_a_folder_does_not_hide_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``python/`` in a project's root; with a slash it is the folder."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "trainer").write_text("#!/bin/sh\necho program $1\n")
    (tmp_path / "bin" / "trainer").chmod(0o755)
    (tmp_path / "trainer").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    seen = diagnosed(["trainer", "x"], tmp_path)
    assert (seen.status, seen.stdout) == (0, "program x\n")
    assert diagnosed(["./trainer", "x"], tmp_path).status == 126


def test_what_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("no script")
    (tmp_path / "no-format").write_text("no program")
    (tmp_path / "no-format").chmod(0o755)
    for given, status, reason in (
        ("folder", 126, "folder is a folder"),
        ("text.txt", 126, "text.txt is neither a Python script (.py) nor executable"),
        ("./no-format", 126, "./no-format: Exec format error"),
        ("missing.py", 127, "missing.py: no such file or program"),
        ("./missing", 127, "./missing: no such file or program"),
    ):
        seen = diagnosed([given, "x"], tmp_path)
        assert (seen.status, seen.stdout, seen.left) == (status, "", [])
        assert seen.stderr == f"stoker diagnose: {reason}\n"


def test_a_python_script_by_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("#!/usr/bin/env python3\nimport sys\nprint(sys.argv)\n")
    seen = diagnosed(["train", "a"], tmp_path)
    assert (seen.status, seen.stdout) == (0, "['train', 'a']\n")


@pytest.mark.parametrize("fails", [False, True])
def test_the_users_own_sitecustomize_runs(tmp_path: Path, fails: bool) -> None:
    own = tmp_path / "own"
    own.mkdir()
    end = "raise RuntimeError('in sitecustomize')" if fails else ""
    (own / "sitecustomize.py").write_text(f"import sys\nsys.mine = __file__\n{end}\n")
    (tmp_path / "script.py").write_text("import sys\nprint(sys.mine, sys.path)\nimport sitecustomize\n")
    paths = os.pathsep.join([str(own), PYTHONPATH])
    alone = plain(python("script.py"), tmp_path, PYTHONPATH=paths)
    seen = diagnosed(["script.py"], tmp_path, PYTHONPATH=paths)
    assert str(own / "sitecustomize.py") in alone.stdout
    assert (seen.stdout, seen.status) == (alone.stdout, alone.status)
    assert ("in sitecustomize" in seen.stderr) == fails


def test_a_pipe_is_not_held_up(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys\nfor i in range(60_000): print(i, 'x' * 20)\n")
    running = Running(tmp_path, b"", {})
    reads, running.pipe = os.pipe()
    running.diagnose(["script.py"])
    os.close(running.pipe)
    with open(reads) as pipe:
        assert sum(1 for _ in pipe) == 60_000
    assert running.end().status == 0
