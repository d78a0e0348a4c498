"""`stoker diagnose` on scripts of several processes, and on those that leave the loop to a framework."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from conftest import write_photos
from diagnose_runs import JSON, SCRIPTS, Ended, Running, start
from example_runs import needs

FRAMEWORKS = ("accelerate", "lightning")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """All scripts of this file at once: they take their time for imports."""
    photos = tmp_path_factory.mktemp("photos")
    write_photos(photos, 12)
    several = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    commands = {
        "processes": [str(SCRIPTS / "processes.py"), "dies"],
        "ranks": ["--headroom", *several, str(SCRIPTS / "ranks.py")],
    }
    if all(map(importlib.util.find_spec, FRAMEWORKS)):
        commands["frameworks"] = [str(SCRIPTS / "frameworks.py"), str(photos)]
    started = {
        name: start(["--json", JSON, *command], tmp_path_factory.mktemp(name))
        for name, command in commands.items()
    }
    yield started
    for run in started.values():
        run.kill()


@pytest.fixture(scope="module")
def processes(running: dict[str, Running]) -> Ended:
    return running["processes"].end()


def test_loaders_in_other_processes_give_the_same(processes: Ended) -> None:
    assert processes.stdout.splitlines() == [
        *("parent 100", "fork 20", "inherited 31", "fork 30", "0", "spawn 40", "0"),
        "DataLoader worker ",
    ]
    assert processes.left == []


def test_they_are_found(processes: Ended) -> None:
    found = {f["facts"]["dataset"]: f for f in processes.findings}
    by_size = {name.split()[1]: f for name, f in found.items()}
    assert set(by_size) == {"100", "20", "64", "30", "40", "50"}
    assert len({f["pid"] for f in found.values()}) == 4
    for size, batches in (("20", 10), ("30", 15), ("40", 20)):
        assert by_size[size]["stats"]["batches"] == batches
    assert by_size["64"]["stats"]["batches"] == 1  # what the fork did with its copy is not the parent's
    assert by_size["64"]["pid"] == by_size["100"]["pid"]


def test_a_process_that_is_killed_leaves_its_last_figures(processes: Ended) -> None:
    assert processes.status == processes.json["exit_status"] == 128 + 9
    sizes = {f["facts"]["dataset"].split()[1]: f for f in processes.findings}
    assert 1 <= sizes["100"]["stats"]["batches"] <= 50


def test_ranks_are_found_one_by_one(running: dict[str, Running]) -> None:
    seen = running["ranks"].end()
    assert (seen.status, seen.stdout) == (0, f"{sum(range(80))}\n"), seen.stderr
    assert [f["rank"] for f in seen.findings] == ["1", "0"]
    assert "rank 1 of 2 waits most for its data: " in seen.stderr
    assert {f["stats"]["batches"] for f in seen.findings} == {10}
    assert seen.stderr.count("--headroom is left out: the loop is one of 2 ranks") == 1


@needs(*FRAMEWORKS)
def test_frameworks_and_stokers_own_loaders(running: dict[str, Running]) -> None:
    seen = running["frameworks"].end()
    epoch = [list(range(i, i + 4)) for i in range(0, 12, 4)]
    assert seen.stdout.splitlines()[:3] == ["32", "18 DataLoaderShard", str(epoch * 2)], seen.stderr
    found = {(f["facts"]["dataset"].split()[1], f["stats"]["path"]): f["stats"] for f in seen.findings}
    assert found["64", "python"]["batches"] == 32
    assert found["72", "python"]["batches"] == 36
    assert found["12", "native"]["samples"] == 24
    assert found["16", "python"]["batches"] == 8
