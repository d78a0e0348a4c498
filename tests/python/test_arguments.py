"""What users hand over and what they read of it: homes are found, errors speak of their arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from torchvision_operators import define_operators

import stoker
from stoker import DataLoader, ImageFolder, ImageList
from stoker import transforms as T

HAVE_TORCHVISION = define_operators()
needs_torchvision = pytest.mark.skipif(not HAVE_TORCHVISION, reason="needs torchvision")
SMALL = [T.Resize((4, 4))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("home") / "data"
    for name in "ab":
        write_photos(root / name, 2)
    return root


class Rows(torch_data.Dataset[Any]):
    transform = SMALL

    def __init__(self, give: Any) -> None:
        self.give = give

    def __len__(self) -> int:
        return 2

    def stoker_sample(self, index: int) -> Any:
        return self.give


def test_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder.parent
    monkeypatch.setenv("HOME", str(home))
    dataset = ImageFolder("~/data", SMALL)
    assert dataset.root == str(folder)
    assert len(ImageFolder(Path("~/data"))) == len(dataset) == 4
    name = "~/data/a/000.jpg"
    assert ImageList([name, Path(name)], [0, 1]).paths == [str(folder / "a" / "000.jpg")] * 2
    assert torch.equal(stoker.decode(name), stoker.decode(folder / "a" / "000.jpg"))
    assert len(list(DataLoader(Rows((name, 0)), num_workers=0))) == 2
    loader = DataLoader(
        dataset, 2, index="~/my.index", error_manifest="~/bad.jsonl", on_error="skip", num_workers=1
    )
    list(loader)
    loader.save_report("~/report.html")
    loader.save_trace("~/trace.json")
    loader.stats().to_jsonl("~/stats.jsonl")
    broken = ImageList(["~/data/none.jpg", name], [0, 1], SMALL)
    list(DataLoader(broken, 2, on_error="skip", error_manifest="~/bad.jsonl", num_workers=0, index=None))
    for file in ("report.html", "trace.json", "stats.jsonl", "bad.jsonl"):
        assert (home / file).stat().st_size > 0
    assert json.loads((home / "bad.jsonl").read_text())["path"] == str(folder / "none.jpg")
    assert stoker.index.named(b"/", "~/my.index").path == bytes(home / "my.index")


def wrong(folder: Path) -> dict[str, Callable[[], Any]]:
    paths = [str(path) for path in sorted(folder.rglob("*.jpg"))]
    images = ImageList(paths, range(4), SMALL)
    pairs = torch_data.BatchSampler(range(4), 2, False)

    def loaded(dataset: Any, **options: Any) -> Any:
        return list(DataLoader(dataset, **{"num_workers": 0, "index": None, **options}))

    return {
        "lists as indices": lambda: loaded(images, sampler=pairs, batch_size=None),
        "floats as indices": lambda: loaded(images, sampler=[0.0, 1.0]),
        "words as indices": lambda: loaded(images, batch_sampler=[["a"]]),
        "indices beyond int64": lambda: loaded(images, sampler=[2**70]),
        "indices that are not there": lambda: loaded(images, sampler=[4]),
        "dataset[1.5]": lambda: images[1.5],  # type: ignore[index]
        "dataset[[0]]": lambda: images[[0]],  # type: ignore[index]
        "path('a')": lambda: images.path("a"),  # type: ignore[arg-type]
        "path(4)": lambda: images.path(4),
        "targets[1.0]": lambda: images.targets[1.0],  # type: ignore[call-overload]
        "a label beyond int64": lambda: ImageList(paths, [2**63] * 4),
        "a label that is none": lambda: ImageList(paths, ["a"] * 4),  # type: ignore[list-item]
        "max_pixels in words": lambda: ImageFolder(folder, max_pixels="many"),  # type: ignore[arg-type]
        "max_pixels as a float": lambda: stoker.decode(paths[0], max_pixels=1e9),  # type: ignore[arg-type]
        "max_pixels beyond int64": lambda: stoker.decode(paths[0], max_pixels=2**63),
        "max_pixels set later": lambda: setattr(images, "max_pixels", None) or images[0],
        "a side beyond int32": lambda: ImageFolder(folder, T.CenterCrop(2**40)),
        "prefetch_factor as a float": lambda: loaded(
            ImageList(paths, range(4), SMALL), num_workers=1, prefetch_factor=2.5
        ),
        "workers beyond int32": lambda: loaded(ImageList(paths, range(4), SMALL), num_workers=2**40),
        "no path": lambda: loaded(Rows((7, 0))),
        "no pair": lambda: loaded(Rows("a.jpg")),
        "a loader that is none": lambda: ImageFolder(folder, None, None, "pil"),  # type: ignore[arg-type]
        "samples set": lambda: setattr(ImageFolder(folder), "samples", []),
    }


@pytest.mark.parametrize("what", wrong(Path()))
def test_errors_are_in_words(folder: Path, what: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError)) as raised:
        wrong(folder)[what]()
    text = str(raised.value)
    assert text
    for foreign in ("incompatible", "C++", "_C.", "SupportsInt", "cast", "not supported between", "unpack"):
        assert foreign not in text


def test_errors_name_what_was_given(folder: Path) -> None:
    for what, words in {
        "lists as indices": r"the sampler gave \[0, 1\]",
        "a label beyond int64": "9223372036854775808 for .*000.jpg",
        "no pair": r"of Rows must return \(path or bytes, target\)",
        "samples set": "samples of ImageFolder cannot be set",
    }.items():
        with pytest.raises(Exception, match=words):
            wrong(folder)[what]()
    with pytest.raises(FileNotFoundError, match="is_valid_file took no file of them"):
        ImageFolder(folder, is_valid_file=lambda path: False)


@needs_torchvision
def test_labels_that_are_no_ints_are_named_in_the_plan(folder: Path) -> None:
    import torchvision

    dataset = torchvision.datasets.ImageFolder(str(folder), torchvision.transforms.ToTensor())
    for label in ("word", 2**63):
        dataset.samples[1] = (dataset.samples[1][0], label)
        reason = DataLoader(dataset).plan().reason
        assert "not (path, int): sample 1 is (" in reason
        assert "C++" not in reason


@needs_torchvision
def test_the_fourth_argument_is_the_loader_as_in_torchvision(folder: Path) -> None:
    import torchvision
    from PIL import Image

    v1, datasets = torchvision.transforms, torchvision.datasets

    def dark(path: str) -> Image.Image:
        return Image.new("RGB", (8, 8), (int(Path(path).stem), 0, 0))

    transform = v1.Compose([v1.RandomHorizontalFlip(1), v1.PILToTensor()])
    theirs = datasets.ImageFolder(str(folder), transform, None, dark)
    for given in (transform, [T.RandomHorizontalFlip(1), T.PILToTensor()]):
        ours = ImageFolder(folder, given, None, dark)
        loader = DataLoader(ours, 4, num_workers=0)
        assert "has a loader of its own" in loader.plan().reason
        assert torch.equal(next(iter(loader))[0], torch.stack([image for image, _ in theirs]))
    plain = ImageFolder(folder, SMALL, None, datasets.folder.default_loader)
    assert DataLoader(plain).native
    assert torch.equal(plain[0][0], ImageFolder(folder, SMALL)[0][0])
