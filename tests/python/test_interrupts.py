"""What a signal's handler raises inside ``next()``, wherever it comes: the state counts a batch exactly when
``next`` has returned it, and the iterator goes on where it was, or says that it cannot."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos

import stoker
from stoker import DataLoader, ImageFolder
from stoker import transforms as T

SAMPLES, BATCH = 12, 2
PACKAGE = str(Path(stoker.__file__).parent)
TORCHS = torch_data.dataloader.__file__


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("interrupts")
    write_photos(root / "a", SAMPLES)
    return root


class InterruptError(Exception):
    pass


class Sources(torch_data.Dataset[Any]):
    """Whose bytes Python gives."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted((folder / "a").iterdir())
        self.transform = T.Resize((8, 8))

    def __len__(self) -> int:
        return len(self.files)

    def stoker_sample(self, index: int) -> tuple[bytes, int]:
        return self.files[index].read_bytes(), index


class Numbers(torch_data.Dataset[Any]):
    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(1), index


class Tabled(ImageFolder):
    """Whose targets are the samples' indices."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, T.Resize((8, 8)))
        self.paths = sorted((folder / "a").iterdir())


KINDS: dict[str, Callable[[Path], DataLoader[Any]]] = {
    "tabled": lambda folder: DataLoader(Tabled(folder), BATCH, shuffle=True, num_workers=2),
    "tabled, inline": lambda folder: DataLoader(Tabled(folder), BATCH, shuffle=True, num_workers=0),
    "sources": lambda folder: DataLoader(Sources(folder), BATCH, shuffle=True, num_workers=1),
    "python": lambda folder: DataLoader(Numbers(), BATCH, shuffle=True, num_workers=0),
    "python, skip": lambda folder: DataLoader(Numbers(), BATCH, shuffle=True, num_workers=0, on_error="skip"),
}


# Every so many lines here; each of them with STOKER_SWEEP=all (``make sweep``).
STEP = 1 if os.environ.get("STOKER_SWEEP") == "all" else 9


class Interrupter:
    """Raises a signal at the n-th line that the package and torch's loader run."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.where = ""

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and name != TORCHS:
            return None
        if event == "line":
            if self.left == 0:
                self.where = f"{name}:{frame.f_lineno}"
                self.left -= 1
                signal.raise_signal(signal.SIGUSR1)
            self.left -= 1
        return self


@pytest.fixture(params=[KeyboardInterrupt, InterruptError])
def handler_raises(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    def handler(_number: int, _frame: FrameType | None) -> None:
        raise request.param

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield request.param
    finally:
        signal.signal(signal.SIGUSR1, before)


def batches_of(iterator: Any) -> list[Any]:
    return [contents(batch) for batch in iterator]


def contents(batch: Any) -> Any:
    images, targets = batch
    return [round(float(image.float().sum()), 1) for image in images], targets.tolist()


def made(kind: str, folder: Path) -> DataLoader[Any]:
    torch.manual_seed(5)
    return KINDS[kind](folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_has_been_had_exactly_when_next_has_returned_it(
    kind: str, folder: Path, handler_raises: type[BaseException]
) -> None:
    wanted = batches_of(made(kind, folder))
    assert len({str(batch) for batch in wanted}) == SAMPLES // BATCH
    at = interrupted = 0
    while True:
        loader = made(kind, folder)
        iterator = iter(loader)
        had = [contents(next(iterator)), contents(next(iterator))]
        interrupter = Interrupter(at)
        sys.settrace(interrupter)
        try:
            batch = next(iterator)
        except handler_raises:
            interrupted += 1
        else:
            sys.settrace(None)
            had.append(contents(batch))
        finally:
            sys.settrace(None)
        assert loader.state_dict()["batches"] == len(had), interrupter.where
        state = loader.state_dict()
        if interrupter.where:
            try:
                assert had + batches_of(iterator) == wanted, interrupter.where
            except RuntimeError as e:  # the sampler was in the midst of a step
                if "interrupted" not in str(e):
                    raise
        other = made(kind, folder)
        other.load_state_dict(state)
        assert had + batches_of(other) == wanted, interrupter.where
        if not interrupter.where:
            break
        at += STEP
    assert interrupted > 20 // STEP


def test_what_the_handler_of_a_signal_raises_is_told_from_the_codes_own() -> None:
    from stoker._signals import is_interrupt

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise InterruptError

    def raised_by(function: Callable[[], None]) -> BaseException:
        try:
            function()
        except BaseException as e:
            return e
        raise AssertionError

    def fails() -> None:
        raise InterruptError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert is_interrupt(raised_by(lambda: signal.raise_signal(signal.SIGUSR1)))
        assert not is_interrupt(raised_by(fails))
        assert is_interrupt(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGUSR1, before)
