"""Vectors for the conformance suite, and the truth about them."""

from __future__ import annotations

import numpy as np
from reference import decode, distances

#: Each codec with the metrics that it goes with.
PAIRS = [
    (codec, metric)
    for codec in ("f32", "f16", "bf16", "i8", "u8")
    for metric in ("l2", "ip", "cosine")
] + [("b1", "hamming")]


def vectors(rng, n, dim, codec):
    """Random rows that a codec stores without loss."""
    if codec == "i8":
        return rng.integers(-128, 128, (n, dim), dtype=np.int8)
    if codec == "u8":
        return rng.integers(0, 256, (n, dim), dtype=np.uint8)
    if codec == "b1":
        return rng.integers(0, 256, (n, dim // 8), dtype=np.uint8)
    x = rng.standard_normal((n, dim), dtype=np.float32)
    if codec == "f16":
        return x.astype(np.float16)
    if codec == "bf16":
        return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return x


def clustered(rng, n, dim, clusters=40, spread=0.3):
    """Rows around random centres, and the centres."""
    centres = rng.standard_normal((clusters, dim), dtype=np.float32)
    noise = rng.standard_normal((n, dim), dtype=np.float32)
    return centres[rng.integers(clusters, size=n)] + np.float32(spread) * noise, centres


def plain(x, codec):
    """Rows as float64, bits as 0.0 and 1.0."""
    return decode("b1", x) if codec == "b1" else np.asarray(x).astype(np.float64)


def all_distances(metric, queries, rows):
    """True distances of shape (n_queries, n), of float64 arrays."""
    return np.stack([distances(metric, query, rows) for query in queries])


def tolerance(metric, queries, rows):
    """How far float32 sums may be from the truth: 16 ulps of the terms' magnitudes."""
    ulp = np.finfo(np.float32).eps
    if metric == "cosine":
        return 64 * ulp
    q = (queries**2).sum(axis=1).max(initial=0)
    r = (rows**2).sum(axis=1).max(initial=0)
    return 16 * ulp * (q + r + 1)


def recall(found, truth, rows, queries, metric):
    """Share of the k nearest found; a row as near as the k-th counts."""
    dists = all_distances(metric, queries.astype(np.float64), rows.astype(np.float64))
    k = found.shape[1]
    kth = np.take_along_axis(dists, truth[:, k - 1 : k], axis=1)
    got = np.take_along_axis(dists, found, axis=1)
    return float((got <= kth + 1e-6 * np.abs(kth)).mean())


def truth_of(queries, rows, metric, k):
    dists = all_distances(metric, queries.astype(np.float64), rows.astype(np.float64))
    return np.argsort(dists, axis=1, kind="stable")[:, :k]
