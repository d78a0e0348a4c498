"""Decode indexes under forks, spawns, several loaders and processes at once, and exits."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RunScript, write_photos
from index_helpers import (
    cached,
    entries,
    epoch,
    loader_of,
    same,
    written,
)

from stoker import DataLoader
from stoker.index_command import build


def epoch_and_stats(loader: DataLoader[Any]) -> tuple[list[Any], int]:
    batches = [(images.tolist(), labels.tolist()) for images, labels in epoch(loader)]
    return batches, loader.stats().index.used


def test_a_loader_sent_to_a_spawned_process(original: Path, own_cache: Path, expected: list[Any]) -> None:
    loader = loader_of(original)
    epoch(loader)
    written(loader)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        batches, used = pool.apply(epoch_and_stats, (loader,))
    assert batches == [(images.tolist(), labels.tolist()) for images, labels in expected]
    assert used == 16


def test_fork_in_mid_epoch(original: Path, own_cache: Path, run_script: RunScript) -> None:
    code = """
from stoker import DataLoader, ImageFolder, transforms as T
dataset = ImageFolder(sys.argv[1], T.RandomResizedCrop(48))
def epoch(loader):
    torch.manual_seed(0)
    return [x for x, _ in loader]
def same(a, b):
    return len(a) == len(b) and all(map(torch.equal, a, b))
expected = epoch(DataLoader(dataset, 3, num_workers=2, index=None))
def in_child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

loader = DataLoader(dataset, 3, num_workers=2)
for building in (True, False):
    torch.manual_seed(0)
    iterator = iter(loader)
    taken = [next(iterator)[0] for _ in range(2)]

    def child():
        assert same(epoch(loader), expected)
        loader._decode_index().flush(True)
        before = loader.stats().index.used
        assert same(epoch(loader), expected)
        assert loader.stats().index.used - before == 16
        assert same(epoch(DataLoader(dataset, 3, num_workers=2)), expected)

    in_child(child)
    in_child(child)
    assert same(taken + [x for x, _ in iterator], expected)
    loader._decode_index().flush(True)
before = loader.stats().index.used
assert same(epoch(loader), expected)
assert loader.stats().index.used - before == 16
"""
    done = run_script(code, original)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (file,) = cached(own_cache)
    assert entries(file) == 16


def test_stats_in_a_child_leave_the_parents_index_alone(original: Path, own_cache: Path) -> None:
    loader = loader_of(original)
    next(iter(loader))
    assert loader._cores._opened is not None

    class Locked:
        @property
        def problem(self) -> str:
            raise AssertionError("a thread of the parent may have held its lock when this process began")

    loader._cores._opened = (os.getpid() + 1, b"", Locked())  # type: ignore[assignment]  # as after a fork
    assert loader.stats().index_problem == ""
    assert loader.report()


def test_two_loaders_at_once(original: Path, own_cache: Path) -> None:
    one, two = loader_of(original), loader_of(original)
    plain = loader_of(original, index=None)
    for seed in range(3):
        torch.manual_seed(seed)
        first = iter(one)
        torch.manual_seed(seed)
        second = iter(two)
        batches = list(zip(first, second))
        expected = epoch(plain, seed)
        assert same([tuple(a) for a, _ in batches], expected)
        assert same([tuple(b) for _, b in batches], expected)
        written(one)
        written(two)
    assert one.stats().index.used == two.stats().index.used == 32
    (file,) = cached(own_cache)
    assert entries(file) == 16


def test_two_iterators_of_one_loader_at_once(original: Path, own_cache: Path, expected: list[Any]) -> None:
    loader = loader_of(original)
    torch.manual_seed(0)
    first = iter(loader)
    torch.manual_seed(0)
    second = iter(loader)
    batches = list(zip(first, second))
    assert same([tuple(a) for a, _ in batches], expected)
    assert same([tuple(b) for _, b in batches], expected)
    written(loader)
    (file,) = cached(own_cache)
    assert entries(file) == 16
    assert loader.stats().index.samples == 32


def test_processes_that_build_the_same_index_at_once(
    original: Path, own_cache: Path, run_script: RunScript
) -> None:
    code = """
from stoker import DataLoader, ImageFolder, transforms as T
dataset = ImageFolder(sys.argv[1], T.RandomResizedCrop(48))
pids = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        order = list(range(number * 4, 16)) + list(range(number * 4))
        loader = DataLoader(dataset, 5, sampler=order, num_workers=2)
        for images, _ in loader:
            loader._decode_index().flush()  # now, and not only at the end
        loader._decode_index().flush(True)
        assert loader.stats().index_problem == "", loader.stats()
        os._exit(0)
    pids.append(pid)
assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
loader = DataLoader(dataset, 5, num_workers=2)
assert len(list(loader)) == 4
assert loader.stats().index.used == 16, loader.stats().index
"""
    done = run_script(code, original)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (file,) = cached(own_cache)  # and no temporary files
    assert entries(file) == 16


ENDS = {
    "del": "del iterator, loader",
    "exit": "",
    "SystemExit": "raise SystemExit",
    "cycle": "cycle = [iterator]; cycle.append(cycle); del iterator, loader, cycle; import gc; gc.disable()",
    "torn down late": "sys.modules['a place that is torn down late'] = iterator",
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("end", ENDS)
def test_what_was_recorded_is_kept(
    original: Path, own_cache: Path, run_script: RunScript, end: str, workers: int
) -> None:
    code = f"""
from stoker import DataLoader, ImageFolder, transforms as T
loader = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(48)), 3, num_workers={workers})
iterator = iter(loader)
next(iterator), next(iterator)
{ENDS[end]}
"""
    done = run_script(code, original)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (file,) = cached(own_cache)
    assert entries(file) >= 6


def test_exit_waits_for_the_index_to_be_written(data: Path, tmp_path: Path, run_script: RunScript) -> None:
    path = tmp_path / "my.index"
    build(data, path)
    write_photos(data / "a", 4)
    code = """
import atexit, fcntl
from stoker._cores import _stop_all
from stoker import DataLoader, ImageFolder, transforms as T
pid = os.fork()
if pid == 0:  # another writer, for a second
    fcntl.flock(os.open(sys.argv[2], os.O_RDWR), fcntl.LOCK_EX)
    time.sleep(1)
    os._exit(0)
time.sleep(0.1)
loader = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(48)), 3, num_workers=2, index=sys.argv[2])
for batch in loader:
    pass
# Stoker's own end is the last thing that happens: no destructor does its work for it.
atexit.unregister(_stop_all)
atexit.register(lambda: os._exit(0))
atexit.register(_stop_all)
"""
    done = run_script(code, data, path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert entries(path) == 20
