"""How many workers "auto" means: affinity, quotas from fake trees of control groups, local ranks."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from stoker import _cpus
from stoker._cpus import affinity_cores, auto_workers, cgroup_quota, usable_cores


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def quota(tmp_path: Path, membership: str, files: dict[str, str]) -> float:
    root, self_file = tmp_path / "cgroup", tmp_path / "self"
    root.mkdir()
    self_file.write_text(membership)
    write(root, files)
    # Outside of the tree, and no limit of this process.
    write(tmp_path, {"cpu.max": "1000 100000", "cpu.cfs_quota_us": "1000", "cpu.cfs_period_us": "100000"})
    return cgroup_quota(root, self_file)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"pods/cpu.max": "400000 100000\n"}, 4),
        ({"pods/one/cpu.max": "50000 25000\n"}, 2),
        ({"pods/one/cpu.max": "max 100000\n", "pods/cpu.max": "300000 100000\n"}, 3),
        ({"pods/one/cpu.max": "800000 100000\n", "pods/cpu.max": "300000 100000\n"}, 3),
        ({"pods/one/cpu.max": "200000 100000\n", "pods/cpu.max": "300000 100000\n"}, 2),
        ({"pods/two/cpu.max": "100000 100000\n"}, math.inf),  # somebody else's
        ({"pods/one/cpu.max": ""}, math.inf),
    ],
)
def test_quota_of_version_2(tmp_path: Path, files: dict[str, str], expected: float) -> None:
    assert quota(tmp_path, "0::/pods/one\n", files) == expected


def test_quota_of_version_2_at_the_root(tmp_path: Path) -> None:
    # As a container sees it: its own group is the root of the tree.
    assert quota(tmp_path, "0::/\n", {"cpu.max": "250000 100000\n"}) == 2.5


V1 = "12:cpuset:/x\n5:cpu,cpuacct:/docker/abc\n4:cpuacct:/y\n1:name=systemd:/docker/abc\n0::/docker/abc\n"


@pytest.mark.parametrize("base", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [(None, None, math.inf), (-1, -1, math.inf), (350000, -1, 3.5), (-1, 200000, 2), (350000, 200000, 2)],
)
def test_quota_of_version_1(
    tmp_path: Path, base: str, inner: int | None, outer: int | None, expected: float
) -> None:
    files = {}
    for folder, limit in ((f"{base}/docker/abc", inner), (f"{base}/docker", outer)):
        if limit is not None:
            files[f"{folder}/cpu.cfs_quota_us"] = f"{limit}\n"
            files[f"{folder}/cpu.cfs_period_us"] = "100000\n"
    assert quota(tmp_path, V1, files) == expected


def test_quota_of_version_1_where_the_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert quota(tmp_path, V1, files) == 2


def test_no_control_groups(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, tmp_path / "missing") == math.inf


def test_affinity() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert affinity_cores() == 1
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert affinity_cores() == len(before)


@pytest.mark.parametrize(
    ("cores", "limit", "expected"),
    [(8, math.inf, 8), (8, 3.9, 3), (8, 0.5, 1), (2, 16.0, 2), (8, 8.5, 8)],
)
def test_usable_cores(monkeypatch: pytest.MonkeyPatch, cores: int, limit: float, expected: int) -> None:
    monkeypatch.setattr(_cpus, "affinity_cores", lambda: cores)
    monkeypatch.setattr(_cpus, "cgroup_quota", lambda: limit)
    assert usable_cores() == expected


@pytest.mark.parametrize(
    ("cores", "local_world_size", "expected"),
    [
        (1, None, 1),
        (2, None, 2),
        (3, None, 2),
        (7, None, 6),
        (8, None, 6),
        (64, None, 62),
        (64, "8", 6),
        (64, "1", 62),
        (16, "4", 3),
        (8, "8", 1),
        (4, "8", 1),
        (8, "0", 6),
        (8, "many", 6),
        (8, "", 6),
    ],
)
def test_auto_workers(
    monkeypatch: pytest.MonkeyPatch, cores: int, local_world_size: str | None, expected: int
) -> None:
    monkeypatch.setattr(_cpus, "usable_cores", lambda: cores)
    if local_world_size is None:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local_world_size)
    assert auto_workers() == expected
