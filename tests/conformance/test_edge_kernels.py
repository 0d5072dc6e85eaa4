"""The kernels of edges' codes and of 10-bit codes, of every instruction set, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from test_kernels import isas, native  # noqa: F401  (a fixture)

LANES = np.arange(32)


def packed(code, bits):
    """Codes of shape (32, 16 * groups) as kernels read them (cpp/kernels/table.h)."""
    groups = code.shape[1] // 16
    out = np.zeros((groups, 64 * bits), np.uint8)
    for g in range(groups):
        for i in range(16):
            value = code[:, 16 * g + i]
            if bits == 2:
                place = LANES // 16 * 64 + LANES % 16 * 4 + i % 4
                np.bitwise_or.at(out[g], place, value << (i // 4 * 2))
            else:
                place = i // 4 * 16 + LANES % 16
                np.bitwise_or.at(out[g], place, value << (i % 4 + LANES // 16 * 4))
    return out.ravel()


def bfloats(x):
    return (np.asarray(x, np.float32).view(np.uint32) + 0x8000) >> 16


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 9, 10, 11, 25, 64])
@pytest.mark.parametrize("extreme", [False, True])
def test_estimates(native, isa, bits, groups, extreme, rng):  # noqa: F811
    dim = 16 * groups
    code = rng.integers(0, 2**bits, (32, dim)).astype(np.uint8)
    if bits == 2:
        query = rng.integers(-127, 128, dim).astype(np.int8)
        if extreme:
            code[::2], query[:] = 3, 127
            query[::3] = -127
        sums = code.astype(np.int64) @ query.astype(np.int64)
    else:
        most = min(255, 65535 // (dim // 4))
        query = rng.integers(0, most + 1, (dim // 4, 16)).astype(np.uint8)
        if extreme:
            query[:] = most
        subset = (code.reshape(32, -1, 4) << np.arange(4, dtype=np.uint8)).sum(axis=2)
        sums = query[np.arange(dim // 4), subset].astype(np.int64).sum(axis=1)
    a, b = bfloats(rng.standard_normal(32)), bfloats(rng.standard_normal(32))
    edges = np.concatenate([(a << 16 | b).astype(np.uint32).view(np.uint8), packed(code, bits)])
    scale, offset, near, weight, limit = np.float32([0.03, -1.5, 2.0, 0.7, 1.0])
    dot = sums.astype(np.float32) * scale + offset
    a, b = ((x << 16).astype(np.uint32).view(np.float32) for x in (a, b))
    want = (near + weight * a) + b * dot
    got, mask = native.kernel_estimates(
        isa, bits, query, scale, offset, edges, groups, near, weight, limit
    )
    np.testing.assert_array_equal(got, want)  # whatever the instruction set
    assert mask == sum(1 << j for j in range(32) if want[j] < limit)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dim", [1, 3, 7, 8, 15, 16, 17, 31, 100, 384, 1000])
def test_fine_dot(native, isa, dim, rng):  # noqa: F811
    query = rng.standard_normal(dim).astype(np.float32)
    code = rng.integers(-508, 509, dim)
    high = ((code + 2) >> 2).astype(np.int8)
    low = np.zeros((dim + 15) // 16 * 16, np.uint32)
    low[:dim] = (code + 2) & 3
    words = (low.reshape(-1, 16) << (2 * np.arange(16, dtype=np.uint32))).sum(axis=1)
    terms = query.astype(np.float64) * code
    got = native.kernel_fine_dot(isa, query, high, words.astype(np.uint32), dim)
    assert abs(got - terms.sum()) <= (dim + 8) * 2.0**-24 * np.abs(terms).sum()
