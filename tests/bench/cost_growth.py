"""How the cost of an image grows: CPU time of RandomResizedCrop, flip and normalize over the image's
size and the result's, for one loader at a time, in one thread.

    python tests/bench/cost_growth.py stoker PHOTOS    # or: dali, torch; in an environment that has it

Makes images of each size from the photographs in PHOTOS (JPEG, quality 90, 4:2:0), and prints one
line of JSON: {"loader", "ms": {"MEGAPIXELS": {"RESULT": CPU milliseconds per image}}}, least of
several passes. "torch" is Pillow's decoding, crop and resize as torchvision's transforms call them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

MEGAPIXELS = (0.05, 0.2, 0.8, 3.0, 12.0)
RESULTS = (64, 224, 448)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_images(photos: Path, megapixels: float, count: int, folder: Path) -> list[str]:
    files = []
    for i, photo in enumerate(sorted(photos.rglob("*.*"))[:count]):
        with Image.open(photo) as image:
            scale = math.sqrt(megapixels * 1e6 / (image.width * image.height))
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            files.append(str(folder / f"{megapixels}-{i}.jpg"))
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(files[-1], quality=90)
    return files


def stoker_pass(files: list[str], result: int) -> Callable[[], int]:
    import stoker
    from stoker import transforms as T

    normalize = [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)]
    recipe = T.Compose([T.RandomResizedCrop(result), T.RandomHorizontalFlip(), *normalize])
    dataset = stoker.ImageList(files, [0] * len(files), recipe)
    loader = stoker.DataLoader(dataset, batch_size=8, num_workers=0, index=None)
    return lambda: sum(len(images) for images, _ in loader)


def dali_pass(files: list[str], result: int) -> Callable[[], int]:
    from nvidia.dali import fn, pipeline_def, types

    # Nothing runs ahead: what a pass costs is paid within it.
    @pipeline_def(batch_size=8, num_threads=1, device_id=None, exec_async=False, exec_pipelined=False)
    def pipeline():  # type: ignore[no-untyped-def]
        jpegs, _ = fn.readers.file(files=files, name="files")
        images = fn.decoders.image_random_crop(
            jpegs, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
        )
        images = fn.resize(images, size=[result, result], interp_type=types.INTERP_LINEAR, antialias=True)
        return fn.crop_mirror_normalize(
            images,
            dtype=types.FLOAT,
            output_layout="CHW",
            mirror=fn.random.coin_flip(),
            mean=[255 * m for m in MEAN],
            std=[255 * s for s in STD],
        )

    pipe = pipeline()
    pipe.build()

    def one_pass() -> int:
        return sum(len(pipe.run()[0]) for _ in range(len(files) // 8))

    return one_pass


def torch_pass(files: list[str], result: int) -> Callable[[], int]:
    draw = random.Random(0)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))

    def load(file: str) -> torch.Tensor:
        with Image.open(file) as image:
            rgb = image.convert("RGB")
        area = rgb.width * rgb.height * draw.uniform(0.08, 1.0)
        ratio = math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        width = min(rgb.width, round(math.sqrt(area * ratio)))
        height = min(rgb.height, round(math.sqrt(area / ratio)))
        left, top = draw.randint(0, rgb.width - width), draw.randint(0, rgb.height - height)
        crop = rgb.crop((left, top, left + width, top + height)).resize(
            (result, result), Image.Resampling.BILINEAR
        )
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1).contiguous().float().div_(255)
        return pixels.sub_(mean).div_(std)

    def one_pass() -> int:
        batches = [torch.stack([load(f) for f in files[i : i + 8]]) for i in range(0, len(files), 8)]
        return sum(len(b) for b in batches)

    return one_pass


PASSES = {"stoker": stoker_pass, "dali": dali_pass, "torch": torch_pass}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("loader", choices=sorted(PASSES))
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=16, help="of each size; a multiple of 8")
    parser.add_argument("--passes", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ms: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in MEGAPIXELS:
            files = make_images(arguments.photos, megapixels, arguments.images, Path(folder))
            for result in RESULTS:
                one_pass = PASSES[arguments.loader](files, result)
                one_pass()
                least = math.inf
                for _ in range(arguments.passes):
                    began = time.process_time()
                    images = one_pass()
                    least = min(least, (time.process_time() - began) / images)
                ms.setdefault(str(megapixels), {})[str(result)] = round(least * 1e3, 3)
    print(json.dumps({"loader": arguments.loader, "ms": ms}))


if __name__ == "__main__":
    main()
