"""Arguments checked once, at the door, so that nothing behind it has to."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._rows import read_array
from annx.errors import (
    AnnxError,
    DtypeError,
    LabelError,
    NonFiniteError,
    ParameterError,
    ZeroVectorError,
)

METRICS = ("l2", "ip", "cosine", "hamming")

MAX_DIM = 65536
MAX_M = 512
MAX_EF = 1 << 24
MAX_THREADS = 1024
MAX_SEED = (1 << 64) - 1

_REASONS: dict[str, tuple[type[AnnxError], str]] = {
    "nan": (NonFiniteError, "row {row} contains NaN"),
    "inf": (NonFiniteError, "row {row} contains infinity"),
    "overflow": (NonFiniteError, "row {row} is so long that its distances overflow float32"),
    "zero": (ZeroVectorError, "row {row} is zero and has no direction under cosine"),
}


def integer(value: Any, name: str, low: int, high: int) -> int:
    """Return an int in ``low..high``; bool and float are refused.

    Raises
    ------
    ParameterError
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ParameterError(f"{name} must be an integer, got {value!r}") from None
    if not low <= number <= high:
        raise ParameterError(f"{name} must be in {low}..{high}, got {number}")
    return number


def number(value: Any, name: str) -> float:
    """Return a float, which may be infinite but not NaN.

    Raises
    ------
    ParameterError
    """
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError):
        raise ParameterError(f"{name} must be a number, got {value!r}") from None
    if result != result:
        raise ParameterError(f"{name} must be a number, got NaN")
    return result


def names(value: Any, name: str) -> list[str]:
    """Return names that were given as one str or several.

    Raises
    ------
    ParameterError
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Iterable):
        raise ParameterError(f"expected {name} as names of fields, got {value!r}")
    found = list(given)
    for each in found:
        if not isinstance(each, str):
            raise ParameterError(f"expected {name} as names of fields, got {each!r}")
    return found


def choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`.

    Raises
    ------
    ParameterError
    """
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(each) for each in choices)
        raise ParameterError(f"{name} must be one of {listed}, got {value!r}")
    return str(value)


def pair(codec: str, metric: str, dim: int) -> None:
    """Refuse a codec that does not go with the metric or the dimension.

    Raises
    ------
    ParameterError
    """
    if (codec == "b1") != (metric == "hamming"):
        raise ParameterError(
            f"metric 'hamming' goes with codec 'b1' alone, got {metric!r} with {codec!r}"
        )
    if codec == "b1" and dim % 8:
        raise ParameterError(f"dim must be a multiple of 8 for codec 'b1', got {dim}")


def threads(asked: Any, default: int | None, work: int) -> int:
    """Count the threads that share `work` rows: as asked, else `default`, else every core.

    Raises
    ------
    ParameterError
    """
    if asked is not None:
        return integer(asked, "num_threads", 1, MAX_THREADS)
    if work <= 1:
        return 1
    if default is not None:
        return default
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def labels(x: Any, count: int | None = None) -> NDArray[np.int64]:
    """Return labels as int64, of shape (count,), or of any length if `count` is None.

    Raises
    ------
    LabelError
        Not integers, beyond int64, or not `count` of them.
    """
    try:
        array = read_array(x).array
    except (DtypeError, ValueError) as error:
        raise LabelError(f"labels must be integers: {error}") from error
    if array.ndim > 1:
        raise LabelError(f"labels must have 1 dimension, got shape {array.shape}")
    array = array.reshape(-1)
    if count is not None and len(array) != count:
        raise LabelError(f"expected {count} labels, got {len(array)}")
    if len(array) == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise LabelError(f"labels must be integers, got {array.dtype}")
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        over = array > np.uint64(np.iinfo(np.int64).max)
        if over.any():
            raise LabelError(f"labels must fit int64, got {array[np.argmax(over)]}")
    return np.require(array, np.int64, ["C", "A"])


def new_labels(x: Any, count: int) -> NDArray[np.int64]:
    """Return labels that rows may be given: as `labels`, and -1 is refused.

    Raises
    ------
    LabelError
    """
    array = labels(x, count)
    reserved = array == -1
    if reserved.any():
        raise LabelError(
            f"label -1 pads short results and cannot be used (position {np.argmax(reserved)})"
        )
    return array


def refuse(bad: tuple[int, str] | None) -> None:
    """Raise for what ``Core.find_bad_row`` found, if anything.

    Raises
    ------
    NonFiniteError, ZeroVectorError
    """
    if bad is not None:
        row, reason = bad
        kind, text = _REASONS[reason]
        raise kind(text.format(row=row))
