"""What a loader refuses for a decode index, and places where none can be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import RunScript
from index_helpers import (
    cached,
    check_problem,
    epoch,
    loader_of,
    same,
    written,
)

from stoker.index import FILE_NAME
from stoker.index_command import build


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (True, TypeError, 'index must be "auto", a path or None, got True'),
        (3, TypeError, 'index must be "auto", a path or None, got 3'),
        (b"x.index", TypeError, "index must be"),
        ("", ValueError, "got an empty string"),
    ],
)
def test_what_cannot_be_an_index(original: Path, index: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        loader_of(original, index=index)


def test_a_folder_is_no_index(original: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder, not an index file"):
        loader_of(original, index=tmp_path)


@pytest.mark.parametrize("content", [b"", b"notes\n", bytes(10_000)])
def test_a_foreign_file_is_refused_and_left_alone(original: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt is not a decode index"):
        loader_of(original, index=path)
    assert path.read_bytes() == content


def test_a_foreign_file_of_an_indexs_name_is_passed_over(
    data: Path, own_cache: Path, expected: list[Any]
) -> None:
    (data / FILE_NAME).write_text("notes\n")
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    written(loader)
    assert (data / FILE_NAME).read_text() == "notes\n"
    assert len(cached(own_cache)) == 1


def test_a_link_to_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "my.index", data / FILE_NAME):
        path.symlink_to("nothing")
    with pytest.raises(ValueError, match=r"my\.index does not exist"):
        loader_of(data, index=tmp_path / "my.index")
    with pytest.raises(ValueError, match=rf"{FILE_NAME} does not exist"):
        build(data)


def test_an_index_that_anybody_may_write_is_not_used(
    data: Path, own_cache: Path, expected: list[Any]
) -> None:
    build(data)
    (data / FILE_NAME).chmod(0o666)
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    assert loader.stats().index.used == 0
    with pytest.raises(ValueError, match="may have been written by somebody else"):
        loader_of(data, index=data / FILE_NAME)


def test_a_cache_that_cannot_be_written(
    data: Path, tmp_path: Path, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    loader = loader_of(data)
    assert loader.stats().index_problem == ""
    for _ in range(2):
        assert same(epoch(loader), expected)
        check_problem(loader, "Not a directory")
    assert loader.stats().index.recorded == 0  # without a key there is no point in it
    assert loader.stats().index.unknown == 32


def test_a_path_in_a_folder_that_is_not_there(data: Path, tmp_path: Path, expected: list[Any]) -> None:
    loader = loader_of(data, index=tmp_path / "no such" / "my.index")
    assert same(epoch(loader), expected)
    check_problem(loader, "No such file or directory")


def test_no_space_left(data: Path, own_cache: Path, tmp_path: Path, run_script: RunScript) -> None:
    # A limit on the sizes of files fails a write as a full disk does.
    code = """
import resource
from pathlib import Path
from stoker import DataLoader, ImageFolder, transforms as T
def labels(loader):
    return [y for _, targets in loader for y in targets.tolist()]
loader = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(48)), 3, num_workers=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for _ in range(2):
    assert labels(loader) == [0] * 8 + [1] * 8
    loader._decode_index().flush(True)
    assert "File too large" in loader.stats().index_problem, loader.stats()
assert loader.stats().index_problem in loader.report()
left = [str(p) for p in Path(os.environ["XDG_CACHE_HOME"]).rglob("*") if p.is_file()]
assert [Path(p).name for p in left] == ["index.key"], left  # no half of a file stays

# Adding to a good one leaves it as it was.
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
one = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(48)), 3, sampler=[1, 2, 3], num_workers=2)
assert labels(one) == [0] * 3
one._decode_index().flush(True)
(file,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("*.index")
before = file.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, resource.RLIM_INFINITY))
rest = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(48)), 3, num_workers=2)
for _ in range(2):
    assert labels(rest) == [0] * 8 + [1] * 8
    rest._decode_index().flush(True)
assert "File too large" in rest.stats().index_problem
assert rest.stats().index.used == 6
assert file.read_bytes() == before
"""
    done = run_script(code, data)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
