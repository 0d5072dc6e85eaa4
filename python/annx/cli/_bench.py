"""``annx bench``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from annx import datasets
from annx._bench import tables
from annx._bench.comparison import BASELINE, EFS, Comparison, Settings, installed_peers
from annx._bench.generate import clusters
from annx._bench.run import compare
from annx.cli import _options, _output
from annx.errors import ParameterError


@click.command()
@click.argument("data", type=_options.existing, required=False)
@click.option(
    "--metric",
    type=click.Choice(_options.METRICS),
    help="Needed unless the data tells it (HDF5 of ann-benchmarks).",
)
@click.option(
    "--codec",
    "codecs",
    metavar="NAME",
    multiple=True,
    default=("auto",),
    show_default=True,
    help="annx's codec or preset; repeat to compare several.",
)
@click.option(
    "--peer",
    "peers",
    metavar="NAME",
    multiple=True,
    help="Library, or one variant of it (usearch:i8); repeat for several. [default: all installed]",
)
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
@click.option("--rounds", type=_options.positive, default=3, show_default=True)
@click.option("--queries", type=_options.positive, help="Use only so many queries.")
@click.option("--alone", is_flag=True, help="Leave all peers out.")
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
    help="Write everything to a JSON file.",
)
@_options.threads
@_options.as_json
def bench(
    data: Path | None,
    metric: str | None,
    codecs: tuple[str, ...],
    peers: tuple[str, ...],
    k: int,
    ef: tuple[int, ...],
    m: tuple[int, ...],
    ef_construction: tuple[int, ...],
    rounds: int,
    queries: int | None,
    alone: bool,
    clock: str,
    seed: int,
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare annx with its peers on DATA: recall, speed, latency, build time, memory.

    DATA is an ann-benchmarks HDF5 file, or a folder with base, query and perhaps gt
    (.npy or another format). Without it, seeded clusters of random vectors are used.
    Searches run on one thread; --threads is for builds (default 1).
    """
    dataset = clusters(seed=seed) if data is None else datasets.read_dataset(data)
    metric = metric or dataset.metric
    if metric is None:
        raise ParameterError(f"{dataset.name}: the data does not tell its metric: pass --metric")
    if queries is not None:
        dataset = first(dataset, queries=queries)
    settings = Settings(
        metric=metric,
        k=k,
        M=m,
        ef_construction=ef_construction,
        codecs=("b1",) if metric == "hamming" else codecs,
        peers=() if alone else peers or installed_peers(),
        efs=ef,
        rounds=rounds,
        threads=threads or 1,
        clock=clock,
        seed=seed,
    )
    run(dataset, settings, out, as_json)


def run(
    dataset: datasets.Dataset, settings: Settings, out: Path | None, as_json: bool
) -> Comparison:
    """Compare, print the tables (or JSON lines as they come), and keep a file of it."""
    with _output.progress(quiet=as_json) as report:
        if as_json:
            result = compare(dataset, settings, emit=_output.json_line)
        else:
            result = compare(dataset, settings, progress=report)
    if not as_json:
        show(result)
        if BASELINE not in installed_peers():
            _output.echo("\nhnswlib is not installed: pip install 'annx[bench]' to compare")
    if out is not None:
        text = json.dumps(_output.plain(result.to_dict()), indent=1)
        out.write_text(text + "\n", encoding="utf-8")
    return result


def first(
    dataset: datasets.Dataset, *, rows: int | None = None, queries: int | None = None
) -> datasets.Dataset:
    """Keep the first rows and queries; the known neighbours of fewer rows are no more true."""
    fewer = rows is not None and rows < len(dataset.base)
    truth = None if fewer or dataset.neighbors is None else dataset.neighbors[:queries]
    return replace(
        dataset, base=dataset.base[:rows], queries=dataset.queries[:queries], neighbors=truth
    )


def show(comparison: Comparison) -> None:
    """Print all tables."""
    k, rounds = comparison.settings.k, comparison.settings.rounds
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
    for failure in comparison.failures:
        _output.echo(f"\n{failure.build} failed ({failure.stage}): {failure.message}")
    if busy := tables.busy_line(comparison):
        _output.echo(f"\n{busy}")
