"""Run a program and watch what its whole process tree uses: CPU time and memory.

A loader's cost may sit in worker processes, so the figures of the first process alone would flatter
it. Not thread-safe; each call watches one program from the calling thread.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

_CPU_INTERVAL_S = 0.1
_MEMORY_INTERVAL_S = 0.5  # rarer: the kernel walks every page table to answer


@dataclass(frozen=True)
class TreeUsage:
    """What one program and all its descendants used."""

    exit_status: int  # negative: killed by that signal
    times_s: list[float]  # when the CPU time was read, on the monotonic clock
    cpu_s: list[float]  # user + system time of all processes so far, at those times
    peak_memory_bytes: int  # proportional set size (shared pages counted once), summed

    def cpu_between(self, began_s: float, ended_s: float) -> float:
        """CPU seconds used between two moments of the monotonic clock, good to about 0.05 s."""
        return self._cpu_at(ended_s) - self._cpu_at(began_s)

    def _cpu_at(self, moment_s: float) -> float:
        before_s, before_cpu_s = self.times_s[0], self.cpu_s[0]
        for after_s, after_cpu_s in zip(self.times_s, self.cpu_s, strict=True):
            if after_s >= moment_s:
                share = (moment_s - before_s) / max(after_s - before_s, 1e-9)
                return before_cpu_s + share * (after_cpu_s - before_cpu_s)
            before_s, before_cpu_s = after_s, after_cpu_s
        return before_cpu_s


def run_and_watch(
    command: Sequence[str], environment: Mapping[str, str], stdout: int | None = None
) -> TreeUsage:
    """Run `command` to its end; its output goes to the descriptor `stdout`, or to ours.

    A process that ends between two looks loses at most its last 0.1 s of CPU time. The program is
    ended when this call is interrupted. Raises OSError if the program cannot be started.
    """
    process = subprocess.Popen(command, env=environment, stdout=stdout)
    cpu_of: dict[psutil.Process, float] = {}  # those that have ended keep their last value
    times_s: list[float] = [time.monotonic()]
    cpu_s: list[float] = [0.0]
    peak_bytes = 0
    memory_due_s = 0.0
    try:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            tree = _tree(root)
            cpu_of.update(_cpu_times(tree))
            times_s.append(time.monotonic())
            cpu_s.append(sum(cpu_of.values()))
            if time.monotonic() >= memory_due_s:
                peak_bytes = max(peak_bytes, sum(_memory_bytes(member) for member in tree))
                memory_due_s = time.monotonic() + _MEMORY_INTERVAL_S
            try:
                process.wait(_CPU_INTERVAL_S)
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return TreeUsage(process.returncode, times_s, cpu_s, peak_bytes)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_times(tree: Sequence[psutil.Process]) -> dict[psutil.Process, float]:
    cpu_of = {}
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        cpu_of[process] = times.user + times.system
    return cpu_of


def _memory_bytes(process: psutil.Process) -> int:
    """Proportional set size where the system has it (Linux), else resident size."""
    try:
        usage = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(usage, "pss", usage.rss))
