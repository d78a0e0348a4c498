"""One loader of a script under ``stoker diagnose``, and what is known of it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from torch.utils.data import IterDataPipe, MapDataPipe

from .. import _C
from ..dataloader import DataLoader as StokersLoader
from ..stats import Meter
from . import ranks, trial
from ._words import counted
from .headroom import Headroom
from .origin import origin
from .recording import Recording, write_whole
from .source_lines import source_lines
from .worker_files import WorkerProfiles

FIRST_WRITE_S, LONGEST_S = 1.0, 60.0  # recordings are written after 1, 2, 4 … s, for runs that are killed
_TURNS = 2  # batches of another loader in the same thread, between two of this one's: an epoch of its own


class RunLike(Protocol):
    """See stoker.diagnosis.inside.Run."""

    folder: Path
    steps: int
    headroom_s: float
    loaders: list[Metered]

    def write_profiles(self) -> None: ...

    def say_once(self, words: str) -> None: ...


class Metered:
    """A loader's clocks, which outlive it, and its file. It keeps no loader of torch's alive.

    The dataset it does keep, for trials at the end, until Run lets go of it.

    Attributes:
        tag: the process and this loader's number there.
        broken: nothing is measured any more: a fault of the meter's own, never the script's.
        iterator: the last one.
        profiles: where its workers' time went.
    """

    def __init__(self, loader: Any, meter: Meter, number: int, run: RunLike) -> None:
        self.meter = meter
        self.pid = os.getpid()
        self.tag = f"{self.pid}-{number}"
        self._number = number
        self.broken = self.final = False
        self.iterator: Callable[[], Any] = lambda: None
        self.thread = 0
        self.answers = 0  # batches handed over
        self.headroom = Headroom(run.headroom_s)
        self.loader = weakref.ref(loader)
        self.dataset = loader.dataset
        self.facts = facts_of(loader)
        self.key = key_of(loader)
        self._workers = int(loader.num_workers)
        self._ahead = self._workers * int(loader.prefetch_factor or 0)
        self._stokers = loader if isinstance(loader, StokersLoader) else None  # without its iterator: a twin
        self._run = run
        self._file = run.folder / f"loader-{self.tag}.json"
        self.profiles = WorkerProfiles(run.folder, self.tag)
        self._began = time.monotonic()
        self._next_s = FIRST_WRITE_S
        self._before: Recording | None = None  # what was measured before batches were handed out again
        self._others: dict[int, int] = {}  # the other loaders' answers at this one's last

    def asked(self) -> None:
        """The loop wants a batch."""
        self.thread = threading.get_ident()
        if self.answers and any(
            other.answers - self._others.get(id(other), 0) >= _TURNS  # 0: it has come since
            for other in self._run.loaders
            if other is not self and other.thread == self.thread
        ):
            # An iterator that never ends, and a validation between two batches of it.
            self.meter.epoch_begins()
        if self._stokers is None:
            self.meter.asked()

    def answered(self, data: Any) -> None:
        """It has its batch."""
        if self._stokers is None:
            self.meter.answered()
        self.answers += 1
        self._others = {id(other): other.answers for other in self._run.loaders}
        if self.final:
            return
        batches = self.meter.clock.batches
        self._keep_in_step()
        self._keep_for_headroom(data, batches)
        if self._run.steps and batches > self._run.steps:
            self.write(final=not self.headroom.wanted)
        elif self.answers == 1 or time.monotonic() - self._began >= self._next_s:
            if self.answers > 1:
                self._next_s += min(self._next_s, LONGEST_S)
            self.write(final=False)

    def ended(self) -> None:
        """There is no batch any more."""
        if self._stokers is None and not self.broken:
            try:
                self.meter.ended()
            except Exception as error:
                self.fail(error)

    def write(self, final: bool) -> None:
        """Writes the recording; ``final``: with trials, and for the last time."""
        if self.final:
            return
        self.final = final
        recording = self._before or self.recording(final)
        record = {"final": final, "pid": self.pid, "number": self._number, **ranks.facts()}
        write_whole(self._file, json.dumps({**record, "recording": recording.to_dict()}))
        self.meter.clock.begin_step()

    def recording(self, final: bool) -> Recording:
        self._run.write_profiles()
        seen, opened = self.profiles.read()
        profiled = {**asdict(seen), "source_lines": source_lines(seen.profile)}
        if self._stokers is not None:
            made: Recording = self._stokers.recording(trials=final)
            return replace(made, **profiled, facts={**self.facts, **made.facts})
        meter = self.meter
        stats, _ = meter.stats(_C.StatsSum(), "python", self._workers, "", ahead=self._ahead)
        variants = {}
        if final and self.dataset is not None and stats.samples and stats.usage.cpu_s > 0:
            variants = native_variant(self.dataset, opened, stats.usage.cpu_s / stats.samples)
        steps, readings = tuple(meter.clock.steps), tuple(meter.system.readings)
        return Recording(stats, steps, readings, self.facts, variants, **profiled)

    def again(self) -> tuple[Any] | None:
        """A batch that the loop has had before, as long as the headroom is being measured; else None."""
        run, headroom = self._run, self.headroom
        self._keep_in_step()
        if not run.steps or self.meter.clock.batches <= run.steps or not headroom.wanted:
            return None
        if self._before is None:
            self._before = self.recording(final=True)
            self.meter.clock.leave_out()
        batch = headroom.batch()
        if batch is None:
            stats = self._before.stats
            rate = headroom.batches_per_s * stats.samples / max(1, stats.batches)
            self._before = replace(self._before, headroom=rate)
            self.write(final=True)
            self.meter.clock.leave_out()
        return batch

    def _keep_for_headroom(self, data: Any, batches: int) -> None:
        try:
            if self.headroom.keep(data, self._run.steps - batches):
                self.meter.clock.begin_step()
        except Exception as error:  # the batch's own type's
            self.headroom.give_up()
            self._run.say_once(f"--headroom is left out: a batch cannot be copied ({error!r})")

    def _keep_in_step(self) -> None:
        """Ranks get no batch but their own: how many fit into some seconds, and whether they can be copied,
        differs from rank to rank, and one that takes more than the others waits for them for ever."""
        if not self.headroom.wanted or ranks.world_size() < 2:
            return
        self.headroom.give_up()
        self._run.say_once(
            f"--headroom is left out: the loop is one of {ranks.world_size()} ranks, which would wait for "
            "each other for ever, as they would not take equally many of such batches"
        )

    def goes_on_with(self, loader: Any) -> bool:
        """Whether a loader takes the place of this one: it is gone, and was made like that one."""
        if self.loader() is not None or self.iterator() is not None or self.key != key_of(loader):
            return False
        return self.dataset is loader.dataset or self.facts["dataset"] == facts_of(loader)["dataset"]

    def fail(self, error: Exception) -> None:
        """The meter has failed: the script shall not notice."""
        self.broken = True
        if self._run.folder.is_dir():  # else diagnose is gone, and who would read it
            print(f"stoker diagnose: a loader is not metered any more: {error!r}", file=sys.stderr)


def key_of(loader: Any) -> tuple[Any, ...]:
    """What two loaders have in common that do the same, one after the other."""
    kinds = (type(loader), type(loader.dataset), type(loader.sampler))
    return (*kinds, loader.num_workers, loader.batch_size)


def _own_pipe(dataset: Any) -> Any:
    """The script's own pipe, which torch's DataLoader has put into one of torch's."""
    return (
        getattr(dataset, "_datapipe", dataset)
        if isinstance(dataset, (IterDataPipe, MapDataPipe))
        else dataset
    )


def facts_of(loader: Any) -> dict[str, str]:
    """What a reader wants to know of a torch DataLoader."""
    dataset = loader.dataset
    try:
        size = f", {counted(len(dataset), 'sample')}"
    except Exception:  # it is the script's own code
        size = ""
    facts = {
        "loader": f"{type(loader).__module__}.{type(loader).__qualname__}",
        "dataset": f"{type(_own_pipe(dataset)).__name__}{size}",
        "workers": counted(loader.num_workers, "process", "processes"),
        "batch": str(loader.batch_size),
        "pin_memory": str(loader.pin_memory),
        "persistent_workers": str(loader.persistent_workers),
        **origin(),
    }
    if "OMP_NUM_THREADS" in os.environ:
        facts["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
    with contextlib.suppress(Exception):
        transform = getattr(dataset, "transform", None)
        if transform is not None:
            facts["transform"] = " ".join(repr(transform).split())
    return facts


def native_variant(dataset: Any, opened: list[str], cpu_s: float) -> dict[str, float]:
    """What an image would cost on the native path, as a share of ``cpu_s``: "native", where that can load
    the data set, else "images": those that it has opened, without transforms of its own."""
    try:
        source, key = trial.native_source(dataset, opened), "native"
        if source is None:
            source, key = trial.image_source(opened), "images"
    except Exception:  # its transform is none, say
        return {}
    if source is None:
        return {}
    cost = trial.native_cost_s(source)
    return {key: cost / cpu_s} if cost > 0 else {}
