"""Descriptions: what they take and refuse, and the values, dtypes and layouts that come of them."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import hwc, photo_like
from PIL import Image

import stoker
from stoker import DataLoader, ImageList
from stoker import transforms as T

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

EXAMPLES = [
    T.Resize(8),
    T.Resize((8, 9), "bicubic", antialias=None),
    T.Resize(8, max_size=20),
    T.CenterCrop(4),
    T.RandomCrop((4, 5), padding=(1, 2), pad_if_needed=True, fill=(1, 2, 3), padding_mode="edge"),
    T.RandomResizedCrop([4, 5], scale=[0.5, 1.0], ratio=[0.9, 1.1]),
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(0.25),
    T.ToImage(),
    T.ToDtype(torch.float32, scale=True),
    T.Normalize(list(MEAN), list(STD)),
    T.Compose([T.Resize(8), T.CenterCrop(4)]),
    T.Pad((1, 2), fill=3, padding_mode="reflect"),
    T.ColorJitter(0.4, (0.5, 0.75), None, 0.1),
    T.Grayscale(3),
    T.RandomGrayscale(0.2),
    T.RandomErasing(value="random"),
    T.RandomApply([T.Resize(8)], 0.25),
    T.RandomChoice([T.Resize(8), T.CenterCrop(4)], p=[1, 2]),
    T.RandomOrder([T.RandomHorizontalFlip(), T.RandomVerticalFlip()]),
    T.ToTensor(),
    T.PILToTensor(),
    T.ConvertImageDtype(torch.float32),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """31 x 23 pixels in which every value of every channel's range may occur."""
    path = tmp_path_factory.mktemp("transforms") / "image.png"
    pixels = np.arange(31 * 23 * 3).reshape(23, 31, 3) * 7 % 256
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def first(path: Path, transform: Any) -> torch.Tensor:
    tensor: torch.Tensor = ImageList([path], [0], transform)[0][0]
    return tensor


# ---- descriptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", EXAMPLES, ids=lambda t: type(t).__name__)
def test_descriptions_are_frozen_equal_hashable_and_picklable(transform: Any) -> None:
    values = {f.name: getattr(transform, f.name) for f in dataclasses.fields(transform)}
    twin = type(transform)(**values)  # the normal form is accepted again
    assert twin == transform
    assert hash(twin) == hash(transform)
    assert pickle.loads(pickle.dumps(transform)) == transform
    assert type(transform).__name__ in repr(transform)
    for name in values:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(transform, name, None)


def test_examples_are_all_descriptions_and_all_different() -> None:
    assert {type(t).__name__ for t in EXAMPLES} == set(T.__all__) - {"Transform", "InterpolationMode"}
    assert all(a != b for a, b in itertools.combinations(EXAMPLES, 2))


def test_normal_forms() -> None:
    assert T.Resize([8]) == T.Resize(8)
    assert T.Resize([8, 9]) == T.Resize((8, 9))
    assert T.CenterCrop(4) == T.CenterCrop((4, 4)) == T.CenterCrop([4])
    assert T.RandomCrop(4, padding=2) == T.RandomCrop(4, padding=(2, 2, 2, 2)) == T.RandomCrop(4, [2])
    assert T.RandomCrop(4, padding=(1, 2)) == T.RandomCrop(4, padding=(1, 2, 1, 2))
    assert T.RandomCrop(4, fill=3) == T.RandomCrop(4, fill=(3, 3, 3))
    assert T.Normalize([1], [2]) == T.Normalize((1.0,), (2.0,))
    assert T.Pad(2) == T.Pad((2, 2)) == T.Pad([2, 2, 2, 2], fill=(0, 0, 0))
    assert T.ColorJitter(0.5) == T.ColorJitter((0.5, 1.5), 0, 0, 0)
    assert T.ColorJitter(2.0).brightness == (0.0, 3.0)
    assert T.ColorJitter(hue=0.5) == T.ColorJitter(hue=(-0.5, 0.5))
    assert T.RandomErasing(value=1) == T.RandomErasing(value=(1.0,))
    assert T.Resize(8, interpolation="bicubic").interpolation is T.InterpolationMode.BICUBIC


def test_torchvisions_enum_is_taken() -> None:
    class InterpolationMode(enum.Enum):
        NEAREST = "nearest"
        BICUBIC = "bicubic"
        LANCZOS = "lanczos"

    assert T.Resize(8, InterpolationMode.BICUBIC) == T.Resize(8, "bicubic")
    assert T.RandomResizedCrop(8, interpolation=InterpolationMode.NEAREST) == T.RandomResizedCrop(
        8, interpolation="nearest"
    )
    with pytest.raises(ValueError, match="interpolation must be one of nearest, bilinear, bicubic"):
        T.Resize(8, InterpolationMode.LANCZOS)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (T.Resize, {"size": 0}, "Resize: size must be a positive int, got 0"),
        (T.Resize, {"size": -3}, "positive int"),
        (T.Resize, {"size": True}, "positive int"),
        (T.Resize, {"size": 8.0}, "an int or"),
        (T.Resize, {"size": (8, 8, 8)}, "an int or"),
        (T.Resize, {"size": (8, 0)}, "positive int"),
        (T.Resize, {"size": ()}, "an int or"),
        (T.Resize, {"size": None}, "an int or"),
        (T.Resize, {"size": [0]}, "positive int"),
        (T.Resize, {"size": (8, 8), "max_size": 9}, "max_size goes with an int size only"),
        (T.Resize, {"size": 8, "max_size": 8}, "must be larger than size"),
        (T.Resize, {"size": 8, "max_size": -1}, "positive int"),
        (T.Resize, {"size": 8, "antialias": False}, "Resize: antialias=False is not supported"),
        (T.Resize, {"size": 8, "interpolation": "lanczos"}, "Resize: interpolation must be one of"),
        (T.Resize, {"size": 8, "interpolation": 2}, "must be one of"),
        (T.CenterCrop, {"size": 0}, "CenterCrop: size"),
        (T.CenterCrop, {"size": "ab"}, "CenterCrop: size"),
        (T.RandomCrop, {"size": 0}, "RandomCrop: size"),
        (T.RandomCrop, {"size": 4, "padding": -1}, "RandomCrop: padding"),
        (T.RandomCrop, {"size": 4, "padding": (1, 2, 3)}, "1, 2 or 4 ints"),
        (T.RandomCrop, {"size": 4, "padding": ()}, "1, 2 or 4 ints"),
        (T.RandomCrop, {"size": 4, "fill": 256}, "0..255"),
        (T.RandomCrop, {"size": 4, "fill": (1, 2)}, "1 or 3 ints"),
        (T.RandomCrop, {"size": 4, "padding_mode": "wrap"}, "constant, edge, reflect, symmetric"),
        (T.RandomResizedCrop, {"size": (4, -4)}, "RandomResizedCrop: size"),
        (T.RandomResizedCrop, {"size": 4, "scale": (0.5,)}, "RandomResizedCrop: scale"),
        (T.RandomResizedCrop, {"size": 4, "scale": (0, 1)}, "0 < low <= high"),
        (T.RandomResizedCrop, {"size": 4, "scale": (1.0, 0.5)}, "0 < low <= high"),
        (T.RandomResizedCrop, {"size": 4, "ratio": (1.0, float("inf"))}, "ratio must be finite"),
        (T.RandomErasing, {"ratio": (1.0, float("inf"))}, "ratio must be finite"),
        (T.RandomResizedCrop, {"size": 4, "ratio": (2, 1)}, "RandomResizedCrop: ratio"),
        (T.RandomResizedCrop, {"size": 4, "ratio": 1.0}, "RandomResizedCrop: ratio"),
        (T.RandomResizedCrop, {"size": 4, "antialias": False}, "antialias=False"),
        (T.RandomResizedCrop, {"size": 4, "interpolation": None}, "must be one of"),
        (T.RandomHorizontalFlip, {"p": 1.5}, "RandomHorizontalFlip: p"),
        (T.RandomVerticalFlip, {"p": -0.1}, "RandomVerticalFlip: p"),
        (T.RandomVerticalFlip, {"p": float("nan")}, "RandomVerticalFlip: p"),
        (T.ToDtype, {"dtype": torch.float16}, "torch.float32 or torch.uint8"),
        (T.ToDtype, {"dtype": "float32"}, "torch.float32 or torch.uint8"),
        (T.Pad, {"padding": (1, 2, 3)}, "1, 2 or 4 ints"),
        (T.Pad, {"padding": -1}, "Pad: padding"),
        (T.Pad, {"padding": 1, "fill": 256}, "0..255"),
        (T.Pad, {"padding": 1, "padding_mode": "wrap"}, "constant, edge, reflect, symmetric"),
        (T.ColorJitter, {"brightness": -1}, "must not be negative"),
        (T.ColorJitter, {"contrast": (0.5, 0.2)}, "ColorJitter: contrast"),
        (T.ColorJitter, {"saturation": (0.5, float("inf"))}, "must be finite"),
        (T.ColorJitter, {"hue": 0.6}, "ColorJitter: hue"),
        (T.Grayscale, {"num_output_channels": 2}, "1 or 3"),
        (T.RandomGrayscale, {"p": 2}, "RandomGrayscale: p"),
        (T.RandomErasing, {"p": -1}, "RandomErasing: p"),
        (T.RandomErasing, {"scale": (0.1, 1.5)}, "must not be above 1"),
        (T.RandomErasing, {"value": "noise"}, "numbers or"),
        (T.RandomErasing, {"value": (1, 2)}, "1 or 3 finite numbers"),
        (T.RandomApply, {"transforms": []}, "at least one"),
        (T.RandomApply, {"transforms": [T.Resize(8)], "p": 2}, "RandomApply: p"),
        (T.RandomChoice, {"transforms": [T.Resize(8)], "p": [1, 2]}, "1 transform, but 2 weights"),
        (T.RandomChoice, {"transforms": [T.Resize(8)], "p": [0]}, "not all 0"),
        (T.RandomOrder, {"transforms": []}, "at least one"),
        (T.ConvertImageDtype, {"dtype": torch.float16}, "torch.float32 or torch.uint8"),
        (T.Normalize, {"mean": (0, 0), "std": (1, 1)}, "1 or 3 values"),
        (T.Normalize, {"mean": MEAN, "std": (1, 0, 1)}, "std not zero"),
        (T.Normalize, {"mean": (float("nan"),), "std": (1,)}, "finite"),
        (T.Normalize, {"mean": (0,), "std": (float("inf"),)}, "finite"),
    ],
)
def test_refused_arguments(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ([T.Normalize(MEAN, STD)], "Normalize needs ToDtype"),
        ([T.ToDtype(torch.uint8), T.Normalize(MEAN, STD)], "Normalize needs ToDtype"),
        ([T.ToDtype(torch.float32), T.Resize(8)], "Resize must stand before ToDtype"),
        (
            [T.ToDtype(torch.float32), T.Normalize(MEAN, STD), T.CenterCrop(8)],
            "CenterCrop must stand before ToDtype",
        ),
        ([T.ToDtype(torch.float32), T.Pad(1, fill=1)], "Pad must stand before ToDtype"),
        ([T.ToDtype(torch.float32), T.ColorJitter(0.5)], "ColorJitter must stand before ToDtype"),
        ([T.ToDtype(torch.float32), T.RandomApply([T.Resize(8)])], "Resize must stand before ToDtype"),
        ([T.RandomErasing(), T.CenterCrop(8)], "CenterCrop must stand before RandomErasing"),
        ([T.RandomErasing(value="random")], "needs ToDtype"),
        ([T.RandomErasing(value=0.5)], "value must be 0..255"),
        ([T.RandomApply([T.ToTensor()])], "cannot stand among"),
        ([T.RandomApply([T.Grayscale(1)])], "different numbers of channels"),
        ([T.Grayscale(1), T.ToTensor(), T.Normalize(MEAN, STD)], "1 channel"),
        ([T.Grayscale(1), T.ToTensor(), T.RandomErasing(value=(1, 2, 3))], "1 channel"),
        ([T.RandomHorizontalFlip()] * 256, "more than 255 transforms"),
        ([T.ToDtype(torch.float32), T.ToDtype(torch.uint8)], "is not supported"),
    ],
)
def test_refused_orders_show_when_the_dataset_is_made(image: Path, transform: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageList([image], [0], transform)


def test_branches_count_as_the_core_counts_them(image: Path) -> None:
    flips = [T.RandomHorizontalFlip()] * 200
    assert len(ImageList([image], [0], [T.CenterCrop(8), T.RandomChoice(flips)])) == 1
    with pytest.raises(ValueError, match="more than 255 transforms"):
        ImageList([image], [0], [T.RandomChoice(flips), T.RandomApply([T.RandomOrder(flips[:60])])])


@pytest.mark.parametrize("transform", ["Resize", 3, [T.Resize(8), "Resize"]])
def test_what_is_neither_description_nor_callable_is_refused(image: Path, transform: Any) -> None:
    with pytest.raises(TypeError, match="neither a description"):
        ImageList([image], [0], transform)


# ---- values --------------------------------------------------------------------------------------


def test_without_transforms_the_image_is_uint8(image: Path) -> None:
    expected = np.asarray(Image.open(image))
    for transform in (None, [], T.Compose([]), [T.ToImage()], T.ToDtype(torch.uint8, scale=True)):
        tensor = first(image, transform)
        assert tensor.dtype == torch.uint8
        assert tensor.shape == (3, 23, 31)
        np.testing.assert_array_equal(hwc(tensor), expected)


def test_compose_nests_and_equals_a_list(image: Path) -> None:
    steps = [T.Resize(16), T.CenterCrop(12), T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
    expected = first(image, steps)
    assert torch.equal(first(image, T.Compose(steps)), expected)
    assert torch.equal(first(image, [T.Compose(steps[:2]), [T.Compose(steps[2:])]]), expected)


@pytest.mark.parametrize("scale", [True, False])
def test_to_float(image: Path, scale: bool) -> None:
    tensor = first(image, T.ToDtype(torch.float32, scale=scale))
    assert tensor.dtype == torch.float32
    expected = first(image, None).double() / (255 if scale else 1)
    torch.testing.assert_close(tensor.double(), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("std", [STD, (1.0, 0.5, 2.0), (-0.5, 0.5, 0.5)])
def test_normalize_is_torchvisions_formula(image: Path, std: tuple[float, ...]) -> None:
    steps = [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, std)]
    pixels = first(image, None).double()
    mean, deviation = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, std))
    expected = (pixels / 255 - mean) / deviation
    assert (first(image, steps).double() - expected).abs().max() <= 2e-6


def test_normalize_of_unscaled_values_and_twice(image: Path) -> None:
    pixels = first(image, None).double()
    once = first(image, [T.ToDtype(torch.float32), T.Normalize([100.0], [50.0])])
    torch.testing.assert_close(once.double(), (pixels - 100) / 50, rtol=0, atol=2e-6)
    twice = first(
        image, [T.ToDtype(torch.float32, scale=True), T.Normalize([0.5], [0.5]), T.Normalize([0.1], [2.0])]
    )
    torch.testing.assert_close(twice.double(), ((pixels / 255 - 0.5) / 0.5 - 0.1) / 2, rtol=0, atol=2e-6)


def test_flip_behind_normalize(image: Path) -> None:
    steps = [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
    flipped = first(image, [*steps, T.RandomHorizontalFlip(1.0)])
    assert torch.equal(flipped, first(image, steps).flip(-1))


@pytest.mark.parametrize("width", [*range(1, 20), 31, 32, 33, 63, 64, 65])
def test_values_do_not_depend_on_the_simd_target(tmp_path: Path, width: int, simd_target: Any) -> None:
    path = tmp_path / "image.png"
    photo_like(40, 30).save(path)
    plans: list[list[T.Transform]] = [
        [T.Resize((9, width)), T.RandomHorizontalFlip(1.0)],
        [T.Resize((9, width), "bicubic"), T.ToDtype(torch.float32, True), T.Normalize(MEAN, STD)],
    ]
    results = []
    assert len(stoker._C.simd_targets()) >= 1
    for target in stoker._C.simd_targets():
        simd_target(target)
        assert stoker._C.simd_target() == target
        results.append([first(path, plan) for plan in plans])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@pytest.mark.parametrize("as_float", [False, True])
def test_memory_formats(image: Path, as_float: bool) -> None:
    steps: list[T.Transform] = [T.Resize((10, 12))]
    if as_float:
        steps += [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
    dataset = ImageList([image] * 5, range(5), steps)
    plain, last = (
        next(iter(DataLoader(dataset, batch_size=5, num_workers=1, memory_format=memory_format)))[0]
        for memory_format in (torch.contiguous_format, torch.channels_last)
    )
    assert plain.shape == last.shape == (5, 3, 10, 12)
    assert plain.dtype == last.dtype == (torch.float32 if as_float else torch.uint8)
    assert plain.stride() == (360, 120, 12, 1)
    assert last.stride() == (360, 1, 36, 3)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)
    with pytest.raises(ValueError, match="memory_format"):
        DataLoader(dataset, memory_format=torch.preserve_format)
