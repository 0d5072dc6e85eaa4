"""Comparing arrays of one number type with a Python number, as exactly as Python does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Test = Callable[[NDArray[Any]], NDArray[np.bool_]]

INT64 = np.iinfo(np.int64)
#: Every whole number up to this is a float64.
EXACT = 1 << 53

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def _constant(value: bool) -> Test:
    return lambda numbers: np.full(len(numbers), value)


def _of_ints(op: str, value: float) -> Test:
    """Compare int64 with any number: by the nearest whole one on the right side."""
    if isinstance(value, float):
        if math.isinf(value):
            return _constant(op.startswith("<" if value > 0 else ">"))
        if op == "==" and not value.is_integer():
            return _constant(False)
        value = math.ceil(value) if op in ("<", ">=") else math.floor(value)
    if not INT64.min <= value <= INT64.max:
        return _constant(op.startswith("<" if value > 0 else ">"))
    return lambda numbers: np.asarray(_COMPARE[op](numbers, value))


def _of_floats(op: str, value: float) -> Test:
    """Compare float64 with any number: a whole one between two floats by one of these."""
    if isinstance(value, int):
        try:
            near = float(value)
        except OverflowError:
            near = math.inf if value > 0 else -math.inf
        if near != value:
            if op == "==":
                return _constant(False)
            # No float lies between the two.
            op = ("<" if near > value else "<=") if op.startswith("<") else op
            op = (">=" if near > value else ">") if op.startswith(">") else op
        value = near
    return lambda numbers: np.asarray(_COMPARE[op](numbers, value))


def compare(op: str, value: float, dtype: np.dtype[Any]) -> Test:
    """Return a test of arrays of int64 or float64.

    Examples
    --------
    >>> compare("<", 2.5, np.dtype(np.int64))(np.array([2, 3]))
    array([ True, False])
    >>> compare("==", 2**53 + 1, np.dtype(np.float64))(np.array([2.0**53]))
    array([False])
    """
    return (_of_floats if dtype.kind == "f" else _of_ints)(op, value)


def isin(values: list[float], dtype: np.dtype[Any]) -> Test:
    """Return a test of whether arrays of int64 or float64 hold one of several numbers."""
    if dtype.kind == "f":
        kept: list[Any] = [value for value in values if abs(value) <= EXACT or _is_float(value)]
    else:
        kept = [
            int(value)
            for value in values
            if (isinstance(value, int) or value.is_integer()) and INT64.min <= value <= INT64.max
        ]
    if len(kept) == 1:
        return compare("==", kept[0], dtype)
    wanted = np.array(kept, dtype)
    return lambda numbers: np.isin(numbers, wanted)


def _is_float(value: float) -> bool:
    """Whether a number of any size is a float64, whole."""
    try:
        return float(value) == value
    except OverflowError:
        return False
