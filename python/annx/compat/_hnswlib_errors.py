"""annx's errors as the RuntimeError that callers of hnswlib catch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from annx import errors


class HnswlibError(errors.AnnxError, RuntimeError):
    """What hnswlib raises a RuntimeError for."""


class DimensionError(errors.DimensionError, HnswlibError):
    """As `annx.DimensionError`."""


class DtypeError(errors.DtypeError, HnswlibError):
    """As `annx.DtypeError`."""


class NonFiniteError(errors.NonFiniteError, HnswlibError):
    """As `annx.NonFiniteError`."""


class ZeroVectorError(errors.ZeroVectorError, HnswlibError):
    """As `annx.ZeroVectorError`."""


class ParameterError(errors.ParameterError, HnswlibError):
    """As `annx.ParameterError`."""


class LabelError(errors.LabelError, HnswlibError):
    """As `annx.LabelError`."""


class FormatError(errors.FormatError, HnswlibError):
    """As `annx.FormatError`."""


class CapacityError(errors.CapacityError, HnswlibError):
    """As `annx.CapacityError`; also more elements than `max_elements`."""


class NoFileError(FileNotFoundError, HnswlibError):
    """The file to load is not there."""


_KINDS = (
    DimensionError,
    DtypeError,
    NonFiniteError,
    ZeroVectorError,
    ParameterError,
    LabelError,
    FormatError,
    CapacityError,
)


def reraise(error: errors.AnnxError) -> NoReturn:
    """Raise an error of annx as one that is a RuntimeError too."""
    if not isinstance(error, RuntimeError):
        for kind in _KINDS:
            if isinstance(error, kind.__bases__[0]):
                raise kind(*error.args) from error
    raise error


@contextmanager
def as_hnswlib() -> Iterator[None]:
    """Do so for all that is raised within."""
    try:
        yield
    except errors.AnnxError as error:
        reraise(error)
