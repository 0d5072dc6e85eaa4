"""Whether one list of paired values is better than another by more than chance."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from annx._extra import extra
from annx.errors import DimensionError, ParameterError

_METHODS = ("permutation", "t")
#: Elements of one batch of SciPy's resamples: 32 MB.
_BATCH = 1 << 22


class Difference(NamedTuple):
    """Two means, their difference, and how sure it is.

    Attributes
    ----------
    a, b : float
        The means.
    delta : float
        ``b - a``.
    low, high : float
        The confidence interval of `delta`, by bootstrap over the pairs.
    p_value : float
        Of a difference at least as large, in either direction, if both were equal.
    """

    a: float
    b: float
    delta: float
    low: float
    high: float
    p_value: float


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    method: str = "permutation",
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Compare two lists of values of the same queries.

    Parameters
    ----------
    a, b : array_like of shape (n_queries,)
    method : {"permutation", "t"}
        Fisher's randomization test, which swaps the values of queries, all combinations if
        these are no more than `resamples`; or the paired t-test.
    confidence : float
        In (0, 1).
    resamples : int
        Of the bootstrap, and of the permutation test.
    seed : int
        Equal values and seed give equal results.

    Returns
    -------
    Difference

    Raises
    ------
    DimensionError
        The lists are not of one length, or empty.
    ParameterError
        Another argument is out of range.
    MissingExtraError
        SciPy is not installed.

    Examples
    --------
    >>> from annx.evaluation import paired_difference
    >>> found = paired_difference([0.2, 0.5, 0.4, 0.1], [0.4, 0.6, 0.7, 0.3])
    >>> round(found.delta, 3), found.p_value
    (0.2, 0.125)
    """
    with extra("evaluation"):
        from scipy import stats
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise DimensionError(
            f"expected two lists of one length, got shapes {first.shape} and {second.shape}"
        )
    if method not in _METHODS:
        raise ParameterError(f"expected method to be one of {_METHODS}, got {method!r}")
    if not 0 < confidence < 1:
        raise ParameterError(f"expected confidence in (0, 1), got {confidence!r}")
    if resamples < 1:
        raise ParameterError(f"expected resamples to be positive, got {resamples!r}")
    change = second - first
    means = float(first.mean()), float(second.mean()), float(change.mean())
    if (change == change[0]).all() and (len(change) == 1 or change[0] == 0):
        # One query shows nothing, and no difference is none whatever is swapped.
        return Difference(*means, means[2], means[2], 1.0)
    settings: dict[str, Any] = {
        "n_resamples": resamples,
        "batch": max(1, _BATCH // len(change)),
        "rng": np.random.default_rng(seed),
    }
    interval = stats.bootstrap(
        (change,), np.mean, confidence_level=confidence, method="percentile", **settings
    ).confidence_interval
    if method == "t":
        # SciPy warns where the values differ by a constant: then p is 0.
        with np.errstate(all="ignore"):
            p_value = 0.0 if np.ptp(change) == 0 else stats.ttest_rel(second, first).pvalue
    else:
        p_value = stats.permutation_test(
            (first, second),
            lambda x, y, axis: np.mean(y - x, axis=axis),
            permutation_type="samples",
            vectorized=True,
            **settings,
        ).pvalue
    return Difference(*means, float(interval.low), float(interval.high), float(p_value))
