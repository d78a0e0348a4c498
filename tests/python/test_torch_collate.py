"""What PyTorch documents of collation holds on both paths: nested targets, collate_fn, pinning."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Mapped, Numbers, Sampled, same
from conftest import plain

from stoker import DataLoader

N = Numbers()


class Box(NamedTuple):
    corner: tuple[int, int]
    name: str


TARGETS: dict[str, Callable[[int], Any]] = {
    "int": lambda i: i,
    "float": lambda i: i / 4,
    "bool": lambda i: i % 2 == 0,
    "str": lambda i: f"sample {i}",
    "bytes": lambda i: bytes([i]),
    "tuple": lambda i: (i, float(i), str(i)),
    "list": lambda i: [i, [i + 1, {"deep": i}]],
    "namedtuple": lambda i: Box((i, i + 1), str(i)),
    "dict": lambda i: {"id": i, "boxes": {"box": Box((i, 0), "x"), "area": 0.5 * i}},
    "ordered": lambda i: collections.OrderedDict(b=i, a=(i,)),
    "defaultdict": lambda i: collections.defaultdict(list, a=i),
    "tensor": lambda i: torch.full((2, 2), i, dtype=torch.int16),
    "scalar tensor": lambda i: torch.tensor(i, dtype=torch.float64),
    "array": lambda i: np.full(3, i, np.float32),
    "numpy scalar": lambda i: np.float32(i),
    "empty": lambda i: (),
}


@pytest.mark.parametrize("size", [4, None])
@pytest.mark.parametrize("target", TARGETS)
def test_targets_are_collated_as_by_torch(numbered: list[Path], target: str, size: int | None) -> None:
    dataset = Sampled(numbered[:10], TARGETS[target])
    expected = list(torch_data.DataLoader(dataset, size))
    for workers in (0, 2):
        loader = DataLoader(dataset, size, num_workers=workers)
        assert loader.native
        assert same(list(loader), expected)
    python = DataLoader(Mapped(TARGETS[target]), size, num_workers=0)
    assert same(list(python), list(torch_data.DataLoader(Mapped(TARGETS[target]), size)))


@pytest.mark.parametrize("result", [None, "text", [], {"a": 1}, object], ids=plain)
def test_what_collate_fn_returns_is_the_batch(dataset: Any, result: Any) -> None:
    loader = DataLoader(dataset, 16, num_workers=0, collate_fn=lambda samples: result, pin_memory=False)
    assert all(batch is result for batch in loader)
    assert len(list(loader)) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_collate_fn_gets_a_list_of_samples_or_one_sample(dataset: Any, workers: int) -> None:
    for size in (4, None):
        (_, kinds), *_ = DataLoader(dataset, size, num_workers=workers, collate_fn=describe)
        assert kinds == (["list", 4, "tuple", "Tensor", "int"] if size else ["tuple", 2, "Tensor", "int"])


def describe(samples: Any) -> tuple[Any, list[Any]]:
    kinds = [type(samples).__name__, len(samples)]
    first = samples
    if isinstance(samples, list):
        first = samples[0]
        kinds.append(type(first).__name__)
    return samples, [*kinds, *(type(part).__name__ for part in first)]


def test_a_batch_of_a_class_of_its_own_is_pinned_by_its_method(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Batch:
        def __init__(self, samples: list[Any]) -> None:
            self.targets = [target for _, target in samples]
            self.pinned = 0

        def pin_memory(self) -> Batch:
            self.pinned += 1
            return self

    def batches(**options: Any) -> list[Batch]:
        return list(DataLoader(dataset, 16, num_workers=0, collate_fn=Batch, **options))

    assert [batch.pinned for batch in batches(pin_memory=False)] == [0, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        accelerator = torch.accelerator.is_available()
        assert [batch.pinned for batch in batches(pin_memory=True)] == [accelerator] * 3
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    got = batches(pin_memory=True)
    assert [batch.pinned for batch in got] == [1, 1, 1]
    assert [target for batch in got for target in batch.targets] == list(range(40))
