"""Device idle behind the loader, measured without a synchronisation.

On each ``next()`` one event is recorded on the current stream when the loop asks, and one when the batch
is handed over. As long as the device still has work queued, it passes both back to back; where it had
drained, the time between them is the starvation. They are read some steps later, when the device has
passed them, so nothing ever waits for it. What is measured is the idleness of the stream that is current
in the training loop's thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch

# Pairs that may be under way; a loop that runs further ahead of its device loses the measurement of some
# steps, and nothing else.
MOST_PENDING = 256


class DeviceEvents(Protocol):
    """Events on a device's timeline; a fake of these is what tests drive."""

    kind: str

    def record(self) -> Any:
        """An event behind all work queued so far on the current stream."""

    def passed(self, event: Any) -> bool:
        """Whether the device has passed it. Never waits."""

    def elapsed_s(self, begin: Any, end: Any) -> float:
        """Device time between two events that it has passed."""

    def give_back(self, event: Any) -> None:
        """The event may be used again."""


class DeviceClock(Protocol):
    """What the consumer's clock asks of a device."""

    kind: str
    dropped: int

    def asked(self) -> None:
        """The loop has asked for a batch."""

    def answered(self, step: int) -> None:
        """It has been given step ``step``'s batch."""

    def finished(self) -> list[tuple[int, float]]:
        """(step, idle seconds) of the steps that have become known, in order."""


class EventDeviceClock:
    """The device clock by pairs of events.

    Attributes:
        kind: of device, as "cuda".
        dropped: steps that were not measured because MOST_PENDING were under way.
        broken: nothing is measured any more, as the device has refused an event (one belongs to the device
            that was current at first): never the training's affair. Nor is anything measured in a fork,
            where the device cannot be used.
    """

    def __init__(self, events: DeviceEvents) -> None:
        self.kind = events.kind
        self.dropped = 0
        self._events = events
        self.broken = False
        self._pid = os.getpid()
        self._begin: Any = None
        self._pending: deque[tuple[int, Any, Any]] = deque()

    def _guarded(self, act: Callable[..., Any], *arguments: Any) -> Any:
        if self.broken or os.getpid() != self._pid:
            return None
        try:
            return act(*arguments)
        except Exception:
            self.broken = True
            self._pending.clear()
            return None

    def asked(self) -> None:
        self._guarded(self._ask)

    def answered(self, step: int) -> None:
        self._guarded(self._answer, step)

    def finished(self) -> list[tuple[int, float]]:
        return self._guarded(self._finish) or []

    def _ask(self) -> None:
        if self._begin is not None:  # the request before ended without a batch
            self._events.give_back(self._begin)
        self._begin = self._events.record()

    def _answer(self, step: int) -> None:
        begin, self._begin = self._begin, None
        if begin is None:
            return
        if len(self._pending) >= MOST_PENDING:
            self._events.give_back(begin)
            self.dropped += 1
            return
        self._pending.append((step, begin, self._events.record()))

    def _finish(self) -> list[tuple[int, float]]:
        done = []
        while self._pending and self._events.passed(self._pending[0][2]):
            step, begin, end = self._pending.popleft()
            done.append((step, max(0.0, self._events.elapsed_s(begin, end))))
            self._events.give_back(begin)
            self._events.give_back(end)
        return done


class TorchEvents:
    """torch's events of the current accelerator; a constant number of them, used again."""

    def __init__(self, device: torch.device) -> None:
        self.kind = device.type
        self._device = device
        self._free: list[Any] = []

    def record(self) -> Any:
        event = self._free.pop() if self._free else torch.Event(self._device.type, enable_timing=True)
        event.record()
        return event

    def passed(self, event: Any) -> bool:
        return bool(event.query())

    def elapsed_s(self, begin: Any, end: Any) -> float:
        return float(begin.elapsed_time(end)) * 1e-3

    def give_back(self, event: Any) -> None:
        self._free.append(event)


def _in_use(kind: str) -> bool:
    """Whether the process uses its accelerator already: a loader must not be what starts it."""
    module: Any = getattr(torch, kind, None)
    is_initialized = getattr(module, "is_initialized", None)
    if is_initialized is None:
        return kind != "mps" or bool(torch.mps.current_allocated_memory())
    return bool(is_initialized())


def accelerator_available() -> bool:
    """Whether there seems to be an accelerator. Asks NVIDIA's management library, not the driver, which would
    make CUDA useless in processes that are forked later; and which may not start with the device there."""
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        return bool(torch.accelerator.is_available())
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def torch_device_clock() -> DeviceClock | None:
    """The clock of the accelerator that this process uses; None where there is none, or none in use yet."""
    if torch.version.cuda or torch.version.hip:
        # Asked first: to look for devices starts the driver, which a process that is still to fork
        # may not want.
        in_use: Any = torch.cuda.is_initialized
        if not in_use():
            return None
    if not torch.accelerator.is_available():
        return None
    device = torch.accelerator.current_accelerator()
    if device is None or not _in_use(device.type):
        return None
    return EventDeviceClock(TorchEvents(device))
