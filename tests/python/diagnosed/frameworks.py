"""A model trained by Lightning and by Accelerate, with loaders of torch's, and loops with Stoker's."""

import logging
import sys
import warnings
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision_operators import define_operators

import stoker


def data(size):
    return TensorDataset(torch.arange(size * 4.0).view(size, 4) / size, torch.arange(size) % 2)


def lightning_run():
    import lightning

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def training_step(self, batch, number):
            return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

        def validation_step(self, batch, number):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
    model = Model()
    trainer.fit(model, DataLoader(data(64), 4, shuffle=True), DataLoader(data(12), 4))
    print(trainer.global_step)


def accelerate_run():
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(4, 2)
    loader = DataLoader(data(72), 4, shuffle=True, num_workers=1)
    model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.1), loader)
    for _ in range(2):
        for images, targets in loader:
            optimizer.zero_grad()
            accelerator.backward(torch.nn.functional.cross_entropy(model(images), targets))
            optimizer.step()
    print(len(loader), type(loader).__name__)


def stokers_run(folder):
    files = sorted(Path(folder).iterdir())
    images = stoker.ImageList(files, range(len(files)), stoker.transforms.CenterCrop(32))
    loader = stoker.DataLoader(images, 4, num_workers=1)
    print([t.tolist() for _ in range(2) for _, t in loader])
    print([t.tolist() for _, t in stoker.DataLoader(data(16), 2, shuffle=True, num_workers=1)])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    define_operators()  # torchvision's, which Lightning imports
    torch.manual_seed(0)
    lightning_run()
    accelerate_run()
    stokers_run(sys.argv[1])
