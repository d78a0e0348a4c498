"""The HTML report's style: light and dark, for wide and narrow windows, and two pages in print.

Colours in pictures are attributes, which a rule of the page overrides: DARK_FILLS and DARK_STROKES say what
becomes of each on a dark page. In print and in grey no background carries a meaning.
"""

from __future__ import annotations

from ._svg import DARK_FILLS, DARK_STROKES

# Below this many pixels a picture and a wide table keep their size, and are scrolled inside the page.
NARROW = 640

_BASE = """
:root { color-scheme: light dark; --page: #fff; --ink: #222; --dim: #555; --line: #ccc; --faint: #e4e4e4; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 20px 48px; max-width: 900px; color: var(--ink); background: var(--page);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
       -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
h1 { font-size: 20px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 10px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
h3 { font-size: 15px; margin: 24px 0 8px; }
.origin { margin: 2px 0 18px; color: var(--dim); font-size: 13px; overflow-wrap: anywhere; }
.origin code { display: block; font-size: 12.5px; }
.verdict { border-left: 6px solid var(--ink); padding: 2px 0 2px 16px; margin: 0 0 16px; }
.verdict p { margin: 0; font-size: 22px; line-height: 1.35; font-weight: 600; overflow-wrap: anywhere; }
.verdict ul { margin: 8px 0 0; padding-left: 20px; }
li, td { overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 8px 20px;
           margin: 16px 0; padding: 0; list-style: none; }
.figures b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.figures span, figcaption, .none { color: var(--dim); font-size: 13px; }
figure { margin: 0 0 12px; }
figcaption { margin-top: 6px; max-width: 60em; }
.scroll { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; fill: var(--ink); font-family: inherit; }
svg .strong { font-weight: 600; }
svg .dim { fill: var(--dim); }
svg .halo { font-weight: 700; stroke: var(--page); stroke-width: 5px; paint-order: stroke;
            stroke-linejoin: round; }
table { border-collapse: collapse; width: 100%; font-size: 13px; margin: 8px 0; }
th, td { text-align: left; vertical-align: top; padding: 5px 12px 5px 0; }
th, td { border-bottom: 1px solid var(--faint); }
thead th { font-weight: 600; border-bottom-color: var(--dim); overflow-wrap: normal; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
td code { font-size: 12.5px; white-space: pre-wrap; overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
td img { display: block; max-width: 96px; height: auto; }
table.facts th { overflow-wrap: anywhere; width: 150px; font-weight: 600; }
"""

_DARK = """
  :root { --page: #161616; --ink: #e8e8e8; --dim: #aaa; --line: #555; --faint: #333; }
"""

_PRINT = """
  @page { size: A4; margin: 10mm; }
  :root { color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 8.5pt; line-height: 1.3; }
  h1 { font-size: 12pt; }
  h2 { font-size: 9.5pt; margin: 5pt 0 2pt; padding-bottom: 1pt; }
  h3 { font-size: 8.5pt; margin: 3pt 0 1pt; }
  h2, h3 { break-after: avoid; }
  figure, tr, .verdict { break-inside: avoid; }
  .origin { margin-bottom: 5pt; }
  .origin, .origin code, figcaption, .none, .figures span { font-size: 6.5pt; }
  .verdict { margin-bottom: 5pt; }
  .verdict p { font-size: 11pt; }
  .verdict ul { margin: 2pt 0 0; }
  .figures { margin: 4pt 0; gap: 2pt 12pt; }
  .figures b { font-size: 10pt; }
  main { columns: 2; column-gap: 7mm; }
  main .across { column-span: all; }
  .across svg { max-height: 58mm; }
  .scroll { overflow: visible; }
  figure { margin-bottom: 2pt; }
  figcaption { margin-top: 1pt; line-height: 1.2; max-width: none; }
  table, td code { font-size: 6.5pt; }
  table { margin: 2pt 0; }
  th, td { padding: 0.5pt 3pt 0.5pt 0; }
  td img { max-width: 30px; }
  table.facts th { width: 70px; }
"""


def css() -> str:
    """The page's style sheet."""
    dark = [f'  svg [fill="{was}"] {{ fill: {now}; }}' for was, now in DARK_FILLS.items()]
    dark += [f'  svg [stroke="{was}"] {{ stroke: {now}; }}' for was, now in DARK_STROKES.items()]
    narrow = (
        f"  .scroll > svg, .scroll > table.wide {{ width: {NARROW}px; }}\n  body {{ padding: 16px 12px; }}"
    )
    return (
        f"{_BASE}@media screen and (max-width: {NARROW + 40}px) {{\n{narrow}\n}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{{_DARK}" + "\n".join(dark) + "\n}\n"
        f"@media print {{{_PRINT}}}\n"
    )
