"""What ``stoker diagnose`` brings into the Python processes of a run: Python imports it at its start.

It waits for torch's DataLoader to be imported, and meters it then. Nothing of torch is imported before the
script does, and a process that never does is left alone.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from typing import Any

_TARGET = "torch.utils.data.dataloader"


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the other finders find the module, and acts when it has been loaded."""

    _asked = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _TARGET or self._asked:
            return None
        self._asked = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asked = False
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            load(module)
            _meter(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _meter(module: Any) -> None:
    """Behind the import of torch itself, which is under way: when the first iterator is made."""
    import threading

    iterators = [module._BaseDataLoaderIter, module._MultiProcessingDataLoaderIter]
    torchs = [iterator.__init__ for iterator in iterators]
    lock = threading.RLock()

    def install_once() -> None:
        with lock:
            if not torchs:
                return
            for iterator, begin in zip(iterators, torchs):
                iterator.__init__ = begin
            torchs.clear()
            try:
                from stoker.diagnosis.inside import install

                install()
            except Exception as error:
                print(f"stoker diagnose: the loaders cannot be metered: {error}", file=sys.stderr)

    def first_of(iterator: Any) -> Any:
        def first(self: Any, *args: Any, **kwargs: Any) -> None:
            install_once()
            iterator.__init__(self, *args, **kwargs)

        return first

    for iterator in iterators:
        iterator.__init__ = first_of(iterator)


def _next_sitecustomize() -> None:
    """The one that this one hides, where there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    mine = sys.modules.pop("sitecustomize", None)
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if mine is not None:
            sys.modules["sitecustomize"] = mine


if os.environ.get("STOKER_DIAGNOSE"):
    sys.meta_path.insert(0, _Finder())
_next_sitecustomize()
