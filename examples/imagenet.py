"""Train an image classifier on ImageNet, or on any folder laid out like it, on one GPU or many.

    python imagenet.py DATA --arch resnet18
    torchrun --standalone --nproc-per-node 8 imagenet.py DATA --arch resnet50 --amp
    torchrun --standalone --nproc-per-node 8 imagenet.py DATA --arch resnet50 --amp --resume checkpoint.pt

The last goes on where the checkpoint was written, in the middle of an epoch too.

DATA holds `train/` and `val/`, each with one folder for each class. Datasets and transforms are
torchvision's; `--loader torch` and `--loader stoker` differ in where `DataLoader` is imported from
(`import_data_loader`), and in nothing else. Needs torch, torchvision and, for the second, stoker.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torchvision
from torch import nn
from torch.utils.data import Subset
from torch.utils.data.distributed import DistributedSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

# ---- The loader: the one place where the two differ ---------------------------------------------


def import_data_loader(name: str) -> Any:
    if name == "stoker":
        from stoker import DataLoader
    else:
        from torch.utils.data import DataLoader
    return DataLoader


# ---- Data ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together, as torchrun has set it up."""

    rank: int = int(os.environ.get("RANK", "0"))
    local_rank: int = int(os.environ.get("LOCAL_RANK", "0"))
    count: int = int(os.environ.get("WORLD_SIZE", "1"))


def make_datasets(args: argparse.Namespace) -> tuple[ImageFolder, ImageFolder]:
    normalize = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for_training = transforms.Compose(
        [
            transforms.RandomResizedCrop(args.size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            normalize,
        ]
    )
    for_validation = transforms.Compose(
        [
            transforms.Resize(args.size * 256 // 224),
            transforms.CenterCrop(args.size),
            transforms.ToTensor(),
            normalize,
        ]
    )
    return ImageFolder(args.data / "train", for_training), ImageFolder(args.data / "val", for_validation)


def make_loaders(args: argparse.Namespace, ranks: Ranks, device: torch.device) -> tuple[Any, Any]:
    """The loaders of this rank's share of the training and of the validation images."""
    data_loader = import_data_loader(args.loader)
    train_set, val_set = make_datasets(args)
    options = {
        "batch_size": args.batch_size,
        "num_workers": args.workers,
        "pin_memory": device.type == "cuda",
        "persistent_workers": args.workers > 0,
    }
    # With one rank too: its order is a function of seed and epoch, whatever else draws random numbers.
    sampler = DistributedSampler(train_set, ranks.count, ranks.rank, shuffle=True, seed=args.seed)
    # Not a sampler here: that would give some images twice, to make the shares equal.
    share = Subset(val_set, range(ranks.rank, len(val_set), ranks.count))
    return data_loader(train_set, sampler=sampler, **options), data_loader(share, **options)


# ---- Model --------------------------------------------------------------------------------------


def make_model(arch: str, classes: int) -> nn.Module:
    if arch != "tiny":
        model: nn.Module = torchvision.models.get_model(arch, num_classes=classes)
        return model
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


class Training:
    """What is trained, and how far it is: all that a checkpoint holds."""

    def __init__(self, args: argparse.Namespace, ranks: Ranks, device: torch.device, classes: int) -> None:
        self.device, self.ranks, self.amp = device, ranks, args.amp
        self.model = make_model(args.arch, classes).to(device)
        self.wrapped = nn.parallel.DistributedDataParallel(self.model) if ranks.count > 1 else self.model
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), args.lr, momentum=args.momentum, weight_decay=args.wd
        )
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=30, gamma=0.1)
        self.scaler = torch.amp.GradScaler(device.type, enabled=args.amp)
        self.epoch = 0  # the present one
        self.step = 0  # of the present epoch: how many are done
        self.steps_done = 0  # by this process
        self.again = 0  # batches done that the loader gives once more
        self.best_top1 = 0.0

    def save(self, path: Path, loader: Any) -> None:
        """Write a checkpoint. All ranks must call it: each has its own place in the data."""
        where = loader.state_dict() if hasattr(loader, "state_dict") else None
        places = [where] * self.ranks.count
        if self.ranks.count > 1:
            dist.all_gather_object(places, where)
        if self.ranks.rank > 0:
            return
        checkpoint = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "best_top1": self.best_top1,
            "loaders": places,
        }
        unfinished = path.with_suffix(".tmp")
        torch.save(checkpoint, unfinished)
        os.replace(unfinished, path)

    def load(self, path: Path, loader: Any) -> None:
        checkpoint = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        if checkpoint["scaler"]:  # empty without --amp
            self.scaler.load_state_dict(checkpoint["scaler"])
        self.epoch, self.step = checkpoint["epoch"], checkpoint["step"]
        self.best_top1 = checkpoint["best_top1"]
        places = checkpoint["loaders"]
        if hasattr(loader, "load_state_dict") and places[0] is not None:
            same = len(places) == self.ranks.count  # else one state, by which the rest is dealt anew
            loader.load_state_dict(places[self.ranks.rank] if same else places[0])
        else:  # torch's loader has no state: its batches are loaded, and left out
            self.again = self.step


# ---- Training and validation --------------------------------------------------------------------


def train_epoch(training: Training, loader: Any, args: argparse.Namespace) -> bool:
    """Train to the end of the present epoch; False where `--stop-after` ends it before."""
    if training.step == len(loader):  # of a checkpoint of its last step: the loader stands at the next epoch
        return True
    batch_s, data_s = AverageMeter("Time", ".3f"), AverageMeter("Data", ".3f")
    losses, top1, top5 = (
        AverageMeter("Loss", ".4e"),
        AverageMeter("Acc@1", ".2f"),
        AverageMeter("Acc@5", ".2f"),
    )
    progress = ProgressMeter(len(loader), [batch_s, data_s, losses, top1, top5], f"Epoch: [{training.epoch}]")
    loader.sampler.set_epoch(training.epoch)
    training.model.train()
    asked_s = time.monotonic()
    for number, (images, labels) in enumerate(loader):
        if number < training.again:
            continue
        data_s.update(time.monotonic() - asked_s)
        images = images.to(training.device, non_blocking=True)
        labels = labels.to(training.device, non_blocking=True)

        with torch.autocast(training.device.type, enabled=training.amp):
            output = training.wrapped(images)
            loss = nn.functional.cross_entropy(output, labels)
        training.optimizer.zero_grad()
        training.scaler.scale(loss).backward()
        training.scaler.step(training.optimizer)
        training.scaler.update()

        training.step += 1
        training.steps_done += 1
        batch_s.update(time.monotonic() - asked_s)
        if training.step % args.print_every == 0 or training.step == len(loader):
            # Only here, as each .item() waits for the device.
            correct1, correct5 = correct(output, labels)
            losses.update(loss.item(), len(labels))
            top1.update(100 * correct1.item() / len(labels), len(labels))
            top5.update(100 * correct5.item() / len(labels), len(labels))
            if training.ranks.rank == 0:
                progress.show(training.step)
        stop = training.steps_done == args.stop_after
        if stop or (args.save_every and training.step % args.save_every == 0):
            training.save(args.checkpoint, loader)
        if stop:
            return False
        asked_s = time.monotonic()
    return True


@torch.no_grad()
def validate(training: Training, loader: Any) -> float:
    """Top-1 accuracy in percent on all validation images, each counted once, of all ranks."""
    # Of the loss, of images right at the first guess and among the first five, of all images.
    sums = torch.zeros(4, dtype=torch.float64, device=training.device)
    training.model.eval()
    for images, labels in loader:
        images = images.to(training.device, non_blocking=True)
        labels = labels.to(training.device, non_blocking=True)
        with torch.autocast(training.device.type, enabled=training.amp):
            output = training.model(images)
            loss = nn.functional.cross_entropy(output, labels, reduction="sum")
        top1, top5 = correct(output, labels)
        sums += torch.stack([loss.double(), top1, top5, torch.full_like(top1, len(labels))])
    if training.ranks.count > 1:
        dist.all_reduce(sums)
    loss_sum, right1, right5, images_seen = sums.tolist()
    if training.ranks.rank == 0:
        print(
            f" *   Acc@1 {100 * right1 / images_seen:.3f} Acc@5 {100 * right5 / images_seen:.3f} "
            f"Loss {loss_sum / images_seen:.4e}   {images_seen:,.0f} images",
            flush=True,
        )
    return 100 * right1 / images_seen


def correct(output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many images of a batch are right at the first guess, and among the first five."""
    guesses = output.topk(min(5, output.shape[1]), dim=1).indices
    right = guesses == labels.unsqueeze(1)
    return right[:, 0].sum(), right.sum()


class AverageMeter:
    """The last value of something, and its average."""

    def __init__(self, name: str, form: str) -> None:
        self.name, self.form = name, form
        self.value = self.total = 0.0
        self.count = 0

    def update(self, value: float, weight: int = 1) -> None:
        self.value, self.total = value, self.total + value * weight
        self.count += weight

    def __str__(self) -> str:
        average = self.total / max(1, self.count)
        return f"{self.name} {self.value:{self.form}} ({average:{self.form}})"


class ProgressMeter:
    """A line on how far an epoch is, with the meters' values."""

    def __init__(self, steps: int, meters: list[AverageMeter], prefix: str) -> None:
        self.steps, self.meters, self.prefix = steps, meters, prefix

    def show(self, step: int) -> None:
        counted = f"[{step:>{len(str(self.steps))}}/{self.steps}]"
        print("\t".join([self.prefix + counted, *map(str, self.meters)]), flush=True)


# ---- The whole ----------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/ and val/, each with a folder per class")
    parser.add_argument("--loader", choices=["torch", "stoker"], default="stoker")
    parser.add_argument("-a", "--arch", default="resnet18", help="one of torchvision.models, or tiny")
    parser.add_argument("-j", "--workers", type=int, default=4, help="of each process")
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("-b", "--batch-size", type=int, default=256, help="of each process")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--wd", type=float, default=1e-4, help="weight decay")
    parser.add_argument("--size", type=int, default=224, help="side of the crops in pixels")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--print-every", type=int, default=10, metavar="STEPS")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoint.pt"), help="file to write")
    parser.add_argument("--save-every", type=int, default=0, metavar="STEPS", help="0: after each epoch only")
    parser.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="go on where this was written")
    parser.add_argument(
        "--stop-after", type=int, default=0, metavar="STEPS", help="save and leave after these"
    )
    parser.add_argument("--evaluate", action="store_true", help="validate, and do not train")
    return parser.parse_args()


def run(args: argparse.Namespace, ranks: Ranks, device: torch.device) -> None:
    torch.manual_seed(args.seed)
    train_loader, val_loader = make_loaders(args, ranks, device)
    training = Training(args, ranks, device, len(train_loader.dataset.classes))
    if args.resume:
        training.load(args.resume, train_loader)
    if args.loader == "stoker" and ranks.rank == 0:
        print(val_loader.plan() if args.evaluate else train_loader.plan(), flush=True)
    if args.evaluate:
        validate(training, val_loader)
        return
    while training.epoch < args.epochs:
        if not train_epoch(training, train_loader, args):
            break
        training.best_top1 = max(training.best_top1, validate(training, val_loader))
        training.scheduler.step()
        training.epoch, training.step, training.again = training.epoch + 1, 0, 0
        training.save(args.checkpoint, train_loader)
    if args.loader == "stoker" and ranks.rank == 0:
        print(train_loader.report())


def main() -> None:
    args, ranks = parse_arguments(), Ranks()
    device = torch.device("cuda", ranks.local_rank) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if ranks.count > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        run(args, ranks, device)
    finally:
        if ranks.count > 1:
            dist.destroy_process_group()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("imagenet.py: interrupted")
