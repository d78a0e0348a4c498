"""Imports torchvision also where its compiled operators are missing, which transforms do not need.

torchvision registers meta kernels for its operators when it is imported, and fails where a build for
another torch has brought none along. Their names are defined then; none of them is ever called.
"""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import torch

_kept: list[torch.library.Library] = []


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
    source = (folder / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    _kept.append(library)
    for name in re.findall(r'(?:register_meta|register_fake)\("(?:torchvision::)?(\w+)"', source):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor x) -> Tensor")
