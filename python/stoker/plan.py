"""``loader.plan()``: what a loader will do, part by part, before it does it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _C
from ._auto import AutoWorkers
from ._cpus import usable_cores
from ._hints import hint_for
from ._pipeline import Pipeline
from ._printable import printable
from ._shown import Shown
from ._sources import Leaf, Source
from ._words import counted
from .distributed import ShardSampler
from .index import estimate_savings

if TYPE_CHECKING:
    from .dataloader import DataLoader

# What processes, which "auto" had to choose, do not have.
_LOST = "threads, which need no copy of the dataset and no start; the decode index; augmentation that resumes"

# Samples that are looked at to say what the index covers, and files to say what it saves.
_SAMPLED, _ESTIMATED = 4096, 64


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """What runs where.

    Attributes:
        native: whether the C++ core loads the batches.
        reason: why not; "" where it does.
        parts: (name, what it does), in the order of a sample's way.
        inline: what the core runs nevertheless, inside torch's workers; "" where nothing.
        hint: the lines that would make the dataset native, where that can be told.
        index_coverage: share of samples that have an entry in the decode index, in [0, 1], by their
            names, from up to 4,096 of them; None without an index.
        index_saves: share of the entropy decoding that it saves these transforms, in [0, 1],
            estimated on up to 64 files; None where none of them has checkpoints.
    """

    native: bool
    reason: str
    parts: tuple[tuple[str, str], ...]
    index_coverage: float | None = None
    index_saves: float | None = None
    inline: str = ""
    hint: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = (
            "native"
            if self.native
            else f"Python (torch's own iteration), because\n  {printable(self.reason)}"
        )
        if self.inline:
            where += f"\n  → {printable(self.inline)}"
        width = max(11, *(len(name) + 1 for name, _ in self.parts)) if self.parts else 11
        parts = (f"  {name:<{width}} {printable(what)}" for name, what in self.parts)
        return "\n".join([f"Stoker plan: {where}", *parts, *map(printable, self.hint)])


def dataset_words(dataset: Any) -> str:
    """A dataset's kind, size and classes."""
    name = type(dataset).__name__
    root = getattr(dataset, "root", None)
    if isinstance(root, (str, os.PathLike)):
        name += f"({os.path.basename(os.path.normpath(root))})"
    try:
        words = f"{name}, {counted(len(dataset), 'sample')}"
    except (TypeError, NotImplementedError):
        return name
    classes = getattr(dataset, "classes", None)
    if not isinstance(classes, (list, tuple)):
        return words
    return f"{words}, {counted(len(classes), 'class', 'classes')}"


def _batch_bytes(loader: DataLoader[Any], plan: _C.SamplePlan) -> int:
    """Of one batch's images; 0 where the batch sampler decides how many there are."""
    size = plan.fixed_size
    if loader.batch_size is None or size is None:
        return 0
    return int(loader.batch_size) * plan.channels * size[0] * size[1] * (4 if plan.is_float else 1)


def _collate(loader: DataLoader[Any], plan: _C.SamplePlan) -> str:
    size = plan.fixed_size
    assert size is not None  # or the dataset were not native
    dtype = "float32" if plan.is_float else "uint8"
    batch = loader.batch_size
    shape = f"[{batch if batch is not None else 'batch'}, {plan.channels}, {size[0]}, {size[1]}]"
    pinned = ", pinned" if loader.pin_memory else ""
    memory = _batch_bytes(loader, plan)
    words = f", {memory / 1e6:,.1f} MB a batch" if memory else ""
    return f"{dtype} {shape}{pinned}{words}"


def _memory(loader: DataLoader[Any], plan: _C.SamplePlan, batches: int) -> str:
    memory = _batch_bytes(loader, plan)
    words = f"at most {counted(batches, 'batch', 'batches')} alive"
    if memory:
        # The promise that tests hold: 50 MB of workers' buffers, and the batches.
        words += f": {batches * memory / 1e6:,.0f} MB, and up to 50 MB of workers' buffers"
    return words


def _workers(loader: DataLoader[Any], what: str) -> str:
    cores = counted(usable_cores(), "core")
    if loader.num_workers == 0:
        why = getattr(loader.num_workers, "why", "")
        return "none: the training loop's own thread" + (f" (auto: {why})" if why else "")
    workers = counted(int(loader.num_workers), what, f"{what}es" if what.endswith("s") else "")
    if type(loader.num_workers) is int:
        return f"{workers}, of {cores} (as given)"
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    shared = f", shared by {local} processes" if local not in ("", "1") else ""
    return f"{workers}, of {cores} (auto{shared})"


def _ahead(batches: int) -> str:
    return f"{counted(batches, 'batch', 'batches')} ahead"


def _names(pipeline: Pipeline, begin: int, end: int | None = None) -> str:
    return " + ".join(step.name for step in pipeline.steps[begin:end]) or "none"


def _index_words(
    index: _C.DecodeIndex, table: _C.SampleTable, plan: _C.SamplePlan
) -> tuple[str, float, float | None]:
    covered, of = index.covered(table, _SAMPLED)
    coverage = covered / of if of else 0.0
    saves = estimate_savings(index, table, plan, _ESTIMATED) if covered else None
    good = [os.fsdecode(source["path"]) for source in index.sources() if source["good"]]
    words = f"covers {coverage:.0%} of the samples"
    if saves is not None:
        words += f", saves {saves:.0%} of their entropy decoding"
    if good:
        words += f" · {', '.join(good)}"
    if index.problem:
        words += f" · nothing is added to it: {index.problem}"
    elif index.recording and coverage < 1:
        words += " · the rest is added as it is read"
    return words, coverage, saves


def _inline(leaf: Leaf) -> str:
    """What runs natively inside torch's workers, in words."""
    pipeline = leaf.pipeline
    if not pipeline.reason:
        return "each sample is still read, decoded and transformed in C++, in its worker"
    native = pipeline.cut + len(pipeline.steps) - pipeline.tail
    what = "reading and decoding"
    if native:
        what = f"reading, decoding and {native} of its {counted(len(pipeline.steps), 'transform')}"
    return f"{what} still run in C++ inside each worker"


def _python_plan(loader: DataLoader[Any], source: Source | None, reason: str) -> Plan:
    parts = [("dataset", dataset_words(loader.dataset))]
    inline = ""
    if source is not None:
        leaf = next((leaf for leaf in source.leaves if leaf.pipeline.reason), source.leaves[0])
        inline = _inline(leaf)
        cut = leaf.pipeline.cut
        parts.append(("decode", f"in C++: JPEG: own decoder, {loader.pixels} pixels · {_OTHER_FORMATS}"))
        parts.append(("transform", f"in C++: {_names(leaf.pipeline, 0, cut)}"))
        if leaf.pipeline.rest:
            parts.append(("python", _names(leaf.pipeline, cut, leaf.pipeline.tail)))
        if leaf.pipeline.tail < len(leaf.pipeline.steps):
            parts.append(("then", f"in C++: {_names(leaf.pipeline, leaf.pipeline.tail)}"))
    parts.append(("collate", getattr(loader.collate_fn, "__name__", type(loader.collate_fn).__name__)))
    parts.append(("workers", _workers(loader, "process")))
    if loader.num_workers and isinstance(loader.num_workers, AutoWorkers):
        parts.append(("lost", _LOST))
    ahead = loader._batches_ahead
    parts.append(("memory", f"{_ahead(ahead)}, and the dataset once more in each process" if ahead else
                  "one batch at a time"))  # fmt: skip
    return Plan(False, reason, tuple(parts), inline=inline, hint=hint_for(loader.dataset, source))


_OTHER_FORMATS = "other formats: libpng, libwebp, libtiff"


def make_plan(
    loader: DataLoader[Any], source: Source | None, reason: str, index: _C.DecodeIndex | None
) -> Plan:
    """The plan of ``loader``; ``reason``: why it is not native, "" where it is."""
    if reason or source is None:
        return _python_plan(loader, source, reason)
    parts = [("dataset", dataset_words(loader.dataset))]
    plan = source.leaves[0].pipeline.plan()
    ahead = loader._batches_ahead
    parts.append(("read", f"files, {_ahead(ahead)}" if ahead else "files, one batch at a time"))
    scaled = ", reduced while decoding" if loader.dct_scaling else ""
    parts.append(("decode", f"JPEG: own decoder, {loader.pixels} pixels{scaled} · {_OTHER_FORMATS}"))
    coverage = saves = None
    if index is None or source.table is None:
        why = "" if source.table is not None else ": the dataset gives its samples one by one"
        parts.append(("index", f"none{why}"))
    else:
        words, coverage, saves = _index_words(index, source.table, plan)
        parts.append(("index", words))
    for n, leaf in enumerate(source.leaves):
        of = f" (part {n + 1} of {len(source.leaves)})" if len(source.leaves) > 1 else ""
        parts.append(("transform", f"{_names(leaf.pipeline, 0)}{of}"))
    parts.append(("collate", _collate(loader, plan)))
    parts.append(("workers", _workers(loader, "thread")))
    parts.append(("memory", _memory(loader, plan, max(1, ahead) + 2)))
    if loader.shard == "auto" and not isinstance(loader.sampler, ShardSampler):
        parts.append(("shard", 'all samples: shard="auto" leaves a given sampler as it is'))
    ignored = [
        name for name in ("worker_init_fn", "multiprocessing_context") if getattr(loader, name) is not None
    ]
    if ignored:
        parts.append(("ignored", f"{', '.join(ignored)}: the native path has no worker processes"))
    return Plan(True, "", tuple(parts), coverage, saves)
