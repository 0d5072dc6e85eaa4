"""Arrays of other libraries: read where they lie, or refused with what to do."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from ecosystem import need
from reference import ReferenceCore

import annx
from annx._rows import to_rows
from annx.errors import DimensionError, DtypeError

DIM = 40


def library(name):
    """A module, or the test is skipped."""
    need(name)
    return importlib.import_module(name)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture
def door(use_backend, monkeypatch):
    """Where the arrays lie that come to the core behind an index."""
    use_backend("reference")
    seen = []

    def watch(name):
        inner = getattr(ReferenceCore, name)

        def call(self, rows, *arguments, **options):
            seen.append(address(rows))
            return inner(self, rows, *arguments, **options)

        monkeypatch.setattr(ReferenceCore, name, call)

    for name in ("find_bad_row", "add", "search", "exact_search", "range_search"):
        watch(name)
    return seen


def check_no_copy(door, data, place, codec="f32", metric="l2"):
    index = annx.Index(DIM, metric, codec=codec)
    index.add(data)
    index.search(data, k=1)
    index.exact_search(data, k=1)
    index.range_search(data, radius=1)
    assert set(door) == {place} and len(door) >= 5
    assert index.exact_search(data, k=1).labels[:, 0].tolist() == list(range(len(data)))


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, DIM), dtype=np.float32)


@pytest.mark.parametrize(
    ("codec", "name"),
    [("f32", "float32"), ("f16", "float16"), ("bf16", "bfloat16"), ("i8", "int8")],
)
def test_torch_is_not_copied(door, x, codec, name):
    torch = library("torch")
    tensor = (torch.tensor(x) * 20).to(getattr(torch, name))
    check_no_copy(door, tensor, tensor.data_ptr(), codec)


def test_torch_views_and_subclasses(door, x):
    torch = library("torch")

    class Own(torch.Tensor):
        pass

    tensor = torch.tensor(x)
    own = tensor.as_subclass(Own)
    for view in (tensor[1:4], tensor.detach(), own):
        del door[:]
        check_no_copy(door, view, view.data_ptr())
    half = tensor.to(torch.bfloat16)
    assert np.array_equal(to_rows(half.as_subclass(Own), DIM, "f32"), half.float().numpy())
    for strided in (tensor.T.contiguous().T, tensor[:, ::2].repeat(1, 2), tensor.flip(0)):
        assert np.array_equal(to_rows(strided, DIM, "f32"), strided.numpy())


def test_lists_of_tensors(x):
    torch = library("torch")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        rows = [torch.tensor(row).to(dtype) for row in x]
        want = torch.tensor(x).to(dtype).float().numpy()
        assert np.array_equal(to_rows(rows, DIM, "f32"), want)
        assert np.array_equal(to_rows(tuple(rows), DIM, "f32"), want)
    with pytest.raises(DimensionError, match="tensors of one shape"):
        to_rows([torch.ones(3), torch.ones(4)], 3, "f32")


REFUSED_TENSORS = {
    "grad": (lambda t, x: t.tensor(x, requires_grad=True), r"requires grad; detach\(\) it"),
    "parameter": (lambda t, x: t.nn.Parameter(t.tensor(x)), r"requires grad; detach\(\) it"),
    "list with grad": (lambda t, x: [t.tensor(x[0], requires_grad=True)], r"detach\(\) it"),
    "sparse": (lambda t, x: t.tensor(x).to_sparse(), "to_dense"),
    "elsewhere": (lambda t, x: t.empty(6, DIM, device="meta"), "host memory"),
    "complex": (lambda t, x: t.tensor(x) + 0j, "real numbers, got complex64"),
    "bool": (lambda t, x: t.tensor(x) > 0, "numbers, got bool"),
}


@pytest.mark.parametrize("case", REFUSED_TENSORS)
def test_refused_tensors(x, case):
    torch = library("torch")
    make, message = REFUSED_TENSORS[case]
    with pytest.raises(DtypeError, match=message):
        annx.Index(DIM).add(make(torch, x))


@pytest.mark.parametrize(
    ("codec", "name"),
    [("f32", "float32"), ("f16", "float16"), ("bf16", "bfloat16"), ("i8", "int8")],
)
def test_jax_is_not_copied(door, x, codec, name):
    """Its arrays are read-only."""
    jax = library("jax")
    array = (jax.numpy.asarray(x) * 20).astype(name)
    check_no_copy(door, array, array.unsafe_buffer_pointer(), codec)


def test_jax_tracers_are_refused(x):
    jax = library("jax")
    index = annx.Index(DIM)
    with pytest.raises(DtypeError, match="host memory, got .*Tracer"):
        jax.jit(lambda a: index.add(a))(x)
    assert len(index) == 0


@pytest.mark.parametrize(
    ("codec", "name"), [("f32", "float32"), ("f16", "float16"), ("i8", "int8")]
)
def test_tensorflow_is_not_copied(door, x, codec, name):
    tf = library("tensorflow")
    tensor = tf.cast(x * 20, name)
    check_no_copy(door, tensor, address(np.from_dlpack(tensor)), codec)


def test_tensorflow(x):
    tf = library("tensorflow")
    half = tf.cast(x, tf.bfloat16)
    want = tf.cast(half, tf.float32).numpy()
    assert np.array_equal(to_rows(half, DIM, "f32"), want)
    assert np.array_equal(to_rows(half, DIM, "bf16"), (want.view(np.uint32) >> 16))
    assert np.array_equal(to_rows(tf.Variable(x), DIM, "f32"), x)
    with pytest.raises(DtypeError, match=r"SparseTensor; tf\.sparse\.to_dense\(\)"):
        to_rows(tf.sparse.from_dense(x), DIM, "f32")
    with pytest.raises(DtypeError, match=r"RaggedTensor; to_tensor\(\)"):
        to_rows(tf.ragged.constant([[1.0, 2.0], [3.0]]), DIM, "f32")


def arrow_rows(pa, x):
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def test_arrow_is_not_copied(door, x):
    pa = library("pyarrow")
    fixed = arrow_rows(pa, x)
    place = fixed.values.buffers()[1].address
    lists = pa.ListArray.from_arrays(np.arange(0, x.size + 1, DIM, dtype=np.int32), fixed.values)
    tensors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [DIM]), fixed)
    table = pa.table({"vector": fixed})
    for column in (fixed, lists, tensors, pa.chunked_array([fixed]), table["vector"], table):
        del door[:]
        index = annx.Index(DIM, codec="f32")
        index.add(column)
        index.search(column, k=1)
        assert set(door) == {place}
    del door[:]
    part = fixed[2:5]
    annx.Index(DIM, codec="f32").add(part)
    assert set(door) == {place + 2 * DIM * 4}
    del door[:]
    half = arrow_rows(pa, x.astype(np.float16))
    annx.Index(DIM, codec="f16").add(half)
    assert set(door) == {half.values.buffers()[1].address}


def test_arrow_in_pieces_and_values(x):
    """Several pieces become one, which is the only copy."""
    pa = library("pyarrow")
    fixed = arrow_rows(pa, x)
    pieces = pa.chunked_array([fixed[:2], fixed[2:2], fixed[2:]])
    for column in (pieces, pa.table({"vector": pieces}), pa.record_batch({"vector": fixed})):
        assert np.array_equal(to_rows(column, DIM, "f32"), x)
    assert np.array_equal(to_rows(fixed[3], DIM, "f32"), x[3:4])
    columns = pa.table({str(i): x[:, i] for i in range(DIM)})
    assert np.array_equal(to_rows(columns, DIM, "f32"), x)
    empty = pa.chunked_array([], type=fixed.type)
    assert to_rows(empty, DIM, "f32").shape == (0, DIM)
    with pytest.raises(annx.NonFiniteError, match="row 1 contains NaN"):
        annx.Index(2).add(pa.array([[1.0, 2.0], [3.0, None]], type=pa.list_(pa.float32(), 2)))
    assert annx.Index(DIM).add(x, labels=pa.chunked_array([[1, 2], [3, 4, 5, 6]])).tolist() == [
        *range(1, 7)
    ]


def test_polars_is_not_copied(door, x):
    pl = library("polars")
    arrays = pl.Series("vector", x)
    lists = arrays.cast(pl.List(pl.Float32))
    frame = pl.DataFrame({"vector": arrays})
    for column in (arrays, arrays[1:4], frame["vector"], frame, lists, lists[1:4]):
        series = column.to_series() if isinstance(column, pl.DataFrame) else column
        place = address(series.explode().to_numpy(allow_copy=False))
        del door[:]
        annx.Index(DIM, codec="f32").add(column)
        assert set(door) == {place}


def test_polars(x):
    pl = library("polars")
    pieces = pl.concat([pl.Series("v", x[:2]), pl.Series("v", x[2:])], rechunk=False)
    assert np.array_equal(to_rows(pieces, DIM, "f32"), x)
    assert np.array_equal(to_rows(pl.DataFrame(x), DIM, "f32"), x)
    assert np.array_equal(to_rows(pl.Series(x[0]), DIM, "f32"), x[:1])
    assert to_rows(pl.Series("v", x)[:0], DIM, "f32").shape == (0, DIM)
    assert to_rows(pl.Series("v", [], dtype=pl.List(pl.Float32)), DIM, "f32").shape == (0, DIM)
    for kind in (pl.Array(pl.Float32, 2), pl.List(pl.Float32)):
        with pytest.raises(DtypeError, match="vector in every row, got null"):
            to_rows(pl.Series([[1.0, 2.0], None], dtype=kind), 2, "f32")
        with pytest.raises(annx.NonFiniteError, match="row 1 contains NaN"):
            annx.Index(2).add(pl.Series([[1.0, 2.0], [3.0, None]], dtype=kind))
    with pytest.raises(DimensionError, match="rows of equal length"):
        to_rows(pl.Series([[1.0, 2.0], [3.0]]), 2, "f32")
    with pytest.raises(DtypeError, match=r"LazyFrame; collect\(\) it"):
        to_rows(pl.LazyFrame({"v": x}), DIM, "f32")


def test_pandas(door, x):
    pd = library("pandas")
    frame = pd.DataFrame(x, copy=False)
    annx.Index(DIM, codec="f32").add(frame)
    assert set(door) == {address(frame.to_numpy())}
    embedded = pd.DataFrame({"vector": list(x)})
    for column in (embedded, embedded["vector"], pd.Series(x.tolist()), frame.astype("Float32")):
        assert np.array_equal(to_rows(column, DIM, "f32"), x)
    assert np.array_equal(to_rows(embedded["vector"][::2], DIM, "f32"), x[::2])
    assert np.array_equal(to_rows(pd.Series(x[0]), DIM, "f32"), x[:1])
    with pytest.raises(annx.NonFiniteError, match="row 0 contains NaN"):
        annx.Index(DIM).add(frame.astype("Float32").mask(frame == frame.iloc[0, 0]))
    with pytest.raises(DimensionError, match="rows of equal length"):
        to_rows(pd.Series([[1.0, 2.0], [3.0]]), 2, "f32")
    with pytest.raises(DtypeError, match="real numbers"):
        to_rows(pd.DataFrame({"a": ["x"], "b": ["y"]}), 2, "f32")
    labels = pd.Series([3, 1, 2, 6, 5, 4], dtype="Int64")
    assert annx.Index(DIM).add(x, labels=labels).tolist() == [3, 1, 2, 6, 5, 4]


def test_pandas_over_arrow(door, x):
    pd, pa = library("pandas"), library("pyarrow")
    fixed = arrow_rows(pa, x)
    series = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([fixed])))
    annx.Index(DIM, codec="f32").add(series)
    assert set(door) == {fixed.values.buffers()[1].address}


def test_sparse_matrices_are_refused(x):
    sparse = library("scipy.sparse")
    for make in (sparse.csr_array, sparse.csr_matrix, sparse.coo_array):
        with pytest.raises(DtypeError, match=r"dense vectors, got a sparse .*; toarray\(\)"):
            to_rows(make(x), DIM, "f32")


def test_lists_and_read_only_arrays(door, x):
    x.flags.writeable = False
    check_no_copy(door, x, address(x))
    assert np.array_equal(to_rows(x.tolist(), DIM, "f32"), x)
    assert np.array_equal(to_rows(list(x), DIM, "f32"), x)
    assert np.array_equal(to_rows([tuple(row) for row in x.tolist()], DIM, "f32"), x)
