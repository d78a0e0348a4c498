"""A decode index read by nothing but what docs/decode-index.md says of its bytes."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import encode, photo_like

from stoker import index_command
from stoker.index import key_file

PRIME = 0x9E3779B97F4A7C15
WORD = (1 << 64) - 1


def hash64(data: bytes, seed: int = 0) -> int:
    """The document's hash."""
    h = seed ^ (len(data) * PRIME & WORD)
    for i in range(0, len(data), 8):
        (w,) = struct.unpack("<Q", data[i : i + 8].ljust(8, b"\0"))
        h = (h ^ w) * PRIME & WORD
        h ^= h >> 32
    return h


def siphash(key: bytes, message: bytes) -> int:
    """SipHash-2-4."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & WORD

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & WORD
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & WORD
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & WORD
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & WORD
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 255])
    for (w,) in struct.iter_unpack("<Q", padded):
        v[3] ^= w
        rounds(2)
        v[0] ^= w
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@dataclass
class Entry:
    size: int
    mtime_ns: int
    payload: bytes


def read_index(data: bytes) -> tuple[bytes, dict[int, Entry]]:
    """The root, and the last entry of each name. The key is this user's."""
    key = key_file().read_bytes()
    magic, version, root_bytes, first = struct.unpack_from("<8sIIQ", data)
    assert (magic, version) == (b"STOKRIDX", 2)
    root = data[64 : 64 + root_bytes]
    assert data[24:56] == bytes(32)
    assert struct.unpack_from("<Q", data, 56)[0] == hash64(root, hash64(data[:56]))
    assert first == (64 + root_bytes + 63) // 64 * 64
    entries: dict[int, Entry] = {}
    at = first
    while at < len(data):
        block = data[at:]
        magic, length, offset, count, bits, directory = struct.unpack_from("<8sQQIIQ", block)
        assert (magic, offset) == (b"STOKRBLK", at)
        assert length % 64 == 0
        assert directory % 8 == 0
        assert 1 <= bits <= 24
        assert struct.unpack_from("<Q", block, 56)[0] == hash64(block[:56])
        names = []
        for n in range(count):
            record = block[directory + 32 * n : directory + 32 * (n + 1)]
            name, size, mtime_ns, begin, payload_bytes = struct.unpack("<QQqII", record)
            payload = block[begin : begin + payload_bytes]
            (tag,) = struct.unpack_from("<Q", block, begin + payload_bytes)
            assert tag == siphash(key, record + payload)
            assert payload_bytes <= 64 + size / 16
            names.append(name)
            entries[name] = Entry(size, mtime_ns, payload)
        assert names == sorted(names)
        buckets = struct.unpack_from(f"<{2**bits + 1}I", block, directory + 32 * count)
        assert list(buckets) == [sum(name >> (64 - bits) < i for name in names) for i in range(2**bits + 1)]
        at += length
    return root, entries


@dataclass
class Image:
    orientation: int
    components: int
    sampling: tuple[int, int]
    size: tuple[int, int]
    scan_begin: int
    step: int
    checkpoints: list[tuple[int, list[int]]]  # bit, DC values


def read_payload(payload: bytes) -> Image:
    kind, orientation, components, sampling, width, height, scan, step, p = struct.unpack_from(
        "<BBBBIIIHB", payload
    )
    assert kind == 1
    q = payload[19:22]
    image = Image(orientation, components, (sampling >> 4, sampling & 15), (width, height), scan, step, [])
    if components == 0:
        assert payload[3:4] + payload[12:] == bytes(13)
        return image
    across = -(-width // (8 * image.sampling[0]))
    down = -(-height // (8 * image.sampling[1]))
    count = -(-across * down // step)
    stream = int.from_bytes(payload[24:], "little")
    assert len(payload) == 24 + (count * (p + sum(q)) + 7) // 8
    bit, dc = 0, [0, 0, 0]

    def take(bits: int) -> int:
        nonlocal stream
        value = stream & ((1 << bits) - 1)
        stream >>= bits
        return value

    for _ in range(count):
        bit += take(p)
        for c in range(3):
            difference = take(q[c])
            dc[c] += difference - (1 << q[c]) if q[c] and difference >> (q[c] - 1) else difference
        image.checkpoints.append((bit, list(dc)))
    assert stream == 0
    return image


def scan_bytes(jpeg: bytes) -> tuple[int, int]:
    """Where the entropy-coded data begin, and where they end."""
    at = 2
    while jpeg[at + 1] != 0xDA:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    begin = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return begin, jpeg.rindex(b"\xff\xd9")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of JPEGs of three kinds and a PNG, with the index that `stoker index` makes."""
    root = tmp_path_factory.mktemp("indexed")
    for n in range(12):
        image = photo_like(301 + 20 * n, 259, seed=n)
        kind = {"subsampling": n % 3} if n < 10 else {"progressive": True}
        file = root / f"class{n % 2}" / f"{n}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encode(image, "JPEG", quality=90, **kind))
        os.utime(file, ns=(10**18, 10**18 + n))
    photo_like(200, 100).save(root / "class0" / "a.png")
    os.utime(root / "class0" / "a.png", ns=(10**18, 10**18))
    index_command.build(root)
    return root


def test_every_byte_is_as_the_document_says(indexed: Path) -> None:
    root, entries = read_index((indexed / "stoker.index").read_bytes())
    assert root == b""
    files = sorted(p for p in indexed.rglob("*") if p.suffix in (".jpg", ".png"))
    assert len(entries) == len(files) == 13
    for file in files:
        entry = entries[hash64(os.fsencode(file.relative_to(indexed)))]
        assert (entry.size, entry.mtime_ns) == (file.stat().st_size, file.stat().st_mtime_ns)
        image = read_payload(entry.payload)
        assert image.orientation == 1
        if file.suffix == ".png" or int(file.stem) >= 10:
            assert image.components == 0
            assert (image.size == (0, 0)) == (file.suffix == ".png")
            continue
        n = int(file.stem)
        jpeg = file.read_bytes()
        begin, end = scan_bytes(jpeg)
        assert image.size == (301 + 20 * n, 259)
        assert image.components == 3
        assert image.sampling == [(1, 1), (2, 1), (2, 2)][n % 3]
        assert image.scan_begin == begin
        bits = [bit for bit, _ in image.checkpoints]
        assert bits == sorted(set(bits))
        # The data end within the byte before the end-of-image marker (or its stuffed zero).
        assert (end - begin) * 8 - 16 < bits[-1] <= (end - begin) * 8
        assert len(entry.payload) <= 0.0098 * entry.size


def test_a_new_block_is_added_behind_the_others(indexed: Path) -> None:
    before = (indexed / "stoker.index").read_bytes()
    file = indexed / "class1" / "new.jpg"
    file.write_bytes(encode(photo_like(400, 300, seed=99), "JPEG", quality=90))
    os.utime(file, ns=(10**18, 10**18))
    assert index_command.build(indexed).checkpoints == 1
    after = (indexed / "stoker.index").read_bytes()
    assert after.startswith(before)
    assert len(after) > len(before)
    assert hash64(b"class1/new.jpg") in read_index(after)[1]
