"""What scripts do to loaders and datasets that torch's DataLoader takes, and so does ours."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from torch.utils.data.distributed import DistributedSampler
from torchvision_operators import define_operators

from stoker import DataLoader, ImageFolder, ImageList, StateError
from stoker import transforms as T

if not define_operators():
    pytest.skip("torchvision is not installed", allow_module_level=True)

from PIL import Image, ImageFile
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder as Folder
from torchvision.transforms import v2

SMALL = [v1.Resize((12, 10)), v1.PILToTensor()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("replacement")
    for name in "ab":
        write_photos(root / name, 8)
    return root


def labels(loader: Any) -> list[list[int]]:
    return [numbers.tolist() for _, numbers in loader]


# ---- files that only Pillow reads ----------------------------------------------------------------


@pytest.mark.parametrize("transforms", [SMALL, [v1.RandomRotation(0), *SMALL], None])
def test_files_that_only_pillow_reads(
    tmp_path: Path, transforms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path, _) = write_photos(tmp_path / "a", 2)
    path.write_bytes(path.read_bytes()[:1500])
    Image.new("RGB", (30, 20), (9, 8, 7)).save(tmp_path / "a" / "z.jpg", format="GIF")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    dataset = Folder(str(tmp_path), None if transforms is None else v1.Compose(transforms))
    for on_error in ("raise", "skip"):
        loader = DataLoader(dataset, None, num_workers=0, on_error=on_error, pixels="exact")
        found = list(loader)
        assert len(found) == 3
        assert loader.errors == ()
        assert (loader.stats().samples, loader.stats().failed_batches) == (3, 0)
        for (ours, _), (theirs, _) in zip(found, torch_data.DataLoader(dataset, None)):
            if isinstance(theirs, torch.Tensor):
                assert torch.equal(ours, theirs)
            else:
                assert ours.tobytes() == theirs.tobytes()


def test_what_pillow_reads_is_the_same_for_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.manual_seed_all", "mps.manual_seed", "xpu.manual_seed_all"):
        monkeypatch.setattr(f"torch.{name}", lambda seed: pytest.fail("the training's own are seeded"))
    (tmp_path / "a").mkdir()
    Image.effect_noise((30, 20), 90).convert("RGB").save(tmp_path / "a" / "z.jpg", format="GIF")
    flips = [v1.RandomHorizontalFlip(1), v1.RandomVerticalFlip(1), v1.RandomHorizontalFlip(0)]
    dataset = Folder(str(tmp_path), v1.Compose([v1.RandomChoice(flips), *SMALL]))
    found = []
    for number in range(8):
        random.seed(number)
        torch.default_generator.manual_seed(1)
        found.append(next(iter(DataLoader(dataset)))[0])
        assert random.random() == random.Random(number).random()  # the script's own draws go on
    assert all(torch.equal(one, found[0]) for one in found)


# ---- datasets that change ------------------------------------------------------------------------


def test_a_concatenations_part_that_has_grown_or_shrunk(folder: Path) -> None:
    one = Folder(str(folder), v1.Compose(SMALL))
    two = Folder(str(folder), v1.Compose(SMALL), target_transform=lambda label: label + 100)
    both = torch_data.ConcatDataset([one, two])
    one.samples = one.samples + one.samples[:4]
    assert labels(DataLoader(both, 8)) == labels(torch_data.DataLoader(both, 8))
    one.samples = one.samples[:10]
    loader = DataLoader(both, 8)
    assert not loader.native
    with pytest.raises(IndexError):
        list(loader)


def test_a_table_is_not_taken_for_one_that_is_gone(folder: Path) -> None:
    dataset = Folder(str(folder), v1.Compose(SMALL))
    whole = list(dataset.samples)
    loader = DataLoader(dataset, 8, num_workers=0)
    for number in range(60):
        dataset.samples = whole[:8]
        assert labels(loader) == [[0] * 8]
        dataset.samples = whole[: 3 + number % 5]
        loader.plan()
        dataset.samples = whole[8:]
        assert labels(loader) == [[1] * 8]


def test_persistent_workers_of_a_dataset_that_becomes_pythons(folder: Path) -> None:
    dataset = ImageFolder(folder, T.CenterCrop(8))
    loader = DataLoader(dataset, 8, num_workers=1, persistent_workers=True)
    assert len(list(loader)) == 2
    dataset.transform = [T.CenterCrop(8), lambda image: image[:, :4]]
    assert [pixels.shape[2] for pixels, _ in loader] == [4, 4]


def test_arguments_that_are_set_between_epochs(folder: Path) -> None:
    loader = DataLoader(ImageFolder(folder, T.CenterCrop(8)), 8)
    next(iter(loader))
    loader.memory_format = torch.channels_last
    pixels, _ = next(iter(loader))
    assert pixels.is_contiguous(memory_format=torch.channels_last)


# ---- transforms ----------------------------------------------------------------------------------


def same_as_torch(folder: Path, transform: Any, native: bool) -> None:
    dataset = Folder(str(folder), transform)
    loader = DataLoader(dataset, 16, pixels="exact")
    assert loader.native == native
    ((ours, _),) = loader
    ((theirs, _),) = torch_data.DataLoader(dataset, 16)
    assert torch.equal(ours, theirs)


def test_rgb_behind_grayscale(folder: Path) -> None:
    transform = v2.Compose([v2.Resize((9, 9)), v2.Grayscale(1), v2.RGB(), v2.PILToTensor()])
    same_as_torch(folder, transform, native=True)


def test_erasing_in_any_order(folder: Path) -> None:
    erase = v1.RandomErasing(1, value=7)
    beside: list[Any]
    for beside, native in (([v1.Pad(2)], False), ([v1.RandomHorizontalFlip()], True)):
        order = v1.RandomOrder([erase, *beside])
        dataset = Folder(str(folder), v1.Compose([v1.Resize((12, 10)), v1.PILToTensor(), order]))
        loader = DataLoader(dataset, 4)
        assert loader.native == native
        assert len(list(loader)) == 4


def test_three_hundred_transforms(folder: Path) -> None:
    many = [v1.RandomHorizontalFlip(1)] * 300
    same_as_torch(folder, v1.Compose([v1.Resize((9, 9)), *many, v1.PILToTensor()]), native=False)
    apply = v1.RandomApply(many, 1)
    same_as_torch(folder, v1.Compose([v1.Resize((9, 9)), apply, v1.PILToTensor()]), native=False)


def test_types_that_a_users_transform_gets(folder: Path) -> None:
    for first, kind in ((v1.PILToTensor(), "Tensor"), (v2.ToImage(), "Image")):
        seen = []
        watch = v1.Lambda(lambda image, seen=seen: seen.append(type(image).__name__) or image)
        dataset = Folder(str(folder), v1.Compose([v1.CenterCrop(8), first, watch]))
        list(DataLoader(dataset, 16, num_workers=0))
        assert set(seen) == {kind}


def test_transforms_without_chance_draw_nothing(folder: Path) -> None:
    for transforms in (SMALL, [v1.Resize((9, 9)), v1.Lambda(lambda image: image), v1.ToTensor()]):
        loader = DataLoader(Folder(str(folder), v1.Compose(transforms)), 4, num_workers=0)
        torch.manual_seed(5)
        torch.empty((), dtype=torch.int64).random_()  # the base seed
        expected = torch.get_rng_state()
        torch.manual_seed(5)
        list(loader)
        assert torch.equal(torch.get_rng_state(), expected)


def asks_for_its_class(_: int) -> None:
    info = torch_data.get_worker_info()
    assert info is not None
    assert isinstance(info.dataset, Folder)


def test_a_workers_dataset_is_of_the_class_that_was_given(folder: Path) -> None:
    dataset = Folder(str(folder), v1.Compose([v1.Resize((9, 9)), v1.GaussianBlur(3), v1.ToTensor()]))
    loader = DataLoader(dataset, 16, num_workers=1, worker_init_fn=asks_for_its_class)
    assert not loader.native
    assert len(list(loader)) == 1


def test_a_default_device(folder: Path) -> None:
    """A script that has torch.set_default_device("cuda")."""
    with torch.device("meta"):
        subset = torch_data.Subset(ImageFolder(folder, T.CenterCrop(8)), [9, 1])
        loader = DataLoader(torch_data.ConcatDataset([subset, subset]), 4, generator=torch.Generator("cpu"))
        assert loader.native
        assert len(loader.plan().parts) > 5
    assert labels(loader) == [[1, 0, 1, 0]]


# ---- errors --------------------------------------------------------------------------------------


class Sampled(torch_data.Dataset[Any]):
    transform = T.CenterCrop(8)

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.rglob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def stoker_sample(self, index: int) -> tuple[Path, int]:
        if index % 5 == 2:
            raise OSError(f"row {index} is gone")
        return self.paths[index], index


@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_what_stoker_sample_and_target_transform_raise_is_a_bad_sample(folder: Path, on_error: Any) -> None:
    def fussy(label: int) -> int:
        if label == 1:
            raise ValueError("no such class")
        return label

    for dataset, bad, reason in (
        (Sampled(folder), [2, 7, 12], "OSError: row 2 is gone"),
        (ImageFolder(folder, T.CenterCrop(8), fussy), list(range(8, 16)), "ValueError: no such class"),
    ):
        loader = DataLoader(dataset, 4, on_error=on_error)  # type: ignore[arg-type]
        assert loader.native
        given = sum(len(numbers) for _, numbers in loader)
        assert given == (16 if on_error == "replace" else 16 - len(bad))
        assert [one.index for one in loader.errors] == bad
        assert loader.errors[0].stage == "python"
        assert reason in loader.errors[0].reason


class SeveralOnly(torch_data.Dataset[int]):
    def __len__(self) -> int:
        return 6

    def __getitems__(self, indices: list[int]) -> list[int]:
        if 4 in indices:
            raise KeyError(4)
        return [10 * i for i in indices]


def test_a_dataset_that_gives_several_samples_only() -> None:
    loader = DataLoader(SeveralOnly(), 3, on_error="skip")
    assert [b.tolist() for b in loader] == [[0, 10, 20], [30, 50]]
    assert [bad.index for bad in loader.errors] == [4]


def test_two_iterators_count_their_own_errors(folder: Path) -> None:
    from stoker import TooManyErrorsError

    loader = DataLoader(Sampled(folder), 4, on_error="skip", max_errors=2)
    first = iter(loader)
    next(first), next(first)
    next(iter(loader))
    with pytest.raises(TooManyErrorsError):
        list(first)


# ---- states --------------------------------------------------------------------------------------


class Sharded(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        info = torch_data.get_worker_info()
        return iter(range(40) if info is None else range(info.id, 40, info.num_workers))


def test_streams_go_on_with_as_many_workers_only() -> None:
    loader = DataLoader(Sharded(), 4, num_workers=2)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    for workers, size in ((1, 4), (0, 4), (2, 5)):
        with pytest.raises(StateError, match=r"num_workers 2|batch_size 4"):
            DataLoader(Sharded(), size, num_workers=workers).load_state_dict(state)


@pytest.mark.parametrize("inline", [False, True])
def test_a_state_taken_before_the_first_batch_behind_a_resume(folder: Path, inline: bool) -> None:
    extra = [v1.GaussianBlur(3, (1, 1))] if inline else []
    dataset = Folder(str(folder), v1.Compose([v1.Resize((9, 9)), *extra, v1.PILToTensor()]))

    def made() -> DataLoader[Any]:
        return DataLoader(dataset, 4, num_workers=0, shuffle=True)

    loader = made()
    taken(loader, 3)
    expected = loader.state_dict()
    second = made()
    second.load_state_dict(expected)
    iterator = iter(second)
    assert second.state_dict() == expected
    third = made()
    third.load_state_dict(second.state_dict())
    assert len(list(iterator)) == len(list(third)) == 1


def taken(loader: Any, count: int) -> list[Any]:
    iterator = iter(loader)
    return [next(iterator) for _ in range(count)]


def test_copies_keep_a_state_that_was_loaded(folder: Path) -> None:
    dataset = ImageFolder(folder, T.CenterCrop(8))
    loader = DataLoader(dataset, 4)
    taken(loader, 1)
    state = loader.state_dict()
    loaded = DataLoader(dataset, 4)
    loaded.load_state_dict(state)
    for twin in (copy.copy(loaded), copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        assert twin.state_dict() == state
        assert len(list(twin)) == 3


class Blocks(DistributedSampler[Any]):
    """Gives each rank a part that lies together."""

    def __iter__(self) -> Iterator[int]:
        share = len(self.dataset) // self.num_replicas  # type: ignore[arg-type]
        return iter(range(self.rank * share, (self.rank + 1) * share))


def test_a_sampler_that_deals_otherwise_is_not_dealt_anew(folder: Path) -> None:
    dataset = ImageFolder(folder, T.CenterCrop(8))
    loader = DataLoader(dataset, 2, sampler=Blocks(dataset, 4, 1))
    taken(loader, 1)
    with pytest.raises(StateError, match="only DistributedSampler"):
        DataLoader(dataset, 2, sampler=Blocks(dataset, 2, 0)).load_state_dict(loader.state_dict())
    other = DataLoader(dataset, 2, sampler=Blocks(dataset, 4, 2))
    other.load_state_dict(loader.state_dict())  # as many ranks: its own share, one batch on
    assert sum(len(numbers) for _, numbers in other) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_refusal_is_repeated(workers: int) -> None:
    dataset = torch_data.TensorDataset(torch.arange(16))
    loader = DataLoader(dataset, 4, sampler=range(16), num_workers=workers)
    taken(loader, 2)
    other = DataLoader(dataset, 4, sampler=range(15, -1, -1), num_workers=workers)
    other.load_state_dict({**loader.state_dict(), "sampler": "range"})
    iterator = None if workers else iter(other)  # with workers the sampler is asked by iter already
    for _ in range(2):
        with pytest.raises(StateError, match="other indices"):
            next(iterator or iter(other))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batches", "3"), ("batches", None), ("samples", -1), ("errors", None), ("generators", None),
        ("offset", 5), ("rank", 3), ("epoch", "x"), ("base_seed", None), ("loader_epoch", 1.5),
    ],
)  # fmt: skip
def test_values_that_no_state_has(folder: Path, name: str, value: Any) -> None:
    loader = DataLoader(ImageFolder(folder, T.CenterCrop(8)), 4)
    taken(loader, 1)
    with pytest.raises(StateError, match=name):
        loader.load_state_dict({**loader.state_dict(), name: value})


# ---- without workers -----------------------------------------------------------------------------


class Watched(torch_data.Sampler[int]):
    def __init__(self) -> None:
        self.asked = 0

    def __len__(self) -> int:
        return 16

    def __iter__(self) -> Iterator[int]:
        for index in range(16):
            self.asked += 1
            yield index


def test_without_workers_nothing_is_asked_for_ahead(folder: Path) -> None:
    paths = sorted(folder.rglob("*.jpg"))
    for dataset in (ImageList(paths, range(16), T.CenterCrop(8)), torch_data.TensorDataset(torch.arange(16))):
        sampler = Watched()
        iterator = iter(DataLoader(dataset, 4, sampler=sampler, num_workers=0))
        assert sampler.asked == 0
        next(iterator)
        assert sampler.asked == 4
