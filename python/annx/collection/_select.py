"""Which of the ranked candidates are shown: groups and diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def group_key(value: object) -> Hashable:
    """What a document's group is, by the value of the field; None: of no group."""
    if isinstance(value, list):
        return tuple(value)
    # 1, 1.0 and True are one to Python, and bools are no numbers to users.
    return (type(value) is bool, value) if isinstance(value, Hashable) else repr(value)


def cap(groups: Sequence[Hashable], shown: Iterable[Hashable], most: int) -> NDArray[np.int64]:
    """Keep so many of a group, the first ones.

    Parameters
    ----------
    groups : sequence of n hashables
        In order of ranking.
    shown : iterable of hashables
        Groups of what was shown before, which count.
    most : int

    Returns
    -------
    ndarray of int64
        Places that are kept. Those without a value are all kept.
    """
    taken = Counter(shown)
    kept = []
    none = group_key(None)
    for place, group in enumerate(groups):
        if group != none:
            if taken[group] >= most:
                continue
            taken[group] += 1
        kept.append(place)
    return np.array(kept, np.int64)


def relevance(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring scores to 0 for the least and 1 for the best."""
    if not len(scores):
        return scores
    least = scores.min()
    return np.asarray((scores - least) / max(float(scores.max() - least), 1e-9))


def diversify(
    worth: NDArray[np.float64],
    vectors: NDArray[np.float32],
    shown: NDArray[np.float32],
    k: int,
    diversity: float,
) -> NDArray[np.int64]:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998).

    Picks, one after another, the candidate with the largest
    ``(1 - diversity) * relevance - diversity * (largest cosine to what was picked)``.

    Parameters
    ----------
    worth : ndarray of float64, shape (n,)
        `relevance`, among all candidates of the search.
    vectors : ndarray of float32, shape (n, dim)
        Rows of zeros are like none.
    shown : ndarray of float32, shape (m, dim)
        What was picked before.
    k : int
    diversity : float

    Returns
    -------
    ndarray of at most k int64
        Places, in the order of picking; of equally good ones the first.
    """
    unit = _unit(vectors)
    nearest = np.full(len(worth), -np.inf)
    if len(shown) and len(worth):
        nearest = (unit @ _unit(shown).T).max(axis=1)
    left = np.ones(len(worth), np.bool_)
    picked: list[int] = []
    for _ in range(min(k, len(worth))):
        likeness = np.where(np.isinf(nearest), 0.0, nearest)
        marginal = (1 - diversity) * worth - diversity * likeness
        best = int(np.argmax(np.where(left, marginal, -np.inf)))
        picked.append(best)
        left[best] = False
        nearest = np.maximum(nearest, unit @ unit[best])
    return np.array(picked, np.int64)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    return unit
