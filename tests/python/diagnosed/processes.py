"""Loaders in a script's other processes, and one whose worker is killed."""

import multiprocessing
import os
import signal
import sys
import time

from torch.utils.data import DataLoader, get_worker_info


class Numbers:
    def __init__(self, name, size, kill=-1):
        self.name, self.size, self.kill = name, size, kill

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index == self.kill and get_worker_info() is not None:
            time.sleep(1)  # until the batches before have been fetched from this process
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)
        return index


def run(name, size, workers):
    print(
        name, sum(len(batch) for batch in DataLoader(Numbers(name, size), 2, num_workers=workers)), flush=True
    )


if __name__ == "__main__":
    run("parent", 100, 1)
    inherited = iter(DataLoader(Numbers("inherited", 64), 2))
    next(inherited)
    if os.fork() == 0:
        run("fork", 20, 1)
        print("inherited", sum(1 for _ in inherited), flush=True)
        sys.exit(0)
    os.wait()
    for method, size in (("fork", 30), ("spawn", 40)):
        process = multiprocessing.get_context(method).Process(target=run, args=(method, size, 0))
        process.start()
        process.join()
        print(process.exitcode, flush=True)
    try:
        list(DataLoader(Numbers("killed", 50, kill=21), 2, num_workers=1))
    except RuntimeError as error:
        print(str(error).replace("0", "").split("(pid")[0], flush=True)
    if "dies" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
