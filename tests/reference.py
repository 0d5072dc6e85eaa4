"""The slow twin of every backend: brute force in float64, written for plainness."""

from __future__ import annotations

import numpy as np
import reference_codes as codes

from annx._backends.base import MAX_ROWS, NO_LINK, SCALED, STORAGE_DTYPES, TREE_FLAG, Config, State
from annx.errors import CapacityError, LabelError, NonFiniteError, ZeroVectorError

LARGEST_SQUARE = float(np.finfo(np.float32).max) / 4
REASONS = {
    "nan": "contains NaN",
    "inf": "contains infinity",
    "overflow": "is so long that its distances overflow float32",
    "zero": "is zero and has no direction under cosine",
}


def decode(codec: str, rows: np.ndarray) -> np.ndarray:
    """Rows of a codec's element type as float64 (``b1``: one 0.0 or 1.0 a bit)."""
    if codec == "bf16":
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    if codec == "b1":
        rows = np.unpackbits(rows, axis=1)
    return rows.astype(np.float64)


def distances(metric: str, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distances of one float64 vector to rows of float64 vectors."""
    if metric in ("l2", "hamming"):
        return ((rows - query) ** 2).sum(axis=1)
    dots = rows @ query
    if metric == "cosine":
        dots = dots / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))
    return 1 - dots


class ReferenceCore:
    def __init__(self, config: Config) -> None:
        self._config = config
        # What is compared: kept vectors, or stored rows of codes.
        self._only_codes = config.kept_codec in SCALED
        self._rows = self._narrow(np.empty((0, config.columns), np.float32))
        # The codes beside kept vectors.
        self._coded = np.empty((0, config.row_stride), np.uint8)
        # Unit vectors under cosine with f32, and the lengths that they had.
        self._norms = np.empty(0, np.float32)
        self._labels: list[int] = []

    @property
    def config(self) -> Config:
        return self._config

    def __len__(self) -> int:
        return len(self._labels)

    def _narrow(self, rows):
        """Rows of the input's type as they are compared."""
        c = self._config
        if self._only_codes:
            return codes.encode(c, rows)
        return rows.astype(STORAGE_DTYPES[c.kept_codec], copy=False)

    def find_bad_row(self, rows):
        if self._config.codec == "b1":
            return None
        with np.errstate(over="ignore"):
            values = decode(self._config.input_codec, rows)
            squares = (values**2).sum(axis=1)
        for row, (value, square) in enumerate(zip(values, squares, strict=True)):
            if np.isnan(value).any():
                return row, "nan"
            if np.isinf(value).any():
                return row, "inf"
            if square > LARGEST_SQUARE:
                return row, "overflow"
            if square < self._smallest and self._config.metric == "cosine":
                return row, "zero"
        return None

    @property
    def _smallest(self):
        """1 / length must fit float32 where a stored row carries it."""
        return float(np.finfo(np.float32).max) ** -2 if self._config.has_scale else 5e-324

    def reserve(self, capacity):
        pass

    def add(self, rows, labels, *, num_threads, poll=None, upsert=False):
        if len(self) + len(rows) > MAX_ROWS:
            raise CapacityError(f"expected at most {MAX_ROWS} rows")
        if labels is None:
            start = max([-1, *self._labels]) + 1
            labels = np.arange(start, start + len(rows))
        new = [int(label) for label in labels]
        if upsert:
            present = self.contains(np.array(new, np.int64))
            replaced = np.array(new, np.int64)[present]
        known = set() if upsert else set(self._labels)
        for label in new:
            if label in known:
                raise LabelError(f"label {label} is already in the index, or given twice")
            known.add(label)
        done = 0
        try:
            while done < len(new):
                if poll is not None:
                    poll(done)
                done = min(done + 64, len(new))
        finally:
            if upsert:
                self._drop(replaced)
            if self._config.keep:
                self._coded = np.concatenate([self._coded, codes.encode(self._config, rows[:done])])
            stored, norms = self._to_unit(self._narrow(rows[:done]))
            self._rows = np.concatenate([self._rows, stored])
            self._norms = np.concatenate([self._norms, norms])
            self._labels += new[:done]

    def remove(self, labels, num_threads, poll=None):
        if len(set(labels.tolist())) != len(labels):
            raise LabelError("a label is given twice")
        self.get(labels)
        self._drop(labels)

    def _drop(self, labels):
        kept = ~np.isin(self.labels(), labels)
        self._rows, self._norms = self._rows[kept], self._norms[kept]
        if self._config.keep:
            self._coded = self._coded[kept]
        self._labels = self.labels()[kept].tolist()

    def repair(self, seconds, num_threads, poll=None):
        return 0

    def compact(self, num_threads, poll=None):
        pass

    @property
    def _is_unit(self):
        return self._config.has_norms

    def _to_unit(self, rows):
        if not self._is_unit:
            return rows, np.ones(len(rows), np.float32)
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        return (rows / norms[:, None]).astype(np.float32), norms.astype(np.float32)

    def search(self, queries, k, ef_search, num_threads, poll=None):
        return self.exact_search(queries, k, num_threads, poll)

    def exact_search(self, queries, k, num_threads, poll=None):
        bad = self.find_bad_row(queries)
        if bad is not None:
            kind = ZeroVectorError if bad[1] == "zero" else NonFiniteError
            raise kind(f"query {bad[0]} {REASONS[bad[1]]}")
        found = np.full((len(queries), k), -1, np.int64)
        dists = np.full((len(queries), k), np.inf, np.float32)
        c = self._config
        labels = np.array(self._labels, np.int64)
        base = self._rows if self._only_codes else decode(c.kept_codec, self._rows)
        for i, query in enumerate(decode(c.input_codec, queries)):
            if self._only_codes:
                each = codes.distances(c, query, base)
            else:
                each = distances(c.metric, query, base)
            order = np.argsort(each, kind="stable")[:k]
            found[i, : len(order)] = labels[order]
            dists[i, : len(order)] = each[order]
        return found, dists

    def make_filter(self, labels, allow):
        listed = np.flatnonzero(labels) if labels.dtype == np.bool_ else labels
        return set(listed.tolist()), allow

    def planned_search(self, queries, k, ef_search, filters, exact, num_threads, poll=None):
        labels, dists = self.exact_search(queries, max(1, len(self)), num_threads, poll)
        found = np.full((len(queries), k), -1, np.int64)
        near = np.full((len(queries), k), np.inf, np.float32)
        reports = np.zeros((len(queries), 4), np.int64)
        for i in range(len(queries) if len(self) else 0):
            keep = np.ones(len(self), bool)
            if filters:
                wanted, allow = filters[0 if len(filters) == 1 else i]
                keep = np.array([(label in wanted) == allow for label in labels[i].tolist()])
            count = min(k, np.count_nonzero(keep))
            found[i, :count], near[i, :count] = labels[i][keep][:k], dists[i][keep][:k]
            reports[i, 2] = np.count_nonzero(keep)
            if count < k:
                reports[i, 3] = 1 if keep.all() else 2
        return found, near, reports

    def range_search(self, queries, radius, ef_search, filters, exact, num_threads, poll=None):
        k = max(1, len(self))
        labels, dists, _ = self.planned_search(queries, k, 1, filters, True, 1, poll)
        within = (dists < np.float32(radius)) & (labels != -1)
        lims = np.concatenate([[0], np.cumsum(within.sum(axis=1))])
        return lims, labels[within], dists[within]

    def get(self, labels):
        places = {label: slot for slot, label in enumerate(self._labels)}
        for label in labels:
            if int(label) not in places:
                raise LabelError(f"label {label} is not in the index")
        slots = [places[int(label)] for label in labels]
        rows = self._rows[slots]
        if self._only_codes:
            return codes.decode(self._config, rows).astype(np.float32)
        if self._is_unit:
            return rows * self._norms[slots, None]
        c = self._config
        return rows.astype(STORAGE_DTYPES[c.input_codec]) if c.wide or c.keep else rows

    def contains(self, labels):
        return np.isin(labels, np.array(self._labels, np.int64))

    def labels(self):
        return np.array(self._labels, np.int64)

    def export_state(self):
        """A valid graph, if a poor one: a chain."""
        c = self._config
        n = len(self)
        kept = self._rows if self._only_codes else self._kept_rows()
        first_of: dict[bytes, int] = {}
        twins = []
        for slot, row in enumerate(kept):
            original = first_of.setdefault(row.tobytes(), slot)
            if original != slot:
                twins.append((slot, original))
        nodes = sorted(first_of.values())
        links = np.full((n, 2 * c.M), NO_LINK, np.uint32)
        for place, node in enumerate(nodes):
            ends = nodes[max(0, place - 1) : place] + nodes[place + 1 : place + 2]
            links[node, : len(ends)] = np.array(ends, np.uint32) | TREE_FLAG
        return State(
            rows=self._coded.copy() if c.keep else kept,
            links=links,
            labels=self.labels(),
            norms=self._norms.copy() if self._is_unit else None,
            twins=np.array(twins, np.uint32).reshape(-1, 2),
            originals=kept if c.keep else None,
        )

    def _kept_rows(self):
        """Kept vectors with their padding and scale."""
        c = self._config
        stored = np.zeros((len(self), c.kept_stride if c.keep else c.row_stride), np.uint8)
        raw = np.ascontiguousarray(self._rows).view(np.uint8)
        stored[:, : raw.shape[1]] = raw
        if c.metric == "cosine" and c.kept_codec != "f32":
            lengths = np.linalg.norm(decode(c.kept_codec, self._rows), axis=1)
            stored[:, -4:] = (1 / lengths).astype(np.float32)[:, None].view(np.uint8)
        return stored

    def import_state(self, state):
        c = self._config
        kept = state.originals if c.keep else state.rows
        if self._only_codes:
            self._rows = kept.copy()
        else:
            dtype = STORAGE_DTYPES[c.kept_codec]
            raw = np.ascontiguousarray(kept[:, : c.columns * dtype.itemsize])
            self._rows = raw.view(dtype).copy()
        self._coded = state.rows.copy() if c.keep else self._coded
        self._norms = np.ones(len(kept), np.float32) if state.norms is None else state.norms.copy()
        self._labels = state.labels.tolist()
        self._drop(np.array([-1]))

    def map_state(self, state, mapped):
        mapped.verify()
        self.import_state(state)

    def memory(self):
        return {"rows": self._rows.nbytes, "labels": 8 * len(self)}
