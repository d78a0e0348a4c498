"""Train a small image classifier on a folder of photographs, fed by torch's DataLoader or Stoker.

    python train.py --data DIR --loader torch
    python train.py --data DIR --loader stoker

DIR holds one folder per class, with images in it. The two loaders deliver the same kind of batch,
`[images, labels]`, so model and loop are the same for both; all that differs is in `torch_loader`
and `stoker_loader` below. Needs torch, NumPy, Pillow and, for the second, stoker.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


# ---- The two loaders: the one place where they differ -------------------------------------------


def torch_loader(args: argparse.Namespace) -> Any:
    dataset = PillowFolder(args.data, TrainTransform(args.image_size))
    return torch.utils.data.DataLoader(
        dataset,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=args.device.type != "cpu",
        persistent_workers=args.workers > 0,
    )


def stoker_loader(args: argparse.Namespace) -> Any:
    import stoker
    from stoker import transforms as T

    transform = T.Compose(
        [
            T.RandomResizedCrop(args.image_size),
            T.RandomHorizontalFlip(),
            T.ToDtype(torch.float32, scale=True),
            T.Normalize(MEAN, STD),
        ]
    )
    dataset = stoker.ImageFolder(args.data, transform=transform)
    return stoker.DataLoader(
        dataset,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=args.device.type != "cpu",
        persistent_workers=args.workers > 0,
    )


def cached_loader(args: argparse.Namespace) -> Any:
    """One batch over and over: what training costs when loading is free. For comparison only."""
    dataset = PillowFolder(args.data, TrainTransform(args.image_size))
    count, size = len(dataset), min(args.batch_size, len(dataset))
    chosen = random.sample(range(count), size)
    images, labels = torch.utils.data.default_collate([dataset[index] for index in chosen])
    sizes = [min(size, count - start) for start in range(0, count, size)]
    return [(images[:length], labels[:length]) for length in sizes]


LOADERS = {"torch": torch_loader, "stoker": stoker_loader, "cached": cached_loader}


# ---- What torch's DataLoader needs: a dataset and its transforms, as usually written ------------


class PillowFolder(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Images of a folder of class folders, opened with Pillow."""

    def __init__(self, root: Path, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files = labelled_images(root)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        file, label = self.files[index]
        with Image.open(file) as image:
            return self.transform(image.convert("RGB")), label


class TrainTransform:
    """RandomResizedCrop, RandomHorizontalFlip, to float in 0..1, Normalize: as torchvision's."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.mean = torch.tensor(MEAN).view(3, 1, 1)
        self.std = torch.tensor(STD).view(3, 1, 1)

    def __call__(self, image: Image.Image) -> torch.Tensor:
        image = image.crop(random_crop_box(image.width, image.height))
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels_chw = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels_chw.float().div_(255).sub_(self.mean).div_(self.std)


def random_crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    """A crop of 8 % to 100 % of the area, 3:4 to 4:3 in shape: (left, top, right, bottom)."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    # No luck: the largest allowed shape in the centre.
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def class_folders(root: Path) -> list[Path]:
    """The folders in `root`, sorted; a class's label is its folder's place in this list."""
    if not root.is_dir():
        sys.exit(f"train.py: {root} is not a folder")
    return sorted(entry for entry in root.iterdir() if entry.is_dir())


def labelled_images(root: Path) -> list[tuple[Path, int]]:
    """Every image in the class folders of `root`, with its label."""
    found = [
        (file, label)
        for label, folder in enumerate(class_folders(root))
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in EXTENSIONS
    ]
    if not found:
        sys.exit(f"train.py: {root} has no class folders with images (expected CLASS/NAME.jpg)")
    return found


# ---- Model and training -------------------------------------------------------------------------


def make_model(classes: int) -> nn.Module:
    """Three convolutions: small, so that one CPU core trains well over 1,000 images a second."""

    def block(channels_in: int, channels_out: int, size: int, stride: int) -> list[nn.Module]:
        padding = 0 if size == stride else size // 2
        convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding, bias=False)
        return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]

    return nn.Sequential(
        *block(3, 16, size=8, stride=8),
        *block(16, 32, size=3, stride=2),
        *block(32, 64, size=3, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


@dataclass
class Stopwatch:
    """What the training loop notes on the host's monotonic clock, in seconds."""

    began_s: float = field(default_factory=time.monotonic)
    wait_s: float = 0.0  # spent in iter() and next(), where the loop can do nothing else
    first_batch_s: float | None = None  # from `began_s` until the first batch was there

    def timed(self, loader: Any) -> Iterator[Any]:
        """Yield the batches of one epoch; add up how long each took to come."""
        asked_s = time.monotonic()
        for batch in loader:
            now_s = time.monotonic()
            self.wait_s += now_s - asked_s
            if self.first_batch_s is None:
                self.first_batch_s = now_s - self.began_s
            yield batch
            asked_s = time.monotonic()
        self.wait_s += time.monotonic() - asked_s  # to learn that the epoch is over


def train(loader: Any, classes: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train for `args.epochs` and return what was measured (see `--json` in the help)."""
    model = make_model(classes).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = images.to(args.device, non_blocking=True)
        labels = labels.to(args.device, non_blocking=True)
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach() * len(labels)

    # The first step loads libraries and picks kernels. No loader is to be blamed for that.
    blank = torch.zeros(args.batch_size, 3, args.image_size, args.image_size)
    step(blank, torch.zeros(args.batch_size, dtype=torch.long)).item()

    progress = ProgressBar(args.epochs * len(labelled_images(args.data)))
    watch = Stopwatch()
    images_done = 0
    for epoch in range(1, args.epochs + 1):
        epoch_loss, epoch_images = torch.zeros((), device=args.device), 0
        for images, labels in watch.timed(loader):
            epoch_loss += step(images, labels)
            epoch_images += len(labels)
            progress.show(images_done + epoch_images)
        loss = epoch_loss.item() / epoch_images  # .item() waits for the device to finish
        images_done += epoch_images
        elapsed_s = time.monotonic() - watch.began_s
        rate, wait_share = images_done / elapsed_s, watch.wait_s / elapsed_s
        progress.clear()
        print(
            f"epoch {epoch}/{args.epochs}  {rate:,.0f} images/s  "
            f"waited for data {100 * wait_share:.0f} % of the time  loss {loss:.3f}",
            flush=True,
        )
    return {
        "images": images_done,
        "epochs": args.epochs,
        "workers": args.workers,
        "device": str(args.device),
        "images_per_s": rate,
        "first_batch_s": watch.first_batch_s,
        "wait_share": wait_share,
        "loss": loss,
        "began_s": watch.began_s,
        "ended_s": watch.began_s + elapsed_s,
    }


class ProgressBar:
    """How far training is, on standard error: a bar on a terminal, a line every 30 s in a log."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.terminal = sys.stderr.isatty()
        self.began_s = self.shown_s = time.monotonic()

    def show(self, done: int) -> None:
        now_s = time.monotonic()
        if now_s - self.shown_s < (0.1 if self.terminal else 30):
            return
        self.shown_s = now_s
        rate = done / (now_s - self.began_s)
        left_s = (self.total - done) / rate
        text = f"{done:,} of {self.total:,} images  {rate:,.0f}/s  {left_s:,.0f} s left"
        if self.terminal:
            bar = "#" * (30 * done // self.total)
            text = f"\r{f'[{bar:.<30}] {text}':<79}"
        print(text, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.terminal:
            print(f"\r{'':<79}\r", end="", file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--loader", choices=LOADERS, default="stoker")
    parser.add_argument("--workers", type=int, default=2, help="as DataLoader's num_workers")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=224, help="side of the crops in pixels")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    has_accelerator = torch.accelerator.is_available()
    accelerator = torch.accelerator.current_accelerator() if has_accelerator else None
    args.device = accelerator or torch.device("cpu")
    # The cores are shared by the loader's workers and the training step: what the workers leave.
    # Otherwise the step's threads and the workers would keep pushing each other off the cores.
    torch.set_num_threads(max(1, torch.get_num_threads() - args.workers))
    torch.manual_seed(0)

    loader = LOADERS[args.loader](args)
    measured = train(loader, len(class_folders(args.data)), args)
    if args.loader == "stoker":
        print(loader.report())
    if args.json is not None:
        args.json.write_text(json.dumps({"loader": args.loader, **measured}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("train.py: interrupted")
