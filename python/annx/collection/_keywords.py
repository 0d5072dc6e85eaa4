"""Keyword search: BM25 over a collection's text fields, by tantivy."""

from __future__ import annotations

import json
import re
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annx._extra import extra
from annx.collection import _match, _text_files
from annx.collection._derived import Change
from annx.collection._private import PrivateFolder, sweep
from annx.collection._snippets import Highlight, Marker
from annx.collection._text import RULES, TextField, TextQuery, analyzer, normal
from annx.errors import FormatError, ParameterError, RebuildWarning, StorageError

if TYPE_CHECKING:
    import tantivy

_ROW = "_row"
# tantivy's least is 15 MB a thread; at 50 MB, 117,659 definitions become one segment.
_HEAP = 50_000_000
# Hits beyond k that a search asks for at once, to see whether the k-th score is shared.
_SPARE = 8
# A row given to tantivy as an id costs about this many hits fetched and thrown away.
_ID_COST = 10


class Keywords:
    """The keyword index of a collection: a part derived from its records.

    A search sees every change applied: if any wait, they are committed first, which takes
    some 10 ms, whether they are one or thousands.

    Parameters
    ----------
    folder : Path
        Of this index alone.
    fields : mapping of str to TextField
    read_only : bool
        Leave the folder as it is, and work on a copy that is gone with the process. It is made of
        hard links, and files are never changed but replaced.

    Raises
    ------
    MissingExtraError
        tantivy is not installed.
    """

    def __init__(
        self, folder: Path, fields: Mapping[str, TextField], *, read_only: bool = False
    ) -> None:
        with extra("text"):
            import tantivy
        self._tantivy: Any = tantivy
        self._durable = folder
        self._read_only = read_only
        self._fields = dict(fields)
        self._lock = threading.RLock()
        self._private: PrivateFolder | None = None
        self._terms: dict[str, _match.Terms] = {}
        self._settings = json.dumps(
            [RULES, {n: [f.language, f.fold] for n, f in self._fields.items()}], sort_keys=True
        )
        #: Whether the folder held an index that is of no use.
        self.damaged = False
        self._start()

    # Files

    def _start(self) -> None:
        self._writer: tantivy.IndexWriter | None = None
        self._waiting = False
        self._point = _text_files.Point(0, -1)
        if not self._read_only:
            sweep(self._durable)
        if _text_files.exists(self._durable):
            try:
                self._point = self._load()
            except (FormatError, OSError, ValueError) as error:
                self.damaged = True
                warnings.warn(
                    f"the keyword index is made again from the records: {error}",
                    RebuildWarning,
                    stacklevel=4,
                )
                self._empty()
        else:
            self._empty()
        self._applied, self._highest = self._point.sequence, self._point.highest

    def _load(self) -> _text_files.Point:
        folder = self._durable
        if self._read_only:
            folder = self._make_private()
            _text_files.copy(self._durable, folder)
        point = _text_files.verify(folder, self._settings)
        if not self._read_only:
            _text_files.drop_unfinished(folder)
        self._open(folder)
        return point

    def _empty(self) -> None:
        if self._read_only:
            self._open(self._make_private())
            return
        # With its mark from the first moment: that one is missing is damage.
        new = self._durable.with_name(f"{self._durable.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        self._open(new)
        self._mark(new, _text_files.Point(0, -1))
        shutil.rmtree(self._durable, ignore_errors=True)
        new.replace(self._durable)
        self._open(self._durable)

    def _mark(self, folder: Path, then: _text_files.Point) -> None:
        commit = _text_files.last_commit(folder)
        mark = _text_files.Mark(self._settings, commit, self._point, then)
        _text_files.write_mark(folder, mark)

    def _make_private(self) -> Path:
        if self._private is None:
            self._private = PrivateFolder(self._durable)
        folder = self._private.path / "index"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _open(self, folder: Path) -> None:
        builder = self._tantivy.SchemaBuilder()
        # Signed: a value of an unsigned field given as a keyword ends tantivy's writer thread.
        builder.add_integer_field(_ROW, indexed=True, fast=True)
        analyzers: dict[str, tantivy.TextAnalyzer] = {}
        terms = {}
        for number, (name, field) in enumerate(self._fields.items()):
            plain = re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)
            stem = raw = name if plain else f"_f{number}"
            analyzers[stem] = analyzer(field, stemmed=True)
            builder.add_text_field(stem, tokenizer_name=stem, index_option="position")
            if field.language is not None:
                raw = f"_raw{number}"
                analyzers[raw] = analyzer(field, stemmed=False)
                builder.add_text_field(raw, tokenizer_name=raw, index_option="basic")
            terms[name] = _match.Terms(stem, raw, analyzers[stem], analyzers[raw])
        index = self._tantivy.Index(builder.build(), str(folder))
        for name, made in analyzers.items():
            index.register_tokenizer(name, made)
        self._index = index
        self._folder = folder
        self._terms = terms
        self._searcher = index.searcher()

    @property
    def fields(self) -> frozenset[str]:
        """Vector and sparse fields that this is made of: none."""
        return frozenset()

    @property
    def sequence(self) -> int:
        """The last change that the folder reflects."""
        return self._point.sequence

    # Changes

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Reflect changes, for later searches of this process.

        Raises
        ------
        StorageError
        """
        with self._lock:
            writer = self._ready()
            for change in changes:
                if change.kept.issuperset(self._fields):
                    continue
                if change.row <= self._highest:
                    writer.delete_documents_by_term(_ROW, change.row)
                self._waiting = True
                self._highest = max(self._highest, change.row)
                if change.document is not None:
                    self._add(writer, change.row, change.document)
            self._applied = sequence

    def _add(self, writer: tantivy.IndexWriter, row: int, document: Mapping[str, Any]) -> None:
        made = self._tantivy.Document()
        empty = True
        for name, terms in self._terms.items():
            text = document.get(name)
            if not isinstance(text, str) or not text:
                continue
            text = normal(text)
            empty = False
            made.add_text(terms.stem, text)
            if terms.raw != terms.stem:
                made.add_text(terms.raw, text)
        if empty:
            return
        made.add_integer(_ROW, row)
        try:
            writer.add_document(made)
        except (ValueError, RuntimeError, OSError) as error:
            raise StorageError(f"the keyword index cannot be written: {error}") from error

    def _ready(self) -> tantivy.IndexWriter:
        if self._writer is None:
            try:
                self._writer = self._index.writer(_HEAP, 1)
            except (ValueError, OSError) as error:
                raise StorageError(f"the keyword index cannot be written: {error}") from error
        return self._writer

    def commit(self) -> None:
        """Make durable what was applied, together with its sequence.

        Raises
        ------
        StorageError
        """
        with self._lock:
            if not self._read_only and (self._waiting or self._applied != self.sequence):
                self._flush()

    def _flush(self) -> None:
        then = _text_files.Point(self._applied, self._highest)
        try:
            if not self._waiting:
                self._point = then
            if not self._read_only:
                self._mark(self._folder, then)
            if self._waiting:
                self._ready().commit()
                self._index.reload()
                self._searcher = self._index.searcher()
                self._waiting = False
            if not self._read_only:
                self._point = then
        except (ValueError, RuntimeError, OSError) as error:
            raise StorageError(f"the keyword index cannot be written: {error}") from error

    def clear(self) -> None:
        """Forget everything; sequence 0."""
        with self._lock:
            self._stop()
            self._point = _text_files.Point(0, -1)
            self._empty()
            self._waiting = False
            self._applied, self._highest = self._point.sequence, self._point.highest

    def verify(self, rows: set[int], holding: Mapping[str, set[int]]) -> Iterator[str]:
        """Compare with the records: rows that there are."""
        searcher, _, _ = self._current()
        everything = self._tantivy.Query.all_query()
        count = max(searcher.num_docs, 1)
        hits = searcher.search(everything, count, count=False, order_by_field=_ROW).hits
        # A document without text has no entry.
        if surplus := {row for row, _ in hits} - rows:
            yield f"{len(surplus)} rows too many"

    def size(self) -> int:
        """Bytes on disk."""
        return _text_files.size(self._durable)

    def close(self) -> None:
        """Let go of files, without `commit`."""
        with self._lock:
            self._stop()
            if self._private is not None:
                self._private.close()
                self._private = None

    def _stop(self) -> None:
        # Forgotten first: it is of no use once it is waited for, though Ctrl-C comes in between.
        writer, self._writer = self._writer, None
        if writer is not None:
            # Merges of segments go on in threads, and write to the folder.
            writer.wait_merging_threads()

    # Searches

    def search(
        self, query: Any, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the best rows for words; equal scores in ascending order of rows.

        Parameters
        ----------
        query : str or TextQuery
        k : int
        allowed : ndarray of bool, optional
            By row; beyond its end nothing is allowed.

        Returns
        -------
        rows : ndarray of int64
        scores : ndarray of float64
            BM25 with k1 = 1.2 and b = 0.75, summed over words and fields, each field's times its
            boost.

        Raises
        ------
        ParameterError
        """
        return self.planned_search(query, k, allowed)[:2]

    def planned_search(
        self, query: Any, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
        """As `search`, and how it dealt with `allowed`: "none", "over-fetch" or "rows"."""
        none = np.empty(0, np.int64), np.empty(0)
        searcher, made = self._made(query)
        if made is None or k < 1 or not searcher.num_docs:
            return *none, "none"
        if allowed is None:
            return *(self._best(searcher, made, k, None, searcher.num_docs) or none), "none"
        passing = int(np.count_nonzero(allowed))
        if not passing:
            return *none, "rows"
        # As many hits as hold k that pass, if words and filter are independent; by ids, once that
        # many would cost more than naming all rows that pass.
        likely = int(1.5 * k * max(1.0, searcher.num_docs / passing))
        most = _ID_COST * passing
        if likely <= most:
            found = self._best(searcher, made, k, allowed, most, likely)
            if found is not None:
                return *found, "over-fetch"
        made = self._among(made, np.flatnonzero(allowed))
        return *(self._best(searcher, made, k, None, searcher.num_docs) or none), "rows"

    def matches(self, query: Any, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Find all rows that hold what a query asks for, in no order.

        Raises
        ------
        ParameterError
        """
        searcher, made = self._made(query)
        if made is None or not searcher.num_docs:
            return np.empty(0, np.int64)
        hits = searcher.search(made, searcher.num_docs, count=False, order_by_field=_ROW).hits
        rows = np.array([row for row, _ in hits], np.int64)
        if allowed is None:
            return rows
        rows = rows[rows < len(allowed)]
        return rows[allowed[rows]]

    def _made(self, query: Any) -> tuple[tantivy.Searcher, tantivy.Query | None]:
        asked = _asked(query)
        boosts = asked.boosts(self._fields)
        searcher, index, terms = self._current()
        return searcher, _match.build(asked, terms, boosts, index, searcher)

    def _current(self) -> tuple[tantivy.Searcher, tantivy.Index, dict[str, _match.Terms]]:
        with self._lock:
            if self._waiting:
                self._flush()
            return self._searcher, self._index, self._terms

    def _among(self, query: tantivy.Query, rows: NDArray[np.int64]) -> tantivy.Query:
        make, must = self._tantivy.Query, self._tantivy.Occur.Must
        members = make.term_set_query(self._index.schema, _ROW, rows.tolist())
        made: tantivy.Query = make.boolean_query(
            [(must, query), (must, make.const_score_query(members, 0.0))]
        )
        return made

    def _best(
        self,
        searcher: tantivy.Searcher,
        query: tantivy.Query,
        k: int,
        allowed: NDArray[np.bool_] | None,
        most: int,
        likely: int = 0,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """The k best that pass, ties among them settled; None if `most` hits do not hold them."""
        total = searcher.num_docs
        limit = max(k, likely) + _SPARE
        while True:
            limit = min(limit, total)
            hits = searcher.search(query, limit, count=False).hits
            scores = np.array([score for score, _ in hits], np.float64)
            places = [place for _, place in hits]
            rows = np.array(searcher.fast_field_values(_ROW, places), np.int64)
            last = scores[-1] if len(scores) else 0.0
            if allowed is not None:
                inside = np.flatnonzero(rows < len(allowed))
                passing = inside[allowed[rows[inside]]]
                rows, scores = rows[passing], scores[passing]
            # The k-th score must be above what was not fetched: an equal one may belong to an
            # earlier row.
            if len(hits) < limit or limit == total or (len(rows) >= k and scores[k - 1] > last):
                order = np.lexsort((rows, -scores))[:k]
                return rows[order], scores[order]
            if limit >= most:
                return None
            limit *= 4

    def snippets(
        self, query: Any, documents: Sequence[Mapping[str, Any]], style: Highlight
    ) -> list[dict[str, str]]:
        """For each document, of each text field the part that answers a query best.

        Raises
        ------
        ParameterError
        """
        asked = _asked(query)
        names = asked.boosts(self._fields) if style.fields is None else style.fields
        for name in names:
            if name not in self._fields:
                raise ParameterError(
                    f"expected text fields of {sorted(self._fields)}, got {name!r}"
                )
        searcher, index, terms = self._current()
        fields = {name: terms[name] for name in names}
        return Marker(asked, fields, index, searcher, style).mark(documents)


def _asked(query: Any) -> TextQuery:
    asked = TextQuery(query) if isinstance(query, str) else query
    if not isinstance(asked, TextQuery):
        raise ParameterError(f"expected str or TextQuery, got {type(query).__qualname__}")
    return asked
