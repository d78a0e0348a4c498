"""Whole JPEGs to RGB in memory on one thread: Stoker's exact pixels, simplejpeg, OpenCV and Pillow,
side by side in one run.

    python tests/bench/full_decode.py PHOTOS     (pip install simplejpeg opencv-python-headless)

Each photograph is decoded by each in turn, several times; the least CPU time of each counts. Prints
milliseconds per image and the ratio to Stoker.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image

import stoker


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--passes", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    decoders = {
        "Stoker, exact": stoker.decode,
        "simplejpeg": lambda data: simplejpeg.decode_jpeg(data, "RGB"),
        "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
        "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    }
    files = [f for f in sorted(arguments.photos.rglob("*")) if f.is_file()]
    total = dict.fromkeys(decoders, 0.0)
    for file in files:
        data = file.read_bytes()
        least = dict.fromkeys(decoders, math.inf)
        for _ in range(arguments.passes):
            for name, decode in decoders.items():
                began = time.thread_time()
                decode(data)
                least[name] = min(least[name], time.thread_time() - began)
        for name, seconds in least.items():
            total[name] += seconds
    own = total["Stoker, exact"]
    print(f"{len(files)} photographs, whole, to RGB, in memory, one thread")
    for name, seconds in sorted(total.items(), key=lambda item: item[1]):
        print(f"  {name:14} {seconds / len(files) * 1e3:6.3f} ms   {seconds / own:.2f} ×")


if __name__ == "__main__":
    main()
