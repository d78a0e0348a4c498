"""A script that changes how torchvision or Pillow read images gets what it has asked for."""

from __future__ import annotations

import builtins
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin
from torchvision_operators import define_operators

from stoker import DataError, DataLoader, ImageFolder

define_operators()
torchvision = pytest.importorskip("torchvision")

PIXELS = 400 * 300  # of each photograph
Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pillow")
    for name in "ab":
        write_photos(root / name, 2)
    return root


def dataset(folder: Path, **options: Any) -> Any:
    v1 = torchvision.transforms
    return torchvision.datasets.ImageFolder(
        str(folder), v1.Compose([v1.Resize((4, 4)), v1.ToTensor()]), **options
    )


def pictures(loader: Any) -> torch.Tensor:
    return torch.cat([images for images, _ in loader])


def loader_of(data: Any, **options: Any) -> DataLoader[Any]:
    return DataLoader(data, 2, **{"pixels": "exact", "num_workers": 2, "index": None, **options})


def as_in_torch(data: Any, loader: Any) -> bool:
    return torch.allclose(pictures(loader), pictures(torch_data.DataLoader(data, 2)), rtol=0, atol=1e-6)


def violet(*_: Any, **__: Any) -> Image.Image:
    return Image.new("RGB", (400, 300), (150, 0, 150))


def inverting(function: Any) -> Any:
    @functools.wraps(function)  # which has the name and the module of what it wraps
    def inverted(*args: Any, **options: Any) -> Any:
        return ImageOps.invert(function(*args, **options))

    return inverted


def patched(target: str, make: Callable[[Any], Any]) -> Patch:
    owner, _, name = target.rpartition(".")

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        place: Any = torchvision.datasets.folder if owner == "folder" else eval(owner, globals())
        monkeypatch.setattr(place, name, make(getattr(place, name, None)), raising=False)

    return patch


def register_all_takers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "ID", ["VIOLET", *Image.ID])
    monkeypatch.setitem(Image.OPEN, "VIOLET", (violet, None))


def take_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Image.OPEN, "JPEG", (violet, Image.OPEN["JPEG"][1]))


REPLACED: dict[str, tuple[Patch, str]] = {
    "pil_loader": (patched("folder.pil_loader", lambda _: violet), "pil_loader was replaced"),
    "wrapped": (patched("folder.pil_loader", inverting), "pil_loader was replaced"),
    "Image": (patched("folder.Image", lambda _: type("Fake", (), {"open": violet})), "folder.Image"),
    "folder's open": (
        patched("folder.open", lambda _: functools.partial(builtins.open)), "folder.open"),
    "Python's open": (
        patched("builtins.open", lambda old: lambda *a, **k: old(*a, **k)), "Python's open was replaced"),
    "Image.open": (patched("Image.open", inverting), "PIL.Image.open was replaced"),
    "convert": (patched("Image.Image.convert", inverting), "Image.convert was replaced"),
    "resize": (patched("Image.Image.resize", inverting), "Image.resize was replaced"),
    "load": (
        patched("ImageFile.ImageFile.load", lambda old: lambda s: old(s)), "ImageFile.load was replaced"),
    "a plug-in's": (
        patched("JpegImagePlugin.JpegImageFile.draft", lambda _: lambda *a: None), "draft was replaced"),
    "reader": (take_away, "Pillow's reader of JPEG was replaced"),
    "all-takers": (register_all_takers, "a plug-in of Pillow, VIOLET"),
    "bomb check": (patched("Image._decompression_bomb_check", lambda _: lambda s: None), "bomb_check"),
    "getitem": (
        patched("torchvision.datasets.DatasetFolder.__getitem__", lambda old: lambda self, i: old(self, i)),
        "__getitem__ was replaced"),
}  # fmt: skip


@pytest.mark.parametrize("what", REPLACED)
def test_what_replaces_reading_reads(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Also where the loader was made before, and the dataset is part of another."""
    assert JpegImagePlugin is not None
    data = dataset(folder)
    several = torch_data.ConcatDataset([torch_data.Subset(data, [1, 0]), data])
    before = loader_of(data)
    assert before.native
    unchanged = pictures(before)
    patch, reason = REPLACED[what]
    patch(monkeypatch)
    for loader in (before, loader_of(several)):
        assert reason in loader.plan().reason
        assert not loader.native
        assert as_in_torch(loader.dataset, loader)
    monkeypatch.undo()
    assert before.plan().native
    assert torch.equal(pictures(before), unchanged)


def test_a_loader_that_was_put_in_the_place_of_torchvisions_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not torchvision's because torchvision's module has it now."""
    module = torchvision.datasets.folder
    for name in ("default_loader", "pil_loader"):
        monkeypatch.setattr(module, name, violet)
        data = dataset(folder, loader=getattr(module, name))
        assert "has a loader of its own" in loader_of(data).plan().reason
        assert as_in_torch(data, loader_of(data))
        monkeypatch.undo()
    for name in ("default_loader", "pil_loader"):
        assert loader_of(dataset(folder, loader=getattr(module, name))).native


def test_readers_of_other_formats_are_no_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As plug-ins for HEIC register them."""
    monkeypatch.setitem(Image.OPEN, "HEIF", (violet, lambda prefix: prefix[4:8] == b"ftyp"))
    monkeypatch.setitem(Image.OPEN, "WORDS", (violet, lambda prefix: "the library is missing"))
    monkeypatch.setattr(Image, "ID", ["WORDS", "HEIF", *Image.ID])
    assert loader_of(dataset(folder)).native


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("inline", [False, True])
def test_pillows_pixel_limit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, workers: int, inline: bool
) -> None:
    data = dataset(folder)
    if inline:
        data.transform.transforms.insert(1, torchvision.transforms.Lambda(lambda image: image))
    loader = loader_of(data, num_workers=workers)
    for limit in (None, PIXELS, 10 * PIXELS, 1e12, float("inf")):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(pictures(loader)) == 4
    for limit in (PIXELS // 2 - 1, 0):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match="DecompressionBombError"):
            pictures(loader)
    assert loader.native is not inline


def test_above_half_of_it_pillow_warns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PIXELS - 1)
    data = dataset(folder)
    with pytest.warns(Image.DecompressionBombWarning):
        assert as_in_torch(data, loader_of(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with pytest.raises(DataError, match="DecompressionBombWarning"):
            pictures(loader_of(data))
    list(loader_of(ImageFolder(folder, data.transform)))  # Stoker's have a max_pixels of their own


def test_truncated_images(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sorted(folder.rglob("*.jpg"))
    (tmp_path / "a").mkdir()
    for file in whole:
        (tmp_path / "a" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "a" / whole[0].name).write_bytes(whole[0].read_bytes()[:9000])
    data = dataset(tmp_path)
    loader = loader_of(data)
    with pytest.raises(DataError, match=whole[0].name):
        pictures(loader)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert as_in_torch(data, loader)
    assert loader.native


def test_what_a_worker_process_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(_: int) -> None:
        torchvision.datasets.folder.pil_loader = violet

    data = dataset(folder)
    data.transform.transforms.append(torchvision.transforms.Lambda(lambda image: image))
    loader = loader_of(data, num_workers=1, worker_init_fn=replace)
    assert torch.equal(pictures(loader), data.transform(violet()).expand(4, -1, -1, -1))


def test_what_diagnose_watches_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stoker.diagnosis import worker_files

    monkeypatch.setattr(ImageFile.ImageFile, "__init__", ImageFile.ImageFile.__init__)
    worker_files.remember_opened_images()
    assert hasattr(ImageFile.ImageFile.__init__, "__wrapped__")
    assert loader_of(dataset(folder)).native
