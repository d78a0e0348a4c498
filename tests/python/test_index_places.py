"""Where decode indexes lie, and which one a loader takes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import OLD_S, write_photos
from index_helpers import (
    CROPS,
    cached,
    entries,
    epoch,
    errors,
    loader_of,
    padded,
    same,
    written,
)

from stoker import ImageList
from stoker.index import FILE_NAME, cache_folder
from stoker.index_command import build


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below: its bytes and its time of change."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# ---- where an index lies -------------------------------------------------------------------------


def test_auto_leaves_the_data_alone(data: Path, own_cache: Path, expected: list[Any]) -> None:
    before = contents(data)
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    written(loader)
    assert contents(data) == before
    (file,) = cached(own_cache)
    assert file.name.startswith("data-")
    assert entries(file) == 16


def test_folders_of_one_name_have_indexes_of_their_own(data: Path, tmp_path: Path, own_cache: Path) -> None:
    other = tmp_path / "other" / "data"
    write_photos(other / "a", 3, quality=70)
    for folder in (data, other):
        loader = loader_of(folder)
        epoch(loader)
        written(loader)
        assert loader.stats().index_problem == ""
    assert sorted(map(entries, cached(own_cache))) == [3, 16]


def test_the_users_own_cache_folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", None):
        monkeypatch.delenv("XDG_CACHE_HOME") if value is None else monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "stoker" / "index"
    loader = loader_of(data)
    epoch(loader)
    written(loader)
    assert len(cached(tmp_path / ".cache")) == 1


def test_the_one_beside_the_data_comes_first(data: Path, own_cache: Path, expected: list[Any]) -> None:
    build(data)
    before = contents(data)
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    written(loader)
    assert (loader.stats().index.used, loader.stats().index.recorded) == (16, 0)
    assert cached(own_cache) == []

    # What it lacks goes to the cache.
    write_photos(data / "a", 2)
    now = loader_of(data)
    epoch(now)
    written(now)
    assert (now.stats().index.used, now.stats().index.recorded) == (16, 2)
    epoch(now)
    assert (now.stats().index.used, now.stats().index.recorded) == (16 + 18, 2)
    (file,) = cached(own_cache)
    assert entries(file) == 2
    assert before.items() <= contents(data).items()


def test_of_two_entries_the_one_beside_the_data_counts(data: Path, own_cache: Path) -> None:
    build(data)
    moved = data / FILE_NAME
    moved.rename(data.parent / "kept")
    loader = loader_of(data)
    epoch(loader)
    written(loader)  # to the cache
    (data.parent / "kept").rename(moved)
    (first, second) = (Path(os.fsdecode(s["path"])) for s in open_sources(data))
    assert first == moved
    assert second.parent == own_cache / "stoker" / "index"
    for good, bad in ((first, second), (second, first)):
        whole = bad.read_bytes()
        bad.write_bytes(b"")
        now = loader_of(data)
        epoch(now)
        assert now.stats().index.used == 16, good
        bad.write_bytes(whole)


def open_sources(data: Path) -> list[dict[str, Any]]:
    index = loader_of(data)._decode_index()
    assert index is not None
    return index.sources()


def test_found_from_a_folder_above(data: Path, own_cache: Path, expected: list[Any]) -> None:
    deep = data.parent / "above" / "sets" / "train"
    deep.parent.mkdir(parents=True)
    data.rename(deep)
    build(data.parent / "above")
    loader = loader_of(deep)
    assert same(epoch(loader), expected)
    assert loader.stats().index.used == 16
    single = loader_of(ImageList(sorted((deep / "a").iterdir()), range(8), CROPS))
    epoch(single)
    assert single.stats().index.used == 8
    path = loader_of(deep, index=data.parent / "above" / FILE_NAME)
    epoch(path)
    assert path.stats().index.used == 16
    assert cached(own_cache) == []


def test_a_list_of_files_in_several_folders(data: Path, own_cache: Path) -> None:
    paths = [*sorted((data / "a").iterdir()), *sorted((data / "b").iterdir())[::-1]]
    dataset = ImageList(paths, range(16), CROPS)
    loader = loader_of(dataset)
    assert same(epoch(loader), epoch(loader_of(dataset, index=None)))
    written(loader)
    # The same files under the same root: the folder's loader finds them.
    folder = loader_of(data)
    epoch(folder)
    assert folder.stats().index.used == 16
    (file,) = cached(own_cache)
    assert entries(file) == 16


def test_files_of_the_same_name_in_two_folders(data: Path, own_cache: Path) -> None:
    # Each has an entry of its own, even where size and time are the same.
    files = [data / "a" / "000.jpg", data / "b" / "000.jpg"]
    size = max(file.stat().st_size for file in files) + 8
    for file in files:
        file.write_bytes(padded(file.read_bytes(), size))
        os.utime(file, (OLD_S, OLD_S))
    loader = loader_of(data)
    plain = loader_of(data, index=None)
    assert same(epoch(loader), epoch(plain))
    written(loader)
    assert same(epoch(loader, 1), epoch(plain, 1))
    assert (loader.stats().index.used, loader.stats().index.rejected) == (16, 0)


@pytest.mark.parametrize("move", [True, False])
def test_an_index_moves_with_its_data(
    data: Path, tmp_path: Path, own_cache: Path, expected: list[Any], move: bool
) -> None:
    build(data)
    there = tmp_path / "elsewhere" / "renamed"
    there.parent.mkdir()
    if move:
        data.rename(there)
    else:
        shutil.copytree(data, there)  # keeps the times, as cp -p
    loader = loader_of(there)
    assert same(epoch(loader), expected)
    assert loader.stats().index.used == 16


def test_an_index_in_a_file_serves_a_copy_of_the_data(
    data: Path, tmp_path: Path, own_cache: Path, expected: list[Any]
) -> None:
    path = tmp_path / "elsewhere.index"
    build(data, path)
    copy = Path(shutil.copytree(data, tmp_path / "copies" / "second"))
    shutil.rmtree(data)
    loader = loader_of(copy, index=path)
    assert same(epoch(loader), expected)
    written(loader)
    assert (loader.stats().index.used, loader.stats().index.recorded) == (16, 0)
    shutil.move(path, copy / "new name")
    again = loader_of(copy, index=str(copy / "new name"))
    epoch(again)
    assert again.stats().index.used == 16


def test_a_path_is_made_and_added_to(data: Path, tmp_path: Path, own_cache: Path) -> None:
    path = tmp_path / "my.index"
    some = loader_of(ImageList(sorted((data / "a").iterdir()), range(8), CROPS), index=path)
    assert not path.exists()
    epoch(some)
    written(some)
    assert entries(path) == 8
    rest = loader_of(ImageList(sorted((data / "a").iterdir()) * 2, range(16), CROPS), index=path)
    epoch(rest)
    assert rest.stats().index.used == 16
    write_photos(data / "a", 2)
    more = loader_of(ImageList(sorted((data / "a").iterdir()), range(10), CROPS), index=path)
    epoch(more)
    written(more)
    assert entries(path) == 10
    assert cached(own_cache) == []


def test_relative_roots(
    data: Path, tmp_path: Path, own_cache: Path, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loader = loader_of("data")
    assert same(epoch(loader), expected)
    written(loader)
    monkeypatch.chdir(data)
    for root in (".", "./", "../data", data, f"{data}/"):
        other = loader_of(root)
        assert same(epoch(other), expected)
        assert other.stats().index.used == 16, root
    (file,) = cached(own_cache)
    relative = loader_of(".", index=os.path.relpath(file))
    monkeypatch.chdir(tmp_path)  # the images are elsewhere now
    assert relative._decode_index() is not None
    assert errors(epoch(relative)) > 0


def test_a_relative_list_with_the_index_of_a_folder_above(
    data: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(data)
    monkeypatch.chdir(data / "a")
    dataset = ImageList(sorted(os.listdir(".")), range(8), CROPS)
    loader = loader_of(dataset, index=f"../{FILE_NAME}")
    epoch(loader)
    written(loader)
    assert (loader.stats().index.used, entries(data / FILE_NAME)) == (8, 16)


def test_a_relative_list_finds_the_index_above(
    data: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(data)
    monkeypatch.chdir(data / "a")
    loader = loader_of(ImageList(sorted(os.listdir(".")), range(8), CROPS))
    epoch(loader)
    assert loader.stats().index.used == 8


def test_symbolic_links(data: Path, tmp_path: Path, own_cache: Path, expected: list[Any]) -> None:
    (tmp_path / "link").symlink_to(data)
    loader = loader_of(tmp_path / "link")
    assert same(epoch(loader), expected)
    written(loader)
    direct = loader_of(data)
    epoch(direct)
    assert direct.stats().index.used == 16  # one folder, one index, whatever it is called
    # A folder of links to files.
    farm = tmp_path / "farm"
    for file in data.rglob("*.jpg"):
        link = farm / file.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    links = loader_of(farm)
    assert same(epoch(links), expected)
    written(links)
    assert same(epoch(links), expected)
    assert (links.stats().index.recorded, links.stats().index.used) == (16, 16)
    assert len(cached(own_cache)) == 2


def test_the_index_beside_data_reached_by_a_link(data: Path, tmp_path: Path, own_cache: Path) -> None:
    build(data)
    (tmp_path / "link").symlink_to(data)
    for index in ("auto", tmp_path / "link" / FILE_NAME, data / FILE_NAME):
        loader = loader_of(tmp_path / "link", index=index)
        epoch(loader)
        assert loader.stats().index.used == 16, index


def test_an_index_above_given_by_a_link(data: Path, tmp_path: Path, own_cache: Path) -> None:
    build(data)
    (tmp_path / "link").symlink_to(data)
    paths = sorted((tmp_path / "link" / "a").iterdir())
    loader = loader_of(ImageList(paths, range(8), CROPS), index=tmp_path / "link" / FILE_NAME)
    epoch(loader)
    written(loader)
    assert (loader.stats().index.used, entries(data / FILE_NAME)) == (8, 16)
