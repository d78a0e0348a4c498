"""Ends and beginnings: loops left early, exits, forks, signals, threads, memory.

Each test runs in a process of its own with a time limit, so that a hang is a failure, and the
process must say nothing on stdout and stderr but what the test wants.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunScript, photo_like
from forking import IN_CHILD

# What the scripts start with: `loader(...)` gives labels 0 ... 39, and images that take a moment.
PRELUDE = """
import gc, glob, os, signal, sys, threading, time
import torch
from stoker import DataLoader, ImageList, transforms as T
paths = sorted(glob.glob(sys.argv[1] + "/*.jpg"))
dataset = ImageList(paths, range(len(paths)), [T.RandomResizedCrop(64), T.ToDtype(torch.float32, True)])

def loader(batch_size=4, workers=3, **options):
    return DataLoader(dataset, batch_size, num_workers=workers, **options)

def labels(batches):
    return [label for _, targets in batches for label in targets.tolist()]

def threads():
    return len(os.listdir("/proc/self/task"))

everything = list(range(40))
"""


@pytest.fixture(scope="module")
def middling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 JPEGs of 320 x 240 pixels."""
    root = tmp_path_factory.mktemp("middling")
    for index in range(40):
        photo_like(60, 45, seed=index).resize((320, 240)).save(root / f"{index:02}.jpg")
    return root


def quiet(run_script: RunScript, code: str, *argv: Path, returncode: int = 0) -> None:
    finished = run_script(PRELUDE + code, *argv)
    assert (finished.returncode, finished.stdout, finished.stderr) == (returncode, "", "")


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, False), (8, False), (8, True)])
def test_leaving_the_loop_early(
    run_script: RunScript, middling: Path, workers: int, persistent: bool
) -> None:
    code = f"""
one = loader(workers={workers}, persistent_workers={persistent})
for stop in (0, 1, 3):
    for number, batch in enumerate(one):
        if number == stop:
            break
assert labels(one) == everything
try:
    for batch in one:
        raise LookupError
except LookupError:
    pass
assert labels(one) == everything
"""
    quiet(run_script, code, middling)


def test_dropping_iterators_and_loaders_in_flight(run_script: RunScript, middling: Path) -> None:
    code = """
for take in (0, 1, 2):
    one = loader(workers=8, prefetch_factor=6)
    iterator = iter(one)
    batches = [next(iterator) for _ in range(take)]
    del iterator
    assert labels(one) == everything
    iterator = iter(one)
    del one  # the iterator keeps what it needs
    assert labels(iterator) == everything
    one = loader(workers=8, prefetch_factor=6)
    iterator = iter(one)
    del one, iterator
    gc.collect()
"""
    quiet(run_script, code, middling)


def test_two_iterators_and_nested_loops(run_script: RunScript, middling: Path) -> None:
    code = """
one = loader(workers=2)
a, b = iter(one), iter(one)
first, second = [], []
for x, y in zip(a, b):
    first.append(x)
    second.append(y)
assert labels(first) == labels(second) == everything
count = 0
for outer in loader(batch_size=20, workers=2):
    for middle in one:
        assert labels(one) == everything
        count += len(middle[1])
assert count == 80
for outer in one:
    for inner in one:
        break
"""
    quiet(run_script, code, middling)


def test_batches_outlive_their_loader(run_script: RunScript, middling: Path) -> None:
    code = """
from stoker import decode
kept = []
for _ in range(3):
    one = loader(workers=4, prefetch_factor=3)
    torch.manual_seed(0)
    kept.append(list(one))
    del one
    gc.collect()
again = list(loader(workers=1))
for epoch in kept:
    assert labels(epoch) == everything
    assert all(torch.equal(a[0], b[0]) for a, b in zip(epoch, kept[0]))
assert len({x.data_ptr() for epoch in kept for x, _ in epoch}) == 30  # nobody shares memory
kept[0][0][0].zero_()
assert kept[1][0][0].any()
"""
    quiet(run_script, code, middling)


@pytest.mark.parametrize(("workers", "take"), [(0, 2), (1, 0), (8, 0), (8, 2)])
def test_the_interpreter_exits_in_mid_epoch(
    run_script: RunScript, middling: Path, workers: int, take: int
) -> None:
    code = f"""
one = loader(workers={workers})
iterator = iter(one)
kept = [next(iterator) for _ in range({take})]
other = iter(loader(workers={workers}))
cycle = [iter(one)]
cycle.append(cycle)
sys.modules["a place that is torn down late"] = iter(one)
"""
    quiet(run_script, code, middling)


def test_exits_by_exception_and_other_threads(run_script: RunScript, middling: Path) -> None:
    finished = run_script(PRELUDE + "for batch in loader(): raise SystemExit(7)", middling)
    assert (finished.returncode, finished.stdout, finished.stderr) == (7, "", "")
    finished = run_script(PRELUDE + "for batch in loader(): raise LookupError('mine')", middling)
    assert finished.returncode == 1
    assert finished.stderr.startswith("Traceback")
    assert finished.stderr.endswith("LookupError: mine\n")
    code = """
result = []
thread = threading.Thread(target=lambda: result.append(labels(loader())))
thread.start()
thread.join()
assert result == [everything]
"""
    quiet(run_script, code, middling)


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_during_next(run_script: RunScript, tmp_path: Path, workers: int) -> None:
    photo_like(100, 75).resize((3000, 2250)).save(tmp_path / "large.jpg")
    code = f"""
signal.signal(signal.SIGINT, signal.default_int_handler)
dataset = ImageList(paths * 1000, range(1000), T.CenterCrop(64))
one = iter(DataLoader(dataset, 1000, num_workers={workers}))
try:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    next(one)
except KeyboardInterrupt:
    begin = time.monotonic()
else:
    raise AssertionError("the whole batch came first")
del one
# What had been begun is given up: all of it would take minutes.
assert time.monotonic() - begin < 5
dataset = ImageList(paths, [3], T.CenterCrop(64))
assert [y.tolist() for _, y in DataLoader(dataset, num_workers={workers})] == [[3]]
"""
    quiet(run_script, code, tmp_path)


def test_ctrl_c_unhandled_ends_the_script(run_script: RunScript, middling: Path) -> None:
    code = """
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    for seconds in (0.3, 5, 5):  # Python ignores one that comes while an iterator is destroyed
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
one = loader()
while True:
    for batch in one:
        pass
"""
    finished = run_script(PRELUDE + code, middling)
    assert finished.returncode == -2
    assert finished.stderr.rstrip().endswith("KeyboardInterrupt")


FORK = (
    IN_CHILD
    + """
def refused(iterator):
    try:
        next(iterator)
    except RuntimeError as e:
        assert type(e) is RuntimeError and "fork" in str(e) and "parent" in str(e), repr(e)
    else:
        raise AssertionError("an inherited iterator gave a batch")
"""
)


@pytest.mark.parametrize(("workers", "take"), [(0, 1), (1, 0), (4, 1)])
def test_fork_in_mid_epoch(run_script: RunScript, middling: Path, workers: int, take: int) -> None:
    code = f"""
one = loader(workers={workers}, prefetch_factor={3 if workers else None})
iterator = iter(one)
taken = [next(iterator) for _ in range({take})]

def child():
    refused(iterator)
    refused(iterator)
    assert labels(one) == everything              # a new iterator of the inherited loader
    assert labels(loader(workers=3)) == everything    # a new loader
    assert labels(one) == everything
    one.stats(), one.report()

in_child(child)
in_child(child)
assert labels(taken + list(iterator)) == everything   # the parent's goes on
assert labels(one) == everything
in_child(lambda: labels(one) == everything or 1 / 0)  # between epochs
"""
    quiet(run_script, FORK + code, middling)


def test_a_forked_child_exits_as_a_script_does(run_script: RunScript, middling: Path) -> None:
    code = """
one = loader(prefetch_factor=4)
iterator = iter(one)
next(iterator)
pid = os.fork()
if pid == 0:
    assert labels(one) == everything
    half = iter(one)
    next(half)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
"""
    quiet(run_script, code, middling)


def test_torchs_worker_processes_after_native_loading(run_script: RunScript, middling: Path) -> None:
    code = """
iterator = iter(loader(workers=2))
next(iterator)
class Opaque(torch.utils.data.Dataset):
    def __len__(self): return len(dataset)
    def __getitem__(self, i): return dataset[i]
python = DataLoader(Opaque(), 4, num_workers=2)
assert not python.native
assert labels(python) == everything
assert sum(len(y) for _, y in iterator) == 36
"""
    quiet(run_script, code, middling)


def test_a_persistent_iterator_is_refused_in_a_child(run_script: RunScript, middling: Path) -> None:
    code = """
one = loader(persistent_workers=True)
next(iter(one))
in_child(lambda: refused(one._iterator))
assert labels(one) == everything
"""
    quiet(run_script, FORK + code, middling)


def test_a_loader_with_persistent_workers_works_in_a_child(run_script: RunScript, middling: Path) -> None:
    code = """
one = loader(persistent_workers=True)
assert labels(one) == everything
next(iter(one))
in_child(lambda: labels(one) == everything or 1 / 0)
"""
    quiet(run_script, FORK + code, middling)


def test_threads_and_memory_stay_flat(run_script: RunScript, middling: Path) -> None:
    code = """
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

start = threads()
one = loader(workers=4, prefetch_factor=3)
for epoch in range(25):
    for batch in one:
        pass
    if epoch % 3 == 0:
        next(iter(one))
        labels(loader(workers=2))
    if epoch == 4:
        before, memory = threads(), resident()
most = max(before, start + 4)  # threads are made when they are needed
assert threads() <= most, (before, threads())
assert before <= 4 + 2 + torch.get_num_threads(), before
assert resident() - memory < 25e6, resident() - memory
assert len(os.listdir("/proc/self/fd")) < 30
"""
    quiet(run_script, code, middling)


@pytest.mark.parametrize("prefetch", [1, 6])
def test_peak_memory(middling: Path, prefetch: int) -> None:
    # In a process that was not forked, whose memory is its own. 64 images of 224 x 224: 38.5 MB.
    code = f"""
import resource, sys, torch
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
import glob
from stoker import DataLoader, ImageList, transforms as T
count = 64 * {prefetch + 5}
paths = (sorted(glob.glob(sys.argv[1] + "/*.jpg")) * 20)[:count]
dataset = ImageList(paths, range(count), [T.RandomResizedCrop(224), T.ToDtype(torch.float32, True)])
one = DataLoader(dataset, 64, num_workers=4, prefetch_factor={prefetch})
for x, y in one:
    size = x.nbytes
del x
for x, y in one:
    break
more = peak() - before
assert more <= 50e6 + {prefetch + 2} * size, (more / 1e6, size / 1e6)
"""
    done = subprocess.run([sys.executable, "-c", code, middling], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
