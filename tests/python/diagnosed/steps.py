"""Steps that sleep, on batches that need some time or none, changed in place; counts what it was given."""

import os
import random
import signal
import sys
import time

import torch
from torch.utils.data import DataLoader


class Slow:
    def __init__(self, load_s):
        self.load_s = load_s

    def __len__(self):
        return 240

    def __getitem__(self, index):
        time.sleep(self.load_s)
        return {"number": torch.tensor([index]), "noise": torch.rand(1) + random.random()}


if __name__ == "__main__":
    load_s, step_s = float(sys.argv[1]), float(sys.argv[2])
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
    torch.manual_seed(0)
    random.seed(0)
    seen = []
    for batch in DataLoader(Slow(load_s), 4, shuffle=True, num_workers=2):
        numbers = batch.pop("number")
        seen.append((numbers.flatten().tolist(), batch["noise"].flatten().tolist()))
        numbers -= 1000
        time.sleep(step_s)
    own = [batch for number, batch in enumerate(seen) if batch not in seen[:number]]
    print(len(seen), file=sys.stderr)
    print(own, torch.rand(1), random.random())
    while "stubborn" in sys.argv:
        time.sleep(0.1)
