"""`python -m stoker demo`: the same training fed by torch's DataLoader and by Stoker, compared."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

from stoker._cpus import usable_cores
from stoker._printable import printable, printable_name
from stoker._words import counted
from stoker.demo.errors import DemoError

__all__ = ["DemoError", "run_demo"]

# Import name -> name in the package index, of what the demo needs beyond Stoker itself.
_PACKAGES = {
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "psutil": "psutil",
    "rich": "rich",
}
_FOR_PHOTOGRAPHS = {"skimage": "scikit-image"}  # of which the demo's own are made
_PICTURE_FORMATS = (".png", ".svg", ".pdf")


def run_demo(data: Path | None, workers: int | None, epochs: int, picture: Path, as_json: bool) -> int:
    """Run the demo and return its exit status: 0; 1 or, interrupted, 130 after a line that says so.

    data: folder of class folders with images; None derives 1,000 photographs, once, in the cache.
    workers: of either loader; None takes half of the cores, at least 2 and at most 8.
    epochs: of each training.
    picture: where the comparison is drawn.
    as_json: print one JSON object on standard output, everything else on standard error.
    """
    try:
        _check_arguments(data, workers, epochs, picture)
        _run(data, workers, epochs, picture, as_json)
    except KeyboardInterrupt:
        print("stoker demo: interrupted", file=sys.stderr)
        return 130
    except (DemoError, OSError) as error:
        print(f"stoker demo: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


def _check_arguments(data: Path | None, workers: int | None, epochs: int, picture: Path) -> None:
    """Complain now rather than after a minute of training."""
    needed = _PACKAGES if data is not None else {**_PACKAGES, **_FOR_PHOTOGRAPHS}
    missing = [package for name, package in needed.items() if find_spec(name) is None]
    if missing:
        raise DemoError(f"needs packages that are missing: pip install {' '.join(missing)}")
    if epochs < 1:
        raise DemoError(f"epochs must be at least 1, not {epochs}")
    if workers is not None and workers < 1:
        raise DemoError(f"workers must be at least 1, not {workers}")
    if picture.suffix not in _PICTURE_FORMATS:
        raise DemoError(f"the picture's name must end in {' or '.join(_PICTURE_FORMATS)}: {picture}")
    if not picture.parent.is_dir():
        raise DemoError(f"the picture's folder does not exist: {picture.parent}")


def _run(data: Path | None, workers: int | None, epochs: int, picture: Path, as_json: bool) -> None:
    # Imported here, after the check: these need the packages.
    from rich.console import Console

    from stoker.demo.compare import check_folder, compare, print_table
    from stoker.demo.photos import demo_photos_with_progress
    from stoker.demo.picture import draw, headline

    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    folder = demo_photos_with_progress(console) if data is None else data
    count = check_folder(folder)
    console.print(f"Data: {counted(count, 'image')} in {printable_name(str(folder))}", markup=False)
    comparison = compare(folder, workers or _default_workers(), epochs, console, quiet=as_json)
    print_table(comparison, console)
    draw(comparison, picture)
    console.print(f"\n[bold]{headline(comparison)}.[/bold]")
    console.print(f"Picture: {printable_name(str(picture.resolve()))}", markup=False)
    if as_json:
        results = {"data": str(folder), "picture": str(picture.resolve())}
        print(json.dumps(results | comparison.as_dict(), indent=2))


def _default_workers() -> int:
    """Half of the cores, since the training step needs some as well; 2 to 8."""
    return max(2, min(8, usable_cores() // 2))
