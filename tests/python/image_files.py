"""Writers of image files in variants that Pillow does not write: TIFF, BMP and PNG, part by part."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]
TIFF_TYPES = {"B": 1, "H": 3, "I": 4, "Q": 16}
WIDTH, HEIGHT = 37, 23


def picture(channels: int = 3, dtype: Any = np.uint8, seed: int = 3) -> Array:
    """A smooth picture with noise, (HEIGHT, WIDTH, channels), or without the last axis for one channel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    top = np.iinfo(dtype).max
    planes = [(x * (c + 2) + y * (5 - c)) % 97 / 97 * top * 0.8 for c in range(channels)]
    noisy = np.stack(planes, -1) + rng.integers(0, top // 8 + 1, (HEIGHT, WIDTH, channels))
    made: Array = np.clip(noisy, 0, top).astype(dtype)
    return made[..., 0] if channels == 1 else made


def packed(samples: Array, bits: int) -> bytes:
    """Rows of samples of ``bits``, each row padded to a whole byte, most significant bits first."""
    spread = (samples[..., None].astype(np.uint8) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    return np.packbits(spread.reshape(len(samples), -1), axis=1).tobytes()


def saved(image: Any, kind: str, **options: Any) -> bytes:
    """What Pillow writes of an image or array."""
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def tiff(
    parts: Sequence[bytes],
    tags: Mapping[int, tuple[str, Sequence[int]]],
    order: str = "<",
    big: bool = False,
    tiled: bool = False,
    twice: Sequence[tuple[int, tuple[str, Sequence[int]]]] = (),
) -> bytes:
    """A TIFF (TIFF 6.0; BigTIFF) of strips or tiles.

    Args:
        tags: of each its type (a letter of struct) and values; where the parts are is added.
        twice: tags that are added although they may be there.
    """
    offset, count = ("Q", 20) if big else ("I", 12)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    places, sizes = (324, 325) if tiled else (273, 279)
    known = {**tags, places: ("I", [0] * len(parts)), sizes: ("I", [len(part) for part in parts])}
    entries = sorted([*known.items(), *twice])
    behind = len(head) + (8 if big else 2) + count * len(entries) + (8 if big else 4)
    room = 8 if big else 4
    outside = b"".join(
        struct.pack(f"{order}{len(v)}{t}", *v) for _, (t, v) in entries if struct.calcsize(t) * len(v) > room
    )
    data_at = behind + len(outside)
    begins = [data_at + sum(map(len, parts[:i])) for i in range(len(parts))]
    body, at = struct.pack(order + ("Q" if big else "H"), len(entries)), behind
    for tag, (kind, given) in entries:
        values = begins if tag == places else given
        raw = struct.pack(f"{order}{len(values)}{kind}", *values)
        body += struct.pack(f"{order}HH{offset}", tag, TIFF_TYPES[kind], len(values))
        if len(raw) > room:
            body += struct.pack(order + offset, at)
            at += len(raw)
        else:
            body += raw.ljust(room, b"\0")
    # The places of the parts stand in `outside` with their right values only now.
    outside = b"".join(
        struct.pack(f"{order}{len(v)}{t}", *(begins if tag == places else v))
        for tag, (t, v) in entries
        if struct.calcsize(t) * len(v) > room
    )
    return head + body + bytes(room) + outside + b"".join(parts)


def tiff_of(
    array: Array,
    photometric: int,
    order: str = "<",
    compression: int = 1,
    rows: int = 0,
    tile: tuple[int, int] | None = None,
    planar: bool = False,
    extra: Sequence[int] | None = None,
    tags: Mapping[int, tuple[str, Sequence[int]]] | None = None,
    **options: Any,
) -> bytes:
    """A TIFF of an array of 8 or 16 bits, (height, width) or (height, width, samples)."""
    samples = 1 if array.ndim == 2 else array.shape[2]
    stored = array.reshape(*array.shape[:2], samples).astype(array.dtype.newbyteorder(order))
    planes = [stored[..., [s]] for s in range(samples)] if planar else [stored]
    height, width = array.shape[:2]
    chunks: list[Array] = []
    for plane in planes:
        if tile is not None:
            down, across = -(-height // tile[0]), -(-width // tile[1])
            wide = np.zeros((down * tile[0], across * tile[1], plane.shape[2]), plane.dtype)
            wide[:height, :width] = plane
            chunks += [
                wide[y * tile[0] : (y + 1) * tile[0], x * tile[1] : (x + 1) * tile[1]]
                for y in range(down)
                for x in range(across)
            ]
        else:
            step = rows or height
            chunks += [plane[y : y + step] for y in range(0, height, step)]
    parts = [chunk.tobytes() for chunk in chunks]
    if compression in (8, 32946):
        parts = [zlib.compress(part) for part in parts]
    every: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [array.dtype.itemsize * 8] * samples),
        259: ("H", [compression]),
        262: ("H", [photometric]),
        277: ("H", [samples]),
        284: ("H", [2 if planar else 1]),
    }
    if tile is None:
        every[278] = ("I", [rows or height])
    else:
        every.update({322: ("I", [tile[1]]), 323: ("I", [tile[0]])})
    if extra is not None:
        every[338] = ("H", list(extra))
    return tiff(parts, {**every, **(tags or {})}, order, tiled=tile is not None, **options)


def tiff_packed(samples: Array, bits: int, photometric: int, **more: tuple[str, Sequence[int]]) -> bytes:
    """A TIFF of one sample of 1, 2, 4 or 8 bits a pixel; ``more``: tags, as ``t320=("H", …)``."""
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", [samples.shape[1]]),
        257: ("I", [samples.shape[0]]),
        258: ("H", [bits]),
        259: ("H", [1]),
        262: ("H", [photometric]),
        277: ("H", [1]),
        278: ("I", [samples.shape[0]]),
    }
    return tiff([packed(samples, bits)], {**tags, **{int(name[1:]): tag for name, tag in more.items()}})


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    samples: Array, bits: int, color_type: int, before: Sequence[bytes] = (), behind: Sequence[bytes] = ()
) -> bytes:
    """A PNG of samples (height, width[, channels]), with chunks before and behind its pixels."""
    height, width = samples.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in samples]
    elif bits == 8:
        rows = [row.tobytes() for row in samples]
    else:
        raw = packed(samples, bits)
        rows = [raw[y * len(raw) // height : (y + 1) * len(raw) // height] for y in range(height)]
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", head), *before, png_chunk(b"IDAT", data), *behind, png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bmp(
    rows: Sequence[bytes] | bytes,
    size: tuple[int, int],
    bits: int,
    compression: int = 0,
    palette: bytes = b"",
    colors: int = 0,
    masks: Sequence[int] = (),
    header: int = 40,
) -> bytes:
    """A BMP from rows (top to bottom, without padding), or from data as they stand in the file."""
    width, height = size
    data = rows if isinstance(rows, bytes) else b"".join(row + bytes(-len(row) % 4) for row in rows[::-1])
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, 0, 0, 0, colors, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    info = info.ljust(header, b"\0")
    begin = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", begin + len(data), 0, 0, begin) + info + palette + data
