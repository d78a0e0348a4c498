"""``stoker.Dataset``: the base of datasets that say where a sample is and leave the reading to the core."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch.utils.data import Dataset as TorchDataset

from ._sources import Source, resolve
from .transforms._base import flatten


class Dataset(TorchDataset[tuple[Any, Any]]):
    """A map-style dataset that gives a path or bytes in place of an image.

    A subclass has ``stoker_sample`` and ``__len__``, and where it wants, as attributes, ``transform``
    (descriptions, torchvision's transforms or callables). ``stoker.DataLoader`` loads its batches in C++;
    ``dataset[i]`` gives one sample, with exact pixels, and serves any other loader.
    """

    transform: Any = None
    _source_of: tuple[Any, Source] | None = None

    @abstractmethod
    def stoker_sample(self, index: int) -> tuple[Any, Any]:
        """Where sample ``index`` is: (path or bytes of its file, target). The target may be anything that
        ``default_collate`` takes."""
        raise NotImplementedError(f"{type(self).__name__} must have stoker_sample(index)")

    @abstractmethod
    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must have __len__")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        made_for = len(self), self.transform, tuple(flatten(self.transform))
        if self._source_of is None or self._source_of[0] != made_for:
            source, problem = resolve(self)
            if source is None:
                raise TypeError(problem)
            self._source_of = made_for, source
        return self._source_of[1].load(index, exact=True)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_source_of"}
