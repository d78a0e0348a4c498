"""What test_accelerate.py runs in each of two processes; prints a line of JSON for each.

torchrun … accelerate_ranks.py FOLDER FOUND
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import accelerate
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed

import stoker
from stoker import accelerate as stoker_accelerate
from stoker import transforms as T

COUNT = 37


def labels_of(loader: Any) -> list[list[int]]:
    return [labels.tolist() for _, labels in loader]


def prepared(accelerator: Accelerator, plain: bool, loader: Any) -> Any:
    return accelerator.prepare(loader) if plain else stoker_accelerate.prepare(accelerator, loader)


def find(dataset: stoker.ImageList, seedable: bool, plain: bool) -> dict[str, Any]:
    config = DataLoaderConfiguration(use_seedable_sampler=seedable)
    accelerator = Accelerator(cpu=True, dataloader_config=config)
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "num_workers": 1}

    def torchs() -> Any:
        set_seed(3)
        return accelerator.prepare(torch.utils.data.DataLoader(dataset, **{**options, "num_workers": 0}))

    def ours() -> Any:
        set_seed(3)
        return prepared(accelerator, plain, stoker.DataLoader(dataset, **options))

    loader = ours()
    found: dict[str, Any] = {
        "native": loader.native,
        "inner": type(loader.base_dataloader).__module__,
        "length": len(loader),
        "epochs": [labels_of(loader), labels_of(loader)],
        "samples": loader.stats().samples,
    }
    reference = torchs()
    found["torchs epochs"] = [labels_of(reference), labels_of(reference)]

    loader = ours()
    found["gathered"] = []
    for _, labels in loader:
        found["gathered"] += accelerator.gather_for_metrics(labels).tolist()

    loader = ours()
    skipping = (accelerate if plain else stoker_accelerate).skip_first_batches(loader, 2)
    found["skipping is native"] = skipping.native
    found["skipping"] = labels_of(skipping)

    # In the middle of the second epoch.
    loader = ours()
    labels_of(loader)
    state, rest = None, []
    for number, (images, labels) in enumerate(loader):
        if state is not None:
            rest.append((images, labels))
        if number == 1:
            state = json.loads(json.dumps(loader.state_dict()))
    resumed = ours()
    resumed.load_state_dict(state)
    resumed.set_epoch(1)
    again = list(resumed)
    found["resumed"] = len(again) == len(rest) and all(
        torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(again, rest)
    )

    config.even_batches = False
    uneven = Accelerator(cpu=True, dataloader_config=config)
    found["uneven"] = labels_of(prepared(uneven, plain, stoker.DataLoader(dataset, **options)))
    return found


def main(folder: str, found_path: str) -> None:
    paths = sorted(Path(folder).iterdir())[:COUNT]
    dataset = stoker.ImageList(paths, range(COUNT), T.RandomCrop(16))
    found = {
        f"{name}{' plain' if plain else ''}": find(dataset, name == "seedable", plain)
        for name in ("seedable", "shared generator")
        for plain in (False, True)
    }
    accelerator = Accelerator(cpu=True)
    Path(f"{found_path}.{accelerator.process_index}").write_text(json.dumps(found))
    accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
