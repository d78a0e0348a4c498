"""Subclasses of DataLoader and of samplers: nothing that they define runs where the script did nothing."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from both_paths import Numbers
from conftest import RunScript
from torch.utils.data.distributed import DistributedSampler

from stoker import DataLoader, ImageList
from stoker import transforms as T


class Watched(DataLoader[Any]):
    """Notes what happens to its instances, and to which."""

    happened: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        self.quiet = False
        super().__init__(*args, **options)
        self.quiet = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "held":
            self.happened.append(("set", id(self)))
        super().__setattr__(name, value)

    def __copy__(self) -> Any:
        self.happened.append(("copied", id(self)))
        return super().__reduce_ex__(4)

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.happened.append(("reduced", id(self)))
        return super().__reduce_ex__(protocol)

    def __del__(self) -> None:
        self.happened.append(("gone", id(self)))


@pytest.fixture(params=["native", "python"])
def data(request: pytest.FixtureRequest, numbered: list[Path]) -> Any:
    return ImageList(numbered, range(40), T.CenterCrop(8)) if request.param == "native" else Numbers(40)


@pytest.mark.parametrize("options", [{"num_workers": 0}, {"num_workers": 1, "persistent_workers": True}])
def test_a_subclass_ends_when_the_script_lets_go_of_it(data: Any, options: Any) -> None:
    Watched.happened.clear()
    loader = Watched(data, 8, **options)
    loader.held = object()
    number = id(loader)
    for _ in range(2):
        list(loader)
        next(iter(loader))
        loader.state_dict()
        gc.collect()
    assert Watched.happened == [("set", number)]
    del loader
    gc.collect()
    assert Watched.happened == [("set", number), ("gone", number)]


def test_an_iterator_keeps_nothing_that_a_subclass_has_added(data: Any) -> None:
    class Held:
        gone = False

        def __del__(self) -> None:
            Held.gone = True

    loader = Watched(data, 8, num_workers=0)
    loader.held = Held()
    batches = iter(loader)
    next(batches)
    del loader
    assert Held.gone
    assert len(list(batches)) == 4


def test_an_iterator_reads_what_a_subclass_gives(data: Any) -> None:
    class Half(DataLoader[Any]):
        @property
        def _index_sampler(self) -> Any:
            return [[1, 2], [3]]

    def labels(batch: Any) -> list[int]:
        return batch[1].tolist()  # type: ignore[no-any-return]

    assert [labels(batch) for batch in Half(data, 8, num_workers=0)] == [[1, 2], [3]]


class WatchedSampler(DistributedSampler[Any]):
    made: ClassVar[list[int]] = []

    def __copy__(self) -> Any:
        raise AssertionError("copied")

    def __del__(self) -> None:
        self.made.append(1)


@pytest.mark.parametrize("after", [1, 2])
def test_a_sampler_is_not_copied_for_another_ranks_state(after: int) -> None:
    def of_rank(rank: int, ranks: int, kind: Any) -> Any:
        return DataLoader(Numbers(21), 4, sampler=kind(Numbers(21), ranks, rank))

    first = of_rank(0, 2, DistributedSampler)
    next(iter(first))
    state = first.state_dict()
    rest = []
    for kind in (DistributedSampler, WatchedSampler):
        WatchedSampler.made.clear()
        resumed = of_rank(after - 1, after, kind)
        resumed.load_state_dict({**state, "sampler": kind.__name__})
        rest.append([batch[1].tolist() for batch in resumed])
        assert WatchedSampler.made == []
    assert rest[0] == rest[1]
    assert any(rest[0])


# ---- subclasses that begin otherwise -----------------------------------------------------------------


class Late(DataLoader[Any]):
    """Asks of itself what it can before it calls ``__init__``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.asked = (self.native, self.errors, self.stats().batches, self.pixels, self.on_error)
        self.multiprocessing_context = None
        super().__init__(*args, **options)


class TorchsOnly(DataLoader[Any]):
    """Calls torch's ``__init__`` past Stoker's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        torch.utils.data.DataLoader.__init__(self, *args, **options)


def test_a_subclass_may_begin_with_something_else(data: Any) -> None:
    native = not isinstance(data, Numbers)
    for kind in (Late, TorchsOnly):
        loader = kind(data, 8, num_workers=0)
        assert [targets.tolist()[0] for _, targets in loader] == [0, 8, 16, 24, 32]
        assert (loader.native, loader.plan().native, loader.stats().batches) == (native, native, 5)
        assert loader.report()
        state = loader.state_dict()
        loader.load_state_dict(state)
        again = pickle.loads(pickle.dumps(loader))
        assert len(list(again)) == 5
    assert Late(data).asked == (False, (), 0, "fast", "raise")


STATEFUL = """
import warnings
warnings.simplefilter("ignore")
import torch.utils.data
import stoker
torch.utils.data.DataLoader = stoker.DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader
assert issubclass(StatefulDataLoader, stoker.DataLoader)
data = torch.utils.data.TensorDataset(torch.arange(20))
for workers in (0, 2):
    loader = StatefulDataLoader(data, batch_size=4, num_workers=workers)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    again = StatefulDataLoader(data, batch_size=4, num_workers=workers)
    again.load_state_dict(state)
    assert [int(batch[0]) for batch, in again] == [4, 8, 12, 16], workers
    assert not loader.native
    assert "StatefulDataLoader makes its iterators itself" in str(loader.plan()), loader.plan()
print("done")
"""


def test_torchdatas_loader_over_stokers(run_script: RunScript) -> None:
    pytest.importorskip("torchdata")
    assert run_script(STATEFUL).stdout == "done\n"
