"""torchvision's transforms in the core, against torchvision itself on PIL images."""

# ruff: noqa: N803 (T is either version)
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision_operators import define_operators

if not define_operators():
    pytest.skip("torchvision is not installed", allow_module_level=True)

import torchvision
from torchvision import transforms as v1
from torchvision.transforms import v2

from stoker import DataLoader

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NEAREST, BICUBIC = v1.InterpolationMode.NEAREST, v1.InterpolationMode.BICUBIC
NEAREST_EXACT = v1.InterpolationMode.NEAREST_EXACT

Make = Callable[[Any], list[Any]]

# Transforms without chance, or whose range of chance is a point, for either version T.
SURE: dict[str, Make] = {
    "resize": lambda T: [T.Resize((40, 50))],
    "resize bicubic": lambda T: [T.Resize((40, 90), BICUBIC)],
    "resize short side": lambda T: [T.Resize(48), T.CenterCrop(40)],
    "resize max size": lambda T: [T.Resize(40, max_size=50), T.CenterCrop((30, 30))],
    "resize up": lambda T: [T.Resize((300, 200))],
    "resize without antialias": lambda T: [T.Resize((40, 50), antialias=False)],
    "center crop beyond the image": lambda T: [T.CenterCrop((200, 60))],
    "crop of all": lambda T: [T.Resize((40, 50)), T.RandomCrop((44, 54), padding=2, fill=7)],
    "crop edge": lambda T: [T.Resize((40, 50)), T.RandomCrop((46, 56), padding=3, padding_mode="edge")],
    "crop of all, four sides": lambda T: [T.Resize((40, 50)), T.RandomCrop((46, 54), padding=(1, 2, 3, 4))],
    "resized crop of all": lambda T: [
        T.Resize((40, 50)),
        T.RandomResizedCrop((30, 20), scale=(1, 1), ratio=(1.25, 1.25)),
    ],
    "flips": lambda T: [T.Resize((40, 50)), T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1)],
    "no flips": lambda T: [T.Resize((40, 50)), T.RandomHorizontalFlip(0), T.RandomVerticalFlip(0)],
    "pad": lambda T: [T.Resize((40, 50)), T.Pad((1, 2, 3, 4), fill=(10, 20, 30))],
    "pad edge": lambda T: [T.Resize((40, 50)), T.Pad(5, padding_mode="edge")],
    "pad reflect": lambda T: [T.Resize((40, 50)), T.Pad((5, 6), padding_mode="reflect")],
    "pad symmetric": lambda T: [T.Resize((40, 50)), T.Pad(5, padding_mode="symmetric")],
    "pad, then resize": lambda T: [T.Pad(20, fill=100), T.Resize((40, 50))],
    "brightness down": lambda T: [T.Resize((40, 50)), T.ColorJitter(brightness=(0.3, 0.3))],
    "brightness up": lambda T: [T.Resize((40, 50)), T.ColorJitter(brightness=(1.8, 1.8))],
    "contrast down": lambda T: [T.Resize((40, 50)), T.ColorJitter(contrast=(0.2, 0.2))],
    "contrast up": lambda T: [T.Resize((40, 50)), T.ColorJitter(contrast=(1.7, 1.7))],
    "contrast, then crop": lambda T: [T.ColorJitter(contrast=(1.7, 1.7)), T.CenterCrop(40)],
    "saturation": lambda T: [T.Resize((40, 50)), T.ColorJitter(saturation=(1.9, 1.9))],
    "no saturation": lambda T: [T.Resize((40, 50)), T.ColorJitter(saturation=(0, 0))],
    "hue": lambda T: [T.Resize((40, 50)), T.ColorJitter(hue=(0.13, 0.13))],
    "hue back": lambda T: [T.Resize((40, 50)), T.ColorJitter(hue=(-0.4, -0.4))],
    "colours before a resize": lambda T: [
        T.ColorJitter(brightness=(1.2, 1.2)),
        T.ColorJitter(hue=(0.1, 0.1)),
        T.RandomHorizontalFlip(1),
        T.Resize((40, 50)),
    ],
    "flip, then colours": lambda T: [
        T.Resize((40, 50)),
        T.RandomHorizontalFlip(1),
        T.ColorJitter(contrast=(0.6, 0.6)),
    ],
    "grayscale": lambda T: [T.Resize((40, 50)), T.Grayscale(3)],
    "random grayscale": lambda T: [T.Resize((40, 50)), T.RandomGrayscale(1)],
    "apply": lambda T: [T.Resize((40, 50)), T.RandomApply([T.ColorJitter(brightness=(0.5, 0.5))], p=1)],
    "apply nothing": lambda T: [T.Resize((40, 50)), T.RandomApply([T.Grayscale(3)], p=0)],
    "choice": lambda T: [
        T.Resize((40, 50)),
        T.RandomChoice([T.Grayscale(3), T.RandomVerticalFlip(1)], p=[1, 0]),
    ],
    "order": lambda T: [T.RandomOrder([T.Resize((40, 50)), T.RandomHorizontalFlip(0)])],
    "compose in compose": lambda T: [T.Compose([T.Compose([T.Resize((40, 50))]), T.RandomVerticalFlip(1)])],
}
TO_TENSOR: dict[str, Make] = {
    "v1": lambda T: [v1.ToTensor(), v1.Normalize(MEAN, STD)],
    "uint8": lambda T: [T.PILToTensor()],
    "v2": lambda T: [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)],
    "convert": lambda T: [v1.PILToTensor(), v1.ConvertImageDtype(torch.float32), v1.Normalize([0.5], [0.5])],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs' likes: JPEGs with and without subsampled chroma, a gray one, a PNG."""
    root = tmp_path_factory.mktemp("torchvision")
    for number, (size, sampling, mode) in enumerate(
        [((90, 70), 0, "RGB"), ((120, 81), 2, "RGB"), ((64, 100), 1, "RGB"), ((77, 77), 0, "L")]
    ):
        image = picture(size, number).convert(mode)
        (root / f"class{number % 2}").mkdir(exist_ok=True)
        options = {} if mode == "L" else {"subsampling": sampling}
        image.save(root / f"class{number % 2}" / f"{number}.jpg", quality=90, **options)
    picture((60, 60), 9).save(root / "class0" / "9.png")
    return root


def picture(size: tuple[int, int], seed: int) -> Image.Image:
    """Smooth colours with some edges."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def levels(ours: torch.Tensor, theirs: torch.Tensor, to: str) -> np.ndarray[Any, Any]:
    """How far apart they are, in levels of 0..255."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    difference = (ours.double() - theirs.double()).abs()
    if to == "convert":
        difference *= 0.5 * 255
    elif to != "uint8":
        difference *= torch.tensor(STD).view(-1, 1, 1) * 255
    return np.asarray(difference)


def check(folder: Path, transform: Any, to: str) -> None:
    """In the exact mode: the same, but for the order of float operations."""
    theirs = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(theirs, len(theirs), num_workers=0, pixels="exact")
    assert loader.native, loader.plan()
    ((images, labels),) = list(loader)
    assert labels.tolist() == theirs.targets
    for i, image in enumerate(images):
        assert levels(image, theirs[i][0], to).max() < 0.01


@pytest.mark.parametrize("version", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize("name", SURE)
def test_as_torchvision(folder: Path, name: str, version: Any) -> None:
    to = "v1" if version is v1 else "v2"
    check(folder, version.Compose([*SURE[name](version), *TO_TENSOR[to](version)]), to)


# These make differences larger by their factor, those of the fast mode as well.
AMPLIFYING = ("resize bicubic", "brightness up", "contrast up", "saturation", "hue", "hue back")


@pytest.mark.parametrize("name", SURE)
def test_photographs_in_the_fast_mode(photos: Path, name: str) -> None:
    theirs = torchvision.datasets.ImageFolder(str(photos), v1.Compose([*SURE[name](v1), v1.PILToTensor()]))
    some = torch.utils.data.Subset(theirs, range(0, len(theirs), max(1, len(theirs) // 20)))
    ((images, _),) = list(DataLoader(some, len(some), index=None))
    difference = np.concatenate([levels(a, some[i][0], "uint8").ravel() for i, a in enumerate(images)])
    mean, percentile = (0.8, 3) if name in AMPLIFYING else (0.5, 2)
    assert difference.mean() <= mean
    assert np.percentile(difference, 99) <= percentile


@pytest.mark.parametrize("to", TO_TENSOR)
def test_the_ways_to_a_tensor(folder: Path, to: str) -> None:
    for version in (v1, v2):
        check(folder, version.Compose([version.Resize((40, 50)), *TO_TENSOR[to](version)]), to)


# Tensors' arithmetic is torch's, which truncates where Pillow rounds: about a level.
@pytest.mark.parametrize(
    "name", [n for n in SURE if not n.startswith(("hue", "colours", "resize without", "pad refl", "pad sym"))]
)
def test_tensors_from_the_start(folder: Path, name: str) -> None:
    transform = v2.Compose([v2.ToImage(), *SURE[name](v2), v2.ToDtype(torch.float32, scale=True)])
    theirs = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(theirs, len(theirs), num_workers=0, pixels="exact")
    assert loader.native, loader.plan()
    ((images, _),) = list(loader)
    for i, image in enumerate(images):
        difference = (image - theirs[i][0]).abs() * 255
        assert difference.mean() <= 1.1
        assert np.percentile(difference, 99) <= 3


@pytest.mark.parametrize("version", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize("mode", [NEAREST, NEAREST_EXACT], ids=["nearest", "nearest-exact"])
@pytest.mark.parametrize("size", [(40, 50), (23, 31), (150, 140)])
def test_nearest_neighbour(folder: Path, version: Any, mode: Any, size: tuple[int, int]) -> None:
    transform = version.Compose([version.Resize(size, mode), version.PILToTensor()])
    theirs = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(theirs, len(theirs), num_workers=0)
    assert loader.native
    ((images, _),) = list(loader)
    equal = torch.stack([images[i] == theirs[i][0] for i in range(len(theirs))])
    assert equal.float().mean() >= 0.99


@pytest.mark.parametrize("version", [v1, v2], ids=["v1", "v2"])
def test_one_channel(folder: Path, version: Any) -> None:
    to_tensor = [v1.ToTensor()] if version is v1 else [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = version.Compose(
        [version.Grayscale(), version.Resize((40, 50)), *to_tensor, version.Normalize([0.4], [0.2])]
    )
    theirs = torchvision.datasets.ImageFolder(str(folder), transform)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        loader = DataLoader(theirs, len(theirs), num_workers=2, pixels="exact", memory_format=memory_format)
        assert loader.native
        ((images, _),) = list(loader)
        assert images.shape == (5, 1, 40, 50)
        assert images.is_contiguous(memory_format=memory_format)
        for i, image in enumerate(images):
            # Gray before the resize there, and after it here for each channel: a level at most.
            assert ((image - theirs[i][0]).abs() * 0.2 * 255).max() <= 1.01


@pytest.mark.parametrize("version", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize("value", [0, (0.1, 0.2, 0.3), 3.5])
def test_erasing(folder: Path, version: Any, value: Any) -> None:
    """The rectangle is random; its value, its share and its shape are not."""
    erase = version.RandomErasing(1, scale=(0.2, 0.3), ratio=(0.5, 2), value=value)
    plain = [version.Resize((40, 50)), v1.ToTensor(), version.Normalize(MEAN, STD)]
    folder_with = torchvision.datasets.ImageFolder(str(folder), version.Compose([*plain, erase]))
    folder_without = torchvision.datasets.ImageFolder(str(folder), version.Compose(plain))
    ((erased, _),) = list(DataLoader(folder_with, 5, num_workers=0))
    ((whole, _),) = list(DataLoader(folder_without, 5, num_workers=0))
    wanted = torch.tensor(value, dtype=torch.float32).expand(3)
    for one, other in zip(erased, whole):
        changed = (one != other).any(0)
        rows, columns = changed.any(1).nonzero().ravel(), changed.any(0).nonzero().ravel()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert 0.15 <= height * width / 2000 <= 0.35
        assert 0.4 <= height / width <= 2.5
        inside = one[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.allclose(inside, wanted.view(3, 1, 1).expand_as(inside), atol=1e-6)


def test_erasing_between_conversion_and_normalize(folder: Path) -> None:
    erase = v1.RandomErasing(1, scale=(0.9, 0.9), ratio=(0.8, 0.8), value=0.25)
    transform = v1.Compose([v1.Resize((40, 50)), v1.ToTensor(), erase, v1.Normalize(MEAN, STD)])
    ((images, _),) = list(DataLoader(torchvision.datasets.ImageFolder(str(folder), transform), 5))
    expected = (0.25 - torch.tensor(MEAN)) / torch.tensor(STD)
    assert torch.allclose(images[:, :, 20, 25], expected.expand(5, 3), atol=1e-5)


def test_erasing_with_noise(folder: Path) -> None:
    erase = v1.RandomErasing(1, scale=(0.9, 0.9), ratio=(0.8, 0.8), value="random")
    transform = v1.Compose([v1.Resize((200, 250)), v1.ToTensor(), v1.Normalize(MEAN, STD), erase])
    ((images, _),) = list(DataLoader(torchvision.datasets.ImageFolder(str(folder), transform), 5))
    middle = images[:, :, 20:180, 25:225]
    assert abs(float(middle.mean())) < 0.01
    assert abs(float(middle.std()) - 1) < 0.01


def test_exif_orientation_is_not_applied_as_torchvision_does_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    image = picture((60, 40), 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a" / "turned.jpg", exif=exif)
    transform = v1.Compose([v1.Resize((30, 45)), v1.PILToTensor()])
    check(tmp_path, transform, "uint8")
