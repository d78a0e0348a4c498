"""Makes docs/formats.md: which image files the core reads, and what becomes of the others. The test beside
it proves each row against Pillow, and fails where the page is not what this makes.

    python tests/python/formats.py        writes the page
"""

# ruff: noqa: E501
from __future__ import annotations

from pathlib import Path

from image_variants import Variant, variants

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"

HEAD = """# Image files: what is read, and by whom

Made by `python tests/python/formats.py`; a test makes each file, reads it and compares the pixels with Pillow's
`convert("RGB")`, and fails where this page is out of date.

The content decides the format, never the file's name. JPEG is read by Stoker's own decoder or by libjpeg-turbo, PNG by
libpng, WebP by libwebp, TIFF by libtiff, BMP and PNM by code of Stoker's own. For each format the core reads the
variants whose pixels are known to be Pillow's, and refuses all others by their headers:

- **Stoker's own datasets** (and `stoker.decode`, and datasets with `stoker_sample`) raise `DataError` for what is refused,
  with the reason, or do with it what `on_error` says.
- **torchvision's datasets** then ask their own loader, which is Pillow: slower, in the training loop's thread, and with
  torchvision's result, whatever that is. What Pillow cannot read either raises `DataError`.

A file that is damaged or cut short is refused; so is one whose header claims more pixels than `max_pixels`, which is asked
of the decoder itself before there is room for a pixel.

**Gray of 16 bits** is the one place where the two differ. Pillow's `convert("RGB")` cuts the values off at 255, so that
nearly all of a picture is white. torchvision's datasets get just that, since a network that was trained so expects it.
Stoker's own datasets keep the upper eight bits, in every format; of PNMs the largest value that the file names counts as 65535.

**Turned upright** by their EXIF or XMP orientation are JPEG, PNG, WebP and TIFF on Stoker's own datasets, by the rules of Pillow's
`ImageOps.exif_transpose`; on torchvision's only TIFF, as there.

**Alpha is dropped**, as `convert("RGB")` drops it. Associated alpha is divided out. Of an animation the first picture counts.

| format | variant | Stoker's own datasets | torchvision's datasets |
| --- | --- | --- | --- |
"""

OWN = {"native": "native", "gray16": "native, upper eight bits", "refused": "refused"}
TORCHVISION = {"native": "native", "gray16": "native, cut off at 255", "refused": "Pillow"}


def row(variant: Variant) -> str:
    return f"| {variant.format} | {variant.name} | {OWN[variant.kind]} | {TORCHVISION[variant.kind]} |\n"


def page() -> str:
    return HEAD + "".join(map(row, variants()))


if __name__ == "__main__":
    PAGE.write_text(page())
