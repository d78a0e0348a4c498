"""Ways in which training scripts use loaders, that a meter might disturb or misread."""

import gc
import importlib.util
import multiprocessing
import sys
import time
import warnings
import weakref

importlib.util.find_spec("torch.utils.data.dataloader")  # as a check whether torch is there

from typing import Protocol, runtime_checkable  # noqa: E402

from torch.utils.data import DataLoader, IterableDataset, IterDataPipe  # noqa: E402


class Named:
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return index


class Rude(Named):
    """Its length and its transform cannot be shown."""

    def __len__(self):
        if sys._getframe(1).f_code.co_name == "facts_of":
            raise RuntimeError("no length")
        return self.size

    class Transform:
        def __repr__(self):
            raise RuntimeError("no words")

    transform = Transform()


class Pipe(IterDataPipe):
    def __init__(self, size):
        self.size = size

    def __iter__(self):
        yield from range(self.size)


@runtime_checkable
class Stateful(Protocol):
    """torchdata's: what of a dataset goes into a checkpoint."""

    def state_dict(self): ...

    def load_state_dict(self, state): ...


class Counted(IterableDataset):
    at = 0

    def __init__(self, own):
        self.own = own

    def __iter__(self):
        return self if self.own else Counted(True)

    def __next__(self):
        self.at += 1
        return self.at

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class OwnNames(DataLoader):
    """With attributes of names that Stoker's loader has too."""

    _meter = "mine"
    recording = None


class Repeat:
    """Ultralytics' sampler that never ends."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        while True:
            yield from iter(self.sampler)


class Infinite(DataLoader):
    """Ultralytics'."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        object.__setattr__(self, "batch_sampler", Repeat(self.batch_sampler))
        self.iterator = super().__iter__()

    def __len__(self):
        return len(self.batch_sampler.sampler)

    def __iter__(self):
        for _ in range(len(self)):
            yield next(self.iterator)


def an_epoch_each():
    dataset = Named(40)
    for _ in range(3):
        print([batch.tolist() for batch in DataLoader(dataset, 8)])


def dropped():
    loader = DataLoader(Named(41), 8, num_workers=1, persistent_workers=True)
    gone = weakref.ref(loader)
    list(loader)
    print(len(multiprocessing.active_children()))
    del loader
    gc.collect()
    print(gone(), len(multiprocessing.active_children()))


def trained_and_validated():
    train = Infinite(Named(42), 2, num_workers=1)
    val = Infinite(Named(43), 2, num_workers=1)
    for _ in range(2):
        for _ in train:
            time.sleep(0.01)
        for _ in val:
            time.sleep(0.002)


def nested():
    for batch in DataLoader(Named(8), 4):
        print(batch.tolist(), [b.tolist() for b in DataLoader(Named(9), 3)])


def checkpointed():
    """As torchdata's StatefulDataLoader does it."""
    for own in (True, False):
        iterator = iter(DataLoader(Counted(own), 3))
        next(iterator)
        fetcher = iterator._dataset_fetcher
        states = [x.state_dict() for x in (fetcher.dataset, fetcher.dataset_iter) if isinstance(x, Stateful)]
        print("states", states, fetcher.dataset_iter is fetcher.dataset)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    an_epoch_each()
    dropped()
    trained_and_validated()
    nested()
    checkpointed()
    print([b.tolist() for b in OwnNames(Named(44), 11)], [b.tolist() for b in DataLoader(Rude(45), 9)])
    for workers in (0, 2):
        print([b.tolist() for b in DataLoader(Pipe(10), 2, num_workers=workers)])
    print(list(DataLoader(Named(46), 23, collate_fn=lambda samples: None)))
