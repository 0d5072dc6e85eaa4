"""Vectors as callers have them, made into rows as an index stores them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annx._tables import is_torch, unwrap
from annx.errors import DimensionError, DtypeError, NonFiniteError

#: Elements converted at a time: 2 MB of float64, about what a core has of L2 cache.
_BLOCK = 1 << 18


class Source(NamedTuple):
    """An array, and whether its 16-bit words are bfloat16 (NumPy has no such type)."""

    array: NDArray[Any]
    is_bf16: bool

    @property
    def type_name(self) -> str:
        """The element type as the caller knows it."""
        return "bfloat16" if self.is_bf16 else str(self.array.dtype)


def to_rows(x: Any, dim: int, codec: str) -> NDArray[Any]:
    """Make vectors rows of a codec's element type.

    Parameters
    ----------
    x : array_like of shape (n, dim) or (dim,)
    dim : int
    codec : str

    Returns
    -------
    ndarray of shape (n, columns)
        C-contiguous and aligned; `x` itself if it was so already. ``bf16`` comes as
        uint16 words, ``b1`` as bytes of 8 bits.

    Raises
    ------
    DimensionError, DtypeError, NonFiniteError
    """
    source = read_array(x)
    array, is_bf16 = source
    if array.ndim == 1 and array.size == 0:
        array = array.reshape(0, dim)
    elif array.ndim == 1:
        array = array.reshape(1, -1)
    elif array.ndim != 2:
        raise DimensionError(f"expected an array of 1 or 2 dimensions, got {array.ndim}")
    if codec == "b1":
        return _bits(array, dim, source.type_name)
    if array.dtype.kind == "b":
        raise DtypeError("expected numbers, got bool")
    if array.shape[1] != dim:
        raise DimensionError(f"expected dim {dim}, got {array.shape[1]}")
    dtype, convert = _CODECS[codec]
    if array.dtype == dtype and is_bf16 == (codec == "bf16"):
        return np.require(array, dtype, ["C", "A"])
    out = np.empty(array.shape, dtype)
    step = max(1, _BLOCK // dim)
    for first in range(0, len(array), step):
        block = array[first : first + step]
        out[first : first + step] = convert(_from_bf16(block) if is_bf16 else block, first)
    return out


def read_array(x: Any) -> Source:
    """Read any array-like as a NumPy array of real numbers.

    Raises
    ------
    DimensionError
        Nested sequences of unequal length.
    DtypeError
        Not numbers, complex numbers, or an array that NumPy cannot reach.
    """
    if type(x) is np.ndarray:
        array = x
    else:
        x = unwrap(x)
        if is_torch(x):
            return _from_torch(x)
        array = _as_ndarray(x)
    if array.dtype.name == "bfloat16":
        return Source(array.view(np.uint16), True)
    if array.dtype.kind not in "fiub":
        hint = "; numpy.stack joins an object array of rows" if array.dtype == object else ""
        raise DtypeError(f"expected real numbers, got {array.dtype}{hint}")
    return Source(array, False)


def _as_ndarray(x: Any) -> NDArray[Any]:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise DtypeError("expected real numbers, got masked values")
    known = ("__array__", "__array_interface__", "__array_struct__")
    try:
        if hasattr(x, "__dlpack__") and not any(hasattr(x, name) for name in known):
            return np.from_dlpack(x)
        return np.asarray(x)
    except ValueError as error:
        raise DimensionError(f"expected rows of equal length: {error}") from error
    except (TypeError, BufferError, RuntimeError) as error:
        raise DtypeError(
            f"expected an array in host memory, got {type(x).__qualname__}: {error}"
        ) from error


def _from_torch(tensor: Any) -> Source:
    if getattr(tensor, "requires_grad", False):
        raise DtypeError("expected plain numbers, got a tensor that requires grad; detach() it")
    is_bf16 = str(tensor.dtype) == "torch.bfloat16"
    if is_bf16:
        tensor = tensor.view(sys.modules["torch"].int16)
    array = _as_ndarray(tensor)
    if is_bf16:
        return Source(array.view(np.uint16), True)
    return read_array(array)


def _from_bf16(words: NDArray[Any]) -> NDArray[Any]:
    return (words.astype(np.uint32) << 16).view(np.float32)


def _bits(array: NDArray[Any], dim: int, type_name: str) -> NDArray[Any]:
    if array.dtype.kind == "b":
        if array.shape[1] != dim:
            raise DimensionError(f"expected dim {dim}, got {array.shape[1]}")
        return np.packbits(array, axis=1)
    if array.size == 0 and array.shape[1] == dim:
        return np.empty((0, dim // 8), np.uint8)
    if array.shape[1] * 8 != dim:
        raise DimensionError(
            f"expected dim {dim} as {dim // 8} bytes of 8 bits, got {array.shape[1]} bytes"
        )
    if array.dtype.kind not in "iu":
        raise DtypeError(f"expected bits packed in uint8, or bool, got {type_name}")
    if array.dtype == np.uint8:
        return np.require(array, np.uint8, ["C", "A"])
    return _to_integers(array, 0, np.dtype(np.uint8))


def _first(bad: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return int(row), int(column)


def _to_floats(block: NDArray[Any], first: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        with np.errstate(over="raise", under="ignore"):
            return block.astype(dtype)
    except FloatingPointError:
        with np.errstate(over="ignore", under="ignore"):
            row, column = _first(np.isinf(block.astype(dtype)) & np.isfinite(block))
        raise NonFiniteError(
            f"row {first + row}: {block[row, column]:g} is beyond the range of {dtype}"
        ) from None


def _to_f32(block: NDArray[Any], first: int) -> NDArray[Any]:
    return _to_floats(block, first, np.dtype(np.float32))


def _to_f16(block: NDArray[Any], first: int) -> NDArray[Any]:
    if block.dtype.kind in "iu":
        block = block.astype(np.float64)
    return _to_floats(block, first, np.dtype(np.float16))


def _to_bf16(block: NDArray[Any], first: int) -> NDArray[Any]:
    """Round to nearest, ties to even, in one step from the input's own precision."""
    single = _to_f32(block, first)
    bits = single.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))
    if block.dtype.itemsize > 4:
        # A value that float32 rounded onto a tie lies to one side of it.
        tie = (bits & np.uint32(0xFFFF)) == 0x8000
        wide = np.abs(block[tie].astype(np.float64))
        narrow = np.abs(single[tie].astype(np.float64))
        up = (bits[tie] & ~np.uint32(0xFFFF)) + np.uint32(0x10000)
        down = bits[tie]
        rounded[tie] = np.where(wide > narrow, up, np.where(wide < narrow, down, rounded[tie]))
    special = ~np.isfinite(single)
    # The carry must not turn a NaN's payload into infinity or zero.
    rounded[special] = bits[special] | (np.isnan(single[special]) * np.uint32(0x10000))
    words = (rounded >> 16).astype(np.uint16)
    overflow = ((words & 0x7FFF) == 0x7F80) & ~special
    if overflow.any():
        row, column = _first(overflow)
        raise NonFiniteError(
            f"row {first + row}: {block[row, column]:g} is beyond the range of bfloat16"
        )
    return words


def _to_integers(block: NDArray[Any], first: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if block.dtype.kind == "f":
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = _first(bad)
            raise NonFiniteError(f"row {first + row} contains {block[row, column]}")
        bad = np.rint(block) != block
    else:
        bad = np.zeros(block.shape, np.bool_)
    bad |= (block < low) | (block > high)
    if bad.any():
        row, column = _first(bad)
        raise DtypeError(
            f"row {first + row}: expected integers in {low}..{high}, got {block[row, column]}"
        )
    return block.astype(dtype)


def _to_i8(block: NDArray[Any], first: int) -> NDArray[Any]:
    return _to_integers(block, first, np.dtype(np.int8))


def _to_u8(block: NDArray[Any], first: int) -> NDArray[Any]:
    return _to_integers(block, first, np.dtype(np.uint8))


_CODECS: dict[str, tuple[np.dtype[Any], Callable[[NDArray[Any], int], NDArray[Any]]]] = {
    "f32": (np.dtype(np.float32), _to_f32),
    "f16": (np.dtype(np.float16), _to_f16),
    "bf16": (np.dtype(np.uint16), _to_bf16),
    "i8": (np.dtype(np.int8), _to_i8),
    "u8": (np.dtype(np.uint8), _to_u8),
}
