"""CPU time per image of a script with a Python transform between two known ones: torch's DataLoader
with Pillow against stoker.DataLoader on the same dataset. Pairs, one after the other; prints JSON.

    python custom_transform.py DIR [--workers 2] [--rounds 5]

DIR: one folder for each class.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
from torchvision_operators import define_operators

define_operators()

import torchvision  # noqa: E402
from torchvision import transforms as tv  # noqa: E402

import stoker  # noqa: E402


class Posterize:
    """A user's own transform: PIL image in, PIL image out."""

    def __call__(self, image: Any) -> Any:
        from PIL import ImageOps

        return ImageOps.posterize(image, 6)


def loader(name: str, folder: str, workers: int) -> Any:
    transform = tv.Compose(
        [
            tv.RandomResizedCrop(224),
            Posterize(),
            tv.RandomHorizontalFlip(),
            tv.ToTensor(),
            tv.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    dataset = torchvision.datasets.ImageFolder(folder, transform)
    kind = stoker.DataLoader if name == "stoker" else torch.utils.data.DataLoader
    return kind(dataset, 64, shuffle=True, num_workers=workers)


def cpu_ms_per_image(name: str, folder: str, workers: int) -> float:
    """Of an epoch in a process of its own, with its workers'; the imports left out."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        batches = loader(name, folder, workers)
        before = time.process_time()
        images = sum(len(labels) for _, labels in batches)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = time.process_time() - before + children.ru_utime + children.ru_stime
        os.write(write_end, json.dumps(1e3 * spent / images).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    result = float(json.loads(os.read(read_end, 100)))
    os.close(read_end)
    os.close(write_end)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows = []
    for _ in range(args.rounds):
        pair = {name: cpu_ms_per_image(name, args.folder, args.workers) for name in ("torch", "stoker")}
        rows.append(pair["stoker"] / pair["torch"])
        print(json.dumps({**pair, "ratio": rows[-1]}), flush=True)
    print(json.dumps({"median_ratio": statistics.median(rows), "rounds": args.rounds}))


if __name__ == "__main__":
    main()
