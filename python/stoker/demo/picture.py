"""Draw the comparison as a picture: one small panel per measure, torch above Stoker in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stoker._words import counted
from stoker.demo.compare import Comparison, Measure, measures

# Told apart by brightness and hatching too: for print, and for eyes that do not see the colours.
_TORCH: dict[str, Any] = {
    "color": "#c9c9c9",
    "edgecolor": "#6e6e6e",
    "hatch": "///",
    "linewidth": 0.8,
}
_STOKER: dict[str, Any] = {"color": "#0072b2", "edgecolor": "#004a75", "linewidth": 0.8}
_GRAY = "#555555"


def headline(comparison: Comparison) -> str:
    """The result in one sentence without a full stop."""
    speed, _, loader_cpu, *_ = measures(comparison)
    ratio = comparison.stoker.images_per_s / comparison.torch.images_per_s
    if speed.verdict == "the same":
        fast = "just as fast"
    else:
        fast = f"{ratio:.1f} × as fast" if ratio > 1 else f"{1 / ratio:.1f} × more slowly"
    sentence = f"Training runs {fast} with Stoker"
    if not loader_cpu.verdict:
        return sentence
    return f"{sentence}; loading takes {loader_cpu.verdict} CPU time"


def draw(comparison: Comparison, file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the picture to `file`; the ending says the format (.png, .svg, .pdf).

    metadata: that the file carries along (of .png: any names).

    Raises OSError if it cannot be written, ValueError for a format that matplotlib does not know.
    """
    figure = Figure(figsize=(10, 5.2), dpi=150, facecolor="white")
    panels = figure.subplots(2, 3).flat
    for axes, measure in zip(panels, measures(comparison), strict=True):
        _draw_panel(axes, measure)
    result = comparison.stoker
    figure.text(0.03, 0.94, headline(comparison), fontsize=15, fontweight="bold")
    figure.text(
        0.03,
        0.885,
        f"{counted(result.images // result.epochs, 'photograph')}, {counted(result.epochs, 'epoch')}, "
        f"{counted(result.workers, 'worker')}, RandomResizedCrop to 224 × 224, "
        f"a small convolutional network on {result.device_name}",
        fontsize=10,
        color=_GRAY,
    )
    figure.text(
        0.03,
        0.02,
        "CPU time: all processes, while training. The loader's: less that of the same training fed "
        "by one cached batch. Memory: all processes, shared pages counted once.",
        fontsize=8,
        color=_GRAY,
    )
    figure.subplots_adjust(left=0.09, right=0.97, top=0.77, bottom=0.09, wspace=0.3, hspace=0.6)
    figure.savefig(file, metadata=metadata)


def _draw_panel(axes: Axes, measure: Measure) -> None:
    axes.barh([1], [measure.torch], height=0.68, **_TORCH)
    axes.barh([0], [measure.stoker], height=0.68, **_STOKER)
    better = "more is better" if measure.more_is_better else "less is better"
    axes.set_title(measure.name, loc="left", fontsize=11, fontweight="bold", pad=16)
    axes.text(0, 1.03, better, transform=axes.transAxes, fontsize=8.5, color=_GRAY)
    longest = max(measure.torch, measure.stoker, 1e-9)
    axes.set_xlim(0, 1.75 * longest)  # room for the figures beside the bars
    for place, value in ((1, measure.torch), (0, measure.stoker)):
        axes.text(value + 0.03 * longest, place, measure.text(value), va="center", fontsize=10)
    axes.set_yticks([1, 0], ["torch", "Stoker"], fontsize=10)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(_GRAY)
