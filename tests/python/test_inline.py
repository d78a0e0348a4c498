"""Transforms that only Python can run, with the native ones around them in the core."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from torchvision_operators import define_operators

from stoker import DataError, DataLoader, ImageFolder
from stoker import transforms as T

if not define_operators():
    pytest.skip("torchvision is not installed", allow_module_level=True)

import torchvision
from PIL import Image, ImageOps
from torchvision import transforms as v1
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Invert:
    """PIL image to PIL image; says what it was given."""

    def __call__(self, image: Any) -> Any:
        assert isinstance(image, Image.Image), type(image)
        assert image.mode == "RGB"
        return ImageOps.invert(image)


class Brighter:
    def __call__(self, image: Any) -> Any:
        assert isinstance(image, torch.Tensor)
        return image + 0.5 if image.dtype == torch.float32 else image.clamp(max=200) + 55


class ToGray:
    def __call__(self, image: Any) -> Any:
        return image.convert("L")


SMALL = v1.Resize((20, 24))
FLOAT_V2 = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
PIPELINES: dict[str, list[Any]] = {
    "in the middle": [SMALL, Invert(), v1.RandomHorizontalFlip(1), v1.ToTensor(), v1.Normalize(MEAN, STD)],
    "first": [Invert(), SMALL, v1.PILToTensor()],
    "last but one": [SMALL, v1.CenterCrop(18), Invert(), v1.ToTensor()],
    "on a float tensor": [SMALL, v1.ToTensor(), Brighter(), v1.Normalize(MEAN, STD)],
    "on a uint8 tensor": [SMALL, v1.PILToTensor(), Brighter(), v1.ConvertImageDtype(torch.float32)],
    "v2": [v2.Resize((20, 24)), Invert(), *FLOAT_V2, v2.Normalize(MEAN, STD)],
    "v2 on a tensor": [v2.ToImage(), v2.CenterCrop(20), Brighter(), v2.ToDtype(torch.float32, scale=True)],
    "twice": [SMALL, Invert(), v1.CenterCrop(12), Invert(), v1.RandomVerticalFlip(1), v1.ToTensor()],
    "leaves gray, which no tail can take": [SMALL, ToGray(), v1.RandomVerticalFlip(1), v1.ToTensor()],
    "no native counterpart": [SMALL, v1.GaussianBlur(3, (1.0, 1.0)), v1.ToTensor()],
    "a tail without a tensor": [SMALL, v1.ToTensor(), Brighter(), v1.RandomVerticalFlip(1)],
    "nearest on tensors": [v1.PILToTensor(), v1.Resize((20, 24), v1.InterpolationMode.NEAREST)],
    "a pad that comes too late": [SMALL, v1.ToTensor(), v1.Normalize(MEAN, STD), v1.Pad(1)],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inline")
    write_photos(root / "a", 4)
    write_photos(root / "b", 4, subsampling=0)
    return root


def theirs(folder: Path, name: str) -> Any:
    return torchvision.datasets.ImageFolder(str(folder), v1.Compose(PIPELINES[name]))


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("workers", [0, 2])
def test_as_torchs_loader(folder: Path, name: str, workers: int) -> None:
    if workers and name not in ("in the middle", "v2"):
        pytest.skip("processes take long")
    dataset = theirs(folder, name)
    loader = DataLoader(dataset, 4, num_workers=workers, pixels="exact")
    plan = loader.plan()
    assert not plan.native
    assert "still run in C++ inside each worker" in plan.inline
    expected = list(torch_data.DataLoader(dataset, 4))
    batches = list(loader)
    for (ours, labels), (wanted, numbers) in zip(batches, expected, strict=True):
        assert type(ours) is type(wanted)
        assert ours.dtype == wanted.dtype
        assert labels.tolist() == numbers.tolist()
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)


def test_the_core_really_decodes(folder: Path) -> None:
    dataset = theirs(folder, "in the middle")
    dataset.loader = torchvision.datasets.folder.pil_loader
    loader = DataLoader(dataset, 4, num_workers=0)

    called = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code) if event == "call" else None)
    try:
        assert len(list(loader)) == 2
    finally:
        sys.setprofile(None)
    assert Image.open.__code__ not in called


def test_the_tail_really_runs_in_the_core(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = theirs(folder, "in the middle")
    monkeypatch.setattr(v1.Normalize, "forward", lambda *_: 1 / 0)
    assert len(list(DataLoader(dataset, 4, num_workers=0))) == 2
    with pytest.raises(ZeroDivisionError):
        list(torch_data.DataLoader(dataset, 4))


@pytest.mark.parametrize(
    ("name", "reason", "inline"),
    [
        ("in the middle", "transform 2 of 5, Invert, is a Python callable", "decoding and 4 of its 5"),
        ("first", "transform 1 of 3, Invert, is a Python callable", "decoding and 2 of its 3"),
        ("no native counterpart", "transform 2 of 3, torchvision's GaussianBlur, has no", "2 of its 3"),
        ("nearest on tensors", "transform 2 of 2, Resize: torch's interpolation", "1 of its 2"),
        ("a pad that comes too late", "transform 4 of 4, Pad must stand before", "3 of its 4"),
    ],
)
def test_the_plan_says_so(folder: Path, name: str, reason: str, inline: str) -> None:
    plan = DataLoader(theirs(folder, name), 4).plan()
    assert plan.reason.startswith(reason)
    assert inline in plan.inline
    assert f"because\n  {reason}" in str(plan)
    assert f"\n  → reading, " in str(plan)  # noqa: F541


def test_subsets_go_inline_as_well(folder: Path) -> None:
    whole = theirs(folder, "in the middle")
    subset = torch_data.Subset(whole, [5, 0, 3])
    ((ours, labels),) = DataLoader(subset, 3, pixels="exact")
    ((wanted, _),) = torch_data.DataLoader(subset, 3)
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)
    assert labels.tolist() == [1, 0, 0]


def test_random_numbers_of_the_native_part_differ_by_epoch_and_worker(folder: Path) -> None:
    transform = v1.Compose([v1.RandomResizedCrop(16), Invert(), v1.ToTensor()])
    dataset = torchvision.datasets.ImageFolder(str(folder), transform)
    torch.manual_seed(0)
    loader = DataLoader(dataset, 8, num_workers=2)
    (one, _), (two, _) = next(iter(loader)), next(iter(loader))
    assert not torch.equal(one, two)
    torch.manual_seed(0)
    again, _ = next(iter(DataLoader(dataset, 8, num_workers=2)))
    assert torch.equal(one, again)  # torch seeds its workers


def test_a_bad_file_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.jpg").write_bytes(b"nothing")
    dataset = torchvision.datasets.ImageFolder(str(tmp_path), v1.Compose(PIPELINES["in the middle"]))
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"cannot decode sample 0 .*bad\.jpg"):
            list(DataLoader(dataset, 1, num_workers=workers))


def seen_by_a_worker(_: int) -> None:
    info = torch_data.get_worker_info()
    assert info is not None
    assert len(info.dataset) == 8  # the attributes of the dataset that was given
    assert info.dataset.classes == ["a", "b"]
    info.dataset.transform = v1.Compose([v1.Resize((7, 9)), v1.ToTensor()])


def test_a_worker_init_fn_finds_its_dataset_and_may_change_it(folder: Path) -> None:
    loader = DataLoader(theirs(folder, "first"), 4, num_workers=1, worker_init_fn=seen_by_a_worker)
    assert [pixels.shape[2:] for pixels, _ in loader] == [(7, 9)] * 2


def test_it_goes_to_another_process(folder: Path) -> None:
    from stoker._inline import InlineDataset
    from stoker._sources import resolve

    dataset = theirs(folder, "v2")
    source, _ = resolve(dataset)
    assert source is not None
    inline = InlineDataset(dataset, source, True)
    twin = pickle.loads(pickle.dumps(inline))
    assert twin.classes == ["a", "b"]
    assert torch.equal(twin[3][0], inline[3][0])


# ---- Stoker's own datasets -----------------------------------------------------------------------


def test_callables_among_descriptions(folder: Path) -> None:
    def halve(image: torch.Tensor) -> torch.Tensor:
        assert (image.dtype, image.shape) == (torch.uint8, (3, 20, 24))
        return image // 2

    dataset = ImageFolder(
        folder,
        [T.Resize((20, 24)), halve, T.CenterCrop(10), T.ToDtype(torch.float32, scale=True), Brighter(),
         T.Normalize(MEAN, STD)],
    )  # fmt: skip
    plain = ImageFolder(folder, T.Resize((20, 24)))
    loader = DataLoader(dataset, 8, pixels="exact")
    assert loader.plan().reason.startswith("transform 2 of 6")
    ((batch, _),) = loader
    for i, image in enumerate(batch):
        whole = (plain[i][0] // 2)[:, 5:15, 7:17] / 255
        expected = (whole + 0.5 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        torch.testing.assert_close(image, expected)


def test_torchvisions_transforms_on_them(folder: Path) -> None:
    for transform in (
        v1.Compose([v1.Resize((20, 24)), v1.ToTensor(), v1.Normalize(MEAN, STD)]),
        v2.Compose([v2.Resize((20, 24)), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]),
        [T.Resize((20, 24)), v1.ToTensor(), T.Normalize(MEAN, STD)],
    ):
        loader = DataLoader(ImageFolder(folder, transform), 8)
        assert loader.native, loader.plan()
        ((batch, _),) = loader
        assert batch.dtype == torch.float32
        assert abs(float(batch.mean())) < 2


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (np.asarray, "a callable .* returned ndarray"),
        (lambda t: t.float(), "CenterCrop needs a uint8 image, and this one is float32"),
        (lambda t: t[0], r"a callable .* returned torch.uint8 \[20, 24\]"),
    ],
)
def test_what_a_callable_must_not_return(folder: Path, wrong: Any, reason: str) -> None:
    dataset = ImageFolder(folder, [T.Resize((20, 24)), wrong, T.CenterCrop(10)])
    with pytest.raises(TypeError, match=reason):
        dataset[0]


def test_a_callable_changes_neither_pixels_nor_what_is_measured(folder: Path) -> None:
    """The parts that the core runs are the core's, also of Stoker's own datasets."""
    plain = ImageFolder(folder, T.Resize((20, 24)))
    among = ImageFolder(folder, [T.Resize((20, 24)), lambda image: image])
    for dataset in (among, torch_data.Subset(among, range(len(among)))):
        for pixels in ("fast", "exact"):
            loader = DataLoader(dataset, 8, pixels=pixels)
            ((batch, _),) = loader
            ((expected, _),) = DataLoader(plain, 8, pixels=pixels)
            assert torch.equal(batch, expected)
            stages = loader.stats().stages
            assert stages["native"].count == 8
            assert stages["native"].total_s > 0
    exact, fast = (next(iter(DataLoader(among, 8, pixels=pixels)))[0] for pixels in ("exact", "fast"))
    assert not torch.equal(exact, fast)


def test_a_worker_init_fn_finds_its_dataset_behind_on_error(folder: Path) -> None:
    def look(worker: int) -> None:
        info = torch_data.get_worker_info()
        assert info is not None
        assert isinstance(info.dataset, ImageFolder), type(info.dataset)
        info.dataset.target_transform = lambda label: label + 100

    dataset = ImageFolder(folder, [T.CenterCrop(8), lambda image: image])
    loader = DataLoader(dataset, 8, num_workers=1, on_error="skip", worker_init_fn=look)
    assert min(int(n) for _, labels in loader for n in labels) >= 100
