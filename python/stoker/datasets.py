"""Datasets whose samples the C++ core reads by itself.

Samples are rows of flat native arrays, not Python objects: 1.3 million take about 60 MB, once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch.utils.data import Dataset

from . import _C
from ._arguments import encoded, expanded, label_of, pixel_count, sample_index
from ._pipeline import Pipeline, Runner, make_pipeline
from ._printable import printable_name
from ._torchvision import is_torchvisions
from ._words import counted
from .transforms import Transform
from .transforms._base import flatten
from .transforms._compile import compile_plan

__all__ = ["IMG_EXTENSIONS", "ImageFolder", "ImageList", "NativeDataset"]

StrPath = str | os.PathLike[str]
TransformLike = Transform | Callable[[Any], Any] | Sequence[Any] | None

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What ImageFolder takes for an image by its name (torchvision's list); content decides the format."""

MAX_PIXELS = 178_956_970
"""Larger images are refused before anything is allocated; where Pillow refuses them too."""


class NativeDataset(Dataset[tuple[torch.Tensor, Any]]):
    """Base of Stoker's datasets: a table of paths and labels, and a transform.

    ``dataset[i]`` is ``(image, target)``: a uint8 (or, after ToDtype, float32) tensor of shape
    (3, height, width), computed in the calling thread; its randomness comes from torch's generator.
    ``stoker.DataLoader`` does not go through it: the core loads whole batches from the table.

    Args:
        table: the samples.
        transform: descriptions from :mod:`stoker.transforms`, torchvision's transforms, or Python
            callables, which get a uint8 tensor (3, height, width) and return one; one of them or a
            list. None leaves the image as it is. With a callable, PyTorch's workers run it, and the
            core runs what stands before it there. Transforms of torchvision's that Python runs before a
            ToTensor or ToImage get PIL images, as under torchvision's ImageFolder.
        target_transform: a Python callable, called for each label in the consumer's thread.
        max_pixels: larger images raise DataError before anything is allocated for them; and so do files of
            more than 18 bytes for each of these pixels and 64 MB, which no image can fill.
    """

    def __init__(
        self,
        table: _C.SampleTable,
        transform: TransformLike = None,
        target_transform: Callable[[int], Any] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        table.shrink_to_fit()
        self._table = table
        self._runner: tuple[Any, Runner] | None = None
        self.transform = transform
        self.target_transform = target_transform
        self.max_pixels = max_pixels
        self.sample_plan()  # refuses a transform that cannot run, here and not in the first epoch

    def pipeline(self) -> Pipeline:
        """``transform`` as it is now: what the core runs of it, and what Python."""
        return make_pipeline(self.transform, "stoker")

    def sample_plan(self, channels_last: bool = False) -> _C.SamplePlan:
        """What the core does to each sample: ``transform`` up to the first Python callable."""
        plan = self.pipeline().plan(channels_last)
        self._prepare(plan)
        return plan

    def _prepare(self, plan: _C.SamplePlan) -> None:
        plan.max_pixels = pixel_count(self.max_pixels)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = sample_index(index, len(self))
        runner = self._current_runner()
        image = runner.decoder().from_table(self._table, index, runner.seed())
        return runner.finish(image), self._target(index)

    def _target(self, index: int) -> Any:
        label = self._table.label(index)
        return label if self.target_transform is None else self.target_transform(label)

    def _current_runner(self) -> Runner:
        """The present transform's; made anew when that has changed."""
        given = tuple(flatten(self.transform))
        if not all(isinstance(t, Transform) for t in given):
            given = self.pipeline().steps  # others can change under the same name
        made_for = given, self.max_pixels
        if self._runner is None or self._runner[0] != made_for:
            self._runner = made_for, Runner(self.pipeline(), self._prepare)
        return self._runner[1]

    def path(self, index: int) -> str:
        """The file of sample ``index``."""
        return os.fsdecode(self._table.path(sample_index(index, len(self))))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runner": None}


class _View(Sequence[Any]):
    """A read-only list over the table that makes its elements when asked for them."""

    def __init__(self, table: _C.SampleTable, element: Callable[[int], Any]) -> None:
        self._table = table
        self._element = element

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._element(i) for i in range(*index.indices(len(self)))]
        return self._element(sample_index(index, len(self)))

    def __iter__(self) -> Iterator[Any]:
        return (self._element(i) for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(repr(e) for e in self[:3])
        return f"[{shown}{', …' if len(self) > 3 else ''}]"


def _fixed(name: str, view: Callable[[Any], Any]) -> property:
    """A view that cannot be set, and says what to do in place of it."""

    def refuse(self: Any, value: Any) -> None:
        raise AttributeError(
            f"{name} of {type(self).__name__} cannot be set: take torch.utils.data.Subset for some of the "
            "samples, or an ImageList of paths and labels"
        )

    return property(view, refuse, doc=view.__doc__)


class ImageFolder(NativeDataset):
    """Images in one folder a class, as torchvision's ImageFolder, in the same order.

    Args:
        root: folder of class folders; images may lie at any depth below theirs.
        transform, target_transform, max_pixels: see NativeDataset.
        loader: as torchvision's: takes a path and returns what the transforms get. With one, Python reads
            and transforms; torchvision's own default_loader, and None (default), stand for the core.
        is_valid_file: takes a path and says whether it is a sample; default: by IMG_EXTENSIONS.
        allow_empty: whether a class may have no image.

    Attributes:
        classes: class names, sorted.
        class_to_idx: name → label.

    Raises:
        FileNotFoundError: ``root`` does not exist, has no class folder, or a class has no image.
    """

    def __init__(
        self,
        root: StrPath,
        transform: TransformLike = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if loader is not None and not callable(loader):
            raise TypeError(f"loader must be a callable that takes a path, got {loader!r}")
        self.loader = loader
        self.root = expanded(root)
        if not os.path.isdir(self.root):
            raise FileNotFoundError(f"{printable_name(self.root)} is not a folder")
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(
                f"{printable_name(self.root)} has no class folders (one folder for each class)"
            )
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        valid = is_valid_file or (lambda path: path.lower().endswith(IMG_EXTENSIONS))
        table = _C.SampleTable(os.fsencode(self.root))
        empty = []
        for name, label in self.class_to_idx.items():
            before = len(table)
            for folder, _, files in sorted(os.walk(os.path.join(self.root, name), followlinks=True)):
                for file in sorted(files):
                    path = os.path.join(folder, file)
                    if valid(path):
                        table.append(os.fsencode(path), label)
            if len(table) == before:
                empty.append(name)
        if empty and not allow_empty:
            by_name = f"taken for images: {', '.join(IMG_EXTENSIONS)}"
            raise FileNotFoundError(
                f"no image found for {len(empty)} of the {len(self.classes)} classes in "
                f"{printable_name(self.root)}: "
                f"{', '.join(map(printable_name, empty[:5]))}{' …' if len(empty) > 5 else ''} "
                f"({by_name if is_valid_file is None else 'is_valid_file took no file of them'})"
            )
        super().__init__(table, transform, target_transform, max_pixels)

    def _samples(self) -> Sequence[tuple[str, int]]:
        """(path, label) of every sample; made on the fly, nothing is stored."""
        return _View(self._table, lambda i: (self.path(i), self._table.label(i)))

    samples, imgs = _fixed("samples", _samples), _fixed("imgs", _samples)

    def _targets(self) -> Sequence[int]:
        """The label of every sample, before ``target_transform``."""
        return _View(self._table, self._table.label)

    targets = _fixed("targets", _targets)

    @property
    def reads_by_itself(self) -> bool:
        """Whether its ``loader`` reads the files, and not the core."""
        return self.loader is not None and not is_torchvisions(self.loader)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if self.loader is None or not self.reads_by_itself:
            return super().__getitem__(index)
        index = sample_index(index, len(self))
        image = self.loader(self.path(index))
        for t in flatten(self.transform):
            image = t(image)
        return image, self._target(index)

    def __repr__(self) -> str:
        samples = counted(len(self), "sample")
        return f"ImageFolder({self.root!r}, {samples}, {counted(len(self.classes), 'class', 'classes')})"


class ImageList(NativeDataset):
    """Images given one by one.

    Args:
        paths: files.
        labels: an int for each (a list, tensor or array).
        transform, target_transform, max_pixels: see NativeDataset.

    Raises:
        ValueError: not as many labels as paths.
        TypeError: a label is not an int.
    """

    def __init__(
        self,
        paths: Iterable[StrPath],
        labels: Iterable[int],
        transform: TransformLike = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        files = [encoded(path) for path in paths]
        values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
        if len(values) != len(files):
            raise ValueError(f"{counted(len(files), 'path')}, but {counted(len(values), 'label')}")
        prefix = bytes(os.path.commonprefix(files) or b"")  # noqa: RUF071 (cut at a "/" below)
        table = _C.SampleTable(prefix[: prefix.rfind(b"/") + 1])
        for path, label in zip(files, values):
            table.append(path, label_of(label, path))
        super().__init__(table, transform, target_transform, max_pixels)

    def _paths(self) -> Sequence[str]:
        """The file of every sample."""
        return _View(self._table, self.path)

    def _targets(self) -> Sequence[int]:
        """The label of every sample, before ``target_transform``."""
        return _View(self._table, self._table.label)

    paths, targets = _fixed("paths", _paths), _fixed("targets", _targets)

    def __repr__(self) -> str:
        return f"ImageList({counted(len(self), 'sample')})"


_decoders = threading.local()


def decode(source: bytes | StrPath, *, max_pixels: int = MAX_PIXELS) -> torch.Tensor:
    """Decode an image, given as bytes or as a path, to a uint8 RGB tensor of shape (3, height, width).

    JPEG, PNG, WebP, BMP, TIFF and PNM, by content. Pixels equal Pillow's ``convert("RGB")``; a JPEG's
    EXIF orientation is applied. Runs in the calling thread, without the GIL.

    Raises:
        DataError: the file cannot be read or decoded; says why.
    """
    made_for = getattr(_decoders, "max_pixels", None)
    if made_for != max_pixels:
        plan = compile_plan(None)
        plan.max_pixels = pixel_count(max_pixels)
        _decoders.decoder = _C.Decoder(plan)
        _decoders.max_pixels = max_pixels
    decoder: _C.Decoder = _decoders.decoder
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decoder.from_bytes(bytes(source), 0)
    if isinstance(source, (str, Path, os.PathLike)):
        return decoder.from_file(encoded(source), 0)
    raise TypeError(f"decode takes bytes or a path, not {type(source).__name__}")
