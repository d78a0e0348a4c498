"""What ``stoker diagnose`` predicts for a script with torch's DataLoader and Pillow, and what then comes.

    python tests/bench/native_prediction.py [--photos DIR] [--rounds 3]

Runs a training with torchvision's ImageFolder and transforms under diagnose, and the same script with
Stoker's DataLoader, one after the other in processes of their own; the medians over the rounds count. Of
each run that part of the cores is left out of account which a hypervisor gave to other machines meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Without the decode index: what it saves comes on top, from the second epoch on.
STOKER = "import functools, stoker; DataLoader = functools.partial(stoker.DataLoader, index=None)"

SCRIPT = """
import sys, time
sys.path.insert(0, {helpers!r})
import torchvision_operators
torchvision_operators.define_operators()
import torch
from torchvision import datasets, transforms
{which}

transform = transforms.Compose([
    transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])
dataset = datasets.ImageFolder(sys.argv[1], transform)
loader = DataLoader(dataset, 32, shuffle=True, num_workers=int(sys.argv[2]))
end = time.perf_counter() + 5
while time.perf_counter() < end:
    for _ in loader:
        time.sleep(0.002)
"""


def diagnosed(which: str, photos: Path, workers: int, folder: Path) -> dict[str, float]:
    """Steady images/s of the script with that import, and what its report predicts for the native path."""
    script, out = folder / "train.py", folder / "recording.json"
    script.write_text(SCRIPT.format(helpers=str(HERE.parent / "python"), which=which))
    command = [sys.executable, "-m", "stoker", "diagnose", "--recording", str(out)]
    command += ["--html", str(folder / "report.html"), str(script), str(photos), str(workers)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

    from stoker.diagnosis import Recording, judge
    from stoker.diagnosis.cures import with_cures
    from stoker.diagnosis.model import steady_rate

    recording = Recording.from_json(out.read_text())
    verdict = with_cures(recording, judge(recording))
    native = [cure.images_per_s for cure in verdict.cures if cure.key == "native"]
    print(json.dumps({"verdict": verdict.headline}), file=sys.stderr)
    system = recording.stats.system
    own = system.machine_cpu_s / (system.machine_cpu_s + system.stolen_s)
    return {"rate": steady_rate(recording) / own, "native": (native[0] if native else 0.0) / own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=os.environ.get("STOKER_PHOTOS"))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.photos is None:
        parser.error("--photos, or STOKER_PHOTOS, says where the photographs are")
    print("| workers | torch | native, predicted | native, measured | off |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for workers in (1, 2):
        rounds = []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                torch = "from torch.utils.data import DataLoader"
                before = diagnosed(torch, arguments.photos, workers, folder)
                after = diagnosed(STOKER, arguments.photos, workers, folder)
                rounds.append((before["rate"], before["native"], after["rate"]))
        was, predicted, came = (statistics.median(r[i] for r in rounds) for i in range(3))
        off = predicted / came - 1
        print(f"| {workers} | {was:,.0f} | {predicted:,.0f} | {came:,.0f} | {off:+.0%} |", flush=True)


if __name__ == "__main__":
    main()
