"""`stoker diagnose` on loaders of all kinds: the same batches as without it, and what it says."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psutil
import pytest
from conftest import write_photos
from diagnose_runs import JSON, SCRIPTS, Ended, diagnosed, diagnosed_fork, fork, forked, python, start
from example_runs import needs
from undisturbed import undisturbed

import stoker
from stoker import transforms
from stoker.diagnosis.recording import Recording

TIMES = 64  # that the photographs are gone through, so that many stacks are looked at
IMAGES = 24 * TIMES


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cwd")


@pytest.fixture(scope="module")
def kinds(cwd: Path) -> tuple[Ended, Ended]:
    """Without and with diagnose, at once."""
    script = str(SCRIPTS / "kinds.py")
    alone, seen = fork(script, cwd), start(["--json", JSON, script], cwd)
    return alone.end(), seen.end()


def test_every_kind_of_loader_gives_the_same(kinds: tuple[Ended, Ended]) -> None:
    alone, seen = kinds
    assert alone.status == 0, alone.stderr
    assert "broken 1 KeyError Caught KeyError in DataLoader worker process 0. True" in alone.stdout
    assert seen.stdout.splitlines() == alone.stdout.splitlines()
    assert seen.status == 0
    assert seen.left == []


def test_each_of_them_is_found(kinds: tuple[Ended, Ended]) -> None:
    found = kinds[1].findings
    datasets = [f["facts"]["dataset"] for f in found]
    assert "not metered" not in kinds[1].stderr
    for name in ("Noisy, 24 samples", "Together, 24 samples", "Subset, 14 samples", "Broken, 24 samples"):
        assert name in datasets
    assert datasets.count("Stream") >= 4
    assert {f["stats"]["workers"] for f in found} == {0, 1, 2}
    times = [f["stats"]["wait"]["total_s"] + f["stats"]["step"]["total_s"] for f in found]
    assert times == sorted(times, reverse=True)
    of = {f["facts"]["loader"]: f["stats"] for f in found}
    assert of["__main__.MultiEpochs"]["batches"] == 12
    for finding in found:
        stats = finding["stats"]
        assert stats["samples"] > 0
        assert stats["system"]["memory_mb"] > 20
        assert 0 <= stats["usage"]["cpu_s"] <= 1.1 * stats["usage"]["work_s"] + 0.1


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, IMAGES // TIMES)
    return folder


def with_pillow(cwd: Path, photos: Path, out: Path) -> tuple[Ended, Recording, Path]:
    """Pillow's decoding in one worker, for a second and more, with all files written."""
    files = [out / name for name in ("report.html", "trace.json", "recording.json")]
    options = [x for o, f in zip(("--html", "--trace", "--recording"), files) for x in (o, str(f))]
    seen = diagnosed_fork([*options, str(SCRIPTS / "photos.py"), str(photos), str(TIMES), "1", "0.0005"], cwd)
    assert seen.status == 0, seen.stderr
    assert all(file.stat().st_size > 0 for file in files)
    return seen, Recording.from_json(files[2].read_text()), files[2]


@pytest.fixture(scope="module")
def pillow(cwd: Path, photos: Path) -> tuple[Ended, Recording, Path]:
    return with_pillow(cwd, photos, cwd)


@needs("torchvision")
def test_decoding_is_named(pillow: tuple[Ended, Recording, Path]) -> None:
    seen, recording, _ = pillow
    assert seen.stdout == f"{IMAGES}\n"
    said = seen.stderr.strip().splitlines()[0]
    assert said.startswith("Loader-bound: ")
    assert "decod" in said
    assert max(recording.profile, key=lambda part: recording.profile[part]) == "decode"
    assert recording.profile["decode"] > 0.5
    assert sum(recording.profile.values()) == pytest.approx(1)
    assert 0 < recording.variants["native"] < 1
    assert "stoker's native path" in seen.stderr
    assert recording.facts["transform"].startswith("Compose( CenterCrop")


@pytest.mark.alone
@needs("torchvision")
@undisturbed
def test_the_native_paths_cost_is_predicted(cwd: Path, photos: Path, tmp_path: Path) -> None:
    _, recording, _ = with_pillow(cwd, photos, tmp_path)
    usage = recording.stats.usage
    predicted = recording.variants["native"] * usage.cpu_s / recording.stats.samples
    files = sorted(photos.iterdir()) * TIMES
    pipeline = transforms.Compose([transforms.CenterCrop(64), transforms.ToTensor()])
    loader = stoker.DataLoader(stoker.ImageList(files, [0] * len(files), pipeline), 8, num_workers=1)
    assert sum(1 for _ in loader) == recording.stats.batches
    stats = loader.stats()
    assert predicted == pytest.approx(stats.usage.cpu_s / stats.samples, rel=0.25)


@needs("torchvision")
def test_a_recording_goes_there_and_back(pillow: tuple[Ended, Recording, Path]) -> None:
    _, recording, file = pillow
    assert json.loads(recording.to_json()) == json.loads(file.read_text())
    assert Recording.from_json(recording.to_json()) == recording


@needs("torchvision")
def test_the_workers_are_seen(pillow: tuple[Ended, Recording, Path]) -> None:
    stats = pillow[1].stats
    assert (stats.batches, stats.samples, stats.workers) == (IMAGES // 8, IMAGES, 1)
    assert stats.stages["python"].count == IMAGES
    assert 0 < stats.usage.cpu_s <= stats.usage.work_s
    assert stats.system.worker_cpu_s >= 0.9 * stats.usage.cpu_s
    assert stats.system.memory_mb > 150  # two processes, each with torch


@needs("torchvision")
def test_how_long_each_worker_was_at_work(pillow: tuple[Ended, Recording, Path]) -> None:
    _, recording, file = pillow
    (work,) = recording.readings[-1].worker_busy_s
    assert work == pytest.approx(recording.stats.usage.work_s)
    assert 'id="occupancy"' in (file.parent / "report.html").read_text()


COUNTED = (str(SCRIPTS / "steps.py"), "0.004", "0.02")


@pytest.fixture(scope="module")
def steps_alone(cwd: Path) -> Ended:
    return forked(COUNTED[0], cwd, *COUNTED[1:])


@pytest.fixture(scope="module")
def steps_again(cwd: Path) -> Ended:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stoker.diagnosis.command.HEADROOM_S", 1.0)
        return diagnosed_fork(["--headroom", "--steps", "20", "--json", JSON, *COUNTED], cwd)


def test_batches_handed_out_again_are_extra(steps_alone: Ended, steps_again: Ended) -> None:
    assert steps_alone.stderr == "60\n"
    count = int(steps_again.stderr.splitlines()[-1])  # behind the verdict
    assert count > 60 + 20
    assert steps_again.stdout == steps_alone.stdout  # all of its own, in their order, and none else
    assert steps_again.status == 0


def test_the_verdict_comes_while_the_script_runs(steps_again: Ended) -> None:
    (found,) = steps_again.findings
    assert found["stats"]["batches"] == 21
    assert steps_again.json["exit_status"] == 0
    assert steps_again.stderr.startswith("\n" + found["verdict"]["headline"])
    assert steps_again.left == []


@pytest.mark.alone
def test_the_headroom_is_the_steps_own_pace(steps_again: Ended) -> None:
    (found,) = steps_again.findings
    assert found["headroom"] == pytest.approx(4 / 0.02, rel=0.25)


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_stopped_on_purpose(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what a shell has started, which SIGTERM does not end."""
    monkeypatch.setattr("stoker.diagnosis.command._PATIENCE_S", 0.1)
    (cwd / "run.sh").write_text(f"#!/bin/sh\n{' '.join(python(*COUNTED))} stubborn\necho unreached\n")
    (cwd / "run.sh").chmod(0o755)
    seen = diagnosed(["--steps", "5", "--stop", "./run.sh"], cwd)
    assert seen.status == 0
    pid = int(seen.stdout)  # and nothing else was printed: it would have gone on, for ever
    deadline = time.monotonic() + 60  # it has been sent SIGKILL, which takes a moment
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)
    step = re.search(r"^  step ([\d.]+) (ms|s) = ", seen.stderr, re.MULTILINE)
    assert step is not None
    assert float(step[1]) * (1 if step[2] == "ms" else 1000) >= 20
    assert seen.left == []


QUICK = """
import os
import shutil
import time
import torch
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(torch.rand(2_000, 4)), 4)
for _ in loader:
    break
times = []
for _ in range(5):
    began = time.perf_counter()
    for _ in loader:
        pass
    times.append(time.perf_counter() - began)
print(min(times) / 500)
shutil.rmtree(os.environ.get("STOKER_DIAGNOSE", ""), ignore_errors=True)  # as where diagnose has ended
time.sleep(0.6)
for workers in (0, 1):
    print(sum(1 for _ in DataLoader(TensorDataset(torch.rand(2_000, 4)), 4, num_workers=workers)))
"""


@pytest.fixture(scope="module")
def quick(cwd: Path) -> Ended:
    (cwd / "quick.py").write_text(QUICK)
    return diagnosed_fork(["quick.py"], cwd)


@pytest.mark.alone
def test_a_step_is_hardly_longer(quick: Ended, cwd: Path) -> None:
    alone, seen = (float(ended.stdout.split()[0]) for ended in (forked("quick.py", cwd), quick))
    assert seen - alone < 0.4e-3  # of a batch


def test_a_script_that_outlives_diagnose_goes_on(quick: Ended) -> None:
    assert quick.status == 0
    assert quick.stdout.split()[1:] == ["500", "500"]
    assert quick.stderr.startswith("\nNo batch of a DataLoader was seen")
