"""Measure filtered search over selectivities and kinds of filter.

    python benchmarks/filters.py DATA --metric l2

DATA is a folder with base.npy and query.npy. For each share of rows that pass, and each kind
(random; clustered: rows close together; adversarial: the rows farthest from each query), prints
recall@10 of ``search(recall=0.95, filter=...)``, its time a query on one thread, and the ratio of
that to the better of an exact scan of the allowed rows and an unfiltered search divided by the
share. Times are medians of rounds.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np

import annx

SHARES = (0.5, 0.2, 0.05, 0.01, 0.001, 0.0001)
KINDS = ("random", "clustered", "adversarial")
ROUNDS = 5


def seconds(call, queries):
    """Median time a query, each query a call of its own as in a service."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) / queries)
    return float(np.median(taken))


def filters_of(kind, share, index, queries, rng):
    """One filter for all queries, or a list of one for each."""
    n = len(index)
    count = max(1, round(share * n))
    if kind == "random":
        return annx.Filter(index, index.labels[rng.permutation(n)[:count]])
    order = index.exact_search
    if kind == "clustered":
        centre = index.get(index.labels[rng.integers(n)])
        return annx.Filter(index, order(centre, count).labels[0])
    lists = []
    for query in queries:
        all_labels = order(query, n).labels[0]
        lists.append(annx.Filter(index, all_labels[-count:]))
    return lists


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--metric", choices=("l2", "ip", "cosine"), required=True)
    parser.add_argument("--codec", default="auto")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--index", type=Path, help="file to keep the built index in")
    args = parser.parse_args()
    queries = np.load(args.data / "query.npy")[: args.queries].astype(np.float32)
    if args.index is not None and args.index.exists():
        index = annx.load(args.index)
    else:
        base = np.load(args.data / "base.npy")[: args.rows].astype(np.float32)
        index = annx.Index(base.shape[1], args.metric, codec=args.codec)
        index.add(base)
        index.tune(recall=(0.9, 0.95, 0.99))
        if args.index is not None:
            index.save(args.index)
    rng = np.random.default_rng(0)
    one = {"num_threads": 1}
    plain = seconds(lambda: index.search(queries, recall=0.95, **one), len(queries))
    print(f"{index!r}, unfiltered {1e6 * plain:.0f} us")
    print("kind         share    recall  us/query   scan us  unfiltered/share  ratio  plans")
    for kind in KINDS:
        for share in SHARES:
            allowed = filters_of(kind, share, index, queries[:50], rng)
            asked = queries[:50] if kind == "adversarial" else queries
            options = {"filter": allowed, **one}
            hits = index.search(asked, recall=0.95, report=True, **options)
            truth = index.exact_search(asked, **options)
            kth = truth.distances[:, -1:].astype(np.float64)
            valid = truth.labels >= 0
            kth = np.where(np.isfinite(kth), kth, np.inf)
            near = hits.distances <= kth + 1e-6 * np.abs(np.where(np.isfinite(kth), kth, 0))
            found = ((hits.labels >= 0) & near).sum() / valid.sum()
            ours = seconds(partial(index.search, asked, recall=0.95, **options), len(asked))
            scan = seconds(partial(index.exact_search, asked, **options), len(asked))
            best = min(scan, plain / share)
            plans = dict(zip(*np.unique(hits.report.plan, return_counts=True), strict=True))
            print(
                f"{kind:12} {share:6g}  {found:6.3f}  {1e6 * ours:8.0f}  {1e6 * scan:8.0f}  "
                f"{1e6 * plain / share:16.0f}  {ours / best:5.2f}  "
                f"{', '.join(f'{k} {v}' for k, v in plans.items())}"
            )


if __name__ == "__main__":
    main()
