"""Loaders of many kinds, and what each of them gives: the same with and without `stoker diagnose`."""

import copy
import hashlib
import itertools
import pickle
import random
import sys
import threading
import warnings

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    get_worker_info,
)


class Noisy(Dataset):
    """Samples that depend on every generator that a transform may draw from."""

    def __init__(self, size=24):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return index, torch.rand(2), random.random(), float(np.random.rand())


class Together(Noisy):
    def __getitems__(self, indices):
        return [(*self[i], len(indices)) for i in indices]


class Broken(Noisy):
    def __getitem__(self, index):
        if index == 13:
            raise KeyError("sample thirteen")
        return super().__getitem__(index)


class Stream(IterableDataset):
    def __init__(self, size=10):
        self.size = size

    def __iter__(self):  # draws when it is called, as it is no generator
        shift = float(torch.rand(()))
        info = get_worker_info()
        begin, by = (0, 1) if info is None else (info.id, info.num_workers)
        return ((i, shift + random.random()) for i in range(begin, self.size, by))


class MultiEpochs(DataLoader):
    """timm's: workers that outlive epochs, by an iterator that never ends."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._DataLoader__initialized = False
        self.batch_sampler = Endless(self.batch_sampler)
        self._DataLoader__initialized = True
        self.iterator = super().__iter__()

    def __len__(self):
        return len(self.batch_sampler.sampler)

    def __iter__(self):
        for _ in range(len(self)):
            yield next(self.iterator)


class Endless:
    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        while True:
            yield from iter(self.sampler)


def summed(samples):
    return len(samples), sum(s[2] for s in samples), float(np.random.rand())


def init(worker):
    info = get_worker_info()
    random.seed(info.seed % 1000)
    np.random.seed(worker)
    info.dataset.size  # noqa: B018 - the script's own dataset, not what stands for it
    assert type(info.dataset) is Noisy, type(info.dataset)


def show(name, batches):
    text = repr(list(batches))
    print(name, hashlib.sha256(text.encode()).hexdigest(), text[:80].replace("\n", " "))


def maps():
    yield "plain", DataLoader(Noisy(), 4, shuffle=True)
    yield "workers", DataLoader(Noisy(), 4, shuffle=True, num_workers=2, worker_init_fn=init)
    yield "samples", DataLoader(Noisy(), batch_size=None, num_workers=1)
    sampler = BatchSampler(SequentialSampler(range(24)), 5, drop_last=True)
    yield "batch_sampler", DataLoader(Noisy(), batch_sampler=sampler, num_workers=1)
    yield "sampler", DataLoader(Noisy(), sampler=RandomSampler(range(24)), batch_size=3, drop_last=True)
    yield "collate", DataLoader(Noisy(), 4, collate_fn=summed, num_workers=1)
    yield "together", DataLoader(Together(), 4, num_workers=1)
    yield "subset", DataLoader(Subset(Together(), range(3, 17)), 4)
    yield "tensors", DataLoader(TensorDataset(torch.arange(12)), 5)
    yield "list", DataLoader([1, 2, 3, 4, 5], 2)
    yield "pinned", DataLoader(Noisy(), 4, pin_memory=True)
    yield "pickled", pickle.loads(pickle.dumps(DataLoader(Noisy(), 4, num_workers=1)))
    yield "copied", copy.deepcopy(DataLoader(Noisy(), 4, shuffle=True))
    context = "forkserver" if "forkserver" in sys.argv else "spawn"
    yield context, DataLoader(Noisy(), 6, num_workers=1, worker_init_fn=init, multiprocessing_context=context)


def streams():
    for workers in (0, 2):
        yield f"stream {workers}", DataLoader(Stream(), 3, num_workers=workers)
        yield f"stream samples {workers}", DataLoader(Stream(), None, num_workers=workers)


def in_turn():
    loader = DataLoader(Noisy(), 4, shuffle=True, num_workers=1, persistent_workers=True)
    for _ in range(2):
        show("persistent", loader)
    loader = MultiEpochs(Noisy(), 4, shuffle=True, num_workers=1)
    for _ in range(2):
        show("endless", loader)
    show("zip", zip(DataLoader(Noisy(), 4), DataLoader(Noisy(), 4)))
    iterator = iter(DataLoader(Stream(), 2))
    show("drawn in between", [torch.rand(1), next(iterator)])
    half = iter(DataLoader(Noisy(), 2, num_workers=2))
    show("half", itertools.islice(half, 3))
    del half


def elsewhere():
    thread = threading.Thread(target=lambda: show("thread", DataLoader(Noisy(), 4, num_workers=1)))
    thread.start()
    thread.join()
    for workers in (0, 1):
        try:
            list(DataLoader(Broken(), 4, num_workers=workers))
        except KeyError as error:
            last = str(error).splitlines()
            print("broken", workers, type(error).__name__, last[0], "thirteen" in str(error))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(1)
    random.seed(2)
    np.random.seed(3)
    for name, loader in itertools.chain(maps(), streams()):
        assert isinstance(loader, DataLoader)
        assert type(loader) is DataLoader
        show(name, loader)
        if name.split()[0] != "stream":
            print(len(loader))
    in_turn()
    elsewhere()
    print(torch.rand(1), random.random(), np.random.rand())
