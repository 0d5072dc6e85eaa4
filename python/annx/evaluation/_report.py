"""A comparison as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annx.evaluation._compare import Comparison, Latency

#: Queries shown of those that became worse.
_WORST = 5
#: Characters shown of a query.
_TEXT = 60


def report(found: Comparison) -> str:
    """Return the report, without a line break at its end."""
    a, b = found.names
    count = len(next(iter(found.per_query.values())))
    parts = [f"{a} (a) and {b} (b) over {count:,} queries", "", _relevance(found)]
    if found.latency is not None:
        parts += ["", _speed(found.names, found.latency)]
    notes = [f"of the first 10 documents, {found.overlap:.0%} are the same"]
    for name, recall in zip(found.names, found.neighbor_recall, strict=True):
        if recall is not None:
            notes.append(f"{name} found {recall:.1%} of the true {found.k} nearest neighbours")
    parts += ["", "\n".join(notes)]
    worst = _worst(found)
    if worst:
        parts += ["", worst]
    return "\n".join(parts)


def _relevance(found: Comparison) -> str:
    rows = [
        [
            "relevance",
            "a",
            "b",
            "b - a",
            f"{found.confidence:.0%} interval",
            "p",
            "",
            "better",
            "same",
            "worse",
        ]
    ]
    for name, each in found.measures.items():
        rows.append(
            [
                name,
                f"{each.a:.4f}",
                f"{each.b:.4f}",
                f"{each.delta:+.4f}",
                f"{each.low:+.4f} .. {each.high:+.4f}",
                "<0.001" if each.p_value < 0.001 else f"{each.p_value:.3f}",
                "*" if each.p_value < 1 - found.confidence else "",
                *(f"{number:,}" for number in found.counts(name)),
            ]
        )
    lines = [_table(rows)]
    if any(row[6] for row in rows[1:]):
        lines.append(f"* p below {1 - found.confidence:.2g}: not likely by chance")
    return "\n".join(lines)


def _speed(names: Sequence[str], latency: Sequence[Latency]) -> str:
    rows = [["one query at a time, ms", "mean", "p50", "p95", "p99", "queries/s"]]
    for name, each in zip(names, latency, strict=True):
        figures = [f"{1000 * seconds:.3g}" for seconds in each]
        rows.append([name, *figures, f"{1 / max(each.mean, 1e-9):,.0f}"])
    return _table(rows)


def _worst(found: Comparison) -> str:
    measure = next(iter(found.measures))
    queries = found.worst(measure, _WORST)
    if not queries:
        return ""
    rows = [[f"worst for b, by {measure}", "a", "b", ""]]
    for row in queries:
        rows.append([row.id, f"{row.a:.4f}", f"{row.b:.4f}", _short(row.query)])
    return _table(rows, last_left=True)


def _short(query: Any) -> str:
    if isinstance(query, Mapping):  # keywords of a search
        query = query.get("text")
    if not isinstance(query, str):
        return ""
    text = " ".join(query.split())
    return text if len(text) <= _TEXT else text[: _TEXT - 3] + "..."


def _table(rows: list[list[str]], last_left: bool = False) -> str:
    """Align columns, the first to the left and the others to the right."""
    last = len(rows[0]) - 1
    widths = [max(len(row[column]) for row in rows) for column in range(last + 1)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width)
            if column == 0 or (last_left and column == last)
            else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
