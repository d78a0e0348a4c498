"""The shape of the source tree: which folder may include which, and that every source has its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"

# base ← {stats, memory, io, codec, image} ← pipeline ← torchext
ALLOWED = {
    "base": {"base"},
    "stats": {"base", "stats"},
    "memory": {"base", "memory"},
    "io": {"base", "io"},
    "codec": {"base", "codec"},
    "image": {"base", "image"},
    "pipeline": {"base", "stats", "memory", "io", "codec", "image", "pipeline"},
}


def includes(file: Path) -> list[str]:
    return re.findall(r'^#include "([^"]+)"', file.read_text(), flags=re.MULTILINE)


def sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".cc", ".h"))


def forbidden(file: Path, allowed: set[str]) -> list[str]:
    return [i for i in includes(file) if i.split("/")[0] not in allowed]


def test_every_folder_is_in_the_rule() -> None:
    assert {p.name for p in CSRC.iterdir() if p.is_dir()} == set(ALLOWED)


@pytest.mark.parametrize("folder", ALLOWED)
def test_dependencies_flow_one_way(folder: str) -> None:
    files = sources(CSRC / folder)
    assert files
    wrong = {str(f): bad for f in files if (bad := forbidden(f, ALLOWED[folder]))}
    assert not wrong


def test_the_rule_would_notice(tmp_path: Path) -> None:
    file = tmp_path / "bad.h"
    file.write_text('#include "pipeline/loader.h"\n#include "base/rect.h"\n')
    assert forbidden(file, ALLOWED["image"]) == ["pipeline/loader.h"]


def test_the_core_knows_neither_torch_nor_python() -> None:
    for file in sources(CSRC):
        assert not re.search(r"#include <(torch|ATen|c10|pybind11|Python)", file.read_text()), file


def test_headers_do_not_show_their_libraries() -> None:
    """Only sources include third-party headers, so that a reader of a header needs none of them."""
    for file in sources(CSRC):
        if file.suffix == ".h" and not file.name.endswith("-inl.h"):  # part of kernels
            libraries = "hwy|oneapi|tbb|jpeglib|png|tiff|webp|zlib"
            shown = re.findall(rf"#include <((?:{libraries})[^>]*)>", file.read_text())
            assert not shown, file


def test_every_source_has_its_test() -> None:
    """tests/cpp/<same path>_test.cc."""
    for file in CSRC.rglob("*.cc"):
        mirrored = ROOT / "tests" / "cpp" / file.relative_to(CSRC).with_name(f"{file.stem}_test.cc")
        assert mirrored.exists(), mirrored


def test_source_lists_are_complete() -> None:
    """Source lists are explicit; nothing may be forgotten in them."""
    lists = {
        CSRC: ROOT / "CMakeLists.txt",
        ROOT / "torchext": ROOT / "torchext" / "CMakeLists.txt",
        ROOT / "tests" / "cpp": ROOT / "tests" / "cpp" / "CMakeLists.txt",
    }
    for folder, cmake in lists.items():
        text = cmake.read_text()
        for file in folder.rglob("*.cc"):
            assert str(file.relative_to(cmake.parent)) in text, file
