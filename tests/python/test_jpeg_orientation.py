"""JPEGs are turned upright as Pillow's ImageOps.exif_transpose turns them, however odd their headers are."""

from __future__ import annotations

import io
import random
import struct
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import photo_like
from PIL import Image, ImageOps

import stoker

EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
ORIENTATION = 0x0112
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q"}


def jpeg_file(**options: Any) -> bytes:
    """Small, wider than high, and no two corners alike."""
    file = io.BytesIO()
    photo_like(13, 7).save(file, "JPEG", quality=95, subsampling=0, **options)
    return file.getvalue()


def pillow(data: bytes) -> np.ndarray[Any, Any] | None:
    """What Pillow makes of it; None where it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        except Exception:  # of a dozen kinds
            return None


def ours(data: bytes) -> np.ndarray[Any, Any] | None:
    try:
        return np.ascontiguousarray(stoker.decode(data).permute(1, 2, 0).numpy())
    except stoker.DataError:
        return None


def same(a: np.ndarray[Any, Any] | None, b: np.ndarray[Any, Any] | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and bool((a == b).all())


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def number(order: str, kind: int, value: int) -> bytes:
    """One value of a TIFF type."""
    if kind in (5, 10):
        return struct.pack(order + "II", 2 * value, 2)
    formats = {
        1: "B",
        2: "B",
        3: "H",
        4: "I",
        6: "b",
        7: "B",
        8: "h",
        9: "i",
        11: "f",
        12: "d",
        13: "I",
        16: "Q",
    }
    return struct.pack(order + formats[kind], value)


def tiff(order: str, entries: list[tuple[int, int, int, bytes]], magic: bytes) -> bytes:
    """A TIFF structure; an entry's value longer than four bytes stands behind the directory."""
    out = magic + struct.pack(order + "IH", 8, len(entries))
    far = b""
    for tag, kind, count, value in entries:
        out += struct.pack(order + "HHI", tag, kind, count)
        if len(value) > 4:
            out += struct.pack(order + "I", 8 + 2 + 12 * len(entries) + 4 + len(far))
            far += value
        else:
            out += value.ljust(4, b"\0")
    return out + bytes(4) + far


def plain(order: str, kind: int, value: int) -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return tiff(order, [(ORIENTATION, kind, 1, number(order, kind, value))], magic)


# ---- one by one ----------------------------------------------------------------------------------

NAMED = {
    "little-endian, SHORT": segment(0xE1, EXIF + plain("<", 3, 6)),
    "big-endian, SHORT": segment(0xE1, EXIF + plain(">", 3, 6)),
    "big-endian, LONG": segment(0xE1, EXIF + plain(">", 4, 6)),
    "the prefix twice": segment(0xE1, EXIF + EXIF + plain("<", 3, 6)),
    "behind stray bytes": b"\1\2\3" + segment(0xE1, EXIF + plain("<", 3, 6)),
    "behind FF 00": b"\xff\0" + segment(0xE1, EXIF + plain("<", 3, 6)),
    "behind fill bytes": b"\xff\xff" + segment(0xE1, EXIF + plain("<", 3, 6)),
    "behind a restart marker": b"\xff\xd0" + segment(0xE1, EXIF + plain("<", 3, 6)),
    "magic number swapped": segment(0xE1, EXIF + b"MM*\0" + plain(">", 3, 6)[4:]),
    "in two segments": segment(0xE1, EXIF + plain(">", 3, 6)[:15])
    + segment(0xE1, EXIF + plain(">", 3, 6)[15:]),
    "XMP": segment(0xE1, XMP + b'<a tiff:Orientation="6">'),
    "XMP, EXIF without the tag": segment(0xE1, EXIF + tiff("<", [], b"II*\0"))
    + segment(0xE1, XMP + b"<tiff:Orientation>6<"),
}


@pytest.mark.parametrize("name", NAMED)
def test_orientation_is_found(name: str) -> None:
    jpeg = jpeg_file()
    data = jpeg[:20] + NAMED[name] + jpeg[20:]  # behind APP0
    image = ours(data)
    assert image is not None
    assert image.shape == (13, 7, 3)
    assert same(image, pillow(data))


# ---- many at random ------------------------------------------------------------------------------


def random_entry(rng: random.Random, order: str) -> tuple[int, int, int, bytes]:
    tag = rng.choice([ORIENTATION, ORIENTATION, 0x010F, 0x011A, 0x0128, rng.randrange(65536)])
    kind = rng.choice([3, 3, 4, *TYPE_BYTES, rng.randrange(20)])
    count = rng.choice([1, 1, 1, 1, 0, 2, 3, 2**32 - 1])
    if kind not in TYPE_BYTES:
        return tag, kind, count, bytes(4)
    values = [number(order, kind, rng.choice([6, 8, 3, rng.randrange(10)])) for _ in range(min(count, 5))]
    value = b"".join(values)
    if rng.random() < 0.1:  # at an offset of no value
        value, count = struct.pack(order + "I", rng.randrange(300)), 40
    return tag, kind, count, value


def random_exif(rng: random.Random) -> bytes:
    order = rng.choice("<>")
    usual = [b"II*\0", b"II\0*"] if order == "<" else [b"MM\0*", b"MM*\0"]
    magic = rng.choice([*usual * 4, b"II+\0", b"MM\0+", b"IM*\0", b"II**"])
    block = tiff(order, [random_entry(rng, order) for _ in range(rng.randrange(5))], magic)
    if rng.random() < 0.2:
        block = block[: rng.randrange(len(block) + 1)]
    return EXIF * rng.choice([0, 0, 0, 0, 1, 2]) + block


def random_segments(rng: random.Random) -> bytes:
    choice = rng.randrange(10)
    if choice < 5:
        exif = random_exif(rng)
        cut = rng.choice([len(exif), rng.randrange(len(exif) + 1)])
        out = segment(0xE1, EXIF + exif[:cut])
        return out if cut == len(exif) else out + segment(0xE1, EXIF + exif[cut:])
    if choice < 7:
        text = rng.choice([b'tiff:Orientation="%d"', b"tiff:Orientation>%d<", b"tiff:Orientation='%d'"])
        return segment(0xE1, XMP + text % rng.randrange(10))
    strays = [
        b"\1\2\3",
        b"\0",
        b"\xff",
        b"\xff\0",
        b"\xff\xd5",
        b"\xff\xfe\0\0",
        b"\xff\xe1\0\1",
        b"\xff\x01",
    ]
    return rng.choice([*strays, segment(rng.randrange(0xE2, 0xF0), b"abcdef"), segment(0xFE, b"text")])


def random_file(rng: random.Random, jpeg: bytes) -> bytes:
    # Before APP0 or behind it.
    out = jpeg
    for at in (20, 2):
        more = b"".join(random_segments(rng) for _ in range(rng.randrange(3)))
        out = out[:at] + more + out[at:]
    if rng.random() < 0.3:
        at = rng.randrange(2, 120)
        out = out[:at] + bytes([rng.randrange(256)]) + out[at + rng.randrange(2) :]
    return out


@pytest.mark.parametrize("seed", range(4))
def test_odd_headers_give_what_pillow_gives(seed: int) -> None:
    rng = random.Random(seed)
    # Pillow reads EXIF when it opens a file that has no resolution, and later where it has one.
    files = [jpeg_file(), jpeg_file(dpi=(72, 72))]
    turned = refused = 0
    for n in range(1500):
        data = random_file(rng, rng.choice(files))
        want, got = pillow(data), ours(data)
        if want is None:  # ours is an error, or the picture, whichever way up
            refused += 1
            continue
        assert same(got, want), f"file {n}: {data[:-300]!r}"
        turned += want.shape == (13, 7, 3)
    assert turned > 60
    assert refused < 600
