"""Compare annx with hnswlib on one data set, and keep the figures.

    python benchmarks/compare_hnswlib.py DATA --metric l2 --threads 2

DATA is a folder with base.npy, query.npy and perhaps gt.npy (rows of the true
neighbours, best first), or an HDF5 file of ann-benchmarks. Both libraries get float32
rows, the same M and ef_construction, and one thread to search with, in one process and
in turns; memory is measured in a process of its own for each. Writes
benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annx import datasets
from annx.cli import _bench, _output
from annx.cli._bench_compare import BASELINE, EFS, Comparison, Settings, build_seconds, index_size

RESULTS = Path(__file__).parent / "results"

#: What annx aims at with float32 vectors: ratios to hnswlib, and microseconds a call.
MIN_SPEED, MAX_BUILD, MAX_MEMORY, MAX_CALL = 1.4, 0.9, 1.0, 3.0


def aims(comparison: Comparison) -> list[list[str]]:
    """One row for each figure to reach: what, target, measured, whether reached."""
    rows: list[list[str]] = []

    def add(what: str, target: str, value: float | None, form: str, reached: bool) -> None:
        shown = "-" if value is None else form.format(value)
        rows.append([what, target, shown, "yes" if value is not None and reached else "no"])

    name = comparison.names()[0]
    for found in comparison.at_recall:
        if found.engine == name and found.recall in (0.95, 0.99):
            ratio = found.ratio
            what = f"QPS at recall@{comparison.settings.k} = {found.recall:.2f}"
            add(what, f">= {MIN_SPEED}x", ratio, "{:.2f}x", (ratio or 0) >= MIN_SPEED)
    build = build_seconds(comparison, name) / build_seconds(comparison, BASELINE)
    threads = comparison.settings.threads
    add(f"build time, {threads} threads", f"<= {MAX_BUILD}x", build, "{:.2f}x", build <= MAX_BUILD)
    own, other = index_size(comparison, name), index_size(comparison, BASELINE)
    memory = own / other if own is not None and other else None
    add("index memory", f"<= {MAX_MEMORY}x", memory, "{:.2f}x", (memory or 9) <= MAX_MEMORY)
    for call in comparison.calls:
        if call.engine.startswith("annx"):
            reached = call.overhead <= MAX_CALL
            add("one call for one query", f"<= {MAX_CALL} µs", call.overhead, "{:.2f} µs", reached)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--metric", choices=("l2", "ip", "cosine"))
    parser.add_argument("--codec", action="append", help="repeat for several (default f32)")
    parser.add_argument("--peer", action="append", choices=("symqg",), help="if installed")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--M", type=int, default=16)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--ef", type=int, nargs="+", default=EFS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="for builds")
    parser.add_argument("--build-rounds", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    dataset = datasets.read_dataset(options.data)
    metric = options.metric or dataset.metric
    if metric is None:
        parser.error("the data does not tell its metric: pass --metric")
    settings = Settings(
        metric=metric,
        k=options.k,
        M=options.M,
        ef_construction=options.ef_construction,
        codecs=tuple(options.codec or ("f32",)),
        peers=tuple(options.peer or ()),
        efs=tuple(options.ef),
        rounds=options.rounds,
        threads=options.threads,
        build_rounds=options.build_rounds,
        clock=options.clock,
        seed=options.seed,
    )
    out = options.out or RESULTS / f"{dataset.name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    result = _bench.run(dataset, settings, out, as_json=False)
    if BASELINE not in result.names():
        parser.exit(1, "hnswlib is not installed: pip install 'annx[bench]' to compare\n")
    _output.heading(f"{result.names()[0]} against {BASELINE}")
    _output.table(["", "target", "measured", "reached"], aims(result))


if __name__ == "__main__":
    main()
