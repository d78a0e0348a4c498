"""Small pictures of the slowest samples, for the HTML report.

A report never fails for want of them: a file that is gone, too large or no image has none.
"""

from __future__ import annotations

import os
import stat
import struct
import time
import zlib

import torch

from ..stats.records import LoaderStats

MOST = 10
MOST_BYTES = 32_000_000  # of a file
MOST_PIXELS = 50_000_000  # of an image
MOST_S = 2.0  # for all of them; none is begun later
SIDE, LONGEST = 64, 128  # of a picture: its short side, and the long one at most


def thumbnails_of(stats: LoaderStats) -> dict[str, bytes]:
    """Path → PNG file, of those slowest samples that have a path."""
    found: dict[str, bytes] = {}
    until = time.monotonic() + MOST_S
    for sample in stats.slowest[:MOST]:
        if time.monotonic() > until:
            break
        if sample.path and sample.path not in found:
            try:
                found[sample.path] = _thumbnail(sample.path)
            except Exception:  # whatever is wrong with the file
                continue
    return found


def _thumbnail(path: str) -> bytes:
    from ..datasets import ImageList
    from ..transforms import Resize

    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
        raise ValueError(path)
    image, _ = ImageList([path], [0], Resize(SIDE, max_size=LONGEST), max_pixels=MOST_PIXELS)[0]
    return png(image)


def png(image_chw: torch.Tensor) -> bytes:
    """A uint8 image (3, height, width) as a PNG file."""
    height, width = image_chw.shape[1:]
    rows = image_chw.permute(1, 2, 0).reshape(height, 3 * width).contiguous()
    raw = b"".join(b"\0" + bytes(row.tolist()) for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(raw, 9)),
            chunk(b"IEND", b""),
        )
    )
