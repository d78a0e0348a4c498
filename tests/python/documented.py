"""The command lines and blocks of Python that the texts show a reader, collected from the texts."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/*.md", "csrc/README.md")
SCRIPTS = ("examples/*.py", "docs/figures/*.py")
_PROGRAM = r"(?:stoker|python|make|pip|torchrun|accelerate) "
_LINE = re.compile(rf"(?: {{4}})?({_PROGRAM}.*)")
_INLINE = re.compile(rf"`({_PROGRAM}[^`]*)`")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A command line or a block of Python, and the file that shows it."""

    file: str
    text: str


def _files(patterns: tuple[str, ...]) -> list[Path]:
    return [file for pattern in patterns for file in sorted(ROOT.glob(pattern))]


def _command(line: str) -> str:
    """Without what is said beside it: behind a "#", or several spaces."""
    return re.split(r"\s+#\s|\s{3,}", line.strip(), maxsplit=1)[0].strip()


def _alternatives(command: str) -> list[str]:
    """Of "NAME A|B [--x] [--y]": with A, with B, and with A and each option."""
    command = command.replace("\\|", "|")
    options = re.findall(r"\[([^\]]+)\]", command)
    plain = re.sub(r"\s*\[[^\]]+\]", "", command)
    words = [word.split("|") for word in plain.split(" ")]
    made = [" ".join(chosen) for chosen in itertools.product(*words)]
    return [*made, *(f"{made[0]} {option}" for option in options)]


def _of_page(text: str) -> list[str]:
    outside = _FENCE.sub("", text)
    shell = [body for language, body in _FENCE.findall(text) if language in ("bash", "sh", "shell")]
    lines = [line for body in shell for line in body.splitlines()]
    lines += [line for line in outside.splitlines() if line.startswith("    ")]
    whole = [_command(found[1]) for line in lines if (found := _LINE.fullmatch(line))]
    inline = [" ".join(found.split()) for found in _INLINE.findall(outside)]
    return [command for found in (*whole, *inline) for command in _alternatives(found)]


def _of_script(text: str) -> list[str]:
    docstring = text.split('"""')[1]
    return [_command(found[1]) for line in docstring.splitlines() if (found := _LINE.fullmatch(line))]


def commands() -> list[Shown]:
    """In the order of the texts; each once for each file."""
    found = [Shown(_name(f), command) for f in _files(PAGES) for command in _of_page(f.read_text())]
    found += [Shown(_name(f), command) for f in _files(SCRIPTS) for command in _of_script(f.read_text())]
    return list(dict.fromkeys(found))


def python_blocks() -> list[Shown]:
    return [
        Shown(_name(file), body)
        for file in _files(PAGES)
        for language, body in _FENCE.findall(file.read_text())
        if language == "python"
    ]


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()
