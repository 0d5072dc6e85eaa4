"""The part of `Index` that changes what it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _choose, _validate
from annx._backends import select
from annx._backends.base import Config, Core
from annx._describe import Described
from annx._journal import ADD, COMPACT, REMOVE, UPSERT, Change, Journal
from annx._progress import Progress, ignore
from annx._rows import to_rows
from annx.errors import AnnxError, DtypeError, LabelError

_MAX_LABEL = np.iinfo(np.int64).max


class Changeable(Described):
    """Adds, replaces and removes rows, and chooses the codec for them."""

    _core: Core
    _config: Config
    _why: str
    _preset: str | None
    _keep: str
    _capacity: int
    _num_threads: int | None
    _adding: Lock
    _journal: Journal
    # The label that follows the highest so far, also of removed ones; None while that is to
    # be found out, but not below `_least_label`.
    _next_label: int | None
    _least_label: int

    def _use(self, core: Core, choice: _choose.Choice) -> None:
        raise NotImplementedError

    def add(
        self,
        vectors: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        upsert: bool = False,
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> NDArray[np.int64]:
        """Add vectors.

        Parameters
        ----------
        vectors : array_like of shape (n, dim) or (dim,)
            float32, float64, float16, bfloat16, int8, uint8 or other integers: NumPy,
            DLPack, ``__array_interface__``, lists. ``"i8"`` and ``"u8"`` take whole
            numbers in range alone; ``"b1"`` takes bool of shape (n, dim) or packed
            uint8 of shape (n, dim / 8).
        labels : array_like of n ints, optional
            New and distinct int64, any but -1. By default they number on from the
            highest label so far.
        upsert : bool
            Labels may be in the index: their vectors are replaced. A search sees the old
            one or the new one, never both and never none.
        num_threads : int, optional
        progress : callable or True, optional
            Called as ``progress(rows_done, n)`` now and then; what it raises ends the
            call. True shows a bar on stderr. It must not change this index.

        Returns
        -------
        ndarray of shape (n,), int64
            The labels.

        Raises
        ------
        DimensionError
            A vector does not have `dim` elements.
        DtypeError
            Not real numbers, or not what the codec holds.
        NonFiniteError
            NaN, infinity, or too large a vector; the message names its row.
        ZeroVectorError
            A zero vector under ``"cosine"``; the message names its row.
        LabelError
            A label is taken, repeated, -1, or not an int64.
        CapacityError
            More than 2**30 - 2 rows.

        Notes
        -----
        An error leaves the index as it was. An interrupt (Ctrl-C, or what `progress`
        raises) or a `MemoryError` keeps the rows finished so far, ``len(index)`` of them in
        all.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> index.add([[0, 0], [3, 4]])
        array([0, 1])
        """
        self._refuse_read_only()
        rows = to_rows(vectors, self._config.dim, self._config.input_codec)
        n = len(rows)
        given = None if labels is None else _validate.new_labels(labels, n)
        threads = _validate.threads(num_threads, self._num_threads, n)
        poll = Progress(progress, n)
        _validate.refuse(self._core.find_bad_row(rows))
        if n == 0:
            return np.empty(0, np.int64)
        with self._adding:
            if given is not None:
                self._refuse_taken(given, upsert)
            taken = self._number(n) if given is None else given
            self._insert(rows, taken, threads, poll, upsert)
        poll.finish()
        return taken

    def update(
        self,
        labels: ArrayLike,
        vectors: ArrayLike,
        *,
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> None:
        """Replace the vectors of labels that are in the index.

        Parameters
        ----------
        labels : int or array_like of n ints
        vectors : array_like of shape (n, dim) or (dim,)
            As in `add`.
        num_threads : int, optional
        progress : callable or True, optional
            As in `add`.

        Raises
        ------
        LabelError
            A label is not in the index, or is given twice; nothing has changed.
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            As in `add`.

        Notes
        -----
        A search sees the old vector or the new one, never both and never none.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4]])
        >>> index.update(1, [6, 8])
        >>> index.get(1)
        array([6., 8.], dtype=float32)
        """
        self._refuse_read_only()
        rows = to_rows(vectors, self._config.dim, self._config.input_codec)
        n = len(rows)
        wanted = _validate.labels(labels, n)
        threads = _validate.threads(num_threads, self._num_threads, n)
        poll = Progress(progress, n)
        _validate.refuse(self._core.find_bad_row(rows))
        if n == 0:
            return
        with self._adding:
            self._refuse_missing(wanted)
            self._refuse_taken(wanted, upsert=True)
            self._insert(rows, wanted, threads, poll, upsert=True)
        poll.finish()

    def remove(self, labels: ArrayLike, *, num_threads: int | None = None) -> None:
        """Remove vectors.

        No search that begins after this returns finds them. Their place is used again by
        later adds, and the graph is mended on the way, a batch at a time: removing costs
        about what adding does. `compact` gives the memory back.

        Parameters
        ----------
        labels : int or array_like of n ints
        num_threads : int, optional

        Raises
        ------
        LabelError
            A label is not in the index, or is given twice; nothing has changed.

        Notes
        -----
        After an interrupt (Ctrl-C) the labels are removed, and the graph is mended later.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4]])
        >>> index.remove([0])
        >>> index.search([0, 0], k=1).labels
        array([[1]])
        """
        self._refuse_read_only()
        wanted = _validate.labels(labels)
        threads = _validate.threads(num_threads, self._num_threads, len(wanted))
        with self._adding:
            if len(wanted):
                self._least_label = self._next()
                with self._recorded(REMOVE, wanted):
                    self._core.remove(wanted, threads, ignore)

    def compact(self, *, num_threads: int | None = None) -> None:
        """Give back the memory of removed vectors.

        Searches go on meanwhile, on what was there before; for a moment the index takes
        its memory twice. `labels` keep their order.

        Parameters
        ----------
        num_threads : int, optional

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4]])
        >>> index.remove(0)
        >>> index.compact()
        >>> index.labels
        array([1])
        """
        self._refuse_read_only()
        threads = _validate.threads(num_threads, self._num_threads, len(self._core))
        with self._adding:
            with self._recorded(COMPACT):
                self._core.compact(threads, ignore)

    def _insert(
        self,
        rows: NDArray[Any],
        labels: NDArray[np.int64],
        threads: int,
        poll: Progress,
        upsert: bool,
    ) -> None:
        with self._recorded(UPSERT if upsert else ADD, labels, rows):
            self._fit(rows, threads)
            self._least_label = self._next()
            self._next_label = None  # in case of an interrupt
            self._core.add(rows, labels, num_threads=threads, poll=poll, upsert=upsert)
            self._next_label = max(self._least_label, int(labels.max()) + 1)

    @contextlib.contextmanager
    def _recorded(
        self,
        kind: int,
        labels: NDArray[np.int64] | None = None,
        rows: NDArray[Any] | None = None,
    ) -> Iterator[None]:
        """Record a change in the journal if it is made whole."""
        core = self._core
        try:
            yield
            self._journal.record(kind, labels, rows)
        except BaseException as error:
            # An error of our own leaves everything as it was, unless the codec was changed.
            if not isinstance(error, AnnxError) or core is not self._core:
                self._journal.give_up()
            raise

    def _replay(self, change: Change) -> None:
        """Make a change that a log holds, with all the checks of a user's."""
        _, labels, rows = change
        threads = _validate.threads(None, self._num_threads, 0 if labels is None else len(labels))
        if change.kind == COMPACT:
            self.compact()
        elif labels is None or len(labels) == 0:
            raise LabelError("expected labels, got none")
        elif rows is None:
            self.remove(labels)
        else:
            _validate.refuse(self._core.find_bad_row(rows))
            upsert = change.kind == UPSERT
            given = _validate.new_labels(labels, len(rows))
            self._refuse_taken(given, upsert)
            self._insert(rows, given, threads, Progress(None, len(rows)), upsert)

    def _fit(self, rows: NDArray[Any], threads: int) -> None:
        """Choose or change the codec for rows that are about to be added."""
        config = self._config
        if self._preset is not None:
            choice = _choose.by_rows(config, self._preset, self._keep, rows)
        elif _choose.fits(config, rows):
            return
        if self._keep == "f16" and not _choose.fits(replace(config, keep="f16", wide=False), rows):
            raise DtypeError(
                "expected rows that float16 holds (largest magnitude 2**-8 to 65504); "
                "keep_vectors='f32' holds others"
            )
        if self._preset is None:
            why = "changed from " + self._why.split(":")[0] + ": rows that it cannot hold came"
            choice = _choose.Choice(_choose.wider(config, self._keep, rows), why)
        core = select.create(choice.config)
        if self._capacity:
            core.reserve(self._capacity)
        if len(self._core):
            labels = self._core.labels()
            core.add(self._core.get(labels), labels, num_threads=threads, poll=ignore)
        with self._switching:
            self._preset = None
            self._use(core, choice)

    def _refuse_taken(self, labels: NDArray[np.int64], upsert: bool) -> None:
        taken = self._core.contains(labels)
        if taken.any() and not upsert:
            raise LabelError(f"label {labels[np.argmax(taken)]} is already in the index")
        # The core looks for repeats too, but a codec would have been chosen by then.
        ordered = np.sort(labels)
        twice = ordered[1:] == ordered[:-1]
        if twice.any():
            raise LabelError(f"label {ordered[np.argmax(twice)]} is given twice")

    def _refuse_missing(self, labels: NDArray[np.int64]) -> None:
        missing = ~self._core.contains(labels)
        if missing.any():
            raise LabelError(f"label {labels[np.argmax(missing)]} is not in the index")

    def _next(self) -> int:
        if self._next_label is None:
            highest = int(self._core.labels().max(initial=-1))
            self._next_label = max(self._least_label, highest + 1)
        return self._next_label

    def _number(self, n: int) -> NDArray[np.int64]:
        first = self._next()
        if first + n - 1 > _MAX_LABEL:
            raise LabelError(f"no {n} labels are left above the highest, {first - 1}; pass labels")
        return np.arange(first, first + n, dtype=np.int64)
