"""stoker.accelerate: Accelerate's preparation, with Stoker's loader inside."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import indices
from example_runs import HERE, Runner
from torchvision_operators import define_operators

import stoker
from stoker import DataLoader, ImageList
from stoker.accelerate import prepare, skip_first_batches

define_operators()  # Accelerate may import torchvision
accelerate = pytest.importorskip("accelerate")

from accelerate.data_loader import DataLoaderDispatcher, DataLoaderShard  # noqa: E402
from accelerate.utils import DataLoaderConfiguration  # noqa: E402

Make = Callable[..., Any]


@pytest.fixture
def make_accelerator() -> Iterator[Make]:
    def reset() -> None:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        accelerate.state.GradientState._reset_state()

    def make(**config: Any) -> Any:
        reset()
        return accelerate.Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**config))

    yield make
    reset()


def test_the_inner_loader_is_stokers(make_accelerator: Make, labelled: ImageList) -> None:
    model = torch.nn.Linear(1, 1)
    given = DataLoader(
        labelled,
        batch_size=7,
        memory_format=torch.channels_last,
        pixels="exact",
        index=None,
        on_error="skip",
        max_errors=3,
        prefetch_factor=3,
    )
    prepared_model, loader = prepare(make_accelerator(), model, given)
    assert isinstance(prepared_model, torch.nn.Linear)
    assert type(loader) is DataLoaderShard
    assert isinstance(loader, DataLoader)
    inner = loader.base_dataloader
    assert type(inner) is DataLoader
    assert inner is not given
    assert loader.native
    names = ("memory_format", "pixels", "dct_scaling", "index", "on_error", "max_errors", "num_workers")
    for name in (*names, "prefetch_factor", "pin_memory", "dataset", "collate_fn", "in_order"):
        assert getattr(inner, name) == getattr(given, name), name
    assert type(inner.num_workers) is stoker.AutoWorkers
    images, _ = next(iter(loader))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert str(loader.plan()).startswith("Stoker plan: native")
    assert loader.report()


def test_one_object_comes_back_alone(make_accelerator: Make, labelled: ImageList) -> None:
    accelerator = make_accelerator()
    loader = prepare(accelerator, DataLoader(labelled, batch_size=8))
    assert type(loader) is DataLoaderShard
    assert prepare(accelerator, loader) is loader  # prepared already
    assert loader.native
    others = torch.utils.data.DataLoader(labelled, batch_size=8)
    assert type(prepare(accelerator, others).base_dataloader) is torch.utils.data.DataLoader


@pytest.mark.parametrize("seedable", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_the_order_is_accelerates(
    make_accelerator: Make, labelled: ImageList, plain: bool, seedable: bool
) -> None:
    def epochs(prepare_one: Callable[[Any], Any], loader_class: Any) -> list[Any]:
        torch.manual_seed(5)
        loader = prepare_one(loader_class(labelled, batch_size=6, shuffle=True, num_workers=1))
        return [indices(loader), indices(loader)]

    accelerator = make_accelerator(use_seedable_sampler=seedable)
    ours = epochs(accelerator.prepare if plain else lambda one: prepare(accelerator, one), DataLoader)
    assert ours == epochs(accelerator.prepare, torch.utils.data.DataLoader)
    assert ours[0] != ours[1]


def test_batches_are_skipped_natively(make_accelerator: Make, labelled: ImageList) -> None:
    loader = prepare(make_accelerator(), DataLoader(labelled, batch_size=6))
    rest = skip_first_batches(loader, 3)
    assert type(rest.base_dataloader) is DataLoader
    assert rest.native
    assert len(rest) == 4
    assert indices(rest) == indices(loader)[3:]
    assert rest.stats().samples == 40 - 18
    torchs = torch.utils.data.DataLoader(labelled, batch_size=6)
    assert indices(skip_first_batches(torchs, 3)) == indices(torchs)[3:]


def test_the_state_counts_what_the_loop_has_had(make_accelerator: Make, labelled: ImageList) -> None:
    accelerator = make_accelerator()

    def fresh() -> Any:
        return prepare(accelerator, DataLoader(labelled, batch_size=6, shuffle=True))

    loader = fresh()
    batches = iter(loader)
    had = [next(batches)[1].tolist() for _ in range(3)]
    state = loader.state_dict()
    assert state["batches"] == 3
    rest = [labels.tolist() for _, labels in batches]
    resumed = fresh()
    resumed.load_state_dict(state)
    assert indices(resumed) == rest
    assert sorted(index for batch in had + rest for index in batch) == list(range(40))


def test_iterable_datasets_stay_as_accelerate_reads_them(make_accelerator: Make) -> None:
    class Numbers(torch.utils.data.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(10))

    loader = prepare(make_accelerator(), DataLoader(Numbers(), batch_size=4))
    assert type(loader) is DataLoaderDispatcher
    assert torch.cat(list(loader)).tolist() == list(range(10))


def test_all_arguments_of_its_own_are_kept(make_accelerator: Make, labelled: ImageList) -> None:
    arguments = {*inspect.signature(DataLoader).parameters}
    own = arguments - {*inspect.signature(torch.utils.data.DataLoader).parameters} - {"shard"}
    others = {
        "memory_format": torch.channels_last, "pixels": "exact", "index": None, "on_error": "skip",
        "max_errors": 3, "error_manifest": "manifest", "progress": True,
    }  # fmt: skip
    for given in (others, {"dct_scaling": True}):
        prepared = prepare(make_accelerator(), DataLoader(labelled, **given))
        for name, value in given.items():
            assert getattr(prepared.base_dataloader, name) == value, name
    assert own == {*others, "dct_scaling"}


def test_shards_of_a_process_alone_are_the_whole(make_accelerator: Make, labelled: ImageList) -> None:
    loader = prepare(make_accelerator(), DataLoader(labelled, batch_size=6, shard="auto"))
    assert sorted(index for batch in indices(loader) for index in batch) == list(range(40))


def test_what_is_refused(
    make_accelerator: Make, labelled: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = DataLoader(labelled)
    with pytest.raises(TypeError, match=r"takes the Accelerator first.*got Linear"):
        prepare(torch.nn.Linear(1, 1), loader)
    with pytest.raises(RuntimeError, match="dispatch_batches=True"):
        prepare(make_accelerator(dispatch_batches=True), loader)
    accelerator = make_accelerator()
    with pytest.raises(ValueError, match="in_order=False"):
        prepare(accelerator, DataLoader(labelled, in_order=False))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match='leave out shard="auto"'):
        prepare(accelerator, DataLoader(labelled, shard="auto"))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match="pip install accelerate"):
        prepare(accelerator, loader)


def test_two_processes(tmp_path: Path, numbered: list[Path]) -> None:
    runner = Runner(tmp_path, numbered[0].parent)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    runner([*launcher, HERE / "accelerate_ranks.py", runner.data, tmp_path / "found"])
    ranks = [json.loads((tmp_path / f"found.{rank}").read_text()) for rank in range(2)]
    for sampler in ("seedable", "shared generator", "seedable plain", "shared generator plain"):
        first, second = (found[sampler] for found in ranks)
        for found in (first, second):
            assert found["native"]
            assert found["inner"] == "stoker.dataloader"
            assert found["length"] == 5
            assert found["epochs"] == found["torchs epochs"]
            assert found["epochs"][0] != found["epochs"][1]
            assert found["samples"] == 2 * 20
            assert found["gathered"] == first["gathered"]
            assert sorted(found["gathered"]) == list(range(37))  # each once, although 40 were loaded
            assert found["skipping is native"]
            assert found["skipping"] == found["epochs"][0][2:]
            assert found["resumed"]
        both = [batch for found in (first, second) for batch in found["uneven"]]
        assert sorted(index for batch in both for index in batch) == list(range(37))
        assert (len(first["uneven"]), len(second["uneven"])) == (5, 5)


def test_state_with_a_sampler_that_makes_its_generator_late(labelled: ImageList) -> None:
    """As Accelerate's SeedableRandomSampler does; ``prepare`` gives it one, and so does not meet this."""
    sampler = accelerate.data_loader.SeedableRandomSampler(labelled, data_seed=1)
    loader = DataLoader(labelled, batch_size=6, sampler=sampler)
    next(iter(loader))
    assert loader.state_dict()["batches"] == 1


# ---- the plain call --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_the_plain_call_keeps_stokers_loader_and_its_options(
    make_accelerator: Make, labelled: ImageList
) -> None:
    given = DataLoader(labelled, 7, shuffle=True, pixels="exact", max_errors=3, on_error="skip")
    torchs = torch.utils.data.DataLoader(labelled, 5)
    model, loader, others = make_accelerator().prepare(torch.nn.Linear(1, 1), given, torchs)
    assert isinstance(model, torch.nn.Linear)
    assert type(loader) is DataLoaderShard
    assert type(others.base_dataloader) is torch.utils.data.DataLoader
    inner = loader.base_dataloader
    assert type(inner) is DataLoader
    for name in ("pixels", "max_errors", "on_error", "num_workers", "dataset", "batch_sampler"):
        assert getattr(inner, name) == getattr(given, name), name
    assert loader.native
    assert sorted(index for batch in indices(loader) for index in batch) == list(range(40))
    assert loader.stats().samples == 40
    del given
    rest = accelerate.skip_first_batches(loader, 2)
    assert type(rest.base_dataloader) is DataLoader
    assert len(indices(rest)) == 4


def test_batch_samplers_in_any_place(make_accelerator: Make, labelled: ImageList) -> None:
    accelerator = make_accelerator()
    order = torch.utils.data.BatchSampler(range(40), 9, False)
    for given in (order, list(order)):
        loader = accelerator.prepare(DataLoader(labelled, batch_sampler=given))
        assert type(loader.base_dataloader) is DataLoader
        assert indices(loader) == list(order)


def test_the_plain_call_says_what_does_not_stay_native(make_accelerator: Make, labelled: ImageList) -> None:
    accelerator = make_accelerator(dispatch_batches=True)
    with pytest.warns(UserWarning, match="not loaded natively: with dispatch_batches=True") as said:
        loader = accelerator.prepare(DataLoader(labelled, 8))
    assert len(said) == 1
    assert type(loader.base_dataloader) is torch.utils.data.DataLoader


def test_the_plain_call_refuses_shards_of_shards(
    make_accelerator: Make, labelled: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator = make_accelerator()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match='leave out shard="auto"'):
        accelerator.prepare(DataLoader(labelled, shard="auto"))
