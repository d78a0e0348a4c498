"""Draws the README's tables and pictures from committed figures, so that they say what was measured.

    python docs/figures/draw.py       # docs/figures/*.json → README.md, docs/*.svg, docs/*.png, docs/*.md
    python docs/figures/draw.py --take ROWS.jsonl …   # first make peers.json of a benchmark's rows
    python docs/figures/draw.py --take-demo RUN.json …   # first make demo.json of `stoker demo --json`

A row is one run of one loader: {"key", "version", "workload", "round", "images_per_s",
"cpu_s_per_image", "first_batch_s", "peak_rss_mb", "other_cpus", …}. Rows of a run during which
something else took more than a tenth of a core are left out.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = HERE / "peers.json"
CHART = ROOT / "docs" / "peers.svg"
DEMO = HERE / "demo.json"  # runs of `stoker demo --json`, in order
DEMO_PICTURE = ROOT / "docs" / "demo.png"
GROWTH = HERE / "cost_growth.json"  # an array of what tests/bench/cost_growth.py prints
GROWTH_PAGE = ROOT / "docs" / "cost-growth.md"
SAVINGS = HERE / "index_savings.json"  # what tests/bench/index_savings.py prints
INDEX_PAGE = ROOT / "docs" / "decode-index.md"
MAX_OTHER_CPUS = 0.1

# What loaders are called, in words; others go by their key.
NAMES = {
    "stoker": "Stoker",
    "stoker_exact": 'Stoker, pixels="exact"',
    "stoker_noindex": "Stoker, index=None",
    "dali": "DALI, CPU operators",
    "dali_dlpack": "DALI, CPU operators, DLPack",
    "dali_fast": "DALI, CPU operators, fast IDCT",
    "tfdata": "tf.data",
    "tfdata_accurate": "tf.data, accurate IDCT",
    "spdl": "SPDL",
    "grain_threads": "Grain, threads, OpenCV",
    "grain_procs": "Grain, processes, OpenCV",
    "kornia_rs_torch": "kornia-rs",
    "datago": "datago",
    "torch_cv2": "torch DataLoader, OpenCV",
    "torch_pil": "torch DataLoader, Pillow",
    "torch_tvv2": "torch DataLoader, torchvision v2",
    "torch_simplejpeg": "torch DataLoader, simplejpeg, scaled",
    "torch_simplejpeg_fast": "torch DataLoader, simplejpeg, scaled, fast IDCT",
}
WORKLOADS = {
    "W1": "training: RandomResizedCrop(224), flip, normalize, float32",
    "W2": "evaluation: Resize(256), CenterCrop(224), normalize, float32",
    "W3": "training, uint8 out",
}


def take(files: list[Path]) -> dict[str, Any]:
    """The figures of a benchmark's rows: for each workload and loader, medians over its rounds."""
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    good = [r for r in rows if "images_per_s" in r and (r.get("other_cpus") or 0) <= MAX_OTHER_CPUS]
    workloads: dict[str, list[dict[str, Any]]] = {}
    for workload in sorted({r["workload"] for r in good}):
        loaders = []
        for key in sorted({r["key"] for r in good if r["workload"] == workload}):
            runs = [r for r in good if r["key"] == key and r["workload"] == workload]
            cpu = [r["cpu_s_per_image"] * 1e3 for r in runs]
            speed = [r["images_per_s"] for r in runs]
            loaders.append(
                {
                    "loader": key,
                    "version": runs[0]["version"],
                    "rounds": len(runs),
                    "cpu_ms_per_image": round(statistics.median(cpu), 3),
                    "cpu_ms_per_image_min": round(min(cpu), 3),
                    "images_per_s": round(statistics.median(speed), 1),
                    "images_per_s_max": round(max(speed), 1),
                    "first_batch_s": round(statistics.median(r["first_batch_s"] for r in runs), 2),
                    "peak_memory_mb": round(statistics.median(r["peak_rss_mb"] for r in runs)),
                }
            )
        workloads[workload] = sorted(loaders, key=lambda x: x["cpu_ms_per_image"])
    sample = good[0]
    return {
        "date": datetime.date.today().isoformat(),
        "workers": sample["workers"],
        "batch": sample["batch"],
        "left_out": len(rows) - len(good),
        "workloads": workloads,
    }


def table(figures: dict[str, Any]) -> str:
    """The README's table, in Markdown."""
    lines = []
    for workload, loaders in figures["workloads"].items():
        own = next(x for x in loaders if x["loader"] == "stoker")
        lines += [
            f"**{workload}**, {WORKLOADS[workload]}",
            "",
            "| loader | CPU ms per image | against Stoker | images/s |",
            "| --- | --- | --- | --- |",
        ]
        for x in loaders:
            name = NAMES.get(x["loader"], x["loader"])
            ours = x is own
            ratio = "" if ours else f"{x['cpu_ms_per_image'] / own['cpu_ms_per_image']:.2f} ×"
            cells = [name, f"{x['cpu_ms_per_image']:.2f}", ratio, f"{x['images_per_s']:,.0f}"]
            if ours:
                cells = [f"**{c}**" if c else "" for c in cells]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def take_demo(files: list[Path]) -> dict[str, Any]:
    """The figures of runs of the demo, without this machine's paths."""
    runs = [json.loads(file.read_text()) for file in files]
    kept = ("torch", "stoker", "step_cpu_s_per_image")
    return {
        "date": datetime.date.today().isoformat(),
        "runs": [{key: run[key] for key in kept} for run in runs],
    }


def comparisons(figures: dict[str, Any]) -> list[Any]:
    """The demo's runs, as the demo has them, that with the median ratio of speeds first."""
    from stoker.demo.compare import Comparison, Result

    def result(record: dict[str, Any]) -> Result:
        return Result(**{key: value for key, value in record.items() if key != "loader_cpu_s_per_image"})

    made = [
        Comparison(result(run["torch"]), result(run["stoker"]), run["step_cpu_s_per_image"])
        for run in figures["runs"]
    ]
    made.sort(key=lambda run: run.stoker.images_per_s / run.torch.images_per_s)
    middle = made.pop(len(made) // 2)
    return [middle, *made]


def demo_table(figures: dict[str, Any]) -> str:
    """What the demo's picture shows, and how far each ratio ranged over the runs."""
    from stoker._words import counted
    from stoker.demo.compare import measures

    runs = [measures(run) for run in comparisons(figures)]
    lines = [
        f"| | torch's DataLoader | Stoker | against torch's | over {counted(len(runs), 'run')} |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for number, shown in enumerate(runs[0]):
        pairs = [(run[number].torch, run[number].stoker) for run in runs]
        ratios = sorted(stoker / torch for torch, stoker in pairs if torch > 0)
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f} ×" if ratios else ""
        ratio = f"{shown.stoker / shown.torch:.2f} ×" if shown.torch > 0 else ""
        values = f"{shown.text(shown.torch)} | {shown.text(shown.stoker)}"
        lines.append(f"| {shown.name} | {values} | {ratio} | {spread} |")
    return "\n".join(lines) + "\n"


def demo_mark() -> str:
    """What ties the demo's picture to its figures."""
    return hashlib.sha256(DEMO.read_bytes()).hexdigest()


def draw_demo(figures: dict[str, Any]) -> None:
    from stoker.demo.picture import draw

    draw(comparisons(figures)[0], DEMO_PICTURE, {"Figures": demo_mark()})


def readme_with(text: str, readme: str, marker: str = "figures") -> str:
    """``readme`` with ``text`` between its markers."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}\n{text}\n{m[2]}", readme, count=1, flags=re.DOTALL)


def growth_table(loaders: list[dict[str, Any]]) -> str:
    """CPU time over image size and result's size, Stoker first, with the others' ratio to it."""
    by_name = {x["loader"]: x["ms"] for x in loaders}
    own = by_name.pop("stoker")
    lines = [
        "| image, Mpx | result | Stoker, ms | " + " | ".join(f"{n}, ms" for n in by_name) + " |",
        "| --- " * (3 + len(by_name)) + "|",
    ]
    for megapixels, results in own.items():
        for result, ms in results.items():
            others = [x[megapixels][result] for x in by_name.values()]
            cells = [f"{o:.2f} ({o / ms:.1f} ×)" for o in others]
            lines.append(f"| {megapixels} | {result} × {result} | {ms:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def savings_table(savings: dict[str, Any]) -> str:
    """CPU time with the index, of that without, over image size, crop and the index's share."""
    shares = list(next(iter(next(iter(savings["ratio"].values())).values())))
    lines = [
        "| image, Mpx | crop, of its area | " + " | ".join(f"{float(s):.2%}" for s in shares) + " |",
        "| --- " * (2 + len(shares)) + "|",
    ]
    for megapixels, crops in savings["ratio"].items():
        for crop, ratios in crops.items():
            cells = " | ".join(f"{ratio:.2f}" for ratio in ratios.values())
            lines.append(f"| {megapixels} | {float(crop):.0%} | {cells} |")
    return "\n".join(lines) + "\n"


def chart(figures: dict[str, Any], file: Path) -> None:
    """Bars of CPU time per image, a panel for each workload."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "stoker", "font.size": 9})
    from matplotlib import pyplot

    workloads = figures["workloads"]
    heights = [len(loaders) for loaders in workloads.values()]
    figure, panels = pyplot.subplots(
        len(workloads),
        1,
        figsize=(8, 0.27 * sum(heights) + 0.8 * len(heights)),
        height_ratios=heights,
        squeeze=False,
    )
    for panel, (workload, loaders) in zip(panels[:, 0], workloads.items(), strict=True):
        names = [NAMES.get(x["loader"], x["loader"]) for x in loaders]
        values = [x["cpu_ms_per_image"] for x in loaders]
        ours = [x["loader"].startswith("stoker") for x in loaders]
        bars = panel.barh(names, values, color=["#d95f02" if own else "#9aa5b1" for own in ours])
        panel.bar_label(bars, [f" {v:.2f}" for v in values])
        panel.invert_yaxis()
        panel.set_xlim(0, max(values) * 1.1)
        panel.set_title(
            f"{workload}: CPU ms per image, less is better", loc="left", fontsize=9, weight="bold"
        )
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.tick_params(bottom=False, labelbottom=False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--take", nargs="+", type=Path, metavar="ROWS", help="rows to make peers.json of")
    parser.add_argument("--take-demo", nargs="+", type=Path, metavar="RUN", help="runs to make demo.json of")
    arguments = parser.parse_args()
    if arguments.take_demo:
        DEMO.write_text(json.dumps(take_demo(arguments.take_demo), indent=1) + "\n")
    if arguments.take:
        PEERS.write_text(json.dumps(take(arguments.take), indent=1) + "\n")
    figures = json.loads(PEERS.read_text())
    readme = ROOT / "README.md"
    demo = json.loads(DEMO.read_text())
    text = readme_with(table(figures), readme.read_text())
    readme.write_text(readme_with(demo_table(demo), text, "demo"))
    draw_demo(demo)
    chart(figures, CHART)
    growth = growth_table(json.loads(GROWTH.read_text()))
    GROWTH_PAGE.write_text(readme_with(growth, GROWTH_PAGE.read_text()))
    savings = savings_table(json.loads(SAVINGS.read_text()))
    INDEX_PAGE.write_text(readme_with(savings, INDEX_PAGE.read_text()))


if __name__ == "__main__":
    main()
