"""Which labels a search may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _validate
from annx._backends.base import Core
from annx._describe import Described
from annx.errors import ParameterError

#: A filter in any of the forms that `Filter` takes, or one for each query.
FilterLike = Any


class Filter:
    """Labels that searches of an index may return.

    Built once, it costs a search next to nothing to pass. It stands for labels, not for
    rows: a label that is removed and added again is as before, and one that comes later
    passes only where the filter says "all but". Filters of one index combine by ``~``,
    ``&``, ``|`` and ``-``. ``~Filter(index, seen)`` is a deny-list, as cheap as an
    allow-list.

    Parameters
    ----------
    index : Index
    allowed : array_like or callable
        Labels of any integer type but uint8 (unknown ones do no harm); or a bool mask of
        shape (len(index),) in the order of ``index.labels``; or the same packed to uint8
        by ``np.packbits``; or a callable that is given ``index.labels`` and returns such a
        mask.

    Raises
    ------
    LabelError
        Labels are not integers.
    ParameterError
        A mask is not as long as the index.

    Examples
    --------
    >>> import annx
    >>> index = annx.Index(1)
    >>> _ = index.add([[0], [1], [2], [3]])
    >>> even = annx.Filter(index, [0, 2])
    >>> index.search([0], k=2, filter=even).labels
    array([[0, 2]])
    >>> index.search([0], k=2, filter=~even & ~annx.Filter(index, [1])).labels
    array([[ 3, -1]])
    """

    __slots__ = ("_allow", "_index", "_labels", "_made")

    def __init__(self, index: Described, allowed: ArrayLike | Callable[..., Any]) -> None:
        self._set(index, _labels_of(index._core, allowed), True)

    @classmethod
    def by_label(cls, index: Described, passing: ArrayLike) -> Self:
        """Make a filter of an array that says for each label whether it passes.

        For labels that count from 0, as those of a table's rows do, this is the cheapest
        form: no label is looked up.

        Parameters
        ----------
        index : Index
        passing : array_like of shape (n,), bool
            Label i passes if ``passing[i]``; others do not. It is copied.

        Returns
        -------
        Filter

        Raises
        ------
        ParameterError
            `passing` is not a bool array of one dimension.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(1)
        >>> _ = index.add([[0], [1], [2]], labels=[5, 2, 0])
        >>> index.search([0], k=2, filter=annx.Filter.by_label(index, [True, True, True])).labels
        array([[2, 0]])
        """
        dense = np.array(passing, order="C")
        if not dense.size and dense.ndim == 1:
            dense = dense.astype(np.bool_)
        if dense.dtype != np.bool_ or dense.ndim != 1:
            raise ParameterError(
                f"expected a bool array of one dimension, got {dense.shape} {dense.dtype}"
            )
        new = cls.__new__(cls)
        new._set(index, dense, True)
        return new

    def _set(
        self, index: Described, labels: NDArray[np.int64] | NDArray[np.bool_], allow: bool
    ) -> None:
        self._index = index
        self._labels = labels
        self._allow = allow
        # A core, and what it made of this. Replaced as one: threads share filters.
        self._made: tuple[Core | None, object] = None, None

    def _handle_for(self, core: Core) -> object:
        # An index that changes its codec has another core.
        known, handle = self._made
        if known is not core:
            handle = core.make_filter(self._labels, self._allow)
            self._made = core, handle
        return handle

    def _combine(self, other: Filter, both: bool) -> Filter:
        """Intersect, or unite: what is said of labels, or of all but these."""
        if not isinstance(other, Filter):
            return NotImplemented
        if other._index is not self._index:
            raise ParameterError("expected filters of one index, got filters of two")
        a, b = _listed(self._labels), _listed(other._labels)
        if self._allow and other._allow:
            labels = np.intersect1d(a, b, True) if both else np.union1d(a, b)
        elif not self._allow and not other._allow:
            labels = np.union1d(a, b) if both else np.intersect1d(a, b, True)
        else:
            allowed, denied = (a, b) if self._allow else (b, a)
            labels = np.setdiff1d(*((allowed, denied) if both else (denied, allowed)), True)
        allow = (self._allow and other._allow) if not both else (self._allow or other._allow)
        return _made(self._index, labels, allow)

    def __invert__(self) -> Filter:
        return _made(self._index, self._labels, not self._allow)

    def __and__(self, other: Filter) -> Filter:
        return self._combine(other, True)

    def __or__(self, other: Filter) -> Filter:
        return self._combine(other, False)

    def __sub__(self, other: Filter) -> Filter:
        return self._combine(~other, True) if isinstance(other, Filter) else NotImplemented

    def __repr__(self) -> str:
        kind = "only" if self._allow else "all but"
        return f"<annx.Filter {kind} {len(_listed(self._labels)):,} labels>"


def _listed(labels: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
    """Labels in ascending order, each once."""
    return np.flatnonzero(labels) if labels.dtype == np.bool_ else np.unique(labels)


def _made(index: Described, labels: NDArray[np.int64] | NDArray[np.bool_], allow: bool) -> Filter:
    new = Filter.__new__(Filter)
    new._set(index, labels, allow)
    return new


def _by_mask(core: Core, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels = core.labels()
    if len(mask) != len(labels):
        raise ParameterError(f"expected a mask of {len(labels)} rows, got {len(mask)}")
    return np.asarray(labels[mask])


def _labels_of(core: Core, allowed: ArrayLike | Callable[..., Any]) -> NDArray[np.int64]:
    if callable(allowed) and not hasattr(allowed, "__array__"):
        labels = core.labels()
        mask = np.asarray(allowed(labels))
        if mask.dtype != np.bool_ or mask.shape != labels.shape:
            raise ParameterError(
                f"expected the filter's callable to return {labels.shape} bool, "
                f"got {mask.shape} {mask.dtype}"
            )
        return np.asarray(labels[mask])
    if isinstance(allowed, set | frozenset | range):
        allowed = list(allowed)
    if isinstance(allowed, list) and not allowed:
        return np.empty(0, np.int64)
    array = np.asarray(allowed) if isinstance(allowed, list | tuple | np.ndarray) else None
    if array is not None and array.dtype == np.bool_ and array.ndim == 1:
        return _by_mask(core, array)
    if array is not None and array.dtype == np.uint8 and array.ndim == 1:
        n = len(core)
        if len(array) != (n + 7) // 8:
            raise ParameterError(f"expected {(n + 7) // 8} bytes of packed bits, got {len(array)}")
        return _by_mask(core, np.unpackbits(array, count=n).view(np.bool_))
    return _validate.labels(allowed)


def handles(index: Described, core: Core, given: FilterLike, queries: int) -> list[object]:
    """Make what a core takes of a filter argument: none, one, or one for each query.

    They are good for that core alone, which `index` may have exchanged for another by now.

    Raises
    ------
    LabelError, ParameterError
        As `Filter`; or not as many filters as queries.
    """
    if given is None:
        return []
    if isinstance(given, Filter):
        return [_own(index, given)._handle_for(core)]
    if not _is_several(given):
        return [core.make_filter(_labels_of(core, given), True)]
    if len(given) != queries:
        raise ParameterError(f"expected a filter for each of {queries} queries, got {len(given)}")
    return [_one_of_several(index, core, each) for each in given]


def _one_of_several(index: Described, core: Core, given: FilterLike) -> object:
    if given is None:
        return core.make_filter(np.empty(0, np.int64), False)
    if isinstance(given, Filter):
        return _own(index, given)._handle_for(core)
    return core.make_filter(_labels_of(core, given), True)


def _own(index: Described, given: Filter) -> Filter:
    if given._index is not index:
        raise ParameterError("expected a filter of this index, got one of another")
    return given


def _is_several(given: FilterLike) -> bool:
    """Whether an argument is a filter for each query."""
    if isinstance(given, np.ndarray):
        return given.ndim == 2
    if not isinstance(given, list | tuple) or not given:
        return False
    first = given[0]
    return (
        first is None
        or callable(first)
        or isinstance(first, Filter | Iterable)
        or getattr(first, "ndim", 0) > 0
    )
