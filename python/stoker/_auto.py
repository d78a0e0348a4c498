"""``num_workers="auto"``: threads on the native path; on the Python path processes, as many, where these can
serve the dataset."""

from __future__ import annotations

import io
import multiprocessing
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import torch
import torch.utils.data as torch_data

from ._cpus import auto_workers

_LOOKED_AT = 1000  # attributes and elements of a dataset, for tensors on a device


class AutoWorkers(int):
    """A worker count that was worked out for ``num_workers="auto"``.

    An int like any other; given to another DataLoader it stands for "auto" again.

    Attributes:
        why: why it is 0 on the Python path; "" elsewhere.
    """

    why = ""


def workers_for(native: bool, dataset: Any, context: Any, sent: tuple[Any, ...]) -> AutoWorkers:
    """The count for a loader. ``context``: its multiprocessing_context; ``sent``: what else goes to its
    processes (collate_fn, worker_init_fn)."""
    why = "" if native else _no_processes(dataset, context, sent)
    workers = AutoWorkers(0 if why else auto_workers())
    workers.why = why
    return workers


def _no_processes(dataset: Any, context: Any, sent: tuple[Any, ...]) -> str:
    """Why worker processes cannot serve a dataset; "" where they can."""
    if isinstance(dataset, torch_data.IterableDataset):
        return "each of several processes would give all that an iterable dataset has"
    if multiprocessing.current_process().daemon:
        return "this process is a worker itself and may have none"
    if _on_device(dataset):
        return "the dataset holds tensors on an accelerator"
    if isinstance(context, str) or context is None:
        context = multiprocessing.get_context(context)
    method = context.get_start_method()
    if method == "fork":
        return ""
    if not _may_be_imported_again():
        return f'the script has no if __name__ == "__main__", which start method "{method}" needs'
    try:
        for part in (dataset, *sent):
            ForkingPickler(_Nowhere(), -1).dump(part)
    except Exception as e:
        return f'start method "{method}" has to pickle the dataset, which fails: {type(e).__name__}: {e}'
    return ""


class _Nowhere(io.RawIOBase):
    """Takes what is written to it, and forgets it."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


def _may_be_imported_again() -> bool:
    """Whether the main module can be imported by a process that is not forked, and starts nothing there."""
    main: Any = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:
        return True
    try:
        return "__main__" in Path(main.__file__).read_text(errors="replace")
    except (AttributeError, OSError):  # typed in, or in a notebook: its classes cannot be found there
        return False


def _on_device(dataset: Any) -> bool:
    """Whether a dataset has tensors that a forked process cannot use, as far as a quick look tells."""
    to_look_at, looked_at = [dataset], 0
    while to_look_at and looked_at < _LOOKED_AT:
        thing = to_look_at.pop()
        looked_at += 1
        if isinstance(thing, torch.Tensor):
            if thing.device.type not in ("cpu", "meta"):
                return True
        elif isinstance(thing, (list, tuple)):
            to_look_at += thing[:10]
        elif isinstance(thing, dict):
            to_look_at += list(thing.values())[:10]
        elif isinstance(thing, torch_data.Dataset) and hasattr(thing, "__dict__"):
            to_look_at += list(vars(thing).values())
    return False
