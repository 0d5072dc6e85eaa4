"""Vector search: an HNSW index with a C++ SIMD core and a Numba backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annx._backends.select import Backend, backend, cpu_info
from annx._explain import WhyNot
from annx._filter import Filter
from annx._health import HealthReport
from annx._load import load
from annx._result import RangeResult, ReportedResult, SearchReport, SearchResult
from annx._tune import Tuning, TuningEntry
from annx._verify import FileReport, check_file
from annx._version import __version__
from annx.errors import (
    AnnxError,
    BackendError,
    CapacityError,
    ClosedError,
    ConflictError,
    CursorError,
    DimensionError,
    DocumentError,
    DtypeError,
    FilterError,
    FormatError,
    LabelError,
    LockedError,
    MissingCollectionError,
    MissingExtraError,
    NonFiniteError,
    ParameterError,
    ReadOnlyError,
    RebuildWarning,
    SchemaError,
    StorageError,
    TuningWarning,
    ZeroVectorError,
)
from annx.index import Index

if TYPE_CHECKING:
    from annx.collection import Collection

__all__ = [
    "AnnxError",
    "Backend",
    "BackendError",
    "CapacityError",
    "ClosedError",
    "Collection",
    "ConflictError",
    "CursorError",
    "DimensionError",
    "DocumentError",
    "DtypeError",
    "FileReport",
    "Filter",
    "FilterError",
    "FormatError",
    "HealthReport",
    "Index",
    "LabelError",
    "LockedError",
    "MissingCollectionError",
    "MissingExtraError",
    "NonFiniteError",
    "ParameterError",
    "RangeResult",
    "ReadOnlyError",
    "RebuildWarning",
    "ReportedResult",
    "SchemaError",
    "SearchReport",
    "SearchResult",
    "StorageError",
    "Tuning",
    "TuningEntry",
    "TuningWarning",
    "WhyNot",
    "ZeroVectorError",
    "__version__",
    "backend",
    "check_file",
    "cpu_info",
    "load",
]


def __getattr__(name: str) -> Any:
    # Not every Python has SQLite, and vectors alone do not need it.
    if name == "Collection":
        from annx.collection import Collection

        return Collection
    raise AttributeError(f"module 'annx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
