"""Loops of torch's own DataLoader and Pillow, unmodified scripts that ``stoker diagnose`` runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from kit import Truth, loop, photos

from stoker.diagnosis import Recording

SCRIPT = Path(__file__).with_name("torch_script.py")


def diagnosed(scenario: str, folder: Path) -> Recording:
    """The script's recording, as diagnose writes it."""
    with tempfile.TemporaryDirectory() as out:
        file = Path(out) / "recording.json"
        command = [sys.executable, "-m", "stoker", "diagnose", "--recording", str(file)]
        command += ["--html", str(Path(out) / "report.html"), str(SCRIPT), scenario, str(folder.resolve())]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return Recording.from_json(file.read_text())


@loop("torch, slow decode", Truth("loader-bound", "decode", "cores"), scenario="decode")
@loop("torch, one worker", Truth("loader-bound", "decode", "workers"), scenario="one worker")
@loop("torch, no workers", Truth("loader-bound", "decode", "workers"), scenario="no workers")
def decoding(data: Path, scenario: str) -> Recording:
    """Photographs so large that nothing takes time but their decoding."""
    return diagnosed(scenario, photos(data, 1600, 1200)[0].parent)


@loop("torch, Python transform", Truth("loader-bound", "python", "cores"), scenario="transform")
@loop("torch, slow storage", Truth("loader-bound", None, "asleep"), scenario="storage")
@loop("torch, quick loader", Truth("accelerator-bound"), scenario="quick loader")
@loop("torch, bursts", Truth("bursty", period=8), scenario="bursts")
def small(data: Path, scenario: str) -> Recording:
    """Small photographs, and what the scenario adds: a function that computes, a wait, a slower step."""
    return diagnosed(scenario, photos(data, 160, 120)[0].parent)
