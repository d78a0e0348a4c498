"""What `stoker diagnose` makes of stacks, batches and files, without a script."""

from __future__ import annotations

import collections
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import encode, photo_like
from example_runs import needs
from PIL import Image, ImageFile
from torch.utils.data import DataLoader
from undisturbed import undisturbed

from stoker.diagnosis.command import (
    INJECT,
    NotRunnableError,
    command_for,
    environment_for,
)
from stoker.diagnosis.headroom import Headroom, copied, versions
from stoker.diagnosis.limits import main_part
from stoker.diagnosis.profile import Profile, classify
from stoker.stats import workers as w
from stoker.stats.stand_ins import MeteredCollate, metered


class Work:
    """A dataset whose sample is what ``work`` returns."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    def __getitem__(self, index: int) -> Any:
        return self.work()


def classified(work: Callable[[], Any], when: Callable[[FrameType], bool], asleep: bool = False) -> str:
    """What the stack is taken for when ``work`` first calls a function for which ``when`` holds."""
    found: list[str] = []

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if not found and event in ("call", "c_call") and when(frame):
            found.append(classify(frame, asleep))

    dataset = metered(Work(work), False, w.WorkerBlock(0))  # the stack is looked at up to here
    sys.setprofile(look)
    try:
        dataset[0]
    finally:
        sys.setprofile(None)
    assert found, "never called"
    return found[0]


def is_called(name: str) -> Callable[[FrameType], bool]:
    return lambda frame: frame.f_code.co_name == name


JPEG = encode(photo_like(64, 48), "JPEG")


class Photos:
    """A dataset as scripts have it."""

    def __init__(self, transform: Any = None) -> None:
        self.transform = transform

    def __getitem__(self, index: int) -> Any:
        image = Image.open(io.BytesIO(JPEG)).convert("RGB")
        return self.transform(image) if self.transform else helper(image)


def helper(image: Any) -> Any:
    return np.asarray(image)


class Darker:
    def __call__(self, image: Image.Image) -> Image.Image:
        return image.point(lambda v: v // 2)


class Compose:
    def __init__(self, *steps: Any) -> None:
        self.steps = steps

    def __call__(self, image: Any) -> Any:
        for step in self.steps:
            image = step(image)
        return image


def one(transform: Any = None) -> Callable[[], Any]:
    return lambda: Photos(transform)[0]


def in_pillows_load(frame: FrameType) -> bool:
    return frame.f_code.co_name == "load" and frame.f_globals["__name__"] == "PIL.ImageFile"


def test_decoding() -> None:
    assert classified(one(), in_pillows_load) == "decode"
    assert classified(one(), in_pillows_load, asleep=True) == "read"
    assert classified(one(Darker()), in_pillows_load) == "decode"


def test_transforms() -> None:
    assert classified(one(Darker()), is_called("point")) == "transform: Darker"
    assert classified(one(Compose(Darker(), helper)), is_called("point")) == "transform: Darker"


@needs("torchvision")
def test_torchvisions_transforms() -> None:
    from torchvision_operators import define_operators

    define_operators()
    from torchvision import transforms
    from torchvision.transforms import v2

    for kind in (transforms, v2):
        work = one(kind.Compose([kind.CenterCrop(32), kind.RandomHorizontalFlip(1.0)]))
        for called, name in (("crop", "CenterCrop"), ("transpose", "RandomHorizontalFlip")):
            assert classified(work, is_called(called)) == f"transform: {name}"


def test_own_functions() -> None:
    part = classified(one(), is_called("helper"))
    line = helper.__code__.co_firstlineno
    assert part == f"python: helper ({Path(__file__).name}:{line})"


def test_own_code_below_the_interpreters_folder() -> None:
    """A script at /usr/src/app, say, where Python is at /usr."""
    file = os.path.join(sys.base_prefix, "src", "app", "train.py")
    names: dict[str, Any] = {}
    exec(compile("def work():\n    return inner()\ndef inner():\n    return 1\n", file, "exec"), names)
    assert classified(names["work"], is_called("inner")) == "python: inner (train.py:3)"


def test_decoders_in_c_by_the_line_that_calls_them(tmp_path: Path) -> None:
    file = tmp_path / "data.py"
    file.write_text("def load(cv2, file):\n    return cv2.imread(file)\n")
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)

    class Cv2:
        imread = len

    work: Callable[[], Any] = lambda: names["load"](Cv2, "x")  # noqa: E731
    assert classified(work, lambda f: f.f_code.co_name == "load" and f.f_lineno == 2) == "decode"


def test_collate_and_nothing_beyond_the_dataset() -> None:
    block = w.WorkerBlock(0)
    dataset = metered(Photos(), False, block)
    collate = MeteredCollate(helper, dataset)
    assert classified(lambda: collate(3), is_called("helper")) == "collate"
    assert classified(lambda: dataset[0], is_called("helper")).startswith("python: helper ")


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))


@undisturbed
def test_a_profile_counts_only_work() -> None:
    profile = Profile()
    assert profile.shares() == {}
    block = w.WorkerBlock(0)
    dataset = metered(Work(lambda: busy(0.2)), False, block)
    dataset._row = w.ObservedRow(block, profile)
    dataset[0]
    time.sleep(0.3)  # a look that has begun
    before = profile.to_dict()
    time.sleep(0.05)
    assert profile.to_dict() == before
    shares = profile.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(share for part, share in shares.items() if "busy" in part) > 0.8


def test_an_iterable_at_its_end_is_not_at_work() -> None:
    class Observer:
        working = 0

        def begin(self) -> None:
            self.working += 1

        def end(self) -> None:
            self.working -= 1

    def fails() -> Any:
        yield 1
        raise ValueError

    block = w.WorkerBlock(0)
    for samples, error in (([1, 2], None), (fails(), ValueError)):
        dataset = metered(samples, True, block)
        observer = Observer()
        dataset._row = w.ObservedRow(block, observer)
        if error is None:
            assert list(dataset) == [1, 2]
        else:
            with pytest.raises(error):
                list(dataset)
        assert observer.working == 0


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"decode": 0.6, "read": 0.4}, ("decode", "", 0.6)),
        ({"read": 1.0}, ("read", "reading", 1.0)),
        ({"transform: Darker": 0.6, "decode": 0.4}, ("transform", "the transform Darker", 0.6)),
        (
            {"decode": 0.4, "python: f (a.py:1)": 0.3, "python: f (a.py:2)": 0.3},
            ("python", "Python's f() (a.py)", 0.6),
        ),
        ({"python": 1.0}, ("python", "", 1.0)),
    ],
)
def test_the_main_part(profile: dict[str, float], expected: tuple[str, str, float]) -> None:
    kind, words, share = main_part(profile)
    assert (kind, words) == expected[:2]
    assert share == pytest.approx(expected[2])


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").touch()
    Path("tool").write_text("#!/bin/sh\n")
    Path("tool").chmod(0o755)
    assert command_for(["train.py", "--steps", "3"]) == [sys.executable, "train.py", "--steps", "3"]
    assert command_for(["-m", "package", "-x"]) == [sys.executable, "-m", "package", "-x"]
    assert command_for(["tool", "a"]) == ["./tool", "a"]
    assert command_for(["sh", "-c", "x"])[1:] == ["-c", "x"]
    with pytest.raises(NotRunnableError) as caught:
        command_for(["no such thing"])
    assert caught.value.status == 127


def test_the_environment() -> None:
    base = {"A": "b", "PYTHONPATH": "/x"}
    made = environment_for(Path("/f"), 3, 1.5, base)
    assert made.pop("PYTHONPATH") == os.pathsep.join([str(INJECT), "/x"])
    ours = {name: made.pop(name) for name in list(made) if name.startswith("STOKER_DIAGNOSE")}
    assert set(ours.values()) == {"/f", "3", "1.5"}
    assert made == {"A": "b"}
    assert environment_for(Path("/f"), 0, 0.0, {})["PYTHONPATH"] == str(INJECT)


class Pair(NamedTuple):
    a: Any
    b: Any


class Batch:
    def __init__(self) -> None:
        self.tensor = torch.ones(2)


def test_a_copy_is_of_its_own_and_of_the_same_kind() -> None:
    tensor = torch.ones(3)
    encoding = collections.UserDict({"x": tensor})  # as transformers' BatchEncoding
    missing: Any = collections.defaultdict(list, x=tensor)
    for data in ([tensor, "a", 1, None], (tensor, b"c"), Pair(tensor, 2), {"x": [tensor]}, encoding, missing):
        made = copied(data)
        assert type(made) is type(data)
        assert repr(made) == repr(data)
        assert copied(data, tensors=False) is not data
    made = copied({"x": [tensor], "n": np.ones(2)})
    made["x"][0].zero_()
    made["n"][:] = 0
    assert tensor.tolist() == [1, 1, 1]
    other = copied(Batch())
    other.tensor.zero_()
    assert type(other) is Batch
    assert copied(missing)["new"] == []


def test_changes_in_place_are_seen() -> None:
    data = {"x": [torch.ones(2)], "y": (torch.ones(1), 3)}
    before = versions(data)
    assert versions(data) == before
    data["x"][0] += 1  # type: ignore[index]
    assert versions(data) != before


@pytest.mark.parametrize("changes", [False, True])
def test_batches_are_whole_each_time(changes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("stoker.diagnosis.headroom.time.perf_counter", lambda: now[0])
    headroom = Headroom(0.05)
    for number in range(10):
        assert headroom.keep({"x": torch.full((2,), float(number))}, 9 - number) == (number > 5)
    given, kept = [], set()
    while (again := headroom.batch()) is not None:
        x = again[0].pop("x")
        given.append(int(x[0]))
        kept.add(id(x))
        if changes:
            x -= 100
        now[0] += 0.002
    assert given == [6 + (i % 4) for i in range(len(given))] or set(given) == {6, 7, 8, 9}
    assert headroom.batches_per_s == pytest.approx(1 / 0.002)
    assert not headroom.wanted


def test_what_cannot_be_copied_is_said() -> None:
    with pytest.raises(TypeError, match="pickle"):
        Headroom(1.0).keep([threading.Lock()], 0)


def test_pillow_opens_and_can_be_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process where the names of opened images are kept."""
    import pickle

    from stoker.diagnosis import worker_files

    monkeypatch.setattr(ImageFile.ImageFile, "__init__", ImageFile.ImageFile.__init__)
    monkeypatch.setattr(worker_files, "_opened", [])
    worker_files.remember_opened_images()
    worker_files.remember_opened_images()
    file = tmp_path / "a.jpg"
    file.write_bytes(JPEG)
    Image.open(file).close()
    with file.open("rb") as stream:
        Image.open(stream).load()
    Image.open(io.BytesIO(JPEG)).load()
    assert worker_files._opened == [str(file)] * 2
    assert pickle.loads(pickle.dumps(Image.open)) is Image.open
    assert len(list(DataLoader([1, 2, 3], 2))) == 2
