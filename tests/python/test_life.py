"""Loaders that come and go: nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import RunScript, write_photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("life")
    write_photos(root / "a", 12)
    return root


# Memory, threads and open files of the process itself.
MEASURE = """
import gc, psutil
from stoker import DataLoader, ImageFolder, transforms as T
me = psutil.Process()
def measured():
    gc.collect()
    return me.memory_info().rss, me.num_threads(), me.num_fds()
"""


def test_a_thousand_loaders(run_script: RunScript, folder: Path) -> None:
    """200 of them are dropped in mid-epoch, by break, by del and by an exception."""
    code = (
        MEASURE
        + """
def one(number):
    dataset = ImageFolder(sys.argv[1], T.RandomResizedCrop(64))
    loader = DataLoader(dataset, 4, shuffle=True, num_workers=number % 3, on_error="skip",
                        persistent_workers=number % 3 > 0 and number % 2 == 0)
    if number % 5:
        assert sum(len(labels) for _, labels in loader) == 12
        loader.state_dict()
    elif number % 2:
        for _ in loader:
            break
    else:
        iterator = iter(loader)
        next(iterator)
        if number % 4:
            del iterator
        else:
            try:
                for _ in iterator:
                    raise ValueError
            except ValueError:
                pass
for number in range(300):
    one(number)
before = measured()
for number in range(300, 1000):
    one(number)
after = measured()
assert after[0] - before[0] < 8e6, (before, after)
assert after[1] <= before[1] and after[2] <= before[2], (before, after)
"""
    )
    done = run_script(code, folder, timeout=180)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_two_loaders_share_one_budget_of_threads(run_script: RunScript, folder: Path) -> None:
    code = (
        MEASURE
        + """
def loader():
    dataset = ImageFolder(sys.argv[1], T.RandomResizedCrop(64))
    return DataLoader(dataset, 4, sampler=[i % 12 for i in range(400)], num_workers=3)
before = me.num_threads()
list(loader())
alone = max(me.num_threads(), before + 3)  # threads are made when they are needed
one, two = loader(), loader()
for _ in zip(one, two):
    assert me.num_threads() <= alone
"""
    )
    done = run_script(code, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_with_a_loader_each(run_script: RunScript, folder: Path) -> None:
    code = """
import threading
from stoker import DataLoader, ImageFolder, transforms as T
seen, lock = [], threading.Lock()
def run():
    loader = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(64)), 5, num_workers=2)
    for _ in range(5):
        count = sum(len(labels) for _, labels in loader)
        with lock:
            seen.append(count)
threads = [threading.Thread(target=run) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert seen == [12] * 30, seen
"""
    done = run_script(code, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


CONSUMER = """
import signal, sys, time, torch
import torch.utils.data as torch_data
from stoker import DataLoader, ImageFolder, transforms as T
class Opaque(torch_data.Dataset):
    inner = ImageFolder(sys.argv[1], T.RandomResizedCrop(64))
    def __len__(self): return 12
    def __getitem__(self, index): return self.inner[index]
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    dataset = Opaque.inner if sys.argv[2] == "native" else Opaque()
    loader = DataLoader(dataset, 1, num_workers=2, persistent_workers=True)
    while True:
        for _ in loader:
            print("step", flush=True)
            time.sleep(0.01)
"""


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_consumer_that_is_killed_leaves_nothing_behind(
    folder: Path, tmp_path: Path, path: str, how: signal.Signals
) -> None:
    script = tmp_path / "consumer.py"
    script.write_text(CONSUMER)
    environment = {**os.environ, "STOKER_TEST": str(tmp_path)}
    process: Any = subprocess.Popen(
        [sys.executable, str(script), str(folder), path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    for _ in range(3):
        assert process.stdout.readline() == "step\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == (2 if path == "python" else 0)
    process.send_signal(how)
    assert process.wait(timeout=60) != 0
    deadline = time.monotonic() + 60
    while any(child.is_running() and child.status() != "zombie" for child in children):
        assert time.monotonic() < deadline, children
        time.sleep(0.05)
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


SPAWNED = """
import sys, torch.multiprocessing as mp
from stoker import DataLoader, ImageFolder, transforms as T
def count(loader, queue):
    queue.put((loader.native, sum(len(labels) for _, labels in loader)))
if __name__ == "__main__":
    loader = DataLoader(ImageFolder(sys.argv[1], T.RandomResizedCrop(64)), 5, num_workers=2)
    list(loader)  # its threads are there when the child begins
    context = mp.get_context(sys.argv[2])
    queue = context.Queue()
    children = [context.Process(target=count, args=(loader, queue)) for _ in range(2)]
    for child in children: child.start()
    found = [queue.get(timeout=240) for _ in children]
    for child in children: child.join()
    assert found == [(True, 12)] * 2, found
    assert [child.exitcode for child in children] == [0, 0]
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_loader_in_processes_of_every_kind(folder: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    done = subprocess.run(
        [sys.executable, str(script), str(folder), method], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
