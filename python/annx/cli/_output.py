"""Tables, progress and JSON lines: rich on a terminal, plain everywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from annx._bench.crew import Progress as Report
from annx._bench.journal import plain


def on_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def echo(text: str = "") -> None:
    """Print one line of plain text."""
    click.echo(text)


def heading(text: str) -> None:
    """Print a line that begins a new part."""
    click.echo()
    click.secho(text, bold=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print rows under column names (which may have two lines).

    Parameters
    ----------
    columns : sequence of str
        All empty: no heading.
    rows : sequence of sequence of str
    left : int
        So many columns are aligned to the left, the others to the right.
    """
    if on_terminal():
        out = Table(
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
            header_style="dim",
            show_header=any(columns),
        )
        for number, name in enumerate(columns):
            out.add_column(name, justify="left" if number < left else "right", no_wrap=True)
        for row in rows:
            out.add_row(*(Text(cell) for cell in row))
        Console().print(out)
        return
    heads = [name.split("\n") for name in columns]
    lines = max(map(len, heads))
    heads = [[""] * (lines - len(head)) + head for head in heads]
    above = [[head[line] for head in heads] for line in range(lines)]
    everything = [*(line for line in above if any(line)), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in everything) for column in range(len(columns))]
    for row in everything:
        cells = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def note(text: str) -> None:
    """Print one line on standard error."""
    click.echo(text, err=True)


def json_line(kind: str | None, record: Any) -> None:
    """Print one JSON object on one line, led by what kind of record it is."""
    body = plain(record)
    json_object(body if kind is None else {"record": kind, **body})


def json_object(body: dict[str, Any]) -> None:
    """Print plain data on one line."""
    click.echo(json.dumps(body, ensure_ascii=False))


@contextmanager
def progress(quiet: bool = False) -> Iterator[Report]:
    """Give a function that shows how far a long piece of work is, on standard error.

    A bar on a terminal; elsewhere one line for each new piece of work.
    """
    if quiet:
        yield lambda what, done, total: None
        return
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def say(what: str, done: int, total: int) -> None:
            if what not in seen and done < total:
                seen.add(what)
                click.echo(f"{what} ...", err=True)

        yield say
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Four redraws a second: a busier bar would disturb what is being timed.
    bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True)
    with bar:
        current = bar.add_task("", total=None)
        name = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal name
            if what != name:
                name = what
                bar.reset(current, total=total, description=what)
            bar.update(current, completed=done, total=total)

        yield show
