"""Pixels against Pillow's, bit for bit: every format, every transform."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import encode, hwc, photo_like, transformed
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import stoker
from stoker import ImageFolder, decode
from stoker import transforms as T

MODES = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
SIDE = st.integers(1, 70)
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def pillow_rgb(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def same_as_pillow(data: bytes) -> None:
    np.testing.assert_array_equal(hwc(decode(data)), pillow_rgb(data))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file's place for hypothesis, which calls one test many times."""
    return tmp_path_factory.mktemp("scratch") / "image.ppm"


# ---- decode() -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (17, 15), (53, 37), (64, 48)])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"subsampling": "4:2:0"},
        {"subsampling": "4:1:1"},
        {"progressive": True},
        {"optimize": True},
        {"quality": 100, "subsampling": 0},
        {"quality": 10},
        {"restart_marker_blocks": 2},
    ],
    ids=str,
)
def test_jpeg(size: tuple[int, int], options: dict[str, Any]) -> None:
    same_as_pillow(encode(photo_like(*size), "JPEG", **options))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours(mode: str, progressive: bool) -> None:
    image = Image.fromarray(noise(37, 53, 4), "CMYK") if mode == "CMYK" else photo_like(53, 37).convert("L")
    same_as_pillow(encode(image, "JPEG", progressive=progressive))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_png(mode: str) -> None:
    channels = {"LA": 2, "RGBA": 4}.get(mode)
    image = Image.fromarray(noise(37, 53, channels)) if channels else photo_like(53, 37).convert(mode)
    assert image.mode == mode
    same_as_pillow(encode(image, "PNG"))


@pytest.mark.filterwarnings("ignore:Palette images")
@pytest.mark.parametrize(
    ("mode", "transparency"), [("P", 3), ("P", bytes(range(256))), ("L", 100), ("RGB", (1, 2, 3))]
)
def test_png_transparency(mode: str, transparency: Any) -> None:
    same_as_pillow(encode(photo_like(53, 37).convert(mode), "PNG", transparency=transparency))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_colours(bits: int) -> None:
    same_as_pillow(encode(photo_like(53, 37).quantize(2**bits), "PNG", bits=bits))


def test_png_of_16_bits_keeps_the_high_byte() -> None:
    values = noise(37, 53, dtype=np.uint16)
    got = hwc(decode(encode(Image.fromarray(values), "PNG")))
    np.testing.assert_array_equal(got, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("options", [{}, {"quality": 30}, {"lossless": True}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp(mode: str, options: dict[str, Any]) -> None:
    image = photo_like(53, 37) if mode == "RGB" else Image.fromarray(noise(37, 53, 4))
    same_as_pillow(encode(image, "WEBP", **options))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
def test_bmp(mode: str) -> None:
    same_as_pillow(encode(photo_like(53, 37).convert(mode), "BMP"))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK"])
def test_tiff(mode: str) -> None:
    same_as_pillow(encode(photo_like(53, 37).convert(mode), "TIFF"))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_compressed_tiff(mode: str, compression: str) -> None:
    same_as_pillow(encode(photo_like(53, 37).convert(mode), "TIFF", compression=compression))


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_pnm(mode: str) -> None:
    same_as_pillow(encode(photo_like(53, 37).convert(mode), "PPM"))


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "str", "path"])
def test_decode_takes_bytes_and_paths_whatever_the_name(tmp_path: Path, kind: str) -> None:
    data = encode(photo_like(20, 10), "PNG")
    path = tmp_path / "a png.jpg"
    path.write_bytes(data)
    sources: dict[str, Any] = {
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "str": str(path),
        "path": path,
    }
    got = decode(sources[kind])
    assert got.shape == (3, 10, 20)
    assert got.dtype == stoker.decode(data).dtype
    np.testing.assert_array_equal(hwc(got), pillow_rgb(data))


def test_decode_refuses_other_sources() -> None:
    with pytest.raises(TypeError, match="bytes or a path, not int"):
        decode(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo_like(53, 37).save(path, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(hwc(decode(path)), np.asarray(expected))
    # The size that transforms work with is the turned one, and so is what a crop looks at.
    crop = transformed(path, [T.Resize(30), T.CenterCrop((20, 28))])
    scaled = expected.resize((30, 30 * 53 // 37) if orientation > 4 else (30 * 53 // 37, 30), Image.BILINEAR)
    left, top = round((scaled.width - 28) / 2), round((scaled.height - 20) / 2)
    np.testing.assert_array_equal(crop, np.asarray(scaled.crop((left, top, left + 28, top + 20))))


# ---- transforms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@EXAMPLES
@given(width=SIDE, height=SIDE, out_width=SIDE, out_height=SIDE, seed=st.integers(0, 99))
def test_resize(
    scratch: Path, mode: str, width: int, height: int, out_width: int, out_height: int, seed: int
) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    image.save(scratch)
    got = transformed(scratch, T.Resize((out_height, out_width), T.InterpolationMode(mode)))
    np.testing.assert_array_equal(got, np.asarray(image.resize((out_width, out_height), MODES[mode])))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(900, 60), (60, 900), (401, 100), (100, 401), (500, 3), (3, 500)])
@pytest.mark.parametrize("out", [(30, 30), (224, 7), (7, 224), (450, 450)])
def test_resize_of_long_images(scratch: Path, mode: str, size: tuple[int, int], out: tuple[int, int]) -> None:
    image = Image.fromarray(noise(size[1], size[0], 3))
    image.save(scratch)
    got = transformed(scratch, T.Resize((out[1], out[0]), T.InterpolationMode(mode)))
    np.testing.assert_array_equal(got, np.asarray(image.resize(out, MODES[mode])))


@EXAMPLES
@given(width=SIDE, height=SIDE, side=SIDE, extra=st.none() | st.integers(1, 40))
def test_resize_of_the_short_side(
    scratch: Path, width: int, height: int, side: int, extra: int | None
) -> None:
    image = Image.fromarray(noise(height, width, 3))
    image.save(scratch)
    short, long = side, int(side * max(width, height) / min(width, height))
    max_size = None if extra is None else side + extra
    if max_size is not None and long > max_size:
        short, long = int(max_size * short / long), max_size
    short = max(short, 1)  # torchvision would fail there
    size = (short, long) if width <= height else (long, short)
    got = transformed(scratch, T.Resize(side, max_size=max_size))
    np.testing.assert_array_equal(got, np.asarray(image.resize(size, Image.BILINEAR)))


def padded(pixels: np.ndarray, by: int, mode: str = "constant") -> np.ndarray:
    return np.pad(pixels, ((by, by), (by, by), (0, 0)), mode=mode)  # type: ignore[call-overload]


@EXAMPLES
@given(width=SIDE, height=SIDE, crop_width=SIDE, crop_height=SIDE)
def test_center_crop(scratch: Path, width: int, height: int, crop_width: int, crop_height: int) -> None:
    pixels = noise(height, width, 3)
    Image.fromarray(pixels).save(scratch)
    missing_x, missing_y = max(0, crop_width - width), max(0, crop_height - height)
    pixels = np.pad(
        pixels,
        ((missing_y // 2, (missing_y + 1) // 2), (missing_x // 2, (missing_x + 1) // 2), (0, 0)),
    )
    left, top = round((pixels.shape[1] - crop_width) / 2), round((pixels.shape[0] - crop_height) / 2)
    expected = pixels[top : top + crop_height, left : left + crop_width]
    got = transformed(scratch, T.CenterCrop((crop_height, crop_width)))
    np.testing.assert_array_equal(got, expected)


def places(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """All crops of a size: (rows, columns, height, width, 3)."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (height, width), axis=(0, 1))
    return np.moveaxis(windows, 2, -1)


def place_of(crop: np.ndarray, pixels: np.ndarray) -> tuple[int, int]:
    """Where in the image the crop was taken; fails where it is no part of it."""
    found = np.argwhere((places(pixels, *crop.shape[:2]) == crop).all(axis=(2, 3, 4)))
    assert len(found) > 0, "not a crop of the image"
    return int(found[0][0]), int(found[0][1])


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_random_crop_of_a_jpeg_is_a_part_of_the_whole(tmp_path: Path, subsampling: int) -> None:
    path = tmp_path / "a.jpg"
    photo_like(70, 45).save(path, subsampling=subsampling)
    whole = hwc(decode(path))
    found = {place_of(transformed(path, T.RandomCrop((16, 21))), whole) for _ in range(60)}
    assert len(found) > 40  # of 30 × 50 places


def test_random_crop_takes_every_place(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    pixels = noise(8, 9, 3)
    Image.fromarray(pixels).save(path)
    dataset = stoker.ImageList([path], [0], T.RandomCrop((6, 6)))
    found = [place_of(hwc(dataset[0][0]), pixels) for _ in range(600)]
    assert sorted(set(found)) == [(top, left) for top in range(3) for left in range(4)]


@pytest.mark.parametrize(
    ("padding_mode", "numpy_mode"),
    [("constant", "constant"), ("edge", "edge"), ("reflect", "reflect"), ("symmetric", "symmetric")],
)
def test_random_crop_after_padding(tmp_path: Path, padding_mode: str, numpy_mode: str) -> None:
    path = tmp_path / "a.ppm"
    pixels = noise(12, 10, 3)
    Image.fromarray(pixels).save(path)
    around = padded(pixels, 5, numpy_mode)
    for _ in range(30):
        place_of(transformed(path, T.RandomCrop((9, 8), padding=5, padding_mode=padding_mode)), around)


def test_random_crop_fill_and_sides(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    pixels = noise(12, 10, 3)
    Image.fromarray(pixels).save(path)
    around = np.empty((12 + 2 + 4, 10 + 1 + 3, 3), np.uint8)
    around[:] = (10, 20, 30)
    around[2:14, 1:11] = pixels
    whole = T.RandomCrop((18, 14), padding=(1, 2, 3, 4), fill=(10, 20, 30))
    np.testing.assert_array_equal(transformed(path, whole), around)
    two = transformed(path, T.RandomCrop((16, 12), padding=(1, 2), fill=9))  # left/right, top/bottom
    np.testing.assert_array_equal(two[2:-2, 1:-1], pixels)
    assert (two[:2] == 9).all()
    assert (two[:, -1] == 9).all()


def test_random_crop_pads_if_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    pixels = noise(12, 10, 3)
    Image.fromarray(pixels).save(path)
    around = np.pad(pixels, ((0, 0), (6, 6), (0, 0)))  # torchvision pads by what is missing, twice
    for _ in range(20):
        place_of(transformed(path, T.RandomCrop((10, 16), pad_if_needed=True)), around)
    with pytest.raises(stoker.DataError, match="larger than") as caught:
        transformed(path, T.RandomCrop((10, 16)))
    assert caught.value.stage == "transform"


@pytest.mark.parametrize("mode", MODES)
@EXAMPLES
@given(width=st.integers(8, 20), height=st.integers(8, 20), out_width=SIDE, out_height=SIDE)
def test_random_resized_crop(
    scratch: Path, mode: str, width: int, height: int, out_width: int, out_height: int
) -> None:
    # One size of crop, at any place: the result must be that of one of all the places.
    image = Image.fromarray(noise(height, width, 3))
    image.save(scratch)
    scale, ratio = 0.4, 1.25
    crop_width = round((width * height * scale * ratio) ** 0.5)
    crop_height = round((width * height * scale / ratio) ** 0.5)
    if crop_width > width or crop_height > height:
        return
    out = (out_width, out_height)
    transform = T.RandomResizedCrop(
        (out_height, out_width), (scale, scale), (ratio, ratio), T.InterpolationMode(mode)
    )
    got = transformed(scratch, transform)
    boxes = [
        (left, top, left + crop_width, top + crop_height)
        for top in range(height - crop_height + 1)
        for left in range(width - crop_width + 1)
    ]
    assert any(np.array_equal(got, np.asarray(image.crop(b).resize(out, MODES[mode]))) for b in boxes)


@pytest.mark.parametrize(("width", "height"), [(90, 20), (20, 90), (60, 28)])
def test_random_resized_crop_falls_back_to_the_middle(scratch: Path, width: int, height: int) -> None:
    # The whole area at a ratio that does not fit: torchvision's central crop of the nearest ratio.
    image = Image.fromarray(noise(height, width, 3))
    image.save(scratch)
    got = transformed(scratch, T.RandomResizedCrop(16, scale=(1, 1), ratio=(0.8, 1.25)))
    ratio = width / height
    w = round(height * 1.25) if ratio > 1.25 else width
    h = round(width / 0.8) if ratio < 0.8 else height
    left, top = (width - w) // 2, (height - h) // 2
    expected = image.crop((left, top, left + w, top + h)).resize((16, 16), Image.BILINEAR)
    np.testing.assert_array_equal(got, np.asarray(expected))


@pytest.mark.parametrize("subsampling", [0, 2])
def test_random_resized_crop_of_a_jpeg(tmp_path: Path, subsampling: int) -> None:
    path = tmp_path / "a.jpg"
    photo_like(48, 40).save(path, subsampling=subsampling)
    image = Image.open(path).convert("RGB")
    side = round((48 * 40 * 0.3) ** 0.5)
    boxes = [(x, y, x + side, y + side) for y in range(40 - side + 1) for x in range(48 - side + 1)]
    possible = {image.crop(b).resize((20, 15), Image.BILINEAR).tobytes() for b in boxes}
    transform = T.RandomResizedCrop((15, 20), scale=(0.3, 0.3), ratio=(1, 1))
    for _ in range(40):
        assert transformed(path, transform).tobytes() in possible


@pytest.mark.parametrize(
    ("transform", "flip"),
    [(T.RandomHorizontalFlip, ImageOps.mirror), (T.RandomVerticalFlip, ImageOps.flip)],
)
def test_flips(tmp_path: Path, transform: Any, flip: Callable[[Image.Image], Image.Image]) -> None:
    path = tmp_path / "a.jpg"
    photo_like(33, 21).save(path)
    image = Image.open(path).convert("RGB")
    plain, flipped = np.asarray(image), np.asarray(flip(image))
    np.testing.assert_array_equal(transformed(path, transform(p=0)), plain)
    np.testing.assert_array_equal(transformed(path, transform(p=1)), flipped)
    np.testing.assert_array_equal(transformed(path, [transform(1), transform(1)]), plain)
    # A flip before a crop or a resize shows in where the crop lies.
    cropped = transformed(path, [transform(1), T.CenterCrop((10, 12)), T.Resize((7, 5))])
    expected = flip(image).crop((10, 6, 22, 16)).resize((5, 7), Image.BILINEAR)
    np.testing.assert_array_equal(cropped, np.asarray(expected))
    dataset = stoker.ImageList([path], [0], transform())
    count = sum(np.array_equal(hwc(dataset[0][0]), flipped) for _ in range(400))
    assert 130 < count < 270


def test_photographs(photos: Path) -> None:
    dataset = ImageFolder(photos, [T.Resize(256), T.CenterCrop(224)])
    for index in range(0, len(dataset), max(1, len(dataset) // 40)):
        image = Image.open(dataset.path(index)).convert("RGB")
        short = min(image.size)
        size = (256 * image.width // short, 256 * image.height // short)
        image = image.resize(size, Image.BILINEAR)
        left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
        expected = np.asarray(image.crop((left, top, left + 224, top + 224)))
        np.testing.assert_array_equal(hwc(dataset[index][0]), expected, err_msg=dataset.path(index))
