"""What annx raises. Each class is also the built-in that a Python user would catch."""

from __future__ import annotations


class AnnxError(Exception):
    """Root of all errors that annx raises itself."""


class DimensionError(AnnxError, ValueError):
    """An array has the wrong number of dimensions or columns."""


class DtypeError(AnnxError, TypeError):
    """An array has an element type, or a value, that the index cannot hold."""


class NonFiniteError(AnnxError, ValueError):
    """A row holds NaN, infinity, or values whose squares overflow float32."""


class ZeroVectorError(AnnxError, ValueError):
    """A zero vector under cosine, where it has no direction."""


class ParameterError(AnnxError, ValueError):
    """An argument is outside its range."""


class LabelError(AnnxError, KeyError):
    """A label is missing, taken, repeated, or not a valid label."""

    def __str__(self) -> str:
        # KeyError shows repr(message); ours are sentences.
        return str(self.args[0]) if self.args else ""


class FilterError(AnnxError, ValueError):
    """A filter expression is not one, compares with what has no order, or is too large."""


class FormatError(AnnxError, ValueError):
    """A file is not what it should be: an index, or judgements, or a run."""


class ConflictError(AnnxError, RuntimeError):
    """A file is not, or no longer, the one that a change was meant for."""


class CapacityError(AnnxError, OverflowError):
    """More rows than one index can hold."""


class BackendError(AnnxError, RuntimeError):
    """The backend or instruction set asked for is not available here."""


class MissingExtraError(AnnxError, ImportError):
    """A package that an optional part of annx needs is not installed."""


class TuningWarning(UserWarning):
    """What `tune` measured is of an index that has changed since."""


class DocumentError(AnnxError, ValueError):
    """A document, or a value in it, that a collection cannot hold."""


class SchemaError(AnnxError, ValueError):
    """Settings that are not those of the collection, or do not go together."""


class LockedError(AnnxError, BlockingIOError):
    """Another process, or another object of this one, is writing to the collection."""


class CursorError(AnnxError, ValueError):
    """A cursor that is damaged, or of another search."""


class ClosedError(AnnxError, ValueError):
    """A collection that is closed, or was opened before a fork."""


class ReadOnlyError(AnnxError, PermissionError):
    """A change to an index that is mapped from a file, or to a collection open for reading."""


class StorageError(AnnxError, OSError):
    """The files of a collection cannot be read or written: a full disk, a damaged file."""


class MissingCollectionError(StorageError, FileNotFoundError):
    """There is no collection at a path, and no settings to create one by."""


class RebuildWarning(UserWarning):
    """A derived file was missing or damaged and is made again from the records."""
