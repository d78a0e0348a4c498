"""SVG pictures, written by hand: shapes, hatched fills and axes, in units of a page 800 wide.

Colours are Okabe and Ito's, which the colour-blind tell apart, and each comes with a hatching of its own, so
that a picture means the same in grey; a scale is shades of one of them. Every word that comes from outside is
escaped here.

Note [One path for each fill]
A browser that prints makes an image of every hatched shape; hundreds of bars, each a shape of its own, came
to 88 MB of PDF. So the bars of one kind are one path, and what the pointer meets lies above, without a fill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._printable import html_text as escape

Drawn = tuple[str, str]
"""A picture, and its caption."""

WIDTH = 800.0
INK = "#222"
FAINT = "#ccc"
TILE = 6


@dataclass(frozen=True)
class Fill:
    """A colour, and strokes (SVG path data in a tile of TILE units) over it in ``ink``."""

    colour: str
    strokes: str = ""
    ink: str = INK


RISING = "M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2"
DOTS = "M2,3 h1.4"
FALLING = "M-1,5 l2,2 M0,0 l6,6 M5,-1 l2,2"

FILLS = {
    "storage": Fill("#f0e442", "M0,3 h6 M3,0 v6"),
    "read": Fill("#56b4e9", "M0,3 h6"),
    "decode": Fill("#e69f00", RISING, "#8a5a00"),
    "transform": Fill("#00805d", DOTS, "#fff"),
    "native": Fill("#e69f00", RISING, "#8a5a00"),
    "python": Fill("#00805d", DOTS, "#fff"),
    "collate": Fill("#56b4e9", "M0,3 h6"),
    "waiting": Fill("#f4f4f4", "M1,1.5 h1.4 M4,4.5 h1.4", "#555"),
    "idle": Fill("#ffffff", "M3,0 v6", "#bbb"),
    "wait": Fill("#d55e00", RISING, "#fff"),
    "step": Fill("#0072b2"),
    "device": Fill("#cc79a7", RISING + FALLING, "#fff"),
    "ready": Fill("#56b4e9"),
    "core": Fill("#999"),
    "measured": Fill("#0072b2"),
    "predicted": Fill("#56b4e9", RISING),
    "bound": Fill("#dddddd", "M0,3 h6", "#999"),
    "unknown": Fill("#f4f4f4"),
}


# Of one hue, each darker than the one before it, so that they say the same in grey.
SHADES = ("#ffffff", "#d3e6f3", "#9ecae8", "#56a3d3", "#0d72b0", "#003a63")
FILLS.update({f"shade{i}": Fill(colour) for i, colour in enumerate(SHADES)})

# On a dark page these become others: shades get lighter there, not darker.
DARK_FILLS = {
    **dict(zip(SHADES, ("#161616", "#17384d", "#1f587d", "#3484b8", "#7fbde6", "#dff1fc"))),
    INK: "#e8e8e8",
    "#fff": "#161616",
    "#555": "#bbb",
    "#dddddd": "#3a3a3a",
    "#f4f4f4": "#262626",
    "#0072b2": "#2b8fd0",
}
DARK_STROKES = {INK: "#e8e8e8", FAINT: "#484848", "#555": "#bbb", "#888": "#999", "#bbb": "#555"}


@dataclass(frozen=True)
class Area:
    """Where a diagram's values are drawn."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


class Picture:
    """One SVG in the making.

    Args:
        name: unique in its page; a prefix of the ids in it.
        label: what it shows, for those who do not see it, and as a tooltip.
        height: in the units of which it is WIDTH wide.
    """

    def __init__(self, name: str, label: str, height: float) -> None:
        self._name = name
        self._label = label
        self._height = height
        self._parts: list[str] = []
        self._fills: dict[str, None] = {}
        self._bars: dict[str, list[str]] = {}
        self._grid: list[str] = []

    def fill(self, kind: str) -> str:
        """The value of a ``fill`` attribute for one of FILLS."""
        if not FILLS[kind].strokes:
            return FILLS[kind].colour
        self._fills[kind] = None
        return f"url(#{self._name}-{kind})"

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A bar. All of a kind are one path below everything else: see Note [One path for each fill]."""
        if width > 0 and height > 0:
            bar = f"M{_n(x)},{_n(y)}h{_n(width)}v{_n(height)}h{_n(-width)}z"
            self._bars.setdefault(kind, []).append(bar)

    def swatch(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle on its own, with an outline."""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'fill="{self.fill(kind)}" stroke="{INK}" stroke-width="0.8"/>'
        )

    def frame(self, x: float, y: float, width: float, height: float, thick: float, dashed: bool) -> None:
        """An empty rectangle."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="none" '
            f'stroke="{"#888" if dashed else INK}" stroke-width="{_n(thick)}"{dash}/>'
        )

    def grid(self, y: float, x: float, right: float) -> None:
        """A faint line behind the bars."""
        self._grid.append(f"M{_n(x)},{_n(y)}H{_n(right)}")

    def line(self, points: Sequence[tuple[float, float]], colour: str = INK, thick: float = 1.0) -> None:
        d = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._parts.append(
            f'<polyline points="{d}" fill="none" stroke="{colour}" stroke-width="{_n(thick)}"/>'
        )

    def shape(self, d: str, colour: str = INK) -> None:
        """A filled path."""
        self._parts.append(f'<path d="{d}" fill="{colour}"/>')

    def text(
        self, x: float, y: float, words: str, anchor: str = "start", size: float = 12, style: str = ""
    ) -> None:
        """``style``: a class of the page's: "strong", "dim", "halo"."""
        kind = f' class="{style}"' if style else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{_n(size)}"{kind}>'
            f"{escape(words)}</text>"
        )

    def tip(self, x: float, y: float, width: float, height: float, words: str) -> None:
        """The words appear where the pointer is over this place."""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="none" '
            f'pointer-events="all"><title>{escape(words)}</title></rect>'
        )

    def svg(self) -> str:
        label = escape(self._label)
        bars = "".join(
            f'<path class="{kind}" fill="{self.fill(kind)}" shape-rendering="crispEdges" d="{"".join(d)}"/>'
            for kind, d in self._bars.items()
        )
        grid = f'<path d="{"".join(self._grid)}" stroke="{FAINT}" stroke-width="0.8"/>' if self._grid else ""
        patterns = "".join(self._pattern(kind) for kind in self._fills)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" id="{self._name}" '
            f'viewBox="0 0 {_n(WIDTH)} {_n(self._height)}"><title>{label}</title>'
            + (f"<defs>{patterns}</defs>" if patterns else "")
            + grid
            + bars
            + "".join(self._parts)
            + "</svg>"
        )

    def _pattern(self, kind: str) -> str:
        fill = FILLS[kind]
        return (
            f'<pattern id="{self._name}-{kind}" width="{TILE}" height="{TILE}" patternUnits="userSpaceOnUse">'
            f'<rect width="{TILE}" height="{TILE}" fill="{fill.colour}"/>'
            f'<path d="{fill.strokes}" stroke="{fill.ink}" stroke-width="1.2"/></pattern>'
        )


def legend(picture: Picture, x: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
    """(kind of fill, words), side by side from ``x`` on, with ``y`` the baseline."""
    for kind, words in entries:
        picture.swatch(x, y - 11, 18, 13, kind)
        picture.text(x + 24, y, words)
        x += 24 + 7.4 * len(words) + 22


def ticks(most: float, about: int = 4) -> list[float]:
    """Round values from 0 up to ``most``."""
    if most <= 0:
        return [0.0]
    raw = most / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [i * step for i in range(math.floor(most / step * 1.0001) + 1)]


def value_axis(
    picture: Picture, area: Area, most: float, words: Callable[[float], str], about: int = 4
) -> None:
    """Lines and labels for values from 0 at the bottom to ``most`` at the top."""
    for tick in ticks(most, about):
        y = area.bottom - area.height * (tick / most if most > 0 else 0.0)
        picture.grid(y, area.x, area.right)
        picture.text(area.x - 6, y + 4, words(tick), "end", 11)
