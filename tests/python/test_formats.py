"""docs/formats.md: each variant of each format is read as the page says, and what is damaged is refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import formats
import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from image_files import picture, png, png_chunk, saved, tiff_of
from image_variants import Variant, variants
from PIL import Image, ImageOps
from torchvision_operators import define_operators

import stoker

Array = np.ndarray[Any, Any]
ALL = variants()


def name_of(variant: Variant) -> str:
    return f"{variant.format}, {variant.name}"


def by_pillow(data: bytes) -> Array | None:
    """Turned upright; None where Pillow refuses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        except Exception:
            return None


def by_stoker(data: bytes) -> Array | None:
    """None where Stoker refuses it while decoding."""
    try:
        pixels: Array = stoker.decode(data).permute(1, 2, 0).numpy()
    except stoker.DataError as e:
        if e.stage != "decode":
            raise
        return None
    return pixels


def test_the_page_is_up_to_date() -> None:
    assert formats.PAGE.read_text() == formats.page(), "run python tests/python/formats.py"


@pytest.mark.parametrize("variant", ALL, ids=name_of)
def test_stokers_own_pixels(variant: Variant) -> None:
    pixels, pillows = by_stoker(variant.data), by_pillow(variant.data)
    if variant.kind == "refused":
        assert pixels is None
        return
    assert pixels is not None
    assert pillows is not None
    assert pixels.shape == pillows.shape
    if variant.kind == "native":
        np.testing.assert_array_equal(pixels, pillows)
    else:
        # Where Pillow does not cut off, the upper eight bits are 0.
        assert (pixels[pillows < 255] == 0).all()
        assert len(np.unique(pixels)) > 3


@pytest.mark.skipif(not define_operators(), reason="torchvision is not installed")
def test_torchvisions_folders_get_torchvisions_pixels(tmp_path: Path) -> None:
    import torchvision

    (tmp_path / "a").mkdir()
    known = [v for v in ALL if by_pillow(v.data) is not None]
    for number, variant in enumerate(known):
        (tmp_path / "a" / f"{number:04}.tiff").write_bytes(variant.data)
    crop = torchvision.transforms.Compose(
        [torchvision.transforms.CenterCrop((20, 20)), torchvision.transforms.PILToTensor()]
    )
    folder = torchvision.datasets.ImageFolder(tmp_path, crop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = stoker.DataLoader(folder, pixels="exact", index=None, num_workers=1)
        assert ours.native
        for variant, a, b in zip(known, ours, torch_data.DataLoader(folder), strict=True):
            assert torch.equal(a[0], b[0]), name_of(variant)


# On torchvision's datasets what the core reads is never asked of Pillow, so it reads nothing that Pillow
# would not read, and nothing in another way.
@pytest.mark.parametrize("format", ["PNG", "WebP", "BMP", "TIFF", "PNM"])
def test_what_is_damaged_is_read_as_pillow_reads_it_or_not_at_all(format: str) -> None:
    rng = np.random.default_rng(11)
    read = refused = 0
    for variant in ALL:
        if variant.format != format or variant.kind != "native":
            continue
        for trial in range(24):
            data = bytearray(variant.data)
            place = int(rng.integers(len(data) if trial % 2 else min(len(data), 160)))
            if trial % 3 == 0:
                del data[place:]
            else:
                data[place] ^= 1 << int(rng.integers(8))
            pixels = by_stoker(bytes(data))
            if pixels is None:
                refused += 1
                continue
            read += 1
            pillows = by_pillow(bytes(data))
            assert pillows is not None, (variant.name, trial, place)
            np.testing.assert_array_equal(pixels, pillows, f"{variant.name}, {trial}, {place}")
    assert read > 5
    assert refused > 20


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


@pytest.mark.parametrize("orientation", range(1, 9))
def test_metadata_turn_every_format_upright(orientation: int) -> None:
    rgb = picture(3)
    exif, xmp = exif_of(orientation), XMP % orientation
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
    for data in (
        saved(rgb, "PNG", exif=exif),
        png(rgb, 8, 2, behind=[png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))]),
        png(rgb, 8, 2, [png_chunk(b"iTXt", text)]),
        saved(rgb, "WEBP", lossless=True, exif=exif),
        saved(rgb, "WEBP", lossless=True, xmp=xmp),
        tiff_of(rgb, 2, tags={274: ("H", [orientation])}),
        tiff_of(rgb, 2, big=True, tags={274: ("H", [orientation])}),
        tiff_of(rgb, 2, tags={700: ("B", list(xmp))}),
    ):
        pillows = by_pillow(data)
        pixels = by_stoker(data)
        assert pillows is not None
        assert pixels is not None
        np.testing.assert_array_equal(pixels, pillows)
        assert (pixels.shape[0] > pixels.shape[1]) == (orientation >= 5)


def test_nothing_is_written_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    for variant in ALL:
        by_stoker(variant.data)
        by_stoker(variant.data[: len(variant.data) // 2])
    assert capfd.readouterr().err == ""
