"""Train with torch's DataLoader and with Stoker, and set their figures side by side.

Each training is `examples/train.py` in a process of its own. A third one, fed with one batch over
and over, tells what the training step costs; the rest of the CPU time is the loader's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from stoker._words import counted
from stoker.demo.errors import DemoError
from stoker.demo.measure import run_and_watch

_TRAININGS = {
    "cached": "The training step alone, fed by one cached batch",
    "torch": "Training fed by torch's DataLoader",
    "stoker": "Training fed by Stoker",
}
_EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}  # as examples/train.py
_STDERR = 2


@dataclass(frozen=True)
class Result:
    """One training's figures. CPU time and memory are those of the whole process tree."""

    images_per_s: float
    cpu_s_per_image: float  # loading and training step together, start-up not included
    first_batch_s: float
    wait_share: float  # of the training time, 0 to 1
    peak_memory_mb: float  # 10^6 bytes, everything included
    loss: float  # mean over the last epoch
    images: int
    epochs: int
    workers: int
    device: str  # as torch names it: "cpu", "cuda"

    @property
    def device_name(self) -> str:
        """The device in a sentence."""
        return "the CPU" if self.device == "cpu" else self.device


@dataclass(frozen=True)
class Comparison:
    """Both trainings, and the same training's step alone."""

    torch: Result
    stoker: Result
    step_cpu_s_per_image: float

    def loader_cpu_s(self, result: Result) -> float:
        """CPU seconds per image beyond the training step's own: the loader's. At least 0."""
        return max(0.0, result.cpu_s_per_image - self.step_cpu_s_per_image)

    def as_dict(self) -> dict[str, Any]:
        """The figures under the keys that `--json` promises."""
        return {
            name: {**vars(result), "loader_cpu_s_per_image": self.loader_cpu_s(result)}
            for name, result in (("torch", self.torch), ("stoker", self.stoker))
        } | {"step_cpu_s_per_image": self.step_cpu_s_per_image}


@dataclass(frozen=True)
class Measure:
    """One line of the table, one panel of the picture."""

    name: str
    unit: str
    torch: float
    stoker: float
    decimals: int = 0
    more_is_better: bool = False

    def text(self, value: float) -> str:
        """The value with its unit: "1,234 images/s", "1.23 ms"."""
        return f"{value:,.{self.decimals}f} {self.unit}"

    @property
    def verdict(self) -> str:
        """Stoker's figure against torch's: "3.4 × less"; nothing where one is 0."""
        low, high = sorted((self.torch, self.stoker))
        if low <= 0:
            return ""
        if high < 1.05 * low:
            return "the same"
        word = "more" if self.stoker > self.torch else "less"
        return f"{high / low:.1f} × {word}" if high < 100 * low else f"over 100 × {word}"


def measures(comparison: Comparison) -> list[Measure]:
    """What the table and the picture show, in order."""
    t, s = comparison.torch, comparison.stoker
    loader_ms = [1e3 * comparison.loader_cpu_s(result) for result in (t, s)]
    return [
        Measure("Training speed", "images/s", t.images_per_s, s.images_per_s, 0, True),
        Measure("CPU time per image", "ms", 1e3 * t.cpu_s_per_image, 1e3 * s.cpu_s_per_image, 2),
        Measure("Loader's CPU time per image", "ms", loader_ms[0], loader_ms[1], 2),
        Measure("First batch", "s", t.first_batch_s, s.first_batch_s, 2),
        Measure("Waiting for data", "%", 100 * t.wait_share, 100 * s.wait_share, 1),
        Measure("Peak memory", "MB", t.peak_memory_mb, s.peak_memory_mb),
    ]


def check_folder(data: Path) -> int:
    """The number of images in the class folders of `data`. Raises DemoError if there are none."""
    if not data.is_dir():
        raise DemoError(f"{data} is not a folder")
    folders = [entry for entry in data.iterdir() if entry.is_dir()]
    files = (file for folder in folders for file in folder.rglob("*"))
    count = sum(file.suffix.lower() in _EXTENSIONS for file in files)
    if count == 0:
        raise DemoError(f"{data} has no class folders with images (expected CLASS/NAME.jpg)")
    return count


def compare(data: Path, workers: int, epochs: int, console: Console, quiet: bool) -> Comparison:
    """Run the three trainings one after the other. Raises DemoError when one of them fails.

    What the trainings print goes to standard output, or with `quiet` to standard error.
    """
    _read_once(data)
    output = _STDERR if quiet else None
    results = {}
    for number, (loader, title) in enumerate(_TRAININGS.items(), start=1):
        console.print(f"\n[bold]{number} of {len(_TRAININGS)}: {title}[/bold]")
        results[loader] = _train(loader, data, workers, epochs, output)
    return Comparison(results["torch"], results["stoker"], results["cached"].cpu_s_per_image)


def train_script() -> Path:
    """`examples/train.py`: the copy beside this file in an installed package, else the source."""
    packaged = Path(__file__).with_name("train.py")
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "examples" / "train.py"


def _train(loader: str, data: Path, workers: int, epochs: int, output: int | None) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measured.json"
        arguments = {"--data": data, "--loader": loader, "--workers": workers}
        arguments |= {"--epochs": epochs, "--json": file}
        flat = [str(part) for pair in arguments.items() for part in pair]
        # The script finds the same packages as this process. The training step's idle threads are
        # to sleep instead of spinning, which would count as CPU time.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        environment = {**os.environ, "PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, str(train_script()), *flat]
        usage = run_and_watch(command, environment, output)
        if usage.exit_status < 0:
            name = signal.Signals(-usage.exit_status).name
            raise DemoError(f"examples/train.py --loader {loader} was ended by {name}")
        if usage.exit_status > 0:
            raise DemoError(f"examples/train.py --loader {loader} failed; why is said above")
        measured = json.loads(file.read_text())
    training_cpu_s = usage.cpu_between(measured.pop("began_s"), measured.pop("ended_s"))
    del measured["loader"]
    return Result(
        cpu_s_per_image=training_cpu_s / measured["images"],
        peak_memory_mb=usage.peak_memory_bytes / 1e6,
        **measured,
    )


def _read_once(data: Path) -> None:
    """Read all files, so that they are in the page cache for the first loader as for the second.

    Left out where they would not fit anyway: then both loaders read from storage.
    """
    files = [file for file in data.rglob("*") if file.is_file()]
    if sum(file.stat().st_size for file in files) < psutil.virtual_memory().available / 4:
        for file in files:
            file.read_bytes()


def print_table(comparison: Comparison, console: Console) -> None:
    """Print torch, Stoker and the ratio, one line per measure."""
    result = comparison.stoker
    images, workers = counted(result.images, "image"), counted(result.workers, "worker")
    table = Table(title=f"{images}, {workers}, on {result.device_name}")
    table.add_column("")
    for header in ("torch's DataLoader", "Stoker", "ratio"):
        table.add_column(header, justify="right")
    for measure in measures(comparison):
        table.add_row(
            measure.name,
            measure.text(measure.torch),
            measure.text(measure.stoker),
            measure.verdict,
        )
    losses = (f"{value:.2f}" for value in (comparison.torch.loss, result.loss))
    table.add_row("Loss, last epoch", *losses, "")
    console.print()
    console.print(table)
    console.print(
        "CPU time is that of all processes while training, the training step included; the step "
        f"alone, fed by one cached batch, takes {1e3 * comparison.step_cpu_s_per_image:.2f} ms per "
        "image, and the rest is the loader's. Memory is the whole tree's peak, shared pages once.",
        soft_wrap=False,
    )
