"""Read one array from the file that it comes in; what can be memory-mapped is."""

from __future__ import annotations

import importlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.datasets import _raw
from annx.errors import DtypeError, FormatError, ParameterError


def read(path: str | os.PathLike[str], *, key: str | None = None) -> NDArray[Any]:
    """Read one array.

    Parameters
    ----------
    path : path-like
        Its suffix tells the format: .npy, .npz, .fvecs, .bvecs, .ivecs, .fbin, .f16bin,
        .u8bin, .i8bin, .ibin, .hdf5, .h5, .parquet.
    key : str, optional
        The array of a .npz file, dataset of an HDF5 file (default: ``train``) or column
        of a Parquet file. Needed only where there is a choice.

    Returns
    -------
    ndarray
        Read-only and memory-mapped for .npy, raw formats and plain HDF5 datasets.
        Parquet gives shape (n, d) for a column of lists, (n,) for one of numbers.

    Raises
    ------
    FormatError
        The file is truncated, damaged, or not of the format that its suffix promises.
    ParameterError
        The suffix is unknown, or `key` is missing or wrong.
    DtypeError
        The elements are not numbers.
    ImportError
        HDF5 needs h5py, Parquet needs pyarrow: ``pip install 'annx[datasets]'``.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.fvecs")
    >>> write(path, np.eye(3, dtype=np.float32))
    >>> read(path).shape
    (3, 3)
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ParameterError(
            f"{path.name}: expected a name ending in {', '.join(_READERS)}, "
            f"got {path.suffix or 'no suffix'!r}"
        )
    with path.open("rb") as file:
        if not file.read(1):
            raise FormatError(f"{path.name}: the file is empty")
    array = reader(path, key)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"{path.name}: expected numbers, got {array.dtype}")
    return array


def write(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write one array as .npy or in a raw format: .fvecs, .fbin and their like.

    Parameters
    ----------
    path : path-like
    array : ndarray
        Of shape (n, d) for raw formats, whose element type its values must fit.

    Raises
    ------
    ParameterError
        The suffix is none of these.
    DimensionError
        The format holds rows, and `array` has none.
    DtypeError
        A value does not fit the format's element type.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        np.save(path, array, allow_pickle=False)
        return
    if suffix not in _raw.VECS and suffix not in _raw.BINS:
        known = ", ".join([*_raw.VECS, *_raw.BINS])
        raise ParameterError(
            f"{path.name}: expected a name ending in .npy, {known}, got {suffix!r}"
        )
    _raw.write(path, array)


def _read_npy(path: Path, key: str | None) -> NDArray[Any]:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise FormatError(f"{path.name}: not a NumPy file (its first bytes differ)")
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(mapped, np.memmap) and mapped.size:
            rest = path.stat().st_size - mapped.offset - mapped.nbytes
            if rest:
                raise FormatError(f"{path.name}: {rest} bytes more than its header says")
        return np.asarray(mapped)
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
        try:
            # Object arrays and, before NumPy 2.2, empty ones cannot be mapped.
            return np.asarray(np.load(path, allow_pickle=False))
        except (ValueError, EOFError):
            raise FormatError(f"{path.name}: {error}") from error
    except EOFError as error:
        raise FormatError(f"{path.name}: {error}") from error


def _read_npz(path: Path, key: str | None) -> NDArray[Any]:
    # Opened here: np.load leaves a damaged archive open.
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise FormatError(f"{path.name}: not a .npz archive (its first bytes differ)")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return np.asarray(arrays[_pick(path, key, arrays.files, "array")])
        except ParameterError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise FormatError(f"{path.name}: {error}") from error


def open_hdf5(path: Path) -> Any:
    h5py = _import("h5py", path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FormatError(f"{path.name}: {error}") from error


def _read_hdf5(path: Path, key: str | None) -> NDArray[Any]:
    with open_hdf5(path) as file:
        names = [name for name in file if hasattr(file[name], "dtype")]
        data = file["train" if key is None and "train" in names else _pick(path, key, names)]
        offset = data.id.get_offset()
        if data.chunks is None and offset is not None and data.size and data.dtype.kind in "fiu":
            return np.asarray(np.memmap(path, data.dtype, "r", offset, data.shape))
        try:
            return np.asarray(data[()])
        except OSError as error:
            raise FormatError(f"{path.name}: {error}") from error


def _read_parquet(path: Path, key: str | None) -> NDArray[Any]:
    arrow = _import("pyarrow", path)
    parquet = _import("pyarrow.parquet", path)
    try:
        file = parquet.ParquetFile(path, memory_map=True)
        fields = {field.name: field.type for field in file.schema_arrow}
        lists = [name for name, kind in fields.items() if _is_list(arrow, kind)]
        name = _pick(path, key, list(fields) if key is not None else lists, "column")
        column = file.read([name]).column(0).combine_chunks()
    except (arrow.ArrowInvalid, OSError) as error:
        raise FormatError(f"{path.name}: {error}") from error
    if isinstance(column, arrow.ChunkedArray):
        column = arrow.concat_arrays(column.chunks)
    where = f"{path.name}: column {name!r}"
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise FormatError(f"{where}: row {row} is null")
    if not _is_list(arrow, column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    values = column.flatten()
    if values.null_count:
        raise FormatError(f"{where}: {values.null_count} elements are null")
    elements = np.asarray(values.to_numpy(zero_copy_only=False))
    if arrow.types.is_fixed_size_list(column.type):
        return elements.reshape(len(column), column.type.list_size)
    lengths = np.asarray(column.value_lengths().to_numpy(zero_copy_only=False))
    wrong = np.flatnonzero(lengths != lengths[:1])
    if len(wrong):
        raise FormatError(
            f"{where}: row {wrong[0]}: expected {lengths[0]} elements, got {lengths[wrong[0]]}"
        )
    return elements.reshape(len(column), -1) if len(column) else elements.reshape(0, 0)


def _is_list(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def _pick(path: Path, key: str | None, names: list[str], kind: str = "dataset") -> str:
    if key is None and len(names) == 1:
        return names[0]
    if key is not None and key in names:
        return key
    listed = ", ".join(map(repr, names[:10])) or "none"
    raise ParameterError(f"{path.name}: expected one {kind} of {listed}, got {key!r}")


def _import(module: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{path.name}: {package} is not installed: pip install 'annx[datasets]'", name=package
        ) from error


_READERS: dict[str, Callable[[Path, str | None], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    **dict.fromkeys(_raw.VECS, _raw.read_vecs),
    **dict.fromkeys(_raw.BINS, _raw.read_bin),
    ".hdf5": _read_hdf5,
    ".h5": _read_hdf5,
    ".parquet": _read_parquet,
}

#: Names of files that :func:`read` understands end in one of these.
SUFFIXES = tuple(_READERS)
