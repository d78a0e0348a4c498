"""The demo: its photographs, its training script with either loader, and what it reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from stoker.demo import DemoError, run_demo
from stoker.demo.compare import Comparison, Measure, Result, train_script
from stoker.demo.measure import TreeUsage, run_and_watch
from stoker.demo.photos import demo_photos
from stoker.demo.picture import draw, headline

LOADER_KEYS = {
    "images_per_s",
    "cpu_s_per_image",
    "loader_cpu_s_per_image",
    "first_batch_s",
    "wait_share",
    "peak_memory_mb",
    "loss",
    "images",
    "epochs",
    "workers",
    "device",
}


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(folder.rglob("*.jpg"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_photos(48, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 JPEGs of 80 x 60 pixels in three classes."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for index in range(60):
        folder = root / f"class{index % 3}"
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return root


# ---- The photographs ----------------------------------------------------------------------------


def test_photos_are_like_imagenets(photos: Path) -> None:
    files = sorted(photos.rglob("*.jpg"))
    assert len(files) == 48
    assert len({file.parent for file in files}) == 8
    assert 80_000 < np.mean([file.stat().st_size for file in files]) < 140_000
    full_colour = 0
    for file in files:
        with Image.open(file) as image:
            assert sorted(image.size) in ([375, 500], [333, 500])
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            full_colour += JpegImagePlugin.get_sampling(image) == 0
            image.load()
    assert 0.55 < full_colour / len(files) < 0.95


def test_photos_are_the_same_every_time(photos: Path, tmp_path: Path) -> None:
    few = contents(demo_photos(8, tmp_path / "other"))
    many = contents(photos)
    assert len(few) == 8
    assert all(many[name] == data for name, data in few.items())


def test_photos_are_derived_once(photos: Path) -> None:
    def never(done: int, count: int) -> None:
        raise AssertionError("derived a second time")

    assert demo_photos(48, photos.parent, on_progress=never) == photos


def test_killed_run_leaves_no_half_set(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from stoker.demo.photos import demo_photos\n"
        "def stall(done, count):\n"
        "    print(done, flush=True); time.sleep(60)\n"
        "demo_photos(8, Path(sys.argv[1]), on_progress=stall)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".demo-photos-")

    folder = demo_photos(8, tmp_path)
    assert len(contents(folder)) == 8
    assert partial.exists()  # young: it might be another run's work
    two_hours_ago = time.time() - 7200
    os.utime(partial, (two_hours_ago, two_hours_ago))
    demo_photos(9, tmp_path)
    assert not partial.exists()


def test_failed_run_removes_its_temporary_folder(tmp_path: Path) -> None:
    def fail(done: int, count: int) -> None:
        raise DemoError("stop")

    with pytest.raises(DemoError, match="stop"):
        demo_photos(8, tmp_path, on_progress=fail)
    assert list(tmp_path.iterdir()) == []


# ---- The training script ------------------------------------------------------------------------


@pytest.mark.parametrize("loader", ["torch", "stoker", "cached"])
def test_training_script(loader: str, tiny_images: Path, tmp_path: Path) -> None:
    measured_file = tmp_path / "measured.json"
    command = [sys.executable, str(train_script()), "--data", str(tiny_images)]
    command += ["--loader", loader, "--batch-size", "16", "--epochs", "2", "--image-size", "64"]
    run = subprocess.run(
        [*command, "--json", str(measured_file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    measured = json.loads(measured_file.read_text())
    assert measured["loader"] == loader
    assert measured["images"] == 120
    assert 0 < measured["loss"] < 10
    assert 0 <= measured["wait_share"] <= 1
    wall_s = measured["ended_s"] - measured["began_s"]
    assert 0 < measured["first_batch_s"] < wall_s
    assert measured["images_per_s"] == pytest.approx(120 / wall_s)
    lines = run.stdout.splitlines()
    assert lines[0].startswith("epoch 1/2")
    assert lines[1].startswith("epoch 2/2")
    # The last word is the report's, with Stoker; the others have none.
    assert bool("\n".join(lines[2:]).strip()) == (loader == "stoker")


def test_training_script_names_a_folder_without_classes(tmp_path: Path) -> None:
    command = [sys.executable, str(train_script()), "--data", str(tmp_path), "--loader", "torch"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        f"train.py: {tmp_path} has no class folders with images (expected CLASS/NAME.jpg)"
    ]


# ---- The demo as a whole ------------------------------------------------------------------------


def test_demo_as_json(tiny_images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "demo.png"
    status = run_demo(tiny_images, workers=1, epochs=1, picture=picture, as_json=True)
    captured = capfd.readouterr()
    assert status == 0, captured.err
    result = json.loads(captured.out)
    assert set(result) == {"torch", "stoker", "step_cpu_s_per_image", "data", "picture"}
    for loader in ("torch", "stoker"):
        assert set(result[loader]) == LOADER_KEYS
        assert result[loader]["images"] == 60
        assert result[loader]["workers"] == 1
        assert result[loader]["peak_memory_mb"] > 50
    assert result["picture"] == str(picture)
    with Image.open(picture) as image:
        assert image.width > 1000


@pytest.mark.parametrize("as_json", [False, True])
def test_demo_names_an_empty_folder(as_json: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status = run_demo(tmp_path, None, 1, tmp_path / "demo.png", as_json)
    captured = capfd.readouterr()
    assert status == 1
    assert captured.out == ""
    assert captured.err == (
        f"stoker demo: {tmp_path} has no class folders with images (expected CLASS/NAME.jpg)\n"
    )


@pytest.mark.parametrize(
    ("workers", "epochs", "picture", "reason"),
    [
        (0, 1, "demo.png", "workers must be at least 1, not 0"),
        (None, 0, "demo.png", "epochs must be at least 1, not 0"),
        (None, 1, "demo.xyz", "the picture's name must end in"),
        (None, 1, "nowhere/demo.png", "the picture's folder does not exist"),
    ],
)
def test_demo_checks_its_arguments_first(
    workers: int | None,
    epochs: int,
    picture: str,
    reason: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_demo(tmp_path, workers, epochs, tmp_path / picture, as_json=False) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert reason in line


# ---- Measuring and showing ----------------------------------------------------------------------


def test_children_count_as_well() -> None:
    spin = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    began_s = time.monotonic()
    usage = run_and_watch([sys.executable, "-c", parent], dict(os.environ))
    assert usage.exit_status == 0
    assert 0.3 < usage.cpu_between(began_s, time.monotonic()) < 1.5
    assert usage.peak_memory_bytes > 5e6


def test_cpu_time_is_interpolated() -> None:
    usage = TreeUsage(0, [10.0, 11.0, 13.0], [0.0, 2.0, 3.0], 0)
    assert usage.cpu_between(10.5, 12.0) == pytest.approx(1.5)
    assert usage.cpu_between(0.0, 99.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("torch", "stoker", "verdict"),
    [
        (10.0, 25.0, "2.5 × more"),
        (25.0, 10.0, "2.5 × less"),
        (10.0, 10.2, "the same"),
        (1000.0, 1.0, "over 100 × less"),
        (5.0, 0.0, ""),
    ],
)
def test_verdict(torch: float, stoker: float, verdict: str) -> None:
    assert Measure("Peak memory", "MB", torch, stoker).verdict == verdict


def test_picture_says_the_result_in_words(tmp_path: Path) -> None:
    slow = Result(200.0, 9e-3, 0.6, 0.7, 600.0, 0.5, 3000, 3, 2, "cpu")
    fast = replace(slow, images_per_s=700.0, cpu_s_per_image=2e-3)
    expected = "Training runs 3.5 × as fast with Stoker; loading takes 8.0 × less CPU time"
    assert headline(Comparison(slow, fast, 1e-3)) == expected
    expected = "Training runs 3.5 × more slowly with Stoker; loading takes 8.0 × more CPU time"
    assert headline(Comparison(fast, slow, 1e-3)) == expected
    assert headline(Comparison(slow, slow, 20e-3)) == "Training runs just as fast with Stoker"
    draw(Comparison(slow, fast, 1e-3), tmp_path / "demo.svg")
    assert "Peak memory" in (tmp_path / "demo.svg").read_text()
