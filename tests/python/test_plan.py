"""loader.plan(): what runs where, and what the decode index covers and saves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import OLD_S, write_photos
from index_helpers import cached, epoch, loader_of, written
from PIL import Image

from stoker import DataLoader, ImageFolder, ImageList, Plan, _cpus
from stoker import transforms as T
from stoker.index_command import build

TRAINING = [
    T.RandomResizedCrop(64),
    T.RandomHorizontalFlip(),
    T.ToDtype(torch.float32, scale=True),
    T.Normalize([0.5], [0.25]),
]


def parts(loader: DataLoader[Any]) -> dict[str, str]:
    plan = loader.plan()
    assert isinstance(plan, Plan)
    lines = str(plan).splitlines()
    for name, what in plan.parts:
        assert any(line.split(maxsplit=1) == [name, what] for line in lines), (name, lines)
    return dict(plan.parts)


def test_a_native_plan(original: Path, own_cache: Path) -> None:
    loader = DataLoader(ImageFolder(original, TRAINING), 32, num_workers=2, pin_memory=False)
    plan = loader.plan()
    assert (plan.native, plan.reason) == (True, "")
    assert list(dict(plan.parts)) == [
        "dataset", "read", "decode", "index", "transform", "collate", "workers", "memory",
    ]  # fmt: skip
    text = parts(loader)
    assert text["dataset"] == "ImageFolder(data), 16 samples, 2 classes"
    assert text["read"] == "files, 2 batches ahead"
    assert text["decode"] == "JPEG: own decoder, fast pixels · other formats: libpng, libwebp, libtiff"
    assert text["transform"] == "RandomResizedCrop + RandomHorizontalFlip + ToDtype + Normalize"
    assert text["collate"] == "float32 [32, 3, 64, 64], 1.6 MB a batch"
    assert text["workers"] == f"2 threads, of {_cpus.usable_cores()} cores (as given)"
    assert text["memory"] == "at most 4 batches alive: 6 MB, and up to 50 MB of workers' buffers"
    assert str(plan).startswith("Stoker plan: native\n  dataset     ImageFolder(data)")
    assert cached(own_cache) == []  # a plan makes nothing


def test_a_plan_tells_the_arguments(original: Path, own_cache: Path) -> None:
    dataset = ImageFolder(original, T.CenterCrop((20, 30)))
    text = parts(
        DataLoader(
            dataset,
            8,
            num_workers=0,
            index=None,
            dct_scaling=True,
            worker_init_fn=print,
        )
    )
    assert text["index"] == "none"
    assert text["read"] == "files, one batch at a time"
    assert "fast pixels, reduced while decoding" in text["decode"]
    assert text["collate"].startswith("uint8 [8, 3, 20, 30]")
    assert text["memory"].startswith("at most 3 batches alive")
    assert text["workers"] == "none: the training loop's own thread"
    assert text["ignored"] == "worker_init_fn: the native path has no worker processes"
    auto = parts(DataLoader(dataset, batch_size=None, prefetch_factor=5, pixels="exact"))
    assert auto["read"] == "files, 5 batches ahead"
    assert "exact pixels" in auto["decode"]
    assert auto["collate"].startswith("uint8 [batch, 3, 20, 30]")
    assert auto["memory"] == "at most 7 batches alive"
    assert auto["workers"].endswith("cores (auto)")


def test_no_transform_at_all(original: Path, own_cache: Path) -> None:
    plan = DataLoader(ImageFolder(original), 8).plan()
    assert not plan.native
    assert "different sizes" in plan.reason


class Squares(torch_data.Dataset[int]):
    def __len__(self) -> int:
        return 1234

    def __getitem__(self, index: int) -> int:
        return index * index


class Stream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


def test_a_plan_that_is_not_native() -> None:
    plan = DataLoader(Squares(), num_workers=0).plan()
    assert (plan.native, plan.index_coverage, plan.index_saves) == (False, None, None)
    assert plan.reason == "Squares is a dataset that only Python can read (see docs/your-dataset.md)"
    assert str(plan) == (
        "Stoker plan: Python (torch's own iteration), because\n"
        "  Squares is a dataset that only Python can read (see docs/your-dataset.md)\n"
        "  dataset     Squares, 1,234 samples\n"
        "  collate     default_collate\n"
        "  workers     none: the training loop's own thread\n"
        "  memory      one batch at a time"
    )
    assert dict(DataLoader(Stream()).plan().parts)["dataset"] == "Stream"


@pytest.mark.parametrize("index", ["auto", "path"])
def test_coverage_grows_from_nothing_to_all(data: Path, tmp_path: Path, own_cache: Path, index: str) -> None:
    options = {} if index == "auto" else {"index": tmp_path / "my.index"}
    loader = loader_of(data, **options)
    before = loader.plan()
    assert (before.index_coverage, before.index_saves) == (0, None)
    assert dict(before.parts)["index"] == "covers 0% of the samples · the rest is added as it is read"
    epoch(loader)
    written(loader)
    after = loader.plan()
    (file,) = cached(own_cache) or [tmp_path / "my.index"]
    assert after.index_coverage == 1
    assert after.index_saves is not None
    assert 0 < after.index_saves < 1
    assert dict(after.parts)["index"] == (
        f"covers 100% of the samples, saves {after.index_saves:.0%} of their entropy decoding · {file}"
    )
    assert loader_of(data, **options).plan() == after
    without = loader_of(data, index=None).plan()
    assert (without.index_coverage, without.index_saves) == (None, None)
    write_photos(data / "b", 16)
    half = loader_of(data, **options).plan()
    assert half.index_coverage == 0.5
    assert dict(half.parts)["index"].endswith("· the rest is added as it is read")


def test_files_without_checkpoints_save_nothing(tmp_path: Path, own_cache: Path) -> None:
    write_photos(tmp_path / "data" / "a", 4, progressive=True)
    build(tmp_path / "data")
    plan = loader_of(tmp_path / "data").plan()
    assert (plan.index_coverage, plan.index_saves) == (1, None)


def test_savings_are_estimated_all_over_the_data(tmp_path: Path, own_cache: Path) -> None:
    first = write_photos(tmp_path / "data" / "a", 1, progressive=True)[0]
    for number in range(100):
        (first.parent / f"copy{number}.jpg").hardlink_to(first)
    write_photos(tmp_path / "data" / "b", 10)
    build(tmp_path / "data")
    assert loader_of(tmp_path / "data").plan().index_saves is not None


def test_a_plan_of_files_that_are_gone(data: Path, own_cache: Path) -> None:
    build(data)
    loader = loader_of(data)
    shutil.rmtree(data / "a")
    shutil.rmtree(data / "b")
    plan = loader.plan()
    assert (plan.index_coverage, plan.index_saves) == (1, None)  # by their names


def test_a_plan_leaves_random_numbers_alone(original: Path, own_cache: Path) -> None:
    build(original, own_cache.parent / "my.index")
    loader = loader_of(original, index=own_cache.parent / "my.index")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loader.plan()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    """320 samples: 64 photographs, each by five names."""
    root = tmp_path_factory.mktemp("many")
    files = write_photos(root / "0", 64)
    names = list(files)
    for copy in range(1, 5):
        (root / str(copy)).mkdir()
        for number, file in enumerate(files):
            name = root / str(copy) / file.name
            name.hardlink_to(file)
            names.append(name)
            os.utime(name, (OLD_S + number, OLD_S + number))
    return ImageList(names, range(len(names)))


@pytest.mark.parametrize("pixels", ["fast", "exact"])
@pytest.mark.parametrize(
    "transform",
    [
        T.RandomResizedCrop(64),
        T.RandomResizedCrop(64, scale=(0.01, 0.1)),
        T.RandomCrop(96),
        [T.Resize(256), T.CenterCrop(224)],
    ],
    ids=["RandomResizedCrop", "small crops", "RandomCrop", "Resize"],
)
def test_the_plans_savings_are_about_what_is_measured(
    many: ImageList, tmp_path: Path, transform: Any, pixels: Any
) -> None:
    many.transform = transform
    path = tmp_path / "my.index"
    loader = loader_of(many, index=path, batch_size=32, pixels=pixels)
    epoch(loader)
    written(loader)
    saves = loader.plan().index_saves
    epoch(loader)
    measured = loader.stats().index
    assert measured.used == len(many)
    assert saves is not None
    assert 0 < saves < 1
    assert abs(saves - measured.saved_share) < 0.1, (saves, measured.saved_share)


def test_workers_that_processes_share(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cpus, "usable_cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    text = parts(DataLoader(ImageFolder(original, T.CenterCrop(8)), 4, index=None))
    assert text["workers"].startswith("3 threads, of ")
    assert text["workers"].endswith("cores (auto, shared by 4 processes)")


def test_files_too_small_for_an_entry_are_no_gap(tmp_path: Path, own_cache: Path) -> None:
    """The plan names an index as complete where ``stoker index --info`` does."""
    (tmp_path / "data" / "a").mkdir(parents=True)
    for n in range(3):
        Image.new("RGB", (8, 8), (n, n, n)).save(tmp_path / "data" / "a" / f"{n}.jpg")
    plan = DataLoader(ImageFolder(tmp_path / "data", [T.Resize((4, 4))])).plan()
    assert plan.index_coverage == 1
    assert dict(plan.parts)["index"] == "covers 100% of the samples"
