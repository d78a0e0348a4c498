"""Whether this process is one of several ranks, which train together and wait for each other."""

from __future__ import annotations

import os
import sys

import torch.distributed

# As torchrun and its kin name them, Horovod, and two of MPI.
_SIZES = ("WORLD_SIZE", "HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_RANKS = ("RANK", "HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")

_RUN = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")


def world_size() -> int:
    """How many ranks there are, as far as the environment or torch.distributed knows now; 1: only this."""
    sizes = [os.environ[name] for name in _SIZES if name in os.environ]
    known = [int(size) for size in sizes if size.isdecimal()]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        known.append(torch.distributed.get_world_size())
    return max(known, default=1)


def rank() -> str:
    """This process's; "" where it has none."""
    known = [os.environ[name] for name in _RANKS if os.environ.get(name)]
    if not known and torch.distributed.is_available() and torch.distributed.is_initialized():
        known.append(str(torch.distributed.get_rank()))
    return known[0] if known else ""


def facts() -> dict[str, str | int]:
    """``rank``, ``world`` (how many there are), and ``run``: the same in all ranks that train together, and
    another where the script is run, or begins, again."""
    run = [sys.argv[0], *(os.environ.get(name, "") for name in _RUN)]
    return {"rank": rank(), "world": world_size(), "run": " ".join(run)}
