"""Shards for ranks: what ``DataLoader(shard="auto")`` puts in place of a sampler."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch.distributed
from torch.utils.data.distributed import DistributedSampler

__all__ = ["ShardSampler", "rank_and_world_size"]


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank, and how many there are: of torch.distributed, else RANK and WORLD_SIZE.

    Raises:
        ValueError: one of the variables is set without the other, or is no number in range.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and world_size is None:
        return 0, 1
    try:
        numbers = int(rank or ""), int(world_size or "")
    except ValueError:
        raise ValueError(f"RANK and WORLD_SIZE must be ints, got {rank!r} and {world_size!r}") from None
    if not 0 <= numbers[0] < numbers[1]:
        raise ValueError(f"RANK {numbers[0]} is not below WORLD_SIZE {numbers[1]}")
    return numbers


def ranks_of(*samplers: Any) -> int:
    """How many ranks share the samples, as far as can be seen: from torch.distributed, WORLD_SIZE, and
    samplers that deal to several (torch's DistributedSampler, Accelerate's BatchSamplerShard)."""
    found = [1]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        found.append(torch.distributed.get_world_size())
    else:
        with contextlib.suppress(ValueError):
            found.append(int(os.environ.get("WORLD_SIZE", "")))
    for sampler in samplers:
        for name in ("num_replicas", "num_processes"):
            count = getattr(sampler, name, None)
            if isinstance(count, int):
                found.append(count)
    return max(found)


class ShardSampler(DistributedSampler[Any]):
    """torch's DistributedSampler, which goes on to the next epoch by itself.

    Each pass uses ``epoch`` and moves on; ``set_epoch`` says which one the next pass is. The order is
    that of torch's class for the same seed and epoch.

    Attributes:
        alone: it was made for a process without ranks; where that is one of several by now, each would get
            all samples, and asking for indices raises RuntimeError.
    """

    alone = False

    def __iter__(self) -> Iterator[Any]:
        # Begun late: a loader makes iterators that it does not use.
        if self.alone and rank_and_world_size()[1] > 1:
            raise RuntimeError(
                'the loader with shard="auto" was made before this process was one of several ranks: make it '
                "behind init_process_group (or where RANK and WORLD_SIZE are set)"
            )
        order = super().__iter__()
        self.epoch += 1
        yield from order
