"""The command line: figures, JSON, help and failures."""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RunScript
from PIL import Image

import stoker
from stoker import demo
from stoker._files import find_images
from stoker.bench import (
    ACCELERATORS,
    WORKLOADS,
    Accelerator,
    Emulation,
    _emulation_line,
    default_sweep,
    emulate_accelerators,
    run_bench,
    workload_transform,
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stoker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "deep" / "down"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (260, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    return folder.parents[1]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_bench_measures(images: Path, workload: str) -> None:
    seen: list[tuple[int, int]] = []
    result = run_bench(images, workload, workers=2, batch=5, epochs=2, on_batch=lambda *a: seen.append(a))
    assert result.images == 24
    assert seen[-1] == (36, 36)
    assert result.images_per_s > 0
    assert result.cpu_s_per_image > 0
    assert result.first_batch_s > 0
    assert result.peak_memory_mb >= result.torch_memory_mb > 0
    assert 0 < result.clock_share < 0.01  # the account costs at most 1 % of what it accounts for
    assert set(result.stage_s_per_image) == {"read", "decode", "transform"}
    # The stages are timed on the workers, the whole on the process: neither can be missing.
    assert sum(result.stage_s_per_image.values()) > 0


@pytest.mark.parametrize("clock", ["measure_span_ns", "measure_usage_ns"])
def test_another_program_makes_measuring_no_dearer(
    images: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    real, disturbed = getattr(stoker._C, clock), iter([1e9])
    monkeypatch.setattr(stoker._C, clock, lambda times: next(disturbed, 0.0) or real(times))
    assert 0 < run_bench(images, "W1", workers=1, batch=5, epochs=1).clock_share < 0.01


def test_workloads_differ() -> None:
    assert len({workload_transform(w) for w in WORKLOADS}) == len(WORKLOADS)
    with pytest.raises(ValueError, match="W9"):
        workload_transform("W9")


def test_bench_as_json(images: Path) -> None:
    done = run("bench", "--data", str(images), "--workers", "1", "--batch", "4", "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["workers"] == 1
    assert result["batch"] == 4
    assert result["images"] == 12
    assert result["environment"]["simd"] in stoker._C.simd_targets()


def test_bench_in_words(images: Path) -> None:
    done = run("bench", "--data", str(images), "--workload", "W3", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    for piece in (
        "W3, fast pixels, on 12 images",
        "images/s",
        "ms CPU per image",
        "first batch",
        "peak memory",
    ):
        assert piece in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["bench", "--data", "/nowhere"], "/nowhere is not a folder"),
        (["bench", "--data", "DIR", "--workload", "W9"], "unknown workload 'W9'"),
        (["bench", "--data", "DIR", "--batch", "0"], "batch and epochs must be at least 1"),
        (["bench", "--data", "DIR", "--pixels", "sharp"], "--pixels takes 'fast' or 'exact'"),
        (["bench", "--data", "DIR", "--sweep", "batch"], "--sweep takes 'workers'"),
        (["bench", "--data", "DIR", "--emulate", "abacus"], "unknown accelerator 'abacus'"),
        (["demo", "--data", "/nowhere"], "/nowhere"),
    ],
)
def test_failures_say_why_in_one_line(images: Path, arguments: list[str], reason: str) -> None:
    done = run(*[str(images) if a == "DIR" else a for a in arguments])
    assert done.returncode == 1
    assert done.stdout == ""
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_bench_sweeps_workers(images: Path) -> None:
    done = run(
        "bench", "--data", str(images), "--epochs", "1", "--sweep", "workers", "--pixels", "exact", "--json"
    )
    results = json.loads(done.stdout)["sweep"]
    assert [r["workers"] for r in results] == default_sweep()
    assert {r["pixels"] for r in results} == {"exact"}


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_a_sweep_doubles_up_to_all_cores(
    cores: int, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoker.bench.usable_cores", lambda: cores)
    assert default_sweep() == counts


def emulate(images: Path, step_s: float) -> Emulation:
    files = find_images(images)
    dataset = stoker.ImageList(files, [0] * len(files), workload_transform("W3"))
    accelerator = Accelerator("test", batch=4, step_s=step_s)
    return emulate_accelerators(accelerator, dataset, 1, "fast", images_per_s=40.0, seconds=0.5)


def test_the_h100_is_mlperfs() -> None:
    assert round(ACCELERATORS["h100"].images_per_s) == 1786


def test_a_slow_accelerator_is_kept_busy(images: Path) -> None:
    result = emulate(images, step_s=0.1)  # 40 images/s
    assert result.fed == pytest.approx(1.0)
    assert result.accelerators == 1
    assert 0.5 < result.utilisation <= 1.0  # close to 1 where nothing else runs
    assert result.passes == (result.utilisation >= 0.9)


def test_an_accelerator_faster_than_the_loader_waits(images: Path) -> None:
    result = emulate(images, step_s=1e-6)
    assert result.fed == pytest.approx(1e-5)
    assert result.utilisation < 0.5
    assert not result.passes


def test_several_accelerators_take_turns(images: Path) -> None:
    result = emulate(images, step_s=0.4)  # 10 images/s each: four are fed
    assert result.accelerators == 4
    assert result.utilisation > 0.5


def test_a_damaged_image_is_named(images: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    done = run("bench", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr


def test_env_and_version() -> None:
    facts = json.loads(run("env", "--json").stdout)
    assert facts["stoker"] == stoker.__version__
    assert facts["usable_cores"] >= 1
    assert facts["os"].endswith(f"{platform.system()} {platform.release()}")
    assert facts["cpu"]
    assert (facts["accelerator"] == "none") == (not torch.accelerator.is_available())
    assert re.fullmatch(r"\d+\..*|not installed", facts["torchvision"])
    assert run("--version").stdout.strip() == stoker.__version__


@pytest.mark.parametrize("command", ["demo", "bench", "env"])
def test_help(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert not re.search("<(bool|str|int|path)>", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["benhc"], 2, "No such command 'benhc'"),
        (["bench", "--batch", "many"], 2, "'--batch'"),
        (["bench", "--no-such-option"], 2, "--no-such-option"),
        (["index"], 2, "DIR"),
        (["index", "/nowhere"], 1, "stoker index: /nowhere is not a folder"),
        (["diagnose", "/nowhere.py"], 127, "/nowhere.py: no such file or program"),
        (["demo", "--picture", "/nowhere/a.png"], 1, "the picture's folder does not exist: /nowhere"),
    ],
)
def test_no_traceback_whatever_was_typed(arguments: list[str], status: int, reason: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


BROKEN = """
import stoker.bench, stoker.cli, sys
def broken():
    raise KINDS
stoker.cli.environment = broken
sys.argv = ["stoker", "env"]
stoker.cli.main()
"""


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("KeyboardInterrupt", 130, "stoker env: interrupted"),
        ("OSError('full')", 1, "stoker env: full"),
        ("TypeError('odd')", 1, "stoker env: TypeError: odd (with STOKER_TRACEBACK=1 it shows where)"),
    ],
)
def test_whatever_goes_wrong_is_one_line(run_script: RunScript, kind: str, status: int, line: str) -> None:
    done = run_script(BROKEN.replace("KINDS", kind))
    assert (done.returncode, done.stdout, done.stderr) == (status, "", line + "\n")


def test_a_reader_that_goes_away_is_no_error(run_script: RunScript) -> None:
    code = """
import stoker.cli, sys
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
sys.stdout = open(1, "w", closefd=False)
sys.argv = ["stoker", "env"]
stoker.cli.main()
"""
    done = run_script(code)
    assert done.returncode != 0
    assert done.stderr == ""


def test_an_option_of_diagnoses_behind_the_script_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys; print(sys.argv[1:])")
    script = str(tmp_path / "train.py")
    html = ["--html", str(tmp_path / "a.html")]
    done = run("diagnose", *html, script, "--steps", "20", "--lr=1")
    assert done.stdout == "['--steps', '20', '--lr=1']\n"
    assert f"it: stoker diagnose --steps … {script}\n" in done.stderr
    assert "behind the script" not in run("diagnose", *html, script, "--lr=1").stderr


def test_emulation_in_words() -> None:
    one = Emulation("h100", 400, 1, 0.3, False, 0.28)
    assert _emulation_line(one) == (
        "  an emulated H100 was busy 30% of the time, with batches of 400: too little"
        " (MLPerf Storage asks for 90%)\n"
        "  at its full speed the loader is fast enough for 0.28 H100"
    )
    assert "3 emulated H100 were busy 95% of the time, with batches of 400: enough" in _emulation_line(
        Emulation("h100", 400, 3, 0.95, True, 3.2)
    )


def test_the_demo_of_ones_own_photographs_needs_no_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "skimage" else real(name))
    demo._check_arguments(Path("photos"), 1, 1, Path("a.png"))
    with pytest.raises(demo.DemoError, match="pip install scikit-image"):
        demo._check_arguments(None, 1, 1, Path("a.png"))
