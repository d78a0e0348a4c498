"""Loops that the machine holds back: its storage, a CPU quota, other threads on its cores."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from kit import (
    SkippedError,
    Truth,
    image_list,
    in_child,
    loop,
    native_loader,
    photos,
    sleeping,
    train,
    training_transform,
)

from stoker._cpus import affinity_cores, control_groups, usable_cores
from stoker.diagnosis import Recording

# Reads of files below the folder of STOKER_SLOW take 20 ms longer.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void Pause(int fd) {
  const char* folder = getenv("STOKER_SLOW");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path);
  if (folder && length >= (ssize_t)strlen(folder) && !strncmp(path, folder, strlen(folder))) usleep(20000);
}

ssize_t read(int fd, void* to, size_t bytes) {
  Pause(fd);
  return ((ssize_t (*)(int, void*, size_t))dlsym(RTLD_NEXT, "read"))(fd, to, bytes);
}

ssize_t pread64(int fd, void* to, size_t bytes, off_t at) {
  Pause(fd);
  return ((ssize_t (*)(int, void*, size_t, off_t))dlsym(RTLD_NEXT, "pread64"))(fd, to, bytes, at);
}

ssize_t pread(int fd, void* to, size_t bytes, off_t at) { return pread64(fd, to, bytes, at); }
"""


def built_shim(data: Path) -> Path:
    if shutil.which("gcc") is None:
        raise SkippedError("no gcc to make slow storage with")
    source, library = data / "slow_reads.c", data / "slow_reads.so"
    if not library.exists():
        source.write_text(SHIM)
        part = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O", "-o", part, source, "-ldl"], check=True)
        part.rename(library)
    return library


@loop("slow storage", Truth("loader-bound", "read", "storage", evidence="reads waited for storage"))
def slow_storage(data: Path) -> Recording:
    """Each file is 20 ms away."""
    shim = str(built_shim(data))
    files = photos(data.resolve(), 160, 120)
    if os.environ.get("LD_PRELOAD") != shim:
        return in_child("slow storage", data, {"LD_PRELOAD": shim, "STOKER_SLOW": str(files[0].parent)})
    loader = native_loader(image_list(files, training_transform(96)), 8, 2)
    train(loader, sleeping(0.005))
    return loader.recording()


@loop("two ranks", Truth("loader-bound", "decode", "cores", evidence="ranks share"))
def two_ranks(data: Path) -> Recording:
    """Two processes of one job, as torchrun starts them, each with its half of the cores, all busy."""
    if "LOCAL_WORLD_SIZE" not in os.environ:
        if usable_cores() < 2:
            raise SkippedError("one core has no halves")
        photos(data, 800, 600)
        ranks = [{"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": str(rank)} for rank in range(2)]
        with ThreadPoolExecutor(2) as pool:
            return next(pool.map(lambda rank: in_child("two ranks", data, rank), ranks))
    workers = usable_cores() // 2
    loader = native_loader(image_list(photos(data, 800, 600), training_transform()), 16, workers)
    train(loader, sleeping(0.002), 4)
    return loader.recording()


@contextmanager
def quota(cores: float) -> Iterator[None]:
    """This process in a control group, v1 or v2, that may use so many cores."""
    around = control_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    for outer in around:
        group = outer / f"stoker-verdict-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text(f"{round(cores * 100_000)} 100000")
            else:
                (group / "cpu.cfs_period_us").write_text("100000")
                (group / "cpu.cfs_quota_us").write_text(str(round(cores * 100_000)))
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            group.rmdir()
            continue
        try:
            yield
        finally:
            (outer / "cgroup.procs").write_text(str(os.getpid()))
            group.rmdir()
        return
    raise SkippedError("this machine lets nobody make a control group with a CPU quota")


@loop("quota", Truth("loader-bound", "decode", "quota", evidence="quota"))
def half_of_the_cores(data: Path) -> Recording:
    """A worker for each core, and a CPU quota of half of them."""
    files = photos(data, 800, 600)
    with quota(affinity_cores() / 2):
        loader = native_loader(image_list(files, training_transform()), 16, affinity_cores())
        train(loader, sleeping(0.002))
        return loader.recording()


@loop("other threads", Truth("loader-bound", "decode", "oversubscription", evidence="had no core"))
def other_threads(data: Path) -> Recording:
    """torch computes in threads of its own, more of them than there are cores, all the time."""
    stop = threading.Event()

    def compute() -> None:
        weights = torch.rand(400, 400)
        while not stop.is_set():
            weights @ weights

    torch.set_num_threads(1)
    others = [threading.Thread(target=compute) for _ in range(2 * usable_cores())]
    loader = native_loader(image_list(photos(data, 800, 600), training_transform()), 16, usable_cores())
    for thread in others:
        thread.start()
    train(loader, sleeping(0.005))
    recording = loader.recording()
    stop.set()
    for thread in others:
        thread.join()
    return recording
