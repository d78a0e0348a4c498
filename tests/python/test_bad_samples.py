"""on_error, max_errors, the manifest, and what a timeout says."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from bad_images import BAD, SAMPLES, Fussy, bad_images, either
from index_helpers import same

from stoker import BadSample, DataError, DataLoader, ImageList, TooManyErrorsError
from stoker import transforms as T


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    return bad_images(tmp_path_factory.mktemp("bad"))


def labels(batches: Any) -> list[list[int]]:
    return [several.tolist() for _, several in batches]


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("workers", [0, 2])
def test_skip(images: ImageList, path: str, workers: int) -> None:
    loader = DataLoader(either(images, path), 6, num_workers=workers, on_error="skip")
    assert loader.native == (path == "native")
    batches = list(loader)
    assert labels(batches) == [[0, 1, 2, 4, 5], [6, 7, 8, 9], [14, 15, 16, 17], [18, 19, 20, 21, 23]]
    assert all(len(pixels) == len(several) for pixels, several in batches)
    assert [bad.index for bad in loader.errors] == list(BAD)
    assert {bad.action for bad in loader.errors} == {"skipped"}
    assert [bad.batch for bad in loader.errors] == [0, 1, 1, 2, 2, 3]
    assert [bad.stage for bad in loader.errors] == ["read", *["decode"] * 5]
    assert all(bad.path == images.path(bad.index) for bad in loader.errors)
    assert all(bad.reason for bad in loader.errors)
    assert (loader.stats().samples, loader.stats().failed_batches) == (SAMPLES - len(BAD), 0)
    assert (loader.stats().skipped, loader.stats().replaced) == (len(BAD), 0)
    assert "6 samples could not be loaded: 6 skipped (loader.errors says which)" in loader.report()


def test_what_is_not_skipped_has_its_own_pixels(images: ImageList) -> None:
    good = [n for n in range(SAMPLES) if n not in BAD]
    torch.manual_seed(0)
    expected = torch.cat([p for p, _ in DataLoader(images, 4, sampler=good, num_workers=0)])
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        loader = DataLoader(images, 6, num_workers=2, on_error="skip", memory_format=memory_format)
        batches = [pixels for pixels, _ in loader]
        assert all(b.is_contiguous(memory_format=memory_format) for b in batches)
        assert torch.equal(torch.cat(batches), expected)


@pytest.mark.parametrize("path", ["native", "python"])
def test_a_batch_of_which_nothing_is_left_does_not_come(images: ImageList, path: str) -> None:
    for size, expected in [(2, 10), (None, 18)]:
        loader = DataLoader(either(images, path), size, num_workers=0, on_error="skip")
        batches = list(loader)
        assert len(batches) == expected
        assert len(loader.errors) == len(BAD)
    # Of batches of two, [10, 11] and [12, 13] are gone.


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("workers", [0, 2])
def test_replace(images: ImageList, path: str, workers: int) -> None:
    loader = DataLoader(either(images, path), 6, num_workers=workers, on_error="replace")
    batches = list(loader)
    found = [n for several in labels(batches) for n in several]
    assert len(found) == SAMPLES
    replaced = {bad.index: bad.replaced_by for bad in loader.errors if bad.action == "replaced"}
    assert set(replaced) == set(BAD)
    for n, label in enumerate(found):
        assert label == (replaced[n] if n in BAD else n)
    assert not set(found) & set(BAD)
    assert len(loader.errors) == len(BAD)
    assert (loader.stats().samples, loader.stats().failed_batches) == (SAMPLES, 0)
    assert (loader.stats().skipped, loader.stats().replaced) == (0, len(BAD))
    assert "lost" not in loader.report()
    assert "6 samples could not be loaded: 6 replaced (loader.errors says which)" in loader.report()


def test_replacements_are_the_same_whenever_the_epoch_is_repeated(images: ImageList) -> None:
    def run(workers: int) -> tuple[list[Any], tuple[BadSample, ...]]:
        torch.manual_seed(6)
        loader = DataLoader(images, 5, shuffle=True, num_workers=workers, on_error="replace")
        return [tuple(b) for _ in range(2) for b in loader], loader.errors

    batches, errors = run(0)
    for workers in (1, 3):
        again, same_errors = run(workers)
        assert same(batches, again)
        assert same_errors == errors
    first, second = (
        [bad.replaced_by for bad in sorted(errors, key=lambda b: b.index) if bad.epoch == e] for e in (0, 1)
    )
    assert first != second  # another epoch, another choice


@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_a_resumed_run_makes_the_same_choices(images: ImageList, on_error: Any) -> None:
    def loader(seed: int) -> DataLoader[Any]:
        torch.manual_seed(seed)
        return DataLoader(images, 5, shuffle=True, num_workers=2, on_error=on_error)

    whole = loader(2)
    expected = [tuple(b) for b in whole]
    first = loader(2)
    iterator = iter(first)
    for _ in range(2):
        next(iterator)
    second = loader(77)
    second.load_state_dict(first.state_dict())
    assert same([tuple(b) for b in second], expected[2:])
    assert first.errors + second.errors == whole.errors


def test_sources_that_come_one_by_one(images: ImageList) -> None:
    class Sampled(torch_data.Dataset[Any]):
        transform = T.CenterCrop(8)

        def __len__(self) -> int:
            return SAMPLES

        def stoker_sample(self, index: int) -> tuple[str, dict[str, int]]:
            return images.path(index), {"number": index}

    loader = DataLoader(Sampled(), 6, on_error="replace", num_workers=2)
    assert loader.native
    numbers = torch.cat([targets["number"] for _, targets in loader]).tolist()
    replaced = {bad.index: bad.replaced_by for bad in loader.errors if bad.action == "replaced"}
    assert numbers == [replaced.get(n, n) for n in range(SAMPLES)]
    skipping = DataLoader(Sampled(), 6, on_error="skip", num_workers=2)
    assert sum(len(targets["number"]) for _, targets in skipping) == SAMPLES - len(BAD)


def test_raise_is_the_default_and_is_recorded(images: ImageList) -> None:
    loader = DataLoader(images, 6, num_workers=0)
    iterator = iter(loader)
    with pytest.raises(DataError) as caught:
        next(iterator)
    assert (caught.value.index, caught.value.batch) == (3, 0)
    assert [(bad.index, bad.action) for bad in loader.errors] == [(3, "raised")]
    with pytest.raises(DataError):
        next(iterator)  # the batch of 10 and 11: both are recorded, the first is raised
    assert [bad.index for bad in loader.errors] == [3, 10, 11]


# ---- limits and the manifest ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize(
    ("limit", "passes"), [(6, True), (5, False), (0, False), (0.25, True), (0.2, False), (None, True)]
)
def test_max_errors(images: ImageList, path: str, limit: float | None, passes: bool) -> None:
    loader = DataLoader(either(images, path), 6, on_error="skip", max_errors=limit, num_workers=0)
    if passes:
        for _ in range(2):  # they are counted by epochs
            list(loader)
        assert len(loader.errors) == 2 * len(BAD)
    else:
        with pytest.raises(TooManyErrorsError, match="max_errors allows") as caught:
            list(loader)
        assert "no image" not in str(caught.value)
        assert str(images.path(loader.errors[-1].index)) in str(caught.value)


@pytest.mark.parametrize("path", ["native", "python"])
def test_max_errors_is_of_the_samples_that_a_batch_sampler_gives(images: ImageList, path: str) -> None:
    few = torch_data.BatchSampler([3, 10, 0, 1, 2], 2, False)
    loader = DataLoader(either(images, path), batch_sampler=few, on_error="skip", max_errors=0.2)
    with pytest.raises(TooManyErrorsError, match=r"allows 1 \(0\.2 of 6\)"):
        list(loader)


def test_a_resumed_epoch_goes_on_counting(images: ImageList) -> None:
    first = DataLoader(images, 6, on_error="skip", max_errors=4)
    iterator = iter(first)
    next(iterator), next(iterator)
    second = DataLoader(images, 6, on_error="skip", max_errors=4)
    second.load_state_dict(first.state_dict())
    with pytest.raises(TooManyErrorsError):
        list(second)


def test_the_manifest(images: ImageList, tmp_path: Path) -> None:
    manifest = tmp_path / "bad.jsonl"
    loader = DataLoader(images, 6, on_error="skip", error_manifest=manifest)
    for _ in range(2):
        list(loader)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [BadSample(**line) for line in lines] == list(loader.errors)
    assert [line["epoch"] for line in lines] == [0] * 6 + [1] * 6
    assert set(lines[0]) == {
        "epoch", "batch", "index", "path", "stage", "reason", "action", "replaced_by",
    }  # fmt: skip


def test_a_manifest_that_cannot_be_written(images: ImageList, tmp_path: Path) -> None:
    loader = DataLoader(images, 6, on_error="skip", error_manifest=tmp_path / "none" / "bad.jsonl")
    with pytest.raises(FileNotFoundError, match=r"bad\.jsonl"):
        list(loader)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on_error": "ignore"}, ValueError, "raise"),
        ({"on_error": "skip", "max_errors": -1}, ValueError, "count >= 0"),
        ({"on_error": "skip", "max_errors": 1.5}, ValueError, "fraction"),
        ({"on_error": "skip", "max_errors": "5"}, TypeError, "max_errors"),
        ({"on_error": "skip", "max_errors": True}, TypeError, "max_errors"),
    ],
)
def test_refused_arguments(images: ImageList, arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        DataLoader(images, **arguments)


def test_iterable_datasets_end_with_their_error() -> None:
    class Stream(torch_data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(ValueError, match="map-style"):
        DataLoader(Stream(), on_error="skip")


# ---- errors of Python's --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_any_exception_of_a_python_dataset(workers: int) -> None:
    loader = DataLoader(Fussy(), 5, num_workers=workers, on_error="skip")
    assert [b.tolist() for b in loader] == [[0, 2, 3, 4], [6, 7, 8]]
    (first, *_) = loader.errors
    assert (first.index, first.stage, first.path) == (1, "python", "")
    assert "KeyError: 'nothing under 1'" in first.reason
    assert "bad_images.py" in first.reason
    assert "in __getitem__" in first.reason
    replacing = DataLoader(Fussy(), 5, num_workers=workers, on_error="replace")
    assert [len(b) for b in replacing] == [5, 5]


def test_nothing_that_could_replace() -> None:
    class Nothing(Fussy):
        def __getitem__(self, index: int) -> int:
            raise ValueError("never")

    loader = DataLoader(Nothing(), 5, on_error="replace", max_errors=1000)
    with pytest.raises(TooManyErrorsError, match="not one sample of this epoch could be loaded, of 10"):
        list(loader)
    assert {bad.action for bad in loader.errors} == {"skipped"}


# ---- timeouts ------------------------------------------------------------------------------------


class Sleepy(torch_data.Dataset[int]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        time.sleep(30 if index == 3 else 0)
        return index


def test_a_timeout_names_the_samples_of_the_batch() -> None:
    loader = DataLoader(Sleepy(), 2, num_workers=1, timeout=1)
    iterator = iter(loader)
    first = None
    while first is None:
        with contextlib.suppress(RuntimeError):  # a worker that has only just begun
            first = next(iterator).tolist()
    assert first == [0, 1]
    with pytest.raises(RuntimeError, match=r"timed out after 1 seconds.*batch 1.*sample 2, sample 3"):
        next(iterator)


def test_a_native_timeout_names_the_samples_that_are_pending(
    images: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core's clock is not waited for: a core that nothing runs in is asked at once."""
    from stoker import _native

    loader = DataLoader(images, 6, sampler=[0, 1, 2, 4, 5, 6], num_workers=0)
    iterator: Any = iter(loader)
    real = iterator._core

    class Never:
        def __getattr__(self, name: str) -> Any:
            return (lambda timeout: False) if name == "wait" else getattr(real, name)

    iterator._core, iterator._timeout = Never(), 7
    with pytest.raises(RuntimeError) as caught:
        next(iterator)
    iterator._core = real
    said = str(caught.value)
    assert "timed out after 7 seconds, waiting for batch 0" in said
    assert f"0 ({images.path(0)}), 1 ({images.path(1)})" in said
    assert said.endswith("and 1 more")
    assert _native.NativeIterator is type(iterator)
    assert next(iterator)[1].tolist() == [0, 1, 2, 4, 5, 6]  # and it can be asked again
