"""The n-th allocation, system call or thread of the core fails, once or for good.

That ends in an error that can be read or in success, never in an abort, a hang or a wrong pixel; and when
it has passed, nothing is left of it.

STOKER_SWEEP=all tries every n (``make sweep``); without it, some. The same, nearer to the core:
tests/cpp/pipeline/loader_faults_test.cc.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_photos

ALL = os.environ.get("STOKER_SWEEP") == "all"

# A child per kind of fault, with a fork for each n; the last line says how many were tried.
SWEEP = """
import ctypes, errno, os, signal, sys, torch
from stoker import DataLoader, ImageFolder, transforms as T
import stoker._C

folder, kind, error, workers, index, every = sys.argv[1:7]
faults = ctypes.CDLL(None)
for line in open("/proc/self/maps"):
    parts = line.split()
    if "x" in parts[1] and any(name in line for name in ("/_C.cpython", "libjpeg", "libstdc++")):
        begin, end = (ctypes.c_void_p(int(n, 16)) for n in parts[0].split("-"))
        faults.fault_add_range(begin, end)

def loader():
    dataset = ImageFolder(folder, T.Compose([T.RandomResizedCrop(16), T.ToImage()]))
    return DataLoader(dataset, 4, num_workers=int(workers), index=index or None, on_error="skip")

def epoch(loader):
    torch.manual_seed(3)
    return [(images.clone(), labels.clone()) for images, labels in loader]

wanted = epoch(loader())
samples = {images[i].numpy().tobytes() for images, _ in wanted for i in range(len(images))}

def child(n, stay):
    '''0: nothing failed; 1: an error, or success; else what is wrong.'''
    signal.alarm(60)
    faults.fault_begin(int(kind), ctypes.c_long(n), stay, int(error))
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

def forked(n, stay):
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child(n, stay)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 1), f"call {n}, {'for good' if stay else 'once'}: {code}"
    return code

tried = 0
for stay in (0, 1):
    n = 0
    while forked(n, stay):
        tried += 1
        n += 1 if every == "all" else max(1, n // 3)
print(tried)
"""

KINDS = {
    "memory": (1, "ENOMEM"),
    "open": (2, "EMFILE"),
    "read": (3, "EIO"),
    "pread": (4, "EIO"),
    "fstat": (5, "EIO"),
    "mmap": (6, "ENOMEM"),
    "thread": (7, "EAGAIN"),
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
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_is_an_error_or_nothing(
    kind: str, workers: int, library: Path, folder: Path, tmp_path: Path
) -> None:
    number, error = KINDS[kind]
    index = str(tmp_path / "an.index") if workers else ""
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, folder, str(number), str(getattr(errno, error)), str(workers), index,
         "all" if ALL else "some"],
        env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=3000 if ALL else 600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    makes_none = kind == "mmap" or (kind == "thread" and not workers)
    assert (int(done.stdout) > 0) is not makes_none or kind == "pread"
