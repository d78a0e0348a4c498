"""Dataclasses from JSON: every value is checked against the type that its field is declared with.

What comes from a file may have been damaged, or made by somebody else: nothing of another type, no number
that is none, and no count so large that going through it never ends, gets further than here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

MOST = 1e15  # of any number: more seconds, bytes or samples than there are
T = TypeVar("T")
Bounds = Mapping[str, "tuple[float, float]"]


def made(kind: type[T], record: Any, bounds: Bounds | None = None) -> T:
    """A dataclass of ``kind`` from the dict that ``dataclasses.asdict`` and JSON made of one.

    Args:
        record: fields that have a default may be missing.
        bounds: for fields by name, in whatever dataclass they are, the least and the largest number that they
            may hold; MOST, and less than nothing as much, where nothing is said.

    Raises:
        ValueError: a field is missing, unknown, or not what it should be.
    """
    value: T = _value(kind, record, kind.__name__, bounds or {})
    return value


@functools.lru_cache(64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(kind: Any, value: Any, name: str, bounds: Bounds) -> Any:
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, name, bounds)
    if origin in (Union, types.UnionType):  # with None
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not type(None))
        return _value(kind, value, name, bounds)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(get_args(kind)[0], inner, name, bounds) for inner in value)
    if origin is dict and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {
            key: _value(get_args(kind)[1], inner, f"{name}[{key!r}]", bounds) for key, inner in value.items()
        }
    if kind in (int, float):
        return _number(kind, value, name, bounds)
    if kind in (str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{name} is {_shown(value)}")


def _number(kind: type, value: Any, name: str, bounds: Bounds) -> Any:
    whole = type(value) is int
    if not (whole or (kind is float and type(value) is float)):
        raise ValueError(f"{name} is {_shown(value)}")
    least, most = bounds.get(name.rpartition(".")[2], (-MOST, MOST))
    if not (least <= value <= most) or (not whole and math.isnan(value)):
        raise ValueError(f"{name} is {_shown(value)}")
    return kind(value)


def _dataclass(kind: Any, record: Any, name: str, bounds: Bounds) -> Any:
    if not isinstance(record, dict):
        raise ValueError(f"{name} is {_shown(record)}")
    hints = _hints(kind)
    unknown = [key for key in record if key not in hints]
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in record
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    for key in unknown or missing:
        raise ValueError(f"{name} has {'an unknown' if unknown else 'no'} {_shown(key)}")
    return kind(**{key: _value(hints[key], inner, f"{name}.{key}", bounds) for key, inner in record.items()})


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
