"""``stoker.Dataset``, descriptions called on images, and every code block of docs/your-dataset.md."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from PIL import Image

import stoker
from stoker import DataError, DataLoader, ImageList
from stoker import transforms as T

PAGE = Path(__file__).parents[2] / "docs" / "your-dataset.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
FLOATS = [T.ToDtype(torch.float32, scale=True), T.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("rows"), 6)


class Rows(stoker.Dataset):
    def __init__(self, paths: list[Path], transform: Any = None) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def stoker_sample(self, index: int) -> tuple[Any, Any]:
        return self.paths[index], {"row": index}


class Bare(Rows):  # pickled by its name
    pass


# ---- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_the_page(paths: list[Path], tmp_path: Path, number: int) -> None:
    labels = list(range(6))
    images = [path.read_bytes() for path in paths]
    (tmp_path / "rows.csv").write_text(
        "file,label\n" + "".join(f"{p.name},{i}\n" for i, p in enumerate(paths))
    )
    (tmp_path / "packed").write_bytes(b"".join(images))
    ends = np.cumsum([len(image) for image in images])
    names = {
        "paths": paths,
        "labels": labels,
        "images": images,
        "transform": [T.Resize((8, 8))],
        "csv_file": tmp_path / "rows.csv",
        "root": paths[0].parent,
        "packed_file": tmp_path / "packed",
        "spans": [(int(end) - len(image), len(image)) for end, image in zip(ends, images)],
        "rows": [{"image": {"bytes": b or None, "path": str(p)}, "label": i}
                 for i, (b, p) in enumerate(zip([*images[:3], b"", b"", b""], paths))],
    }  # fmt: skip
    exec(compile(BLOCKS[number], str(PAGE), "exec"), names)
    dataset: Any = names["dataset"]
    dataset.transform = [T.Resize((8, 8))]
    expected = ImageList(paths, labels, [T.Resize((8, 8))])
    batches = list(DataLoader(dataset, 4, pixels="exact", num_workers=0))
    assert torch.equal(torch.cat([b[0] for b in batches]), torch.stack([image for image, _ in expected]))
    assert torch.equal(dataset[5][0], expected[5][0])
    targets = [b[1]["label"] if isinstance(b[1], dict) else b[1] for b in batches]
    assert torch.cat(targets).tolist() == labels
    assert number == 0 or "class" in BLOCKS[number]


def test_the_page_has_its_blocks() -> None:
    assert len(BLOCKS) == 5


# ---- stoker.Dataset ------------------------------------------------------------------------------


def test_a_sample_is_what_the_loader_gives(paths: list[Path]) -> None:
    dataset = Bare(paths, [T.RandomCrop(20), T.RandomHorizontalFlip(), *FLOATS])
    torch.manual_seed(3)
    expected = ImageList(paths, range(6), dataset.transform)[2][0]
    torch.manual_seed(3)
    image, target = dataset[2]
    assert torch.equal(image, expected)
    assert target == {"row": 2}
    again = pickle.loads(pickle.dumps(dataset))
    torch.manual_seed(3)
    assert torch.equal(again[2][0], expected)
    assert "_source_of" not in again.__getstate__()
    dataset.transform = [T.Resize((8, 8))]
    loaded = torch.cat([images for images, _ in DataLoader(dataset, 4, pixels="exact")])
    assert torch.equal(torch.stack([sample for sample, _ in dataset]), loaded)  # ends by IndexError
    assert torch.equal(dataset[-1][0], loaded[5])
    by_torch = list(torch_data.DataLoader(dataset, 6, num_workers=1))
    assert torch.equal(by_torch[0][0], loaded)
    dataset.paths = paths[:2]
    assert len(list(dataset)) == 2
    with pytest.raises(TypeError, match="must be an int"):
        dataset["a"]  # type: ignore[index]


def test_what_is_not_written_yet_is_named(paths: list[Path]) -> None:
    class Empty(stoker.Dataset):
        def __len__(self) -> int:
            return 1

    for ask in (lambda: Empty().stoker_sample(0), lambda: stoker.Dataset.__len__(Empty())):
        with pytest.raises(NotImplementedError, match="Empty must have"):
            ask()
    assert not DataLoader(Empty()).native
    with pytest.raises(TypeError, match="Empty is a dataset that only Python can read"):
        Empty()[0]


# ---- descriptions on an image --------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform",
    [
        T.Resize((9, 7)),
        T.Compose(
            [T.RandomResizedCrop(16), T.ColorJitter(0.4, 0.4, 0.4, 0.1), *FLOATS, T.RandomErasing(1.0)]
        ),
        T.Compose([T.Resize(20), T.Grayscale(), T.ToTensor()]),
        T.RandomChoice([T.RandomCrop(12), T.CenterCrop(12)]),
        T.ToImage(),
        T.Compose([T.Resize((8, 8)), lambda image: 255 - image, T.ToTensor()]),
    ],
    ids=lambda t: type(t).__name__,
)
def test_a_transform_of_an_image_is_the_datasets(paths: list[Path], transform: T.Transform) -> None:
    dataset = ImageList(paths[:1], [0], transform)
    torch.manual_seed(5)
    expected = dataset[0][0]
    picture = Image.open(paths[0])
    pixels = np.asarray(picture)
    for image in (picture, pixels, torch.from_numpy(pixels.copy()).permute(2, 0, 1)):
        torch.manual_seed(5)
        assert torch.equal(transform(image), expected)


def test_other_kinds_of_images(paths: list[Path]) -> None:
    picture = Image.open(paths[0])
    resize = T.Resize((8, 8))
    for mode in ("L", "RGBA", "P", "1", "CMYK"):
        other = picture.convert(mode)
        assert torch.equal(resize(other), resize(other.convert("RGB")))
    gray = torch.arange(12, dtype=torch.uint8).view(1, 3, 4)
    assert torch.equal(T.CenterCrop(2)(gray), T.CenterCrop(2)(gray.expand(3, -1, -1)))
    assert torch.equal(T.ToImage()(gray[0].numpy()), gray.expand(3, -1, -1))
    floats = T.Compose(FLOATS)(picture)
    assert torch.allclose(FLOATS[1](FLOATS[0](picture)), floats, atol=1e-6)
    for wrong in (7, "a.jpg", torch.zeros(2, 3, 4, 4, dtype=torch.uint8), np.zeros((4, 4, 4), np.uint8),
                  torch.empty(3, 0, 4, dtype=torch.uint8), np.zeros((4, 4, 3), np.int64)):  # fmt: skip
        with pytest.raises(TypeError, match="a transform takes a PIL image"):
            resize(wrong)
    with pytest.raises(TypeError, match="needs a uint8 image"):
        resize(floats)
    with pytest.raises(DataError, match="RandomCrop"):
        T.RandomCrop(500)(picture)


# ---- the lines that plan() writes ----------------------------------------------------------------


class Files(torch_data.Dataset[Any]):
    def __init__(self, **columns: Any) -> None:
        vars(self).update(columns)

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(3), index


def test_the_lines_for_this_dataset(paths: list[Path]) -> None:
    names, labels = [path.name for path in paths], list(range(6))
    root, rows = paths[0].parent, [(str(p), i) for i, p in enumerate(paths)]
    for columns, answer in (
        ({"files": paths, "labels": labels}, "self.files[index], self.labels[index]"),
        ({"folder": root, "names": names}, "os.path.join(self.folder, self.names[index]), <its target>"),
        ({"items": rows, "classes": ["a"]}, "self.items[index][0], self.items[index][1]"),
    ):
        dataset = Files(**columns)
        for one in (dataset, torch_data.Subset(dataset, [1, 0])):
            plan = DataLoader(one).plan()
            assert plan.hint[-1].strip() == f"return {answer}"
            assert str(plan).endswith("\n".join(plan.hint))
        if "<" not in answer:
            lines = "\n".join(line[6:] for line in plan.hint[1:])
            made: dict[str, Any] = {}
            exec(lines, made)
            better = type("Better", (Files,), made | {"transform": [T.Resize((4, 4))]})(**columns)
            assert DataLoader(better).plan().native
    assert DataLoader(Files(numbers=labels)).plan().hint == ()
    assert "docs/your-dataset.md" in DataLoader(Files(numbers=labels)).plan().reason
