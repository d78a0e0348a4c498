"""Variants of the formats that Stoker reads beside JPEG, and what becomes of each (docs/formats.md)."""

# ruff: noqa: E501
from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal

import image_files as files
import numpy as np
from image_files import HEIGHT, WIDTH, bmp, picture, png, png_chunk, saved, tiff_of, tiff_packed
from PIL import Image

Kind = Literal["native", "gray16", "refused"]
SIZE = (WIDTH, HEIGHT)


@dataclass(frozen=True)
class Variant:
    """A file, and how it is read.

    Attributes:
        kind: "native": by the core, to the pixels of Pillow's ``convert("RGB")``. "gray16": the same, but
            that Stoker's own datasets keep the upper eight bits. "refused": not by the core; torchvision's
            datasets ask Pillow.
    """

    format: str
    name: str
    data: bytes
    kind: Kind = "native"


def _pngs() -> list[Variant]:
    gray, rgb, rgba = picture(1), picture(3), picture(4)
    palette = png_chunk(b"PLTE", bytes(range(0, 240, 5)))
    made = [Variant("PNG", f"gray, {bits} bits", png(gray >> (8 - bits), bits, 0)) for bits in (1, 2, 4, 8)]
    made += [
        Variant("PNG", f"palette, {bits} bits", png(gray >> (8 - bits) & 15, bits, 3, [palette]))
        for bits in (1, 2, 4, 8)
    ]
    return [
        *made,
        Variant("PNG", "palette with a colour that it does not name", png(gray, 8, 3, [palette])),
        Variant("PNG", "gray, 16 bits", png(picture(1, np.uint16), 16, 0), "gray16"),
        Variant("PNG", "gray and alpha", png(picture(2), 8, 4)),
        Variant("PNG", "gray and alpha, 16 bits", png(picture(2, np.uint16), 16, 4)),
        Variant("PNG", "RGB", png(rgb, 8, 2)),
        Variant("PNG", "RGB, 16 bits", png(picture(3, np.uint16), 16, 2)),
        Variant("PNG", "RGB and alpha", png(rgba, 8, 6)),
        Variant("PNG", "RGB and alpha, 16 bits", png(picture(4, np.uint16), 16, 6)),
        Variant("PNG", "a transparent colour (tRNS)", png(rgb, 8, 2, [png_chunk(b"tRNS", bytes(6))])),
        Variant("PNG", "gamma and a chunk of text", png(rgb, 8, 2, [png_chunk(b"gAMA", struct.pack(">I", 9))])),
        Variant("PNG", "interlaced", _interlaced()),
        Variant("PNG", "animated: the first picture", saved(Image.fromarray(rgb), "PNG", save_all=True,
                append_images=[Image.fromarray(255 - rgb)])),
    ]  # fmt: skip


def _interlaced() -> bytes:
    """Adam7's seven passes, by hand: Pillow writes none."""
    rgb = picture(3)
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    raw = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in rgb[y::dy, x::dx] if row.size)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1)
    chunks = [png_chunk(b"IHDR", head), png_chunk(b"IDAT", files.zlib.compress(raw)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _webps() -> list[Variant]:
    rgb, rgba = picture(3), picture(4)
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - rgb)]}
    offset = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    offset.paste(Image.fromarray(rgb[:9, :12]), (10, 6))
    return [
        Variant("WebP", "lossy", saved(rgb, "WEBP", quality=70)),
        Variant("WebP", "lossless", saved(rgb, "WEBP", lossless=True)),
        Variant("WebP", "lossy, with alpha", saved(rgba, "WEBP", quality=70)),
        Variant("WebP", "lossless, with alpha", saved(rgba, "WEBP", lossless=True, exact=True)),
        Variant("WebP", "animated: the first picture", saved(rgb, "WEBP", lossless=True, **frames)),
        Variant("WebP", "animated, lossy: the first picture", saved(rgb, "WEBP", quality=60, **frames)),
        Variant("WebP", "animated, with a first picture smaller than the canvas",
                saved(offset, "WEBP", lossless=True, **frames)),
    ]  # fmt: skip


def _bmps() -> list[Variant]:
    gray, rgb = picture(1), picture(3)
    colors = bytes(np.random.default_rng(1).integers(0, 256, 256 * 4, dtype=np.uint8))
    bgr = rgb[..., ::-1]
    sixteen = np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH)).astype("<u2")
    wide = np.random.default_rng(3).integers(0, 2**32, (HEIGHT, WIDTH)).astype("<u4")

    def of(bits: int, header: int = 40) -> bytes:
        entry = 3 if header == 12 else 4
        raw = files.packed(gray >> (8 - bits), bits)
        rows = [raw[y * len(raw) // HEIGHT : (y + 1) * len(raw) // HEIGHT] for y in range(HEIGHT)]
        return bmp(rows, SIZE, bits, palette=colors[: entry << bits], colors=1 << bits, header=header)

    ramp = b"".join(bytes([i, i, i, 0]) for i in range(256))
    rows = [row.tobytes() for row in bgr]
    down = bmp(rows[::-1], SIZE, 24)
    made = [Variant("BMP", f"palette, {bits} bits", of(bits)) for bits in (1, 4, 8)]
    made += [Variant("BMP", f"OS/2 1.x, palette, {bits} bits", of(bits, 12)) for bits in (1, 4, 8)]
    fields = {
        "565": (sixteen, 16, (0xF800, 0x7E0, 0x1F)),
        "555": (sixteen, 16, (0x7C00, 0x3E0, 0x1F)),
        "BGRX": (wide, 32, (0xFF0000, 0xFF00, 0xFF)),
        "XBGR": (wide, 32, (0xFF000000, 0xFF0000, 0xFF00)),
        "BGXR": (wide, 32, (0xFF000000, 0xFF00, 0xFF)),
    }
    made += [
        Variant(
            "BMP", f"bit fields {name}", bmp([row.tobytes() for row in values], SIZE, bits, 3, masks=masks)
        )
        for name, (values, bits, masks) in fields.items()
    ]
    alphas = {
        "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    }
    made += [
        Variant("BMP", f"bit fields {name}, header of 108 bytes",
                bmp([row.tobytes() for row in wide], SIZE, 32, 3, masks=masks, header=108))
        for name, masks in alphas.items()
    ]  # fmt: skip
    return [
        *made,
        Variant("BMP", "gray palette, 8 bits", bmp([r.tobytes() for r in gray], SIZE, 8, palette=ramp)),
        Variant("BMP", "gray palette of 90 levels, 8 bits, and pixels beyond it",
                bmp([r.tobytes() for r in gray], SIZE, 8, palette=ramp[:360], colors=90)),
        Variant("BMP", "palette of 16 colours, 8 bits, and pixels beyond it",
                bmp([r.tobytes() for r in gray], SIZE, 8, palette=colors[:64], colors=16)),
        Variant("BMP", "16 bits (555)", bmp([row.tobytes() for row in sixteen], SIZE, 16)),
        Variant("BMP", "24 bits", bmp(rows, SIZE, 24)),
        Variant("BMP", "OS/2 1.x, 24 bits", bmp(rows, SIZE, 24, header=12)),
        Variant("BMP", "24 bits, rows from top to bottom",
                down[:22] + struct.pack("<i", -HEIGHT) + down[26:]),
        Variant("BMP", "32 bits", bmp([row.tobytes() for row in wide], SIZE, 32)),
        Variant("BMP", "RLE8", bmp(_rle8(gray), SIZE, 8, 1, palette=colors)),
        Variant("BMP", "RLE4", bmp(_rle4(gray >> 4), SIZE, 4, 2, palette=colors[:64])),
        Variant("BMP", "other bit fields",
                bmp([row.tobytes() for row in sixteen], SIZE, 16, 3, masks=(0xF00, 0xF0, 0xF)), "refused"),
        Variant("BMP", "2 bits", bmp([b"\x1b" * 10] * HEIGHT, SIZE, 2, palette=colors[:16]), "refused"),
        Variant("BMP", "JPEG inside", bmp(saved(rgb, "JPEG"), SIZE, 24, 4), "refused"),
    ]  # fmt: skip


def _rle8(gray: Any) -> bytes:
    """Runs, an absolute run in each row, and a jump over three pixels."""
    out = b""
    for row in gray[::-1]:
        head = bytes([5, row[0], 0, 7, *row[5:12], 0, 0, 2, 3, 0])
        out += head + b"".join(bytes([1, value]) for value in row[15:]) + b"\0\0"
    return out + b"\0\1"


def _rle4(nibbles: Any) -> bytes:
    out = b""
    for row in nibbles[::-1]:
        absolute = bytes([0, 5, row[6] << 4 | row[7], row[8] << 4 | row[9], row[10] << 4, 0])
        pairs = b"".join(bytes([1, value << 4]) for value in row[11:])
        out += bytes([6, row[0] << 4 | row[1]]) + absolute + pairs + b"\0\0"
    return out + b"\0\1"


def _pnms() -> list[Variant]:
    gray, rgb = picture(1), picture(3)
    head = f"{WIDTH} {HEIGHT}\n".encode()
    bits = gray >> 7
    deep = picture(1, np.uint16)

    def plain(values: Any) -> bytes:
        return b"\n".join(b" ".join(str(v).encode() for v in row.ravel()) for row in values)

    def scaled(name: str, top: int, values: Any) -> bytes:
        dtype = ">u2" if top > 255 else "u1"
        return (
            name.encode()
            + b"\n"
            + head
            + b"%d\n" % top
            + (values.astype(np.int64) % (top + 1)).astype(dtype).tobytes()
        )

    return [
        Variant("PNM", "P1, plain bitmap", b"P1\n# a\n" + head + plain(bits)),
        Variant("PNM", "P1 without spaces", b"P1\n" + head + plain(bits).replace(b" ", b"")),
        Variant("PNM", "P2, plain gray, without a last newline", b"P2\n" + head + b"255\n" + plain(gray)),
        Variant("PNM", "P2, largest value 11", b"P2\n" + head + b"11\n" + plain(gray % 12)),
        Variant("PNM", "P2, largest value 1023", b"P2\n" + head + b"1023\n" + plain(deep % 1024), "gray16"),
        Variant("PNM", "P3, plain colours", b"P3\n" + head + b"255\n" + plain(rgb) + b"\n"),
        Variant("PNM", "P4, bitmap", b"P4\n" + head + files.packed(bits, 1)),
        Variant("PNM", "P5, gray", scaled("P5", 255, gray)),
        Variant("PNM", "P5, largest value 11", scaled("P5", 11, gray)),
        Variant("PNM", "P5, largest value 4095", scaled("P5", 4095, deep), "gray16"),
        Variant("PNM", "P5, largest value 65535", scaled("P5", 65535, deep), "gray16"),
        Variant("PNM", "P6, colours", scaled("P6", 255, rgb)),
        Variant("PNM", "P6, largest value 100", scaled("P6", 100, rgb)),
        Variant("PNM", "P6, largest value 1023", scaled("P6", 1023, picture(3, np.uint16))),
        Variant("PNM", "a comment that ends in a carriage return",
                b"P5 #\r" + head + b"255\n" + gray.tobytes()),
        Variant("PNM", "a comment inside a number", b"P5 3#7\n7 %d 255\n" % HEIGHT + gray.tobytes()),
    ]  # fmt: skip


def _tiffs() -> list[Variant]:
    gray, rgb, rgba = picture(1), picture(3), picture(4)
    deep, deep_rgb, deep_rgba = (picture(c, np.uint16) for c in (1, 3, 4))
    map_of = {n: ("H", list(np.random.default_rng(n).integers(0, 65536, 3 << n))) for n in (1, 2, 4, 8)}
    made = []
    for bits in (1, 2, 4, 8):
        values = gray >> (8 - bits)
        made += [
            Variant("TIFF", f"gray, {bits} bits", tiff_packed(values, bits, 1)),
            Variant("TIFF", f"gray, {bits} bits, 0 is white", tiff_packed(values, bits, 0)),
            Variant("TIFF", f"palette, {bits} bits", tiff_packed(values, bits, 3, t320=map_of[bits])),
        ]
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made.append(Variant("TIFF", f"RGB, {name}", saved(rgb, "TIFF", compression=name)))
        made.append(Variant("TIFF", f"gray, {name}", saved(gray, "TIFF", compression=name)))
    for name in ("group3", "group4", "tiff_ccitt"):
        bitmap = Image.fromarray(gray).convert("1")
        made.append(Variant("TIFF", f"bitmap, {name}", saved(bitmap, "TIFF", compression=name)))
    ycc = saved(Image.fromarray(rgb).convert("YCbCr"), "TIFF", compression="jpeg")
    return [
        *made,
        Variant("TIFF", "YCbCr, jpeg", ycc),
        Variant("TIFF", "gray, 16 bits", tiff_of(deep, 1), "gray16"),
        Variant("TIFF", "gray, 16 bits, big-endian", tiff_of(deep, 1, ">"), "gray16"),
        Variant("TIFF", "gray and alpha", tiff_of(picture(2), 1, extra=[2])),
        Variant("TIFF", "RGB", tiff_of(rgb, 2)),
        Variant("TIFF", "RGB, big-endian", tiff_of(rgb, 2, ">")),
        Variant("TIFF", "RGB, strips of 5 rows", tiff_of(rgb, 2, rows=5)),
        Variant("TIFF", "RGB, tiles", tiff_of(rgb, 2, tile=(16, 16))),
        Variant("TIFF", "RGB, tiles, deflate", tiff_of(rgb, 2, tile=(16, 32), compression=8)),
        Variant("TIFF", "RGB, a tile larger than the image", tiff_of(rgb, 2, tile=(64, 64))),
        Variant("TIFF", "RGB, planes of their own", tiff_of(rgb, 2, planar=True)),
        Variant("TIFF", "RGB, planes of their own, tiles, deflate",
                tiff_of(rgb, 2, planar=True, tile=(16, 16), compression=8)),
        Variant("TIFF", "RGB, 16 bits", tiff_of(deep_rgb, 2)),
        Variant("TIFF", "RGB, 16 bits, big-endian, deflate", tiff_of(deep_rgb, 2, ">", compression=8)),
        Variant("TIFF", "RGB and alpha", tiff_of(rgba, 2, extra=[2])),
        Variant("TIFF", "RGB and alpha, tiles", tiff_of(rgba, 2, extra=[2], tile=(16, 16))),
        Variant("TIFF", "RGB and associated alpha", tiff_of(rgba, 2, extra=[1])),
        Variant("TIFF", "RGB and a fourth sample", tiff_of(rgba, 2, extra=[0])),
        Variant("TIFF", "RGB and a fourth sample that is not named", tiff_of(rgba, 2)),
        Variant("TIFF", "RGB and alpha, 16 bits", tiff_of(deep_rgba, 2, extra=[2])),
        Variant("TIFF", "CMYK", tiff_of(rgba, 5)),
        Variant("TIFF", "BigTIFF", tiff_of(rgb, 2, big=True)),
        Variant("TIFF", "BigTIFF, tiles", tiff_of(rgb, 2, big=True, tile=(16, 16))),
        Variant("TIFF", "turned (orientation 6)", tiff_of(rgb, 2, tags={274: ("H", [6])})),
        Variant("TIFF", "LAB", tiff_of(rgb, 8), "refused"),
        Variant("TIFF", "YCbCr without jpeg", saved(Image.fromarray(rgb).convert("YCbCr"), "TIFF"), "refused"),
        Variant("TIFF", "RGB, 16 bits, planes of their own", tiff_of(deep_rgb, 2, planar=True), "refused"),
        Variant("TIFF", "RGB and associated alpha, 16 bits", tiff_of(deep_rgba, 2, extra=[1]), "refused"),
        Variant("TIFF", "floats", saved(Image.fromarray(gray.astype(np.float32)), "TIFF"), "refused"),
        Variant("TIFF", "32 bits", saved(Image.fromarray(gray.astype(np.int32)), "TIFF"), "refused"),
        Variant("TIFF", "compressed by another codec (zstd, lzma, webp, jp2000, …)",
                tiff_of(rgb, 2, compression=50000), "refused"),
        Variant("TIFF", "a field that stands there twice",
                tiff_of(rgb, 2, twice=[(256, ("I", [WIDTH]))]), "refused"),
    ]  # fmt: skip


def variants() -> list[Variant]:
    """All of them, in the order of the table."""
    return [*_pngs(), *_webps(), *_bmps(), *_tiffs(), *_pnms()]
