"""Every command line and block of Python that the texts show runs as it is written.

What a reader puts in (DATA, DIR, …) is a small folder that is made here. Runs that would be long are bounded
by arguments behind the documented ones, or by a smaller number than is documented: BEHIND and SMALLER say
all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from documented import ROOT, Shown, commands, python_blocks
from example_runs import needs
from photographs import photo_like

import stoker

# ---- what is not run, and why ------------------------------------------------------------------------

NOT_RUN = {
    "make sweep": "it takes an hour or so; make test runs its short form",
    "python tests/python/formats.py": "it writes a page of the project's own, which test_formats.py compares",
    "make demo": "`stoker demo`, which is run, behind a set-up that installs packages",
    "make demo DATA=DIR": "`stoker demo --data DIR`, likewise",
    "make test": "the tests, of which this is one",
    "make deps": "installs packages",
    "make bench": "builds the benchmarks, and takes minutes",
    "pip install --no-build-isolation .": "changes the environment that the tests run in",
    "stoker index": "the command's name in a sentence",
    "stoker diagnose": "the command's name in a sentence",
    "python tests/python/compatibility.py": "writes docs/compatibility.md, which a test compares with it",
    "python tests/bench/cost_growth.py LOADER PHOTOS": "takes minutes, and other loaders",
    "python tests/bench/index_savings.py PHOTOS --images 24 --passes 4": "takes minutes",
    "python tests/bench/predictions.py": "takes minutes",
    "python tests/bench/native_prediction.py": "takes minutes",
    "python tests/verdicts/live.py": "takes an hour",
    "python docs/figures/draw.py": "writes the README, which a test compares with it",
    "python docs/figures/draw.py --take ROWS.jsonl …": "takes a benchmark's rows, which are not kept",
    "python docs/figures/draw.py --take-demo RUN.json …": "takes the demo's figures, which are committed",
}

# Pages whose blocks have a test of their own.
ELSEWHERE = {"docs/your-dataset.md": "test_your_dataset.py, which gives each kind its files"}

# ---- what bounds the others --------------------------------------------------------------------------

SMALL = "--epochs 1 --size 32 --batch-size 4"
BEHIND = {
    "imagenet.py": SMALL,
    "accelerate_train.py": SMALL,
    "lightning_train.py": f"{SMALL} --accelerator cpu",
    "starved.py": "--epochs 1",
    "train.py": "--epochs 1",
    "stoker demo": "--epochs 1",
    "stoker bench": "--epochs 1 --batch 4",
    "python_path_cost.py": "--pairs 1",
}
SMALLER = {
    "--nproc-per-node 8": "--nproc-per-node 2",
    "--num-processes 8": "--num-processes 2 --cpu",
}
READERS = {
    "DATA": "photos",
    "DIR": "photos/train",
    "SCRIPT": "train.py",
    "FILE": "elsewhere.index",
    "make help": f"make -f {ROOT / 'Makefile'} help",
}

# The reader's own script, and package: torch's DataLoader over the photographs of the demo.
OWN = (ROOT / "examples" / "starved.py").read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, a benchmark, a script of the reader's, and photographs."""
    root = tmp_path_factory.mktemp("documented")
    shutil.copytree(ROOT / "examples", root / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    bench = Path("tests", "bench", "python_path_cost.py")
    (root / bench).parent.mkdir(parents=True)
    shutil.copy(ROOT / bench, root / bench)
    (root / "package").mkdir()
    (root / "package" / "__init__.py").write_text("")
    for script in (root / "train.py", root / "package" / "train.py"):
        script.write_text(OWN)
    cached = root / "cache" / "stoker" / "demo-photos-v1-1000"  # in place of a thousand
    for folder in (root / "photos" / "train", root / "photos" / "val", cached, root / "imagenet" / "train"):
        for number in range(12):
            file = folder / f"class{number % 3}" / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            photo_like(400, 300, seed=number).save(file, quality=90)  # large enough for the decode index
    (root / "examples" / "photos").symlink_to(root / "photos")
    return root


def environment(place: Path) -> dict[str, str]:
    """As in a shell of the environment that is running the tests."""
    ranks = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    kept = {name: value for name, value in os.environ.items() if name not in ranks}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "XDG_CACHE_HOME": str(place / "cache"), "OMP_NUM_THREADS": "1"}


def bounded(command: str, folder: Path) -> str:
    """The command as it is run: see BEHIND, SMALLER and READERS."""
    for documented, small in SMALLER.items():
        command = command.replace(documented, small)
    for what, stands_for in READERS.items():
        command = stands_for if command == what else command
        command = " ".join(stands_for if word == what else word for word in command.split(" "))
    if "CHECKPOINT" in command:
        checkpoint = sorted((folder / "checkpoints").glob("*.ckpt"))[-1].relative_to(folder)
        command = command.replace("CHECKPOINT", f"'{checkpoint}'")
    behind = next((arguments for what, arguments in BEHIND.items() if what in command), "")
    return f"{command} {behind}"


def in_turn() -> dict[str, list[Shown]]:
    """The commands to run by the file that shows them; what several show is run once."""
    found: dict[str, list[Shown]] = {}
    seen: set[str] = set()
    for shown in commands():
        if shown.text not in NOT_RUN and shown.text not in seen:
            seen.add(shown.text)
            found.setdefault(shown.file, []).append(shown)
    return found


def test_there_is_a_reason_for_what_is_not_run() -> None:
    assert {shown.text for shown in commands()} >= set(NOT_RUN)
    assert all(reason for reason in NOT_RUN.values())
    assert {"examples/imagenet.py", "examples/lightning_train.py", "README.md"} <= set(in_turn())
    assert sum(map(len, in_turn().values())) >= 30


@needs("torchvision", "lightning", "accelerate", "matplotlib")
@pytest.mark.parametrize("file", in_turn())
def test_documented_commands_run_as_they_are_written(file: str, place: Path) -> None:
    for shown in in_turn()[file]:
        in_examples = file.startswith("examples/") and "examples/" not in shown.text
        folder = place / "examples" if in_examples else place
        command = bounded(shown.text, folder)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment(place),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{file}: {command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{file}: {command}\n{done.stderr}"


# ---- blocks of Python --------------------------------------------------------------------------------

# What a block leaves out, or what this machine need not have, and what stands for it.
LEFT_OUT = {
    "[...]": "[torchvision.transforms.RandomResizedCrop(32), torchvision.transforms.ToTensor()]",
    "DataLoader(..., progress": "DataLoader(train, progress",
    '"cuda"': '"cpu"',
}


def names(place: Path) -> dict[str, Any]:
    """What a block takes from the reader's script: a model, a loader, a step."""
    from torchvision import transforms

    train = stoker.ImageFolder(
        place / "photos" / "train", transform=stoker.transforms.Compose([stoker.transforms.CenterCrop(32)])
    )
    loader = stoker.DataLoader(train, batch_size=4)
    for _ in loader:
        pass

    class Writer:
        def add_scalar(self, *what: Any) -> None: ...

    return {
        "torch": torch,
        "torchvision": __import__("torchvision"),
        "transforms": transforms,
        "stoker": stoker,
        "DataLoader": stoker.DataLoader,
        "model": torch.nn.Linear(1, 1),
        "loader": loader,
        "val_loader": stoker.DataLoader(train),
        "train": train,
        "writer": Writer(),
        "step": lambda *batch: None,
    }


@needs("torchvision")
@pytest.mark.parametrize(
    "shown",
    [shown for shown in python_blocks() if shown.file not in ELSEWHERE],
    ids=lambda shown: f"{shown.file}: {shown.text[:40]!r}",
)
def test_documented_python_runs_as_it_is_written(
    shown: Shown, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    code = shown.text
    for written, stands_for in LEFT_OUT.items():
        code = code.replace(written, stands_for)
    given = names(place)
    if "step=step" in code or "(writer, step)" in code:
        given["step"] = 7
    exec(compile(code, shown.file, "exec"), {**given, "stats": given["loader"].stats()})


def test_all_blocks_are_found() -> None:
    assert len(python_blocks()) >= 5
