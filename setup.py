"""Builds the extension with CMake and packs it; all else is in pyproject.toml and CMakeLists.txt."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


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
        subprocess.run(configure, check=True)
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
