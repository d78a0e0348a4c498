"""Small files that ask for much memory: each is refused or decoded within what its declared size explains."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from conftest import RunScript
from image_files import bmp, picture, png, png_chunk, saved, tiff, tiff_of
from PIL import Image

MB = 1 << 20
RGB = picture(3)
HUGE = 65_500
Tags = dict[int, tuple[str, list[int]]]


def png_of(width: int, height: int, data: bytes = b"", interlaced: bool = False) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def tags_of(width: int, height: int, **more: tuple[str, list[int]]) -> Tags:
    base: Tags = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [8, 8, 8]), 259: ("H", [1]), 262: ("H", [2]),
        277: ("H", [3]), 284: ("H", [1]),
    }  # fmt: skip
    return {**base, **{int(name[1:]): tag for name, tag in more.items()}}


def two_directories() -> bytes:
    """A small picture, and behind it a directory of a huge one, chained to itself."""
    first = tiff_of(RGB, 2)
    count = struct.unpack_from("<H", first, 8)[0]
    behind = 10 + 12 * count
    second = len(first)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, HUGE) for tag in (256, 257))
    chained = first[:behind] + struct.pack("<I", second) + first[behind + 4 :]
    return chained + struct.pack("<H", 2) + entries + struct.pack("<I", second)


def webp_canvas(width: int, height: int) -> bytes:
    """An animation's header of that canvas, in front of a small frame."""
    small = bytearray(saved(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)]))
    small[24:27] = (width - 1).to_bytes(3, "little")
    small[27:30] = (height - 1).to_bytes(3, "little")
    return bytes(small)


def deflated(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MB)) for _ in range(size // MB)) + packer.flush()


def text_bomb(name: bytes, head: bytes) -> bytes:
    return png_chunk(name, head + deflated(64 * MB))


RLE_JUMPS = b"\0\2\xff\xff" * 50
BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG: size": lambda: png_of(HUGE, HUGE),
    "PNG: width": lambda: png_of(2**31 - 1, 1),
    "PNG: size within the limit, no data": lambda: png_of(13_000, 13_000),
    "PNG: size within the limit, interlaced, no data": lambda: png_of(13_000, 13_000, interlaced=True),
    "PNG: data beyond its size": lambda: png_of(8, 8, deflated(64 * MB)),
    "PNG: compressed text": lambda: png(
        RGB, 8, 2, [text_bomb(b"zTXt", b"Raw profile type exif\0\0")] * 40
    ),
    "PNG: compressed international text": lambda: png(
        RGB, 8, 2, [text_bomb(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")] * 40
    ),
    "PNG: colour profile": lambda: png(RGB, 8, 2, [text_bomb(b"iCCP", b"a\0\0")]),
    "PNG: many chunks": lambda: png(RGB, 8, 2, [png_chunk(b"tEXt", b"a\0b")] * 50_000),
    "PNG: a chunk longer than the file": lambda: png_of(8, 8)[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt",
    "BMP: size": lambda: bmp(b"", (HUGE, HUGE), 24),
    "BMP: size within the limit, no data": lambda: bmp(b"", (13_000, 13_000), 24),
    "BMP: run-length coded": lambda: bmp(RLE_JUMPS, (2_500, 2_500), 8, 1, bytes(1024)),
    "BMP: palette": lambda: bmp(b"", (8, 8), 8, palette=bytes(1024), colors=2**32 - 1),
    "TIFF: size": lambda: tiff([b"abc"], tags_of(HUGE, HUGE, t278=("I", [HUGE]))),
    "TIFF: size within the limit, no data": lambda: tiff(
        [b"abc"], tags_of(13_000, 13_000, t278=("I", [13_000]))
    ),
    "TIFF: one tile": lambda: tiff(
        [b"abc"], tags_of(20, 20, t322=("I", [65_520]), t323=("I", [65_520])), tiled=True
    ),
    "TIFF: one deflated tile": lambda: tiff(
        [zlib.compress(b"abc")],
        tags_of(20, 20, t259=("H", [8]), t322=("I", [65_520]), t323=("I", [65_520])),
        tiled=True,
    ),
    "TIFF: rows of a strip": lambda: tiff([b"abc"], tags_of(20, 20, t278=("I", [2**32 - 1]))),
    "TIFF: number of strips": lambda: tiff([b"abc"], tags_of(1, 2**31 - 1, t278=("I", [1]))),
    "TIFF: deflated beyond its size": lambda: tiff(
        [deflated(64 * MB)], tags_of(20, 20, t259=("H", [8]), t278=("I", [20]))
    ),
    "TIFF: samples": lambda: tiff([b"abc"], tags_of(20, 20, t277=("H", [65_535]), t278=("I", [20]))),
    "TIFF: a chain of directories": two_directories,
    "TIFF: fields that stand there twice": lambda: tiff_of(
        RGB, 2, twice=[(256, ("I", [HUGE])), (257, ("I", [HUGE]))]
    ),
    "BigTIFF: number of fields": lambda: tiff_of(RGB, 2, big=True)[:16] + struct.pack("<Q", 2**62),
    "WebP: canvas": lambda: webp_canvas(16_383, 16_383),
    "PNM: size": lambda: b"P6 65500 65500 255\n",
    "PNM: size within the limit, no data": lambda: b"P6 13000 13000 255\n",
    "PNM: plain, size within the limit": lambda: b"P3 13000 13000 255\n1 2 3",
    "PNM: a comment that ends in a carriage return": lambda: b"P5 #\r14000 14000 \n1 1\n255\n\0",
}  # fmt: skip

# These have good pixels; only what stands beside or behind them is large.
GOOD = {
    "PNG: compressed text",
    "PNG: compressed international text",
    "PNG: colour profile",
    "PNG: many chunks",
    "PNG: data beyond its size",
    "BMP: run-length coded",
    "TIFF: deflated beyond its size",
    "TIFF: a chain of directories",
}

PEAKS = """
import json, os, sys
def status(name):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(name)) * 1024
stoker.decode(open(sys.argv[1] + "/warm", "rb").read())
found = {}
for file in sorted(os.listdir(sys.argv[1])):
    data = open(os.path.join(sys.argv[1], file), "rb").read()
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmHWM")
    try:
        image = stoker.decode(data)
        what = list(image.shape)
    except stoker.DataError as e:
        what = e.reason
    found[file] = what, status("VmHWM") - before
print(json.dumps(found))
"""


def test_no_bomb_goes_off(tmp_path: Path, run_script: RunScript) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "warm").write_bytes(saved(RGB, "PNG"))
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    done = run_script(PEAKS, str(folder))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"warm", *BOMBS}
    large = {name: (what, grown) for name, (what, grown) in found.items() if grown > 40 * MB}
    assert not large
    taken = {name for name in BOMBS if isinstance(found[name][0], list)}
    assert taken == {name for name in BOMBS if name in GOOD}


def test_a_declared_size_is_what_the_memory_goes_by(tmp_path: Path, run_script: RunScript) -> None:
    """The measure itself: a good picture of 3,000 x 3,000 takes more than the bound above allows a bomb."""
    row = b"\0" + bytes(9_000)
    (tmp_path / "good").write_bytes(png_of(3_000, 3_000, zlib.compress(row * 3_000)))
    (tmp_path / "warm").write_bytes(saved(RGB, "PNG"))
    done = run_script(PEAKS, str(tmp_path))
    what, grown = json.loads(done.stdout)["good"]
    assert what == [3, 3_000, 3_000]
    assert grown > 40 * MB
