"""Compare annx with hnswlib and other peers on one data set, and keep the figures.

    python benchmarks/compare_hnswlib.py DATA --metric l2 --threads 2 --peer all

DATA is a folder with base.npy, query.npy and perhaps gt.npy (rows of the true
neighbours, best first), an HDF5 file of ann-benchmarks, or the name of generated data.
It is ``annx bench`` with hnswlib as the only peer unless told otherwise; and it says
whether annx reaches what it aims at. Writes benchmarks/results/NAME.jsonl and the page NAME.html.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annx._bench.comparison import (
    BASELINE,
    EFS,
    Comparison,
    Settings,
    build_seconds,
)
from annx.cli import _bench, _output
from annx.datasets import GENERATORS, generate

RESULTS = Path(__file__).parent / "results"

#: What annx aims at with float32 vectors, as ratios to hnswlib.
MIN_SPEED, MAX_BUILD, MAX_MEMORY = 1.4, 0.9, 1.0


def aims(comparison: Comparison) -> list[list[str]]:
    """One row for each figure to reach: what, target, measured, whether reached."""
    rows: list[list[str]] = []

    def add(what: str, target: str, value: float | None, reached: bool) -> None:
        shown = "-" if value is None else f"{value:.2f}x"
        rows.append([what, target, shown, "yes" if value is not None and reached else "no"])

    name = comparison.curves()[0]
    for found in comparison.at_recall:
        if found.curve == name and found.recall in (0.95, 0.99):
            ratio = found.ratios[BASELINE].median if BASELINE in found.ratios else None
            what = f"QPS at recall@{comparison.settings.k} = {found.recall:.2f}"
            add(what, f">= {MIN_SPEED}x", ratio, (ratio or 0) >= MIN_SPEED)
    own, other = comparison.of(name)[0], comparison.of(BASELINE)[0]
    build = build_seconds(comparison, own) / build_seconds(comparison, other)
    threads = comparison.settings.threads
    add(f"build time, {threads} threads", f"<= {MAX_BUILD}x", build, build <= MAX_BUILD)
    memory = None
    if own.resident is not None and other.resident:
        memory = own.resident / other.resident
    add("resident memory", f"<= {MAX_MEMORY}x", memory, (memory or 9) <= MAX_MEMORY)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=f"file, folder, or one of {', '.join(GENERATORS)}")
    parser.add_argument("--metric", choices=("l2", "ip", "cosine", "hamming"))
    parser.add_argument("--rows", type=int, help="of generated data, or the first of a file")
    parser.add_argument("--queries", type=int, help="use only so many")
    parser.add_argument("--codec", action="append", help="repeat for several (default f32)")
    parser.add_argument(
        "--peer", action="append", help="all, a library, or library:variant; repeat for several"
    )
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--M", type=int, nargs="+", default=[16])
    parser.add_argument("--ef-construction", type=int, nargs="+", default=[200])
    parser.add_argument("--ef", type=int, nargs="+", default=EFS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="for builds")
    parser.add_argument("--build-rounds", type=int, default=1)
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    if options.data in GENERATORS:
        dataset = generate(options.data, options.rows or 10_000, seed=options.seed)
    else:
        dataset = _bench.read(options.data, None, options.seed)
    dataset = dataset.first(rows=options.rows, queries=options.queries)
    metric = options.metric or dataset.metric
    if metric is None:
        parser.error("the data does not tell its metric: pass --metric")
    peers = tuple(options.peer or (BASELINE,))
    settings = Settings(
        metric=metric,
        k=options.k,
        M=tuple(options.M),
        ef_construction=tuple(options.ef_construction),
        codecs=tuple(options.codec or ("f32",)),
        peers=_bench.choose(peers),
        efs=tuple(options.ef),
        rounds=options.rounds,
        threads=options.threads,
        build_rounds=options.build_rounds,
        latency=not options.no_latency,
        clock=options.clock,
        seed=options.seed,
    )
    out = options.out or RESULTS / f"{dataset.name}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    result = _bench.run(dataset, settings, out)
    if BASELINE in result.curves():
        _output.heading(f"{result.curves()[0]} against {BASELINE}")
        _output.table(["", "target", "measured", "reached"], aims(result))


if __name__ == "__main__":
    main()
