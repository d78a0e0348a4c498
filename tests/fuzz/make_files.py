"""Writes image files as seeds of the fuzz targets, one folder for each target, beside those of make_corpus:
every variant of every format, and JPEGs as cameras and editors write them, damaged ones among them.

    python make_files.py FOLDER
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "python"))

from image_variants import variants
from photographs import photo_like

# The four bytes in front of a JPEG choose the part that is decoded (fuzz_jpeg_pixels.cc).
PARTS = {
    "fuzz_jpeg_segments": b"",
    "fuzz_jpeg_coefficients": b"",
    "fuzz_jpeg_pixels": b"\x5a\x46\x80\x3c",
    "fuzz_jpeg_turbo": b"\0\0\xff\xff",
}
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="5"/></x:xmpmeta>'


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x0112] = 8
    tags[0x010F] = "a camera"
    return tags.tobytes()


def jpegs() -> Iterator[tuple[str, bytes]]:
    options: dict[str, dict[str, Any]] = {
        "optimised": {"optimize": True},
        "progressive": {"progressive": True},
        "exif": {"exif": exif(), "optimize": True},
        "xmp": {"xmp": XMP, "progressive": True},
        "profile": {"icc_profile": bytes(300), "comment": b"a comment"},
        "restarts": {"restart_marker_rows": 1, "optimize": True},
    }
    for number, (name, saving) in enumerate(options.items()):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for quality in (35, 92):
                out = io.BytesIO()
                picture = photo_like(75, 50, number)
                picture.save(out, "JPEG", quality=quality, subsampling=subsampling, **saving)
                yield f"{name}_{subsampling.replace(':', '')}_{quality}", out.getvalue()


def damaged(data: bytes, random: Random) -> bytes:
    """Cut, or with a few bits turned."""
    made = bytearray(data)
    if random.random() < 0.3:
        return bytes(made[: random.randrange(20, len(made))])
    for _ in range(random.choice((1, 2, 8))):
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)
    return bytes(made)


def main(folder: Path) -> None:
    random = Random(4)
    for target, part in PARTS.items():
        for name, data in jpegs():
            (folder / target / f"file_{name}").write_bytes(part + data)
            (folder / target / f"file_{name}_damaged").write_bytes(part + damaged(data, random))
    for number, variant in enumerate(variants()):
        file = folder / "fuzz_still" / f"{variant.format}_{number}"
        file.write_bytes(variant.data)
        file.with_suffix(".damaged").write_bytes(damaged(variant.data, random))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
