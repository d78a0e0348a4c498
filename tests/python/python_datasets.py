"""Datasets that only Python can read."""

from typing import Any

import torch.utils.data as torch_data


class Opaque(torch_data.Dataset[Any]):
    """Another dataset's samples, by a class that the core does not know."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]
