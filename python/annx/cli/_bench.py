"""``annx bench``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from annx import datasets
from annx._bench import tables
from annx._bench.changes import Change, changes, queries
from annx._bench.clock import Clock
from annx._bench.comparison import (
    BASELINE,
    EFS,
    Comparison,
    Settings,
    absent_libraries,
    installed_peers,
)
from annx._bench.journal import Journal, load
from annx._bench.page import page
from annx._bench.run import compare
from annx.cli import _options, _output
from annx.errors import ParameterError

#: annx's curves unless others are asked for: the first always, the others if they fit.
PRESETS = ("auto", "compact", "turbo")
#: Queries taken from the rows where there are none.
HELD_OUT = 1000
#: Rows generated if no number is given: a minute for annx and hnswlib.
ROWS = 20_000


@click.command()
@click.argument("data", required=False)
@click.option(
    "--metric",
    type=click.Choice(_options.METRICS),
    help="Needed unless the data tells it (HDF5 of ann-benchmarks).",
)
@_options.key
@click.option(
    "--generate",
    "generator",
    type=click.Choice(tuple(datasets.GENERATORS)),
    help="Seeded data in place of DATA.  [default: clusters]",
)
@click.option("--rows", type=_options.positive, help="Use only so many rows, or generate so many.")
@click.option("--queries", type=_options.positive, help="Use only so many queries.")
@click.option(
    "--codec",
    "codecs",
    metavar="NAME",
    multiple=True,
    help="annx's codec or preset; repeat for several.  [default: auto, and, as far as the time "
    "allows, compact and turbo]",
)
@click.option(
    "--peer",
    "peers",
    metavar="NAME",
    multiple=True,
    help="Library, one variant of it (usearch:i8), or all; repeat for several.  "
    "[default: the usual variants of what is installed]",
)
@click.option("--alone", is_flag=True, help="Leave all peers out.")
@click.option("-k", type=_options.positive, default=10, show_default=True)
@click.option(
    "--ef",
    metavar="N,N,...",
    default=",".join(map(str, EFS)),
    show_default=True,
    callback=_options.int_list,
    help="Beam widths to try.",
)
@click.option(
    "--M", "m", metavar="N,N,...", default="16", show_default=True, callback=_options.int_list
)
@click.option(
    "--ef-construction",
    metavar="N,N,...",
    default="200",
    show_default=True,
    callback=_options.int_list,
    help="With --M: one build of every library for each pair.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=10,
    show_default=True,
    help="About how long all may take: fewer queries and rounds, and what does not fit at all "
    "is left out; it is said.",
)
@click.option("--rounds", type=_options.positive, default=3, show_default=True)
@click.option(
    "--clock",
    type=click.Choice(("wall", "cpu")),
    default="wall",
    show_default=True,
    help="cpu is steadier on a busy machine.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    type=_options.new_file,
    callback=_options.in_a_folder,
    help="JSON lines; with it, the page of the same name.  [default: bench-NAME.jsonl]",
)
@click.option(
    "--compare",
    "runs",
    type=(_options.existing_file, _options.existing_file),
    metavar="OLD NEW",
    help="Show what changed between two such files; exit 1 if anything became worse.",
)
@_options.threads
@_options.as_json
def bench(
    data: str | None,
    metric: str | None,
    key: str | None,
    generator: str | None,
    rows: int | None,
    queries: int | None,
    codecs: tuple[str, ...],
    peers: tuple[str, ...],
    alone: bool,
    k: int,
    ef: tuple[int, ...],
    m: tuple[int, ...],
    ef_construction: tuple[int, ...],
    minutes: float,
    rounds: int,
    clock: str,
    seed: int,
    out: Path | None,
    runs: tuple[Path, Path] | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare annx with its peers on DATA: recall, speed, latency, build time, memory.

    DATA is an ann-benchmarks HDF5 file, a folder with base, query and perhaps gt (.npy or
    another format), one file of vectors, some of which then are the queries, or the name of
    a public data set, such as sift-128-euclidean, which is downloaded once. Without it,
    generated data is used. Searches run on one thread; --threads is for builds.

    Everything measured goes to a file of JSON lines, and to a page of the same name. A run
    that was broken off goes on when the same command is given again.
    """
    if runs is not None:
        show_changes(*runs, as_json)
        return
    timer = Clock(minutes)
    if data is not None and generator is not None:
        raise click.UsageError("DATA or --generate, not both")
    if data is None:
        dataset = datasets.generate(generator or "clusters", rows or ROWS, seed=seed)
    else:
        is_download = not Path(data).exists()
        dataset = read(data, key, seed, as_json)
        timer = Clock(minutes) if is_download else timer
    dataset = dataset.first(rows=rows, queries=queries)
    metric = metric or dataset.metric
    if metric is None:
        raise ParameterError(f"{dataset.name}: the data does not tell its metric: pass --metric")
    settings = Settings(
        metric=metric,
        k=k,
        M=m,
        ef_construction=ef_construction,
        codecs=("b1",) if metric == "hamming" else codecs or PRESETS,
        peers=() if alone else choose(peers),
        efs=ef,
        minutes=minutes,
        rounds=rounds,
        threads=threads or os.cpu_count() or 1,
        clock=clock,
        seed=seed,
        absent=() if alone or (peers and "all" not in peers) else absent_libraries(),
    )
    if out is None and not as_json:
        out = Path(f"bench-{dataset.name}.jsonl")
    run(dataset, settings, out, as_json, timer)


def choose(peers: tuple[str, ...]) -> tuple[str, ...]:
    """Say which peers are meant: by default one or two curves of each library."""
    if "all" in peers:
        return installed_peers(every=True)
    return peers or installed_peers()


def read(data: str, key: str | None, seed: int, quiet: bool = False) -> datasets.Dataset:
    """Read a file or folder, or fetch a public data set of that name."""
    path = Path(data)
    if path.exists() or data not in datasets.PUBLIC:
        if not path.exists():
            raise click.BadParameter(
                f"{data}: no such file or folder, and no public data set "
                f"({', '.join(datasets.PUBLIC)})"
            )
        return datasets.read_dataset(path, key=key, held_out=HELD_OUT, seed=seed)
    with _output.progress(quiet) as report:
        return datasets.fetch(data, progress=report)


def run(
    dataset: datasets.Dataset,
    settings: Settings,
    out: Path | None,
    as_json: bool = False,
    clock: Clock | None = None,
) -> Comparison:
    """Compare, print the tables (or JSON lines as they come), and write file and page."""
    journal = Journal(out, emit=_output.json_object if as_json else None)
    with _output.progress(quiet=as_json) as report:
        try:
            result = compare(dataset, settings, progress=report, journal=journal, clock=clock)
        except KeyboardInterrupt:
            if out is not None:
                _output.note(f"{out}: the same command goes on from here")
            raise
    if not as_json:
        show(result)
    if out is not None and result.points:
        where = out.with_suffix(".html")
        where.write_text(page(result), encoding="utf-8")
        if not as_json:
            _output.echo(f"\npage: {where.resolve().as_uri()}")
    return result


def show(comparison: Comparison) -> None:
    """Print all tables."""
    k, rounds = comparison.settings.k, tables.rounds(comparison)
    turns = "one round" if rounds == 1 else f"median of {rounds} rounds"
    _output.echo(tables.data_line(comparison))
    _output.echo(tables.machine_line(comparison))
    _output.heading(f"recall@{k} and queries per second, one thread, {turns}")
    _output.table(tables.POINT_COLUMNS, tables.point_rows(comparison), left=2)
    if comparison.at_recall:
        _output.heading("queries per second at equal recall (interpolated)")
        _output.table(tables.recall_columns(comparison), tables.recall_rows(comparison), left=2)
    if comparison.latencies:
        _output.heading("one call for one query")
        _output.table(tables.LATENCY_COLUMNS, tables.latency_rows(comparison), left=2)
    _output.heading("cost")
    _output.table(tables.cost_columns(comparison), tables.cost_rows(comparison))
    if stores := tables.stores_lines(comparison):
        _output.echo("\n" + "\n".join(stores))
    for line in tables.failure_lines(comparison):
        _output.echo(f"\n{line}")
    for said in (tables.cut_line, tables.time_line, tables.busy_line):
        if line := said(comparison):
            _output.echo(f"\n{line}")


def show_changes(old: Path, new: Path, as_json: bool) -> None:
    """Print what changed between two runs, and exit with 1 if anything became worse."""
    before, after = load(old), load(new)
    found = changes(before, after)
    worse = [change for change in found if change.verdict == "worse"]
    if as_json:
        for change in found:
            _output.json_line("change", change)
    else:
        for part in ("cpu", "cores", "versions"):
            was, now = getattr(before.machine, part), getattr(after.machine, part)
            if was != now:
                _output.echo(f"{part}: {was} -> {now}")
        for what, was, now in queries(before, after):
            if was != now:
                _output.echo(f"{what}: {was} -> {now}")
        _output.table(["", "", "old", "new", "new/old", ""], _change_rows(found), left=2)
        if any(change.relative for change in found):
            _output.echo(f"\nx: ratio to {BASELINE} of the same run")
        _output.echo(f"\n{len(worse)} of {len(found)} figures became worse")
    if worse:
        raise click.exceptions.Exit(1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _change_rows(found: list[Change]) -> list[list[str]]:
    rows = []
    for change in found:
        unit = "x" if change.relative else ""
        values = [
            "-" if value is None else f"{_number(value.median)}{unit}"
            for value in (change.old, change.new)
        ]
        factor = "-" if change.factor is None else f"{change.factor:.3f}"
        verdict = "" if change.verdict == "same" else change.verdict
        rows.append([change.curve, change.figure, *values, factor, verdict])
    return rows
