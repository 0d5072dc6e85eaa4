"""Sparse vectors turned round: for each index, the rows that have it, and their weights."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from annx.errors import FormatError

_MAGIC = b"\x89ANNXSPV"
_VERSION = 1
# magic, version, CRC-32 of what follows; rows, indices and postings that there are.
_HEADER = struct.Struct("<8sIIQQQ")
_COUNTS = struct.Struct("<QQQ")


@dataclass(frozen=True, slots=True)
class Postings:
    """Sparse vectors of some rows; constant but for `live`.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Ascending.
    live : ndarray of bool, shape (n,)
        Rows that were not replaced or taken away since.
    indices : ndarray of uint32, shape (t,)
        Ascending.
    starts : ndarray of int64, shape (t + 1,)
        The postings of ``indices[i]`` stand at ``starts[i]:starts[i + 1]``.
    places : ndarray of int32, shape (nnz,)
        Of the row in `rows`; ascending within one index.
    weights : ndarray of float32, shape (nnz,)
    """

    rows: NDArray[np.int64]
    live: NDArray[np.bool_]
    indices: NDArray[np.uint32]
    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def build(
        cls,
        rows: NDArray[np.int64],
        counts: NDArray[np.int64],
        indices: NDArray[np.uint32],
        weights: NDArray[np.float32],
    ) -> Self:
        """Turn round the vectors of distinct rows, `counts` entries of each, one after another."""
        return cls._turned(rows, np.repeat(np.arange(len(rows)), counts), indices, weights)

    @classmethod
    def join(cls, parts: Sequence[Postings]) -> Self:
        """Put the live rows of several together; no row is live in two."""
        rows = [np.empty(0, np.int64)]
        owners, indices, weights = [rows[0]], [np.empty(0, np.uint32)], [np.empty(0, np.float32)]
        before = 0
        for part in parts:
            number = np.cumsum(part.live) - 1 + before
            kept = part.live[part.places]
            owners.append(number[part.places[kept]])
            indices.append(np.repeat(part.indices, np.diff(part.starts))[kept])
            weights.append(part.weights[kept])
            rows.append(part.rows[part.live])
            before += len(rows[-1])
        return cls._turned(
            np.concatenate(rows),
            np.concatenate(owners),
            np.concatenate(indices),
            np.concatenate(weights),
        )

    @classmethod
    def _turned(
        cls,
        rows: NDArray[np.int64],
        owners: NDArray[np.int64],
        indices: NDArray[np.uint32],
        weights: NDArray[np.float32],
    ) -> Self:
        """Sort entries, each of the row ``rows[owner]``, by index and row."""
        order = np.argsort(rows)
        rank = np.empty(len(rows), np.int32)
        rank[order] = np.arange(len(rows), dtype=np.int32)
        places = rank[owners]
        # One key, all different: NumPy sorts 64-bit integers with SIMD.
        by = np.argsort((indices.astype(np.uint64) << np.uint64(32)) | places.astype(np.uint64))
        ordered = indices[by]
        first = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] ^ np.uint32(1)))
        starts = np.append(first, len(by)).astype(np.int64)
        live = np.ones(len(rows), np.bool_)
        return cls(rows[order], live, ordered[first], starts, places[by], weights[by])

    @property
    def size(self) -> int:
        """Number of postings, dead ones as well."""
        return len(self.places)

    def drop(self, rows: NDArray[np.int64]) -> None:
        """Let rows be dead; those that are not here are passed over."""
        if not len(self.rows):
            return
        at = np.searchsorted(self.rows, rows)
        at = np.minimum(at, len(self.rows) - 1)
        self.live[at[self.rows[at] == rows]] = False

    def score(
        self, indices: NDArray[np.uint32], weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Inner products with the live rows that share an index with a query."""
        total = np.zeros(len(self.rows))
        shared = np.zeros(len(self.rows), np.bool_)
        at = np.searchsorted(self.indices, indices)
        for place, index, weight in zip(at.tolist(), indices, weights.tolist(), strict=True):
            if place == len(self.indices) or self.indices[place] != index:
                continue
            some = slice(self.starts[place], self.starts[place + 1])
            # A row stands once among an index's postings, so that += counts each.
            total[self.places[some]] += weight * self.weights[some].astype(np.float64)
            shared[self.places[some]] = True
        found = np.flatnonzero(shared & self.live)
        return self.rows[found], total[found]

    def to_bytes(self) -> bytes:
        """Return all as bytes; `live` must be true throughout."""
        counts = len(self.rows), len(self.indices), len(self.places)
        parts = [
            array.astype(kind, copy=False).tobytes()
            for array, kind in zip(self._arrays(), _kinds(), strict=True)
        ]
        crc = zlib.crc32(_COUNTS.pack(*counts))
        for part in parts:
            crc = zlib.crc32(part, crc)
        return b"".join([_HEADER.pack(_MAGIC, _VERSION, crc, *counts), *parts])

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.rows, self.indices, self.starts, self.places, self.weights

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` returned.

        Raises
        ------
        FormatError
        """
        if len(data) < _HEADER.size:
            raise FormatError(f"expected postings, got {len(data)} bytes")
        magic, version, crc, rows, indices, postings = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise FormatError("expected postings of annx, got other bytes")
        if version != _VERSION:
            raise FormatError(f"expected postings of version {_VERSION}, got {version}")
        lengths = rows, indices, indices + 1, postings, postings
        kinds = _kinds()
        size = sum(n * kind.itemsize for n, kind in zip(lengths, kinds, strict=True))
        if size != len(data) - _HEADER.size:
            raise FormatError(f"expected {size} bytes of postings, got {len(data) - _HEADER.size}")
        body = memoryview(data)[_HEADER.size :]
        if zlib.crc32(body, zlib.crc32(_COUNTS.pack(rows, indices, postings))) != crc:
            raise FormatError("the checksum of the postings does not match")
        arrays, at = [], 0
        for length, kind in zip(lengths, kinds, strict=True):
            made = np.frombuffer(body, kind, length, at).astype(kind.newbyteorder("="))
            arrays.append(made)
            at += length * kind.itemsize
        made_of = cls(arrays[0], np.ones(rows, np.bool_), *arrays[1:])
        made_of._check()
        return made_of

    def _check(self) -> None:
        """Refuse what no writer makes, so that no search reads beyond an array."""
        steps = np.diff(self.starts)
        sound = (
            (np.diff(self.rows) > 0).all()
            and (not len(self.rows) or self.rows[0] >= 0)
            and (np.diff(self.indices.astype(np.int64)) > 0).all()
            and self.starts[0] == 0
            and self.starts[-1] == len(self.places)
            and (steps > 0).all()
            and (not len(self.places) or 0 <= self.places.min() <= self.places.max())
            and (not len(self.places) or self.places.max() < len(self.rows))
            and np.isfinite(self.weights).all()
        )
        if not sound:
            raise FormatError("the postings do not fit together")


def _kinds() -> tuple[np.dtype[Any], ...]:
    return tuple(np.dtype(kind) for kind in ("<i8", "<u4", "<i8", "<i4", "<f4"))
