"""Photographs as PNG, WebP and TIFF to RGB in memory on one thread: Stoker's readers and OpenCV's.

    python tests/bench/still_decode.py PHOTOS     (pip install opencv-python-headless)

Each pass decodes all files of a format by one and then by the other, in alternating order. Prints the CPU
time per image of the passes, from least to most, and the median of their ratios.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

import stoker

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {}),
    "WebP, quality 90": ("WEBP", {"quality": 90}),
    "WebP, lossless": ("WEBP", {"lossless": True, "method": 0}),
    "TIFF": ("TIFF", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}


def written(photograph: Path, kind: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    Image.open(photograph).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def by_opencv(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def cpu_ms(decode: Callable[[bytes], Any], files: Sequence[bytes]) -> float:
    """Per image."""
    began = time.process_time()
    for data in files:
        decode(data)
    return (time.process_time() - began) / len(files) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--passes", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photographs = [f for f in sorted(arguments.photos.rglob("*")) if f.is_file()]
    photographs = photographs[:: max(1, len(photographs) // arguments.images)]
    print(f"{len(photographs)} photographs, OpenCV {cv2.__version__}, ms of CPU per image")
    for name, (kind, options) in FORMATS.items():
        files = [written(photograph, kind, options) for photograph in photographs]
        own, others = [], []
        for number in range(arguments.passes):
            decoders = [(stoker.decode, own), (by_opencv, others)]
            for decode, times in decoders[:: 1 if number % 2 else -1]:
                times.append(cpu_ms(decode, files))
        ratio = statistics.median(a / b for a, b in zip(own, others, strict=True))
        print(
            f"  {name:17} Stoker {min(own):.2f} to {max(own):.2f}, OpenCV {min(others):.2f} to"
            f" {max(others):.2f}, ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
