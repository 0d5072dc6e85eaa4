"""``annx search``."""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

import annx
from annx import datasets
from annx.cli import _options, _output
from annx.errors import ParameterError

#: Queries shown on a terminal; a pipe gets all of them.
SHOWN = 10


@click.command()
@click.argument("index", type=_options.existing_file)
@click.argument("queries", type=_options.existing_file)
@click.option("-k", type=_options.positive, default=10, show_default=True)
@click.option("--ef-search", type=_options.positive, default=None, metavar="N")
@click.option("--exact", is_flag=True, help="Compare with every vector.")
@click.option(
    "--out",
    type=_options.new_file,
    callback=_options.in_a_folder,
    help="Write the labels to .npy or .ivecs, or labels and distances to .npz.",
)
@_options.key
@_options.threads
@_options.as_json
def search(
    index: Path,
    queries: Path,
    k: int,
    ef_search: int | None,
    exact: bool,
    out: Path | None,
    key: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find the K nearest vectors of INDEX to each row of QUERIES.

    Prints query, rank, label and distance, tab-separated, when not on a terminal.
    """
    if out is not None and out.suffix.lower() not in (".npy", ".ivecs", ".npz"):
        raise ParameterError(f"{out.name}: expected .npy, .ivecs or .npz, got {out.suffix!r}")
    asked = datasets.read(queries, key="test" if _is_hdf5(queries) and key is None else key)
    loaded = annx.load(index)
    begin = time.perf_counter()
    if exact:
        hits = loaded.exact_search(asked, k, num_threads=threads)
    else:
        hits = loaded.search(asked, k, ef_search=ef_search, num_threads=threads)
    seconds = time.perf_counter() - begin
    if out is not None:
        if out.suffix.lower() == ".npz":
            np.savez(out, labels=hits.labels, distances=hits.distances)
        else:
            datasets.write(out, hits.labels)
        summary = {"out": out.name, "queries": len(hits.labels), "k": k, "seconds": seconds}
        if as_json:
            _output.json_line(None, summary)
        else:
            _output.echo(f"{out.name}: {k} labels for each of {len(hits.labels):,} queries")
        return
    if as_json:
        for number, (labels, distances) in enumerate(zip(*hits, strict=True)):
            found = labels != -1
            _output.json_line(
                None,
                {"query": number, "labels": labels[found], "distances": distances[found]},
            )
        return
    _print(hits.labels, hits.distances)


def _is_hdf5(path: Path) -> bool:
    return path.suffix.lower() in (".hdf5", ".h5")


def _print(labels: np.ndarray, distances: np.ndarray) -> None:
    if not _output.on_terminal():
        for number, (row, far) in enumerate(zip(labels, distances, strict=True)):
            for rank, (label, distance) in enumerate(zip(row, far, strict=True), start=1):
                if label != -1:
                    _output.echo(f"{number}\t{rank}\t{label}\t{distance:.7g}")
        return
    rows = [
        [str(number), "  ".join(f"{label}:{distance:.4g}" for label, distance in pairs)]
        for number, pairs in enumerate(
            zip(row, far, strict=True)
            for row, far in zip(labels[:SHOWN], distances[:SHOWN], strict=True)
        )
    ]
    _output.table(["query", "label:distance"], rows, left=2)
    if len(labels) > SHOWN:
        _output.echo(f"... {len(labels) - SHOWN:,} more queries; --out FILE keeps all")
