"""What PyTorch documents of DataLoader holds on both paths: refused arguments, exceptions, timeouts."""

from __future__ import annotations

import contextlib
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from both_paths import Held, Mapped, Numbers, Sampled, drained, end_workers, refusal, targets_of
from conftest import RunScript, all_indices, indices, photo_like, plain

from stoker import DataLoader, ImageList
from stoker import transforms as T

N = Numbers()


# ---- arguments -----------------------------------------------------------------------------------

REFUSED: list[dict[str, Any]] = [
    {"num_workers": -1},
    {"timeout": -0.5},
    {"prefetch_factor": 2, "num_workers": 0},
    {"persistent_workers": True, "num_workers": 0},
    {"batch_size": 0},
    {"batch_size": -3},
    {"batch_size": 2.5},
    {"batch_size": True},
    {"batch_size": "8"},
    {"batch_size": 4, "drop_last": None},
    {"batch_size": None, "drop_last": True},
    {"shuffle": True, "sampler": range(40)},
    {"batch_sampler": [[1]], "batch_size": 2},
    {"batch_sampler": [[1]], "batch_size": None},
    {"batch_sampler": [[1]], "shuffle": True},
    {"batch_sampler": [[1]], "sampler": [1]},
    {"batch_sampler": [[1]], "drop_last": True},
    {"multiprocessing_context": "fork", "num_workers": 0},
    {"multiprocessing_context": "no such", "num_workers": 1},
    {"multiprocessing_context": 3, "num_workers": 1},
]


@pytest.mark.parametrize("arguments", REFUSED, ids=plain)
def test_arguments_are_refused_in_torchs_words(dataset: Any, arguments: dict[str, Any]) -> None:
    given = {"num_workers": 0, **arguments}
    expected = refusal(lambda: torch_data.DataLoader(N, **given))
    assert refusal(lambda: DataLoader(dataset, **given)) == expected


def test_a_negative_prefetch_factor_is_refused_as_by_torch(dataset: Any) -> None:
    for cls, of in ((torch_data.DataLoader, N), (DataLoader, dataset)):
        with pytest.raises(ValueError, match="prefetch_factor"):
            cls(of, num_workers=1, prefetch_factor=-1)


def test_without_workers_there_is_no_timeout_on_the_python_path() -> None:
    theirs, ours = (
        refusal(lambda cls=cls: iter(cls(N, num_workers=0, timeout=3)))
        for cls in (torch_data.DataLoader, DataLoader)
    )
    assert theirs == ours
    assert theirs[0] is AssertionError


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_empty_dataset(numbered: list[Path], shuffle: bool, workers: int) -> None:
    def of(cls: Any, dataset: Any) -> Any:
        loader = cls(dataset, 4, shuffle=shuffle, num_workers=workers)
        return len(loader), list(loader), list(loader)

    native = ImageList([], [], T.CenterCrop(8))
    if shuffle:
        expected = refusal(lambda: of(torch_data.DataLoader, Numbers(0)))
        assert refusal(lambda: of(DataLoader, native)) == expected
        assert refusal(lambda: of(DataLoader, Numbers(0))) == expected
    else:
        assert of(torch_data.DataLoader, Numbers(0)) == (0, [], [])
        assert of(DataLoader, native) == (0, [], [])
        assert of(DataLoader, Numbers(0)) == (0, [], [])
        assert of(DataLoader, Sampled([])) == (0, [], [])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_empty_subset(labelled: ImageList, workers: int) -> None:
    loader = DataLoader(torch_data.Subset(labelled, []), 4, num_workers=workers)
    assert (len(loader), list(loader)) == (0, [])


FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


@pytest.mark.parametrize("attribute", FIXED)
def test_attributes_that_are_fixed_once_the_loader_is_made(dataset: Any, attribute: str) -> None:
    theirs, ours = (
        refusal(lambda loader=loader: setattr(loader, attribute, getattr(loader, attribute)))
        for loader in (torch_data.DataLoader(N), DataLoader(dataset, num_workers=0))
    )
    assert ours == theirs


def test_attributes_that_may_be_set_count_from_the_next_epoch(dataset: Any) -> None:
    loader = DataLoader(dataset, 20, num_workers=2, timeout=20)
    assert indices(loader)[0][:2] == [0, 1]
    loader.collate_fn = lambda samples: [target for _, target in samples]
    loader.num_workers, loader.timeout = 1, 30
    assert list(loader) == [list(range(20)), list(range(20, 40))]
    loader.num_workers, loader.timeout = 0, 0
    assert list(loader) == [list(range(20)), list(range(20, 40))]


@pytest.mark.skipif(torch.accelerator.is_available(), reason="torch warns where there is no accelerator")
@pytest.mark.parametrize("options", [{}, {"pin_memory_device": "cuda"}], ids=plain)
def test_pinning_without_an_accelerator_warns_as_torch_does(dataset: Any, options: dict[str, Any]) -> None:
    def said(cls: Any, of: Any) -> list[tuple[type[Warning], str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            batches = list(cls(of, 20, num_workers=0, pin_memory=True, **options))
        assert not any(tensor.is_pinned() for batch in batches for tensor in batch)
        return [(warning.category, str(warning.message)) for warning in caught]

    expected = said(torch_data.DataLoader, N)
    assert len(expected) == 1 + len(options)
    assert said(DataLoader, dataset) == expected


def test_iterators_cannot_be_pickled(dataset: Any) -> None:
    for workers in (0, 1):
        iterator = iter(DataLoader(dataset, 20, num_workers=workers))
        with pytest.raises(NotImplementedError, match="cannot be pickled"):
            pickle.dumps(iterator)


# ---- exceptions ----------------------------------------------------------------------------------


class OddError(Exception):
    """Cannot be made from one string, as torch's workers make exceptions anew."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "lookup": lambda: LookupError("the user's words"),
    "key": lambda: KeyError("the user's words\non two lines"),
    "index": lambda: IndexError("the user's words"),
    "os": lambda: FileNotFoundError(2, "the user's words", "file"),
    "type": lambda: TypeError("the user's words"),
    "assertion": lambda: AssertionError("the user's words"),
    "stop": lambda: StopIteration("the user's words"),
    "odd": lambda: OddError(3, "the user's words"),
}


def raising_at_five(error: str) -> Callable[[int], Any]:
    def the_users_function(index: int) -> Any:
        if index == 5:
            raise ERRORS[error]()
        return index

    return the_users_function


def pairs(function: Callable[[int], Any]) -> Callable[[int], Any]:
    return lambda index: (torch.zeros(1), function(index))


def first_error(loader: Any) -> Exception:
    iterator = iter(loader)
    try:
        for _ in iterator:
            pass
    except Exception as e:
        if not loader.persistent_workers:
            end_workers(iterator)
        return e
    raise AssertionError("nothing was raised")


def usable(loader: Any) -> bool:
    """Whether its next epoch begins as the others."""
    return bool(targets_of(next(iter(loader))) == [0, 1])


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_what_a_python_dataset_raises_comes_as_from_torch(error: str, persistent: bool) -> None:
    dataset = Mapped(pairs(raising_at_five(error)))
    for workers in (2,) if persistent else (0, 2):
        options: dict[str, Any] = {"num_workers": workers, "persistent_workers": persistent}
        torchs, loader = (cls(dataset, 2, **options) for cls in (torch_data.DataLoader, DataLoader))
        expected = drained(iter(torchs))
        assert drained(iter(loader)) == expected
        assert usable(loader)
        if error != "stop":
            raised = first_error(loader)
            text = str(raised) + "".join(traceback.format_exception(raised))
            assert "the_users_function" in text
            assert "the user's words" in text
        end_workers(torchs._iterator)
        end_workers(loader._iterator)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [name for name in ERRORS if name != "stop"])
@pytest.mark.parametrize("place", ["stoker_sample", "target_transform"])
def test_what_a_function_of_the_user_raises_in_the_consumers_thread_is_unchanged(
    numbered: list[Path], place: str, error: str, workers: int
) -> None:
    function = raising_at_five(error)
    dataset: Any = Sampled(numbered[:12], function)
    if place == "target_transform":
        dataset = ImageList(numbered[:12], range(12), T.CenterCrop(8), function)
    loader = DataLoader(dataset, 2, num_workers=workers)
    assert loader.native
    raised = first_error(loader)
    assert type(raised) is type(ERRORS[error]())
    assert raised.args == ERRORS[error]().args
    assert traceback.extract_tb(raised.__traceback__)[-1].name == "the_users_function"
    assert usable(loader)


AFTER = [[0, 1], [2, 3], LookupError, [6, 7], [8, 9], [10, 11]]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", ["target_transform", "collate_fn", "stoker_sample"])
def test_an_exception_costs_its_own_batch_only(numbered: list[Path], place: str, workers: int) -> None:
    function = raising_at_five("lookup")
    dataset: Any = ImageList(numbered[:12], range(12), T.CenterCrop(8))
    collate = None
    if place == "stoker_sample":
        dataset = Sampled(numbered[:12], function)
    elif place == "target_transform":
        dataset.target_transform = function
    else:

        def collate(samples: list[Any]) -> Any:
            return 0, [function(target) for _, target in samples]

    for cls, path in ((torch_data.DataLoader, False), (DataLoader, True)):
        loader = cls(dataset, 2, num_workers=workers, collate_fn=collate)
        assert not path or loader.native
        assert drained(iter(loader)) == AFTER
        assert usable(loader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("wrong", [40, -41])
def test_an_index_out_of_range_costs_its_own_batch_only(
    labelled: ImageList, path: str, wrong: int, workers: int
) -> None:
    batches = [[0, 1], [2, wrong], [3], [4, 5]]
    for cls, dataset in ((torch_data.DataLoader, N), (DataLoader, labelled if path == "native" else N)):
        loader = cls(dataset, batch_sampler=batches, num_workers=workers)
        assert drained(iter(loader)) == [[0, 1], IndexError, [3], [4, 5]]
        assert usable(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_iteration_in_stoker_sample_ends_the_epoch_as_in_torch(
    numbered: list[Path], workers: int
) -> None:
    dataset = Sampled(numbered[:12], raising_at_five("stop"))
    for cls in (torch_data.DataLoader, DataLoader):
        assert drained(iter(cls(dataset, 2, num_workers=workers))) == [[0, 1], [2, 3]]


class Broken:
    def __len__(self) -> int:
        return 40

    def __iter__(self) -> Iterator[int]:
        yield from range(8)
        raise ValueError("the sampler broke")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_sampler_raises_comes_as_from_torch(workers: int) -> None:
    theirs, ours = (
        drained(iter(cls(N, 2, sampler=Broken(), num_workers=workers)))
        for cls in (torch_data.DataLoader, DataLoader)
    )
    assert ours == theirs
    assert ValueError in ours


def test_what_worker_init_fn_raises_comes_as_from_torch() -> None:
    def the_users_function(worker: int) -> None:
        raise LookupError(f"no place for worker {worker}")

    loader = DataLoader(N, 4, num_workers=1, worker_init_fn=the_users_function)
    with pytest.raises(LookupError, match=r"the_users_function(.|\n)*no place for worker 0"):
        next(iter(loader))


def test_a_worker_process_that_dies_is_told(run_script: RunScript) -> None:
    code = """
sys.path.insert(0, sys.argv[1])
from both_paths import Mapped, dies_at_five
loader = stoker.DataLoader(Mapped(dies_at_five), 2, num_workers=1, collate_fn=list)
try:
    list(loader)
except RuntimeError as e:
    assert "DataLoader worker" in str(e) and "exited unexpectedly" in str(e), e
else:
    raise AssertionError("nothing was raised")
fine = stoker.DataLoader(Mapped(dies_at_five), 2, sampler=range(4), num_workers=1, collate_fn=list)
assert list(fine) == [[0, 1], [2, 3]]
"""
    finished = run_script(code, Path(__file__).parent)
    assert (finished.returncode, finished.stderr) == (0, "")


# ---- timeouts ------------------------------------------------------------------------------------


def test_a_worker_process_that_takes_too_long() -> None:
    for cls in (torch_data.DataLoader, DataLoader):
        held = Held(3)
        iterator = iter(cls(Mapped(held), 2, num_workers=1, timeout=0.5))
        first = None
        while first is None:
            with contextlib.suppress(RuntimeError):  # a worker that has only just begun
                first = targets_of(next(iterator))
        with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.5 seconds") as caught:
            next(iterator)
        held.go.set()
        later = [result for result in drained(iterator) if result is not RuntimeError]
        assert [first, *later] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert "batch 1" in str(caught.value)
    assert "sample 2, sample 3" in str(caught.value)


def impatient(index: int) -> tuple[torch.Tensor, int]:
    if index == 5:
        raise ConnectionError("the server timed out after 3 seconds")
    return torch.zeros(1), index


def test_an_exception_that_speaks_of_a_timeout_is_the_users() -> None:
    expected = [[0, 1], [2, 3], ConnectionError, [6, 7], [8, 9], [10, 11]]
    for cls in (torch_data.DataLoader, DataLoader):
        assert drained(iter(cls(Mapped(impatient), 2, num_workers=1, timeout=20))) == expected


def test_after_a_timeout_the_batch_can_be_waited_for_again(numbered: list[Path], tmp_path: Path) -> None:
    slow = tmp_path / "slow.jpg"
    photo_like(100, 75).resize((4000, 3000)).save(slow, quality=95)
    dataset = ImageList([slow] * 12 + numbered[:4], range(16), T.Resize((16, 16)))
    loader = DataLoader(dataset, 12, num_workers=1, timeout=0.02, pixels="exact")
    iterator = iter(loader)
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.02 seconds") as caught:
        next(iterator)
    assert f"11 ({slow})" in str(caught.value) or "more" in str(caught.value)
    assert "batch 0" in str(caught.value)
    results = drained(iterator, limit=100_000)
    assert [r for r in results if r is not RuntimeError] == [list(range(12)), [12, 13, 14, 15]]
    loader.timeout = 30
    assert all_indices(loader) == list(range(16))
