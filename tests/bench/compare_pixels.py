"""Compares Stoker's pixels with Pillow's on a folder of photographs, and prints what differs.

    python tests/bench/compare_pixels.py DIR [--crops 200] [--crops-per-file 0]

Exact mode, three comparisons of uint8 RGB: the whole image decoded; Resize(256) + CenterCrop(224); and
fixed random crops resized to 224 × 224 with bilinear, bicubic and nearest in turn. Fast mode: the same
crops, bilinear, by the JPEGs' sampling. Exits with 1 if any exact pixel differs, or the fast mode's
mean difference is above 0.6 or its 99.9th percentile above 8 levels of 255 for a sampling.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

import stoker
from stoker import _C
from stoker import transforms as T
from stoker._files import find_images
from stoker.transforms import compile_plan

Pixels = npt.NDArray[np.uint8]
MODES = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


def pillow(path: str) -> Image.Image:
    return Image.open(path).convert("RGB")


def stoker_pixels(plan: _C.SamplePlan, path: str, seed: int = 0) -> Pixels:
    tensor = _C.Decoder(plan).from_file(path.encode(), seed)
    return np.ascontiguousarray(tensor.numpy().transpose(1, 2, 0))


def evaluation(path: str) -> Pixels:
    """torchvision's Resize(256) + CenterCrop(224) on a PIL image."""
    image = pillow(path)
    width, height = image.size
    short = min(width, height)
    size = tuple(256 if side == short else int(256 * side / short) for side in (width, height))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


def random_crop(path: str, seed: int) -> tuple[Pixels, Pixels]:
    """The same crop, chosen by Stoker, by either."""
    mode = list(MODES)[seed % len(MODES)]
    plan = compile_plan(T.RandomResizedCrop(224, interpolation=T.InterpolationMode(mode)))
    image = pillow(path)
    # Bilinear needs the whole crop decoded, nearest not quite; all modes draw the same crop.
    bilinear = compile_plan(T.RandomResizedCrop(224))
    left, top, width, height = bilinear.decode_rect((image.height, image.width), seed)
    cropped = image.crop((left, top, left + width, top + height))
    return stoker_pixels(plan, path, seed), np.asarray(cropped.resize((224, 224), MODES[mode]))


def sampling(path: str) -> str:
    """How a JPEG stores chroma, as luma's factors; "gray" where it has none."""
    layers = getattr(Image.open(path), "layer", [])
    return "gray" if len(layers) == 1 else f"{layers[0][1]}x{layers[0][2]}" if layers else "no JPEG"


def compare_fast(files: list[str], crops: int) -> bool:
    """Print the fast mode's distance from Pillow for each sampling; True if within bounds."""
    plan = compile_plan(T.RandomResizedCrop(224))
    plan.exact_pixels = False
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for i in range(crops):
        path = files[i % len(files)]
        image = pillow(path)
        left, top, width, height = plan.decode_rect((image.height, image.width), i)
        theirs = image.crop((left, top, left + width, top + height)).resize((224, 224), MODES["bilinear"])
        levels = np.abs(stoker_pixels(plan, path, i).astype(np.int16) - np.asarray(theirs))
        kind = counts.setdefault(sampling(path), np.zeros(256, np.int64))
        kind += np.bincount(levels.ravel(), minlength=256)
    good = True
    for name, count in sorted(counts.items()):
        share = np.cumsum(count) / count.sum()
        mean = float(count @ np.arange(256) / count.sum())
        p999 = int(np.searchsorted(share, 0.999))
        print(
            f"fast, {name}: {count.sum() // (3 * 224 * 224):,} crops, mean difference {mean:.3f},"
            f" 99.9th percentile {p999}, largest {np.flatnonzero(count)[-1]}"
        )
        good = good and mean <= 0.6 and p999 <= 8
    return good


def compare(title: str, pairs: Iterable[tuple[str, Callable[[], tuple[Pixels, Pixels]]]]) -> bool:
    """Print how many differ and by how much; True if none does."""
    count = different = worst = 0
    for path, both in pairs:
        ours, theirs = both()
        count += 1
        if np.array_equal(ours, theirs):
            continue
        different += 1
        levels = np.abs(ours.astype(np.int16) - theirs.astype(np.int16))
        worst = max(worst, int(levels.max()))
        print(f"  {path}: {np.count_nonzero(levels):,} of {levels.size:,} values, up to {levels.max()}")
    print(f"{title}: {count - different:,} of {count:,} equal, largest difference {worst}", flush=True)
    return different == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crops", type=int, default=200, help="random crops, spread over the files")
    parser.add_argument("--crops-per-file", type=int, default=0, help="in place of --crops")
    args = parser.parse_args()
    files = find_images(args.folder)
    crops = args.crops_per_file * len(files) or args.crops
    print(f"{len(files)} images, stoker {stoker.__version__} ({_C.simd_target()}), Pillow {PIL.__version__}")
    whole, center = compile_plan(None), compile_plan([T.Resize(256), T.CenterCrop(224)])
    good = [
        compare("decode", ((f, lambda f=f: (stoker_pixels(whole, f), np.asarray(pillow(f)))) for f in files)),
        compare(
            "Resize(256) + CenterCrop(224)",
            ((f, lambda f=f: (stoker_pixels(center, f), evaluation(f))) for f in files),
        ),
        compare(
            "random crops",
            (
                (files[i % len(files)], lambda i=i: random_crop(files[i % len(files)], i))
                for i in range(crops)
            ),
        ),
        compare_fast(files, crops),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
