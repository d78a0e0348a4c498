"""Which datasets the core can load, and that it loads them as Python would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from python_datasets import Opaque
from torchvision_operators import define_operators

from stoker import _C, DataError, DataLoader, ImageFolder, ImageList
from stoker import transforms as T

CROP = T.CenterCrop(8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for name in "abc":
        write_photos(root / name, 5)
    return root


def check(dataset: Any, **options: Any) -> Any:
    """The loader's batches are what dataset[i] gives; its transforms have no chance."""
    loader = DataLoader(dataset, 4, pixels="exact", **options)
    assert loader.native, loader.plan()
    expected = [dataset[i] for i in range(len(dataset))]
    batches = list(loader)
    assert torch.equal(torch.cat([p for p, _ in batches]), torch.stack([p for p, _ in expected]))
    assert [int(n) for _, several in batches for n in several] == [int(n) for _, n in expected]
    assert len(loader.plan().parts) > 5
    return loader


# ---- subsets and concatenations ------------------------------------------------------------------


def test_subsets(folder: Path) -> None:
    whole = ImageFolder(folder, CROP, target_transform=lambda label: label * 10)
    check(torch_data.Subset(whole, [7, 3, 3, 14, -1]))
    check(torch_data.Subset(torch_data.Subset(whole, range(5, 15)), [9, 0, 4]))
    for part in torch_data.random_split(whole, [10, 5]):
        check(part)
    check(torch_data.Subset(whole, torch.tensor([2, 1])), num_workers=0)  # type: ignore[arg-type]
    assert list(DataLoader(torch_data.Subset(whole, []), 4)) == []


def test_concatenations(folder: Path) -> None:
    one = ImageFolder(folder, CROP)
    paths = [one.path(i) for i in range(4)]
    other = ImageList(paths, range(100, 104), [T.Resize((8, 8)), T.RandomVerticalFlip(1.0)])
    check(torch_data.ConcatDataset([one, other]))  # each by its own transforms
    check(torch_data.ConcatDataset([other, torch_data.Subset(one, [14, 2]), one, other]))
    check(torch_data.Subset(torch_data.ConcatDataset([one, other]), [16, 0, 15]))
    check(one + other)


def test_random_numbers_and_errors_go_by_the_index_in_the_loaders_dataset(
    folder: Path, tmp_path: Path
) -> None:
    whole = ImageFolder(folder, T.RandomResizedCrop(8))
    torch.manual_seed(0)
    ((expected, _),) = DataLoader(
        ImageList([whole.path(7), whole.path(3)], [0, 1], T.RandomResizedCrop(8)), 2
    )
    torch.manual_seed(0)
    ((pixels, _),) = DataLoader(torch_data.Subset(whole, [7, 3]), 2)
    assert torch.equal(pixels, expected)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"x")
    good = ImageFolder(folder, CROP)
    bad = torch_data.ConcatDataset([torch_data.Subset(good, [1]), ImageList([broken], [0], CROP)])
    iterator = iter(DataLoader(bad, 1))
    next(iterator)
    with pytest.raises(DataError) as caught:
        next(iterator)
    assert (caught.value.index, caught.value.path) == (1, str(broken))


def test_a_concatenation_of_different_shapes_is_pythons(folder: Path) -> None:
    parts = torch_data.ConcatDataset([ImageFolder(folder, CROP), ImageFolder(folder, T.CenterCrop(9))])
    loader = DataLoader(parts, 1)
    assert not loader.native
    assert "different shapes or types" in loader.plan().reason
    assert [p.shape[2] for p, _ in loader] == [8] * 15 + [9] * 15


def test_a_subset_whose_indices_change_between_epochs(folder: Path) -> None:
    subset = torch_data.Subset(ImageFolder(folder, CROP), [0, 5])
    loader = DataLoader(subset, 2)
    assert [n.tolist() for _, n in loader] == [[0, 1]]
    subset.indices = [14, 10]
    assert [n.tolist() for _, n in loader] == [[2, 2]]
    subset.indices[0] = 1
    assert [n.tolist() for _, n in loader] == [[0, 2]]


@pytest.mark.parametrize("indices", [[15], [-16], ["a"], [0.5, "b"]])
def test_indices_that_are_not_there_are_left_to_torch(folder: Path, indices: Any) -> None:
    loader = DataLoader(torch_data.Subset(ImageFolder(folder, CROP), indices), 2)
    assert not loader.native
    assert "Subset" in loader.plan().reason
    with pytest.raises((IndexError, TypeError)):
        list(loader)


def test_subclasses_may_do_anything(folder: Path) -> None:
    class Halves(torch_data.Subset[Any]):
        def __getitem__(self, index: Any) -> Any:
            pixels, label = super().__getitem__(index)
            return pixels // 2, label

        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [self[i] for i in indices]

    loader = DataLoader(Halves(ImageFolder(folder, CROP), [0]), 1)
    assert not loader.native
    assert "Halves" in loader.plan().reason


def test_transforms_that_change_between_epochs(folder: Path) -> None:
    dataset = ImageFolder(folder, CROP)
    loader = DataLoader(dataset, 15)
    ((small, _),) = loader
    dataset.transform = T.CenterCrop(9)
    ((large, _),) = loader
    assert (small.shape[2], large.shape[2]) == (8, 9)
    dataset.transform = [CROP, lambda image: image[:, :5]]
    ((python, _),) = loader
    assert not loader.native
    assert torch.equal(python, small[:, :, :5])


def test_neighbours_with_the_same_transforms_are_one_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part costs every worker a decoder."""
    made: list[list[int]] = []
    real = _C.SampleSet

    def sample_set(table: Any, parts: Any, rows: Any, size: int) -> Any:
        made.append([first for first, _ in parts])
        return real(table, parts, rows, size)

    monkeypatch.setattr(_C, "SampleSet", sample_set)
    same = [ImageFolder(folder, [T.CenterCrop(8)]) for _ in range(3)]
    other = ImageFolder(folder, T.CenterCrop(8), max_pixels=10**6)
    check(torch_data.ConcatDataset([*same, other, same[0]]))
    assert made == [[0, 45, 60]]


# ---- stoker_sample -------------------------------------------------------------------------------


class Sampled(torch_data.Dataset[Any]):
    """Gives paths, or bytes, and whatever targets."""

    def __init__(self, folder: Path, as_bytes: bool, transform: Any = CROP) -> None:
        self.paths = sorted(folder.rglob("*.jpg"))
        self.as_bytes = as_bytes
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def stoker_sample(self, index: int) -> tuple[Any, Any]:
        path = self.paths[index]
        target = {"number": index, "name": path.stem, "box": (torch.tensor([index, 1.0]), [index])}
        return (path.read_bytes() if self.as_bytes else path), target


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("workers", [0, 3])
def test_samples_that_a_dataset_gives_one_by_one(folder: Path, as_bytes: bool, workers: int) -> None:
    dataset = Sampled(folder, as_bytes)
    loader = DataLoader(dataset, 4, num_workers=workers, pixels="exact")
    assert loader.native
    batches = list(loader)
    ((expected, _),) = DataLoader(ImageList(dataset.paths, range(15), CROP), 15, pixels="exact")
    assert torch.equal(torch.cat([p for p, _ in batches]), expected)
    last = batches[-1][1]
    assert last["number"].tolist() == [12, 13, 14]
    assert last["name"] == [p.stem for p in dataset.paths[12:]]
    assert last["box"][0].tolist() == [[12, 1], [13, 1], [14, 1]]
    assert last["box"][1][0].tolist() == [12, 13, 14]
    assert "one by one" in dict(loader.plan().parts)["index"]


def test_a_dataset_that_grows_between_epochs(folder: Path) -> None:
    dataset = Sampled(folder, False)
    more, dataset.paths = dataset.paths[8:], dataset.paths[:8]
    loader = DataLoader(dataset, 4)
    assert len(list(loader)) == 2
    dataset.paths += more
    assert [n for _, targets in loader for n in targets["number"].tolist()] == list(range(15))


def test_subsets_and_concatenations_of_them(folder: Path) -> None:
    dataset = Sampled(folder, True)
    both = torch_data.ConcatDataset([torch_data.Subset(dataset, [3, 1]), dataset])
    loader = DataLoader(both, 4, collate_fn=lambda samples: [t["number"] for _, t in samples])
    assert loader.native
    assert [n for batch in loader for n in batch] == [3, 1, *range(15)]
    different = torch_data.ConcatDataset([dataset, Sampled(folder, True, [T.Resize((8, 8))])])
    assert "one by one" in DataLoader(different).plan().reason


def test_bad_bytes_are_named(folder: Path) -> None:
    class Bad(Sampled):
        def stoker_sample(self, index: int) -> tuple[Any, Any]:
            return (b"no image", 0) if index == 2 else super().stoker_sample(index)

    loader = DataLoader(Bad(folder, True), 5, collate_fn=len)
    with pytest.raises(DataError, match=r"sample 2 \(bytes of sample 2\)") as caught:
        list(loader)
    assert caught.value.stage == "decode"


def test_what_a_dataset_raises_comes_as_it_is(folder: Path) -> None:
    class Raises(Sampled):
        def stoker_sample(self, index: int) -> tuple[Any, Any]:
            if index == 6:
                raise LookupError("no row 6 in the table")
            return super().stoker_sample(index)

    iterator = iter(DataLoader(Raises(folder, False), 5, collate_fn=len, num_workers=2))
    assert next(iterator) == 5
    with pytest.raises(LookupError, match="no row 6"):
        next(iterator)


def test_without_a_fixed_size_it_is_loaded_inline(folder: Path) -> None:
    loader = DataLoader(Sampled(folder, False, None), 1)
    assert not loader.native
    assert "different sizes" in loader.plan().reason
    assert len(list(loader)) == 15


def test_exif_goes_by_whose_transforms_they_are(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "a" / "turned.jpg", exif=exif)
    pixels, _ = next(iter(DataLoader(Sampled(tmp_path, False, None), None)))
    assert pixels.shape == (3, 30, 20)  # turned, as in stoker's own datasets
    if define_operators():
        from torchvision import transforms as v1

        pixels, _ = next(iter(DataLoader(Sampled(tmp_path, False, v1.ToTensor()), None)))
        assert pixels.shape == (3, 20, 30)  # as Pillow opens it


def test_unknown_datasets(folder: Path) -> None:
    loader = DataLoader(Opaque(ImageFolder(folder, CROP)))
    assert loader.plan().reason == "Opaque is a dataset that only Python can read (see docs/your-dataset.md)"
    assert loader.plan().inline == ""


# ---- torchvision's ------------------------------------------------------------------------------

torchvision: Any = pytest.importorskip("torchvision") if define_operators() else None
needs_torchvision = pytest.mark.skipif(torchvision is None, reason="torchvision is not installed")


def to_tensor() -> Any:
    from torchvision import transforms as v1

    return v1.Compose([v1.CenterCrop(8), v1.PILToTensor()])


@needs_torchvision
def test_image_folders(folder: Path) -> None:
    datasets = torchvision.datasets
    check(datasets.ImageFolder(str(folder), to_tensor()))
    check(datasets.ImageFolder(str(folder), to_tensor(), target_transform=lambda label: label + 5))
    pil = datasets.folder.pil_loader
    check(datasets.DatasetFolder(str(folder), pil, (".jpg",), to_tensor()), num_workers=0)
    check(torch_data.Subset(datasets.ImageFolder(str(folder), to_tensor()), [4, 2]))
    check(datasets.ImageFolder(os.path.relpath(folder), to_tensor()))


@needs_torchvision
def test_samples_that_were_changed(folder: Path) -> None:
    dataset = torchvision.datasets.ImageFolder(str(folder), to_tensor())
    loader = DataLoader(dataset, 4)
    assert sum(len(n) for _, n in loader) == 15
    dataset.samples = dataset.samples[:6]
    assert sum(len(n) for _, n in DataLoader(dataset, 4)) == 6
    dataset.samples = [(path, "word") for path, _ in dataset.samples]
    loader = DataLoader(dataset, 4)
    assert not loader.native
    assert "not (path, int)" in loader.plan().reason
    assert list(next(iter(loader))[1]) == ["word"] * 4


@needs_torchvision
@pytest.mark.parametrize("what", ["loader", "getitem", "class", "transform", "pil", "hooks"])
def test_image_folders_that_are_pythons(folder: Path, what: str) -> None:
    from torchvision import transforms as v1

    kind = torchvision.datasets.ImageFolder

    class Overrides(kind):  # type: ignore[misc, valid-type]
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)

    class Own(kind):  # type: ignore[misc, valid-type]
        pass

    hooked = v1.CenterCrop(8)
    hooked.register_forward_hook(lambda *_: None)
    made, reason = {
        "loader": (
            kind(str(folder), to_tensor(), loader=lambda p: torchvision.datasets.folder.pil_loader(p)),
            "loader of its own",
        ),
        "getitem": (Overrides(str(folder), to_tensor()), "overrides __getitem__"),
        "class": (Own(str(folder), to_tensor()), "a class of its own"),
        "transform": (
            kind(str(folder), v1.Compose([to_tensor(), v1.Lambda(lambda t: t)])),
            "transform 3 of 3, torchvision's Lambda, has no native counterpart",
        ),
        "pil": (kind(str(folder), v1.CenterCrop(8)), "leave PIL images"),
        "hooks": (kind(str(folder), v1.Compose([hooked, v1.ToTensor()])), "has hooks"),
    }[what]
    loader = DataLoader(made, 4, collate_fn=len)
    assert not loader.native
    assert reason in loader.plan().reason
    assert sum(loader) == 15


@needs_torchvision
def test_what_only_pillow_can_read_is_read_by_pillow(folder: Path, tmp_path: Path) -> None:
    """A GIF by the name of a JPEG, say: a user is never worse off than before."""
    from PIL import Image

    (tmp_path / "a").mkdir()
    picture = Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50)
    picture.save(tmp_path / "a" / "0.jpg", format="GIF")
    write_photos(tmp_path / "a", 2)
    dataset = torchvision.datasets.ImageFolder(str(tmp_path), to_tensor())
    check(dataset)
    loader = DataLoader(dataset, 3)
    list(loader)
    assert loader.errors == ()
    (tmp_path / "a" / "0.jpg").write_bytes(b"nobody can read this")
    with pytest.raises(DataError, match=r"0\.jpg"):
        list(loader)
