"""A record for other tools: TensorBoard, JSON Lines, Prometheus."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

from .._printable import printable

if TYPE_CHECKING:
    from .records import Durations, LoaderStats


class ScalarWriter(Protocol):
    """What ``torch.utils.tensorboard.SummaryWriter`` and its kin have."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> Any: ...


def scalars(stats: LoaderStats) -> dict[str, float]:
    """The figures that are worth a curve, by name; durations in seconds, shares in [0, 1]."""
    values = {
        "images_per_s": stats.images_per_s,
        "wait_share": stats.wait_share,
        "data_time_s": stats.wait.mean_s,
        "data_time_p99_s": stats.wait.p99_s,
        "step_time_s": stats.step.mean_s,
        "batch_time_s": stats.batch.mean_s,
        "ready_share": stats.ready_share,
        "workers_busy_share": stats.busy_share,
        "asleep_share": stats.usage.share(stats.usage.asleep_s),
        "no_core_share": stats.usage.share(stats.usage.no_core_s),
        "process_cores": stats.system.process_cpu_s / max(stats.system.elapsed_s, 1e-9),
        "throttled_s": stats.system.throttled_s,
        "memory_mb": stats.system.memory_mb,
    }
    for name, stage in stats.stages.items():
        values[f"stage/{name}_s"] = stage.mean_s
        values[f"stage/{name}_busy_share"] = stage.busy_share
    if stats.device is not None:
        values["device_idle_s"] = stats.device.idle.mean_s
    return values


def to_tensorboard(stats: LoaderStats, writer: ScalarWriter, step: int, prefix: str) -> None:
    for name, value in scalars(stats).items():
        writer.add_scalar(f"{prefix}/{name}", value, step)


def to_jsonl(stats: LoaderStats, file: str | os.PathLike[str], more: Mapping[str, Any]) -> None:
    line = json.dumps({"time": time.time(), **more, "stats": stats.to_dict()}, separators=(",", ":"))
    with open(os.path.expanduser(file), "a", encoding="utf-8") as out:
        out.write(line + "\n")


# Of each record: the metric's name, its type, its help.
_COUNTERS = {
    "batches": "Batches handed over to the training loop.",
    "samples": "Samples handed over to the training loop.",
    "failed_batches": "Batches that raised an error instead.",
    "skipped": "Samples that could not be loaded and were left out.",
    "replaced": "Samples that could not be loaded and had another in their place.",
    "waiting_s": "Time that workers had every batch ahead full.",
    "idle_s": "Time that workers had nothing to do.",
    "first_wait_s": "Of the waits, those for first batches.",
}

_OWN_LABELS = ("stage", "state", "quantile")


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    # The format knows no other escapes, and wants UTF-8: other characters become a backslash and so on.
    return "".join(printable(c).replace("\\", "\\\\") if c != "\\" else c for c in text)


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


class _Exposition:
    """Prometheus' text format, version 0.0.4: each metric has one head, and all of its values behind it."""

    def __init__(self) -> None:
        self.labels: Mapping[str, str] = {}  # of each value that is added
        self._heads: dict[str, list[str]] = {}
        self._values: dict[str, list[str]] = {}
        self._metric = ""

    def head(self, name: str, kind: str, words: str) -> None:
        """The metric that the next values are of."""
        self._heads[name] = [f"# HELP stoker_{name} {words}", f"# TYPE stoker_{name} {kind}"]
        self._metric = name

    def value(self, name: str, value: float, **labels: str) -> None:
        line = f"stoker_{name}{_labels({**self.labels, **labels})} {value!r}"
        self._values.setdefault(self._metric, []).append(line)

    def one(self, name: str, kind: str, words: str, value: float) -> None:
        self.head(name, kind, words)
        self.value(name, value)

    def summary(self, name: str, words: str, durations: Mapping[str, Durations], label: str) -> None:
        """``durations`` by the value of ``label``; one without a label goes by ""."""
        self.head(name, "summary", words)
        for key, d in durations.items():
            more = {label: key} if key else {}
            for quantile, value in (("0.5", d.p50_s), ("0.9", d.p90_s), ("0.99", d.p99_s)):
                self.value(name, value, **more, quantile=quantile)
            self.value(f"{name}_sum", d.total_s, **more)
            self.value(f"{name}_count", d.count, **more)

    def text(self) -> str:
        lines = [line for name, head in self._heads.items() for line in (*head, *self._values.get(name, ()))]
        return "".join(line + "\n" for line in lines)


def to_prometheus(records: Mapping[str, LoaderStats], label: str = "loader", **labels: str) -> str:
    """Several loaders' records in Prometheus' text format, which their texts one after the other are not: of
    each metric there is one HELP and TYPE.

    Args:
        records: each loader's, by the value of ``label``; of records since the loaders were made, as
            Prometheus wants counters that only grow.
        labels: of all values.

    Units: seconds and bytes. Threads: any.

    Raises:
        ValueError: ``label`` is one that the metrics have themselves ("stage", "state", "quantile"), or
            among ``labels``.
    """
    if label in _OWN_LABELS or label in labels:
        raise ValueError(f"the label {label!r} is taken; records need one of their own")
    out = _Exposition()
    for name, stats in records.items():
        out.labels = {**labels, label: name}
        _add(out, stats)
    return out.text()


def of_one(stats: LoaderStats, labels: Mapping[str, str]) -> str:
    """See LoaderStats.to_prometheus."""
    out = _Exposition()
    out.labels = labels
    _add(out, stats)
    return out.text()


def _add(out: _Exposition, stats: LoaderStats) -> None:
    for field in fields(stats):
        if field.name in _COUNTERS:
            name = field.name.removesuffix("_s") + ("_seconds" if field.name.endswith("_s") else "")
            out.one(f"{name}_total", "counter", _COUNTERS[field.name], getattr(stats, field.name))
    out.summary("data_time_seconds", "Wait of the training loop for each batch.", {"": stats.wait}, "")
    out.summary("step_time_seconds", "Time of the training loop between two requests.", {"": stats.step}, "")
    out.summary("stage_time_seconds", "Workers' time per sample and stage.", stats.stages, "stage")
    if stats.device is not None:
        idle = {"": stats.device.idle}
        out.summary("device_idle_seconds", "Device idle behind the loader for each step.", idle, "")
    work = stats.usage
    out.head("worker_time_seconds_total", "counter", "Workers' time at work, by what their threads did.")
    for state, seconds in (("cpu", work.cpu_s), ("asleep", work.asleep_s), ("no_core", work.no_core_s)):
        out.value("worker_time_seconds_total", seconds, state=state)
    system = stats.system
    out.one("cpu_seconds_total", "counter", "CPU time of the process and its workers.", system.process_cpu_s)
    out.one("throttled_seconds_total", "counter", "Time held back by the CPU quota.", system.throttled_s)
    out.one("memory_bytes", "gauge", "Resident memory, workers included.", system.memory_mb * 2**20)
