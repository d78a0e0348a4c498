"""Makes docs/compatibility.md: what each argument of DataLoader means, and where each of torchvision's
transforms runs. The test beside it fails where the page is not what this makes.

    python tests/python/compatibility.py        writes the page
"""

# ruff: noqa: E501
from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
import torch.utils.data as torch_data
from torchvision_operators import define_operators

define_operators()

from torchvision import transforms as v1  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

import stoker  # noqa: E402
from stoker._pipeline import make_pipeline  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

AS_TORCH = "as torch"
# (native path, Python path) of each argument.
ARGUMENTS: dict[str, tuple[str, str]] = {
    "dataset": (
        "Stoker's datasets; torchvision's ImageFolder and DatasetFolder (exact types, its own image loader); "
        "Subset, ConcatDataset and random_split of those; datasets with `stoker_sample`",
        "any other, map-style or iterable",
    ),
    "batch_size": (AS_TORCH, AS_TORCH),
    "shuffle": (AS_TORCH + ": the same order for the same seed", AS_TORCH),
    "sampler": (AS_TORCH, AS_TORCH),
    "batch_sampler": (AS_TORCH, AS_TORCH),
    "num_workers": (
        'threads of this process; "auto" (default): the usable cores, divided by LOCAL_WORLD_SIZE, less what '
        "training needs; 0: the calling thread",
        'processes, as torch; "auto": as many as the native path would have threads; 0 where they cannot serve '
        "the dataset (iterable; not to be pickled where they are not forked), and `plan()` says why",
    ),
    "collate_fn": ("gets a list of (image, target) in the consumer's thread", AS_TORCH),
    "pin_memory": (
        "batches are made in pinned memory; None (default): where there is an accelerator",
        AS_TORCH + "; None (default): where there is an accelerator",
    ),
    "drop_last": (AS_TORCH, AS_TORCH),
    "timeout": ("the error names the samples that were pending", "the error names the batch's samples"),
    "worker_init_fn": ("not called, there are no worker processes; `plan()` says so", AS_TORCH),
    "multiprocessing_context": ("not used; `plan()` says so", AS_TORCH),
    "generator": (AS_TORCH, AS_TORCH),
    "prefetch_factor": ("batches ahead in all, at least 1 (default 2)", "batches ahead for each worker, as torch"),
    "persistent_workers": ("threads come and go anyway; the base seed is drawn once, as torch", AS_TORCH),
    "pin_memory_device": (AS_TORCH + " (deprecated there)", AS_TORCH + " (deprecated there)"),
    "in_order": ("no meaning: batches always come in order", AS_TORCH + "; with False its state cannot be loaded"),
    "memory_format": ("of the images", "no meaning: batches are the dataset's"),
    "pixels": ("of the core's resizing", "of the parts that run in the core"),
    "dct_scaling": ("of JPEGs, while decoding", "no meaning"),
    "index": ("the decode index", "no meaning"),
    "shard": ("this rank's share", "this rank's share; refused for iterable datasets"),
    "on_error": (
        "what a bad sample does; \"skip\" is refused under several ranks",
        "the same, for any exception; refused for iterable datasets",
    ),
    "max_errors": ("how many are too many", "the same"),
    "error_manifest": ("a line of JSON for each bad sample", "the same"),
    "progress": ("a line that says how the loader does", "the same"),
}  # fmt: skip

# What to make a transform with where its defaults do not do.
HALF = v1.RandomHorizontalFlip()
MAKE: dict[str, dict[str, Any]] = {
    "CenterCrop": {"size": 8},
    "Compose": {"transforms": [HALF]},
    "ConvertBoundingBoxFormat": {"format": "XYXY"},
    "ConvertImageDtype": {"dtype": torch.float32},
    "FiveCrop": {"size": 8},
    "GaussianBlur": {"kernel_size": 3},
    "JPEG": {"quality": 50},
    "Lambda": {"lambd": abs},
    "LinearTransformation": {"transformation_matrix": torch.eye(3), "mean_vector": torch.zeros(3)},
    "Normalize": {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    "Pad": {"padding": 2},
    "RandomAffine": {"degrees": 10},
    "RandomApply": {"transforms": [HALF]},
    "RandomChoice": {"transforms": [HALF]},
    "RandomCrop": {"size": 8},
    "RandomOrder": {"transforms": [HALF]},
    "RandomAdjustSharpness": {"sharpness_factor": 2.0},
    "RandomPosterize": {"bits": 4},
    "RandomResize": {"min_size": 8, "max_size": 9},
    "RandomResizedCrop": {"size": 8},
    "RandomRotation": {"degrees": 10},
    "RandomShortestSize": {"min_size": 8},
    "RandomSolarize": {"threshold": 100.0},
    "Resize": {"size": 8},
    "ScaleJitter": {"target_size": (8, 8)},
    "TenCrop": {"size": 8},
    "ToDtype": {"dtype": torch.float32, "scale": True},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "CutMix": {"num_classes": 10},
    "MixUp": {"num_classes": 10},
    "UniformTemporalSubsample": {"num_samples": 2},
    "RandomErasing": {"value": 0},
}  # fmt: skip
# Of boxes and points, with images left as they are; and base classes.
NOT_TRANSFORMS = {
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "ConvertBoundingBoxFormat",
    "SanitizeBoundingBoxes",
    "SanitizeKeyPoints",
    "SetClampingMode",
    "InterpolationMode",
    "AutoAugmentPolicy",
    "Transform",
}

BEFORE = {
    "PIL image": [],
    "uint8 tensor": [v2.ToImage()],
    "float tensor": [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)],
}


def names() -> list[str]:
    """All of torchvision's transforms, of either version."""
    found = set()
    for version in (v1, v2):
        for name, kind in vars(version).items():
            if isinstance(kind, type) and name[0].isupper() and kind.__module__.startswith("torchvision"):
                found.add(name)
    return sorted(found - NOT_TRANSFORMS)


def where(name: str, before: list[Any]) -> str:
    """Where a transform runs behind others, in both versions that have it."""
    found = []
    for version in (v1, v2):
        kind = getattr(version, name, None)
        if kind is None:
            continue
        pipeline = make_pipeline([*before, kind(**MAKE.get(name, {}))], "pil")
        native = pipeline.cut == len(pipeline.steps)
        found.append("native" if native else "Python")
    return found[0] if len(set(found)) == 1 else "/".join(found)


def transforms_table() -> list[str]:
    lines = [f"| transform | of a {' | of a '.join(BEFORE)} |", "| --- | --- | --- | --- |"]
    for name in names():
        lines.append(f"| {name} | {' | '.join(where(name, before) for before in BEFORE.values())} |")
    return lines


def arguments_table() -> list[str]:
    given = inspect.signature(stoker.DataLoader.__init__).parameters
    of_torch = inspect.signature(torch_data.DataLoader.__init__).parameters
    lines = ["| argument | native path | Python path |", "| --- | --- | --- |"]
    for name in given:
        if name != "self":
            own = "" if name in of_torch else " (Stoker's)"
            lines.append(f"| `{name}`{own} | {' | '.join(ARGUMENTS[name])} |")
    return lines


def page() -> str:
    return "\n".join(
        [
            "# What runs where",
            "",
            "Made by `python tests/python/compatibility.py`; a test fails where it is out of date.",
            "`print(loader.plan())` says the same of one loader, with the reasons.",
            "",
            "## The arguments of DataLoader",
            "",
            "Every argument of torch's keeps its meaning. Values that torch refuses are refused with its own errors.",
            "",
            *arguments_table(),
            "",
            "## torchvision's transforms",
            "",
            "Both versions, exact types, by the parameters in the test (their defaults where they have some).",
            "*Python*: it runs in torch's workers, as it is, with the native transforms before and behind it in",
            "the core. Further conditions:",
            "",
            "- Interpolation is nearest, bilinear or bicubic; nearest of tensors is Python's (`nearest-exact` is",
            "  native). PIL images are always resized with antialiasing; tensors with `antialias=False` are Python's.",
            "- Colours, crops that pad and resizes stand before the conversion to float, or are Python's there. A pad",
            "  or a crop that fills with 0 may stand between the conversion and Normalize.",
            "- ColorJitter of a tensor is native without hue. Of tensors, torch truncates where Pillow rounds, as the",
            "  core does: results are about a level apart.",
            "- RandomErasing stands last, but for flips, Normalize and the conversion.",
            "- A fill for each type, padding twice by reflection, `size=None` and dtypes other than float32 and uint8",
            "  are Python's.",
            "- `RandomApply`, `RandomChoice` and `RandomOrder` are native where all that is in them is, except",
            "  conversions, and Grayscale to another number of channels.",
            "- A subclass, a module with hooks and a callable are Python's.",
            "",
            "In the exact pixel mode results are those of torchvision on PIL images, bit for bit but for the order of",
            "float operations. In the fast mode they are within rounding (mean below 0.5 of 255, 99th percentile at",
            "most 2); changes of colour enlarge that by their factor.",
            "",
            *transforms_table(),
            "",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page())
