"""Vector search: an HNSW index with a C++ SIMD core and a Numba backend."""

from __future__ import annotations

from annx._backends.select import Backend, backend, cpu_info
from annx._explain import WhyNot
from annx._filter import Filter
from annx._health import HealthReport
from annx._load import load
from annx._result import RangeResult, ReportedResult, SearchReport, SearchResult
from annx._tune import Tuning, TuningEntry
from annx._version import __version__
from annx.errors import (
    AnnxError,
    BackendError,
    CapacityError,
    ConflictError,
    DimensionError,
    DtypeError,
    FilterError,
    FormatError,
    LabelError,
    MissingExtraError,
    NonFiniteError,
    ParameterError,
    TuningWarning,
    ZeroVectorError,
)
from annx.index import Index

__all__ = [
    "AnnxError",
    "Backend",
    "BackendError",
    "CapacityError",
    "ConflictError",
    "DimensionError",
    "DtypeError",
    "Filter",
    "FilterError",
    "FormatError",
    "HealthReport",
    "Index",
    "LabelError",
    "MissingExtraError",
    "NonFiniteError",
    "ParameterError",
    "RangeResult",
    "ReportedResult",
    "SearchReport",
    "SearchResult",
    "Tuning",
    "TuningEntry",
    "TuningWarning",
    "WhyNot",
    "ZeroVectorError",
    "__version__",
    "backend",
    "cpu_info",
    "load",
]
