"""Measure an index whose vectors are replaced, and one of which half is removed.

    python benchmarks/churn.py DATA --metric l2 --rows 50000 --turns 10

DATA is a folder with base.npy and query.npy. Each turn replaces every vector, a random thousand
at a time. Prints recall@10 and queries a second (one thread, best of interleaved rounds) beside a
fresh build of the same rows, memory, and rows that cannot be reached; then the same after half of
the rows are removed and the index compacted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import annx

EFS = (16, 32, 64, 128)
ROUNDS = 7
BATCH = 1000


def fresh(rows, args):
    index = annx.Index(rows.shape[1], args.metric, codec=args.codec)
    index.add(rows)
    return index


def compare(name, index, other, queries):
    """Both on the same queries, in turns."""
    truth = other.exact_search(queries, 10).distances[:, -1:]
    limit = truth + 1e-6 * np.abs(truth)
    print(f"{name}: recall@10 and queries a second, beside a fresh build")
    for ef in EFS:
        recalls, speeds = [], [0.0, 0.0]
        for each in (index, other):
            hits = each.search(queries, 10, ef_search=ef)
            recalls.append(float((hits.distances <= limit).mean()))
        for _ in range(ROUNDS):
            for place, each in enumerate((index, other)):
                start = time.perf_counter()
                each.search(queries, 10, ef_search=ef, num_threads=1)
                taken = time.perf_counter() - start
                speeds[place] = max(speeds[place], len(queries) / taken)
        print(
            f"  ef {ef:4}: {recalls[0]:.4f} / {recalls[1]:.4f}, "
            f"{speeds[0]:,.0f} / {speeds[1]:,.0f} ({speeds[0] / speeds[1]:.2f}x)"
        )
    memory = [each.info()["memory"]["total"] for each in (index, other)]
    health = index.check()
    print(
        f"  memory {memory[0] / memory[1]:.2f}x, unreachable {len(health.unreachable)}, "
        f"parts {health.parts}, one-way links {health.one_way_share:.2f} / "
        f"{other.check().one_way_share:.2f}",
        flush=True,
    )
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--metric", choices=("l2", "ip", "cosine"), required=True)
    parser.add_argument("--codec", default="auto")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--turns", type=int, default=10)
    args = parser.parse_args()
    base = np.load(args.data / "base.npy")[: args.rows].astype(np.float32)
    queries = np.load(args.data / "query.npy")[:1000].astype(np.float32)
    rng = np.random.default_rng(0)
    n = len(base)
    other = fresh(base, args)
    index = fresh(base, args)
    start = time.perf_counter()
    for _ in range(args.turns):
        rows = rng.permutation(n)
        for labels in np.array_split(rng.permutation(n), max(1, n // BATCH)):
            index.update(labels, base[rows[labels]])
    taken = time.perf_counter() - start
    each = 1e6 * taken / n / args.turns
    print(f"{index!r}, {args.turns} turns in {taken:.0f} s, {each:.0f} us a vector")
    compare("all replaced", index, other, queries)
    gone = rng.permutation(n)[: n // 2]
    index = fresh(base, args)
    full = index.info()["memory"]["total"]
    start = time.perf_counter()
    index.remove(gone)
    middle = time.perf_counter()
    index.compact()
    print(
        f"half removed in {middle - start:.1f} s, compacted in {time.perf_counter() - middle:.1f} s"
    )
    half = compare(
        "half removed", index, fresh(base[np.setdiff1d(np.arange(n), gone)], args), queries
    )
    print(f"  memory {half[0] / full:.2f}x of the whole")


if __name__ == "__main__":
    main()
