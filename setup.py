"""Builds the extension with CMake and packs it; all else is in pyproject.toml and CMakeLists.txt."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

try:
    import torch
except ImportError:  # not installed, or hidden by pip's isolated builds
    torch = None

ROOT = Path(__file__).resolve().parent

# What a build takes, beside torch. The README lists the same packages.
DEBIAN = (
    "g++ cmake ninja-build pkg-config python3-dev libtbb-dev libjpeg-dev libpng-dev libwebp-dev "
    "libtiff-dev libhwy-dev"
)
FEDORA = (
    "gcc-c++ cmake ninja-build pkgconf-pkg-config python3-devel tbb-devel libjpeg-turbo-devel libpng-devel "
    "libwebp-devel libtiff-devel highway-devel"
)


def missing():
    """What can be seen to be missing before CMake looks for libraries, in words."""
    compilers = [os.environ.get("CXX", "").split(" ")[0], "c++", "g++", "clang++"]
    found = {
        "torch": torch is not None,
        "cmake": shutil.which("cmake"),
        "a C++ compiler": any(name and shutil.which(name) for name in compilers),
        "ninja or make": shutil.which("ninja") or shutil.which("make"),
    }
    return [name for name, there in found.items() if not there]


def how_to_build(reason):
    """The reason, and what to install."""
    return (
        f"stoker cannot be built here: {reason}\n"
        f"  Debian, Ubuntu   sudo apt-get install {DEBIAN}\n"
        f"  Fedora           sudo dnf install {FEDORA}\n"
        "  Python           pip install torch\n"
        "Then, so that pip does not hide torch from the build:\n"
        "  pip install --no-build-isolation ."
    )


if lacking := missing():
    sys.exit(how_to_build(f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing."))


class CMakeBuild(build_ext):
    """Configures, builds and copies what belongs beside stoker/__init__.py."""

    def build_extension(self, ext):
        build = Path(os.environ.get("STOKER_BUILD_DIR", ROOT / "build" / "release"))
        # In an editable install setuptools copies the extension alone out of the build folder.
        in_tree = self.inplace or self.editable_mode
        target = ROOT / "python" / "stoker" if in_tree else Path(self.get_ext_fullpath(ext.name)).parent
        options = os.environ.get("STOKER_CMAKE_ARGS", "").split()
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = [
            "cmake", "-S", ROOT, "-B", build, *generator, "-DSTOKER_EXTENSION=ON",
            f"-DPython3_EXECUTABLE={sys.executable}", *options,
        ]  # fmt: skip
        if subprocess.run(configure, check=False).returncode:
            sys.exit(how_to_build("CMake has said above what it does not find."))
        subprocess.run(["cmake", "--build", build, "--parallel", "--target", "stoker_torch"], check=True)
        target.mkdir(parents=True, exist_ok=True)
        Path(self.get_ext_fullpath(ext.name)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(build / "lib" / "_C.so", self.get_ext_fullpath(ext.name))
        info = {"torch": str(torch.__version__), "source": str(ROOT)}
        (target / "_build_info.json").write_text(json.dumps(info))


class BuildPy(build_py):
    """Brings the demo's training script along, which lives in examples/."""

    def run(self):
        super().run()
        if not self.editable_mode:
            demo = Path(self.build_lib) / "stoker" / "demo"
            self.mkpath(str(demo))
            self.copy_file(str(ROOT / "examples" / "train.py"), str(demo / "train.py"))


setup(
    ext_modules=[Extension("stoker._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "build_py": BuildPy},
)
