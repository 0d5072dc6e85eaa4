"""Bad input: the type and the message of the error, and that nothing has changed."""

from __future__ import annotations

import numpy as np
import pytest

import annx
from annx import (
    DimensionError,
    DtypeError,
    FormatError,
    LabelError,
    NonFiniteError,
    ParameterError,
    ZeroVectorError,
)

DIM = 8


def good(n=5):
    return np.random.default_rng(1).standard_normal((n, DIM)).astype(np.float32)


def with_value(value, row=3, dtype=np.float32):
    x = good().astype(dtype)
    x[row, 2] = value
    return x


MASKED = np.ma.masked_greater(good(), 1.0)
OBJECTS = np.array([{}, None], object)
ROWS_OF_ROWS = np.empty(2, object)
ROWS_OF_ROWS[:] = [np.zeros(DIM), np.zeros(DIM)]

VECTORS = {
    "wrong_dim": (np.zeros((2, 64)), DimensionError, "expected dim 8, got 64"),
    "wrong_dim_of_one": (np.zeros(9), DimensionError, "expected dim 8, got 9"),
    "transposed": (np.zeros((DIM, 2)), DimensionError, "expected dim 8, got 2"),
    "no_columns": (np.zeros((2, 0)), DimensionError, "expected dim 8, got 0"),
    "three_dimensions": (np.zeros((1, 1, DIM)), DimensionError, "1 or 2 dimensions, got 3"),
    "a_number": (3.0, DimensionError, "1 or 2 dimensions, got 0"),
    "ragged": ([[1.0] * DIM, [1.0]], DimensionError, "rows of equal length"),
    "nan": (with_value(np.nan), NonFiniteError, r"\b3\b.*NaN"),
    "nan_first_of_two": (np.vstack([with_value(np.nan)] * 2), NonFiniteError, r"\b3\b.*NaN"),
    "inf": (with_value(np.inf), NonFiniteError, r"\b3\b.*infinity"),
    "minus_inf": (with_value(-np.inf), NonFiniteError, r"\b3\b.*infinity"),
    "float64_inf": (with_value(np.inf, dtype=np.float64), NonFiniteError, r"\b3\b.*infinity"),
    "too_long": (with_value(1e19), NonFiniteError, r"\b3\b.*overflow"),
    "beyond_float32": (with_value(1e300, dtype=np.float64), NonFiniteError, r"row 3: 1e\+300"),
    "complex": (np.zeros((2, DIM), complex), DtypeError, "real numbers, got complex128"),
    "strings": ([["a"] * DIM], DtypeError, "real numbers, got <U1"),
    "objects": (OBJECTS, DtypeError, "real numbers, got object"),
    "rows_of_rows": (ROWS_OF_ROWS, DtypeError, "numpy.stack"),
    "none": (None, DtypeError, "real numbers, got object"),
    "dates": (np.zeros((2, DIM), "M8[s]"), DtypeError, "real numbers, got datetime64"),
    "bool": (np.zeros((2, DIM), bool), DtypeError, "expected numbers, got bool"),
    "masked": (MASKED, DtypeError, "masked"),
}

LABELS = {
    "taken": ([1, 100, 101], LabelError, r"label 1 is already"),
    "twice": ([100, 101, 100], LabelError, r"100"),
    "reserved": ([100, -1, 101], LabelError, r"label -1"),
    "too_few": ([100, 101], LabelError, "expected 3 labels, got 2"),
    "too_many": ([100, 101, 102, 103], LabelError, "expected 3 labels, got 4"),
    "none_at_all": ([], LabelError, "expected 3 labels, got 0"),
    "floats": ([100.0, 101.0, 102.0], LabelError, "must be integers, got float64"),
    "bools": ([True, False, True], LabelError, "must be integers, got bool"),
    "strings": (["a", "b", "c"], LabelError, "must be integers"),
    "columns": ([[100], [101], [102]], LabelError, "1 dimension"),
    "uint64": (
        np.array([1, 2, 2**63], np.uint64),
        LabelError,
        "fit int64, got 9223372036854775808",
    ),
    "huge": ([1, 2, 2**70], LabelError, "must be integers"),
    "scalar": (100, LabelError, "expected 3 labels, got 1"),
}

K = {
    "zero": (0, "k must be in 1..1073741822, got 0"),
    "negative": (-1, "got -1"),
    "huge": (2**40, "got 1099511627776"),
    "float": (1.0, "k must be an integer, got 1.0"),
    "bool": (True, "k must be an integer, got True"),
    "string": ("3", "k must be an integer, got '3'"),
    "none": (None, "k must be an integer, got None"),
}

OPTIONS = {
    "ef_search_zero": ({"ef_search": 0}, "ef_search must be in 1..16777216, got 0"),
    "ef_search_float": ({"ef_search": 2.5}, "ef_search must be an integer"),
    "ef_search_bool": ({"ef_search": True}, "ef_search must be an integer"),
    "threads_zero": ({"num_threads": 0}, "num_threads must be in 1..1024, got 0"),
    "threads_negative": ({"num_threads": -2}, "got -2"),
    "threads_float": ({"num_threads": 1.5}, "num_threads must be an integer"),
}

CONSTRUCTOR = {
    "dim_zero": ({"dim": 0}, "dim must be in 1..65536, got 0"),
    "dim_negative": ({"dim": -1}, "got -1"),
    "dim_huge": ({"dim": 65537}, "got 65537"),
    "dim_float": ({"dim": 8.0}, "dim must be an integer, got 8.0"),
    "dim_bool": ({"dim": True}, "dim must be an integer, got True"),
    "metric_unknown": ({"metric": "euclid"}, "metric must be one of 'l2', 'ip'.*got 'euclid'"),
    "metric_none": ({"metric": None}, "metric must be one of"),
    "codec_unknown": (
        {"codec": "pq"},
        "codec must be one of 'auto', 'compact', .*got 'pq'",
    ),
    "keep_unknown": ({"keep_vectors": "f64"}, "keep_vectors must be one of 'auto', 'f16'.*'f64'"),
    "keep_none": ({"keep_vectors": None}, "keep_vectors must be one of"),
    "keep_f32": (
        {"codec": "f32", "keep_vectors": "f16"},
        "'sq8', 'sq10', 'sq4'., got 'f32'",
    ),
    "keep_hamming": ({"metric": "hamming", "keep_vectors": "f16"}, "'sq4'., got 'b1'"),
    "hamming_sq8": ({"metric": "hamming", "codec": "sq8"}, "'hamming' goes with codec 'b1' alone"),
    "hamming_f32": ({"metric": "hamming", "codec": "f32"}, "'hamming' goes with codec 'b1' alone"),
    "b1_l2": ({"codec": "b1"}, "got 'l2' with 'b1'"),
    "b1_dim": ({"dim": 12, "metric": "hamming"}, "multiple of 8 for codec 'b1', got 12"),
    "M_one": ({"M": 1}, "M must be in 2..512, got 1"),
    "M_huge": ({"M": 513}, "got 513"),
    "M_float": ({"M": 16.0}, "M must be an integer"),
    "ef_construction": ({"ef_construction": 0}, "ef_construction must be in 1..16777216, got 0"),
    "ef_search": ({"ef_search": 0}, "ef_search must be in"),
    "seed_negative": ({"seed": -1}, "seed must be in 0..18446744073709551615, got -1"),
    "seed_huge": ({"seed": 2**64}, "seed must be in"),
    "capacity": ({"capacity": -1}, "capacity must be in 0..1073741822, got -1"),
    "num_threads": ({"num_threads": 0}, "num_threads must be in 1..1024, got 0"),
}

BY_CODEC = {
    "f16_overflow": ("f16", with_value(70000), NonFiniteError, "row 3: 70000 .*float16"),
    "f16_overflow_int": ("f16", with_value(70000, dtype=int), NonFiniteError, "row 3: 70000"),
    "bf16_overflow": ("bf16", with_value(3.4e38), NonFiniteError, r"row 3: 3\.4e\+38 .*bfloat16"),
    "bf16_nan": ("bf16", with_value(np.nan), NonFiniteError, r"\b3\b.*NaN"),
    "i8_fraction": ("i8", np.eye(8) * 1.5, DtypeError, r"row 0: .*-128\.\.127, got 1\.5"),
    "i8_high": ("i8", np.eye(8, k=-2) * 128, DtypeError, r"row 2: .* got 128"),
    "i8_low": ("i8", np.eye(8, dtype=int) * -129, DtypeError, "row 0: .* got -129"),
    "i8_uint8": ("i8", np.full((2, 8), 200, np.uint8), DtypeError, "row 0: .* got 200"),
    "i8_nan": ("i8", np.eye(8) * np.nan, NonFiniteError, "row 0 contains nan"),
    "u8_negative": ("u8", np.eye(8, dtype=int) * -1, DtypeError, r"row 0: .*0\.\.255, got -1"),
    "u8_high": ("u8", np.eye(8, k=-1, dtype=np.int16) * 256, DtypeError, "row 1: .* got 256"),
    "u8_inf": ("u8", np.eye(8) + np.inf, NonFiniteError, "row 0 contains inf"),
    "b1_floats": ("b1", np.zeros((2, 1)), DtypeError, "packed in uint8"),
    "b1_bytes": ("b1", np.zeros((2, 8), np.uint8), DimensionError, "expected dim 8 as 1 bytes"),
    "b1_bools": ("b1", np.zeros((2, 9), bool), DimensionError, "expected dim 8, got 9"),
    "b1_high": ("b1", np.array([[1], [256]]), DtypeError, "row 1: .* got 256"),
}


@pytest.fixture
def index(backend):
    index = annx.Index(DIM)
    index.add(good())
    return index


@pytest.fixture(autouse=True)
def unchanged(request):
    """The index of the test has the same bytes after it."""
    if "index" not in request.fixturenames:
        yield
        return
    index = request.getfixturevalue("index")
    before = index.to_bytes()
    yield
    assert index.to_bytes() == before


@pytest.mark.parametrize(("x", "error", "text"), VECTORS.values(), ids=VECTORS)
def test_vectors(index, x, error, text):
    for call in (index.add, index.search, index.exact_search):
        with pytest.raises(error, match=text):
            call(x)


@pytest.mark.parametrize(("labels", "error", "text"), LABELS.values(), ids=LABELS)
def test_labels(index, labels, error, text):
    with pytest.raises(error, match=text):
        index.add(good(3), labels=labels)


@pytest.mark.parametrize(("k", "text"), K.values(), ids=K)
def test_k(index, k, text):
    for call in (index.search, index.exact_search):
        with pytest.raises(ParameterError, match=text):
            call(good(), k)


@pytest.mark.parametrize(("options", "text"), OPTIONS.values(), ids=OPTIONS)
def test_options(index, options, text):
    with pytest.raises(ParameterError, match=text):
        index.search(good(), **options)
    with pytest.raises(ParameterError, match=text):
        index.search(good()[0], **options)


@pytest.mark.parametrize(("options", "text"), CONSTRUCTOR.values(), ids=CONSTRUCTOR)
def test_constructor(backend, options, text):
    with pytest.raises(ParameterError, match=text):
        annx.Index(**{"dim": DIM} | options)


@pytest.mark.parametrize(("codec", "x", "error", "text"), BY_CODEC.values(), ids=BY_CODEC)
def test_values_of_a_codec(backend, codec, x, error, text):
    index = annx.Index(DIM, "hamming" if codec == "b1" else "l2", codec=codec)
    before = index.to_bytes()
    for call in (index.add, index.search, index.exact_search):
        with pytest.raises(error, match=text):
            call(x)
    assert index.to_bytes() == before


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16", "i8", "u8"])
def test_zero_vector_under_cosine(backend, codec):
    index = annx.Index(DIM, "cosine", codec=codec)
    index.add(np.eye(DIM))
    before = index.to_bytes()
    x = np.eye(DIM)
    x[5] = 0
    for call in (index.add, index.search, index.exact_search):
        with pytest.raises(ZeroVectorError, match=r"\b5\b.*zero.*cosine"):
            call(x)
    assert index.to_bytes() == before


def test_missing_labels(index):
    with pytest.raises(LabelError, match=r"\b77\b"):
        index.get([1, 77])
    with pytest.raises(LabelError, match="-1"):
        index.get(-1)
    with pytest.raises(LabelError, match="must be integers, got float64"):
        index.get(1.0)


def test_progress_must_be_callable(index):
    with pytest.raises(ParameterError, match="progress must be callable or True, got 'bar'"):
        index.add(good(), progress="bar")


def test_ef_search_setter(index):
    for value in (0, 1.5, True, None):
        with pytest.raises(ParameterError, match="ef_search"):
            index.ef_search = value
    assert index.ef_search == 64


def test_parameters_are_fixed(index):
    for name in ("dim", "metric", "codec", "M", "ef_construction", "seed", "labels"):
        with pytest.raises(AttributeError):
            setattr(index, name, 1)


def test_foreign_bytes(backend):
    with pytest.raises(FormatError, match="not an annx index"):
        annx.Index.from_bytes(b"PK\x03\x04" + bytes(200))


def test_python_users_catch_their_own(index):
    for builtin, call in [
        (ValueError, lambda: index.add(np.zeros((1, 3)))),
        (TypeError, lambda: index.add(np.zeros((1, DIM), complex))),
        (KeyError, lambda: index.get(77)),
        (ValueError, lambda: index.search(good(), k=0)),
    ]:
        with pytest.raises(builtin) as caught:
            call()
        assert isinstance(caught.value, annx.AnnxError)
        assert not str(caught.value).startswith("'")
