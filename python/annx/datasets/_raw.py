"""Headers and raw rows: the formats of TEXMEX (.fvecs) and big-ann-benchmarks (.fbin)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.errors import DimensionError, DtypeError, FormatError

#: Element type of the rows of each TEXMEX format (http://corpus-texmex.irisa.fr).
VECS: dict[str, np.dtype[Any]] = {
    ".fvecs": np.dtype("<f4"),
    ".bvecs": np.dtype(np.uint8),
    ".ivecs": np.dtype("<i4"),
}
#: The same of each format of big-ann-benchmarks (https://big-ann-benchmarks.com).
BINS: dict[str, np.dtype[Any]] = {
    ".fbin": np.dtype("<f4"),
    ".f16bin": np.dtype("<f2"),
    ".u8bin": np.dtype(np.uint8),
    ".i8bin": np.dtype(np.int8),
    ".ibin": np.dtype("<i4"),
}


def read_vecs(path: Path, key: str | None) -> NDArray[Any]:
    dtype = VECS[path.suffix.lower()]
    size = path.stat().st_size
    if size < 4:
        raise FormatError(f"{path.name}: truncated, {size} bytes")
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    dim = int(raw[:4].view("<i4")[0])
    stride = 4 + dim * dtype.itemsize
    if dim <= 0 or stride > size:
        raise FormatError(
            f"{path.name}: row 0 claims {dim} elements of {dtype.name} in a file of {size} bytes"
        )
    if size % stride:
        raise FormatError(
            f"{path.name}: truncated, or not of this format: "
            f"{size} bytes are no multiple of {stride}, the size of row 0"
        )
    rows = raw.reshape(-1, stride)
    wrong = np.flatnonzero((rows[:, :4] != rows[0, :4]).any(axis=1))
    if len(wrong):
        got = int(np.ascontiguousarray(rows[wrong[0], :4]).view("<i4")[0])
        raise FormatError(f"{path.name}: row {wrong[0]}: expected {dim} elements, got {got}")
    return np.asarray(rows[:, 4:]).view(dtype)


def read_bin(path: Path, key: str | None) -> NDArray[Any]:
    """Read a file that begins with the number of rows and of their elements, as 32 bits each."""
    dtype = BINS[path.suffix.lower()]
    size = path.stat().st_size
    if size < 8:
        raise FormatError(f"{path.name}: truncated, {size} bytes")
    with path.open("rb") as file:
        rows, dim = (int(number) for number in np.fromfile(file, "<u4", 2))
    need = 8 + rows * dim * dtype.itemsize
    # True neighbours are followed by as many float32 distances, which annx computes itself.
    expected = (need, need + 4 * rows * dim) if dtype.kind == "i" else (need,)
    if dim == 0 or size not in expected:
        raise FormatError(
            f"{path.name}: truncated, or not of this format: {rows} rows of {dim} {dtype.name} "
            f"are {need} bytes, got {size}"
        )
    if rows == 0:
        return np.empty((0, dim), dtype)
    return np.asarray(np.memmap(path, dtype, "r", 8, (rows, dim)))


def write(path: Path, array: NDArray[Any]) -> None:
    """Write rows in the format that the suffix names."""
    if array.ndim != 2 or array.shape[1] == 0:
        raise DimensionError(f"{path.name}: expected shape (n, d), got {array.shape}")
    suffix = path.suffix.lower()
    dtype = VECS.get(suffix) or BINS[suffix]
    with np.errstate(invalid="ignore", over="ignore"):
        elements = np.ascontiguousarray(array, dtype)
        if dtype.kind != "f" and not np.array_equal(elements, array):
            raise DtypeError(f"{path.name}: values do not fit {dtype.name}, the format's type")
    if suffix in BINS:
        path.write_bytes(np.array(array.shape, "<u4").tobytes() + elements.tobytes())
        return
    heads = np.full((len(array), 1), array.shape[1], "<i4").view(np.uint8)
    body = elements.view(np.uint8).reshape(len(array), -1)
    path.write_bytes(np.hstack([heads, body]).tobytes())
