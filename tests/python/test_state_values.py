"""What claims to be a state works, or is refused with a StateError and leaves the loader as it was."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data.distributed import DistributedSampler

from stoker import DataLoader, ImageList, StateError
from stoker import transforms as T


class Numbers(torch_data.Dataset[int]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> int:
        return index


class Stream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(12))


KINDS = ["native", "python", "iterable", "rank", "generator"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    return ImageList(write_photos(tmp_path_factory.mktemp("states"), 12), range(12), [T.CenterCrop(8)])


def loader_of(kind: str, images: ImageList) -> DataLoader[Any]:
    torch.manual_seed(5)
    if kind == "iterable":
        return DataLoader(Stream(), 2)
    if kind == "native":
        return DataLoader(images, 2, shuffle=True, num_workers=1, index=None)
    if kind == "rank":
        return DataLoader(Numbers(), 2, sampler=DistributedSampler(Numbers(), 2, 1))
    generator = torch.Generator().manual_seed(3) if kind == "generator" else None
    return DataLoader(Numbers(), 2, shuffle=True, generator=generator)


def state_of(kind: str, images: ImageList, cut: int) -> dict[str, Any]:
    loader = loader_of(kind, images)
    if cut:
        iterator = iter(loader)
        for _ in range(cut):
            next(iterator, None)
    return loader.state_dict()


ODD: list[Any] = [
    None, True, -1, 0, 7, 2**31, 2**62, 2**63, 10**400, -(10**400), 0.5, float("nan"),
    "", "x", "RandomSampler", "AAAA", "\ud800", b"x", [1], {}, {"default": None}, {"default": {}},
    {"default": {"before": "AAAA"}}, {"default": {"before": 3}}, {1: {"before": "AAAA"}}, (), {1, 2},
    object(), torch.tensor([1, 2]), int,
]  # fmt: skip


def draw(loader: DataLoader[Any]) -> list[Any]:
    return [torch.as_tensor(b[1] if isinstance(b, (list, tuple)) else b).tolist() for b in loader]


def refused_or_works(loader: DataLoader[Any], state: Any) -> bool:
    """Whether it works. Fails the test where it does neither."""
    before = loader.state_dict()
    try:
        loader.load_state_dict(state)
    except StateError as e:
        if not str(e).isprintable() or len(str(e)) > 1000:
            raise AssertionError(f"a reason to be read: {e!r}") from e
        after = loader.state_dict()
        assert json.dumps(after) == json.dumps(before)
        return False
    try:
        draw(loader)
    except StateError:
        return False
    loader.state_dict()
    return True


@pytest.mark.parametrize("cut", [2, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_every_field_dropped_or_replaced(images: ImageList, kind: str, cut: int) -> None:
    state = state_of(kind, images, cut)
    assert refused_or_works(loader_of(kind, images), copy.deepcopy(state))
    loader = loader_of(kind, images)
    for name in state:
        with pytest.raises(StateError):
            loader.load_state_dict({k: v for k, v in state.items() if k != name})
        for odd in ODD:
            refused_or_works(loader_of(kind, images), {**copy.deepcopy(state), name: odd})


@pytest.mark.parametrize("cut", [2, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_dropped_or_replaced(images: ImageList, kind: str, cut: int) -> None:
    state = state_of(kind, images, cut)
    for name, record in state["generators"].items():
        text = record["before"]
        # Of the right size, and no state of the Mersenne twister.
        odd = [*ODD, text[:-8], text + "AAAA", text[:100], "A" * len(text), "!" + text[1:], "€" + text]
        for when in record:
            for value in odd:
                changed = copy.deepcopy(state)
                changed["generators"][name][when] = value
                refused_or_works(loader_of(kind, images), changed)
            changed = copy.deepcopy(state)
            del changed["generators"][name][when]
            refused_or_works(loader_of(kind, images), changed)
        for value in ODD:
            refused_or_works(
                loader_of(kind, images), {**state, "generators": {**state["generators"], name: value}}
            )


def test_what_is_no_state_at_all(images: ImageList) -> None:
    loader = loader_of("python", images)
    buffer = io.BytesIO()
    torch.save({"model": {"w": torch.ones(3)}}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer)
    for odd in [*ODD, saved, {"kind": torch.tensor([1, 2])}, {"kind": "stoker.DataLoader"}]:
        with pytest.raises(StateError):
            loader.load_state_dict(odd)
    for version in (0, 2, 99, "1", 1.0, True, None, torch.tensor([1, 1])):
        with pytest.raises(StateError, match="version"):
            loader.load_state_dict({**loader.state_dict(), "version": version})
    assert sorted(i for batch in draw(loader) for i in batch) == list(range(12))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batches", -1, "the state's batches is not a count: -1"),
        ("batches", True, "the state's batches is not a count: True"),
        ("base_seed", 2**64, "the state's base_seed is not a seed"),
        ("world_size", 0, "the state's world_size is not a number of ranks: 0"),
        ("rank", 5, "the state's rank 5 is not below its world_size"),
        ("raised", 5, "5 batches that raised, of 2"),
        ("generators", {"default": {"before": "AAAA"}}, "the state's generator 'default', before, cannot be"),
        ("generators", {"default": {}}, "lacks what it was: 'before'"),
        ("dataset_size", "12", "the state's dataset_size is not a count"),
        ("offset", 13, "lies behind its dataset's 12 samples"),
    ],
)
def test_the_reason_names_the_value(images: ImageList, name: str, value: Any, words: str) -> None:
    loader = loader_of("python", images)
    with pytest.raises(StateError, match=words):
        loader.load_state_dict({**state_of("python", images, 2), name: value})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=st.sampled_from(["python", "iterable", "rank"]), cut=st.integers(0, 7))
def test_any_damage(data: st.DataObject, kind: str, cut: int, images: ImageList, tmp_path: Path) -> None:
    state = json.loads(json.dumps(state_of(kind, images, cut)))
    for name in data.draw(st.lists(st.sampled_from(sorted(state)), min_size=1, max_size=3)):
        state[name] = data.draw(JSON)
    refused_or_works(loader_of(kind, images), state)
