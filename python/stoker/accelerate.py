"""Stoker's loaders under Hugging Face Accelerate.

``Accelerator.prepare`` makes a torch DataLoader of its own from the one that it is given. Where that is a
``stoker.DataLoader``, Stoker puts its own back, so that the plain call works:

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

``prepare`` here does the same, and refuses what would not stay Stoker's, of which the plain call warns:

    from stoker.accelerate import prepare
    model, optimizer, loader = prepare(accelerator, model, optimizer, loader)
"""

from __future__ import annotations

import functools
import sys
import warnings
import weakref
from typing import Any

import torch
from torch.utils.data import BatchSampler, RandomSampler

from . import _rebuilt
from .dataloader import DataLoader
from .distributed import ShardSampler

__all__ = ["prepare", "skip_first_batches"]

# What only Stoker's DataLoader has; the rest Accelerate has copied.
_OWN = (
    "memory_format", "pixels", "dct_scaling", "index", "on_error", "max_errors", "error_manifest", "progress",
)  # fmt: skip


def prepare(accelerator: Any, *objects: Any, **kwargs: Any) -> Any:
    """``accelerator.prepare(*objects, **kwargs)``, with Stoker's loaders kept.

    Each prepared loader is Accelerate's own object (DataLoaderShard), whose inner loader is a
    ``stoker.DataLoader`` with the arguments of the one given and the batch sampler that Accelerate has
    made for this process. So all that Accelerate does around a loader works: placing batches on the
    device, the same order in all processes, ``gather_for_metrics``, ``even_batches``,
    ``join_uneven_inputs``. ``native``, ``plan()``, ``stats()`` and ``report()`` may be called on the
    prepared loader. The order of the samples is the one that Accelerate gives with torch's DataLoader.

    ``state_dict()`` of a prepared loader counts the batches that the training loop has had. Each
    process needs its own; behind ``load_state_dict()`` in the middle of an epoch call
    ``set_epoch()`` with the epoch's number.

    Where Accelerate reads in one process only (DataLoaderDispatcher, its default for iterable datasets),
    the prepared loader is left as Accelerate has made it, on torch's DataLoader: the core does not load
    iterable datasets, so that nothing would be gained. The same holds for loaders on XLA devices.

    Args:
        accelerator: the ``accelerate.Accelerator``.
        *objects: models, optimizers, schedulers and loaders, as ``Accelerator.prepare`` takes them.
        **kwargs: of ``Accelerator.prepare``, such as ``device_placement``.

    Returns:
        What ``Accelerator.prepare`` returns: a tuple in the order of the objects, or the only one.

    Raises:
        ImportError: accelerate is not installed.
        TypeError: ``accelerator`` is not an Accelerator.
        ValueError: a loader shards itself (``shard="auto"``), and Accelerate would shard it again; or it
            has ``in_order=False``: Accelerate asks for its state at each batch.
        RuntimeError: ``dispatch_batches=True`` with a dataset that the core loads: one process would load
            for all, and each would wait for it.
    """
    accelerate = _accelerate()
    if not isinstance(accelerator, accelerate.Accelerator):
        raise TypeError(
            f"prepare() takes the Accelerator first, then what it prepares; got {type(accelerator).__name__}"
        )
    for given in objects:
        if _is_ours(given):
            _check(accelerator, given)
    results = accelerator.prepare(*objects, **kwargs)
    for given, prepared in zip(objects, results if len(objects) > 1 else (results,)):
        if _is_ours(given) and type(prepared) is accelerate.data_loader.DataLoaderShard:
            _put_back(prepared, given)
    return results


def skip_first_batches(loader: Any, num_batches: int = 0) -> Any:
    """``accelerate.skip_first_batches``, with Stoker's loader kept.

    Accelerate's own function makes a torch DataLoader again. The batches skipped are not loaded.

    Args:
        loader: one that ``prepare`` has returned; any other is given to Accelerate as it is.
        num_batches: how many batches of this process are left out.

    Returns:
        A new prepared loader, for this epoch only.

    Raises:
        ImportError: accelerate is not installed.
    """
    accelerate = _accelerate()
    skipping = accelerate.skip_first_batches(loader, num_batches)
    inner = getattr(loader, "base_dataloader", None)
    if isinstance(inner, DataLoader) and type(skipping) is accelerate.data_loader.DataLoaderShard:
        _put_back(skipping, inner)
    return skipping


def _accelerate() -> Any:
    try:
        import accelerate
        import accelerate.data_loader
    except ImportError as e:
        raise ImportError(
            "stoker.accelerate needs Hugging Face Accelerate: pip install accelerate", name="accelerate"
        ) from e
    return accelerate


def _is_ours(loader: Any) -> bool:
    """Not by isinstance: prepared loaders give their inner loader's class as their own."""
    return issubclass(type(loader), DataLoader)


def _check_shards(loader: DataLoader[Any]) -> None:
    if isinstance(loader.sampler, ShardSampler) and loader.sampler.num_replicas > 1:
        raise ValueError('Accelerate deals the batches to the processes itself: leave out shard="auto"')


def _check(accelerator: Any, loader: DataLoader[Any]) -> None:
    _check_shards(loader)
    if not loader.in_order:
        raise ValueError("Accelerate asks for the loader's state, which in_order=False does not have")
    if accelerator.dispatch_batches and loader.native:
        raise RuntimeError(
            "with dispatch_batches=True one process loads the batches of all; Stoker loads in each process: "
            "leave it out of Accelerate's DataLoaderConfiguration"
        )


def _put_back(prepared: Any, given: DataLoader[Any]) -> None:
    """Make a loader like ``given`` the inner one of ``prepared``."""
    made = prepared.base_dataloader  # torch's, as Accelerate has made it
    if made in _asked:
        return  # it is back: see Note [The plain call]
    _check_shards(given)
    own = {name: getattr(given, name) for name in _OWN}
    if made.batch_sampler is not None and made.batch_size is None:
        order = {"batch_sampler": made.batch_sampler}
        _show_sampler(made.batch_sampler)
    else:
        order = {"sampler": made.sampler, "batch_size": made.batch_size, "drop_last": made.drop_last}
    prepared.base_dataloader = type(given)(
        made.dataset,
        **order,
        num_workers=given.num_workers,
        collate_fn=given.collate_fn,
        pin_memory=given.pin_memory,
        timeout=given.timeout,
        worker_init_fn=given.worker_init_fn,
        multiprocessing_context=given.multiprocessing_context,
        generator=made.generator,
        prefetch_factor=given.prefetch_factor,
        persistent_workers=given.persistent_workers,
        pin_memory_device=given.pin_memory_device,
        in_order=given.in_order,
        **own,
    )
    _asked.add(prepared.base_dataloader)
    prepared.dl_state_dict = prepared.base_dataloader.state_dict()


def _show_sampler(batch_sampler: Any) -> None:
    """Let the loader's state find the sampler, for its epoch and generator."""
    inner = getattr(batch_sampler, "batch_sampler", None)
    if isinstance(inner, BatchSampler) and not hasattr(batch_sampler, "sampler"):
        batch_sampler.sampler = getattr(inner, "sampler", inner)  # as Accelerate's set_sampler does
    sampler = getattr(batch_sampler, "sampler", None)
    if isinstance(sampler, RandomSampler) and hasattr(sampler, "initial_seed") and sampler.generator is None:
        # SeedableRandomSampler would make it in the first epoch; it seeds it in each.
        sampler.generator = torch.Generator()


# Note [The plain call]
# Accelerate has no way to be told the class of the loaders that it makes. But it asks each loader that it
# is about to prepare whether it is prepared already, and makes all of its own in one place, the __init__
# of DataLoaderAdapter. So where it asks one of Stoker's, that __init__ is wrapped, once: behind it, a
# loader that was made from one of Stoker's gets Stoker's inside. It is known by its batch sampler, which
# is that of a loader that was asked, or in one of Accelerate's own around it. All else is as before.
_asked: weakref.WeakSet[DataLoader[Any]] = weakref.WeakSet()


def about_to_prepare(loader: DataLoader[Any]) -> None:
    """Accelerate asks whether ``loader`` is prepared: see Note [The plain call]."""
    module: Any = sys.modules.get("accelerate.data_loader")
    adapter = getattr(module, "DataLoaderAdapter", None)
    if adapter is None:
        return
    _asked.add(loader)
    if not getattr(adapter.__init__, "puts_stokers_back", False):
        adapter.__init__ = _putting_back(module, adapter.__init__)


def _putting_back(module: Any, make: Any) -> Any:
    @functools.wraps(make)
    def init(self: Any, dataset: Any, *args: Any, **options: Any) -> None:
        make(self, dataset, *args, **options)
        made = self.base_dataloader
        given = _given(made)
        if given is None:
            return
        reason = _why_not(module, self, made)
        if not reason:
            _put_back(self, given)
        elif given.native:
            _rebuilt.was_said(given)
            warnings.warn(
                f"Accelerate has made a {type(made).__name__} of its own from a stoker.DataLoader, and its "
                f"batches are not loaded natively: {reason}",
                stacklevel=4,
            )

    init.puts_stokers_back = True  # type: ignore[attr-defined]
    return init


def _given(made: Any) -> DataLoader[Any] | None:
    """The one of Stoker's that ``made`` was made from."""
    order = made.batch_sampler
    while order is not None:
        for loader in list(_asked):
            if order is loader.batch_sampler or (loader.batch_sampler is None and order is loader.sampler):
                return loader
        order = getattr(order, "batch_sampler", None)
    order = made.sampler  # a batch sampler given as sampler, with batch_size=None
    inner = getattr(order, "batch_sampler", order)
    return next((loader for loader in list(_asked) if loader.sampler is inner), None)


def _why_not(module: Any, prepared: Any, made: Any) -> str:
    if type(prepared) is not module.DataLoaderShard:
        return (
            "with dispatch_batches=True one process loads the batches of all; leave it out of "
            "Accelerate's DataLoaderConfiguration"
        )
    if type(made) is not torch.utils.data.DataLoader:
        return (
            "use_stateful_dataloader=True asks for torchdata's loader; stoker.DataLoader has a state anyway"
        )
    if module.PartialState().distributed_type == module.DistributedType.XLA:
        return "on XLA devices Accelerate wraps torch's DataLoader"
    if isinstance(made.dataset, torch.utils.data.IterableDataset):
        return "the dataset is iterable"
    return ""
