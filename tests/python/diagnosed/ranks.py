"""One rank of a group: its share of the samples, by DistributedSampler. Rank 1 loads them slowly."""

import time

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


class Late(TensorDataset):
    def __getitem__(self, index):
        time.sleep(0.02 * dist.get_rank())
        return super().__getitem__(index)


if __name__ == "__main__":
    dist.init_process_group("gloo")
    dataset = Late(torch.arange(80))
    total = 0
    for (batch,) in DataLoader(dataset, 4, sampler=DistributedSampler(dataset), num_workers=1):
        dist.all_reduce(batch)
        total += int(batch.sum())
    if dist.get_rank() == 0:
        print(total)
    dist.destroy_process_group()
