"""Every order of transforms over Stoker's own datasets, and those with ``stoker_sample``, either runs, and to
what torchvision makes of it, or is refused when the dataset or its loader is made."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from conftest import write_photos
from torchvision_operators import define_operators

from stoker import DataLoader, ImageFolder
from stoker import transforms as T

define_operators()
torchvision = pytest.importorskip("torchvision")

from torchvision import transforms as v1  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

THREE = (0.5, 0.4, 0.3)
POOL: dict[str, Any] = {
    "resize": v1.Resize((8, 8)),
    "our crop": T.CenterCrop(6),
    "rotation": v1.RandomRotation((90, 90)),
    "v2 invert": v2.RandomInvert(1.0),
    "posterize": v1.RandomPosterize(4, 1.0),
    "v1 tensor": v1.ToTensor(),
    "v1 bytes": v1.PILToTensor(),
    "v2 image": v2.ToImage(),
    "v2 float": v2.ToDtype(torch.float32, scale=True),
    "v1 float": v1.ConvertImageDtype(torch.float32),
    "our float": T.ToDtype(torch.float32, scale=True),
    "v1 normalize": v1.Normalize(THREE, THREE),
    "v2 normalize": v2.Normalize(THREE, THREE),
    "our normalize": T.Normalize(THREE, THREE),
}
ORDERS = [(name,) for name in POOL] + list(itertools.product(POOL, repeat=2))
random.seed(1)
LONGER = [tuple(random.choices(list(POOL), k=k)) for k in (3, 4, 5) for _ in range(60)]
RECIPES = [
    ("resize", "rotation", "v1 tensor", "v1 normalize"),
    ("resize", "v2 invert", "v2 image", "v2 float", "v2 normalize"),
    ("rotation", "resize", "v1 bytes", "v1 float", "our normalize"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("orders")
    write_photos(root / "a", 1)
    return root


class Rows(torch_data.Dataset[Any]):
    def __init__(self, path: Path, transform: Any) -> None:
        self.path, self.transform = path, transform

    def __len__(self) -> int:
        return 1

    def stoker_sample(self, index: int) -> tuple[Path, int]:
        return self.path, index


def made(folder: Path, kind: str, transform: list[Any]) -> DataLoader[Any]:
    rows = Rows(folder / "a" / "000.jpg", transform)
    dataset = ImageFolder(folder, transform) if kind == "ImageFolder" else rows
    return DataLoader(
        dataset, num_workers=0, pixels="exact", index=None, collate_fn=lambda several: several[0]
    )


def of_torchvision(folder: Path, transform: list[Any]) -> Any:
    try:
        return torchvision.datasets.ImageFolder(str(folder), v1.Compose(transform))[0][0]
    except (TypeError, AttributeError):
        return None


def allowed(names: tuple[str, ...], image: torch.Tensor) -> float:
    """A resize of a tensor rounds where torchvision's truncates; the rest is exact."""
    to_tensor = [i for i, name in enumerate(names) if name in ("v1 tensor", "v1 bytes", "v2 image")]
    if not to_tensor or "resize" not in names[to_tensor[0] :]:
        return 1e-5
    largest = 1.01 if image.dtype == torch.uint8 else 1.01 / 255
    return float(largest / min(THREE) ** sum("normalize" in name for name in names))


@pytest.mark.parametrize("kind", ["ImageFolder", "stoker_sample"])
def test_what_is_accepted_runs(folder: Path, kind: str) -> None:
    ran = equal = 0
    for names in [*ORDERS, *LONGER, *RECIPES]:
        transform = [POOL[name] for name in names]
        try:
            loader = made(folder, kind, transform)
        except ValueError:
            assert names not in RECIPES
            continue
        image, _ = next(iter(loader))  # and no error
        ran += 1
        if any(name.startswith("our") for name in names) and names not in RECIPES:
            continue
        expected = of_torchvision(folder, transform)
        if isinstance(expected, torch.Tensor):
            assert image.dtype == expected.dtype
            assert (image.float() - expected.float()).abs().max() <= allowed(names, image), names
            equal += 1
    assert ran > 100
    assert equal > 40


def test_refusals_say_why(folder: Path) -> None:
    for names, why in {
        ("resize", "rotation", "v1 normalize"): "Normalize needs ToTensor",
        ("v1 tensor", "rotation", "v1 tensor"): "ToTensor does not take tensors",
        ("rotation", "v1 float", "v1 tensor"): "ConvertImageDtype .* ToTensor",
        ("v1 tensor", "posterize"): "RandomPosterize must stand before ToTensor",
    }.items():
        for kind in ("ImageFolder", "stoker_sample"):
            with pytest.raises(ValueError, match=why):
                made(folder, kind, [POOL[name] for name in names])


def test_a_callable_before_totensor_gets_a_tensor_and_may_return_either(folder: Path) -> None:
    got = []

    def keep(image: Any) -> Any:
        got.append(type(image))
        return image

    plain = ImageFolder(folder, [v1.Resize((8, 8)), v1.ToTensor()])[0][0]
    to_pil = v1.ToPILImage()
    for function in (keep, lambda image: to_pil(keep(image))):
        image, _ = ImageFolder(folder, [v1.Resize((8, 8)), function, v1.ToTensor()])[0]
        assert torch.allclose(image, plain, rtol=0, atol=1e-6)
    assert got == [torch.Tensor, torch.Tensor]


# ---- transforms that hide others -----------------------------------------------------------------


class Recipe:
    """As torchvision's references have it."""

    def __init__(self, transforms: Any) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        """All of them."""
        return self.transforms(img)


class Module(torch.nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Any) -> Any:
        return self.inner(image)


class Twice(Recipe):
    def __call__(self, img: Any) -> Any:
        return self.transforms(self.transforms(img))


class Named(Recipe):
    transforms = property(lambda self: v1.ToTensor(), lambda self, value: None)  # type: ignore[assignment]


def reason(folder: Path, transform: Any) -> str:
    return DataLoader(torchvision.datasets.ImageFolder(str(folder), transform)).plan().reason


def test_what_hands_the_image_on_is_what_it_hands_it_to(folder: Path) -> None:
    chain = v1.Compose([v1.Resize((8, 8)), v1.ToTensor()])
    assert reason(folder, Recipe(chain)) == reason(folder, Module(Recipe(chain))) == ""
    assert "Twice, is a Python callable" in reason(folder, Twice(chain))
    assert "Named, is a Python callable" in reason(folder, Named(chain))
    hooked = Module(chain)
    hooked.register_forward_hook(lambda *_: None)
    assert "Module, is a Python callable" in reason(folder, hooked)


def test_the_transforms_of_torchvisions_weights(folder: Path) -> None:
    transform = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    dataset = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(dataset, pixels="exact", index=None)
    assert loader.native
    assert torch.allclose(next(iter(loader))[0][0], dataset[0][0], rtol=0, atol=1e-6)
    mixed = [v1.RandomInvert(1.0), transform]  # not alone, but as exactly
    images = ImageFolder(folder, mixed)[0][0]
    assert torch.allclose(images, v1.Compose(mixed)(dataset.loader(dataset.samples[0][0])), rtol=0, atol=1e-6)
