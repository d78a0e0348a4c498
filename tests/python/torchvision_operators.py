"""Imports torchvision also where its compiled operators are missing, which transforms do not need.

torchvision registers meta kernels for its operators when it is imported, and fails where a build for
another torch has brought none along. Their names are defined then; none of them is ever called.

    python tests/python/torchvision_operators.py

does so for every process of this environment, where torchvision cannot be imported otherwise: the Makefile
runs it, so that the examples, and what else imports torchvision, run there as they are.
"""

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

_kept: list[Any] = []


def define_operators() -> bool:
    """Make ``import torchvision`` work; False where it is not installed."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return False
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _define(Path(found.origin).parent)
        importlib.import_module("torchvision")
    return True


def _define(folder: Path) -> None:
    import torch

    source = (folder / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    _kept.append(library)
    for name in re.findall(r'(?:register_meta|register_fake)\("(?:torchvision::)?(\w+)"', source):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor x) -> Tensor")


class _Finder:
    """Finds nothing; but when torchvision is looked for, it defines the operators that its library lacks."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        found = importlib.util.find_spec("torchvision")
        if found is None or found.origin is None:
            return
        import torch

        folder = Path(found.origin).parent
        try:
            torch.ops.load_library(str(folder / "_C.so"))
        except OSError:
            _define(folder)


def watch() -> None:
    """Do so as soon as this process imports torchvision."""
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]


def install() -> None:
    """Do so in all processes of this environment, where it is needed."""
    if subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0:
        return
    folder = Path(sysconfig.get_paths()["purelib"])
    shutil.copyfile(__file__, folder / Path(__file__).name)
    name = Path(__file__).stem
    (folder / f"{name}.pth").write_text(f"import {name}; {name}.watch()\n")
    subprocess.run([sys.executable, "-c", "import torchvision"], check=True)


if __name__ == "__main__":
    install()
