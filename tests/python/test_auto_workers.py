"""``num_workers="auto"`` where Python serves the samples: processes, unless they cannot serve them."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data

from stoker import AutoWorkers, DataLoader, _auto, _cpus


class Squares(torch_data.Dataset[int]):
    def __init__(self, more: Any = None) -> None:
        self.more = more

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        info = torch_data.get_worker_info()
        return index * index, -1 if info is None else info.num_workers


class Stream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


class Inner(torch_data.Dataset[int]):
    """Makes a loader of its own in the process that asks for a sample."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return int(DataLoader(Squares()).num_workers)


@pytest.fixture(autouse=True)
def _cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cpus, "usable_cores", lambda: 2)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def words(loader: Any) -> dict[str, str]:
    return dict(loader.plan().parts)


def test_as_many_processes_as_there_would_be_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = DataLoader(Squares(), 4, persistent_workers=True, prefetch_factor=3)
    assert type(loader.num_workers) is AutoWorkers
    assert loader.num_workers == 2
    torch.manual_seed(1)
    assert [list(map(int, workers)) for _, workers in loader] == [[2] * 4] * 3
    assert words(loader)["workers"].startswith("2 processes")
    assert words(loader)["workers"].endswith("(auto)")
    assert "threads" in words(loader)["lost"]
    assert "lost" not in words(DataLoader(Squares(), num_workers=2))
    monkeypatch.setattr(_cpus, "usable_cores", lambda: 16)
    with pytest.warns(UserWarning, match="14 worker processes"):
        assert DataLoader(Squares()).num_workers == 14
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert DataLoader(Squares(), num_workers=loader.num_workers).num_workers == 3  # stands for "auto" again


def test_the_order_is_torchs_for_that_many() -> None:
    orders = []
    for kind, workers in ((DataLoader, "auto"), (torch_data.DataLoader, 2)):
        torch.manual_seed(7)
        orders.append([i.tolist() for i, _ in kind(Squares(), 4, shuffle=True, num_workers=workers)])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_where_processes_are_not_forked(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """The dataset and what is called there must be pickled, and the script imported again."""
    monkeypatch.setattr(_auto, "_may_be_imported_again", lambda: True)
    for context in (method, multiprocessing.get_context(method)):
        assert DataLoader(Squares(), multiprocessing_context=context).num_workers == 2
    monkeypatch.setattr(multiprocessing, "get_context", lambda _=None: context)
    unpicklable = lambda batch: batch  # noqa: E731
    for options in ({"dataset": Squares(unpicklable)}, {"dataset": Squares(), "collate_fn": unpicklable}):
        loader = DataLoader(**options)
        assert loader.num_workers == 0
        assert f'start method "{method}" has to pickle' in words(loader)["workers"]
    monkeypatch.setattr(_auto, "_may_be_imported_again", lambda: False)
    assert "__main__" in words(DataLoader(Squares()))["workers"]


def test_forked_processes_need_no_pickling() -> None:
    context = multiprocessing.get_context("fork")
    loader = DataLoader(Squares(lambda: None), 4, multiprocessing_context=context)
    assert loader.num_workers == 2
    assert len(list(loader)) == 3


def test_what_processes_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = DataLoader(Stream())
    assert stream.num_workers == 0
    assert "iterable" in words(stream)["workers"]
    assert [int(batch) for batch in stream] == [0, 1, 2]
    copied = pickle.loads(pickle.dumps(stream.num_workers))
    assert (type(copied), copied.why) == (AutoWorkers, stream.num_workers.why)  # type: ignore[attr-defined]
    within = DataLoader(Inner(), num_workers=1)
    assert [int(count) for count in within] == [0, 0]
    monkeypatch.setattr(torch.Tensor, "device", torch.device("cuda"))
    for dataset in (Squares(torch.ones(2)), torch_data.Subset(Squares({"a": [torch.ones(2)]}), [0])):
        loader = DataLoader(dataset)
        assert loader.num_workers == 0
        assert "accelerator" in words(loader)["workers"]


SCRIPT = """
import multiprocessing, torch.utils.data, stoker
multiprocessing.set_start_method("spawn", force=True)
class Squares(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): return i
def main():
    loader = stoker.DataLoader(Squares())
    print(loader.num_workers > 0, sorted(map(int, loader)))
"""


@pytest.mark.parametrize("guard", ['if __name__ == "__main__": main()', "main()"])
def test_a_script_whose_processes_are_spawned(tmp_path: Path, guard: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"{SCRIPT}\n{guard}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == f"{guard != 'main()'} [0, 1, 2, 3]\n", done.stderr
