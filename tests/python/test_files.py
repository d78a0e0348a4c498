"""Finding images in folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker._files import find_images, image_paths


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_is_deep_and_sorted(tmp_path: Path) -> None:
    names = ["b.png", "a/z.jpg", "a/a.JPEG", "a/deep/er/x.webp", "c/1.tiff"]
    files = [touch(tmp_path / name) for name in names]
    for other in ("notes.txt", "a/jpg", "c/1.jpg.txt"):
        touch(tmp_path / other)
    assert find_images(tmp_path) == sorted(map(str, files))
    own_files_first = ["b.png", "a.JPEG", "z.jpg", "x.webp", "1.tiff"]
    assert [Path(os.fsdecode(p)).name for p in image_paths(tmp_path)] == own_files_first


def test_follows_links_to_folders(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    assert find_images(tmp_path / "data") == [str(tmp_path / "data" / "link" / "a.jpg")]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.jpg")
    Path(os.fsdecode(name)).touch()
    assert list(image_paths(tmp_path)) == [name]


def test_no_images(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"no images below .*by name: \.jpg"):
        find_images(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"notes\.txt is not a folder"):
        find_images(tmp_path / "notes.txt")
