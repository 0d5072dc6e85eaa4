"""Write the index files of this format version that are not there yet: python make.py FOLDER.

Once released, a version's files are never written again; they show that old files open.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import annx

DIM, N = 16, 60
#: Metric and storage, with the codec of the input.
FILES = {
    "l2_f32": "f32",
    "cosine_f32": "f32",
    "ip_f16": "f16",
    "cosine_bf16": "bf16",
    "cosine_i8": "i8",
    "l2_u8": "u8",
    "hamming_b1": "b1",
    "l2_sq8-f16": "f32",
    "cosine_sq8-f32": "f32",
    "ip_sq8": "f32",
    "l2_wide-u8": "u8",
    "l2_sq10": "f32",
    "ip_sq10": "f32",
    "cosine_sq10-f16": "f32",
    "l2_sq4": "f32",
    "ip_sq4-f16": "f32",
    "cosine_sq4": "f32",
    "cosine_sq4-f32": "f32",
    "l2_turbo": "f32",
    "cosine_turbo": "f32",
    "l2_turbo-u8": "u8",
}


def vectors(codec):
    """Rows that need no random generator; the last ten repeat the first."""
    columns = DIM // 8 if codec == "b1" else DIM
    row, column = np.indices((N, columns), np.int64)
    row = np.where(row < N - 10, row, row - (N - 10))
    x = (row * 37 + column * 101 + row * column * 13 + row * row * 5) % 256
    if codec == "u8" or codec == "b1":
        return x.astype(np.uint8)
    x = x - 128
    return x.astype(np.int8) if codec == "i8" else (x / 16).astype(np.float32)


def labels():
    return np.arange(N) * 1000 - 7


def options(name):
    """What `Index` takes."""
    metric, storage = name.split("_")
    codec, _, keep = storage.partition("-")
    if storage == "wide-u8":
        return {"metric": metric, "codec": "auto"}
    if codec == "turbo":
        return {"metric": metric, "codec": "turbo"}
    keep = {"keep_vectors": keep or "none"} if codec in ("sq8", "sq10", "sq4") else {}
    return {"metric": metric, "codec": codec} | keep


def removed():
    """An index with dead rows, free slots and rows in slots that were free."""
    index = annx.Index(DIM, "l2", codec="f32", M=3, ef_construction=20, seed=7)
    index.add(vectors("f32"), labels())
    index.remove(labels()[5:45])
    index.add(vectors("f32")[10:13], [1, 2, 3])
    index.remove(labels()[45:48])
    return index


def seeded():
    """An index with places where searches may begin."""
    index = annx.Index(DIM, **options("l2_sq10"), M=3, ef_construction=20, seed=7)
    index.add(vectors("f32"), labels())
    return index


def logged(name, path):
    """Save an index, and then what was changed since, twice."""
    codec = FILES[name]
    x = vectors(codec)
    index = annx.Index(DIM, **options(name), M=3, ef_construction=20, seed=7)
    index.add(x[:30], labels()[:30])
    index.save(path)
    index.add(x[30:], labels()[30:])
    index.update(labels()[:2], x[7:9])
    index.save(path, incremental=True)
    index.add(x[3:6], [-7, 1, 2], upsert=True)
    index.remove(labels()[20:40])
    index.compact()
    index.ef_search = 33
    index.save(path, incremental=True)


def main(folder):
    for name, codec in FILES.items():
        path = Path(folder) / f"v1_{name}.annx"
        if path.exists():
            continue
        index = annx.Index(DIM, **options(name), M=3, ef_construction=20, seed=7)
        index.ef_search = 33
        index.add(vectors(codec), labels())
        index.save(path)
    path = Path(folder) / "removed" / "v1_l2_f32.annx"
    if not path.exists():
        removed().save(path)
    path = Path(folder) / "seeds" / "v1_l2_sq10.annx"
    if not path.exists():
        seeded().save(path)
    for name in ("l2_f32", "cosine_bf16", "l2_turbo", "cosine_sq8-f32", "hamming_b1"):
        path = Path(folder) / "logged" / f"v1_{name}.annx"
        if not path.exists():
            logged(name, path)


if __name__ == "__main__":
    main(sys.argv[1])
