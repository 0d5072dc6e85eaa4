"""The demo's report: one static page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from annx._bench import tables
from annx._bench.comparison import BASELINE, Comparison
from annx._bench.curves import front, speed
from annx.cli import _svg

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b636b; --line: #dfe3e7;
  --page: #ffffff; --panel: #f6f7f9; --c0: #1f63d6; --c1: #0b8a6a; --c2: #c4540a; --c3: #8a3fb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaed; --soft: #a1a9b2; --line: #343a41;
  --page: #14171a; --panel: #1d2125; --c0: #74a7ff; --c1: #4fd0ab; --c2: #ff9d57; --c3: #d39bf5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 760px; padding: 24px 16px 48px; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.15rem; margin: 36px 0 8px; }
p { margin: 8px 0; } .soft { color: var(--soft); font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
tbody tr { border-top: 1px solid var(--line); }
.first th:first-child, .first td:first-child,
.second th:nth-child(2), .second td:nth-child(2) { text-align: left; }
svg { display: block; width: 100%; height: auto; } .narrow { display: none; }
@media (max-width: 560px) { .wide { display: none; } .narrow { display: block; } }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); } .curve { fill: none; stroke-width: 2; }
.mark { stroke: var(--page); stroke-width: 1; }
.curve.c0 { stroke: var(--c0); } .curve.c1 { stroke: var(--c1); }
.curve.c2 { stroke: var(--c2); } .curve.c3 { stroke: var(--c3); }
.mark.c0 { fill: var(--c0); } .mark.c1 { fill: var(--c1); }
.mark.c2 { fill: var(--c2); } .mark.c3 { fill: var(--c3); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 8px 0; font-size: .9rem; }
.legend svg { display: inline-block; width: 14px; height: 14px; vertical-align: -2px;
  margin-right: 6px; }
.query { background: var(--panel); border-radius: 8px; padding: 12px 14px; margin: 12px 0; }
.query > p { font-weight: 600; margin: 0 0 6px; }
.query ol { margin: 0; padding-left: 1.6em; } .query li { margin: 3px 0; }
.own { color: var(--c1); font-size: .875rem; white-space: nowrap; }
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found."""

    words: str
    definition: str
    similarity: float
    is_own: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's text and what was found for it, nearest first."""

    query: str
    hits: Sequence[Hit]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    head = "".join(f"<th>{escape(name.strip()).replace(chr(10), '<br>')}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _lead(comparison: Comparison) -> str:
    first = comparison.curves()[0]
    found = next((a for a in comparison.at_recall if a.curve == first and a.recall == 0.95), None)
    if found is None or found.qps is None:
        return ""
    text = f"At 95 % recall {first} answers {found.qps:,.0f} queries a second on one thread"
    if ratio := found.ratios.get(BASELINE):
        text += f", {ratio.median:.2f} times what {BASELINE} does at the same recall"
    return f"<p>{escape(text)}.</p>"


def _figure(comparison: Comparison) -> str:
    curves = [
        _svg.Series(
            name,
            [
                (tables.setting_text(point.setting), point.recall, speed(point))
                for point in front([p for p in comparison.points if p.curve == name])
            ],
        )
        for name in comparison.curves()
    ]
    legend = "".join(
        f'<span><svg viewBox="0 0 14 14">{_svg.mark(number, 7, 7)}</svg>{escape(curve.name)}</span>'
        for number, curve in enumerate(curves)
    )
    k = comparison.settings.k
    return (
        f'<div class="legend">{legend}</div>\n'
        f'<div class="wide">{_svg.plot(curves, k, 728, 400)}</div>\n'
        f'<div class="narrow">{_svg.plot(curves, k, 360, 330)}</div>\n'
        '<p class="soft">Up and to the right is better. Each mark is one beam width (ef), as '
        "in the last table.</p>"
    )


def _answers(answers: Sequence[Answer]) -> str:
    out = []
    for answer in answers:
        items = "".join(
            f"<li><b>{escape(hit.words)}</b>: {escape(hit.definition)} "
            f'<span class="soft">{hit.similarity:.3f}</span>'
            f"{' <span class=own>the definition it illustrates</span>' if hit.is_own else ''}"
            "</li>\n"
            for hit in answer.hits
        )
        out.append(f'<div class="query"><p>{escape(answer.query)}</p><ol>{items}</ol></div>')
    return "\n".join(out)


def page(comparison: Comparison, answers: Sequence[Answer], note: str = "") -> str:
    """Write the page.

    Parameters
    ----------
    comparison : Comparison
    answers : sequence of Answer
    note : str
        What a reader of the plot must know about the data.

    Returns
    -------
    str
        A whole HTML document.
    """
    settings, machine = comparison.settings, comparison.machine
    names = comparison.curves()
    title = "annx beside hnswlib" if BASELINE in names else "annx"
    foot = " · ".join(
        [
            tables.machine_line(comparison),
            machine.system,
            f"commit {machine.commit}" if machine.commit else "no commit",
            f"huge pages {machine.huge_pages}",
            machine.command,
            machine.when,
        ]
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class="soft">{escape(tables.data_line(comparison))}</p>
{_lead(comparison)}
<p class="soft">{escape(tables.busy_line(comparison))}</p>
<h2>Recall and speed</h2>
{_figure(comparison)}
<p class="soft">{escape(note)}</p>
<h2>At equal recall</h2>
{_table(tables.recall_columns(comparison), tables.recall_rows(comparison), "second")}
<p class="soft">Queries per second on one thread, interpolated between beam widths (or of the
narrowest beam, where it already exceeds that recall). The factor is the median of
{settings.rounds} interleaved rounds, with the least and the greatest.</p>
<h2>Cost</h2>
{_table(tables.cost_columns(comparison), tables.cost_rows(comparison), "first")}
<p class="soft">Memory: growth of a process of its own.</p>
<h2>Every beam width</h2>
{_table(tables.POINT_COLUMNS, tables.point_rows(comparison), "first second")}
<h2>What it finds</h2>
{_answers(answers)}
<p class="soft">{escape(foot)}</p>
</body>
</html>
"""
