"""Files of vectors: what is written is read back, what is damaged is refused."""

from __future__ import annotations

import builtins
import struct

import numpy as np
import pytest

from annx import datasets
from annx.errors import DimensionError, DtypeError, FormatError, ParameterError


@pytest.fixture
def rows():
    return np.random.default_rng(0).integers(0, 256, (7, 5)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("x.npy", "f2"),
        ("x.npy", "u1"),
        ("x.fvecs", "f4"),
        ("x.bvecs", "u1"),
        ("x.ivecs", "i4"),
        ("x.fbin", "f4"),
        ("x.f16bin", "f2"),
        ("x.u8bin", "u1"),
        ("x.ibin", "i4"),
    ],
)
def test_round_trip_is_memory_mapped(tmp_path, rows, name, dtype):
    datasets.write(tmp_path / name, rows.astype(dtype))
    got = datasets.read(tmp_path / name)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, rows)
    assert not got.flags.owndata and not got.flags.writeable


def test_vecs_bytes_are_texmex(tmp_path):
    datasets.write(tmp_path / "x.fvecs", np.array([[1.5, -2.0]], np.float32))
    assert (tmp_path / "x.fvecs").read_bytes() == struct.pack("<iff", 2, 1.5, -2.0)


def test_bin_bytes_are_those_of_big_ann(tmp_path):
    datasets.write(tmp_path / "x.fbin", np.array([[1.5, -2.0]], np.float32))
    assert (tmp_path / "x.fbin").read_bytes() == struct.pack("<IIff", 1, 2, 1.5, -2.0)
    datasets.write(tmp_path / "x.i8bin", np.array([[-128], [127]]))
    assert (tmp_path / "x.i8bin").read_bytes() == struct.pack("<IIbb", 2, 1, -128, 127)


def test_true_neighbours_of_big_ann_have_distances_behind(tmp_path):
    ids, far = np.arange(6, dtype="<i4").reshape(2, 3), np.zeros((2, 3), "<f4")
    head = struct.pack("<II", 2, 3)
    (tmp_path / "gt.ibin").write_bytes(head + ids.tobytes() + far.tobytes())
    np.testing.assert_array_equal(datasets.read(tmp_path / "gt.ibin"), ids)


@pytest.mark.parametrize("shape", [(0, 3), (0,), (4,)])
def test_npy_of_any_shape(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    assert datasets.read(tmp_path / "x.npy").shape == shape


def test_npz_needs_a_key_only_where_there_is_a_choice(tmp_path, rows):
    np.savez(tmp_path / "one.npz", rows)
    np.testing.assert_array_equal(datasets.read(tmp_path / "one.npz"), rows)
    np.savez(tmp_path / "two.npz", a=rows, b=rows[:2])
    assert datasets.read(tmp_path / "two.npz", key="b").shape == (2, 5)
    with pytest.raises(ParameterError, match=r"two.npz: expected one .* of 'a', 'b', got None"):
        datasets.read(tmp_path / "two.npz")
    with pytest.raises(ParameterError, match="got 'c'"):
        datasets.read(tmp_path / "two.npz", key="c")


@pytest.mark.parametrize("suffix", datasets.SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"x", b"not what the name promises" * 10])
def test_foreign_files(tmp_path, suffix, content):
    if suffix in (".hdf5", ".h5"):
        pytest.importorskip("h5py")
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / f"x{suffix}").write_bytes(content)
    with pytest.raises(FormatError, match=f"x{suffix}: "):
        datasets.read(tmp_path / f"x{suffix}")


def whole_file(folder, suffix, rows):
    path = folder / f"x{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, rows)
    elif suffix == ".hdf5":
        pytest.importorskip("h5py").File(path, "w").create_dataset("train", data=rows)
    elif suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"x": list(rows)}), path)
    else:
        datasets.write(path, rows)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".fvecs", ".bvecs", ".hdf5", ".parquet"])
# A cut between two rows of a TEXMEX file cannot be told; these fall within one.
@pytest.mark.parametrize("kept", [0.35, 0.9, -1])
def test_truncated_files(tmp_path, rows, suffix, kept):
    path = whole_file(tmp_path, suffix, rows)
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept < 0 else int(kept * len(content))])
    with pytest.raises(FormatError, match=f"x{suffix}: "):
        datasets.read(path)


def test_npy_with_more_than_its_header_says(tmp_path, rows):
    path = whole_file(tmp_path, ".npy", rows)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(FormatError, match="4 bytes more than its header says"):
        datasets.read(path)


def test_vecs_with_rows_of_different_length(tmp_path):
    rows = [struct.pack("<iff", 2, 0, 0), struct.pack("<iff", 1, 0, 0)]
    (tmp_path / "x.fvecs").write_bytes(b"".join(rows))
    with pytest.raises(FormatError, match=r"x.fvecs: row 1: expected 2 elements, got 1"):
        datasets.read(tmp_path / "x.fvecs")


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(ParameterError, match=r"x.csv: expected a name ending in .npy.*'.csv'"):
        datasets.read(tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError):
        datasets.read(tmp_path / "x.npy")


def test_what_is_no_number_is_refused(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    with pytest.raises(DtypeError, match="expected numbers, got <U1"):
        datasets.read(tmp_path / "text.npy")
    np.save(tmp_path / "object.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="object.npy"):
        datasets.read(tmp_path / "object.npy")


@pytest.mark.parametrize("name", ["x.fvecs", "x.csv"])
def test_write_refuses_what_it_cannot_hold(tmp_path, name):
    with pytest.raises((DimensionError, ParameterError), match=name):
        datasets.write(tmp_path / name, np.zeros(3))


def test_write_refuses_labels_beyond_the_format(tmp_path):
    with pytest.raises(DtypeError, match="do not fit int32"):
        datasets.write(tmp_path / "x.ivecs", np.array([[2**31]]))


@pytest.mark.parametrize("chunked", [False, True])
def test_hdf5_of_ann_benchmarks(tmp_path, rows, chunked):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "toy-5-angular.hdf5", "w") as file:
        file.attrs["distance"] = "angular"
        options = {"chunks": (2, 5), "compression": "gzip"} if chunked else {}
        file.create_dataset("train", data=rows.astype("f4"), **options)
        file.create_dataset("test", data=rows[:2].astype("f4"))
        file.create_dataset("neighbors", data=np.zeros((2, 3), "i4"))
    data = datasets.read_dataset(tmp_path / "toy-5-angular.hdf5")
    np.testing.assert_array_equal(data.base, rows)
    assert (data.name, data.metric, data.neighbors.shape) == ("toy-5-angular", "cosine", (2, 3))
    assert data.base.flags.owndata == chunked, "a plain dataset is mapped"


def test_hdf5_bits_are_packed(tmp_path):
    h5py = pytest.importorskip("h5py")
    bits = np.random.default_rng(0).random((4, 16)) > 0.5
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["distance"] = "hamming"
        file.create_dataset("train", data=bits)
        file.create_dataset("test", data=bits[:1])
    data = datasets.read_dataset(tmp_path / "x.h5")
    assert data.metric == "hamming" and data.neighbors is None
    np.testing.assert_array_equal(data.base, np.packbits(bits, axis=1))


@pytest.mark.parametrize("fixed", [True, False])
def test_parquet_list_columns(tmp_path, rows, fixed):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kind = arrow.list_(arrow.float32(), 5) if fixed else arrow.list_(arrow.float32())
    table = arrow.table({"id": range(7), "vector": arrow.array(rows.tolist(), kind)})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=3)
    got = datasets.read(tmp_path / "x.parquet")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, rows)
    np.testing.assert_array_equal(datasets.read(tmp_path / "x.parquet", key="id"), range(7))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[1.0, 2.0], [3.0]], r"column 'v': row 1: expected 2 elements, got 1"),
        ([[1.0, 2.0], None], r"column 'v': row 1 is null"),
        ([[1.0, None]], r"column 'v': 1 elements are null"),
    ],
)
def test_parquet_that_is_no_matrix(tmp_path, values, said):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"v": values}), tmp_path / "x.parquet")
    with pytest.raises(FormatError, match=said):
        datasets.read(tmp_path / "x.parquet")


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith(("h5py", "pyarrow")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("annx.datasets._read.importlib.import_module", refuse)
    for name, package in (("x.h5", "h5py"), ("x.parquet", "pyarrow")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ImportError, match=rf"{package} .* pip install 'annx\[datasets\]'"):
            datasets.read(tmp_path / name)


def test_folder_with_and_without_truth(tmp_path, rows):
    datasets.write(tmp_path / "base.bvecs", rows)
    with pytest.raises(FileNotFoundError, match=r"expected a file query.npy"):
        datasets.read_dataset(tmp_path)
    np.save(tmp_path / "query.npy", rows[:2])
    data = datasets.read_dataset(tmp_path)
    assert data.neighbors is None and data.metric is None and len(data.base) == 7
    np.save(tmp_path / "gt.npy", np.zeros((2, 3), np.int32))
    assert datasets.read_dataset(tmp_path).neighbors.shape == (2, 3)


@pytest.mark.parametrize(
    ("truth", "error", "said"),
    [
        (np.zeros((3, 1), int), DimensionError, "expected 2 rows of true neighbours"),
        (np.zeros((2, 1)), DtypeError, "expected whole numbers"),
        (np.full((2, 1), 7), FormatError, "outside the 7 rows"),
        (np.full((2, 1), -1), FormatError, "outside the 7 rows"),
    ],
)
def test_truth_that_does_not_fit(tmp_path, rows, truth, error, said):
    np.save(tmp_path / "base.npy", rows)
    np.save(tmp_path / "query.npy", rows[:2])
    np.save(tmp_path / "gt.npy", truth)
    with pytest.raises(error, match=said):
        datasets.read_dataset(tmp_path)


def test_base_and_queries_that_do_not_fit(tmp_path, rows):
    np.save(tmp_path / "base.npy", rows)
    np.save(tmp_path / "query.npy", rows[:, :3])
    with pytest.raises(DimensionError, match=r"got \(7, 5\), \(7, 3\)"):
        datasets.read_dataset(tmp_path)


def test_one_file_of_vectors_gives_queries_too(tmp_path, rows):
    rows = np.arange(100, dtype=np.float32).reshape(50, 2)
    np.save(tmp_path / "x.npy", rows)
    data = datasets.read_dataset(tmp_path / "x.npy", held_out=20, seed=3)
    assert data.name == "x" and data.neighbors is None and data.metric is None
    assert len(data.queries) == 5, "a tenth at most"
    together = np.vstack([data.base, data.queries])
    np.testing.assert_array_equal(together[np.argsort(together[:, 0])], rows)
    again = datasets.read_dataset(tmp_path / "x.npy", held_out=20, seed=3)
    np.testing.assert_array_equal(again.queries, data.queries)
    with pytest.raises(ParameterError, match="expected a folder or an HDF5 file"):
        datasets.read_dataset(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", rows[0])
    with pytest.raises(DimensionError, match="at least 10 rows"):
        datasets.read_dataset(tmp_path / "y.npy", held_out=20)


def test_first_forgets_neighbours_that_may_be_cut_off(rows):
    data = datasets.Dataset("x", rows, rows[:4], np.zeros((4, 2), int), "l2")
    assert data.first(queries=2).neighbors.shape == (2, 2)
    assert data.first(rows=7).neighbors.shape == (4, 2)
    less = data.first(rows=6, queries=3)
    assert less.neighbors is None and len(less.base) == 6 and len(less.queries) == 3


@pytest.mark.parametrize("name", datasets.GENERATORS)
def test_generated_data_is_reproducible_and_fit(name):
    data = datasets.generate(name, 3000, seed=5)
    again = datasets.generate(name, 3000, seed=5)
    np.testing.assert_array_equal(data.base, again.base)
    np.testing.assert_array_equal(data.queries, again.queries)
    assert not np.array_equal(data.base, datasets.generate(name, 3000, seed=6).base)
    assert len(data.base) == 3000 and len(data.queries) == 500
    assert data.base.shape[1] == data.queries.shape[1]
    assert np.isfinite(data.base).all() and data.base.any(axis=1).all()
    assert datasets.generate(name, 1000, 24, queries=7).queries.shape == (7, 24)


def test_generated_data_is_as_hard_as_it_says():
    data = datasets.generate("duplicates", 4000)
    assert len(np.unique(data.base, axis=0)) < 0.8 * len(data.base)
    data = datasets.generate("norms", 4000)
    lengths = np.linalg.norm(data.base, axis=1)
    assert lengths.max() > 5 * np.median(lengths)
    data = datasets.generate("out-of-distribution", 4000)
    inside = data.base[:500] / np.linalg.norm(data.base[:500], axis=1, keepdims=True)
    asked = data.queries / np.linalg.norm(data.queries, axis=1, keepdims=True)
    other = data.base[500:] / np.linalg.norm(data.base[500:], axis=1, keepdims=True)
    assert np.median((asked @ other.T).max(1)) < np.median((inside @ other.T).max(1)) - 0.2
    assert datasets.generate("integers").base.dtype == np.uint8


@pytest.mark.parametrize("options", [{"name": "x"}, {"rows": 0}, {"dim": 0}, {"queries": -1}])
def test_generate_refuses(options):
    with pytest.raises(ParameterError):
        datasets.generate(**{"name": "clusters", **options})
