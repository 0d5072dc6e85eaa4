"""Vector search: an HNSW index with a C++ SIMD core and a Numba backend."""

from __future__ import annotations

from annx._backends.select import Backend, backend, cpu_info
from annx._result import SearchResult
from annx._version import __version__
from annx.errors import (
    AnnxError,
    BackendError,
    CapacityError,
    DimensionError,
    DtypeError,
    FormatError,
    LabelError,
    NonFiniteError,
    ParameterError,
    ZeroVectorError,
)
from annx.index import Index, load

__all__ = [
    "AnnxError",
    "Backend",
    "BackendError",
    "CapacityError",
    "DimensionError",
    "DtypeError",
    "FormatError",
    "Index",
    "LabelError",
    "NonFiniteError",
    "ParameterError",
    "SearchResult",
    "ZeroVectorError",
    "__version__",
    "backend",
    "cpu_info",
    "load",
]
