"""Write the files beside this one, with hnswlib 0.8.0: ``python tests/golden/hnswlib/make.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
N, DIM, M, LIMIT = 150, 5, 4, 200
DELETED = (8, 2**63 + 9)


def rows() -> np.ndarray:
    """Vectors whose values every NumPy computes alike; the last ten equal the first."""
    numbers = np.arange(N * DIM, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(1 << 16)
    table = (numbers.astype(np.float32) / 32768 - 1).reshape(N, DIM)
    table[-10:] = table[0]
    return table


def labels() -> np.ndarray:
    """Ids on both sides of 2**63."""
    return np.where(np.arange(N) % 2, 2**63, 0).astype(np.uint64) + np.arange(N, dtype=np.uint64)


def main() -> None:
    import hnswlib

    for space in ("l2", "ip", "cosine"):
        index = hnswlib.Index(space, DIM)
        index.init_index(LIMIT, M=M, ef_construction=40, random_seed=3)
        index.add_items(rows(), labels(), num_threads=1)
        for label in DELETED:
            index.mark_deleted(label)
        index.save_index(str(HERE / f"{space}.bin"))
    flat = hnswlib.BFIndex("l2", DIM)
    flat.init_index(LIMIT)
    flat.add_items(rows(), labels())
    flat.save_index(str(HERE / "flat.bin"))


if __name__ == "__main__":
    main()
