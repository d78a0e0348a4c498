"""The decode index where images, or index files, change under the loader: the same batches still."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import OLD_S, change_now, encode, leave_alone, photo_like, write_photos
from index_helpers import (
    MODES,
    cached,
    check_problem,
    entries,
    epoch,
    errors,
    loader_of,
    padded,
    same,
    written,
)
from PIL import Image

from stoker import ImageFolder, IndexStats
from stoker import transforms as T
from stoker.index_command import build

# ---- images that change --------------------------------------------------------------------------


def swap_in(file: Path, content: bytes, keep_time: bool = True) -> None:
    """Puts a file of this content into its place, with its time of change or with one long ago."""
    mtime = file.stat().st_mtime_ns if keep_time else (OLD_S + 5000) * 10**9
    new = file.with_suffix(".new")
    new.write_bytes(content)
    os.utime(new, ns=(mtime, mtime))
    new.replace(file)


@functools.cache
def other_content(width: int, height: int, mode: str, options: tuple[tuple[str, Any], ...]) -> bytes:
    image = photo_like(width, height, 99).convert(mode)
    return encode(image, **{"file_format": "JPEG", "quality": 70, **dict(options)})


def other_image(file: Path, like: str = "same", behind: bool = True, **options: Any) -> bytes:
    """Another image in as many bytes as the file has."""
    with Image.open(file) as image:
        width, height = image.size
    if like == "turned":
        width, height = height, width
    elif like == "larger":
        width, height = width * 11 // 10, height * 11 // 10
    elif like == "small":
        width, height = 90, 90
    mode = "L" if like == "gray" else "RGB"
    content = other_content(width, height, mode, tuple(options.items()))
    return padded(content, file.stat().st_size, behind)


def touch(file: Path) -> None:
    os.utime(file)


def change_back(file: Path) -> None:
    os.utime(file, (OLD_S - 7, OLD_S - 7))


def truncate(file: Path) -> None:
    mtime = file.stat().st_mtime_ns
    os.truncate(file, file.stat().st_size // 2)
    os.utime(file, ns=(mtime, mtime))


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: dict[str, Callable[[Path], None]] = {
    "touched": touch,
    "another time": change_back,
    "truncated": truncate,
    "truncated, a new time": lambda file: os.truncate(file, file.stat().st_size // 2),
    "emptied": lambda file: os.truncate(file, 0),
    "deleted": os.unlink,
    "a folder now": make_folder,
    "replaced": lambda file: swap_in(file, encode(photo_like(300, 400, 98), "JPEG"), keep_time=False),
    "replaced, same size": lambda file: swap_in(file, other_image(file, behind=False), keep_time=False),
    # From here on, nothing that the index knows of the file has changed but its content.
    "another image": lambda file: swap_in(file, other_image(file)),
    "another image with a comment": lambda file: swap_in(file, other_image(file, behind=False)),
    "another sampling": lambda file: swap_in(file, other_image(file, subsampling=1)),
    "another shape": lambda file: swap_in(file, other_image(file, "turned")),
    "larger": lambda file: swap_in(file, other_image(file, "larger", quality=50)),
    "small": lambda file: swap_in(file, other_image(file, "small")),
    "gray": lambda file: swap_in(file, other_image(file, "gray")),
    "progressive": lambda file: swap_in(file, other_image(file, progressive=True)),
    "restart markers": lambda file: swap_in(file, other_image(file, restart_marker_blocks=4)),
    "a PNG": lambda file: swap_in(file, other_image(file, "small", file_format="PNG")),
    "zeros": lambda file: swap_in(file, bytes(file.stat().st_size)),
}
UNSEEN = list(CHANGES)[list(CHANGES).index("another image") :]
REJECTED = [name for name in UNSEEN if name not in ("progressive", "a PNG", "zeros")]


SMALL_CROPS = [T.RandomResizedCrop(48, scale=(0.05, 0.6)), T.RandomHorizontalFlip()]
CHANGED = (1, 6, 10)  # samples


def change_all(data: Path, change: Callable[[Path], None]) -> None:
    files = sorted(data.rglob("*.jpg"))
    for number in CHANGED:
        change(files[number])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 names of four files of which only a crop's part is read."""
    root = tmp_path_factory.mktemp("large") / "data"
    (root / "a").mkdir(parents=True)
    for number in range(4):
        content = encode(photo_like(1600, 1200, number), "JPEG", quality=90)
        assert len(content) > 600_000
        for name in range(3):
            (root / "a" / f"{number}{name}.jpg").write_bytes(content)
    leave_alone(root)
    return root


def runs(
    original: Path,
    folder: Path,
    index: Any,
    when: str,
    change: Callable[[Path], None],
    options: dict[str, Any],
) -> tuple[list[list[Any]], IndexStats]:
    """Three epochs over a copy of the data, three files of which change before, in or after one of them."""
    data = Path(shutil.copytree(original, folder))
    # In the calling thread each batch is loaded when asked for.
    workers = 2 if when == "between epochs" else 0
    loader = loader_of(
        ImageFolder(data, SMALL_CROPS), index=index, num_workers=workers, batch_size=2, **options
    )

    def now(batch: int) -> None:
        if batch == 2:
            change_all(data, change)

    outcomes = []
    for number in range(3):
        at = {"building": 0, "in mid-epoch": 1}.get(when)
        outcomes.append(epoch(loader, seed=number, between=now if number == at else None))
        if index is not None:
            written(loader)
        if number == 0 and when == "between epochs":
            change_all(data, change)
    return outcomes, loader.stats().index


def check_change(
    original: Path, tmp_path: Path, change: str, when: str, options: dict[str, Any]
) -> IndexStats:
    expected, _ = runs(original, tmp_path / "plain", None, when, CHANGES[change], options)
    got, stats = runs(original, tmp_path / "indexed", "auto", when, CHANGES[change], options)
    for a, b in zip(got, expected):
        assert same(a, b)
    assert stats.used > 0
    return stats


@pytest.mark.parametrize("when", ["building", "in mid-epoch", "between epochs"])
@pytest.mark.parametrize("change", CHANGES)
def test_files_that_change(original: Path, tmp_path: Path, own_cache: Path, change: str, when: str) -> None:
    stats = check_change(original, tmp_path, change, when, {})
    if when != "building" and change in REJECTED:
        assert stats.rejected > 0
    elif change not in REJECTED:
        assert stats.rejected == 0


@pytest.mark.parametrize("pixels", ["fast", "exact"])
@pytest.mark.parametrize("change", CHANGES)
def test_large_files_that_change(
    large: Path, tmp_path: Path, own_cache: Path, change: str, pixels: str
) -> None:
    stats = check_change(large, tmp_path, change, "in mid-epoch", {"pixels": pixels})
    # Whatever is there now, a part of it did not do. (Samples that fail are not counted.)
    assert (stats.rejected > 0) == (change in UNSEEN and change != "zeros")


def test_rejected_entries_are_reported(data: Path, own_cache: Path) -> None:
    loader = loader_of(data)
    epoch(loader)
    written(loader)
    change_all(data, CHANGES["another image"])
    epoch(loader)
    assert loader.stats().index.rejected == 3
    assert "3 entries did not fit the files and went unused" in loader.report(details=True)


def test_what_has_just_changed_gets_no_entry(data: Path, own_cache: Path, expected: list[Any]) -> None:
    files = sorted(data.rglob("*.jpg"))
    change_now(files[3])
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    assert (loader.stats().index.recorded, loader.stats().index.unknown) == (15, 1)


def test_a_changed_file_gets_a_new_entry(data: Path, own_cache: Path) -> None:
    loader = loader_of(data)
    epoch(loader)
    written(loader)
    change_all(data, CHANGES["replaced"])
    epoch(loader)
    written(loader)
    assert (loader.stats().index.used, loader.stats().index.recorded) == (13, 19)
    epoch(loader)
    assert loader.stats().index.used == 29
    (file,) = cached(own_cache)
    assert entries(file) == 19


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_damaged_files(tmp_path: Path, own_cache: Path, mode: dict[str, Any]) -> None:
    """An index, while it is built and when it is used, neither hides an error nor makes one."""
    root = tmp_path / "data"
    whole = write_photos(root / "a", 1)[0].read_bytes()
    for number in range(30):
        part = whole[: len(whole) * (number + 3) // 33]
        (root / "a" / f"cut{number}.jpg").write_bytes(part)
        garbled = bytearray(whole)
        at = 700 + (len(whole) - 800) * number // 30
        garbled[at] ^= 0x5A
        garbled[at + 2] ^= 0xFF
        (root / "a" / f"garbled{number}.jpg").write_bytes(garbled)
    leave_alone(root)
    dataset = ImageFolder(root, [T.RandomResizedCrop(32, scale=(0.01, 0.3))])
    plain = loader_of(dataset, index=None, batch_size=1, **mode)
    loader = loader_of(dataset, batch_size=1, **mode)
    failed = 0
    for seed in range(4):
        expected = epoch(plain, seed)
        assert same(epoch(loader, seed), expected)
        failed += errors(expected)
        written(loader)
    assert 0 < failed < 4 * len(dataset)
    assert loader.stats().index.used > 0


# ---- index files that change ---------------------------------------------------------------------


def garble(file: Path) -> None:
    """Every part of the file, in place."""
    content = bytearray(file.read_bytes())
    for at in range(0, len(content), 5):
        content[at] ^= 0xA5
    with open(file, "r+b") as f:
        f.write(content)


def garble_payloads(file: Path) -> None:
    """All but the headers and the directory, in place."""
    content = bytearray(file.read_bytes())
    for at in range(300, len(content) // 2, 50):
        content[at] ^= 0x01
    with open(file, "r+b") as f:
        f.write(content)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_other(file: Path) -> None:
    """An index whose names are the same, of other files."""
    other = file.parent / "other"
    write_photos(other / "a", 8, quality=50)
    write_photos(other / "b", 8, quality=50)
    leave_alone(other)
    build(other, file.parent / "other.index")
    (file.parent / "other.index").replace(file)


def write_notes(file: Path) -> None:
    file.write_text("notes\n")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "emptied": lambda file: os.truncate(file, 0),
    "cut in its header": lambda file: os.truncate(file, 20),
    "cut in half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "cut at its end": lambda file: os.truncate(file, file.stat().st_size - 1),
    "garbled": garble,
    "payloads garbled": garble_payloads,
    "deleted": os.unlink,
    "a folder now": replace_by_folder,
    "a text now": write_notes,
    "another index": replace_by_other,
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", DAMAGE)
def test_an_index_that_is_damaged_in_mid_epoch(data: Path, tmp_path: Path, damage: str, workers: int) -> None:
    path = tmp_path / "index" / "my.index"
    path.parent.mkdir()
    plain = loader_of(data, index=None)
    loader = loader_of(data, index=path, num_workers=workers)
    epoch(loader)
    written(loader)
    assert entries(path) == 16

    def now(batch: int) -> None:
        if batch == 2:
            DAMAGE[damage](path)

    assert same(epoch(loader, 1, between=now), epoch(plain, 1))
    assert loader.stats().index.used > 0
    for seed in range(2, 5):
        assert same(epoch(loader, seed), epoch(plain, seed))
        written(loader)
    assert loader.stats().index.rejected == 0


PROBLEMS = {
    "emptied": "is not a decode index",
    "garbled": "is not a decode index",
    "another index": "is the index of another folder",
}


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name not in ("a folder now", "a text now")])
def test_a_damaged_index_is_made_good(data: Path, own_cache: Path, expected: list[Any], damage: str) -> None:
    loader = loader_of(data)
    epoch(loader)
    written(loader)
    (file,) = cached(own_cache)
    DAMAGE[damage](file)
    new = loader_of(data)
    assert same(epoch(new), expected)
    if damage in PROBLEMS:  # it may be somebody else's: it is left alone
        check_problem(new, PROBLEMS[damage])
        return
    written(new)
    before = new.stats().index.used
    assert same(epoch(new), expected)
    assert (new.stats().index_problem, new.stats().index.used - before) == ("", 16)


def test_something_else_in_the_caches_place_is_left_alone(
    data: Path, own_cache: Path, expected: list[Any]
) -> None:
    loader = loader_of(data)
    epoch(loader)
    written(loader)
    (file,) = cached(own_cache)
    file.write_text("notes\n")
    new = loader_of(data)
    assert same(epoch(new), expected)
    check_problem(new, "is not a decode index")
    assert file.read_text() == "notes\n"
