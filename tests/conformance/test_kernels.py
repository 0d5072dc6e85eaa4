"""Every native kernel of every instruction set of this machine, against float64."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from reference import decode

TYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "i8": np.int8, "u8": np.uint8}
#: Rows of these are compared with float32 queries too.
WIDE = ("f16_by_f32", "i8_by_f32", "u8_by_f32")
OPERATIONS = [(op, kind) for op in ("l2", "dot") for kind in (*TYPES, *WIDE)] + [("hamming", "u8")]


@pytest.fixture(scope="module")
def native():
    return pytest.importorskip("annx._native", exc_type=ImportError)


def isas():
    try:
        from annx import _native
    except ImportError:
        return ["none"]
    return _native.cpu_info()["available"]


def query_kind(kind):
    return "f32" if kind in WIDE else kind


def elements(rng, kind, shape, scale=1.0):
    kind = kind.partition("_")[0]
    if kind == "i8":
        return rng.integers(-128, 128, shape, dtype=np.int8)
    if kind == "u8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    x = (rng.standard_normal(shape) * scale).astype(np.float32)
    if kind == "f16":
        return x.astype(np.float16)
    return (x.view(np.uint32) >> 16).astype(np.uint16) if kind == "bf16" else x


def truth(operation, kind, query, rows):
    if operation == "hamming":
        bits = np.unpackbits(query ^ rows, axis=1).sum(axis=1).astype(np.float64)
        return bits, bits
    row_kind = kind.partition("_")[0]
    q, r = decode(query_kind(kind), query[None])[0], decode(row_kind, rows)
    terms = (q - r) ** 2 if operation == "l2" else q * r
    return terms.sum(axis=1), np.abs(terms).sum(axis=1)


def assert_close(got, want, size, kind, dim):
    if kind in ("i8", "u8"):
        np.testing.assert_array_equal(got, want.astype(np.float32))
        return
    # The sum of dim roundings over at least 4 lanes, and float32's smallest step.
    bound = (dim / 4 + 8) * 2.0**-24 * size + 1e-37
    assert np.all(np.abs(got - want) <= bound)


def misaligned(array, stride, offset):
    """Rows as bytes at an odd address, `stride` apart, with garbage between."""
    raw = array.view(np.uint8).reshape(len(array), -1)
    out = np.full(len(raw) * stride + offset, 0xA5, np.uint8)
    out[offset:].reshape(len(raw), stride)[:, : raw.shape[1]] = raw
    return out[offset:]


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(("operation", "kind"), OPERATIONS)
def test_every_dim(native, isa, operation, kind, rng):
    query, rows = elements(rng, query_kind(kind), 1100, 60), elements(rng, kind, (5, 1100))
    for dim in range(1, 1101):
        q, r = query[:dim], np.ascontiguousarray(rows[:, :dim])
        size = r.dtype.itemsize * dim
        offset = dim % 5 if dim % 3 else 0
        stride = size + offset
        where = misaligned(r, stride, offset)
        q_size = q.dtype.itemsize * dim
        q_bytes = misaligned(q[None], q_size, (dim + 1) % 4)[:q_size]
        got = native.kernel_distances(isa, operation, kind, q_bytes, where, stride, dim)
        want, sizes = truth(operation, kind, q, r)
        assert_close(got, want, sizes, kind, dim)
        one = native.kernel_distance(isa, operation, kind, q_bytes, where[:size], dim)
        assert_close(np.array([one]), want[:1], sizes[:1], kind, dim)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(("operation", "kind"), OPERATIONS)
@pytest.mark.parametrize("dim", [1, 7, 100, 768])
def test_rows_by_slot(native, isa, operation, kind, dim, rng):
    query, rows = elements(rng, query_kind(kind), dim), elements(rng, kind, (64, dim))
    stride = rows.dtype.itemsize * dim
    want, sizes = truth(operation, kind, query, rows)
    for count in (0, 1, 2, 3, 5, 8, 31, 64):
        slots = rng.permutation(64)[:count].astype(np.uint32)
        got = native.kernel_distances(isa, operation, kind, query, rows, stride, dim, slots)
        assert_close(got, want[slots], sizes[slots], kind, dim)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("operation", ["l2", "dot"])
@pytest.mark.parametrize(
    ("kind", "scales"),
    [("f32", [1e-40, 1e-22, 1e-3, 1e3, 1e17]), ("bf16", [1e-40, 1e-22, 1e17]),
     ("f16", [1e-7, 1e-5, 1e3]), ("f16_by_f32", [1e-7, 1e-5, 1e3])],
)  # fmt: skip
def test_denormal_tiny_and_huge_values(native, isa, operation, kind, scales, rng):
    for scale in scales:
        for dim in (1, 8, 15, 16, 33, 100):
            query = elements(rng, query_kind(kind), dim, scale)
            rows = elements(rng, kind, (9, dim), scale)
            stride = rows.dtype.itemsize * dim
            got = native.kernel_distances(isa, operation, kind, query, rows, stride, dim)
            want, sizes = truth(operation, kind, query, rows)
            assert_close(got, want, sizes, kind, dim)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("kind", ["i8", "u8"])
def test_integers_at_their_ends(native, isa, kind):
    low, high = np.iinfo(TYPES[kind]).min, np.iinfo(TYPES[kind]).max
    for dim in (1, 63, 64, 1000, 16384, 65536):
        query = np.full(dim, low, TYPES[kind])
        rows = np.array([[low] * dim, [high] * dim], TYPES[kind])
        for operation in ("l2", "dot"):
            got = native.kernel_distances(isa, operation, kind, query, rows, dim, dim)
            want, _ = truth(operation, kind, query, rows)
            np.testing.assert_allclose(got, want, rtol=1e-7)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("kind", ["i8_by_f32", "u8_by_f32"])
def test_integers_at_their_ends_by_float32(native, isa, kind):
    low, high = np.iinfo(TYPES[kind[:2]]).min, np.iinfo(TYPES[kind[:2]]).max
    for dim in (1, 7, 64, 100, 4096):
        rows = np.array([[low] * dim, [high] * dim], TYPES[kind[:2]])
        for value in (low, high, 0.5, -1e6):
            query = np.full(dim, value, np.float32)
            for operation in ("l2", "dot"):
                got = native.kernel_distances(isa, operation, kind, query, rows, dim, dim)
                want, sizes = truth(operation, kind, query, rows)
                assert_close(got, want, sizes, kind, dim)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_nan_and_infinity_come_through(native, isa, kind):
    for dim in (1, 8, 17, 100):
        rows = elements(np.random.default_rng(0), kind, (2, dim))
        query = rows[0].copy()
        rows[0, -1] = {"f32": np.nan, "f16": np.nan, "bf16": 0x7FC0}[kind]
        rows[1, -1] = {"f32": np.inf, "f16": np.inf, "bf16": 0x7F80}[kind]
        stride = rows.dtype.itemsize * dim
        got = native.kernel_distances(isa, "l2", kind, query, rows, stride, dim)
        assert np.isnan(got[0]) and got[1] == np.inf


def test_crc32_is_that_of_zlib(rng):
    native = pytest.importorskip("annx._native")
    data = rng.integers(0, 256, 70000, dtype=np.uint8)
    for isa in native.cpu_info()["available"]:
        for start in (0, 1, 9):
            for size in (*range(0, 200), 1000, 4097, 65535, 65536):
                piece = data[start : start + size]
                assert native.kernel_crc32(isa, piece) == zlib.crc32(piece), (isa, start, size)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("log2", range(15))
def test_hadamard(native, isa, log2, rng):
    x = rng.standard_normal(1 << log2).astype(np.float32)
    want = x.astype(np.float64)
    for step in range(log2):
        first, second = want.reshape(-1, 2, 1 << step).swapaxes(0, 1)
        want = np.stack([first + second, first - second], axis=1).ravel()
    got = native.kernel_hadamard(isa, x)
    assert np.abs(got - want).max() <= (log2 + 1) * 2.0**-24 * np.abs(x).sum()
    # Codes are the same whatever the instruction set.
    np.testing.assert_array_equal(got, native.kernel_hadamard("scalar", x))
