"""Stoker: a training data loader for PyTorch with a C++ core.

    from stoker import DataLoader, ImageFolder, transforms as T

See the README for what it is, and ``help(stoker.DataLoader)``.
"""

from ._build import check_torch

check_torch()

from . import transforms  # noqa: E402
from ._dataset import Dataset  # noqa: E402
from .bad_samples import BadSample, TooManyErrorsError  # noqa: E402
from .dataloader import AutoWorkers, DataLoader  # noqa: E402
from .datasets import ImageFolder, ImageList, NativeDataset, decode  # noqa: E402
from .errors import DataError, StateError  # noqa: E402
from .plan import Plan  # noqa: E402
from .stats import Durations, IndexStats, LoaderStats  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "AutoWorkers",
    "BadSample",
    "DataError",
    "DataLoader",
    "Dataset",
    "Durations",
    "ImageFolder",
    "ImageList",
    "IndexStats",
    "LoaderStats",
    "NativeDataset",
    "Plan",
    "StateError",
    "TooManyErrorsError",
    "__version__",
    "decode",
    "transforms",
]
