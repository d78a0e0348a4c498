"""Fixtures: small generated image folders, the real photographs, and scripts run on their own."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from both_paths import Numbers
from hypothesis import HealthCheck, settings
from index_helpers import epoch, loader_of
from photographs import photo_like
from PIL import Image

import stoker
from stoker import ImageList, transforms

# An example is not wrong for taking long: the machine may be busy with something else.
settings.register_profile("stoker", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stoker")

# Imports once, then runs each job in a fork, so that a test on a process of its own need not wait
# for torch. The fork leaves by the interpreter's own exit, as a script does.
ZYGOTE = """
import json, os, signal, sys, time
import numpy, torch, stoker
for line in iter(sys.stdin.readline, ""):
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.environ.update(job["environment"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(job["stdout"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(os.open(job["stderr"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
        sys.argv = ["script.py", *job["argv"]]
        exec(compile(job["code"], "script.py", "exec"), globals())
        break
    deadline, done = time.monotonic() + job["timeout"], 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps(os.waitstatus_to_exitcode(status) if done else None), flush=True)
"""


@dataclass(frozen=True)
class Finished:
    """What became of a script."""

    returncode: int
    stdout: str
    stderr: str


RunScript = Callable[..., Finished]


def plain(value: Any) -> str:
    """A parameter's name in a test's, without addresses: the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


@pytest.fixture(scope="session", autouse=True)
def _cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, nor any process that it starts, touches the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["XDG_CACHE_HOME"]
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for this test alone, and for the processes that it starts."""
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def zygote(_cache_home: None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=30)


@pytest.fixture
def run_script(zygote: subprocess.Popen[str], tmp_path: Path) -> RunScript:
    """Runs code in a process of its own; fails where it takes longer than `timeout` seconds.

    The code sees numpy, torch and stoker imported, and its arguments in sys.argv.
    """

    def run(code: str, *argv: Any, timeout: float = 60) -> Finished:
        stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
        job = {
            "code": code,
            "argv": [str(a) for a in argv],
            "timeout": timeout,
            "environment": {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]},
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        print(json.dumps(job), file=zygote.stdin, flush=True)
        returncode = json.loads(zygote.stdout.readline())
        if returncode is None:
            pytest.fail(f"no end after {timeout} s\n{stdout.read_text()}{stderr.read_text()}")
        return Finished(returncode, stdout.read_text(), stderr.read_text())

    return run


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


OLD_S = 1_600_000_000  # a time of change: the decode index leaves out what has just changed


def leave_alone(folder: Path) -> None:
    """Make it look as if the files below had last been changed long ago, each at a time of its own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    for number, file in enumerate(files):
        os.utime(file, (OLD_S + number, OLD_S + number))


def change_now(file: Path) -> None:
    """Make it look as if the file had just been changed: in ten minutes, as a busy machine may take
    longer to come to it than the two seconds for which a change is new."""
    soon = time.time() + 600
    os.utime(file, (soon, soon))


def write_photos(folder: Path, count: int, **options: Any) -> list[Path]:
    """JPEGs large enough for the decode index (400 x 300, about 50 KB), changed long ago."""
    folder.mkdir(parents=True, exist_ok=True)
    first = sum(1 for _ in folder.iterdir())
    files = [folder / f"{first + number:03}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        photo_like(400, 300, seed=first + number).save(file, **{"quality": 90, **options})
        os.utime(file, (OLD_S + number, OLD_S + number))
    return files


def hwc(image: torch.Tensor) -> np.ndarray:
    """A (3, height, width) tensor as Pillow's array."""
    return image.permute(1, 2, 0).numpy()


def transformed(path: Path, transform: Any) -> np.ndarray:
    """What the core makes of one file, as (height, width, 3)."""
    return hwc(ImageList([path], [0], transform)[0][0])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 JPEGs of different sizes (32 to 80 pixels a side) in three classes."""
    root = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(1)
    for index in range(37):
        place = root / f"class{index % 3}"
        place.mkdir(exist_ok=True)
        width, height = (int(side) for side in rng.integers(32, 81, 2))
        image = photo_like(width, height, seed=index)
        image.save(place / f"{index:02}.jpg", quality=90, subsampling=index % 3)
    return root


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 JPEGs of 400 x 300 pixels in two classes, large enough for the decode index, and old enough."""
    root = tmp_path_factory.mktemp("original") / "data"
    write_photos(root / "a", 8)
    write_photos(root / "b", 8, subsampling=0)
    leave_alone(root)
    return root


@pytest.fixture(scope="session")
def expected(original: Path) -> list[Any]:
    """The batches of `original` without an index."""
    return epoch(loader_of(original, index=None))


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may change."""
    return Path(shutil.copytree(original, tmp_path / "data"))


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """40 JPEGs of 24 x 24 pixels; given as an ImageList, the label of each is its index."""
    root = tmp_path_factory.mktemp("numbered")
    paths = [root / f"{index:02}.jpg" for index in range(40)]
    for index, path in enumerate(paths):
        photo_like(24, 24, seed=index).save(path)
    return paths


def indices(loader: Any) -> list[Any]:
    """The targets of each batch."""
    return [targets.tolist() for _, targets in loader]


def all_indices(loader: Any) -> list[int]:
    return [index for batch in indices(loader) for index in batch]


@pytest.fixture(scope="session")
def labelled(numbered: list[Path]) -> ImageList:
    """40 samples, each labelled with its index."""
    return ImageList(numbered, range(40), transforms.CenterCrop(8))


@pytest.fixture(params=["native", "python"])
def dataset(request: pytest.FixtureRequest) -> Any:
    """40 samples, each labelled with its index, on the path that the test is for."""
    return request.getfixturevalue("labelled") if request.param == "native" else Numbers(40)


@pytest.fixture(scope="session")
def photos() -> Path:
    """A folder of real photographs, named by the environment variable STOKER_PHOTOS."""
    given = os.environ.get("STOKER_PHOTOS", "")
    if not os.path.isdir(given):
        pytest.skip("no photographs: set STOKER_PHOTOS to a folder with one folder for each class")
    return Path(given).resolve()


@pytest.fixture
def simd_target() -> Iterator[Callable[[str], object]]:
    """Forces a SIMD target; the one before comes back at the end."""
    before = stoker._C.simd_target()
    yield stoker._C.set_simd_target
    stoker._C.set_simd_target(before)
