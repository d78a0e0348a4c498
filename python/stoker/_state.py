"""A loader's state: where it is in its epoch, and what it takes to get there again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch.utils.data import BatchSampler

from . import _dataset_states, _sampler_states
from ._recorder import (
    Recorder,
    Run,
    deals_in_turn,
    generators,
    is_iterable,
    sampler_of,
    states_of,
    world_of,
)
from ._state_values import check_values, encoded, shown
from .errors import StateError

if TYPE_CHECKING:
    from .dataloader import DataLoader

VERSION = 1
_KIND = "stoker.DataLoader"
_ADDED = ("dataset", "sampler_state")  # where there is something to save


def _generator_record(loader: DataLoader[Any], recorder: Recorder) -> dict[str, dict[str, str | None]]:
    """The generators as they were before the epoch, and as they are."""
    run = recorder.run
    # Those that the pass began with: a sampler may have made one of its own since.
    now = states_of(generators(loader) if run is None else run.generators)
    record: dict[str, dict[str, str | None]] = {}
    for name in now:
        if run is None:
            record[name] = {"before": encoded(now[name]), "first": None, "now": None}
            continue
        at = recorder.start if is_iterable(loader) else run.before
        # Where the sampler has not drawn yet, it will draw from what the generator is now.
        before, first = encoded(at[name]), encoded((run.first or now)[name])
        # In mid-epoch only what the training loop may draw from as well: others are ahead.
        keep_now = run.finished or (name == "default" and bool(run.first))
        record[name] = {
            "before": before,
            "first": None if first == before else first,
            "now": encoded(now[name]) if keep_now else None,
        }
    return record


def _size(loader: DataLoader[Any]) -> int | None:
    try:
        return len(loader.dataset)
    except (TypeError, NotImplementedError):
        return None


def make_state(loader: DataLoader[Any], recorder: Recorder, extra: dict[str, Any]) -> dict[str, Any]:
    """A loader's state, of types that JSON has. ``extra``: what the loader itself adds."""
    run = recorder.run
    if not loader.native:
        states = _dataset_record(loader, recorder)
        extra = extra if states is None else {**extra, "dataset": states}
    over = run is not None and run.is_over()
    own = _sampler_record(loader, run)
    extra = extra if own is None else {**extra, "sampler_state": own}
    rank, world_size = world_of(loader)
    return {
        "kind": _KIND,
        "version": VERSION,
        "batches": 0 if run is None else run.batches,
        "samples": 0 if run is None else run.samples,
        "raised": 0 if run is None else run.raised,
        "offset": 0 if run is None else run.offset,
        "checksum": 0 if run is None else run.checksum,
        "base_seed": 0 if run is None else run.base_seed,
        "epoch": 0 if run is None else run.epoch,
        "finished": over,
        "fresh": run is None,
        "generators": _generator_record(loader, recorder),
        "sampler": type(sampler_of(loader)).__name__,
        "sampler_epoch": None if run is None else run.sampler_epoch,
        "sampler_epoch_now": getattr(sampler_of(loader), "epoch", None),
        "rank": rank,
        "world_size": world_size,
        "dataset_size": _size(loader),
        "batch_size": loader.batch_size,
        "drop_last": loader.drop_last,
        "num_workers": int(loader.num_workers),
        **extra,
    }


def _dataset_record(loader: DataLoader[Any], recorder: Recorder) -> dict[str, Any] | None:
    """See Note [A dataset's own state]."""
    if recorder.run is not None and recorder.run.dataset_states is not None:
        record: dict[str, Any] | None = recorder.run.dataset_states()
        return record
    own = _dataset_states.own_state(loader.dataset)
    return None if own is None else {"own": own, "workers": [None], "next": 0}


def _sampler_record(loader: DataLoader[Any], run: Run | None) -> dict[str, Any] | None:
    """See Note [A sampler's own state]."""
    if is_iterable(loader):
        return None
    if run is not None:
        return run.sampler_record()
    return _sampler_states.SamplerStates(loader, sampler_of(loader), None).record(None, over=False)


def refused_state(reason: str) -> dict[str, Any]:
    """A state that cannot be gone on from. Frameworks ask for one whether or not they will use it."""
    return {"kind": _KIND, "version": VERSION, "refused": reason}


def check_state(loader: DataLoader[Any], state: Any, names: Iterable[str]) -> dict[str, Any]:
    """``state`` as it applies to ``loader``. ``names``: what a state has.

    Raises:
        StateError: it does not fit; the text says why.
    """
    kind = state.get("kind") if isinstance(state, dict) else None
    if not isinstance(kind, str) or kind != _KIND:
        raise StateError(f"this is not the state of a stoker.DataLoader, but {shown(state)}")
    if "refused" in state:
        refused = state["refused"]
        raise StateError(refused if isinstance(refused, str) else shown(refused))
    version = state.get("version")
    if type(version) is not int or version != VERSION:
        raise StateError(f"the state has version {shown(version)}, this Stoker reads version {VERSION}")
    if missing := [name for name in names if name not in state and name not in _ADDED]:
        raise StateError(f"the state lacks {', '.join(missing)}")
    check_values(state, generators(loader), getattr(sampler_of(loader), "epoch", None))
    for name, now in (("dataset_size", _size(loader)), ("sampler", type(sampler_of(loader)).__name__)):
        if state[name] != now:
            raise StateError(
                f"the state is from a loader with {name} {shown(state[name])}, this one has {now!r}"
            )
    _check_offset(loader, state)
    _sampler_states.check(state.get("sampler_state"))
    if state["fresh"] or state["finished"]:
        return _from_the_start(loader, state)
    mid_epoch = state["batches"] > 0 and not state["finished"]
    _dataset_states.check(state.get("dataset"), state["num_workers"], int(loader.num_workers), mid_epoch)
    if _is_all(loader, state):
        return _from_the_start(loader, {**state, "finished": True})
    if is_iterable(loader):  # from its start, and what had been had is dropped by the iterator
        _check_alike(loader, state, ("batch_size", "drop_last"))
        if max(1, state["num_workers"]) != max(1, loader.num_workers):
            raise StateError(
                f"the state is in the middle of an iterable dataset with num_workers {state['num_workers']}, "
                f"this loader has {int(loader.num_workers)}: its order depends on that"
            )
        return {**state, "sampler_epoch": None, "whole": True}
    _, ranks = world_of(loader)
    if state["world_size"] != ranks:
        return _dealt_anew(loader, state, ranks)
    _check_alike(loader, state, ("batch_size", "drop_last"))
    return {**state, "whole": False}


def _is_all(loader: DataLoader[Any], state: dict[str, Any]) -> bool:
    """Whether a state that does not say so is of a whole epoch. Where a sampler has epochs, that must be
    known before it is asked: the script may have set the next one."""
    if not deals_in_turn(sampler_of(loader)) or state["offset"] or state["batch_size"] != loader.batch_size:
        return False
    same_ranks = bool(state["world_size"] == world_of(loader)[1])
    return same_ranks and 0 < len(loader) <= int(state["batches"])


def _check_alike(loader: DataLoader[Any], state: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if state[name] != getattr(loader, name):
            raise StateError(
                f"the state is in the middle of an epoch with {name} {state[name]!r}, this loader has "
                f"{getattr(loader, name)!r}"
            )


def _check_offset(loader: DataLoader[Any], state: dict[str, Any]) -> None:
    size = state["dataset_size"]
    if size is not None and state["offset"] > size:
        raise StateError(f"the state's offset {state['offset']:,} lies behind its dataset's {size:,} samples")
    if state["offset"] and not deals_in_turn(sampler_of(loader)):
        raise StateError(
            "the state has an offset: its epoch was dealt to ranks anew, which this sampler cannot do"
        )


def _from_the_start(loader: DataLoader[Any], state: dict[str, Any]) -> dict[str, Any]:
    """The epoch behind a finished one, or the first: with the generators as they are in the state."""
    generators = state["generators"]
    if state["finished"]:
        generators = {name: {"before": g["now"]} for name, g in generators.items()}
    # With persistent workers the base seed is drawn once, and epochs are counted from there.
    own = state.get("sampler_state")
    goes_on = bool(state["finished"]) and loader.persistent_workers and loader.num_workers > 0
    return {
        **state,
        "generators": generators,
        "batches": 0,
        "samples": 0,
        "checksum": 0,
        "offset": 0,
        "sampler_epoch": None,
        "sampler_state": own and {"start": own["now"], "now": own["now"]},
        "errors": 0,
        "epoch": state["epoch"] + 1,
        "whole": not goes_on,
    }


def _dealt_anew(loader: DataLoader[Any], state: dict[str, Any], ranks: int) -> dict[str, Any]:
    """The rest of an epoch, for another number of ranks."""
    sampler = sampler_of(loader)
    plain = loader.batch_sampler is None or type(loader.batch_sampler) is BatchSampler
    if not deals_in_turn(sampler) or not plain:
        raise StateError(
            f"the state is in the middle of an epoch of {state['world_size']} ranks, and this loader has "
            f'{ranks}: only DistributedSampler (or shard="auto") can deal the rest to other ranks'
        )
    done = int(state["offset"]) + int(state["world_size"]) * int(state["samples"])
    size = len(sampler.dataset)
    return {**state, "offset": min(done, size), "batches": 0, "samples": 0, "checksum": 0, "whole": False}


def is_in_mid_epoch(resume: dict[str, Any] | None) -> bool:
    """Whether what check_state has let pass begins behind other batches of its epoch."""
    return resume is not None and bool(resume["batches"] or resume["offset"])


def restore_sampler(loader: DataLoader[Any], state: dict[str, Any]) -> None:
    """Bring the sampler to the epoch of a state that check_state has let pass, and to its own state there."""
    sampler = sampler_of(loader)
    own = state.get("sampler_state")
    if own is not None:
        _sampler_states.SamplerStates(loader, sampler, None).load({**own["now"], "iterator": None})
    loader._recorder.sampler_restored = own is not None
    epoch = state["sampler_epoch"] if state["sampler_epoch"] is not None else state["sampler_epoch_now"]
    if epoch is not None and hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
