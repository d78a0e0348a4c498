"""The check that the extension fits the torch that is running, and what belongs to the package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import stoker
from stoker._build import REBUILD, check_torch


def build_info(folder: Path, built_for: str) -> Path:
    path = folder / "_build_info.json"
    path.write_text(json.dumps({"torch": built_for, "source": "/src/stoker"}))
    return path


def test_the_right_torch_passes(tmp_path: Path) -> None:
    check_torch()
    check_torch(build_info(tmp_path, str(torch.__version__)))
    check_torch(build_info(tmp_path, "2.9.0+cu128"), running="2.9.0+cu128")


@pytest.mark.parametrize("running", ["2.9.1+cu128", "2.9.0", "2.9.0+cpu"])
def test_another_torch_is_refused_with_the_command_that_helps(tmp_path: Path, running: str) -> None:
    with pytest.raises(ImportError) as caught:
        check_torch(build_info(tmp_path, "2.9.0+cu128"), running)
    text = str(caught.value)
    assert "built for torch 2.9.0+cu128" in text
    assert f"this is torch {running}." in text
    assert text.endswith(f"{REBUILD} /src/stoker")
    assert REBUILD.startswith("pip install ")
    assert "--no-build-isolation" in REBUILD


def test_an_unbuilt_package_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="has not been built") as caught:
        check_torch(tmp_path / "_build_info.json")
    assert "pip install --no-build-isolation -e ." in str(caught.value)


def test_the_check_comes_before_the_extension_is_loaded(tmp_path: Path) -> None:
    # A package whose extension would fail, and a stand-in for torch: the check must speak first.
    package = Path(stoker.__file__).parent
    (tmp_path / "stoker").mkdir()
    for file in package.glob("*.py"):
        (tmp_path / "stoker" / file.name).write_bytes(file.read_bytes())
    build_info(tmp_path / "stoker", "0.0.0")
    (tmp_path / "stoker" / "_C.py").write_text("raise SystemExit('the extension was loaded')")
    (tmp_path / "torch.py").write_text("__version__ = '0.0.1'")
    done = subprocess.run(
        [sys.executable, "-c", "import stoker"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 1
    assert "stoker was built for torch 0.0.0, but this is torch 0.0.1. Rebuild it:" in done.stderr


def test_the_package() -> None:
    assert all(hasattr(stoker, name) for name in stoker.__all__)
    assert stoker._C.torch_version == str(torch.__version__).split("+")[0] or (
        stoker._C.torch_version == str(torch.__version__)
    )
    assert (Path(stoker.__file__).parent / "py.typed").exists()
    assert stoker._C.has_pinned_memory() == torch.accelerator.is_available()


# ---- what a build lacks --------------------------------------------------------------------------

SETUP = Path(__file__).resolve().parents[2] / "setup.py"
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
sys.argv = ["setup.py", "--version"]
runpy.run_path(sys.path[0] + "/setup.py", run_name="__main__")
"""


def test_a_build_without_cmake_names_the_packages(tmp_path: Path) -> None:
    command = [sys.executable, SETUP, "--version"]
    environment = {"PATH": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=SETUP.parent, env=environment, timeout=60
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    missing = "cmake, a C++ compiler, ninja or make are missing."
    assert lines[0] == f"stoker cannot be built here: {missing}"
    debian, fedora = (next(line for line in lines if system in line) for system in ("Debian", "Fedora"))
    for library in ("tbb", "jpeg", "png", "webp", "tiff"):
        assert f"lib{library}-dev" in debian
        assert re.search(rf"\b(lib)?{library}(-turbo)?-devel\b", fedora)
    assert "apt-get install g++ cmake" in debian
    assert "dnf install gcc-c++ cmake" in fedora
    assert "pip install --no-build-isolation ." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_build_without_torch_says_that_pip_may_hide_it(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(WITHOUT_TORCH.replace("sys.path[0]", repr(str(SETUP.parent))))
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py"], capture_output=True, text=True, cwd=SETUP.parent, timeout=60
    )
    assert done.returncode == 1
    assert re.match(r"stoker cannot be built here: torch\b.* (is|are) missing\.\n", done.stderr)
    assert "pip install torch" in done.stderr
    assert "pip does not hide torch from the build:\n  pip install --no-build-isolation ." in done.stderr
