"""How this backend compiles, and the instructions that Numba has no name for."""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
#: Numba's decorators carry no types of their own.
_njit: Any = numba.njit
_intrinsic: Any = intrinsic
_types: Any = types
_cgutils: Any = cgutils
_config: Any = config

#: Lets a sum be split over vector lanes and fused, and keeps NaN and infinity.
VECTOR_MATH = {"reassoc", "contract", "nsz"}


def _digest() -> str:
    folder = Path(__file__).parent
    files = [folder / "base.py", *sorted(folder.glob("numba_*.py"))]
    return f"{zlib.crc32(b''.join(f.read_bytes() for f in files if f.is_file())):08x}"


#: Numba keys a cached function by its own file and arguments, not by what it calls
#: in other files (docs, "Caching of compiled functions"). The digest of all files
#: in the cached name keeps old machine code from surviving an upgrade.
_SOURCES = _digest()


# Without Numba's runtime there is no allocation, and no atomic count of references for
# each array that a function touches, which threads would fight over.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INNER: dict[str, Any] = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: F) -> F:
    """Compile for callers that are compiled themselves."""
    made: F = _njit(**_INNER)(function)
    return made


def inlined(function: F) -> F:
    """Like `inner`, copied into each caller: a tuple of arrays is 80 words to pass."""
    made: F = _njit(forceinline=True, **_INNER)(function)
    return made


def inner_math(function: F) -> F:
    """Like `inner`, for sums that may be reordered."""
    made: F = _njit(fastmath=VECTOR_MATH, **_INNER)(function)
    return made


def entry(function: F) -> F:
    """Compile on first call from Python and keep the result on disk."""
    function.__qualname__ = f"{function.__qualname__}-{_SOURCES}"
    try:
        made: F = _njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        made = _njit(**_OPTIONS)(function)
    return made


def _has_half_instruction() -> bool:
    if _config.CPU_NAME or _config.CPU_FEATURES:
        return False  # compiling for another machine than this one
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    return bool(llvm.get_host_cpu_features().get("f16c", False))


@_intrinsic  # type: ignore[untyped-decorator]
def _half_instruction(context: Any, bits: Any) -> Any:
    def emit(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return _types.float32(_types.int16), emit


@inner
def _half_arithmetic(bits: np.int16) -> np.float32:
    # A half's exponent and fraction, moved into a float's place, are 2^112 too small
    # for its bias of 127 instead of 15; subnormals come out right as well.
    word = np.uint32(np.uint16(bits))
    small = np.uint32((word & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32)
    value = np.float32(small * np.float32(2.0**112))
    return np.float32(-value) if word & np.uint32(0x8000) else value


#: IEEE half, as int16 bits, to float32. F16C is 2.5 times the arithmetic's speed at
#: 384 dimensions (24 against 64 ns a row), and 8 times that of a 65,536-entry table.
half_to_float = _half_instruction if _has_half_instruction() else _half_arithmetic


@_intrinsic  # type: ignore[untyped-decorator]
def popcount(context: Any, word: Any) -> Any:
    """Number of set bits in a uint64."""

    def emit(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return _types.int64(_types.uint64), emit


@_intrinsic  # type: ignore[untyped-decorator]
def prefetch(context: Any, array: Any, row: Any, offset: Any) -> Any:
    """Ask for the cache line `offset` bytes into ``array[row]`` (C order)."""

    def emit(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = target.make_array(signature.args[0])(target, builder, args[0])
        start = _cgutils.unpack_tuple(builder, view.strides)[0]
        distance = builder.add(builder.mul(start, args[1]), args[2])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.gep(builder.bitcast(view.data, byte), [distance])
        hint = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, word, word, word]),
            "llvm.prefetch.p0",
        )
        read, keep, data = (ir.Constant(word, value) for value in (0, 3, 1))
        builder.call(hint, [address, read, keep, data])
        return target.get_dummy_value()

    return _types.void(array, _types.int64, _types.int64), emit


@_intrinsic  # type: ignore[untyped-decorator]
def make_gap(context: Any, array: Any, place: Any, count: Any) -> Any:
    """Move ``array[place : place + count]`` on by one, memory that overlaps included."""

    def emit(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = target.make_array(signature.args[0])(target, builder, args[0])
        source = builder.gep(view.data, [args[1]])
        goal = builder.gep(source, [ir.Constant(args[1].type, 1)])
        itemsize = target.get_abi_sizeof(target.get_data_type(signature.args[0].dtype))
        _cgutils.raw_memmove(builder, goal, source, args[2], itemsize)
        return target.get_dummy_value()

    return _types.void(array, _types.int64, _types.int64), emit
