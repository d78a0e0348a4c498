"""What a loader's statistics say in a process that was forked from the loader's."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import RunScript
from forking import IN_CHILD

CODE = """
from stoker import DataLoader, ImageList, transforms as T
path, workers, *paths = sys.argv[1:]
transform = [T.CenterCrop(8), lambda image: image] if path == "python" else T.CenterCrop(8)
loader = DataLoader(ImageList(paths, range(len(paths)), transform), 4, num_workers=int(workers))
assert loader.native == (path == "native")
sum(1 for _ in loader)
before = loader.stats(since_last=True)
assert before.batches == len(loader) and before.samples == len(paths)

def child():
    for anew in (loader.stats(), loader.stats(since_last=True)):
        assert (anew.batches, anew.samples, anew.wait.count, anew.slowest) == (0, 0, 0, ()), anew
    sum(1 for _ in loader)
    for since_last in (False, True):
        own = loader.stats(since_last)
        assert (own.batches, own.samples) == (len(loader), len(paths)), own
        counts = {stage.count for name, stage in own.stages.items() if name != "collate"}
        assert counts == {len(paths)}, own.stages
        assert sum(own.queue) == (own.batches if path == "native" else 0)
    assert loader.stats(since_last=True).batches == 0
    loader.report()

in_child(child)
assert loader.stats(since_last=True).batches == 0
assert loader.stats().batches == len(loader)
"""


@pytest.mark.parametrize(("path", "workers"), [("native", 0), ("native", 2), ("python", 0), ("python", 2)])
def test_a_forks_statistics_are_its_own(
    run_script: RunScript, numbered: list[Path], path: str, workers: int
) -> None:
    finished = run_script(IN_CHILD + CODE, path, workers, *numbered)
    assert finished.returncode == 0, finished.stderr


def test_an_iterator_that_goes_on_in_a_fork_is_measured_there(run_script: RunScript) -> None:
    code = """
from stoker import DataLoader
loader = DataLoader(list(range(12)), 4, num_workers=0)
batches = iter(loader)
next(batches)

def child():
    left = len(list(batches))
    stats = loader.stats()
    assert left == stats.batches == stats.wait.count == 2 and stats.samples == 8, stats
    counts = {name: stage.count for name, stage in stats.stages.items()}
    assert counts == {"native": 8, "python": 8, "collate": 2}, counts
    assert stats.wait.total_s <= stats.system.elapsed_s < 10, stats

in_child(child)
assert len(list(batches)) == 2 and loader.stats().batches == 3
"""
    finished = run_script(IN_CHILD + code)
    assert finished.returncode == 0, finished.stderr
