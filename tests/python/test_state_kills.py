"""Killed in mid-epoch and resumed: the same batches, bit for bit, as in a run that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import write_photos

# Trains for four epochs, on from the checkpoint where there is one. Before each step its batch's
# checksum is written down, and behind it the checkpoint is replaced, as a careful script does.
SCRIPT = """
EPOCHS = 4
import json, os, sys, time, zlib
import torch
from pathlib import Path
from stoker import DataLoader, ImageFolder, transforms as T
for job in iter(sys.stdin.readline, ""):  # each in a fork, so that the imports are paid for once
    pid = os.fork()
    if pid == 0:
        break
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    sys.exit()
folder, log, checkpoint, workers, seed, last = json.loads(job)
torch.manual_seed(seed)
dataset = ImageFolder(folder, [T.RandomResizedCrop(16), T.ColorJitter(0.4, 0.4, 0.4, 0.1),
                               T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True),
                               T.RandomErasing(value="random")])
loader = DataLoader(dataset, 4, shuffle=True, num_workers=workers, on_error="replace")
epoch, step = 0, 0
if os.path.exists(checkpoint):
    saved = json.loads(Path(checkpoint).read_text())
    epoch, step = saved["epoch"], saved["step"]
    loader.load_state_dict(saved["loader"])
with open(log, "a") as lines:
    while epoch < EPOCHS:
        for images, labels in loader:
            if step == last:
                time.sleep(120)  # to be killed
            crc = zlib.crc32(labels.numpy().tobytes(), zlib.crc32(images.numpy().tobytes()))
            lines.write(json.dumps([epoch, step, crc]) + "\\n")
            lines.flush()
            torch.rand(2)
            step += 1
            where = loader.state_dict()  # behind an epoch's last batch it is the next epoch's
            state = {"epoch": epoch + where["finished"], "step": step, "loader": where}
            Path(checkpoint + ".new").write_text(json.dumps(state))
            os.replace(checkpoint + ".new", checkpoint)
            time.sleep(0.004)
        epoch += 1
        state = {"epoch": epoch, "step": step, "loader": loader.state_dict()}
        Path(checkpoint + ".new").write_text(json.dumps(state))
        os.replace(checkpoint + ".new", checkpoint)
"""
KILLS = 20
STEPS = 64  # in four epochs of 61 samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kills")
    for name in "ab":
        write_photos(root / name, 30)
    (root / "b" / "broken.jpg").write_bytes(b"no image")
    return root


class Training:
    """Runs of the script, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, at: Path, workers: int, seed: int, last: int = -1) -> int:
        """Returns the process's id. ``last``: the step that it never takes; there it waits to be killed."""
        arguments = [str(self._folder), str(at / "log"), str(at / "checkpoint"), workers, seed, last]
        assert self._process.stdin is not None
        print(json.dumps(arguments), file=self._process.stdin, flush=True)
        return self._answer()

    def wait(self) -> int:
        """The exit status, negative where it was killed."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def training(folder: Path) -> Iterator[Training]:
    several = Training(folder)
    yield several
    several.end()


def steps(at: Path) -> list[list[int]]:
    log = at / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("]")]


def test_twenty_kills(training: Training, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    training.start(whole, 2, 0)
    assert training.wait() == 0
    expected = {step: [epoch, crc] for epoch, step, crc in steps(whole)}
    assert len(expected) == STEPS
    choose = random.Random(5)
    for kill in range(KILLS):
        # Only the checkpoint leads back: the seed is another one each time.
        seed = kill if (killed / "checkpoint").exists() else 0
        seen, wanted = len(steps(killed)), choose.randint(1, 3)
        pid = training.start(killed, choose.choice([0, 1, 2]), seed, STEPS - 1)
        deadline = time.monotonic() + 60
        while len(done := steps(killed)) < seen + wanted and time.monotonic() < deadline:
            if done and done[-1][1] == STEPS - 2:
                break
            time.sleep(0.001)
        time.sleep(choose.random() * 0.01)
        os.kill(pid, signal.SIGKILL)
        assert training.wait() == -signal.SIGKILL
    training.start(killed, 2, 1)
    assert training.wait() == 0
    done = steps(killed)
    assert {step for _, step, _ in done} == set(expected)
    for epoch, step, crc in done:  # a step that was repeated has the same batch again
        assert expected[step] == [epoch, crc], step
