"""Rows into stores, queries into what kernels compare, and stored rows back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import Config
from annx._backends.numba_layout import (
    QUERY_DTYPES,
    Store,
    grown_store,
    is_scaled,
    kept_config,
    new_store,
    ranks_again,
)
from annx._backends.numba_rows import find_defect, prepare, store_rows
from annx._backends.numba_scaled import decode, encode, rotation_signs, turned_queries
from annx._backends.numba_state import inner_rows, outer_rows
from annx.errors import NonFiniteError, ZeroVectorError

_REASONS = {
    "nan": "contains NaN",
    "inf": "contains infinity",
    "overflow": "is so long that its distances overflow float32",
    "zero": "is zero and has no direction under cosine",
}

#: Queries and their scales, as a store's kernels compare them.
Prepared = tuple[NDArray[Any], NDArray[np.float32]]


class Codec:
    """What happens to vectors on their way in and out.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._kept = kept_config(config)
        self._empty = new_store(config)
        self._is_cosine = config.metric == "cosine"
        self._signs = rotation_signs(config)

    def find_bad_row(self, rows: NDArray[Any]) -> tuple[int, str] | None:
        """See `Core`."""
        if self._config.codec == "b1":
            return None
        return find_defect(inner_rows(self._config, rows), self._is_cosine)

    def put(
        self,
        store: Store,
        originals: Store | None,
        slot: int,
        rows: NDArray[Any],
        start: int,
        stop: int,
    ) -> None:
        """Store ``rows[start:stop]`` in the slots from `slot`."""
        config = self._config
        if is_scaled(config):
            encode(config, self._signs, rows, start, stop, store, slot)
        else:
            inner = inner_rows(config, rows)
            store_rows(store, slot, inner, start, stop, self._kept.has_norms)
        if originals is None:
            return
        block = rows[start:stop]
        if self._kept.codec == "f16":
            block = block.astype(np.float16).view(np.int16)
        store_rows(originals, slot, block, 0, stop - start, self._kept.has_norms)

    def prepare(self, queries: NDArray[Any]) -> tuple[Prepared, Prepared]:
        """Queries for the graph, and for the rows that decide the order of its hits.

        Raises
        ------
        NonFiniteError, ZeroVectorError
            Naming the query's row.
        """
        config = self._config
        rows = inner_rows(config, queries.reshape(-1, config.columns))
        if not is_scaled(config):
            plain = self._plain(rows, config)
            return plain, plain
        if config.keep:
            sharp = self._plain(rows, self._kept)
        else:
            self._check(find_defect(rows, self._is_cosine))
        codes = grown_store(config, self._empty, 0, len(rows))
        encode(config, self._signs, rows, 0, len(rows), codes, 0)
        coarse = codes.rows, codes.scales
        if not ranks_again(config):
            sharp = coarse
        elif not config.keep:
            sharp = turned_queries(config, self._empty.metric, self._signs, rows)
        return coarse, sharp

    def get(self, store: Store, originals: Store | None, slots: NDArray[Any]) -> NDArray[Any]:
        """Rows of `slots` as they were given, or as near as they are kept."""
        if originals is None and is_scaled(self._config):
            return decode(self._config, self._signs, store, slots)
        kept = originals or store
        rows = outer_rows(self._kept, kept.rows[slots])
        if self._config.input_codec == "f32":
            rows = rows.astype(np.float32, copy=False)
        if self._kept.has_norms:
            rows *= kept.scales[slots, None]
        return rows

    def _plain(self, rows: NDArray[Any], config: Config) -> Prepared:
        dtype = QUERY_DTYPES[config.codec]
        if config.wide:
            # Kernels of whole numbers are several times as fast as those of floats.
            with np.errstate(invalid="ignore"):
                narrow = rows.astype(dtype)
            if np.array_equal(narrow, rows):
                rows = narrow
            dtype = rows.dtype
        prepared = np.empty(rows.shape, dtype)
        scales = np.empty(len(rows), np.float32)
        self._check(prepare(rows, self._is_cosine, config.wide, prepared, scales))
        return prepared, scales

    def _check(self, bad: tuple[int, str] | None) -> None:
        if bad is not None:
            row, reason = bad
            kind = ZeroVectorError if reason == "zero" else NonFiniteError
            raise kind(f"query row {row} {_REASONS[reason]}")
