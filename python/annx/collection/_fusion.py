"""Several ranked lists made into one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from annx import _validate
from annx.errors import ParameterError

Method = Literal["rrf", "wsum"]
Norm = Literal["min-max", "z-score", "none"]
Id = TypeVar("Id", bound=Hashable)

# Sums of the same terms in another order differ in the last bits: scores that differ by less than
# this are a tie.
_DIGITS = 12
# As in ranx: the spread of scores that are all alike.
_LEAST_SPREAD = 1e-9


class Ranking(NamedTuple):
    """What one retriever found, best first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
    scores : ndarray of float64, shape (n,)
        Higher is better.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


class Fused(NamedTuple):
    """Rankings made into one, best first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
    scores : ndarray of float64, shape (n,)
    ranks : ndarray of int64, shape (n_rankings, n)
        From 1; 0 where a ranking does not hold the row.
    own : ndarray of float64, shape (n_rankings, n)
        Each ranking's own score; NaN where it does not hold the row.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    ranks: NDArray[np.int64]
    own: NDArray[np.float64]


def normalise(scores: NDArray[np.float64], norm: Norm) -> NDArray[np.float64]:
    """Bring one ranking's scores to a common scale."""
    if norm == "none" or not len(scores):
        return scores
    if norm == "min-max":
        least = scores.min()
        made = (scores - least) / max(scores.max() - least, _LEAST_SPREAD)
    else:
        made = (scores - scores.mean()) / max(float(scores.std()), _LEAST_SPREAD)
    return np.asarray(made)


def check(
    n_rankings: int,
    method: str,
    weights: Sequence[float] | None,
    rank_constant: float,
    window: int | None,
    norm: str,
) -> NDArray[np.float64]:
    """Raise on options that mean nothing; give the weights as an array.

    Raises
    ------
    ParameterError
    """
    if method not in ("rrf", "wsum"):
        raise ParameterError(f"expected method 'rrf' or 'wsum', got {method!r}")
    if norm not in ("min-max", "z-score", "none"):
        raise ParameterError(f"expected norm 'min-max', 'z-score' or 'none', got {norm!r}")
    if not 0 <= _validate.number(rank_constant, "rank_constant") < np.inf:
        raise ParameterError(f"expected rank_constant of 0 or more, got {rank_constant}")
    if window is not None:
        _validate.integer(window, "window", 1, 1 << 31)
    if weights is None:
        return np.ones(n_rankings)
    try:
        given = np.asarray(list(weights), dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(f"expected weights as numbers, got {weights!r}") from None
    if given.shape != (n_rankings,):
        raise ParameterError(f"expected {n_rankings} weights, one a ranking, got {len(given)}")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ParameterError(f"expected finite weights of 0 or more, got {given.tolist()}")
    return given


def fuse_rankings(
    rankings: Sequence[Ranking],
    method: Method = "rrf",
    *,
    weights: Sequence[float] | None = None,
    rank_constant: float = 60,
    window: int | None = None,
    norm: Norm = "min-max",
) -> Fused:
    """As `fuse`, over arrays; equal scores come in ascending order of rows."""
    scale = check(len(rankings), method, weights, rank_constant, window, norm)
    cut = [Ranking(r.rows[:window], r.scores[:window]) for r in rankings]
    found = [np.empty(0, np.int64), *(r.rows for r in cut)]
    rows = np.unique(np.concatenate(found))
    total = np.zeros(len(rows))
    ranks = np.zeros((len(cut), len(rows)), dtype=np.int64)
    own = np.full((len(cut), len(rows)), np.nan)
    for number, ranking in enumerate(cut):
        place = np.searchsorted(rows, ranking.rows)
        rank = np.arange(1, len(place) + 1)
        ranks[number, place] = rank
        own[number, place] = ranking.scores
        part = 1 / (rank_constant + rank) if method == "rrf" else normalise(ranking.scores, norm)
        total[place] += scale[number] * part
    total = np.round(total, _DIGITS)
    order = np.lexsort((rows, -total))
    return Fused(rows[order], total[order], ranks[:, order], own[:, order])


def fuse(
    runs: Sequence[Mapping[Id, float] | Sequence[tuple[Id, float]]],
    method: Method = "rrf",
    *,
    weights: Sequence[float] | None = None,
    rank_constant: float = 60,
    window: int | None = None,
    norm: Norm = "min-max",
) -> list[tuple[Id, float]]:
    """Make one ranked list of several.

    Parameters
    ----------
    runs : sequence of mappings or of sequences of pairs
        Each a mapping of id to score, or (id, score) pairs best first. Higher scores are better.
    method : {"rrf", "wsum"}
        Reciprocal rank fusion, the sum of ``weight / (rank_constant + rank)`` with ranks from 1
        (Cormack, Clarke and Buettcher, 2009); or the weighted sum of normalised scores.
    weights : sequence of float, optional
        One a run, 1 each by default.
    rank_constant : float
        Of "rrf": the larger, the less the first ranks stand out.
    window : int, optional
        How many of each run's best count; all by default.
    norm : {"min-max", "z-score", "none"}
        Of "wsum", over the part of a run in the window. "min-max": from 0 for its last to 1 for its
        first; "z-score": mean 0 and standard deviation 1; "none": as they are.

    Returns
    -------
    list of (id, score)
        Best first. An id that a run does not hold gets nothing from it. Of equal scores, the id
        that comes first in the runs, in their order, comes first.

    Raises
    ------
    ParameterError
        Unknown method or norm, weights that do not fit, an id twice in a run, a score that is not
        finite.

    Examples
    --------
    >>> from annx.collection import fuse
    >>> keyword = {"a": 7.1, "b": 5.0}
    >>> vector = {"b": 0.9, "c": 0.8}
    >>> [name for name, score in fuse([keyword, vector])]
    ['b', 'a', 'c']
    >>> fuse([keyword, vector], "wsum", weights=[0.25, 0.75])
    [('b', 0.75), ('a', 0.25), ('c', 0.0)]
    """
    number: dict[Id, int] = {}
    rankings = []
    if not isinstance(runs, Iterable):
        raise ParameterError(f"expected a list of runs, got {runs!r}")
    for at, run in enumerate(runs):
        try:
            if isinstance(run, Mapping):
                pairs = sorted(run.items(), key=lambda pair: -pair[1])
            else:
                pairs = list(run)
            rows = np.array([number.setdefault(name, len(number)) for name, _ in pairs], np.int64)
            scores = np.array([score for _, score in pairs], np.float64)
        except (TypeError, ValueError):
            raise ParameterError(
                f"run {at}: expected a mapping of ids to scores, or pairs, got {run!r}"
            ) from None
        if len(np.unique(rows)) < len(rows):
            raise ParameterError(f"run {at} holds an id twice")
        if not np.isfinite(scores).all():
            raise ParameterError(f"run {at} holds a score that is not finite")
        rankings.append(Ranking(rows, scores))
    fused = fuse_rankings(
        rankings,
        method,
        weights=weights,
        rank_constant=rank_constant,
        window=window,
        norm=norm,
    )
    names = list(number)
    return [(names[row], float(s)) for row, s in zip(fused.rows, fused.scores, strict=True)]
