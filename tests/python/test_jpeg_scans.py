"""Progressive JPEGs whose last scans are missing: Pillow's picture, and crops of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import photo_like
from PIL import Image

import stoker
from stoker import transforms as T

END = b"\xff\xd9"


def scans_missing(subsampling: int | None) -> list[bytes]:
    """A progressive file cut behind each of its scans but the last, and ended in order."""
    file = io.BytesIO()
    photo = photo_like(131, 97)
    if subsampling is None:
        photo.convert("L").save(file, "JPEG", progressive=True)
    else:
        photo.save(file, "JPEG", progressive=True, subsampling=subsampling)
    jpeg = file.getvalue()
    scans = [at for at in range(len(jpeg)) if jpeg[at : at + 2] == b"\xff\xda"]
    return [jpeg[:at] + END for at in scans[1:]]


# libjpeg-turbo 2 and 3 smooth some rows of 4:2:0 differently, and Pillow may have another one than Stoker.
@pytest.mark.parametrize(("subsampling", "levels"), [(0, 0), (1, 0), (2, 8), (None, 0)])
def test_the_picture_is_pillows(subsampling: int | None, levels: int) -> None:
    files = scans_missing(subsampling)
    assert len(files) >= 5
    for jpeg in files:
        want = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
        got = stoker.decode(jpeg).permute(1, 2, 0).numpy().astype(int)
        assert np.abs(got - want).max() <= levels


@pytest.mark.parametrize("pixels", ["exact", "fast"])
def test_a_crop_is_the_crop_of_the_whole(tmp_path: Path, pixels: str) -> None:
    for n, jpeg in enumerate(scans_missing(2)):
        path = tmp_path / f"{n}.jpg"
        path.write_bytes(jpeg)
        whole = stoker.decode(jpeg)
        for side in (1, 9, 50):
            loader = stoker.DataLoader(
                stoker.ImageList([path], [0], [T.CenterCrop(side)]), num_workers=0, index=None, pixels=pixels
            )
            (image,) = next(iter(loader))[0]
            top, left = round((97 - side) / 2), round((131 - side) / 2)
            part = whole[:, top : top + side, left : left + side]
            assert torch.equal(
                (image * 255).round().to(torch.uint8) if image.is_floating_point() else image, part
            )


def test_without_an_end_it_is_refused() -> None:
    for jpeg in scans_missing(0):
        with pytest.raises(stoker.DataError, match="truncated"):
            stoker.decode(jpeg[: -len(END)])
