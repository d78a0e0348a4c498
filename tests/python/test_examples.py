"""The examples, each in two processes: that the core loads in each of them, and each image once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from example_runs import TRAIN, VAL, Ran, Runner, assert_native, expected_labels, needs, write_folders
from torch.utils.data.distributed import DistributedSampler

from stoker import DataLoader, ImageList, transforms

STEPS = 5  # of an epoch: 13 images for each of two ranks, in batches of 3
SMALL = ["--size", 32, "--batch-size", 3, "--workers", 1, "--epochs", 2, "--lr", 0.01]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    data = tmp_path_factory.mktemp("data")
    write_folders(data)
    return Runner(tmp_path_factory.mktemp("runs"), data)


def val_seen(ran: Ran, epoch: int = -1) -> list[int]:
    return sorted(label for rank in range(len(ran.notes)) for label in ran.labels(rank, "val")[epoch])


# ---- imagenet.py --------------------------------------------------------------------------------

IMAGENET = [*SMALL, "--arch", "tiny", "--print-every", 1]


@pytest.fixture(scope="module")
def stopped(runner: Runner) -> Ran:
    """One epoch, and two steps of the second."""
    return runner.torchrun("imagenet.py", *IMAGENET, "--stop-after", STEPS + 2, "--checkpoint", "stopped.pt")


@needs("torchvision")
def test_imagenet_natively_in_each_process(stopped: Ran) -> None:
    assert_native(stopped, ranks=2)
    assert len(stopped.losses()) >= STEPS + 2
    for rank in range(2):
        assert stopped.labels(rank, "train")[0] == expected_labels(2, rank, epoch=0)
    shares = [stopped.labels(rank, "train")[0] for rank in range(2)]
    assert len(shares[0]) + len(shares[1]) == TRAIN + 1
    assert set(shares[0]) | set(shares[1]) == set(range(TRAIN))
    assert val_seen(stopped) == list(range(VAL))
    assert stopped.output.count("Stoker plan: native") == 1
    assert stopped.output.count("the training loop waited") == 1


@needs("torchvision")
def test_imagenet_goes_on_where_it_was_stopped(runner: Runner, stopped: Ran) -> None:
    resumed = runner.torchrun("imagenet.py", *IMAGENET, "--resume", "stopped.pt", "--save-every", 4)
    assert_native(resumed, ranks=2)
    for rank in range(2):
        begun, ended = stopped.labels(rank, "train")[1], resumed.labels(rank, "train")[0]
        assert len(begun) == 2 * 3
        assert begun + ended == expected_labels(2, rank, epoch=1)
    assert f"Epoch: [1][3/{STEPS}]" in resumed.output
    assert f"Epoch: [1][2/{STEPS}]" not in resumed.output
    checkpoint = torch.load(runner.folder / "checkpoint.pt", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["step"]) == (2, 0)


@needs("torchvision")
def test_imagenet_goes_on_in_one_process_and_evaluates(runner: Runner, stopped: Ran) -> None:
    """What the two had left of the epoch is the one's."""
    resume = [*IMAGENET, "--resume", "stopped.pt"]
    ran = runner.in_turn("imagenet.py", resume, [*resume, "--evaluate"])
    assert_native(ran, ranks=1)
    (rest,) = ran.labels(0, "train")  # none of them in the second run
    had = [label for rank in range(2) for label in stopped.labels(rank, "train")[1]]
    assert sorted(had + rest) == list(range(TRAIN))
    assert ran.labels(0, "val") == [list(range(VAL))] * 2
    assert ran.output.count(f"{VAL} images") == 2


@needs("torchvision")
def test_imagenet_with_torchs_loader(runner: Runner, stopped: Ran) -> None:
    """It goes on from the other loader's checkpoint: all else is the same."""
    ran = runner.torchrun("imagenet.py", *IMAGENET, "--loader", "torch", "--resume", "stopped.pt", "--amp")
    for rank in range(2):
        assert ran.kinds(rank, "train") == {"_MultiProcessingDataLoaderIter"}
        assert ran.labels(rank, "train") == [expected_labels(2, rank, epoch=1)]
    assert ran.output.count("Epoch: [1]") == STEPS - 2
    assert val_seen(ran) == list(range(VAL))
    assert "stoker" not in ran.output.lower()


# ---- lightning_train.py -------------------------------------------------------------------------

LIGHTNING = [*SMALL, "--accelerator", "cpu"]


@needs("lightning")
def test_lightning_natively_in_each_process(runner: Runner) -> None:
    ran = runner.alone("lightning_train.py", *LIGHTNING, "--devices", 2, "--strategy", "ddp")
    assert_native(ran, ranks=2)
    for rank in range(2):
        assert f"process {rank}: stoker.DataLoader, native, {STEPS} batches an epoch" in ran.output
        # Lightning asks for as many batches as there are, so it never sees an epoch's end.
        both = [label for epoch in ran.labels(rank, "train") for label in epoch]
        assert both == expected_labels(2, rank, epoch=0) + expected_labels(2, rank, epoch=1)


@needs("lightning")
def test_lightning_goes_on_in_the_middle_of_an_epoch(runner: Runner) -> None:
    once = [*LIGHTNING, "--devices", 1, "--save-every", 4, "--checkpoints", "once"]
    # 9 steps an epoch: the checkpoint is from the third step of the second.
    ran = runner.in_turn("lightning_train.py", once, [*once, "--resume", "once/epoch=1-step=12.ckpt"])
    assert_native(ran, ranks=1)
    batches = [line for line in ran.notes[0] if line["of"] == "train" and not line["end"]]
    assert len(batches) == 2 * 9 + 6
    assert batches[-6:] == batches[12:18]  # bit for bit


@needs("lightning")
def test_lightning_goes_on_in_the_middle_of_an_epoch_of_two_ranks(numbered: list[Path]) -> None:
    """Lightning's checkpoints hold the loader's state of rank 0, and give it to all ranks."""
    dataset = ImageList(numbered, range(len(numbered)), transforms.CenterCrop(8))

    def loader(rank: int) -> Any:
        sampler: Any = DistributedSampler(dataset, 2, rank, shuffle=True)
        return DataLoader(dataset, batch_size=3, sampler=sampler, num_workers=0)

    first = loader(0)
    batches = iter(first)
    next(batches)
    next(batches)
    state = first.state_dict()
    whole = [labels.tolist() for _, labels in loader(1)]
    second = loader(1)
    second.load_state_dict(state)
    assert [labels.tolist() for _, labels in second] == whole[2:]


# ---- accelerate_train.py ------------------------------------------------------------------------


@needs("accelerate")
def test_accelerate_natively_in_each_process(runner: Runner) -> None:
    ran = runner.torchrun("accelerate_train.py", *SMALL)
    assert_native(ran, ranks=2)
    for rank in range(2):
        assert f"process {rank}: stoker.dataloader, native, {STEPS} batches an epoch" in ran.output
    for epoch in range(2):
        seen = [label for rank in range(2) for label in ran.labels(rank, "train")[epoch]]
        assert set(seen) == set(range(TRAIN))
        assert len(seen) == 2 * STEPS * 3  # Accelerate fills up the last batches
    assert ran.output.count(f"of {VAL} right") == 2
