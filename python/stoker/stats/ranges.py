"""Named ranges around the training loop's waits, for profilers that happen to look.

``torch.profiler`` shows them as "stoker: wait for batch", Nsight Systems as NVTX ranges of that name. Where
nobody looks and CUDA is not in use, a range costs a check of two flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch

WAIT = "stoker: wait for batch"
_NONE: AbstractContextManager[Any] = nullcontext()
_profiler_enabled: Any = torch.autograd._profiler_enabled  # type: ignore[attr-defined]


@contextmanager
def _nvtx(name: str) -> Iterator[None]:
    nvtx: Any = torch.cuda.nvtx
    nvtx.range_push(name)
    try:
        yield
    finally:
        nvtx.range_pop()


def is_cuda_in_use() -> bool:
    """Whether this process has begun to use CUDA."""
    in_use: Any = torch.cuda.is_initialized
    return bool(in_use())


def wait_range() -> AbstractContextManager[Any]:
    """A context in which the training loop waits for a batch."""
    profiled, cuda = _profiler_enabled(), is_cuda_in_use()
    if not profiled and not cuda:
        return _NONE
    both = ExitStack()
    if profiled:
        both.enter_context(torch.profiler.record_function(WAIT))
    if cuda:
        both.enter_context(_nvtx(WAIT))
    return both
