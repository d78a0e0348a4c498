"""Which part of a worker's Python code takes its time: a thread that looks at the stack now and then.

Costs about 30 µs each time, every 5 ms: under 1 %. Only under ``stoker diagnose``.

Note [What a look counts for]
A look counts for the time that the thread was on a core or asleep since the look began, not for time in
which it was ready to run and had no core: on a busy machine a thread loses its core anywhere, and stays
where it is for many looks. Nor is such a thread asleep, though it does not run.

A look needs the interpreter's lock. Code that keeps it (Python, most of NumPy) has to give it up after the
switch interval, 5 ms, in which much may have gone by: what is seen would rather be whatever gives it up by
itself, as decoders do. So that interval is shortened.
"""

from __future__ import annotations

import dis
import functools
import linecache
import os
import re
import sys
import sysconfig
import threading
import time
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from .._threads import start

INTERVAL_S = 0.005
SWITCH_S = 0.0002  # see Note [What a look counts for]
_DECODERS = (
    ("PIL.ImageFile", ("load", "_prepare", "load_prepare", "load_end")),
    ("PIL.Image", ("open", "_decompression_bomb_check")),
    ("PIL.JpegImagePlugin", None),
    ("PIL.PngImagePlugin", None),
    ("PIL.WebPImagePlugin", None),
    ("torchvision.io.image", None),
    ("imageio", None),
    ("skimage.io", None),
    ("turbojpeg", None),
    ("simplejpeg", None),
)
# Decoders in C have no frame of their own: they are known by the line that calls them.
_CALLED = re.compile(r"\b(imread|imdecode|decode_jpeg|decode_png|decode_image|read_image)\(")
_INSTALLED = ("site-packages", "dist-packages")
_LIBRARIES = (sysconfig.get_paths()["stdlib"] + os.sep, "<frozen")
_FETCHER = "torch.utils.data._utils.fetch"
_CALLS = ("__call__", "forward", "transform", "apply")
_WRAPPERS = ("Compose", "Sequential", "RandomApply", "Transform", "Module", "BasicTransform")
# Code that Python runs as a function of its own, though it stands within another one.
_WITHIN = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _line(frame: FrameType) -> int:
    """Where it is; the function's first line where the code is of no line, as between two statements."""
    line: int | None = frame.f_lineno
    return frame.f_code.co_firstlineno if line is None else line


@functools.lru_cache(256)
def _loops(code: CodeType) -> tuple[tuple[int, int], ...]:
    """The loops of a function: where each begins and ends in its byte code."""
    spans = []
    for at in dis.get_instructions(code):
        jumps = at.opcode in dis.hasjrel or at.opcode in dis.hasjabs
        if jumps and at.argval <= at.offset and at.opname != "JUMP_BACKWARD_NO_INTERRUPT":  # of an await
            spans.append((at.argval, at.offset))
    return tuple(spans)


def _in_loop(frame: FrameType) -> bool:
    return any(begin <= frame.f_lasti <= end for begin, end in _loops(frame.f_code))


def _is_decoding(frame: FrameType) -> bool:
    module, name = _module(frame), frame.f_code.co_name
    for prefix, names in _DECODERS:
        if (module == prefix or module.startswith(prefix + ".")) and (names is None or name in names):
            return True
    return False


def _calls_a_decoder(frame: FrameType) -> bool:
    line = linecache.getline(frame.f_code.co_filename, _line(frame))
    return _CALLED.search(line) is not None


def _transform_of(frame: FrameType) -> str:
    """The class of the transform that a frame is a call of; "" where it is none."""
    if frame.f_code.co_name not in _CALLS:
        return ""
    me = frame.f_locals.get("self")
    if me is None:
        return ""
    name = type(me).__name__
    return "" if name in _WRAPPERS or hasattr(type(me), "__len__") else name


def classify(frame: FrameType | None, asleep: bool) -> str:
    """What a stack is doing: "decode", "read", "transform: NAME", "python: FUNCTION (FILE:LINE)", "collate",
    or "native" for what runs in C++ inside Stoker's own wrapper.

    ``asleep``: the thread is waiting: inside a decoder for its file.
    """
    return look_at(frame, asleep)[0]


def look_at(frame: FrameType | None, asleep: bool) -> tuple[str, bool]:
    """What a stack is doing, as ``classify`` says it, and whether it is a loop of the script's own."""
    transform = own = ""
    native = in_loop = False
    decoding = frame is not None and _calls_a_decoder(frame)
    while frame is not None:
        if _module(frame) == "stoker.stats.stand_ins":
            if frame.f_code.co_name == "__call__":
                return "collate", False
            if frame.f_code.co_name in ("_one", "__getitems__"):
                break
        if _module(frame) == _FETCHER:  # behind a stream's iterator, which has no frame
            break
        decoding = decoding or _is_decoding(frame)
        native = native or (_module(frame) == "stoker._sources" and frame.f_code.co_name == "load")
        transform = _transform_of(frame) or transform  # the outermost one
        if not own and _is_own(frame):
            code = frame.f_code
            in_loop = in_loop or _in_loop(frame)
            if code.co_name not in _WITHIN:
                own = f"python: {code.co_name} ({os.path.basename(code.co_filename)}:{_line(frame)})"
        frame = frame.f_back
    if decoding:
        return ("read" if asleep else "decode"), False
    if transform:
        return f"transform: {transform}", in_loop and not asleep
    return own or ("native" if native else "python"), bool(own) and in_loop and not asleep


def _is_own(frame: FrameType) -> bool:
    """Whether a frame is of the script's own code, not of a library's."""
    file = frame.f_code.co_filename
    if _module(frame).startswith("stoker."):
        return False
    return not any(part in file for part in _INSTALLED) and not file.startswith(_LIBRARIES)


class Profile:
    """Looks at one thread while it is at work. See Note [What a look counts for].

    Attributes:
        spent_ns: of each part, the time on a core or asleep.
        loop_ns: of it, in loops of the script's own.
        looks: how many there have been.
        failed: what has ended them too early; "": nothing.
    """

    def __init__(self) -> None:
        self.spent_ns: Counter[str] = Counter()
        self.loop_ns: Counter[str] = Counter()
        self.looks = 0
        self.failed = ""
        self._thread = threading.get_ident()
        self._times = _ThreadTimes()
        self._working = threading.Event()
        self._lock = threading.Lock()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        start(self._run, "stoker-profile", self._has_failed)

    def begin(self) -> None:
        self._working.set()

    def end(self) -> None:
        self._working.clear()

    def _has_failed(self, error: BaseException) -> None:
        self.failed = type(error).__name__

    def _run(self) -> None:
        while True:
            self._working.wait()
            before = self._times.now()
            time.sleep(INTERVAL_S)
            if not self._working.is_set():
                continue
            spent_ns, asleep = self._times.since(before)
            frame = sys._current_frames().get(self._thread)
            if frame is None:
                return  # the thread has ended
            try:
                part, in_loop = look_at(frame, asleep)
            except Exception:  # the script's own classes are asked for their names
                part, in_loop = "python", False
            del frame
            with self._lock:
                self.looks += 1
                self.spent_ns[part] += spent_ns
                if in_loop:
                    self.loop_ns[part] += spent_ns

    def shares(self) -> dict[str, float]:
        """Part → share of the time at work."""
        with self._lock:
            return shares_of(self.spent_ns)

    def to_dict(self) -> dict[str, Any]:
        with self._lock:
            return {
                "spent_ns": dict(self.spent_ns),
                "loop_ns": dict(self.loop_ns),
                "looks": self.looks,
                "failed": self.failed,
            }


def shares_of(spent_ns: Counter[str]) -> dict[str, float]:
    """Part → share of the sum, the largest first."""
    total = sum(spent_ns.values())
    return {part: ns / total for part, ns in spent_ns.most_common()} if total else {}


class _ThreadTimes:
    """For how long a thread was on a core, or waited for one, as the kernel tells it: this thread's, to be
    asked by any."""

    def __init__(self) -> None:
        folder = f"/proc/self/task/{threading.get_native_id()}"
        self._schedule, self._state = f"{folder}/schedstat", f"{folder}/stat"
        self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def now(self) -> tuple[int, int, int]:
        """Nanoseconds: on a core, without one, and of the clock."""
        return time.clock_gettime_ns(self._clock), self._delay_ns(), time.perf_counter_ns()

    def since(self, before: tuple[int, int, int]) -> tuple[int, bool]:
        """Nanoseconds on a core or asleep, and whether it is asleep and was for most of the time.

        Its state alone does not tell: it may be waiting for the interpreter's lock, which the one that looks
        has. Nor do its times: of a thread that waits for a core the kernel knows only afterwards.
        """
        ran, delay, passed = (now - then for now, then in zip(self.now(), before))
        ran = max(0, min(ran, passed))
        if not os.path.exists(self._schedule):  # another kernel: time without a core cannot be told apart
            return passed, False
        asleep_ns = max(0, passed - ran - max(0, delay))
        if asleep_ns < passed / 20 or self._wants_a_core():
            return ran, False
        return ran + asleep_ns, asleep_ns > passed / 2

    def _delay_ns(self) -> int:
        try:
            with open(self._schedule, "rb") as file:
                return int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return 0

    def _wants_a_core(self) -> bool:
        try:
            with open(self._state, "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] == b"R"
        except (OSError, IndexError):
            return False
