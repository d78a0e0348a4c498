"""Runs the examples as a user would, in several processes, and reads what their loaders gave."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import photo_like
from torch.utils.data.distributed import DistributedSampler

import stoker

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"
TRAIN, VAL = 25, 11  # images; the first is odd, so that two ranks must pad

IN_TURN = """
import json, runpy, sys
example, runs = sys.argv[1:]
for arguments in json.loads(runs):
    sys.argv = [example, *arguments]
    runpy.run_path(example, run_name="__main__")
"""


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def write_folders(root: Path) -> None:
    """train/ and val/, with one image in each class: a label says which image it is."""
    for part, count in (("train", TRAIN), ("val", VAL)):
        for index in range(count):
            folder = root / part / f"class{index:02}"
            folder.mkdir(parents=True)
            photo_like(96, 72, seed=index).save(folder / "0.jpg", quality=90)


def expected_labels(ranks: int, rank: int, epoch: int, seed: int = 0) -> list[int]:
    """What DistributedSampler gives a rank of the training images."""
    sampler = DistributedSampler(range(TRAIN), ranks, rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
    sampler.set_epoch(epoch)
    return list(sampler)


@dataclass(frozen=True)
class Ran:
    """What a run printed, and for each rank what its loaders gave, line by line."""

    output: str
    notes: list[list[dict[str, Any]]]

    def kinds(self, rank: int, folder: str) -> set[str]:
        """The iterators that gave batches of `folder`."""
        return {line["by"] for line in self.notes[rank] if line["of"] == folder}

    def labels(self, rank: int, folder: str) -> list[list[int]]:
        """Of each epoch, finished or not."""
        epochs: list[list[int]] = [[]]
        for line in self.notes[rank]:
            if line["of"] != folder:
                continue
            if line["end"]:
                epochs.append([])
            else:
                epochs[-1] += line["labels"]
        return epochs if epochs[-1] else epochs[:-1]

    def losses(self) -> list[float]:
        return [float(number) for number in re.findall(r"[Ll]oss:? (\S+?),?(?=\s)", self.output)]


def assert_native(ran: Ran, ranks: int, folders: tuple[str, ...] = ("train", "val")) -> None:
    """In every process, the core gave all batches; and training went as it should."""
    assert len(ran.notes) == ranks
    for rank in range(ranks):
        for folder in folders:
            assert ran.kinds(rank, folder) == {"NativeIterator"}, (rank, folder)
    assert ran.losses()
    assert all(math.isfinite(loss) for loss in ran.losses())


class Runner:
    """Starts scripts in a folder of their own; `torchvision` can be imported in each of their processes."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        self.data = data
        self._runs = 0
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text("import example_notes\nexample_notes.begin()\n")
        package = Path(stoker.__file__).parent.parent
        paths = [site, HERE, package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        self._path = os.pathsep.join(str(path) for path in paths if str(path))

    def __call__(self, command: list[Any], timeout: float = 300) -> Ran:
        self._runs += 1
        notes = self.folder / f"notes{self._runs}"
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        }
        environment.update(PYTHONPATH=self._path, OMP_NUM_THREADS="1", STOKER_NOTES=str(notes))
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"no end after {timeout} s\n{process.communicate()[0]}")
        assert process.returncode == 0, output
        files = sorted(self.folder.glob(f"{notes.name}.*"))
        return Ran(output, [[json.loads(line) for line in file.open()] for file in files])

    def torchrun(self, example: str, *arguments: Any, ranks: int = 2) -> Ran:
        """An example in `ranks` processes, by torch's launcher."""
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks]
        return self([*launcher, EXAMPLES / example, self.data, *arguments])

    def alone(self, example: str, *arguments: Any) -> Ran:
        return self([EXAMPLES / example, self.data, *arguments])

    def in_turn(self, example: str, *runs: list[Any]) -> Ran:
        """An example several times in one process, which imports all but once."""
        arguments = json.dumps([[str(argument) for argument in (self.data, *run)] for run in runs])
        return self(["-c", IN_TURN, EXAMPLES / example, arguments])
