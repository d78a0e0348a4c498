"""Loops with an asynchronous accelerator, which is played by a clock."""

from __future__ import annotations

import time
from pathlib import Path

from kit import Truth, batch_seconds, image_list, loop, native_loader, photos, train

from stoker import DataLoader
from stoker import transforms as T
from stoker._cpus import usable_cores
from stoker.diagnosis import Recording
from stoker.stats import EventDeviceClock


class FakeDevice:
    """A device that works through its queue, and the events on its timeline (see DeviceEvents).

    An event is the moment at which the device passes it: now, or when the work queued before it ends.
    """

    kind = "fake"

    def __init__(self) -> None:
        self._until = 0.0

    def launch(self, seconds: float) -> None:
        """Queues so much work; returns at once."""
        self._until = max(self._until, time.perf_counter()) + seconds

    def synchronize(self) -> None:
        time.sleep(max(0.0, self._until - time.perf_counter()))

    def record(self) -> float:
        return max(self._until, time.perf_counter())

    def passed(self, event: float) -> bool:
        return time.perf_counter() >= event

    def elapsed_s(self, begin: float, end: float) -> float:
        return end - begin

    def give_back(self, event: float) -> None:
        pass


def with_device(loader: DataLoader[object], work_s: float, every: int) -> Recording:
    """Each step queues that much work; the loop blocks for it every so many steps."""
    device = FakeDevice()
    loader._meter.clock.device = EventDeviceClock(device)

    def step(number: int) -> None:
        device.launch(work_s)
        if number % every == every - 1:
            device.synchronize()

    train(loader, step)
    device.synchronize()
    return loader.recording()


@loop("device, waits hidden", Truth("accelerator-bound", by_device=True), ratio=1.6, every=32)
@loop("device, blocks every 8th step", Truth("accelerator-bound", by_device=True), ratio=1.6, every=8)
@loop("device, waits exposed", Truth("loader-bound", "decode", by_device=True), ratio=0.5, every=32)
@loop("device, blocks each step", Truth("loader-bound", "decode", by_device=True), ratio=0.5, every=1)
def asynchronous(data: Path, ratio: float, every: int) -> Recording:
    """The loop waits for the loader at nearly every step, as it has nothing else to do; what counts is
    whether the device has work in the meantime: its step takes so many times as long as the loader."""
    dataset = image_list(photos(data, 800, 600, 1), T.Compose([T.Resize(224), T.CenterCrop(224)]))
    work_s = ratio * batch_seconds(native_loader(dataset, 8, usable_cores()))
    return with_device(native_loader(dataset, 8, usable_cores()), work_s, every)
