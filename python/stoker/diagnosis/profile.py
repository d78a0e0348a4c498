"""Which part of a worker's Python code takes its time: a thread that looks at the stack now and then.

Costs about 30 µs each time, every 5 ms: under 1 %. Only under ``stoker diagnose``.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
import sysconfig
import threading
import time
from collections import Counter
from types import FrameType

INTERVAL_S = 0.005
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


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_decoding(frame: FrameType) -> bool:
    module, name = _module(frame), frame.f_code.co_name
    for prefix, names in _DECODERS:
        if (module == prefix or module.startswith(prefix + ".")) and (names is None or name in names):
            return True
    return False


def _calls_a_decoder(frame: FrameType) -> bool:
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
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
    transform = own = ""
    native = False
    decoding = frame is not None and _calls_a_decoder(frame)
    while frame is not None:
        if _module(frame) == "stoker.stats.stand_ins":
            if frame.f_code.co_name == "__call__":
                return "collate"
            if frame.f_code.co_name in ("_one", "__getitems__"):
                break
        if _module(frame) == _FETCHER:  # behind a stream's iterator, which has no frame
            break
        decoding = decoding or _is_decoding(frame)
        native = native or (_module(frame) == "stoker._sources" and frame.f_code.co_name == "load")
        transform = _transform_of(frame) or transform  # the outermost one
        if not own and _is_own(frame):
            code = frame.f_code
            own = f"python: {code.co_name} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"
        frame = frame.f_back
    if decoding:
        return "read" if asleep else "decode"
    if transform:
        return f"transform: {transform}"
    return own or ("native" if native else "python")


def _is_own(frame: FrameType) -> bool:
    """Whether a frame is of the script's own code, not of a library's."""
    file = frame.f_code.co_filename
    if _module(frame).startswith("stoker."):
        return False
    return not any(part in file for part in _INSTALLED) and not file.startswith(_LIBRARIES)


class Profile:
    """Samples one thread while it is at work.

    Attributes:
        counts: how often each part was seen.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._thread = threading.get_ident()
        self._schedule = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        self._working = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="stoker-profile", daemon=True).start()

    def begin(self) -> None:
        self._working.set()

    def end(self) -> None:
        self._working.clear()

    def _run(self) -> None:
        while True:
            self._working.wait()
            began, awake = time.perf_counter_ns(), self._awake_ns()
            time.sleep(INTERVAL_S)
            if not self._working.is_set():
                continue
            # Not the thread's state now: it may be waiting for the interpreter lock, which this one has.
            asleep = self._awake_ns() - awake < 0.5 * (time.perf_counter_ns() - began)
            frame = sys._current_frames().get(self._thread)
            if frame is None:
                return
            part = classify(frame, asleep)
            del frame
            with self._lock:
                self.counts[part] += 1

    def _awake_ns(self) -> int:
        """For how long the thread has had a core or waited for one, since it began."""
        try:
            with open(self._schedule, "rb") as file:
                run, delay = file.read().split()[:2]
            return int(run) + int(delay)
        except (OSError, ValueError):
            return time.perf_counter_ns()  # unknown: never asleep

    def shares(self) -> dict[str, float]:
        """Part → share of the time at work."""
        with self._lock:
            total = sum(self.counts.values())
            return {part: n / total for part, n in self.counts.most_common()} if total else {}

    def to_dict(self) -> dict[str, dict[str, int]]:
        with self._lock:
            return {"counts": dict(self.counts)}
