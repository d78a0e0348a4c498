"""What the core can load of a dataset: where each sample's bytes are, and what is done to them."""

from __future__ import annotations

import os
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.data as torch_data

from . import _C, _pillow, _torchvision
from ._arguments import encoded, pixel_count, sample_index, sample_problem
from ._pipeline import Pipeline, Runner, make_pipeline
from .datasets import MAX_PIXELS, ImageFolder, NativeDataset
from .errors import DataError
from .transforms import Transform
from .transforms._base import flatten

Fetched = tuple[bytes, bytes | None]
"""A sample's file, or a name for it and its bytes."""


@dataclass(frozen=True)
class Leaf:
    """One dataset that holds samples itself.

    Attributes:
        table: its samples; None where it gives them one by one (``stoker_sample``).
        ours: whether images are read by Stoker's own rules (turned upright, gray of 16 bits by its upper
            eight), and not by those of Pillow's ``convert("RGB")``.
    """

    dataset: Any
    pipeline: Pipeline
    target_transform: Callable[[Any], Any] | None
    table: _C.SampleTable | None
    max_pixels: int
    ours: bool

    def __len__(self) -> int:
        return len(self.dataset) if self.table is None else len(self.table)

    def prepare(self, plan: _C.SamplePlan) -> None:
        """Set what a plan has beside the transforms."""
        plan.max_pixels = self.max_pixels
        plan.apply_exif_orientation = self.ours
        plan.clip_gray16 = not self.ours

    def fetch(self, index: int) -> tuple[Fetched, Any]:
        """Where sample ``index`` is, and its target before ``target_transform``."""
        if self.table is not None:
            return (self.table.path(index), None), self.table.label(index)
        given = self.dataset.stoker_sample(index)
        if isinstance(given, (tuple, list)) and len(given) == 2:
            where, target = given
            if isinstance(where, (bytes, bytearray, memoryview)):
                return (f"bytes of sample {index}".encode(), bytes(where)), target
            if isinstance(where, (str, os.PathLike)):
                return (encoded(where), None), target
        what = [type(part).__name__ for part in given] if isinstance(given, (tuple, list)) else given
        raise TypeError(
            f"stoker_sample({index}) of {type(self.dataset).__name__} must return (path or bytes, target), "
            f"and it returned {what!r}"
        )

    def has_a_loader_of_its_own(self, error: DataError) -> bool:
        """Whether the dataset might read by itself (with Pillow) what the core could not decode."""
        other = self.table is not None and not isinstance(self.dataset, NativeDataset)
        return other and error.stage == "decode"

    def neither_can_read(self, error: DataError, its_error: Exception) -> None:
        """The dataset's own loader has raised as well. The core's error says more, but for a limit, which is
        Pillow's."""
        if _pillow.is_about_size(its_error):
            error.args = (*error.args[:3], f"{type(its_error).__name__}: {its_error}")
            error.reason = error.args[3]

    def target(self, target: Any) -> Any:
        return target if self.target_transform is None else self.target_transform(target)


class Source:
    """A dataset as the core sees it: leaves, one behind the other, and which row sample i is.

    Attributes:
        leaves, firsts: the leaves, and the row that each begins at.
        rows: int64, the row of each sample; None: sample i is row i.
        reason: why the core cannot load whole batches of it; "" where it can.
    """

    def __init__(self, leaves: list[Leaf], rows: torch.Tensor | None) -> None:
        self.leaves = leaves
        self.firsts = []
        total = 0
        for leaf in leaves:
            self.firsts.append(total)
            total += len(leaf)
        self.rows = rows
        self.size = total if rows is None else len(rows)
        self.tabled = all(leaf.table is not None for leaf in leaves)
        self.table = self._merged() if self.tabled else None
        self._runners: dict[int, Runner] = {}
        self.reason = self._problem()

    def _merged(self) -> _C.SampleTable:
        tables = [leaf.table for leaf in self.leaves if leaf.table is not None]
        if len(tables) == 1:
            return tables[0]
        merged = _C.SampleTable(_common([table.root for table in tables]))
        for table in tables:
            merged.append_all(table)
        merged.shrink_to_fit()
        return merged

    def _problem(self) -> str:
        for leaf in self.leaves:
            if leaf.pipeline.reason:
                return leaf.pipeline.reason
        sizes = {leaf.pipeline.plan().fixed_size for leaf in self.leaves}
        if None in sizes:
            return "its transforms leave images of different sizes (add a crop, or Resize((height, width)))"
        kinds = {(p.is_float, p.channels) for p in (leaf.pipeline.plan() for leaf in self.leaves)}
        if len(sizes) > 1 or len(kinds) > 1:
            return "its parts have transforms that leave images of different shapes or types"
        if not self.tabled and len({_leaf_key(leaf) for leaf in self.leaves}) > 1:
            return "its parts have different transforms, and some of them give their samples one by one"
        return ""

    def key(self) -> Any:
        """Equal keys mean that a core made for one source can serve the other."""
        return (
            tuple((_leaf_key(leaf), leaf.table) for leaf in self.leaves),
            self.size,
            None if self.rows is None else hash(self.rows.numpy().tobytes()),
        )

    def sample_set(self, prepare: Callable[[_C.SamplePlan], None], channels_last: bool) -> _C.SampleSet:
        """What a core is made from; ``prepare`` sets what a plan takes from the loader."""
        parts: list[tuple[int, _C.SamplePlan]] = []
        before = None
        for first, leaf in zip(self.firsts, self.leaves):
            key = _leaf_key(leaf)
            if parts and key == before:
                continue  # one part with its neighbour: each costs every worker a decoder and its buffers
            before = key
            plan = leaf.pipeline.plan(channels_last)
            leaf.prepare(plan)
            prepare(plan)
            parts.append((first, plan))
        if self.table is None:
            return _C.SampleSet(None, parts[:1], None, self.size)
        return _C.SampleSet(self.table, parts, self.rows, self.size)

    def locate(self, index: int) -> tuple[Leaf, int]:
        """The leaf that sample ``index`` is in, and its index there."""
        index = sample_index(index, self.size)
        row = index if self.rows is None else int(self.rows[index])
        at = bisect_right(self.firsts, row) - 1
        return self.leaves[at], row - self.firsts[at]

    def fetch(self, index: int) -> tuple[Fetched, Any]:
        """Where sample ``index`` is, and its target."""
        leaf, local = self.locate(index)
        where, target = leaf.fetch(local)
        return where, leaf.target(target)

    @property
    def transforms_targets(self) -> bool:
        """Whether a label of the table is not the target yet."""
        return any(leaf.target_transform is not None for leaf in self.leaves)

    def target(self, index: int, label: int) -> Any:
        """The target that a label of the table stands for."""
        return self.locate(index)[0].target(label)

    def load(self, index: int, exact: bool) -> tuple[Any, Any]:
        """One sample, as ``dataset[index]`` gives it: its native part by the core, in this thread."""
        leaf, local = self.locate(index)
        (name, data), target = leaf.fetch(local)
        runner = self._runner(leaf, exact)
        seed = runner.seed()
        began = time.perf_counter_ns()
        try:
            if data is not None:
                image = runner.decoder().from_bytes(data, seed)
            elif leaf.table is not None:
                image = runner.decoder().from_table(leaf.table, local, seed)
            else:
                image = runner.decoder().from_file(name, seed)
        except DataError as e:
            if not leaf.has_a_loader_of_its_own(e):
                raise
            try:
                sample, its_target = leaf.dataset[local]
            except Exception as its_error:
                leaf.neither_can_read(e, its_error)
                raise e from None
            return sample, its_target
        finally:
            _C.add_native_span(time.perf_counter_ns() - began)
        return runner.finish(image), leaf.target(target)

    def _runner(self, leaf: Leaf, exact: bool) -> Runner:
        runner = self._runners.get(id(leaf))
        if runner is None:

            def prepare(plan: _C.SamplePlan) -> None:
                leaf.prepare(plan)
                plan.exact_pixels = exact

            runner = self._runners[id(leaf)] = Runner(leaf.pipeline, prepare)
        return runner

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runners": {}}


def _leaf_key(leaf: Leaf) -> Any:
    return leaf.pipeline.native, leaf.max_pixels, leaf.ours


def _common(roots: list[bytes]) -> bytes:
    try:
        return os.path.commonpath([root for root in roots if root] or [b""])
    except ValueError:  # one is absolute, another is not
        return b""


def resolve(dataset: Any) -> tuple[Source | None, str]:
    """What the core can load of ``dataset``, and why not all of it; "" where it can load batches.

    No source: it does not know where the samples are.
    """
    try:
        leaves, rows = _walk(dataset)
    except _UnknownError as e:
        return None, str(e)
    source = Source(leaves, rows)
    return source, source.reason


class _UnknownError(Exception):
    """Why a dataset's samples cannot be found."""


def _walk(dataset: Any) -> tuple[list[Leaf], torch.Tensor | None]:
    kind = type(dataset)
    if kind is torch_data.Subset:
        leaves, rows = _walk(dataset.dataset)
        size = sum(map(len, leaves)) if rows is None else len(rows)
        try:
            indices = torch.as_tensor(dataset.indices, device="cpu")
        except (TypeError, ValueError, RuntimeError) as e:
            raise _UnknownError(f"Subset: its indices are no ints ({e})") from None
        if indices.numel() == 0:
            indices = torch.empty(0, dtype=torch.int64, device="cpu")
        if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
            raise _UnknownError("Subset: its indices are no list of ints")
        indices = indices.to(torch.int64)
        if len(indices) and (int(indices.min()) < -size or int(indices.max()) >= size):
            raise _UnknownError("Subset: an index is not in its dataset")
        indices = torch.where(indices < 0, indices + size, indices)
        return leaves, indices if rows is None else rows[indices]
    if kind is torch_data.ConcatDataset:
        return _concatenated([_walk(part) for part in dataset.datasets], dataset.cumulative_sizes)
    return [_leaf(dataset)], None


def _concatenated(
    parts: list[tuple[list[Leaf], torch.Tensor | None]], ends: list[int]
) -> tuple[list[Leaf], torch.Tensor | None]:
    leaves: list[Leaf] = []
    all_rows = []
    first = begin = 0
    plain = True
    for (part, rows), end in zip(parts, ends):
        size = sum(map(len, part))
        mine = torch.arange(size, device="cpu") if rows is None else rows
        counted = end - begin  # when they were put together, which is what torch goes by
        if len(mine) < counted:
            raise _UnknownError("ConcatDataset: one of its parts has become smaller")
        plain = plain and rows is None and len(mine) == counted
        all_rows.append(mine[:counted] + first)
        leaves += part
        first, begin = first + size, end
    return leaves, None if plain else torch.cat(all_rows)


def _offers_samples(kind: type) -> bool:
    """Whether a class has ``stoker_sample``, and nothing below it that reads samples otherwise."""
    offer = getattr(kind, "stoker_sample", None)
    if not callable(offer) or getattr(offer, "__isabstractmethod__", False) or not hasattr(kind, "__len__"):
        return False
    defines = {name: i for i, c in reversed(list(enumerate(kind.__mro__))) for name in vars(c)}
    offered = defines["stoker_sample"]
    return all(defines.get(name, offered) >= offered for name in ("__getitem__", "__getitems__"))


def _leaf(dataset: Any) -> Leaf:
    kind = type(dataset)
    if isinstance(dataset, NativeDataset):
        base = ImageFolder if isinstance(dataset, ImageFolder) else NativeDataset
        for method in ("__getitem__", "__getitems__", "sample_plan", "_target"):
            if getattr(kind, method, None) is not getattr(base, method, None):
                raise _UnknownError(f"{kind.__name__} overrides {method}")
        if isinstance(dataset, ImageFolder) and dataset.reads_by_itself:
            raise _UnknownError(f"{kind.__name__} has a loader of its own")
        return Leaf(
            dataset,
            dataset.pipeline(),
            dataset.target_transform,
            dataset._table,
            pixel_count(dataset.max_pixels),
            True,
        )
    problem = _torchvision.folder_problem(dataset)
    if problem and not _offers_samples(kind):
        raise _UnknownError(problem)
    if problem == "":
        if problem := _pillow.folder_problem(dataset):
            raise _UnknownError(problem)
        pipeline, limit = make_pipeline(dataset.transform, "pil"), _pillow.pixel_limit()
        return Leaf(dataset, pipeline, dataset.target_transform, _folder_table(dataset), limit, False)
    if _offers_samples(kind):
        transform = getattr(dataset, "transform", None)
        ours = any(isinstance(t, Transform) for t in flatten(transform)) or transform is None
        pipeline = make_pipeline(transform, "stoker" if ours else "pil", refuse=True)
        return Leaf(dataset, pipeline, None, None, MAX_PIXELS, ours)
    if isinstance(dataset, torch_data.IterableDataset):
        raise _UnknownError(f"{kind.__name__} is an IterableDataset")
    raise _UnknownError(f"{kind.__name__} is a dataset that only Python can read (see docs/your-dataset.md)")


# A torchvision dataset's table, and what it was made from.
_folder_tables: weakref.WeakKeyDictionary[Any, tuple[Any, _C.SampleTable]] = weakref.WeakKeyDictionary()


def _folder_table(dataset: Any) -> _C.SampleTable:
    samples = list(dataset.samples)  # the same elements: equal at a glance, as long as they are
    known = _folder_tables.get(dataset)
    if known is not None and known[0] == samples:
        return known[1]
    table = _C.SampleTable(os.fsencode(dataset.root))
    try:
        table.append_samples(samples)
    except (TypeError, ValueError, RuntimeError):
        which = sample_problem(samples)
        raise _UnknownError(
            f"{type(dataset).__name__}: its samples are not (path, int){': ' if which else ''}{which}"
        ) from None
    table.shrink_to_fit()
    _folder_tables[dataset] = (samples, table)
    return table
