"""ImageFolder and ImageList: what they find, hold, hand out and refuse."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import encode, hwc, photo_like
from PIL import Image

import stoker
from stoker import DataError, ImageFolder, ImageList
from stoker import transforms as T


def pillow(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Class folders with all that must and must not be found in them."""
    data = encode(photo_like(8, 8), "PNG")
    for name in (
        "b/2.jpg",
        "b/10.JPEG",
        "b/1.png",
        "b/deep/er/0.webp",
        "b/Deep/z.tif",
        "b/deep.bmp",
        "b/Z.bmp",
        "B/ü.ppm",
        "a/x.pgm",
        "a/notes.txt",
        "a/.hidden.jpg",
        "a/x.tiff",
        "a/x.gif",
        "not in a class.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a", target_is_directory=True)
    return tmp_path


def torchvision_samples(root: Path) -> list[tuple[str, int]]:
    """torchvision's make_dataset, in short."""
    extensions = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    samples = []
    for label, name in enumerate(classes):
        for folder, _, files in sorted(os.walk(root / name, followlinks=True)):
            for file in sorted(files):
                if file.lower().endswith(extensions):
                    samples.append((os.path.join(folder, file), label))
    return samples


def test_image_folder_finds_what_torchvision_finds_in_its_order(tree: Path) -> None:
    dataset = ImageFolder(tree)
    assert dataset.classes == ["B", "a", "b"]
    assert dataset.class_to_idx == {"B": 0, "a": 1, "b": 2}
    expected = torchvision_samples(tree)
    assert len(dataset) == len(expected) == 14
    assert list(dataset.samples) == expected
    assert dataset.samples == expected
    assert dataset.imgs == dataset.samples
    assert list(dataset.targets) == [label for _, label in expected]
    assert [dataset.path(i) for i in range(len(dataset))] == [path for path, _ in expected]
    assert dataset.root == str(tree)


def test_views_are_read_only_lists(tree: Path) -> None:
    dataset = ImageFolder(str(tree))
    everything = list(dataset.samples)
    assert dataset.samples[0] == everything[0]
    assert dataset.samples[-1] == everything[-1]
    assert dataset.samples[2:7:2] == everything[2:7:2]
    assert dataset.samples[::-1] == everything[::-1]
    assert everything[3] in dataset.samples
    assert dataset.targets.count(2) == sum(label == 2 for _, label in everything)
    assert dataset.targets != [0]
    assert "…" in repr(dataset.targets)
    for index in (len(everything), -len(everything) - 1):
        with pytest.raises(IndexError):
            dataset.samples[index]
    with pytest.raises(TypeError):
        dataset.targets[0] = 1  # type: ignore[index]


def test_is_valid_file_decides_alone(tree: Path) -> None:
    dataset = ImageFolder(tree, is_valid_file=lambda path: path.endswith(("x.gif", "z.tif", "ü.ppm")))
    names = [os.path.basename(path) for path, _ in dataset.samples]
    assert names == ["ü.ppm", "x.gif", "z.tif", "x.gif"]


def test_folders_without_images(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no/such is not a folder"):
        ImageFolder("/no/such")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        ImageFolder(tree / "a" / "x.pgm")
    with pytest.raises(FileNotFoundError, match="has no class folders"):
        ImageFolder(tree / "b" / "Deep")
    (tree / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no image found for 1 of the 4 classes .*: empty") as caught:
        ImageFolder(tree)
    assert ".webp" in str(caught.value)
    dataset = ImageFolder(tree, allow_empty=True)
    assert dataset.class_to_idx["empty"] == 3
    assert len(dataset) == 14


def test_getitem(folder: Path) -> None:
    dataset = ImageFolder(folder)
    for index in (0, 5, len(dataset) - 1):
        image, target = dataset[index]
        assert image.dtype == torch.uint8
        np.testing.assert_array_equal(hwc(image), pillow(dataset.path(index)))
        assert target == dataset.targets[index]
        assert type(target) is int
    assert torch.equal(dataset[-1][0], dataset[len(dataset) - 1][0])
    assert torch.equal(dataset[np.int64(3)][0], dataset[3][0])  # type: ignore[index]
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match="of a dataset of 37"):
            dataset[index]
    assert sum(1 for _ in dataset) == 37  # type: ignore[misc]  # ends by IndexError


def test_getitem_draws_from_torchs_generator(folder: Path) -> None:
    dataset = ImageFolder(folder, T.RandomResizedCrop(16))
    torch.manual_seed(3)
    once = [dataset[0][0] for _ in range(4)]
    torch.manual_seed(3)
    again = [dataset[0][0] for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(once, again))
    assert len({a.numpy().tobytes() for a in once}) == 4


def test_transform_and_target_transform_may_change(folder: Path) -> None:
    dataset = ImageFolder(folder, T.CenterCrop(8), lambda label: f"class {label}")
    assert dataset[0][0].shape == (3, 8, 8)
    assert dataset[0][1] == "class 0"
    assert dataset.targets[0] == 0
    dataset.transform = T.CenterCrop(9)
    dataset.target_transform = None
    assert dataset[0][0].shape == (3, 9, 9)
    assert dataset[0][1] == 0


def test_a_list_of_transforms_may_change_in_place(folder: Path) -> None:
    dataset = ImageFolder(folder, [T.CenterCrop(8)])
    assert dataset[0][0].shape == (3, 8, 8)
    dataset.transform.append(T.CenterCrop(4))  # type: ignore[union-attr]
    assert dataset.sample_plan().fixed_size == (4, 4)
    assert dataset[0][0].shape == (3, 4, 4)


@pytest.mark.parametrize("copy_of", [lambda d: pickle.loads(pickle.dumps(d)), copy.deepcopy, copy.copy])
def test_datasets_pickle_and_copy(folder: Path, copy_of: Any) -> None:
    dataset = ImageFolder(folder, T.CenterCrop(8))
    expected = dataset[4]
    twin = copy_of(dataset)
    assert torch.equal(twin[4][0], expected[0])
    assert twin[4][1] == expected[1]
    assert twin.samples == dataset.samples
    assert twin.classes == dataset.classes


def test_getitem_from_several_threads(folder: Path) -> None:
    dataset = ImageFolder(folder, [T.Resize(40), T.CenterCrop(32)])
    expected = [image for image, _ in (dataset[i] for i in range(len(dataset)))]
    wrong = []

    def work(start: int) -> None:
        for step in range(2 * len(dataset)):
            index = (start + step) % len(dataset)
            if not torch.equal(dataset[index][0], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(9 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_image_list(numbered: list[Path]) -> None:
    labels = [7 * i - 3 for i in range(len(numbered))]
    dataset = ImageList(numbered, labels, T.CenterCrop(20), lambda label: -label)
    assert len(dataset) == 40
    assert dataset.paths == [str(path) for path in numbered]
    assert list(dataset.targets) == labels
    image, target = dataset[11]
    np.testing.assert_array_equal(hwc(image), pillow(numbered[11])[2:-2, 2:-2])
    assert target == -74
    assert repr(dataset) == "ImageList(40 samples)"


@pytest.mark.parametrize(
    "labels", [[3, 2**62, -5], (3, 2**62, -5), torch.tensor([3, 2**62, -5]), np.array([3, 2**62, -5])]
)
def test_labels_from_lists_tensors_and_arrays(numbered: list[Path], labels: Any) -> None:
    assert list(ImageList(iter(numbered[:3]), labels).targets) == [3, 2**62, -5]


def test_refused_labels(numbered: list[Path]) -> None:
    with pytest.raises(ValueError, match="2 paths, but 3 labels"):
        ImageList(numbered[:2], [1, 2, 3])
    for labels in ([1, 2.0], [1, True], [1, "2"], [1, None], torch.tensor([0.0, 1.0])):
        with pytest.raises(TypeError, match="labels must be ints"):
            ImageList(numbered[:2], labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg"],
        ["a.jpg", "a.jpg"],
        ["/d/a.jpg", "/d/a.jpg", "/d/ab.jpg"],
        ["/d//a.jpg", "/d/./b.jpg", "/e/../d/c.jpg"],
        ["./a.jpg", "./b.jpg"],
        ["d/a.jpg", "d/b.jpg", "e.jpg"],
        ["/a.jpg", "/b.jpg"],
        ["/d/a.jpg", "b.jpg"],
        ["ü.jpg", "a\nb.jpg", " "],
        [os.fsdecode(b"\xff\xfe.jpg"), "b.jpg"],
        ["/d", "/d/e"],
        [],
    ],
)
def test_paths_come_back_as_given(names: list[str]) -> None:
    assert list(ImageList(names, range(len(names))).paths) == names


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_impossible_paths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="path"):
        ImageList([name, "b.jpg"], [0, 1])


def test_relative_paths_and_bytes_in_names_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(photo_like(8, 6), "PNG")
    monkeypatch.chdir(tmp_path)
    names = ["plain.png", "./dotted.png", os.fsdecode(b"bytes \xff.png")]
    for name in names:
        (tmp_path / name).write_bytes(data)
    dataset = ImageList(names, [0, 1, 2])
    assert all(image.shape == (3, 6, 8) for image, _ in dataset)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "make",
    [lambda p, n: stoker.decode(p, max_pixels=n), lambda p, n: ImageList([p], [0], max_pixels=n)[0][0]],
)
def test_max_pixels(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "a.jpg"
    photo_like(20, 10).save(path)
    assert make(path, 200).shape == (3, 10, 20)
    with pytest.raises(stoker.DataError, match="20 x 10 pixels, more than the limit of 199") as caught:
        make(path, 199)
    assert caught.value.stage == "decode"


def test_a_sample_takes_about_its_files_name() -> None:
    names = [f"/data/imagenet/train/n{i // 1300:08}/n{i // 1300:08}_{i:06}.JPEG" for i in range(20_000)]
    table = ImageList(names, range(20_000))._table
    assert table.memory_bytes / 20_000 < 50  # 1.3 million take about 60 MB
    assert len(pickle.dumps(table)) / 20_000 < 50


def test_a_side_of_zero_is_refused_as_by_pillow(tmp_path: Path) -> None:
    Image.new("RGB", (300, 2)).save(tmp_path / "long.png")
    with pytest.raises(DataError, match="20 x 0 pixels"):
        ImageList([tmp_path / "long.png"], [0], T.Resize(8, max_size=20))[0]
