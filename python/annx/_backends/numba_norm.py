"""The norm that stored rows are divided by."""

from __future__ import annotations

from typing import Any

import numpy as np

from annx._backends.numba_jit import inner
from annx._backends.numba_kernels import decode


@inner
def stored_square(rows: Any, r: int) -> np.float64:
    """|row|^2, summed in the order of the C++ core, so that both store equal rows alike."""
    even, odd = np.float64(0), np.float64(0)
    for j in range(0, rows.shape[1] - 1, 2):
        a, b = np.float64(decode(rows[r, j])), np.float64(decode(rows[r, j + 1]))
        even += a * a
        odd += b * b
    if rows.shape[1] % 2:
        last = np.float64(decode(rows[r, rows.shape[1] - 1]))
        even += last * last
    return even + odd
