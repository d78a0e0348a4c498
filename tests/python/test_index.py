"""The decode index: the same batches with and without one, and what is counted of it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RunScript, leave_alone, photo_like
from index_helpers import (
    MODES,
    entries,
    epoch,
    loader_of,
    same,
    written,
)
from PIL import Image

from stoker import DataLoader, ImageFolder
from stoker import transforms as T

# ---- pixels --------------------------------------------------------------------------------------

# Files that get checkpoints, files that get an entry without, and files that get none.
WITH, WITHOUT, NONE = 23, 15, 1


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sampling, odd sizes, restart intervals, progressive files, orientations, other formats."""
    root = tmp_path_factory.mktemp("mixed")
    for name in ("with", "without", "none"):
        (root / name).mkdir()
    samplings = [("L", {}), ("RGB", {"subsampling": 0}), ("RGB", {"subsampling": 1}), ("RGB", {})]
    seed = 0

    def save(name: str, mode: str, size: tuple[int, int], **options: Any) -> None:
        nonlocal seed
        seed += 1
        photo_like(*size, seed=seed).convert(mode).save(root / name, **{"quality": 92, **options})

    for number, (mode, options) in enumerate(samplings):
        for width, height in ((400, 300), (401, 303), (399, 289)):
            save(f"with/{number}_{width}.jpg", mode, (width, height), **options)
        for blocks in (1, 7, 25):
            save(f"without/{number}_{blocks}.jpg", mode, (395, 301), restart_marker_blocks=blocks, **options)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        mode, options = samplings[orientation % 4]
        save(f"with/orientation{orientation}.jpg", mode, (403, 297), exif=exif, **options)
    # Of files of 512 KiB and more, only what a crop needs is read.
    for name, more in (("large", {}), ("444", {"subsampling": 0}), ("rotated", {"exif": exif})):
        save(f"with/large {name}.jpg", "RGB", (1601, 1203), **more)
        assert (root / f"with/large {name}.jpg").stat().st_size > 700_000
    for number in (0, 2):
        save(f"without/progressive{number}.jpg", "RGB", (400, 300), progressive=True, subsampling=number)
    save("without/other.png", "RGB", (300, 200))
    save("none/small.jpg", "RGB", (40, 30))
    leave_alone(root)
    for name, count in (("with", WITH), ("without", WITHOUT), ("none", NONE)):
        assert sum(1 for _ in (root / name).iterdir()) == count
    return root


TRANSFORMS: dict[str, Any] = {
    "RandomResizedCrop": [T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, True)],
    "small crops": [T.RandomResizedCrop(48, scale=(0.01, 0.1)), T.RandomVerticalFlip()],
    "RandomCrop": [T.RandomCrop(60, pad_if_needed=True)],
    "Resize": [T.Resize(70), T.CenterCrop(64)],
}

ONE_MORE_EPOCH = """
import pickle
loader, seed, file = pickle.load(open(sys.argv[1], "rb"))
torch.manual_seed(seed)
batches = [tuple(batch) for batch in loader]
torch.save((batches, loader.stats().to_dict()["index"]), file)
"""


def in_a_new_process(
    run_script: RunScript, loader: DataLoader[Any], seed: int, tmp_path: Path
) -> tuple[list[Any], dict[str, Any]]:
    """An epoch there, and its stats().index."""
    job, result = tmp_path / "job.pickle", tmp_path / "result.pt"
    job.write_bytes(pickle.dumps((loader, seed, result)))
    done = run_script(ONE_MORE_EPOCH, job)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    batches, stats = torch.load(result, weights_only=True)
    return batches, stats


@pytest.mark.parametrize("where", ["auto", "path"])
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_pixels_are_those_without_an_index(
    mixed: Path, own_cache: Path, tmp_path: Path, transform: str, mode: dict[str, Any], where: str
) -> None:
    dataset = ImageFolder(mixed, TRANSFORMS[transform])
    index = "auto" if where == "auto" else tmp_path / "my.index"
    plain = loader_of(dataset, index=None, **mode)
    loader = loader_of(dataset, index=index, **mode)

    assert same(epoch(loader, seed=0), epoch(plain, seed=0))
    first = loader.stats().index
    assert (first.recorded, first.unknown, first.used) == (WITH + WITHOUT, NONE, 0)
    assert first.samples == len(dataset)

    written(loader)
    assert same(epoch(loader, seed=1), epoch(plain, seed=1))
    second = loader.stats().index
    assert (second.used, second.nothing) == (WITH, WITHOUT)
    assert (second.recorded, second.unknown, second.rejected) == (first.recorded, 2 * NONE, 0)
    assert 0 < second.decoded_bytes < second.plain_bytes
    assert 0 < second.saved_share < 1

    assert plain.stats().index.samples == 0


@pytest.mark.parametrize("where", ["auto", "path"])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_in_a_new_process(
    mixed: Path, own_cache: Path, tmp_path: Path, run_script: RunScript, mode: dict[str, Any], where: str
) -> None:
    dataset = ImageFolder(mixed, TRANSFORMS["RandomResizedCrop"])
    options = {**mode, "index": "auto" if where == "auto" else tmp_path / "my.index"}
    loader = loader_of(dataset, **options)
    epoch(loader)
    written(loader)
    batches, stats = in_a_new_process(run_script, loader_of(dataset, **options), 1, tmp_path)
    assert same(batches, epoch(loader_of(dataset, index=None, **mode), 1))
    assert (stats["used"], stats["nothing"], stats["unknown"], stats["recorded"]) == (WITH, WITHOUT, NONE, 0)
    assert 0 < stats["decoded_bytes"] < stats["plain_bytes"]


def test_in_the_training_loops_own_thread(original: Path, own_cache: Path, expected: list[Any]) -> None:
    loader = loader_of(original, num_workers=0)
    assert same(epoch(loader), expected)
    written(loader)
    assert same(epoch(loader), expected)
    assert (loader.stats().index.recorded, loader.stats().index.used) == (16, 16)


def test_workers_do_not_change_what_is_recorded(original: Path, tmp_path: Path) -> None:
    sizes = set()
    for workers in (0, 1, 8):
        path = tmp_path / f"{workers}.index"
        loader = loader_of(original, num_workers=workers, index=path)
        epoch(loader)
        written(loader)
        assert entries(path) == 16
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1


# ---- stats and report ----------------------------------------------------------------------------


def test_report_says_what_the_index_did(original: Path, own_cache: Path) -> None:
    loader = loader_of(original)
    epoch(loader)
    assert "decode index: being built; the next epoch decodes less" in loader.report(details=True)
    written(loader)
    again = loader_of(original)
    epoch(again)
    saved = again.stats().index.saved_share
    assert f"decode index: 100% of samples used it, which saved {saved:.0%} of their" in again.report(True)
    without = loader_of(original, index=None)
    epoch(without)
    assert "decode index:" not in without.report(details=True)


def test_stats_as_plain_numbers(original: Path, own_cache: Path) -> None:
    loader = loader_of(original)
    epoch(loader)
    stats = loader.stats().to_dict()
    assert stats["index"]["recorded"] == 16
    assert stats["index_problem"] == ""
