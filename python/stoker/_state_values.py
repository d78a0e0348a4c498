"""Whether what claims to be a loader's state has the values of one.

States come out of checkpoint files, which get cut short, edited, converted, and confused with one
another. All that resuming will rely on is looked at here, before anything of the loader changes.
"""

from __future__ import annotations

import base64
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .errors import StateError

_LIMIT = 2**62  # of counts, so that the core's 64 bits hold them and their successors


def encoded(state: torch.Tensor) -> str:
    """A generator's state, of the types that JSON has."""
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def decoded(text: str) -> torch.Tensor:
    """What ``encoded`` was given."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def shown(value: Any) -> str:
    """A value of a state for a message: short and printable, whatever it is."""
    try:
        return reprlib.repr(value)
    except Exception:  # a repr that raises says nothing either
        return f"a {type(value).__name__}"


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_count(value: Any) -> bool:
    return _is_int(value) and 0 <= value < _LIMIT


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("batches", "samples", "raised", "offset", "epoch", "rank", "loader_epoch", "errors", "num_workers"),
        (_is_count, "a count"),
    ),
    "world_size": (lambda value: _is_count(value) and value > 0, "a number of ranks"),
    "checksum": (lambda value: _is_int(value) and 0 <= value < 2**32, "a checksum of 32 bits"),
    "base_seed": (lambda value: _is_int(value) and 0 <= value < 2**63, "a seed of 63 bits"),
    "finished": (_is_bool, "true or false"),
    "fresh": (_is_bool, "true or false"),
    "drop_last": (_is_bool, "true or false"),
    "batch_size": (_or_none(_is_count), "a count or nothing"),
    "dataset_size": (_or_none(_is_count), "a count or nothing"),
    "sampler": (lambda value: isinstance(value, str), "the name of a class"),
}


def check_values(state: Mapping[str, Any], generators: Mapping[str, torch.Generator], epoch: Any) -> None:
    """``generators``: those of the loader, by name; ``epoch``: its sampler's present one, or None.

    Raises:
        StateError: it names the first value that no state has.
    """
    for name, (good, what) in _CHECKS.items():
        if not good(state[name]):
            raise StateError(f"the state's {name} is not {what}: {shown(state[name])}")
    for name in ("sampler_epoch", "sampler_epoch_now"):
        value = state[name]
        plain = value is None or (_is_int(value) and abs(value) < _LIMIT)
        # A sampler of the user's may count its epochs by something else.
        own = not _is_int(value) and epoch is not None and type(value) is type(epoch)
        if not (plain or own):
            raise StateError(f"the state's {name} is not a number of an epoch: {shown(value)}")
    if state["rank"] >= state["world_size"]:
        raise StateError(f"the state's rank {state['rank']} is not below its world_size")
    if state["raised"] > state["batches"]:
        raise StateError(f"the state has {state['raised']:,} batches that raised, of {state['batches']:,}")
    if state["fresh"] and state["finished"]:
        raise StateError("the state's epoch has not begun, and is over")
    _check_generators(state, generators)


def _check_generators(state: Mapping[str, Any], generators: Mapping[str, torch.Generator]) -> None:
    saved = state["generators"]
    if not isinstance(saved, dict):
        raise StateError(f"the state's generators are not named ones: {shown(saved)}")
    for name, record in saved.items():
        if not isinstance(name, str) or not isinstance(record, dict):
            raise StateError(f"the state's generator {shown(name)} is not what a state has: {shown(record)}")
        needed = "now" if state["finished"] else "before"
        if record.get(needed) is None:
            raise StateError(f"the state's generator {shown(name)} lacks what it was: {needed!r}")
        for when in ("before", "first", "now"):
            if record.get(when) is not None:
                _check_generator(f"{shown(name)}, {when}", record[when], generators.get(name))


def _check_generator(title: str, text: Any, generator: torch.Generator | None) -> None:
    """Whether ``text`` is a state of such a generator; None: of one that the loader does not have."""
    try:
        state = decoded(text)
        if generator is not None:
            torch.Generator(generator.device).set_state(state)
    except Exception as e:  # of base64, of torch
        reason = str(e).partition("\n")[0] or type(e).__name__
        raise StateError(f"the state's generator {title}, cannot be restored: {reason}") from None
