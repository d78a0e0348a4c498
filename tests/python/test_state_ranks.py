"""Shards, and states that go on with another number of ranks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from index_helpers import same
from torch.utils.data.distributed import DistributedSampler

from stoker import DataLoader, ImageList, StateError
from stoker import transforms as T
from stoker.distributed import ShardSampler, rank_and_world_size

SAMPLES = 53  # not to be divided by 2, 3 or 4


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    paths = write_photos(tmp_path_factory.mktemp("ranks"), SAMPLES)
    return ImageList(paths, range(SAMPLES), [T.RandomResizedCrop(8), T.RandomHorizontalFlip()])


def loaders(images: Any, ranks: int, batch: int = 4, epoch: int = 3, **options: Any) -> list[Any]:
    """One loader for each rank, as its process would have it."""
    made = []
    for rank in range(ranks):
        sampler: DistributedSampler[Any] = DistributedSampler(images, ranks, rank, **options)
        sampler.set_epoch(epoch)
        made.append(DataLoader(images, batch, sampler=sampler, num_workers=0, index=None))
    return made


def labels(batches: Any) -> list[int]:
    return [int(label) for _, several in batches for label in several]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 4), (4, 2), (2, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("steps", [1, 3])
def test_no_sample_is_lost_or_repeated(
    images: ImageList, before: int, after: int, steps: int, shuffle: bool
) -> None:
    seen: list[int] = []
    for loader in loaders(images, before, shuffle=shuffle):
        seen += labels(itertools.islice(loader, steps))
    state = json.loads(json.dumps(loader.state_dict()))  # of one rank: enough for all
    rest: list[int] = []
    for loader in loaders(images, after, shuffle=shuffle):
        loader.load_state_dict(state)
        rest += labels(loader)
    assert len(seen) == before * steps * 4
    assert set(seen) | set(rest) == set(range(SAMPLES))
    padding = -(SAMPLES - len(seen)) % after if after != before else -SAMPLES % before
    assert len(seen) + len(rest) == SAMPLES + padding
    assert len(set(seen) & set(rest)) <= padding


@pytest.mark.parametrize("rank", [0, 1])
def test_any_ranks_state_will_do_for_all(images: ImageList, rank: int) -> None:
    """Checkpoints are often written by rank 0 alone."""
    expected = [labels(loader) for loader in loaders(images, 2)]
    several = loaders(images, 2)
    for loader in several:
        list(itertools.islice(loader, 3))
    state = several[rank].state_dict()
    for loader, whole in zip(loaders(images, 2), expected):
        loader.load_state_dict(state)
        assert labels(loader) == whole[12:]
    other = loaders(images, 2, seed=1)[1 - rank]
    other.load_state_dict(state)
    with pytest.raises(StateError, match="other indices"):
        next(iter(other))


def test_twice_in_one_epoch(images: ImageList) -> None:
    """4 ranks, then 2, then 3."""
    seen: list[int] = []
    state: Any = None
    for ranks, steps in [(4, 2), (2, 1), (3, 100)]:
        several = loaders(images, ranks)
        for loader in several:
            if state is not None:
                loader.load_state_dict(state)
            seen += labels(itertools.islice(loader, steps))
        state = several[0].state_dict()
    padding = -(SAMPLES - 32 - 8) % 3
    assert sorted(seen)[: SAMPLES + padding] == sorted(seen)
    assert set(seen) == set(range(SAMPLES))
    assert len(seen) == SAMPLES + padding
    # And the epoch behind it is a whole one.
    behind: list[int] = []
    for loader in loaders(images, 3, epoch=4):
        loader.load_state_dict(state)
        loader.sampler.set_epoch(4)
        behind += labels(loader)
    assert set(behind) == set(range(SAMPLES))


def test_drop_last_of_the_sampler(images: ImageList) -> None:
    seen: list[int] = []
    for loader in loaders(images, 2, drop_last=True):
        seen += labels(itertools.islice(loader, 2))
    state = loader.state_dict()
    for loader in loaders(images, 3, drop_last=True):
        loader.load_state_dict(state)
        seen += labels(loader)
    assert len(seen) == len(set(seen)) == 16 + (SAMPLES - 16) // 3 * 3


def test_pixels_are_the_samples_own_whichever_rank_it_falls_to(images: ImageList) -> None:
    def by_label(several: list[Any]) -> dict[int, torch.Tensor]:
        found: dict[int, torch.Tensor] = {}
        for loader in several:
            torch.manual_seed(5)  # ranks are seeded alike
            for pixels, numbers in loader:
                found.update(zip(numbers.tolist(), pixels))
        return found

    two, four = by_label(loaders(images, 2)), by_label(loaders(images, 4))
    assert all(torch.equal(two[n], four[n]) for n in range(SAMPLES))


def test_other_samplers_cannot_be_dealt_anew(images: ImageList) -> None:
    loader = DataLoader(images, 4, shuffle=True)
    next(iter(loader))
    state = {**loader.state_dict(), "world_size": 2}
    with pytest.raises(StateError, match="of 2 ranks, and this loader has 1: only DistributedSampler"):
        DataLoader(images, 4, shuffle=True).load_state_dict(state)


# ---- shard="auto" --------------------------------------------------------------------------------


def shards(images: Any, monkeypatch: pytest.MonkeyPatch, ranks: int, **options: Any) -> list[Any]:
    made = []
    for rank in range(ranks):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        made.append(DataLoader(images, 4, num_workers=0, shard="auto", **options))
    return made


@pytest.mark.parametrize("ranks", [2, 3])
def test_auto_gives_each_rank_its_share_in_an_order_of_its_own_each_epoch(
    images: ImageList, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    several = shards(images, monkeypatch, ranks, shuffle=True)
    epochs = [[labels(loader) for loader in several] for _ in range(2)]
    for epoch in epochs:
        together = [n for share in epoch for n in share]
        assert set(together) == set(range(SAMPLES))
        assert len(together) == SAMPLES + -SAMPLES % ranks
    assert epochs[0] != epochs[1]
    for number, epoch in enumerate(epochs):  # as torch's own
        assert epoch == [labels(loader) for loader in loaders(images, ranks, epoch=number, shuffle=True)]


def test_auto_without_shuffle_and_with_drop_last(images: ImageList, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, loader in enumerate(shards(images, monkeypatch, 2, drop_last=True)):
        assert labels(loader) == list(range(rank, SAMPLES - 1, 2))[:24]
        assert loader.sampler.drop_last


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 1)])
@pytest.mark.parametrize("steps", [0, 2])
def test_auto_goes_on_with_one_rank_and_from_one(
    images: ImageList, monkeypatch: pytest.MonkeyPatch, before: int, after: int, steps: int
) -> None:
    seen: list[int] = []
    for loader in shards(images, monkeypatch, before, shuffle=True):
        batches = iter(loader)
        seen += labels(itertools.islice(batches, steps))
        state = loader.state_dict()
    rest: list[int] = []
    for loader in shards(images, monkeypatch, after, shuffle=True):
        loader.load_state_dict(state)
        rest += labels(loader)
    assert len(seen) == before * steps * 4
    assert sorted({*seen, *rest}) == list(range(SAMPLES))
    assert len(seen) + len(rest) == SAMPLES + -(SAMPLES - len(seen)) % after


def test_auto_has_the_same_order_for_any_number_of_ranks(
    images: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [labels(loader) for loader in shards(images, monkeypatch, 2, shuffle=True)]
    together = [n for pair in itertools.zip_longest(*two) for n in pair if n is not None]
    (one,) = shards(images, monkeypatch, 1, shuffle=True)
    assert together[:SAMPLES] == labels(one)


def test_auto_that_was_made_before_the_ranks_is_refused(
    images: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would give all samples to each of them."""
    (one,) = shards(images, monkeypatch, 1, shuffle=True)
    assert len(labels(one)) == SAMPLES
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="was made before this process was one of several ranks"):
        list(one)
    sampler = ShardSampler(images, 1, 0)  # asked for
    assert len(list(sampler)) == SAMPLES


def test_auto_with_a_sampler_changes_nothing(images: ImageList, monkeypatch: pytest.MonkeyPatch) -> None:
    (given, _) = shards(images, monkeypatch, 2, sampler=[3, 1])
    assert labels(given) == [3, 1]
    assert "leaves a given sampler as it is" in str(given.plan())


def test_auto_is_refused_for_streams_and_other_words(images: ImageList) -> None:
    class Stream(torch_data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(ValueError, match="map-style"):
        DataLoader(Stream(), shard="auto")
    with pytest.raises(ValueError, match='shard must be "auto" or None'):
        DataLoader(images, shard="rank 0")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rank", "world_size", "message"),
    [("2", "2", "RANK 2 is not below WORLD_SIZE 2"), ("a", "2", "must be ints"), (None, "2", "must be ints")],
)
def test_senseless_ranks(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, world_size: str, message: str
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world_size)
    with pytest.raises(ValueError, match=message):
        rank_and_world_size()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_auto_resumes_in_mid_epoch_and_goes_on_to_the_next(
    images: ImageList, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = shards(images, monkeypatch, 2, shuffle=True)
    expected = [[labels(loader) for loader in whole] for _ in range(3)]
    seen: list[int] = []
    for loader in shards(images, monkeypatch, 2, shuffle=True):
        list(loader)
        seen += labels(itertools.islice(loader, 2))
    state = loader.state_dict()
    resumed = shards(images, monkeypatch, after, shuffle=True)
    for loader in resumed:
        loader.load_state_dict(state)
        seen += labels(loader)
    assert set(seen) == set(range(SAMPLES))
    if after == 2:
        assert [labels(loader) for loader in resumed] == expected[2]
    else:
        assert all(isinstance(loader.sampler, ShardSampler) for loader in resumed)
        assert all(loader.sampler.epoch == 2 for loader in resumed)


def test_a_finished_epoch_is_followed_by_the_next(images: ImageList, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = shards(images, monkeypatch, 2, shuffle=True)
    list(first)
    state = first.state_dict()
    expected = [tuple(b) for b in first]
    again, _ = shards(images, monkeypatch, 2, shuffle=True)
    again.load_state_dict(state)
    assert same([tuple(b) for b in again], expected)


# ---- processes -----------------------------------------------------------------------------------

WORKER = """
import json, os, sys
import torch, torch.distributed as dist
from pathlib import Path
from stoker import DataLoader, ImageList, transforms as T
rank, ranks, meeting, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks))
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
paths = sorted(folder.glob("*.jpg"))
dataset = ImageList(paths, range(len(paths)), T.RandomResizedCrop(8))
torch.manual_seed(11)
auto = DataLoader(dataset, 4, shuffle=True, shard="auto")
sampler = torch.utils.data.distributed.DistributedSampler(dataset)
given = DataLoader(dataset, 4, sampler=sampler)
for epoch in range(2):
    sampler.set_epoch(epoch)
    mine = {}
    for loader in (auto, given):
        assert loader.native and loader.num_workers >= 1
        numbers = [int(n) for _, labels in loader for n in labels]
        everyone = [None] * ranks
        dist.all_gather_object(everyone, numbers)
        together = sum(everyone, [])
        assert set(together) == set(range(len(paths))), together
        assert len(together) == len(paths) + -len(paths) % ranks
        mine[loader] = numbers
    assert mine[auto] == mine[given]
dist.barrier()
dist.destroy_process_group()
print("rank", rank, "done", int(auto.num_workers))
"""


@pytest.mark.parametrize("ranks", [2, 4])
def test_real_processes(images: ImageList, ranks: int, tmp_path: Path) -> None:
    import subprocess
    import sys

    meeting = tmp_path / "meeting"  # a port that is free now may be another's when it is needed
    folder = Path(images.path(0)).parent
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(ranks), str(meeting), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        said = [process.communicate(timeout=120)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    for rank, words in enumerate(said):
        assert f"rank {rank} done" in words, words
