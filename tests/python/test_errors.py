"""Samples that cannot be loaded: what DataError says, where it comes, and what goes on after it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import encode, photo_like
from python_datasets import Opaque

from stoker import DataError, DataLoader, ImageList, decode
from stoker import transforms as T

# Needs the whole image: a random crop may well lie before the place where a file is damaged.
WHOLE = T.Resize((16, 16))


def claims(data: bytes, height: int, width: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


def damaged(folder: Path) -> dict[str, Path]:
    jpeg, png = encode(photo_like(64, 48), "JPEG"), encode(photo_like(64, 48), "PNG")
    files = {
        "empty.jpg": b"",
        "one byte.jpg": b"\xff",
        "signature.jpg": jpeg[:3],
        "header.jpg": jpeg[:200],
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "without end.jpg": jpeg[:-200],
        "bomb.jpg": claims(jpeg, 65500, 65500),
        "nothing.jpg": claims(jpeg, 0, 0),
        "garbage.jpg": bytes(range(256)) * 8,
        "text.jpg": b"This is not an image.\n" * 20,
        "cut.png": png[: len(png) // 2],
        "signature.png": png[:8],
        "gif.jpg": encode(photo_like(8, 8).convert("P"), "GIF"),
    }
    paths = {}
    for name, data in files.items():
        paths[name] = folder / name
        paths[name].write_bytes(data)
    paths["folder.jpg"] = folder / "folder.jpg"
    paths["folder.jpg"].mkdir()
    paths["missing.jpg"] = folder / "missing.jpg"
    return paths


STAGE = {"folder.jpg": "read", "missing.jpg": "read"}  # all others: decode
NAMES = [
    "empty.jpg",
    "one byte.jpg",
    "signature.jpg",
    "header.jpg",
    "cut.jpg",
    "without end.jpg",
    "bomb.jpg",
    "nothing.jpg",
    "garbage.jpg",
    "text.jpg",
    "cut.png",
    "signature.png",
    "gif.jpg",
    "folder.jpg",
    "missing.jpg",
]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = damaged(tmp_path_factory.mktemp("bad"))
    assert list(paths) == NAMES
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_decode(bad: dict[str, Path], name: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(bad[name])
    error = caught.value
    assert isinstance(error, RuntimeError)
    assert (error.index, error.path, error.batch) == (-1, str(bad[name]), None)
    assert error.stage == STAGE.get(name, "decode")
    assert len(error.reason) > 5
    assert error.path in str(error)
    assert error.reason in str(error)
    assert "\n" not in str(error)
    if error.stage == "decode":
        with pytest.raises(DataError, match="the given bytes") as caught:
            decode(bad[name].read_bytes())
        assert (caught.value.path, caught.value.reason) == ("", error.reason)


def test_reasons_name_the_cause(bad: dict[str, Path]) -> None:
    reasons = {}
    for name in NAMES:
        with pytest.raises(DataError) as caught:
            decode(bad[name])
        reasons[name] = caught.value.reason.lower()
    assert "empty" in reasons["empty.jpg"]
    assert "65500 x 65500" in reasons["bomb.jpg"]
    assert "not an image" in reasons["text.jpg"]
    assert "no such file" in reasons["missing.jpg"]
    assert "director" in reasons["folder.jpg"] or "folder" in reasons["folder.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_printed(bad: dict[str, Path], name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError):
        decode(bad[name])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_dataset(bad: dict[str, Path], numbered: list[Path], name: str) -> None:
    dataset = ImageList([numbered[0], bad[name]], [0, 1], WHOLE)
    with pytest.raises(DataError) as caught:
        dataset[1]
    assert (caught.value.index, caught.value.path) == (1, str(bad[name]))
    assert "sample 1 (" in str(caught.value)
    assert dataset[0][0].shape == (3, 16, 16)


def drain(iterator: Iterator[Any]) -> list[Any]:
    """Batches' labels, and the errors among them."""
    results: list[Any] = []
    while True:
        try:
            results.append(next(iterator)[1].tolist())
        except DataError as e:
            results.append(e)
        except StopIteration:
            return results


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_every_damage_in_a_loader_costs_its_own_batch_only(
    bad: dict[str, Path], numbered: list[Path], workers: int
) -> None:
    paths = list(numbered[:3]) * len(NAMES)
    where = {3 * i + i % 3: name for i, name in enumerate(NAMES) if i % 4 != 3}  # some batches stay whole
    for index, name in where.items():
        paths[index] = bad[name]
    loader = DataLoader(ImageList(paths, range(len(paths)), WHOLE), batch_size=3, num_workers=workers)
    for _ in range(2):
        results = drain(iter(loader))
        assert len(results) == len(NAMES)
        for batch, result in enumerate(results):
            labels = [3 * batch, 3 * batch + 1, 3 * batch + 2]
            failing = [i for i in labels if i in where]
            if not failing:
                assert result == labels
                continue
            assert isinstance(result, DataError)
            name = where[failing[0]]
            assert (result.index, result.batch, result.path) == (failing[0], batch, str(bad[name]))
            assert result.stage == STAGE.get(name, "decode")
            assert result.path in str(result)
            assert result.reason in str(result)
            assert f"batch {batch}" in str(result)
    stats = loader.stats()
    assert stats.failed_batches == 2 * len(where)
    assert stats.batches == 2 * (len(NAMES) - len(where))
    assert f"{stats.failed_batches} batches were lost" in loader.report()


@pytest.mark.parametrize("workers", [0, 4])
def test_of_several_errors_in_a_batch_the_first_is_told(
    bad: dict[str, Path], numbered: list[Path], workers: int
) -> None:
    paths = [*numbered[:5], bad["missing.jpg"], bad["text.jpg"], *numbered[:5], bad["empty.jpg"]]
    loader = DataLoader(ImageList(paths, range(13), WHOLE), batch_size=13, num_workers=workers)
    for _ in range(5):
        (error,) = drain(iter(loader))
        assert (error.index, error.stage) == (5, "read")


@pytest.mark.parametrize("batch_size", [4, None])
def test_transform_errors(numbered: list[Path], batch_size: int | None) -> None:
    dataset = ImageList(numbered[:4], range(4), T.RandomCrop(25))
    with pytest.raises(DataError, match="larger than the padded image") as caught:
        next(iter(DataLoader(dataset, batch_size=batch_size, num_workers=1)))
    assert (caught.value.stage, caught.value.index, caught.value.batch) == ("transform", 0, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_on_the_python_path_it_is_a_data_error_too(
    bad: dict[str, Path], numbered: list[Path], workers: int
) -> None:
    paths = [*numbered[:5], bad["text.jpg"]]
    dataset = Opaque(ImageList(paths, range(6), WHOLE))
    loader = DataLoader(dataset, batch_size=2, num_workers=workers)
    assert not loader.native
    iterator = iter(loader)
    assert next(iterator)[1].tolist() == [0, 1]
    assert next(iterator)[1].tolist() == [2, 3]
    with pytest.raises(DataError) as caught:
        next(iterator)
    assert (caught.value.index, caught.value.stage, caught.value.batch) == (5, "decode", 2)
    assert str(bad["text.jpg"]) in str(caught.value)


@pytest.mark.parametrize("batch", [None, 7])
@pytest.mark.parametrize("copy_of", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_data_errors_pickle_and_copy(batch: int | None, copy_of: Any) -> None:
    error = DataError(3, "/d/ü\udcff.jpg", "decode", "broken")
    error.batch = batch
    twin = copy_of(error)
    assert type(twin) is DataError
    assert vars(twin) == vars(error)
    assert str(twin) == str(error)
    assert twin.args == error.args


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = str(tmp_path / "broken \udcff.jpg")
    with pytest.raises(DataError) as caught:
        decode(name)
    assert caught.value.path == name


class Sampler(list[Any]):
    """Gives its items; raises those that are exceptions."""

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            if isinstance(item, Exception):
                raise item
            yield item


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_what_a_sampler_raises_comes_behind_the_batches_before_it(numbered: list[Path], workers: int) -> None:
    sampler = Sampler([*range(8), ValueError("the sampler broke"), 1])
    dataset = ImageList(numbered, range(40), WHOLE)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=workers)
    for _ in range(2):
        iterator = iter(loader)
        assert [next(iterator)[1].tolist() for _ in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
        with pytest.raises(ValueError, match="the sampler broke"):
            next(iterator)
        with pytest.raises(StopIteration):
            next(iterator)


@pytest.mark.parametrize("workers", [0, 4])
@pytest.mark.parametrize("index", [40, 2**40, -41])
def test_index_out_of_range(numbered: list[Path], workers: int, index: int) -> None:
    dataset = ImageList(numbered, range(40), WHOLE)
    batches = Sampler([[0, 1], [2], [3, index], [4]])
    iterator = iter(DataLoader(dataset, batch_sampler=batches, num_workers=workers))
    assert next(iterator)[1].tolist() == [0, 1]
    assert next(iterator)[1].tolist() == [2]
    with pytest.raises(IndexError, match=str(index)):
        next(iterator)


@pytest.mark.parametrize("item", [["a"], [1.5], [None], 3])
def test_what_is_no_index_is_refused(numbered: list[Path], item: Any) -> None:
    dataset = ImageList(numbered, range(40), WHOLE)
    iterator = iter(DataLoader(dataset, batch_sampler=Sampler([[0], item]), num_workers=2))
    assert next(iterator)[1].tolist() == [0]
    with pytest.raises(TypeError):
        next(iterator)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_the_users_functions_pass_through(numbered: list[Path], workers: int) -> None:
    def target_transform(label: int) -> int:
        if label == 3:
            raise LookupError("no such class")
        return label

    dataset = ImageList(numbered[:8], range(8), WHOLE, target_transform)
    iterator = iter(DataLoader(dataset, batch_size=2, num_workers=workers))
    assert next(iterator)[1].tolist() == [0, 1]
    with pytest.raises(LookupError, match="no such class"):
        next(iterator)
    assert next(iterator)[1].tolist() == [4, 5]


def test_a_batch_that_does_not_come_in_time(numbered: list[Path], tmp_path: Path) -> None:
    slow = tmp_path / "slow.jpg"
    photo_like(100, 75).resize((4000, 3000)).save(slow, quality=95)
    dataset = ImageList([slow] * 100, range(100), WHOLE)
    iterator = iter(DataLoader(dataset, batch_size=100, num_workers=1, timeout=0.05))
    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds"):
        next(iterator)


def test_a_truncated_jpeg_is_said_to_be_so() -> None:
    whole = encode(photo_like(500, 500, seed=1), "JPEG", quality=90)
    cut = whole[: len(whole) // 2]
    with pytest.raises(DataError) as caught:
        decode(cut)
    assert caught.value.reason == f"truncated after {len(cut)} bytes: part of the image is missing"
