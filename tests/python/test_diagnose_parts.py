"""Parts of `stoker diagnose` inside a script's processes, without a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from both_paths import Numbers
from diagnose_runs import forked
from torch.utils.data import DataLoader

from stoker.diagnosis import ranks
from stoker.diagnosis.metered import Metered
from stoker.diagnosis.worker_files import KEPT_FILES, WorkerProfiles
from stoker.stats import Meter

# ---- batches that are handed out again -----------------------------------------------------------

RANK_NAMES = {
    "WORLD_SIZE": "RANK",
    "HOROVOD_SIZE": "HOROVOD_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    "PMI_SIZE": "PMI_RANK",
}


@pytest.fixture(autouse=True)
def one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*RANK_NAMES, *RANK_NAMES.values()):
        monkeypatch.delenv(name, raising=False)


class Run:
    """See stoker.diagnosis.inside.Run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps, self.headroom_s = 2, 0.01
        self.loaders: list[Metered] = []
        self.said: list[str] = []

    def write_profiles(self) -> None:
        pass

    def say_once(self, words: str) -> None:
        self.said.append(words)


def again(run: Run) -> int:
    """How many batches a loop over ten is given again."""
    loader = DataLoader(Numbers(10), 1)
    metered = Metered(loader, Meter(), 0, run)
    metered.meter.epoch_begins()
    count = 0
    for batch in loader:
        while metered.again() is not None:
            count += 1
        metered.asked()
        metered.answered(batch)
    assert metered.final
    return count


def test_a_loop_on_its_own_gets_batches_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sizes in ({}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": ""}):
        for name, size in sizes.items():
            monkeypatch.setenv(name, size)
        run = Run(tmp_path)
        assert again(run) >= 8
        assert run.said == []


@pytest.mark.parametrize("name", [*RANK_NAMES, "torch.distributed"])
def test_ranks_get_none_and_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "torch.distributed":
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    else:
        assert ranks.rank() == ""
        monkeypatch.setenv(name, "2")
        monkeypatch.setenv(RANK_NAMES[name], "1")
    assert ranks.rank() == "1"
    run = Run(tmp_path)
    assert again(run) == 0
    (said,) = run.said
    assert said.startswith("--headroom is left out: the loop is one of 2 ranks, which would wait for")


def test_a_batch_that_cannot_be_copied_ends_it_and_it_is_said(tmp_path: Path) -> None:
    run = Run(tmp_path)
    loader = DataLoader(Numbers(10), 1, collate_fn=lambda numbers: threading.Lock())
    metered = Metered(loader, Meter(), 0, run)
    metered.meter.epoch_begins()
    for batch in loader:
        assert metered.again() is None
        metered.asked()
        metered.answered(batch)
    assert metered.final
    (said,) = run.said
    assert said.startswith("--headroom is left out: a batch cannot be copied (TypeError(")


# ---- a validation within an epoch ----------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_a_validation_between_two_batches_is_no_step(tmp_path: Path, known: bool) -> None:
    """Also the first, whose loader comes with it."""
    run = Run(tmp_path)
    run.steps = 0
    run.headroom_s = 0.0
    train = Metered(DataLoader(Numbers(10), 1), Meter(), 0, run)
    run.loaders.append(train)
    validation = Metered(DataLoader(Numbers(4), 1), Meter(), 1, run)
    if known:
        run.loaders.append(validation)

    def batch(metered: Metered) -> None:
        metered.asked()
        metered.answered(None)

    train.meter.epoch_begins()
    batch(train)
    batch(train)
    if not known:
        run.loaders.append(validation)
    validation.meter.epoch_begins()
    for _ in range(3):
        batch(validation)
        time.sleep(0.05)
    batch(train)
    batch(train)
    assert [step.first for step in train.meter.clock.steps] == [True, False, True, False]
    assert max(step.step_s for step in train.meter.clock.steps) < 0.1


# ---- workers' files ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended() -> int:
    """The process id of one that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def file_of(folder: Path, pid: int, counts: Any, opened: list[str], number: int = 0) -> Path:
    file = folder / f"worker-7-1-{pid}-{number}.json"
    record = {"spent_ns": counts, "loop_ns": {"decode": 1}, "looks": 3, "failed": "", "opened": opened}
    file.write_text(json.dumps(record))
    return file


def test_profiles_of_ended_workers_are_one(tmp_path: Path, ended: int) -> None:
    profiles = WorkerProfiles(tmp_path, "7-1")
    other = tmp_path / f"worker-7-12-{ended}-0.json"
    other.write_text("another loader's")
    living = file_of(tmp_path, os.getpid(), {"decode": 10}, ["/c"])
    for epoch in range(30):
        file_of(tmp_path, ended, {"decode": 1, "read": 2}, [f"/a{epoch}-{i}" for i in range(9)], epoch)
        (tmp_path / f"worker-7-1-{ended}-{epoch}.json.{ended}.part").write_text("{")  # killed meanwhile
        if epoch % 3 == 0:
            file_of(tmp_path, ended, None, [], 100 + epoch)  # damaged
        profiles.fold()
        assert sorted(tmp_path.iterdir()) == sorted([other, living])
    for _ in range(2):
        seen, opened = profiles.read()
        assert seen.profile == {"read": 0.6, "decode": 0.4}
        assert (seen.looks, seen.loops) == (93, {"decode": pytest.approx(31 / 40)})
        assert len(opened) == len(set(opened)) == KEPT_FILES + 1
        assert opened[-1] == "/c"


EPOCHS = """
import os, sys
from pathlib import Path
from stoker.diagnosis import inside, worker_files
from torch.utils.data import DataLoader
folder = Path(sys.argv[1])
os.environ["STOKER_DIAGNOSE"] = str(folder)
worker_files._FIRST_WRITE_S = 0.0
inside.install()
for _ in range(5):
    for batch in DataLoader(list(range(8)), 2, num_workers=2):
        pass
    print(len(list(folder.glob("worker-*"))))
"""


def test_files_do_not_grow_with_the_epochs(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (tmp_path / "script.py").write_text(EPOCHS)
    ended = forked(str(tmp_path / "script.py"), tmp_path, str(folder))
    assert ended.status == 0, ended.stderr
    counts = [int(line) for line in ended.stdout.split()]
    assert len(counts) == 5
    assert 1 <= max(counts) <= 4, counts  # of an epoch's workers, and of those before that had not ended yet
