"""Train an image classifier with Lightning, fed by Stoker.

    python lightning_train.py DATA --devices 2
    python lightning_train.py DATA --devices 2 --resume CHECKPOINT

DATA holds `train/` and `val/`, each with one folder for each class. Lightning gives each process its share
of the images: it makes the loader anew, with a DistributedSampler. The new one is Stoker's again, as
each process says when it begins.

Lightning puts the loader's `state_dict()` into its checkpoints, so that training goes on behind the last
batch, in the middle of an epoch too.
Needs lightning, torch and stoker.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

import stoker
from stoker import transforms as T

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B


class Photos(lightning.LightningDataModule):
    def __init__(self, root: Path, batch_size: int, size: int, workers: int | str) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"batch_size": batch_size, "num_workers": workers}
        to_tensor = [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
        self.train_set = stoker.ImageFolder(
            root / "train", T.Compose([T.RandomResizedCrop(size), T.RandomHorizontalFlip(), *to_tensor])
        )
        self.val_set = stoker.ImageFolder(
            root / "val", T.Compose([T.Resize(size * 256 // 224), T.CenterCrop(size), *to_tensor])
        )

    def train_dataloader(self) -> Any:
        return stoker.DataLoader(self.train_set, shuffle=True, **self.options)

    def val_dataloader(self) -> Any:
        return stoker.DataLoader(self.val_set, **self.options)


class Classifier(lightning.LightningModule):
    def __init__(self, classes: int, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.network = nn.Sequential(
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

    def on_train_start(self) -> None:
        loader = self.trainer.train_dataloader  # as Lightning has made it anew
        if not isinstance(loader, stoker.DataLoader) or not loader.native:
            raise RuntimeError(f"Lightning has put a {type(loader).__name__} in place of Stoker's loader")
        print(
            f"process {self.global_rank}: stoker.DataLoader, native, {len(loader)} batches an epoch, "
            f"{type(loader.sampler).__name__}",
            flush=True,
        )

    def training_step(self, batch: Any, batch_index: int) -> torch.Tensor:
        images, labels = batch
        loss = nn.functional.cross_entropy(self.network(images), labels)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_index: int) -> None:
        images, labels = batch
        right = self.network(images).argmax(1) == labels
        self.log("accuracy", right.float().mean(), prog_bar=True, sync_dist=True)

    def on_train_epoch_end(self) -> None:
        loss = self.trainer.callback_metrics.get("loss")  # None after an epoch without batches
        self.print(f"epoch {self.current_epoch}: " + ("no batches" if loss is None else f"loss {loss:.4f}"))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)


def worker_count(text: str) -> int | str:
    return text if text == "auto" else int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/ and val/, each with a folder per class")
    parser.add_argument("--accelerator", default="auto", help="as Lightning's Trainer has it")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--workers", type=worker_count, default="auto", help='of each process; or "auto"')
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64, help="of each process")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--size", type=int, default=224, help="side of the crops in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"), help="folder to write to")
    parser.add_argument("--save-every", type=int, metavar="STEPS", help="without: after each epoch")
    parser.add_argument("--resume", type=Path, metavar="CHECKPOINT")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    lightning.seed_everything(args.seed)
    photos = Photos(args.data, args.batch_size, args.size, args.workers)
    trainer = lightning.Trainer(
        accelerator=args.accelerator,
        devices=args.devices,
        strategy=args.strategy,
        max_epochs=args.epochs,
        callbacks=[
            ModelCheckpoint(
                args.checkpoints, "{epoch}-{step}", save_top_k=-1, every_n_train_steps=args.save_every
            )
        ],
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    trainer.fit(Classifier(len(photos.train_set.classes), args.lr), photos, ckpt_path=args.resume)
    loader = trainer.train_dataloader
    if trainer.is_global_zero and isinstance(loader, stoker.DataLoader):
        print(loader.report())


if __name__ == "__main__":
    main()
