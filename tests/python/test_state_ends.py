"""States that are made at an epoch's last batch, before anybody has seen its end."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Numbers
from conftest import write_photos
from resuming import BATCH, BATCHES, SAMPLES
from torch.utils.data.distributed import DistributedSampler
from torchvision_operators import define_operators

from stoker import DataLoader, ImageList
from stoker import transforms as T

Labels = list[list[int]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    paths = write_photos(tmp_path_factory.mktemp("ends"), SAMPLES)
    return ImageList(paths, range(SAMPLES), [T.RandomResizedCrop(8)])


@pytest.fixture(params=["native", "python"])
def data(request: pytest.FixtureRequest, images: ImageList) -> Any:
    return images if request.param == "native" else Numbers(SAMPLES)


def labels(batches: Any) -> Labels:
    return [targets.tolist() for _, targets in batches]


def behind_the_last(loader: Any) -> Any:
    """The state when all batches have been had and nobody has asked for one more."""
    batches = iter(loader)
    for _ in range(len(loader)):
        next(batches)
    return json.loads(json.dumps(loader.state_dict()))


class Unsized(torch_data.Sampler[int]):
    """A shuffled order, and nobody knows how long it is."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(SAMPLES, generator=self.generator).tolist()


@pytest.mark.parametrize("options", [{}, {"drop_last": True, "batch_size": 6}, {"batch_size": 7}])
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, False), (1, True)])
@pytest.mark.parametrize("own_generator", [False, True])
def test_the_next_epoch_comes_whole_as_without_the_interruption(
    data: Any, workers: int, persistent: bool, own_generator: bool, options: Any
) -> None:
    def loader(seed: int) -> Any:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed) if own_generator else None
        return DataLoader(
            data,
            **{"batch_size": BATCH, **options},
            shuffle=True,
            num_workers=workers,
            persistent_workers=persistent,
            generator=generator,
        )

    whole = loader(3)
    list(whole)
    expected = [(images, targets) for images, targets in whole]
    state = behind_the_last(loader(3))
    assert state["finished"]
    resumed = loader(9)
    resumed.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is nothing out of the ordinary
        again = list(resumed)
    assert labels(again) == labels(expected)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(again, expected))


def test_asking_for_a_state_changes_nothing_of_the_run(data: Any) -> None:
    torch.manual_seed(1)
    expected = [labels(DataLoader(data, BATCH, shuffle=True, num_workers=0)) for _ in range(2)]
    torch.manual_seed(1)
    for epoch in expected:
        loader = DataLoader(data, BATCH, shuffle=True, num_workers=0)
        seen = []
        for _, targets in loader:
            seen.append(targets.tolist())
            assert loader.state_dict()["finished"] == (len(seen) == BATCHES)
        assert seen == epoch


def test_a_loop_that_goes_by_epochs_done_trains_each_epoch_once_wherever_it_is_stopped(data: Any) -> None:
    def run(loader: Any, seen: Labels, last: int) -> Any:
        """Train until ``last`` batches of the run have been had; returns the state there."""
        while (epoch := loader.epochs_done) < 2:
            for _, targets in loader:
                seen.append([epoch, *targets.tolist()])
                if len(seen) == last:
                    return loader.state_dict()
        return loader.state_dict()

    def loader(seed: int) -> Any:
        torch.manual_seed(seed)
        return DataLoader(data, BATCH, shuffle=True, num_workers=0)

    whole: Labels = []
    run(loader(3), whole, -1)
    assert [epoch for epoch, *_ in whole] == [0] * BATCHES + [1] * BATCHES
    for last in range(1, 2 * BATCHES + 1):
        seen: Labels = []
        state = run(loader(3), seen, last)
        resumed = loader(4)
        assert resumed.epochs_done == 0
        resumed.load_state_dict(state)
        assert resumed.epochs_done == last // BATCHES
        run(resumed, seen, -1)
        assert seen == whole, last


def test_an_epoch_that_was_left_is_done_when_the_next_begins(data: Any) -> None:
    loader = DataLoader(data, BATCH, num_workers=0)
    next(iter(loader))
    assert loader.epochs_done == 0
    next(iter(loader))
    assert loader.epochs_done == 1


class Longer(torch_data.Sampler[int]):
    """Gives more than its length says."""

    def __len__(self) -> int:
        return SAMPLES // 2

    def __iter__(self) -> Iterator[int]:
        return iter(range(SAMPLES))


def test_a_length_alone_ends_no_epoch(data: Any) -> None:
    loader = DataLoader(data, BATCH, sampler=Longer(), num_workers=0)
    batches = iter(loader)
    had = labels(itertools.islice(batches, BATCHES // 2))
    state = loader.state_dict()
    assert not state["finished"]
    assert had + labels(batches) == [list(range(i, i + BATCH)) for i in range(0, SAMPLES, BATCH)]
    resumed = DataLoader(data, BATCH, sampler=Longer(), num_workers=0)
    resumed.load_state_dict(state)
    assert len(list(resumed)) == BATCHES // 2


class Breaking(torch_data.Sampler[int]):
    def __len__(self) -> int:
        return BATCH

    def __iter__(self) -> Iterator[int]:
        yield from range(BATCH)
        raise OSError("the list of samples is gone")


def test_what_a_sampler_raises_behind_its_last_batch_is_the_next_steps(data: Any) -> None:
    loader = DataLoader(data, BATCH, sampler=Breaking(), num_workers=0)
    batches = iter(loader)
    next(batches)
    for _ in range(2):
        assert not loader.state_dict()["finished"]
    with pytest.raises(OSError, match="is gone"):
        next(batches)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("persistent", [False, True])
def test_where_the_end_is_found_later_the_next_epoch_begins_and_it_is_said(
    data: Any, workers: int, persistent: bool
) -> None:
    """A sampler without a length, asked by nobody ahead; and states of versions that did not look."""

    def loader(seed: int) -> Any:
        torch.manual_seed(seed)
        sampler = Unsized(torch.Generator().manual_seed(seed))
        options = {"num_workers": workers, "persistent_workers": persistent and workers > 0}
        return DataLoader(data, BATCH, sampler=sampler, **options)

    whole = loader(3)
    expected = [list(whole) for _ in range(3)]
    first = loader(3)
    batches = iter(first)
    list(itertools.islice(batches, BATCHES))
    state = {**first.state_dict(), "finished": False}
    resumed = loader(9)
    resumed.load_state_dict(state)
    with pytest.warns(UserWarning, match="no batch is left behind 10 .*the next one begins") as said:
        second = list(resumed)
    assert len(said) == 1
    assert labels(second) == labels(expected[1])
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(second, expected[1]))
    assert labels(resumed) == labels(expected[2])
    assert resumed.state_dict()["loader_epoch"] == 2


def test_the_next_epoch_of_a_distributed_sampler_may_be_set_already(data: Any) -> None:
    """As Lightning does, before it asks for batches; with a state that did not look, too."""

    def loader() -> tuple[Any, Any]:
        sampler: DistributedSampler[Any] = DistributedSampler(data, 2, 0)
        return DataLoader(data, BATCH, sampler=sampler, num_workers=0), sampler

    expected, sampler = loader()
    sampler.set_epoch(1)
    for finished in (True, False):
        state = {**behind_the_last(loader()[0]), "finished": finished}
        resumed, sampler = loader()
        resumed.load_state_dict(state)
        sampler.set_epoch(1)
        assert labels(resumed) == labels(expected)


class Stream(torch_data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(SAMPLES))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_streams_next_epoch(workers: int) -> None:
    first: Any = DataLoader(Stream(), BATCH, num_workers=workers)
    batches = iter(first)
    list(itertools.islice(batches, BATCHES))
    resumed: Any = DataLoader(Stream(), BATCH, num_workers=workers)
    resumed.load_state_dict(first.state_dict())
    with pytest.warns(UserWarning, match="its dataset has ended"):
        assert len(list(resumed)) == BATCHES


class EndsBadly(Numbers):
    def __getitem__(self, index: int) -> Any:
        if index >= SAMPLES - 2 * BATCH:
            raise ValueError(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("path", ["native", "python"])
def test_batches_of_which_nothing_is_left_are_no_rest(path: str, images: ImageList, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    good = SAMPLES - 2 * BATCH
    paths = [images.path(i) for i in range(good)] + [bad] * (2 * BATCH)
    dataset: Any = ImageList(paths, range(SAMPLES), T.CenterCrop(8)) if path == "native" else EndsBadly()

    def loader() -> Any:
        return DataLoader(dataset, BATCH, on_error="skip", num_workers=0)

    first = loader()
    batches = iter(first)
    list(itertools.islice(batches, BATCHES - 2))
    resumed = loader()
    resumed.load_state_dict(first.state_dict())
    with pytest.warns(UserWarning, match="or what it gave could not be loaded"):
        assert len(list(resumed)) == BATCHES - 2
    assert {bad.epoch for bad in resumed.errors} == {0, 1}


def test_an_empty_epoch_that_is_not_resumed_stays_empty(data: Any) -> None:
    empty: Any = DataLoader(torch_data.Subset(data, []), BATCH, num_workers=0)
    assert list(empty) == []
    empty.load_state_dict(empty.state_dict())
    assert list(empty) == []


# ---- Lightning ------------------------------------------------------------------------------------


@pytest.fixture
def fit(data: Any, tmp_path: Path) -> Callable[..., dict[int, int]]:
    define_operators()  # Lightning may import torchvision
    lightning = pytest.importorskip("lightning")
    import logging

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Net(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen: list[int] = []

        def training_step(self, batch: Any, _index: int) -> Any:
            batch = batch if isinstance(batch, (list, tuple)) else next(iter(batch.values()))
            images = batch[0][0] if isinstance(batch[0], (list, tuple)) else batch[0]
            self.seen.append(self.current_epoch)
            return self.layer(images.float().mean().view(1, 1)).sum()

        def validation_step(self, batch: Any, _index: int) -> None:
            pass

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    def run(loaders: Any, every: int = 0, validation: Any = None, **options: Any) -> dict[int, int]:
        callbacks = []
        if every:
            checkpoint: Any = lightning.pytorch.callbacks.ModelCheckpoint
            callbacks = [checkpoint(tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=every)]
        net = Net()
        trainer = lightning.Trainer(
            max_epochs=3, logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=bool(every), accelerator="cpu", callbacks=callbacks,
        )  # fmt: skip
        trainer.fit(net, loaders, validation, **options)
        return {epoch: net.seen.count(epoch) for epoch in range(3)}

    return run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_trains_every_epoch(
    data: Any, fit: Callable[..., Any], tmp_path: Path, workers: int, several: bool
) -> None:
    def loaders() -> Any:
        one: Any = DataLoader(data, 8, shuffle=True, num_workers=workers)
        return [one, DataLoader(data, 8, num_workers=0)] if several else one

    assert fit(loaders(), every=1) == {0: 5, 1: 5, 2: 5}
    for step, expected in ((5, (0, 5, 5)), (7, (0, 3, 5)), (10, (0, 0, 5))):
        assert fit(loaders(), ckpt_path=tmp_path / f"step={step}.ckpt") == dict(enumerate(expected)), step


@pytest.mark.filterwarnings("ignore")
def test_lightning_validates_with_loaders_of_its_own_state(
    data: Any, fit: Callable[..., Any], tmp_path: Path
) -> None:
    validation: Any = DataLoader(data, 8, num_workers=0)
    train: Any = DataLoader(data, 8, shuffle=True, num_workers=0)
    assert fit(train, every=5, validation=validation) == {0: 5, 1: 5, 2: 5}
    again: Any = DataLoader(data, 8, shuffle=True, num_workers=0)
    found = fit(again, validation=validation, ckpt_path=tmp_path / "step=5.ckpt")
    assert found == {0: 0, 1: 5, 2: 5}
