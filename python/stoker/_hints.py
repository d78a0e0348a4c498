"""The lines that would make a user's dataset native, written for the attributes that it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch.utils.data as torch_data

from .datasets import IMG_EXTENSIONS, NativeDataset


def hint_for(dataset: Any, source: Any) -> tuple[str, ...]:
    """What to add to ``dataset``'s class; nothing where its samples are known or cannot be found."""
    if source is not None or isinstance(dataset, (torch_data.IterableDataset, NativeDataset)):
        return ()
    for part in _parts(dataset):
        if "stoker_sample" not in dir(type(part)) and (answer := _answer(part)):
            return (
                f"  To make it native, add to {type(part).__name__}, beside its __getitem__"
                " (docs/your-dataset.md):",
                "      def stoker_sample(self, index):",
                f"          return {answer}",
            )
    return ()


def _parts(dataset: Any) -> Iterator[Any]:
    if type(dataset) is torch_data.Subset:
        yield from _parts(dataset.dataset)
    elif type(dataset) is torch_data.ConcatDataset:
        for part in dataset.datasets:
            yield from _parts(part)
    elif not type(dataset).__module__.startswith(("torch.", "torchvision.")):
        yield dataset


def _answer(dataset: Any) -> str:
    """What ``stoker_sample`` would return; "" where no attribute is a list of images' paths."""
    try:
        size = len(dataset)
        columns = {name: value for name, value in vars(dataset).items() if _is_column(value, size)}
    except Exception:  # a dataset of somebody's, which may do anything
        return ""
    for name, column in columns.items():
        first = column[0]
        if isinstance(first, (tuple, list)) and len(first) == 2:
            if where := _where(dataset, f"self.{name}[index][0]", first[0]):
                return f"{where}, self.{name}[index][1]"
        elif where := _where(dataset, f"self.{name}[index]", first):
            others = [f"self.{other}[index]" for other in columns if other != name]
            return f"{where}, {others[0] if len(others) == 1 else '<its target>'}"
    return ""


def _is_column(value: Any, size: int) -> bool:
    return hasattr(value, "__getitem__") and hasattr(value, "__len__") and not isinstance(
        value, (str, bytes, dict)
    ) and len(value) == size > 0  # fmt: skip


def _where(dataset: Any, expression: str, first: Any) -> str:
    """How to come by the path of a file, whose first is ``first``; "" where that is no image's."""
    if not isinstance(first, (str, os.PathLike)):
        return ""
    name = os.fspath(first)
    if not isinstance(name, str) or not name.lower().endswith(IMG_EXTENSIONS):
        return ""
    if os.path.isfile(name):
        return expression
    for folder, value in vars(dataset).items():
        if isinstance(value, (str, os.PathLike)) and os.path.isfile(os.path.join(value, name)):
            return f"os.path.join(self.{folder}, {expression})"
    return ""
