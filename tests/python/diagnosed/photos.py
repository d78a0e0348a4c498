"""Decodes JPEGs with Pillow and crops them: what a loader of torchvision's does, with a step that sleeps."""

import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

try:
    from torchvision_operators import define_operators

    torchvision = define_operators()
except ImportError:
    torchvision = False


class Photos(Dataset):
    def __init__(self, folder, copies, transform):
        self.files = sorted(Path(folder).iterdir()) * copies
        self.transform = transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB"))


def transform():
    from torchvision import transforms

    return transforms.Compose([transforms.CenterCrop(64), transforms.ToTensor()])


if __name__ == "__main__":
    folder, copies, workers, step_s = sys.argv[1:5]
    torch.set_num_threads(1)
    given = 0
    for batch in DataLoader(Photos(folder, int(copies), transform()), 8, num_workers=int(workers)):
        given += len(batch)
        time.sleep(float(step_s))
    print(given)
