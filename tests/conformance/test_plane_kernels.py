"""The kernels of codes in planes, of every instruction set, against NumPy's integers."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np
import pytest
from test_kernels import isas, misaligned, native  # noqa: F401  (a fixture)

#: The largest code of sq4, and what an upper half of 8 with a lower one of 8 stands for.
TOP, ZERO = 119, 136


def plane_bytes(dim):
    return (dim + 7) // 8 * 4


def packed(codes):
    """Stored rows of codes, with eight odd bytes where length and scale belong."""
    n, dim = codes.shape
    u = np.full((n, 2 * plane_bytes(dim)), ZERO)
    u[:, :dim] += codes
    high, low = ((half[:, ::2] | half[:, 1::2] << 4).astype(np.uint8) for half in (u >> 4, u & 15))
    return np.hstack([high, np.full((n, 8), 0xA5, np.uint8), low])


def truth(query, rows, whole):
    """Sums of int64, rounded to float32 once."""
    values = rows if whole else (rows + ZERO >> 4) * 16 - 128
    return (values.astype(np.int64) @ query.astype(np.int64)).astype(np.float32)


def random_codes(rng, shape):
    return rng.integers(-TOP, TOP + 1, shape)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "dims", [range(1, 71), range(127, 131), (384, 960), range(2047, 2051), (4096, 65536)], ids=str
)
def test_every_dim(native, isa, whole, dims, rng):  # noqa: F811
    for dim in dims:
        query, rows = random_codes(rng, (1, dim)), random_codes(rng, (9, dim))
        stored, want = packed(rows), truth(query[0], rows, whole)
        size = stored.shape[1]
        asked = misaligned(packed(query), size, (dim + 1) % 4)[:size]
        for count in range(10):
            stride = size + (count + dim) % 3
            where = misaligned(stored, stride, dim % 5)[: count * stride]
            got = native.kernel_planes(isa, whole, asked, where, stride, dim)
            np.testing.assert_array_equal(got, want[:count])
            where = misaligned(stored, stride, dim % 3)
            slots = rng.integers(0, 9, count).astype(np.uint32)
            got = native.kernel_planes(isa, whole, asked, where, stride, dim, slots)
            np.testing.assert_array_equal(got, want[slots])


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("whole", [True, False])
def test_codes_at_their_ends(native, isa, whole, rng):  # noqa: F811
    for dim in (1, 7, 64, 129, 2047, 2048, 2049, 4096, 65536):
        rows = np.stack([
            np.full(dim, TOP), np.full(dim, -TOP), np.zeros(dim, int),
            rng.choice([-TOP, TOP], dim), np.where(np.arange(dim) % 2, TOP, -TOP),
        ])  # fmt: skip
        stored = packed(rows)
        for query, asked in zip(rows, stored, strict=True):
            got = native.kernel_planes(isa, whole, asked, stored, stored.shape[1], dim)
            np.testing.assert_array_equal(got, truth(query, rows, whole))


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_are_all_zero_bytes_do_no_harm(native, isa, whole):  # noqa: F811
    """As a free slot has them: no code stands for that, and it is compared nevertheless."""
    for dim in (5, 2048, 2049, 65536):
        query = np.full((1, dim), TOP)
        size = packed(query).shape[1]
        empty = np.zeros(2 * size, np.uint8)
        got = native.kernel_planes(isa, whole, packed(query), empty, size, dim)
        # Halves past the end are no part of the query.
        want = np.float32(-TOP * dim * (ZERO if whole else 128))
        np.testing.assert_array_equal(got, [want, want])


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page")
@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("whole", [True, False])
def test_nothing_past_the_last_row_is_read(native, isa, whole, rng):  # noqa: F811
    """What follows its last byte is memory that ends the process when it is read."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 5 * page)
    view = np.frombuffer(memory, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    last = ctypes.c_void_p(view.ctypes.data + 4 * page)
    assert libc.mprotect(last, ctypes.c_size_t(page), 0) == 0
    try:
        for dim in (*range(1, 71), *range(121, 140), 384, 2047, 2049, 4096):
            query, rows = random_codes(rng, (1, dim)), random_codes(rng, (5, dim))
            stored = packed(rows)
            stride = stored.shape[1]
            # Of the last row no more than the kernel needs: its first plane, or all.
            used = stored.ravel()[: 4 * stride + (stride if whole else plane_bytes(dim))]
            kept = min(5, 4 * page // stride)
            used = used[(5 - kept) * stride :]
            where = view[4 * page - used.size : 4 * page]
            where[:] = used
            want = truth(query[0], rows[5 - kept :], whole)
            asked = packed(query)
            got = native.kernel_planes(isa, whole, asked, where, stride, dim)
            np.testing.assert_array_equal(got, want)
            slots = np.full(4, kept - 1, np.uint32)
            got = native.kernel_planes(isa, whole, asked, where, stride, dim, slots)
            np.testing.assert_array_equal(got, want[slots])
            # The query as well.
            end = view[4 * page - stride : 4 * page]
            end[:] = asked[0]
            got = native.kernel_planes(isa, whole, end, stored, stride, dim)
            np.testing.assert_array_equal(got, truth(query[0], rows, whole))
    finally:
        assert libc.mprotect(last, ctypes.c_size_t(page), 3) == 0


def test_what_does_not_fit_is_refused(native):  # noqa: F811
    row = packed(np.zeros((1, 9), int))[0]
    size = row.size
    for query, stride in ((row[:-1], size), (row, size - 1)):
        with pytest.raises(ValueError, match="query or stride shorter"):
            native.kernel_planes("scalar", True, query, row, stride, 9)
    with pytest.raises(ValueError, match="slot past the end"):
        native.kernel_planes("scalar", True, row, row, size, 9, np.array([1], np.uint32))
