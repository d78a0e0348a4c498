"""What a loader measures, always on: records, clocks, and the meter that puts them together."""

from .clocks import ConsumerClock, StepRecord
from .device import DeviceClock, DeviceEvents, EventDeviceClock
from .exports import to_prometheus
from .meter import Meter
from .records import (
    DeviceStats,
    Durations,
    IndexStats,
    LoaderStats,
    SlowSample,
    StageStats,
    SystemStats,
    WorkerUsage,
)

__all__ = [
    "ConsumerClock",
    "DeviceClock",
    "DeviceEvents",
    "DeviceStats",
    "Durations",
    "EventDeviceClock",
    "IndexStats",
    "LoaderStats",
    "Meter",
    "SlowSample",
    "StageStats",
    "StepRecord",
    "SystemStats",
    "WorkerUsage",
    "to_prometheus",
]
