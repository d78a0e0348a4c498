"""DataLoader(pixels=…, dct_scaling=…): the fast pixel mode against the exact one and Pillow."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from conftest import photo_like
from PIL import Image

from stoker import DataError, DataLoader, ImageFolder, ImageList
from stoker import transforms as T

# Pillow's names for 4:4:4, 4:2:2 and 4:2:0; gray has one plane, 4:1:1 chroma of a quarter's width.
SAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:1:1", "gray"]
EVALUATION = [T.Resize(64), T.CenterCrop((50, 56))]
TRAINING = [T.RandomResizedCrop((50, 56), scale=(0.3, 1)), T.RandomHorizontalFlip()]
MEAN, PERCENTILE = 0.6, 8  # of 255: what the fast mode may be away from Pillow


def save(image: Image.Image, path: Path, sampling: str) -> None:
    if sampling == "gray":
        image.convert("L").save(path, quality=92)
    else:
        image.save(path, quality=92, subsampling=sampling)


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Six files of each sampling, of odd and even sizes, large and small."""
    root = tmp_path_factory.mktemp("jpegs")
    sizes = [(301, 200), (160, 240), (640, 427), (97, 131), (333, 332), (70, 64)]
    files: dict[str, list[Path]] = {}
    for sampling in SAMPLINGS:
        for index, size in enumerate(sizes):
            path = root / f"{sampling.replace(':', '')}-{index}.jpg"
            save(photo_like(*size, seed=index), path, sampling)
            files.setdefault(sampling, []).append(path)
    return files


def images(dataset: ImageList | ImageFolder, **options: Any) -> torch.Tensor:
    """All images of one epoch, in order; the random transforms are those of seed 5."""
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(dataset, 4, pin_memory=False, generator=generator, **options)
    assert loader.native
    return torch.cat([batch for batch, _ in loader])


def every(files: dict[str, list[Path]]) -> list[Path]:
    return [path for sampling in SAMPLINGS for path in files[sampling]]


def listed(paths: list[Path], transform: Any) -> ImageList:
    return ImageList(paths, range(len(paths)), transform)


def evaluated(image: Image.Image, short: int, height: int, width: int) -> np.ndarray:
    """Pillow's Resize(short) and CenterCrop((height, width))."""
    smaller = min(image.size)
    size = (short * image.width // smaller, short * image.height // smaller)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return np.asarray(image.crop((left, top, left + width, top + height)))


def by_pillow(paths: list[Path], short: int = 64, height: int = 50, width: int = 56) -> torch.Tensor:
    arrays = [evaluated(Image.open(path).convert("RGB"), short, height, width) for path in paths]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def distance(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """Mean and 99.9th percentile of the absolute differences."""
    assert a.shape == b.shape
    away = np.abs(a.numpy().astype(int) - b.numpy().astype(int))
    return float(away.mean()), float(np.percentile(away, 99.9))


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    mean, percentile = distance(a, b)
    assert 0 < mean <= MEAN  # 0: not the fast mode at all
    assert percentile <= PERCENTILE


# ---- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["", "Fast", "pillow", None, True, 1])
def test_other_pixels_are_refused(jpegs: dict[str, list[Path]], pixels: Any) -> None:
    with pytest.raises(ValueError, match='pixels must be "fast" or "exact"'):
        DataLoader(listed(jpegs["gray"], EVALUATION), pixels=pixels)


def test_dct_scaling_of_exact_pixels_is_refused(jpegs: dict[str, list[Path]]) -> None:
    with pytest.raises(ValueError, match="dct_scaling"):
        DataLoader(listed(jpegs["gray"], EVALUATION), pixels="exact", dct_scaling=True)


def test_fast_pixels_without_dct_scaling_are_the_default(jpegs: dict[str, list[Path]]) -> None:
    dataset = listed(jpegs["4:2:0"], EVALUATION)
    loader = DataLoader(dataset)
    assert (loader.pixels, loader.dct_scaling) == ("fast", False)
    assert torch.equal(images(dataset), images(dataset, pixels="fast", dct_scaling=False))
    assert not torch.equal(images(dataset), images(dataset, pixels="exact"))


@pytest.mark.parametrize(("pixels", "dct_scaling"), [("fast", True), ("fast", False), ("exact", False)])
def test_the_arguments_are_attributes_and_go_with_copies(
    jpegs: dict[str, list[Path]], pixels: Any, dct_scaling: bool
) -> None:
    dataset = listed(jpegs["4:2:0"], [T.Resize((12, 10))])
    loader = DataLoader(dataset, 6, pixels=pixels, dct_scaling=dct_scaling)
    expected = next(iter(loader))[0]
    for same in (loader, copy.copy(loader), copy.deepcopy(loader)):
        assert (same.pixels, same.dct_scaling) == (pixels, dct_scaling)
        assert torch.equal(next(iter(same))[0], expected)


def test_changed_attributes_hold_from_the_next_epoch_on(jpegs: dict[str, list[Path]]) -> None:
    dataset = listed(jpegs["4:2:0"], [T.Resize((12, 10))])
    loader = DataLoader(dataset, 6)
    modes: list[tuple[Any, bool]] = [("exact", False), ("fast", False), ("fast", True), ("exact", False)]
    got = []
    for loader.pixels, loader.dct_scaling in modes:
        got.append(next(iter(loader))[0])
        assert torch.equal(
            got[-1], images(dataset, pixels=loader.pixels, dct_scaling=loader.dct_scaling, num_workers=0)[:6]
        )
    assert torch.equal(got[0], got[3])
    assert not torch.equal(got[0], got[1])
    assert not torch.equal(got[1], got[2])


# ---- pixels --------------------------------------------------------------------------------------


def test_exact_pixels_are_the_datasets_and_pillows(jpegs: dict[str, list[Path]]) -> None:
    dataset = listed(every(jpegs), EVALUATION)
    got = images(dataset, pixels="exact")
    assert torch.equal(got, by_pillow(every(jpegs)))
    assert torch.equal(got, torch.stack([dataset[index][0] for index in range(len(dataset))]))
    expected = torch.cat([batch for batch, _ in torch_data.DataLoader(dataset, 4)])
    assert torch.equal(got, expected)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_fast_pixels_are_within_rounding_of_pillows(jpegs: dict[str, list[Path]], sampling: str) -> None:
    assert_close(images(listed(jpegs[sampling], EVALUATION)), by_pillow(jpegs[sampling]))


@pytest.mark.parametrize("method", [T.InterpolationMode.BILINEAR, T.InterpolationMode.BICUBIC])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_random_crops_and_flips_are_the_same_ones_in_both_modes(
    jpegs: dict[str, list[Path]], sampling: str, method: Any
) -> None:
    transform = [T.RandomResizedCrop((50, 56), interpolation=method), T.RandomHorizontalFlip()]
    dataset = listed(jpegs[sampling] * 3, transform)
    assert_close(images(dataset), images(dataset, pixels="exact"))


def test_floats_and_channels_last_are_made_of_the_same_pixels(jpegs: dict[str, list[Path]]) -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    plain = images(listed(every(jpegs), TRAINING))
    normalize = [T.ToDtype(torch.float32, scale=True), T.Normalize(mean, std)]
    floats = images(listed(every(jpegs), [*TRAINING, *normalize]), memory_format=torch.channels_last)
    assert floats.dtype == torch.float32
    shape = (1, 3, 1, 1)
    expected = (plain / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    torch.testing.assert_close(floats, expected, rtol=1e-5, atol=1e-5, check_stride=False)


def test_other_formats_and_turned_files_have_the_exact_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options: list[tuple[str, dict[str, Any]]] = [
        ("a.png", {}),
        ("a.ppm", {}),
        ("a.webp", {}),
        ("turned.jpg", {"exif": exif}),
        ("progressive.jpg", {"progressive": True}),
    ]
    for index, (name, how) in enumerate(options):
        photo_like(150, 110, seed=index).save(tmp_path / name, **how)
    dataset = listed([tmp_path / name for name, _ in options], EVALUATION)
    assert torch.equal(images(dataset, dct_scaling=True), images(dataset, pixels="exact"))


@pytest.mark.parametrize(
    "transform",
    [T.CenterCrop(60), T.RandomCrop(60, padding=3), T.Resize((30, 30), T.InterpolationMode.NEAREST)],
    ids=["center crop", "random crop", "nearest"],
)
def test_transforms_without_a_smooth_resize_have_the_exact_pixels(
    jpegs: dict[str, list[Path]], transform: Any
) -> None:
    dataset = listed(every(jpegs), transform)
    assert torch.equal(images(dataset), images(dataset, pixels="exact"))


@pytest.mark.parametrize("options", [{}, {"dct_scaling": True}, {"pixels": "exact"}], ids=str)
def test_any_number_of_workers_makes_the_same_batches(
    jpegs: dict[str, list[Path]], options: dict[str, Any]
) -> None:
    dataset = listed(every(jpegs), TRAINING)
    expected = images(dataset, num_workers=0, **options)
    for workers in (1, 2, 4):
        assert torch.equal(images(dataset, num_workers=workers, **options), expected)


def test_every_simd_target_makes_the_same_batches(
    jpegs: dict[str, list[Path]], simd_target: Callable[[str], object]
) -> None:
    from stoker import _C

    dataset = listed(every(jpegs), TRAINING)
    expected = images(dataset)
    for target in _C.simd_targets():
        simd_target(target)
        assert torch.equal(images(dataset), expected)


def test_dct_scaling_changes_large_reductions_only(jpegs: dict[str, list[Path]]) -> None:
    large = [path for sampling in SAMPLINGS for path in jpegs[sampling][2:3]]  # 640 × 427
    for size, changes in [((120, 150), False), ((100, 150), True), ((40, 60), True)]:
        dataset = listed(large, T.Resize(size))
        plain, scaled = images(dataset), images(dataset, dct_scaling=True)
        assert torch.equal(plain, scaled) != changes
        mean, percentile = distance(scaled, images(dataset, pixels="exact"))
        assert mean <= 5
        assert percentile <= 60


@pytest.mark.parametrize("pixels", ["fast", "exact"])
def test_damaged_files_fail_alike(jpegs: dict[str, list[Path]], tmp_path: Path, pixels: Any) -> None:
    data = jpegs["4:2:0"][0].read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:300])
    dataset = ImageList([tmp_path / "cut.jpg"], [0], EVALUATION)
    with pytest.raises(DataError) as expected:
        dataset[0]
    with pytest.raises(DataError) as caught:
        images(dataset, pixels=pixels)
    assert caught.value.stage == expected.value.stage == "decode"
    assert caught.value.reason == expected.value.reason


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_photographs_are_within_rounding_of_pillows(photos: Path, tmp_path: Path, sampling: str) -> None:
    folder = ImageFolder(photos, EVALUATION)
    chosen = [folder.path(index) for index in range(0, len(folder), max(1, len(folder) // 12))]
    files = []
    for index, path in enumerate(chosen):
        files.append(tmp_path / f"{index}.jpg")
        save(Image.open(path).convert("RGB"), files[-1], sampling)
    got = images(listed(files, [T.Resize(256), T.CenterCrop(224)]), num_workers=os.cpu_count() or 1)
    assert_close(got, by_pillow(files, 256, 224, 224))
