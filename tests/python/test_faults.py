"""The n-th allocation, system call or thread of the core fails, once or for good.

That ends in an error that can be read or in success, never in an abort, a hang or a wrong pixel; and when
it has passed, nothing is left of it. Only calls out of Stoker's own code, and out of the libraries that
work for it, fail: what the interpreter and torch do without memory is theirs. The core maps no memory itself
but by malloc: mmap stands here for the day when it does.

STOKER_SWEEP=all tries every n (``make sweep``); without it, some. The same, nearer to the core:
tests/cpp/pipeline/loader_faults_test.cc.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_photos

from stoker import DataLoader, ImageFolder
from stoker import transforms as T
from stoker.stats import meter

ALL = os.environ.get("STOKER_SWEEP") == "all"

# Forks for each kind of fault and each n; prints for each kind how many calls have failed.
SWEEP = """
import ctypes, json, os, signal, sys, torch
from stoker import DataLoader, ImageFolder, transforms as T
import stoker._C

folder, kinds, workers, index, every = sys.argv[1:6]
faults = ctypes.CDLL(None)
for line in open("/proc/self/maps"):
    parts = line.split()
    if "x" in parts[1] and any(name in line for name in ("/_C.cpython", "libjpeg", "libstdc++", "libtbb")):
        begin, end = (ctypes.c_void_p(int(n, 16)) for n in parts[0].split("-"))
        faults.fault_add_range(begin, end, "libtbb" in line)

def loader():
    dataset = ImageFolder(folder, T.Compose([T.RandomResizedCrop(16), T.ToImage()]))
    return DataLoader(dataset, 4, num_workers=int(workers), index=index or None, on_error="skip")

def epoch(loader):
    torch.manual_seed(3)
    return [(images.clone(), labels.clone()) for images, labels in loader]

wanted = epoch(loader())
samples = {images[i].numpy().tobytes() for images, _ in wanted for i in range(len(images))}

def child(kind, error, n, stay):
    '''0: nothing failed; 1: an error, or success; else what is wrong.'''
    signal.alarm(300)
    faults.fault_begin(kind, ctypes.c_long(n), stay, error)
    mine, given, said = None, [], "x"
    try:
        mine = loader()
        given = epoch(mine)
    except Exception as e:
        said = str(e) or type(e).__name__
    failed = faults.fault_end()
    for images, _ in given:
        if any(images[i].numpy().tobytes() not in samples for i in range(len(images))):
            return 2
    if not said:
        return 3
    mine = mine or loader()
    again = epoch(mine)
    if [i.shape for i, _ in again] != [i.shape for i, _ in wanted] or not all(
        torch.equal(a, b) for (a, _), (b, _) in zip(again, wanted)
    ):
        return 4
    return int(failed)

def forked(name, kind, error, n, stay):
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child(kind, error, n, stay)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 1), f"{name}, call {n}, {'for good' if stay else 'once'}: {code}"
    return code

tried = {}
for name, (kind, error) in json.loads(kinds).items():
    tried[name] = 0
    for stay in (0, 1):
        n = 0
        while forked(name, kind, error, n, stay):
            tried[name] += 1
            n += 1 if every == "all" else max(1, n)
print(json.dumps(tried))
"""

KINDS = {
    "memory": (1, errno.ENOMEM),
    "open": (2, errno.EMFILE),
    "read": (3, errno.EIO),
    "pread": (4, errno.EIO),
    "fstat": (5, errno.EIO),
    "mmap": (6, errno.ENOMEM),
    "thread": (7, errno.EAGAIN),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, for a library that makes calls fail")
    made = tmp_path_factory.mktemp("library") / "faults.so"
    source = Path(__file__).parent / "faults.c"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faults")
    write_photos(root / "a", 10)
    for file in (root / "a").iterdir():
        os.utime(file, (1e9, 1e9))  # settled, for the index
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_a_call_that_fails_is_an_error_or_nothing(
    workers: int, library: Path, folder: Path, tmp_path: Path
) -> None:
    index = str(tmp_path / "an.index") if workers else ""
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, folder, json.dumps(KINDS), str(workers), index,
         "all" if ALL else "some"],
        env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=7200 if ALL else 900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    tried = json.loads(done.stdout)
    expected = {"memory", "open", "read", "fstat"} | ({"thread"} if workers else set())
    assert {kind for kind, number in tried.items() if number} >= expected


def test_no_memory_for_the_reading_of_an_iterator_that_is_dropped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, seen = [], []

    def no_memory(_: meter.Meter) -> None:
        asked.append(1)
        raise MemoryError

    iterator = iter(DataLoader(ImageFolder(folder, T.CenterCrop(8)), 2, num_workers=1, index=None))
    next(iterator)
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    monkeypatch.setattr(meter, "_WORTH_A_READING_S", -1)
    monkeypatch.setattr(meter.Meter, "_read_system", no_memory)
    del iterator
    assert (len(asked), seen) == (1, [])
