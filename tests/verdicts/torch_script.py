"""A script with torch's DataLoader, as people have them: knows nothing of Stoker. See torch_loops.py.

python torch_script.py SCENARIO DIR     DIR: of photographs
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

BATCH = 8
ROWS = 100_000


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Photographs(Dataset[Any]):
    """Opened by Pillow; ``scenario`` says what else happens."""

    def __init__(self, folder: Path, scenario: str) -> None:
        self.files = sorted(folder.glob("*.jpg"))
        self.scenario = scenario

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        if self.scenario == "storage":
            time.sleep(0.03)
        if self.scenario == "bursts" and index // BATCH % 8 == 7:
            time.sleep(0.06)
        image = Image.open(self.files[index % len(self.files)]).convert("RGB")
        if self.scenario == "transform":
            sharpened(image)
        side = min(64, *image.size)
        pixels = bytearray(image.crop((0, 0, side, side)).tobytes())
        return torch.frombuffer(pixels, dtype=torch.uint8).view(side, side, 3)


def sharpened(image: Image.Image) -> Image.Image:
    burn(0.03)
    return image


def main(scenario: str, folder: Path) -> None:
    """Trains for some seconds: workers, and the seconds that a step sleeps, by the scenario."""
    workers, step_s, seconds = {
        "one worker": (1, 0.002, 4.0),
        "no workers": (0, 0.002, 4.0),
        "quick loader": (2, 0.1, 4.0),
        "bursts": (2, 0.03, 6.0),
        "storage": (2, 0.01, 4.0),
    }.get(scenario, (2, 0.002, 4.0))
    end = time.perf_counter() + seconds
    for _ in DataLoader(Photographs(folder, scenario), BATCH, num_workers=workers):
        time.sleep(step_s)
        if time.perf_counter() >= end:
            break


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
