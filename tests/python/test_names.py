"""Names and texts from outside: with escapes for people, as they are for programs."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch.utils.data as torch_data
from hypothesis import given
from hypothesis import strategies as st
from index_helpers import run
from PIL import Image

import stoker
from stoker import DataError, DataLoader, ImageFolder, ImageList
from stoker import transforms as T
from stoker._printable import html_text, json_printable, name_of, printable, printable_name
from stoker.errors import DataError as Raised

NAMES = [
    b"new\nline", b"esc\x1b[31m", b"\xff\xfebytes", b"back\\slash", b"quotes'\"", b"%s%d{x}",
    b"[red]markup", b"<b>&amp;", "over\u202eride".encode(), "zero\u200bwidth".encode(),
    b"\xc2\x9b31m", b"tab\tr\r", "\u00fcml\u00e4ut \u96ea".encode(), b"\xed\xa0\x80", b"x" * 251,
    b"\\x1b", b"\xe2\x80", b"\x7f",
]  # fmt: skip


def is_printable(text: str) -> bool:
    text.encode()  # no surrogate
    odd = [
        c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066\u200b"
    ]
    return odd in ([], ["\n"] * len(odd))


@pytest.fixture
def odd_files(tmp_path: Path) -> list[bytes]:
    """Files that are no images, of all those names."""
    folder = os.fsencode(tmp_path) + b"/odd\x1b\xff"
    os.mkdir(folder)
    paths = [os.path.join(folder, name + b".jpg") for name in NAMES]
    for path in paths:
        with open(path, "wb") as file:
            file.write(b"no image")
    return paths


@given(st.text() | st.binary().map(os.fsdecode))
def test_a_printed_name_is_printable_and_leads_back(name: str) -> None:
    shown = printable_name(name)
    assert is_printable(shown)
    assert "\n" not in shown
    assert name_of(shown) == name
    assert is_printable(printable(name))
    assert is_printable(html_text(name))


@given(st.binary().map(os.fsdecode))
def test_json_is_utf8_and_leads_back(name: str) -> None:
    line = json_printable(json.dumps({"path": name}, ensure_ascii=False))
    assert is_printable(line)
    assert json.loads(line.encode()) == {"path": name}


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("train/n02/a b.JPEG", "\u00fcml\u00e4ut/\u96ea.png", "a'b\"c%[x]"):
        assert printable(name) == printable_name(name) == name


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_errors_print_and_open(odd_files: list[bytes], native: bool, workers: int) -> None:
    images = ImageList([os.fsdecode(p) for p in odd_files], [0] * len(odd_files), [T.CenterCrop(8)])
    dataset: Any = images if native else torch_data.Subset(_Wrapped(images), range(len(images)))
    loader = DataLoader(dataset, 1, num_workers=workers, index=None)
    assert loader.native == native
    iterator = iter(loader)
    for path in odd_files:
        with pytest.raises(DataError) as raised:
            next(iterator)
        assert is_printable(str(raised.value))
        assert os.fsencode(raised.value.path) == path
        assert Path(raised.value.path).read_bytes() == b"no image"


class _Wrapped(torch_data.Dataset[Any]):
    def __init__(self, images: ImageList) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index]


@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_manifests_are_utf8_and_lead_back(odd_files: list[bytes], tmp_path: Path, on_error: Any) -> None:
    good = tmp_path / "good.png"
    Image.new("RGB", (16, 16)).save(good)
    paths = [*map(os.fsdecode, odd_files), str(good)]
    manifest = tmp_path / "bad.jsonl"
    loader = DataLoader(
        ImageList(paths, [0] * len(paths), [T.CenterCrop(8)]), 4, num_workers=1, index=None,
        on_error=on_error, error_manifest=manifest,
    )  # fmt: skip
    list(loader)
    lines = manifest.read_bytes().decode().splitlines()
    assert all(map(is_printable, lines))
    assert {os.fsencode(json.loads(line)["path"]) for line in lines} == set(odd_files)
    assert {os.fsencode(bad.path) for bad in loader.errors} == set(odd_files)


REASONS = ["a lone \udfff", "\ud800", "esc \x1b[2J", "two\nlines", "\u202e", "nul \0"]


class _Raises(torch_data.Dataset[int]):
    def __len__(self) -> int:
        return len(REASONS) + 2

    def __getitem__(self, index: int) -> int:
        if index < len(REASONS):
            raise ValueError(REASONS[index])
        if index == len(REASONS):
            raise _NoTextError
        return index


class _NoTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("workers", [0, 1])
def test_odd_reasons_cost_their_sample_only(tmp_path: Path, workers: int) -> None:
    manifest = tmp_path / "bad.jsonl"
    loader = DataLoader(_Raises(), 2, num_workers=workers, on_error="skip", error_manifest=manifest)
    assert [batch.tolist() for batch in loader] == [[len(REASONS) + 1]]
    lines = manifest.read_bytes().decode().splitlines()
    assert len(lines) == len(REASONS) + 1
    assert all(map(is_printable, lines))
    for line, reason in zip(lines, REASONS):
        assert reason in json.loads(line)["reason"]


@pytest.fixture
def odd_folder(tmp_path: Path) -> bytes:
    """An ImageFolder whose own name, classes and files have such names; all but one are images."""
    root = os.fsencode(tmp_path) + b"/root\x1b]0;\xff\n[red]<b>"
    for name in NAMES[:-4]:
        os.makedirs(os.path.join(root, name))
        with open(os.path.join(root, name, name[:200] + b".png"), "wb") as file:
            Image.new("RGB", (40, 40)).save(file, "PNG")
    with open(os.path.join(root, NAMES[1], b"\x1b\xff.png"), "wb") as file:
        file.write(b"no image")
    return root


def test_plan_report_and_page_are_printable(odd_folder: bytes, tmp_path: Path) -> None:
    dataset = ImageFolder(os.fsdecode(odd_folder), [T.CenterCrop(8)])
    loader = DataLoader(dataset, 4, num_workers=1, on_error="skip")
    list(loader)
    page, lines, trace = tmp_path / "r.html", tmp_path / "s.jsonl", tmp_path / "t.json"
    loader.save_report(page)
    loader.save_trace(trace)
    assert is_printable(str(loader.plan()))
    assert is_printable(loader.report())
    html = page.read_bytes().decode()
    assert is_printable(html)
    assert "[red]<b>" not in html
    for slow in loader.stats().slowest:
        assert os.path.exists(slow.path)
    assert "\n" not in repr(dataset)
    json.loads(trace.read_bytes())
    assert not lines.exists()


def test_index_command_is_printable(odd_folder: bytes) -> None:
    folder = os.fsdecode(odd_folder)
    for options in ([], ["--info"], ["--verify"]):
        done = run(folder, *options)
        assert is_printable(done.out)
        assert is_printable(done.err)
        assert "\\xff" in done.out + done.err
    done = run(folder + "/missing\x1b")
    assert done.status == 1
    assert is_printable(done.err)


def test_an_index_file_of_such_a_name(odd_folder: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder") as raised:
        DataLoader(ImageFolder(os.fsdecode(odd_folder), [T.CenterCrop(8)]), 4, index=os.fsdecode(odd_folder))
    assert is_printable(str(raised.value))
    file = os.fsdecode(os.fsencode(tmp_path) + b"/no such\xff/x")
    loader = DataLoader(
        ImageFolder(os.fsdecode(odd_folder), [T.CenterCrop(8)]), 4, index=file, on_error="skip"
    )
    list(loader)
    assert is_printable(str(loader.plan()))


def test_prometheus_is_utf8() -> None:
    loader = DataLoader(_Raises(), 1, sampler=[len(REASONS) + 1])
    list(loader)
    text = (
        stoker.to_prometheus({'a\x1b\udcff\\"\n': loader.stats()}) if hasattr(stoker, "to_prometheus") else ""
    )
    assert is_printable(text)


def test_decode_names_its_file(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\x1b\xff.jpg")
    with pytest.raises(DataError) as raised:
        stoker.decode(path)
    assert is_printable(str(raised.value))
    assert raised.value.path == path


def test_an_error_made_of_its_text_has_its_path() -> None:
    error = Raised(3, "a\x1b\\x(1): \udcff", "decode", "why\n\udfff")
    again = Raised(f"Caught in worker\n{error}")
    assert (again.index, again.path, again.stage) == (error.index, error.path, error.stage)
    assert is_printable(str(again))
