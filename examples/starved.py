"""A training that starves, to be diagnosed: docs/diagnose.md walks through it.

    stoker diagnose examples/starved.py                     torch's DataLoader, Pillow, one worker
    stoker diagnose examples/starved.py --loader stoker     the same with one import changed

Trains a small network on the photographs below --data (one folder for each class), by default those of
`stoker demo`. Needs torch, Pillow and torchvision; without a usable torchvision the transforms are made of
Pillow and torch alone, and the diagnosis cannot say what Stoker's would bring.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Photographs(torch.utils.data.Dataset[Any]):
    """One sample for each file, opened by Pillow: what many scripts have.

    ``stoker_sample`` is all that Stoker's loader needs to do the same natively.
    """

    def __init__(self, root: Path, transform: Any) -> None:
        classes = sorted(folder for folder in root.iterdir() if folder.is_dir()) or [root]
        self.samples = [(file, n) for n, c in enumerate(classes) for file in sorted(c.iterdir())]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        file, target = self.samples[index]
        return self.transform(Image.open(file).convert("RGB")), target

    def stoker_sample(self, index: int) -> tuple[Path, int]:
        return self.samples[index]


def training_transform() -> Any:
    try:
        from torchvision import transforms
    except (ImportError, RuntimeError):  # missing, or made for another torch
        return pillow_transform
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def pillow_transform(image: Image.Image) -> torch.Tensor:
    """A random square, resized, as a normalized tensor (3, 224, 224)."""
    side = max(1, int(min(image.size) * float(torch.empty(()).uniform_(0.3, 1))))
    left = int(torch.randint(image.width - side + 1, ()))
    top = int(torch.randint(image.height - side + 1, ()))
    crop = image.resize((224, 224), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    pixels = torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(224, 224, 3)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.permute(2, 0, 1) / 255 - mean) / std


def network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of photographs; default: those of stoker demo")
    parser.add_argument("--loader", choices=("torch", "stoker"), default="torch")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    if args.data is None:
        from stoker.demo.photos import demo_photos

        args.data = demo_photos()
    if args.loader == "torch":
        from torch.utils.data import DataLoader
    else:
        from stoker import DataLoader
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    dataset = Photographs(args.data, training_transform())
    loader = DataLoader(dataset, batch_size=32, shuffle=True, num_workers=args.workers)
    model = network(1 + max(target for _, target in dataset.samples)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        began = time.perf_counter()
        for images, targets in loader:
            loss = nn.functional.cross_entropy(model(images.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rate = len(dataset) / (time.perf_counter() - began)
        print(f"epoch {epoch}: loss {loss.item():.3f}, {rate:,.0f} images/s")


if __name__ == "__main__":
    main()
