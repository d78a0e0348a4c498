"""A dataset's transforms, split into what the core runs and what Python runs.

A pipeline of n transforms has a native part in front, up to the first that only Python can run; a
Python part; and, where those behind the last of Python's are native again, a tail, which the core
runs on the pixels that Python returns.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from . import _C, _torchvision
from ._orders import Form, are_for_pil, impossible, misplaced
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
        if inner is None and (within := _torchvision.handed_on(t)) is not None:
            inner = [within]
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


def make_pipeline(transform: Any, start: State, refuse: bool = False) -> Pipeline:
    """Split ``transform``: descriptions, torchvision's, callables, or a list or Compose of them.

    Stoker's own datasets (``start`` "stoker") give a Python callable a uint8 tensor; but where the first
    that Python runs, and all behind it up to a ToTensor or ToImage, are torchvision's, they get the PIL
    images that they were written for.

    Args:
        refuse: what could only raise, as it is refused in Stoker's own datasets.

    Raises:
        TypeError: something is neither of these.
        ValueError: a description stands where the core cannot run it; or the order can only raise.
    """
    transforms = list(_single(transform))
    if start == "stoker" and (problem := misplaced(transforms)):
        raise ValueError(problem)
    pipeline = _split(transforms, start)
    if start == "stoker" and pipeline.state == "stoker":
        before, behind = pipeline.steps[: pipeline.cut], pipeline.steps[pipeline.cut :]
        made_tensor = any(step.name in ("ToImage", "PILToTensor") for step in before)
        if not made_tensor and are_for_pil([step.given for step in behind]):
            start, pipeline = "pil", _split(transforms, "pil")
            refuse = True
    if (refuse or start == "stoker") and pipeline.cut < len(pipeline.steps):
        form: Form = "pil" if start == "pil" else "either"
        if problem := impossible([step.given for step in pipeline.steps], form):
            raise ValueError(problem)
    return pipeline


def _expanded(transforms: list[Any], state: State) -> bool:
    """Put the transforms that torchvision's preset consists of in its place, where it is the next one and
    gets what it was made for."""
    inner = _torchvision.preset(transforms[0]) if state in ("pil", "stoker") else None
    if inner is None:
        return False
    transforms[:1] = inner
    return True


def _split(transforms: list[Any], start: State) -> Pipeline:
    steps: list[Step] = []
    compiler = Compiler()
    state: State = start
    channels = 3
    cut: int | None = None
    tail = 0
    left = list(transforms)
    while left:
        if cut is None and _expanded(left, state):
            continue
        t = left.pop(0)
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
                t = rest.pop(0)
                result = self._as_to_tensor(t, result) if _torchvision.version(t) else t(result)
        return result

    def _as_to_tensor(self, t: Any, image: Any) -> Any:
        """What a transform of torchvision's makes of an image. Stoker's own images are tensors already: of
        them ToTensor does what it is known for."""
        name = type(t).__name__
        pixels = type(image) is torch.Tensor and image.dtype == torch.uint8
        if pixels and self.pipeline.state == "stoker" and name in ("ToTensor", "PILToTensor"):
            return image if name == "PILToTensor" else _run_on(image, [ToTensor()])
        return t(image)


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


def _is_pil(image: Any) -> bool:
    return hasattr(image, "mode") and hasattr(image, "convert") and hasattr(image, "tobytes")


def _as_pil(image: torch.Tensor) -> Any:
    from PIL import Image

    pixels = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _as_tv_image(image: torch.Tensor) -> Any:
    from torchvision import tv_tensors

    return tv_tensors.Image(image)


def _run_on(image: Any, descriptions: list[Transform]) -> Any:
    """Descriptions on an image; behind a Python callable, on what that returned."""
    if _is_pil(image):
        pixels = _pixels_of(image.convert("RGB"))
        assert pixels is not None
        finished = _run_on(pixels.permute(2, 0, 1), descriptions)
        stays = finished.dtype == torch.uint8 and not any(isinstance(t, _TO_TENSOR) for t in descriptions)
        return _as_pil(finished) if stays else finished
    if isinstance(image, torch.Tensor) and image.dtype == torch.float32:
        for t in descriptions:
            if isinstance(t, Normalize):
                mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (t.mean, t.std))
                image = (image - mean) / std
            elif not (isinstance(t, (ToDtype, ConvertImageDtype)) and t.dtype == torch.float32):
                raise TypeError(f"{type(t).__name__} needs a uint8 image, and this one is float32")
        return image
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


def apply(transform: Transform, image: Any) -> Any:
    """What a dataset's ``transform`` makes of an image that has been decoded: a PIL image, a uint8 tensor
    (3 or 1, height, width), an array (height, width, 3); of a float32 tensor what can follow.

    Raises:
        TypeError: it is nothing of that kind, or a transform needs another.
        DataError: the transform cannot be done to this image.
    """
    if isinstance(image, torch.Tensor) and image.is_floating_point():
        for t in flatten(transform):
            image = _run_on(image, [t]) if isinstance(t, Transform) else t(image)
        return image
    pixels = _decoded(image)
    runner = _runner_of(transform)
    return runner.finish(runner.decoder().from_pixels(pixels, runner.seed()))


def _decoded(image: Any) -> torch.Tensor:
    """(height, width, 3) of an image of any kind."""
    what = type(image).__name__
    if _is_pil(image):
        image = image.convert("RGB")
    elif not isinstance(image, torch.Tensor) and hasattr(image, "__array__"):
        what = f"{what} of {image.dtype} {list(image.shape)}"
        array = torch.from_numpy(image.copy()) if str(image.dtype) == "uint8" else torch.empty(0)
        image = array[:, :, None] if array.ndim == 2 else array
        image = image.permute(2, 0, 1) if image.ndim == 3 else image
    if isinstance(image, torch.Tensor):
        what = f"{what} of {image.dtype} {list(image.shape)}" if what == "Tensor" else what
        image = image.detach().as_subclass(torch.Tensor)
        if image.ndim == 3 and image.shape[0] == 1:
            image = image.expand(3, -1, -1)
    is_here = not isinstance(image, torch.Tensor) or image.device.type == "cpu"
    pixels = _pixels_of(image) if is_here else None
    if pixels is None or pixels.numel() == 0:
        raise TypeError(
            "a transform takes a PIL image, a uint8 tensor (3, height, width) on the CPU or a uint8 array "
            f"(height, width, 3), not {what}"
        )
    return pixels


def _runner_of(transform: Transform) -> Runner:
    if all(isinstance(t, Transform) for t in flatten(transform)):
        return _described(transform)
    return Runner(make_pipeline(transform, "stoker"), lambda plan: None)  # a callable may change


@functools.lru_cache(maxsize=64)
def _described(transform: Transform) -> Runner:
    return Runner(make_pipeline(transform, "stoker"), lambda plan: None)
