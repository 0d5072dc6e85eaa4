"""Small index files of every kind, for fuzzers to start from: seeds.py FOLDER."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import annx

#: Metric, codec, kept vectors; as in tests/durability/damage.py.
KINDS = [
    ("l2", "f32", "auto"), ("cosine", "f32", "auto"), ("ip", "f16", "auto"),
    ("cosine", "bf16", "auto"), ("cosine", "i8", "auto"), ("l2", "u8", "auto"),
    ("hamming", "b1", "auto"), ("l2", "sq8", "f16"), ("cosine", "sq8", "f32"),
    ("ip", "sq8", "none"), ("l2", "sq10", "none"), ("cosine", "sq10", "f16"),
    ("l2", "sq4", "none"), ("cosine", "sq4", "none"), ("ip", "sq4", "f16"),
    ("l2", "turbo", "auto"), ("cosine", "turbo", "auto"), ("l2", "compact", "auto"),
    ("l2", "auto", "auto"),
]  # fmt: skip


def rows(rng: np.random.Generator, n: int, dim: int, codec: str) -> np.ndarray:
    """Rows that an index of this codec takes."""
    if codec == "b1":
        return rng.integers(1, 256, (n, dim // 8), dtype=np.uint8)
    if codec in ("u8", "i8", "auto"):
        return rng.integers(1, 100, (n, dim)).astype("i1" if codec == "i8" else "u1")
    return rng.standard_normal((n, dim), dtype=np.float32)


def seed(kind: int, variant: int) -> bytes:
    """A file: empty, plain, with twins, with removed rows of both sorts, with few links."""
    metric, codec, keep = KINDS[kind]
    rng = np.random.default_rng(kind * 10 + variant)
    options = {"keep_vectors": keep} if codec in ("sq8", "sq10", "sq4", "turbo", "compact") else {}
    dim = 8 if codec == "b1" or variant % 2 else 5
    index = annx.Index(
        dim, metric, codec=codec, M=2 + variant % 3, ef_construction=12, seed=variant, **options
    )
    if variant == 0:
        return index.to_bytes()
    n = (0, 9, 14, 24, 60)[variant]
    x = rows(rng, n, dim, codec)
    if variant >= 2:
        x[-3:] = x[0]
    index.add(x, None if variant == 1 else np.arange(n) * 7 - 100)
    if variant == 4:
        index.remove(index.labels[1:45])
        index.add(rows(rng, 3, dim, codec))
    if variant >= 3:
        index.remove(index.labels[-4:])
    return index.to_bytes()


def logged(kind: int) -> bytes:
    """A file with two records in its log."""
    metric, codec, _ = KINDS[kind]
    rng = np.random.default_rng(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "i.annx"
        index = annx.Index(8, metric, codec=codec, M=2, ef_construction=12)
        index.add(rows(rng, 9, 8, codec))
        index.save(path)
        for label in range(2):
            index.update(label, rows(rng, 1, 8, codec))
            index.remove(label + 4)
            index.ef_search += 1
            index.save(path, incremental=True)
        return path.read_bytes()


def main(folder: str) -> None:
    """Write them all."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for kind, (metric, codec, keep) in enumerate(KINDS):
        for variant in range(5):
            name = f"{metric}_{codec}_{keep}_{variant}.annx"
            (Path(folder) / name).write_bytes(seed(kind, variant))
        (Path(folder) / f"{metric}_{codec}_{keep}_log.annx").write_bytes(logged(kind))


if __name__ == "__main__":
    main(sys.argv[1])
