"""How many CPU cores this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def affinity_cores() -> int:
    """Cores that the scheduler lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def control_groups(root: Path, self_file: Path) -> list[Path]:
    """The folders of the control groups, v1 or v2, whose limits on CPU time bind this process: its own
    and those around it, as far as they can be seen."""
    try:
        lines = self_file.read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base = root
        elif "cpu" in controllers.split(","):
            base = root / "cpu" if (root / "cpu").exists() else root / controllers
        else:
            continue
        folder = base / group.lstrip("/")
        for place in (folder, *folder.parents):
            folders.append(place)
            if place == base:
                break
    return folders


def cgroup_quota(root: Path = Path("/sys/fs/cgroup"), self_file: Path = Path("/proc/self/cgroup")) -> float:
    """CPUs that the process's control groups allow, v1 or v2; infinity where there is no limit.

    The limit of an outer group binds the inner ones, so the smallest on the way up counts.
    """
    return min(map(group_quota, control_groups(root, self_file)), default=math.inf)


def group_quota(folder: Path) -> float:
    """CPUs that one control group allows; infinity where it has no limit."""
    try:
        limit, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    if limit in ("max", "-1"):
        return math.inf
    return int(limit) / int(period)


def usable_cores() -> int:
    """min(affinity, cgroup quota), at least 1."""
    quota = cgroup_quota()
    cores = affinity_cores()
    return max(1, min(cores, math.floor(quota) if quota < cores else cores))


def ranks_here() -> int:
    """Processes of the same job on this machine, which share its cores: torchrun's LOCAL_WORLD_SIZE."""
    try:
        return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    except ValueError:
        return 1


def auto_workers() -> int:
    """Workers for ``num_workers="auto"``: this process's share of the machine's usable cores.

    Of the cores, divided among the LOCAL_WORLD_SIZE processes that torchrun starts, one is left to
    the training process (two of eight or more, none of one or two).
    """
    cores = max(1, usable_cores() // ranks_here())
    left = 0 if cores <= 2 else 1 if cores < 8 else 2
    return cores - left
