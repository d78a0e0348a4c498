"""``loader.plan()``: what a loader will do, part by part, before it does it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _C
from ._cpus import usable_cores
from .datasets import ImageFolder, NativeDataset
from .index import estimate_savings
from .transforms import flatten

if TYPE_CHECKING:
    from .dataloader import DataLoader

# Samples that are looked at to say what the index covers, and files to say what it saves.
_SAMPLED, _ESTIMATED = 4096, 64


@dataclass(frozen=True)
class Plan:
    """What runs where.

    Attributes:
        native: whether the C++ core loads the batches.
        reason: why not; "" where it does.
        parts: (name, what it does), in the order of a sample's way.
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

    def __str__(self) -> str:
        where = "native" if self.native else f"Python (torch's own iteration), because\n  {self.reason}"
        width = max(11, *(len(name) + 1 for name, _ in self.parts)) if self.parts else 11
        return "\n".join(
            [f"Stoker plan: {where}", *(f"  {name:<{width}} {what}" for name, what in self.parts)]
        )


def _dataset(dataset: Any) -> str:
    if isinstance(dataset, ImageFolder):
        name = os.path.basename(os.path.normpath(dataset.root))
        return f"ImageFolder({name}), {len(dataset):,} samples, {len(dataset.classes):,} classes"
    try:
        return f"{type(dataset).__name__}, {len(dataset):,} samples"
    except TypeError:
        return type(dataset).__name__


def _collate(loader: DataLoader[Any], plan: _C.SamplePlan) -> str:
    size = plan.fixed_size
    assert size is not None  # or the dataset were not native
    height, width = size
    dtype, item = ("float32", 4) if plan.is_float else ("uint8", 1)
    batch = loader.batch_size
    shape = f"[{batch if batch is not None else 'batch'}, 3, {height}, {width}]"
    pinned = ", pinned" if loader.pin_memory else ""
    in_all = (loader.prefetch_factor or 2) + 2 if loader.num_workers > 0 else 3
    memory = f", {batch * 3 * height * width * item / 1e6:,.1f} MB a batch" if batch is not None else ""
    return f"{dtype} {shape}{pinned}{memory}, at most {in_all} alive"


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


def make_plan(loader: DataLoader[Any], reason: str, index: _C.DecodeIndex | None) -> Plan:
    """The plan of ``loader``; ``reason``: why it is not native, "" where it is."""
    dataset: Any = loader.dataset
    parts = [("dataset", _dataset(dataset))]
    if reason:
        return Plan(False, reason, tuple(parts))
    assert isinstance(dataset, NativeDataset)
    plan = dataset.sample_plan()
    prefetch = (loader.prefetch_factor or 2) if loader.num_workers > 0 else 1
    parts.append(("read", f"files, {prefetch} batches ahead"))
    scaled = ", reduced while decoding" if loader.dct_scaling else ""
    parts.append(("decode", f"JPEG: own decoder, {loader.pixels} pixels{scaled} · other formats: OpenCV"))
    coverage = saves = None
    if index is None:
        parts.append(("index", "none"))
    else:
        words, coverage, saves = _index_words(index, dataset._table, plan)
        parts.append(("index", words))
    names = " + ".join(type(t).__name__ for t in flatten(dataset.transform))
    parts.append(("transform", names or "none"))
    parts.append(("collate", _collate(loader, plan)))
    auto = " (auto)" if type(loader.num_workers) is not int else ""
    workers = f"{int(loader.num_workers)} of {usable_cores()} cores{auto}"
    parts.append(("workers", workers if loader.num_workers > 0 else "none: the training loop's own thread"))
    ignored = [
        name for name in ("worker_init_fn", "multiprocessing_context") if getattr(loader, name) is not None
    ]
    if ignored:
        parts.append(("ignored", f"{', '.join(ignored)}: the native path has no worker processes"))
    return Plan(True, "", tuple(parts), coverage, saves)
