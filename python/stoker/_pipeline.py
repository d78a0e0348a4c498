"""A dataset's transforms, split into what the core runs and what Python runs.

A pipeline of n transforms has a native part in front, up to the first that only Python can run; a
Python part; and, where those behind the last of Python's are native again, a tail, which the core
runs on the pixels that Python returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from . import _C, _torchvision
from ._torchvision import NotNativeError, State
from .transforms import (
    CenterCrop,
    Compose,
    ConvertImageDtype,
    Grayscale,
    Normalize,
    Pad,
    PILToTensor,
    Resize,
    ToDtype,
    ToImage,
    ToTensor,
    Transform,
)
from .transforms._base import flatten
from .transforms._compile import Compiler


@dataclass(frozen=True)
class Step:
    """One transform as it was given.

    Attributes:
        name: its class's (or function's) name.
        given: itself.
        native: the description that the core runs in its place, one or none.
        reason: why the core does not run it; "" where it does.
    """

    name: str
    given: Any
    native: tuple[Transform, ...] = ()
    reason: str = ""


_TO_TENSOR = (ToTensor, ToImage, PILToTensor, ToDtype, ConvertImageDtype)


def _single(transform: Any) -> Iterator[Any]:
    """All transforms in order, those in a Compose one by one."""
    for t in flatten(transform):
        inner = _torchvision.children(t)
        if inner is None:
            yield t
        else:
            for child in inner:
                yield from _single(child)


@dataclass(frozen=True)
class Pipeline:
    """Transforms, split into a native part, Python's, and a native tail.

    Attributes:
        steps: all of them.
        cut: how many are in the native part.
        tail: where the tail begins; len(steps) where there is none.
        state: what the first that runs in Python gets.
    """

    steps: tuple[Step, ...]
    cut: int
    tail: int
    state: State

    @property
    def native(self) -> tuple[Transform, ...]:
        """What the core runs."""
        return tuple(t for step in self.steps[: self.cut] for t in step.native)

    @property
    def rest(self) -> tuple[Any, ...]:
        """What Python runs behind that, as it was given; the tail included."""
        return tuple(step.given for step in self.steps[self.cut :])

    @property
    def reason(self) -> str:
        """Why not all run natively; "" where they do."""
        if self.cut < len(self.steps):
            return f"transform {self.cut + 1} of {len(self.steps)}, {self.steps[self.cut].reason}"
        if self.state == "pil":
            return "its transforms leave PIL images (add ToTensor)"
        return ""

    def plan(self, channels_last: bool = False) -> _C.SamplePlan:
        """The core's plan of the native ones."""
        compiler = Compiler()
        for t in self.native:
            compiler.add(t)
        return compiler.plan(channels_last)


def make_pipeline(transform: Any, start: State) -> Pipeline:
    """Split ``transform``: descriptions, torchvision's, callables, or a list or Compose of them.

    Raises:
        TypeError: something is neither of these.
        ValueError: a description stands where the core cannot run it.
    """
    steps: list[Step] = []
    compiler = Compiler()
    state: State = start
    channels = 3
    cut: int | None = None
    tail = 0
    for t in _single(transform):
        name: str = getattr(t, "__qualname__", type(t).__name__)
        if not callable(t) and not isinstance(t, Transform):
            raise TypeError(f"{t!r} is neither a description of stoker.transforms nor callable")
        reason = ""
        native: tuple[Transform, ...] = ()
        try:
            one = _torchvision.translate(t, state)
            if one is None and name == "RGB" and channels == 1:
                one = Grayscale(3)
            if isinstance(one, Grayscale):
                channels = one.num_output_channels
            if one is not None:
                native = (one,)
                if cut is None:
                    compiler.add(one)
                state = _torchvision.state_after(one, state)
        except NotNativeError as e:
            reason = str(e)
        except ValueError as e:
            if isinstance(t, Transform):
                raise  # one of ours, which nothing else could run
            reason = str(e)
        if reason:
            tail = len(steps) + 1
            if cut is None:
                cut = len(steps)
                state_at_cut = state
        steps.append(Step(name, t, native if not reason else (), reason))
    if cut is None:
        cut, state_at_cut = len(steps), state
    if start == "stoker" or not _compiles(steps[tail:]):
        tail = len(steps)  # descriptions among callables: see Runner.finish
    return Pipeline(tuple(steps), cut, max(cut, tail), state_at_cut)


def _compiles(steps: list[Step]) -> bool:
    """Whether the core could run these on pixels, and make a tensor of them."""
    compiler = Compiler()
    try:
        for step in steps:
            for t in step.native:
                compiler.add(t)
    except ValueError:
        return False
    return any(isinstance(t, _TO_TENSOR) for step in steps for t in step.native)


# What draws no random numbers.
_SURE = (CenterCrop, Grayscale, Normalize, Pad, Resize, *_TO_TENSOR)


def random_seed() -> int:
    """What a sample's random numbers are keyed by in Python: drawn from torch's generator."""
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_().item())


class Runner:
    """Runs a whole pipeline on one sample at a time: the core up to the cut, Python behind it.

    Threads: any; each has a decoder of its own.
    """

    def __init__(self, pipeline: Pipeline, prepare: Callable[[_C.SamplePlan], None]) -> None:
        """``prepare`` sets what a plan has beside the transforms."""
        self.pipeline = pipeline
        # Pillow wants pixels, whose channels lie side by side.
        self._plan = pipeline.plan(channels_last=pipeline.state == "pil")
        prepare(self._plan)
        self._draws = not all(isinstance(t, _SURE) for t in pipeline.native)
        behind = pipeline.steps[pipeline.tail :]
        self._tail_draws = not all(isinstance(t, _SURE) for step in behind for t in step.native)
        self._tail: _C.SamplePlan | None = None
        if pipeline.tail < len(pipeline.steps):
            self._tail = _plan_of(pipeline.steps[pipeline.tail :])
        self._local = threading.local()

    def seed(self) -> int:
        """What the native part's random numbers are keyed by; nothing is drawn where it has none."""
        return random_seed() if self._draws else 0

    def decoder(self) -> _C.Decoder:
        """This thread's, for the native part."""
        if not hasattr(self._local, "decoder"):
            self._local.decoder = _C.Decoder(self._plan)
        decoder: _C.Decoder = self._local.decoder
        return decoder

    def _run_tail(self, plan: _C.SamplePlan, image: Any) -> Any:
        """What the tail makes of what Python has returned; None where that is nothing it can take."""
        if isinstance(image, torch.Tensor) != (self.pipeline.state != "pil"):
            return None  # a tensor's transforms may mean something else than an image's
        pixels = _pixels_of(image)
        if pixels is None or pixels.numel() == 0:
            return None
        if not hasattr(self._local, "tail"):
            self._local.tail = _C.Decoder(plan)
        began = time.perf_counter_ns()
        finished = self._local.tail.from_pixels(pixels, random_seed() if self._tail_draws else 0)
        _C.add_native_span(time.perf_counter_ns() - began)
        to_image = any(step.name == "ToImage" for step in self.pipeline.steps[self.pipeline.tail :])
        return _as_tv_image(finished) if to_image else finished

    def finish(self, image: torch.Tensor) -> Any:
        """What the Python part makes of the native part's (channels, height, width) tensor."""
        pipeline = self.pipeline
        result: Any = image
        if pipeline.state == "pil":
            result = _as_pil(image)
        elif pipeline.rest and any(step.name == "ToImage" for step in pipeline.steps[: pipeline.cut]):
            result = _as_tv_image(image)
        rest = list(pipeline.rest)
        while rest:
            if self._tail is not None and len(rest) == len(pipeline.steps) - pipeline.tail:
                finished = self._run_tail(self._tail, result)
                if finished is not None:
                    return finished
            if isinstance(rest[0], Transform):
                ours = []
                while rest and isinstance(rest[0], Transform):
                    ours.append(rest.pop(0))
                result = _run_on(result, ours)
            else:
                result = rest.pop(0)(result)
        return result


def _plan_of(steps: tuple[Step, ...]) -> _C.SamplePlan:
    compiler = Compiler()
    for step in steps:
        for t in step.native:
            compiler.add(t)
    return compiler.plan()


def _pixels_of(image: Any) -> torch.Tensor | None:
    """(height, width, 3) of an RGB image, as Pillow or as a uint8 tensor; None for anything else."""
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            return None
        return image.as_subclass(torch.Tensor).permute(1, 2, 0).contiguous()
    if getattr(image, "mode", None) != "RGB" or not hasattr(image, "tobytes"):
        return None
    width, height = image.size
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(height, width, 3)


def _as_pil(image: torch.Tensor) -> Any:
    from PIL import Image

    pixels = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _as_tv_image(image: torch.Tensor) -> Any:
    from torchvision import tv_tensors

    return tv_tensors.Image(image)


def _run_on(image: Any, descriptions: list[Transform]) -> torch.Tensor:
    """Descriptions behind a Python callable, on what that returned."""
    if isinstance(image, torch.Tensor) and image.dtype == torch.float32:
        for t in descriptions:
            if isinstance(t, Normalize):
                mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (t.mean, t.std))
                image = (image - mean) / std
            elif not (isinstance(t, ToDtype) and t.dtype == torch.float32):
                raise TypeError(f"{type(t).__name__} needs a uint8 image, but a callable has made it float32")
        finished: torch.Tensor = image
        return finished
    if not isinstance(image, torch.Tensor) or image.dtype != torch.uint8 or image.ndim != 3:
        what = (
            f"{image.dtype} {list(image.shape)}" if isinstance(image, torch.Tensor) else type(image).__name__
        )
        raise TypeError(
            "a callable among stoker.transforms must return a uint8 tensor (3, height, width), "
            f"but it returned {what}"
        )
    compiler = Compiler()
    for t in flatten(Compose(descriptions)):
        compiler.add(t)
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous()
    return _C.Decoder(compiler.plan()).from_pixels(pixels, random_seed())
