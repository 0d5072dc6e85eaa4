"""``annx build``."""

from __future__ import annotations

import time
from pathlib import Path

import click

import annx
from annx import datasets
from annx.cli import _options, _output
from annx.errors import DimensionError


@click.command()
@click.argument("vectors", type=_options.existing_file)
@click.argument("index", type=_options.new_file, callback=_options.in_a_folder)
@click.option("--metric", type=click.Choice(_options.METRICS), default="l2", show_default=True)
@click.option("--codec", type=click.Choice(_options.CODECS), default="auto", show_default=True)
@click.option("--labels", type=_options.existing_file, help="File of one integer label a row.")
@_options.graph
@_options.key
@_options.threads
@_options.as_json
def build(
    vectors: Path,
    index: Path,
    metric: str,
    codec: str,
    labels: Path | None,
    m: int,
    ef_construction: int,
    seed: int,
    key: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Build an index over VECTORS and write it to INDEX.

    Under hamming a row of VECTORS is uint8, eight bits to a byte.
    """
    rows = datasets.read(vectors, key=key)
    if rows.ndim != 2:
        raise DimensionError(f"{vectors.name}: expected shape (n, d), got {rows.shape}")
    numbers = None
    if labels is not None:
        numbers = datasets.read(labels)
        if numbers.ndim == 2 and numbers.shape[1] == 1:
            numbers = numbers[:, 0]
    made = annx.Index(
        rows.shape[1] * (8 if metric == "hamming" else 1),
        metric,
        codec=codec,
        M=m,
        ef_construction=ef_construction,
        seed=seed,
        capacity=len(rows),
    )
    begin = time.perf_counter()
    with _output.progress(quiet=as_json) as report:
        made.add(
            rows,
            labels=numbers,
            num_threads=threads,
            progress=lambda done, total: report("adding rows", done, total),
        )
    seconds = time.perf_counter() - begin
    made.save(index)
    size = index.stat().st_size
    if as_json:
        _output.json_line(
            None,
            {
                "index": index.name,
                "rows": len(made),
                "dim": made.dim,
                "metric": made.metric,
                "codec": made.codec,
                "seconds": seconds,
                "bytes": size,
            },
        )
        return
    _output.echo(
        f"{index.name}: {len(made):,} vectors of {made.dim} ({made.metric}, {made.codec}), "
        f"{size / 1e6:,.1f} MB, built in {seconds:.1f} s"
    )
