"""Indexes that somebody else has written, with right checksums: they never change a pixel."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import pytest
from index_helpers import cached, counts, epoch, loader_of, report, run, same, written
from test_index_format import hash64, siphash

from stoker.index import FILE_NAME, key_file

HEADER, RECORD = 64, 32


def records_of(index: bytearray) -> list[tuple[int, int, int, int]]:
    """(record, payload, payload's length, block), as places in the file."""
    found = []
    at = struct.unpack_from("<Q", index, 16)[0]
    while at < len(index):
        length, _, count, _, directory = struct.unpack_from("<QQIIQ", index, at + 8)
        for n in range(count):
            record = at + directory + RECORD * n
            begin, size = struct.unpack_from("<II", index, record + 24)
            found.append((record, at + begin, size, at))
        at += length
    return found


def tag(index: bytearray, key: bytes, record: int, payload: int, size: int) -> None:
    """Puts the right tag by ``key`` behind a payload."""
    message = bytes(index[record : record + RECORD] + index[payload : payload + size])
    struct.pack_into("<Q", index, payload + size, siphash(key, message))


def change_bits(index: bytearray, payload: int, size: int, chance: random.Random) -> None:
    """One of the packed differences' bits: of positions and DC values of all checkpoints from there on."""
    if size > 24:
        at = chance.randrange(24, size)
        index[payload + at] ^= 1 << chance.randrange(8)


@pytest.fixture
def honest(data: Path, own_cache: Path) -> bytearray:
    assert run(data).status == 0
    return bytearray((data / FILE_NAME).read_bytes())


@pytest.mark.parametrize("key", [bytes(16), b"\xff" * 16, b"somebody else's!"])
@pytest.mark.parametrize("change", ["none", "bits", "swapped"])
def test_anothers_entries_change_no_pixel(
    data: Path, own_cache: Path, honest: bytearray, expected: list[Any], key: bytes, change: str
) -> None:
    chance = random.Random(change)
    found = records_of(honest)
    payloads = [bytes(honest[p : p + size]) for _, p, size, _ in found]
    for n, (record, payload, size, _) in enumerate(found):
        if change == "swapped":
            other = payloads[(n + 1) % len(found)]
            honest[payload : payload + size] = other[:size].ljust(size, b"\0")
        elif change == "bits":
            change_bits(honest, payload, size, chance)
        tag(honest, key, record, payload, size)
    (data / FILE_NAME).write_bytes(honest)
    loader = loader_of(data)
    assert "covers 0% of the samples" in str(loader.plan())
    assert same(epoch(loader), expected)
    assert loader.stats().index.used == loader.stats().index.rejected == 0
    written(loader)
    assert len(cached(own_cache)) == 1
    again = loader_of(data)
    assert same(epoch(again), expected)
    assert again.stats().index.used > 0  # by the loader's own


def test_ones_own_entries_count_and_none_without_the_key(
    data: Path, own_cache: Path, honest: bytearray, expected: list[Any]
) -> None:
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    assert loader.stats().index.used > 0
    key = key_file().read_bytes()
    assert (len(key), key_file().stat().st_mode & 0o777) == (16, 0o600)
    for n, (record, payload, size, _) in enumerate(records_of(honest)):
        if n % 2:
            tag(honest, key, record, payload, size)  # as it is already
        else:
            honest[payload + size] ^= 1
    (data / FILE_NAME).write_bytes(honest)
    found = counts(report(data, "--verify"))
    assert found["others"] > 0
    assert "wrong" not in found
    assert "stoker index DIR makes them anew" in run(data, "--verify").out
    assert "stoker index DIR makes them anew" in run(data, "--info").out
    assert report(data)["checkpoints"] > 0
    assert "others" not in counts(report(data, "--verify"))


def test_a_key_that_others_can_read_is_not_used(data: Path, own_cache: Path, expected: list[Any]) -> None:
    assert run(data).status == 0
    key_file().chmod(0o644)
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    assert loader.stats().index.used == 0
    assert "others than this user can read" in loader.stats().index_problem
    assert "others than this user can read" in run(data, "--out", data / "x.index").err
    key_file().unlink()
    assert report(data)["known"] == 0  # of another key: made anew


@pytest.mark.parametrize("content", [b"", b"half a ke", bytes(17)])
def test_half_a_key_is_made_anew(data: Path, own_cache: Path, content: bytes) -> None:
    key_file().parent.mkdir(parents=True)
    key_file().write_bytes(content)
    key_file().chmod(0o600)
    assert run(data).status == 0
    assert len(key_file().read_bytes()) == 16
    assert [p.name for p in key_file().parent.iterdir()] == ["index.key"]
    assert report(data)["known"] > 0


def test_an_index_of_the_first_version_is_made_anew(
    data: Path, own_cache: Path, honest: bytearray, expected: list[Any]
) -> None:
    struct.pack_into("<I", honest, 8, 1)
    root = bytes(honest[64 : 64 + struct.unpack_from("<I", honest, 12)[0]])
    struct.pack_into("<Q", honest, 56, hash64(root, hash64(bytes(honest[:56]))))
    (data / FILE_NAME).write_bytes(honest)
    loader = loader_of(data)
    assert same(epoch(loader), expected)
    assert loader.stats().index.used == 0
    assert "older version" in run(data, "--info").err
    assert report(data)["known"] == 0
    assert (data / FILE_NAME).read_bytes()[8] == 2
