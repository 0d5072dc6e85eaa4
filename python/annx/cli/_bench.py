"""``annx bench``."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from annx import datasets
from annx.cli import _bench_table, _options, _output
from annx.cli._bench_compare import EFS, Comparison, Settings, compare
from annx.cli._bench_measure import CLOCKS
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
    type=click.Choice(_options.CODECS),
    multiple=True,
    default=("f32",),
    show_default=True,
    help="Repeat to compare several.",
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
@click.option("--rounds", type=_options.positive, default=5, show_default=True)
@click.option("--queries", type=_options.positive, help="Use only so many queries.")
@click.option("--alone", is_flag=True, help="Leave hnswlib out.")
@click.option("--no-memory", is_flag=True, help="Skip the memory measurement (a build each).")
@click.option(
    "--clock",
    type=click.Choice(tuple(CLOCKS)),
    default="wall",
    show_default=True,
    help="cpu is steadier on a busy machine.",
)
@click.option(
    "--out",
    type=_options.new_file,
    callback=_options.in_a_folder,
    help="Write everything to a JSON file.",
)
@_options.graph
@_options.threads
@_options.as_json
def bench(
    data: Path | None,
    metric: str | None,
    codecs: tuple[str, ...],
    k: int,
    ef: tuple[int, ...],
    rounds: int,
    queries: int | None,
    alone: bool,
    no_memory: bool,
    clock: str,
    out: Path | None,
    m: int,
    ef_construction: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare annx with hnswlib on DATA: recall, speed, build time, memory.

    DATA is an ann-benchmarks HDF5 file, or a folder with base, query and perhaps gt
    (.npy or another format). Without it, seeded clusters of random vectors are used.
    Searches run on one thread; --threads is for builds (default 1).
    """
    dataset = synthetic(seed) if data is None else datasets.read_dataset(data)
    metric = metric or dataset.metric
    if metric is None:
        raise ParameterError(f"{dataset.name}: the data does not tell its metric: pass --metric")
    if queries is not None:
        dataset = _first(dataset, queries)
    settings = Settings(
        metric=metric,
        k=k,
        M=m,
        ef_construction=ef_construction,
        codecs=("b1",) if metric == "hamming" else codecs,
        baseline=not alone,
        efs=ef,
        rounds=rounds,
        threads=threads or 1,
        memory=not no_memory,
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
        _bench_table.show(result)
    if out is not None:
        text = json.dumps(_output.plain(result.to_dict()), indent=1)
        out.write_text(text + "\n", encoding="utf-8")
    return result


def synthetic(seed: int, rows: int = 10_000, dim: int = 64) -> datasets.Dataset:
    """Clustered float32 vectors: 100 centres, as real data has neighbourhoods."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((100, dim), dtype=np.float32)
    total = rows + 500
    points = centres[rng.integers(0, 100, total)]
    points += 0.5 * rng.standard_normal((total, dim), dtype=np.float32)
    return datasets.Dataset("synthetic", points[:rows], points[rows:], None, "l2")


def _first(dataset: datasets.Dataset, queries: int) -> datasets.Dataset:
    truth = dataset.neighbors
    return datasets.Dataset(
        dataset.name,
        dataset.base,
        dataset.queries[:queries],
        None if truth is None else truth[:queries],
        dataset.metric,
    )
