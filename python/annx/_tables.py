"""Vectors in tables, columns and lists of tensors, as what NumPy reads without a copy.

Nothing is imported here: whoever passes an object of a library has that library loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from annx.errors import DimensionError, DtypeError


def unwrap(x: Any) -> Any:
    """Return an array or tensor for a column or list of vectors; anything else as it is.

    Raises
    ------
    DimensionError
        Vectors of unequal length.
    DtypeError
        A null in place of a vector, or an object without plain values in memory.
    """
    if isinstance(x, list | tuple):
        # Torch stacks what NumPy cannot: bfloat16.
        return _stack(x) if len(x) and is_torch(x[0]) else x
    read = _READERS.get(_library(x))
    return x if read is None else read(x)


def is_torch(x: Any) -> bool:
    """Whether an object is a tensor of torch's, or of a class derived from that."""
    return _library(x) == "torch"


def _library(x: Any) -> str:
    for kind in type(x).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _READERS or name == "torch":
            return name
    return ""


def _stack(tensors: Any) -> Any:
    try:
        return sys.modules["torch"].stack(list(tensors))
    except (RuntimeError, TypeError) as error:
        raise DimensionError(f"expected tensors of one shape: {error}") from error


def _arrow(x: Any) -> Any:
    if getattr(x, "num_columns", 0) == 1:
        x = x.column(0)
    if hasattr(x, "as_py"):  # one value of a column
        return getattr(x, "values", x)
    if not hasattr(x, "type"):
        return x
    if hasattr(x, "num_chunks"):
        x = x.chunk(0) if x.num_chunks == 1 else x.combine_chunks()
    x = getattr(x, "storage", x)
    kind = str(x.type)
    if not kind.startswith(("fixed_size_list", "list", "large_list")):
        return x
    _refuse_nulls(x.null_count)
    values = x.flatten().to_numpy(zero_copy_only=False)
    if kind.startswith("fixed_size_list"):
        return values.reshape(len(x), x.type.list_size)
    if len(set(x.value_lengths().to_pylist())) > 1:
        raise DimensionError("expected rows of equal length, got lists that differ")
    return values.reshape(len(x), -1) if len(x) else values


def _polars(x: Any) -> Any:
    if hasattr(x, "collect"):
        raise DtypeError("expected an array in host memory, got LazyFrame; collect() it")
    if getattr(x, "width", 0) == 1:
        x = x.to_series()
    kind = str(getattr(x, "dtype", ""))
    if not kind.startswith(("Array(", "List(")):
        return x
    _refuse_nulls(x.null_count())
    if kind.startswith("Array("):
        return x.to_numpy()
    if x.list.len().n_unique() > 1:
        raise DimensionError("expected rows of equal length, got lists that differ")
    return x.explode().to_numpy().reshape(len(x), -1) if len(x) else np.empty(0)


def _pandas(x: Any) -> Any:
    if x.ndim == 2 and x.shape[1] == 1:
        x = x.iloc[:, 0]
    if x.ndim == 1 and hasattr(x.array, "__arrow_array__") and "list" in str(x.dtype):
        return _arrow(x.array.__arrow_array__())
    values = x.to_numpy()
    if values.dtype != object:
        return values
    if x.ndim == 1 and len(x) and np.ndim(x.iloc[0]) == 1:
        return list(x)
    try:  # columns of numbers that may be missing, which become NaN
        return x.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"expected real numbers: {error}") from error


def _scipy(x: Any) -> Any:
    if not hasattr(x, "toarray"):
        return x
    raise DtypeError(
        f"expected dense vectors, got a sparse {type(x).__qualname__}; toarray() makes it dense"
    )


def _tensorflow(x: Any) -> Any:
    way = {"RaggedTensor": "to_tensor()", "SparseTensor": "tf.sparse.to_dense()"}
    name = type(x).__qualname__
    if name in way:
        raise DtypeError(f"expected dense vectors, got a {name}; {way[name]} makes it dense")
    return x


def _refuse_nulls(count: int) -> None:
    if count:
        raise DtypeError("expected a vector in every row, got null")


_READERS: dict[str, Callable[[Any], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _arrow,
    "scipy": _scipy,
    "tensorflow": _tensorflow,
}
