"""The style sheet of the page: light and dark, wide and narrow."""

from __future__ import annotations

#: At least 4.5 to 1 against the page.
_LIGHT = (
    "#0b57d0 #b54a05 #087a5d #8a3fb5 #b3261e #766600 "
    "#0b7090 #b0307a #4a5a1f #5a5f66 #3d3dbd #94511f "
    "#2b7a0b #7d2348 #1f3f66 #6a5acd"
).split()
_DARK = (
    "#7fb0ff #ffa05c #4fd0ab #d39bf5 #ff8f86 #d9c64a "
    "#5cc8ea #f58cc4 #b5c97a #b3bac2 #a3a3ff #d9a077 "
    "#8fe36a #e0a3b8 #9fc0e0 #c9b8ff"
).split()


def _variables(colours: list[str]) -> str:
    return " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours))


STYLE = (
    f"""
:root {{ color-scheme: light dark; --ink: #1c2024; --soft: #555d65; --line: #dfe3e7;
  --page: #ffffff; --panel: #f5f6f8; {_variables(_LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e7eaed; --soft: #a1a9b2; --line: #343a41;
  --page: #14171a; --panel: #1d2125; {_variables(_DARK)} }} }}
"""
    + "\n".join(
        f".curve.c{n} {{ stroke: var(--c{n}); }} .mark.c{n} {{ fill: var(--c{n}); }}"
        for n in range(len(_LIGHT))
    )
    + """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 880px; padding: 24px 16px 48px; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.15rem; margin: 40px 0 8px; }
p { margin: 8px 0; } .soft { color: var(--soft); font-size: .875rem; }
.lead { font-size: 1.1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; font-size: .84rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px 5px 0; text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
tbody td { border-top: 1px solid var(--line); }
tr.own td { font-weight: 600; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--page); }
.left1 th:nth-child(1), .left1 td:nth-child(1), .left2 th:nth-child(-n+2),
.left2 td:nth-child(-n+2) { text-align: left; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--soft); font-size: .875rem; }
pre { background: var(--panel); border-radius: 8px; padding: 12px 14px; overflow-x: auto;
  font: 13px/1.45 ui-monospace, monospace; user-select: all; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; } .narrow { display: none; }
@media (max-width: 600px) { .wide { display: none; } .narrow { display: block; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg text.name { fill: var(--ink); } svg text.bold { font-weight: 700; }
.grid { stroke: var(--line); } .curve { fill: none; stroke-width: 1.6; opacity: .85; }
.curve.again { stroke-dasharray: 6 4; }
.curve.bold { stroke-width: 3; opacity: 1; }
.mark { stroke: var(--page); stroke-width: 1; }
.beyond { stroke: var(--soft); fill: none; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 12px 0; font-size: .9rem; }
.legend label { cursor: pointer; white-space: nowrap; }
.legend input { margin: 0 6px 0 0; vertical-align: -1px; accent-color: var(--soft); }
.legend svg { display: inline-block; width: 14px; height: 14px; vertical-align: -2px;
  margin-right: 5px; }
.query { background: var(--panel); border-radius: 8px; padding: 12px 14px; margin: 12px 0; }
.query > p { font-weight: 600; margin: 0 0 6px; }
.query ol { margin: 0; padding-left: 1.6em; } .query li { margin: 3px 0; }
.own-text { color: var(--c2); font-size: .875rem; white-space: nowrap; }
.warn { border-left: 3px solid var(--c1); padding-left: 12px; }
"""
)
