"""Train an image classifier with Hugging Face Accelerate, fed by Stoker.

    python accelerate_train.py DATA
    accelerate launch --num-processes 8 accelerate_train.py DATA
    torchrun --standalone --nproc-per-node 8 accelerate_train.py DATA

DATA holds `train/` and `val/`, each with one folder for each class. All that is Stoker's in the loop is where
`prepare` and `skip_first_batches` come from: Accelerate's own would put torch's DataLoader in the place
of Stoker's. Needs accelerate, torch and stoker.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

import stoker
from stoker import transforms as T
from stoker.accelerate import prepare, skip_first_batches

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B


def make_loaders(args: argparse.Namespace) -> tuple[Any, Any]:
    to_tensor = [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
    train_set = stoker.ImageFolder(
        args.data / "train", T.Compose([T.RandomResizedCrop(args.size), T.RandomHorizontalFlip(), *to_tensor])
    )
    val_set = stoker.ImageFolder(
        args.data / "val", T.Compose([T.Resize(args.size * 256 // 224), T.CenterCrop(args.size), *to_tensor])
    )
    options: dict[str, Any] = {"batch_size": args.batch_size, "num_workers": args.workers}
    return stoker.DataLoader(train_set, shuffle=True, **options), stoker.DataLoader(val_set, **options)


def make_model(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 8, stride=8, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


@torch.no_grad()
def accuracy(accelerator: Accelerator, model: nn.Module, loader: Any) -> tuple[int, int]:
    """How many validation images of all processes are right, and how many there are."""
    model.eval()
    right = seen = 0
    for images, labels in loader:
        guesses = model(images).argmax(1)
        # Without those that Accelerate has given twice to make the last batches equal.
        guesses, labels = accelerator.gather_for_metrics((guesses, labels))
        right += int((guesses == labels).sum())
        seen += len(labels)
    return right, seen


def train_epoch(accelerator: Accelerator, model: nn.Module, optimizer: Any, loader: Any) -> float:
    """The mean of the steps' losses, of all processes."""
    model.train()
    losses = []
    for images, labels in loader:  # on the device already
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        losses.append(loss.detach())
    return float(accelerator.gather(torch.stack(losses)).mean())


def worker_count(text: str) -> int | str:
    return text if text == "auto" else int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/ and val/, each with a folder per class")
    parser.add_argument("--workers", type=worker_count, default="auto", help='of each process; or "auto"')
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64, help="of each process")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--size", type=int, default=224, help="side of the crops in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0, metavar="STEPS", help="of the first epoch")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    set_seed(args.seed)
    train_loader, val_loader = make_loaders(args)
    model = make_model(len(train_loader.dataset.classes))
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9)
    model, optimizer, train_loader, val_loader = prepare(
        accelerator, model, optimizer, train_loader, val_loader
    )
    if not train_loader.native:
        raise RuntimeError(str(train_loader.plan()))
    print(
        f"process {accelerator.process_index}: {type(train_loader.base_dataloader).__module__}, native, "
        f"{len(train_loader)} batches an epoch",
        flush=True,
    )
    for epoch in range(args.epochs):
        loader = train_loader
        if epoch == 0 and args.skip:
            loader = skip_first_batches(train_loader, args.skip)
        loss = train_epoch(accelerator, model, optimizer, loader)
        right, seen = accuracy(accelerator, model, val_loader)
        accelerator.print(f"epoch {epoch}: loss {loss:.4f}, {right:,} of {seen:,} right", flush=True)
    accelerator.print(train_loader.report())
    # The model goes before the process group: torch may wait for ever the other way round.
    model, optimizer = accelerator.free_memory(model, optimizer)
    accelerator.end_training()


if __name__ == "__main__":
    main()
