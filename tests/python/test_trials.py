"""Trials of other settings on a run's own samples: which are tried, and that they leave nothing behind."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Sampled
from conftest import write_photos
from index_helpers import written
from undisturbed import undisturbed

from stoker import DataLoader, ImageFolder, ImageList
from stoker import transforms as T
from stoker._sources import Source, resolve
from stoker.diagnosis import trial
from stoker.diagnosis.metered import native_variant
from stoker.diagnosis.trial import Setting, native_cost_s, variants
from stoker.index import open_index

UINT8 = [T.RandomResizedCrop(64)]
FLOAT = [T.RandomResizedCrop(64), T.ToTensor(), T.Normalize((0.5,) * 3, (0.2,) * 3)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 of 400 x 300 pixels, in two classes."""
    root = tmp_path_factory.mktemp("photographs")
    write_photos(root / "a", 12)
    write_photos(root / "b", 12)
    return root


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares may be noise: which keys there are is what counts."""
    monkeypatch.setattr(trial, "SECONDS_EACH", 0.01)
    monkeypatch.setattr(trial, "PASSES", 2)


def source_of(dataset: Any) -> Source:
    source, reason = resolve(dataset)
    assert source is not None
    assert not reason
    return source


def files_of(root: Path) -> list[Path]:
    return sorted(dataset for dataset in root.rglob("*.jpg"))


# ---- which ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "exact", "expected"),
    [
        (FLOAT, False, {"uint8", "index", "all"}),
        (FLOAT, True, {"fast", "uint8", "index", "all"}),
        (UINT8, False, {"index"}),
        (UINT8, True, {"fast", "index", "all"}),
    ],
    ids=["float fast", "float exact", "uint8 fast", "uint8 exact"],
)
def test_what_is_tried(photographs: Path, transform: Any, exact: bool, expected: set[str]) -> None:
    source = source_of(ImageFolder(photographs, transform))
    shares = variants(source, Setting(exact=exact))
    assert set(shares) == expected
    assert all(0 < share < 100 for share in shares.values())


def test_what_is_set_already_is_not_tried(photographs: Path, tmp_path: Path) -> None:
    source = source_of(ImageFolder(photographs, FLOAT))
    assert source.table is not None
    index = open_index(source.table, tmp_path / "own.index")
    assert set(variants(source, Setting(exact=True, index=index))) == {"fast", "uint8", "all"}
    assert set(variants(source, Setting(index=index))) == {"uint8"}
    assert variants(source, Setting(index=index, as_uint8=True)) == {}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dct_scaling", [False, True])
def test_whatever_else_the_loader_is_set_to(
    photographs: Path, channels_last: bool, dct_scaling: bool
) -> None:
    source = source_of(ImageFolder(photographs, FLOAT))
    now = Setting(dct_scaling=dct_scaling, channels_last=channels_last)
    assert set(variants(source, now)) == {"uint8", "index", "all"}


# ---- of what -------------------------------------------------------------------------------------


def folder(root: Path) -> Any:
    return ImageFolder(root, FLOAT)


def listed(root: Path) -> Any:
    files = files_of(root)
    return ImageList(files, range(len(files)), FLOAT)


def subset(root: Path) -> Any:
    return torch_data.Subset(folder(root), [3, 1, 20])


def parts(root: Path) -> Any:
    return torch_data.ConcatDataset([ImageFolder(root, FLOAT), listed(root)])


def one(root: Path) -> Any:
    return torch_data.Subset(folder(root), [5])


@pytest.mark.parametrize("make", [folder, listed, subset, parts, one])
def test_datasets_whose_files_are_known(photographs: Path, make: Callable[[Path], Any]) -> None:
    assert set(variants(source_of(make(photographs)), Setting())) == {"uint8", "index", "all"}


def sampled(paths: list[Path]) -> Any:
    dataset: Any = Sampled(paths)
    dataset.transform = FLOAT
    return dataset


def test_a_dataset_that_gives_its_samples_one_by_one_has_no_index(photographs: Path) -> None:
    assert set(variants(source_of(sampled(files_of(photographs))), Setting())) == {"uint8"}
    assert set(variants(source_of(sampled(files_of(photographs))), Setting(exact=True))) == {
        "uint8", "fast", "all"
    }  # fmt: skip


def test_some_samples_may_be_broken(photographs: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    files = [*files_of(photographs)[:20], broken]
    source = source_of(ImageList(files, range(21), FLOAT))
    assert set(variants(source, Setting())) == {"uint8", "index", "all"}


def test_samples_that_cannot_be_loaded(tmp_path: Path) -> None:
    missing = [tmp_path / f"{number}.jpg" for number in range(12)]
    source = source_of(ImageList(missing, range(12), FLOAT))
    assert variants(source, Setting()) == {}
    assert native_cost_s(source) == 0


@pytest.mark.parametrize("error", [KeyError, OSError, RuntimeError, ZeroDivisionError])
def test_a_dataset_whose_own_code_raises(photographs: Path, error: type[Exception]) -> None:
    def target(index: int) -> int:
        raise error(index)

    dataset: Any = sampled(files_of(photographs))
    dataset.target = target
    assert variants(source_of(dataset), Setting(exact=True)) == {}
    assert native_cost_s(source_of(dataset)) == 0


def test_an_empty_dataset() -> None:
    assert variants(source_of(ImageList([], [], FLOAT)), Setting(exact=True)) == {}


def test_the_cost_of_an_image(photographs: Path) -> None:
    assert 1e-6 < native_cost_s(source_of(ImageFolder(photographs, FLOAT))) < 10


# ---- nothing is left -----------------------------------------------------------------------------


def test_no_generator_is_touched(photographs: Path) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    assert variants(source_of(ImageFolder(photographs, FLOAT)), Setting(exact=True))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    for now, then in zip(np.random.get_state(), before[2]):
        assert np.array_equal(now, then)


def test_no_file_is_left_or_touched(
    photographs: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = {path: path.stat().st_mtime_ns for path in photographs.rglob("*")}
    for exact in (False, True):
        assert "index" in variants(source_of(ImageFolder(photographs, FLOAT)), Setting(exact=exact))
    assert list(temporary.iterdir()) == []
    assert not own_cache.exists()
    assert {path: path.stat().st_mtime_ns for path in photographs.rglob("*")} == before


def test_no_file_is_left_where_samples_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert variants(source_of(ImageList([tmp_path / "none.jpg"] * 9, range(9), FLOAT)), Setting()) == {}
    assert list(temporary.iterdir()) == []


def test_the_loaders_epoch_goes_on_unchanged(photographs: Path) -> None:
    def labels_and_pixels(interrupted: bool) -> list[Any]:
        torch.manual_seed(5)
        loader = DataLoader(
            ImageFolder(photographs, FLOAT), 4, shuffle=True, num_workers=1, index=None, pixels="exact"
        )
        batches = []
        for images, labels in loader:
            batches.append((images, labels))
            if interrupted and len(batches) == 2:
                assert loader.recording(trials=True).variants
        return batches

    for (a, b), (c, d) in zip(labels_and_pixels(False), labels_and_pixels(True), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


# ---- of a loader ---------------------------------------------------------------------------------


def test_a_loader_that_uses_its_index_does_not_try_one(photographs: Path, tmp_path: Path) -> None:
    loader = DataLoader(
        ImageFolder(photographs, UINT8), 4, num_workers=1, pixels="exact", index=tmp_path / "own.index"
    )
    for _ in loader:
        pass
    written(loader)
    assert set(loader.recording(trials=True).variants) == {"fast", "index", "all"}
    for _ in range(3):
        for _ in loader:
            pass
    assert loader.stats().index.used > 0.5 * loader.stats().samples
    assert set(loader.recording(trials=True).variants) == {"fast"}


# ---- what they find ------------------------------------------------------------------------------


@pytest.mark.alone
@undisturbed
def test_uint8_and_fast_pixels_are_cheaper_for_photographs(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # with the time that a trial takes otherwise
    dataset = ImageFolder(photographs, [T.RandomResizedCrop(224), *FLOAT[1:]])
    shares = variants(source_of(dataset), Setting(exact=True))
    assert shares["fast"] < 1
    assert shares["uint8"] < 1
    assert shares["all"] < min(shares["fast"], shares["uint8"])
    assert variants(source_of(dataset), Setting())["uint8"] < 1


# ---- other people's datasets ---------------------------------------------------------------------


class Answers:
    """A wrapper that has whatever attribute it is asked for, anew each time."""

    def __getattr__(self, name: str) -> Answers:
        return Answers()


class HoldsItself(list[int]):
    transform = None

    @property
    def dataset(self) -> HoldsItself:
        return self


def test_wrappers_are_not_followed_for_ever(photographs: Path) -> None:
    opened = [str(file) for file in files_of(photographs)]
    assert native_variant(Answers(), opened, 1.0) == {}  # whose transform is none
    for dataset in (HoldsItself(), torch_data.Subset(HoldsItself(), [0])):
        assert native_variant(dataset, opened, 1.0).keys() == {"images"}


def test_a_transform_is_found_below_wrappers(photographs: Path) -> None:
    class Own:
        transform = T.Compose([T.CenterCrop(32), T.ToTensor()])

    class Wrapper:
        def __init__(self, dataset: Any) -> None:
            self.dataset = dataset

    opened = [str(file) for file in files_of(photographs)]
    source = trial.native_source(Wrapper(Wrapper(Own())), opened)
    assert source is not None
    assert source.size == len(opened)
