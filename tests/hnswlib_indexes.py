"""Small indexes of hnswlib, or of annx's twin of it."""

from __future__ import annotations

import numpy as np

SPACES = ("l2", "ip", "cosine")
#: Bytes of a file before the first element.
HEADER = 96


def index_of(module, space="l2", dim=12, n=400, limit=500, seed=0, **options):
    index = module.Index(space=space, dim=dim)
    index.init_index(max_elements=limit, ef_construction=100, M=8, **options)
    index.set_ef(60)
    rows = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    if n:
        index.add_items(rows)
    return index, rows


def flat_of(module, rows, space="l2", limit=1000, ids=None):
    index = module.BFIndex(space=space, dim=rows.shape[1])
    index.init_index(max_elements=limit)
    index.add_items(rows, ids)
    return index


def filled(module, space="l2", n=1500, dim=20, M=8, seed=0, repeats=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim), dtype=np.float32)
    if repeats:
        rows[rng.integers(0, n, repeats)] = rows[rng.integers(0, 20, repeats)]
    index = module.Index(space, dim)
    index.init_index(n + 10, M=M, ef_construction=80)
    index.add_items(rows, np.arange(n, dtype=np.uint64) + np.uint64(2**63 - n // 2))
    index.set_ef(60)
    for label in index.get_ids_list()[:5]:
        index.mark_deleted(label)
    return index, rows, rng.standard_normal((100, dim), dtype=np.float32)


def loaded(module, path, space="l2", dim=20, ef=60, **options):
    index = module.Index(space, dim)
    index.load_index(str(path), **options)
    index.set_ef(ef)
    return index
