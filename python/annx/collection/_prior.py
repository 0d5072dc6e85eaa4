"""Priors: what is known of documents before any query."""

from __future__ import annotations

import datetime
import math
import time
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from annx.errors import ParameterError


class Prior(Protocol):
    """A factor for fused scores, by one field of the documents.

    Attributes
    ----------
    field : str
    """

    @property
    def field(self) -> str: ...

    def factors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a factor of 0 or more for each value.

        Parameters
        ----------
        values : ndarray of float64, shape (n,)
            The field of each candidate as a number; dates in seconds since 1970; NaN where there
            is none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decay:
    """Fade with the distance of a date or number from an origin.

    At a distance of `scale` beyond `offset`, the factor is `at_scale`. Documents without a value
    keep their score.

    Parameters
    ----------
    field : str
    scale : float or timedelta
        Seconds, for dates.
    origin : float, datetime, date or str, optional
        A str is a date in ISO 8601; without a zone, in UTC. By default the time of the search.
    offset : float or timedelta
        Distances up to this fade nothing.
    at_scale : float
    shape : {"exp", "gauss", "linear"}
    weight : float
        From 0, no effect, to 1: the factor is ``1 - weight + weight * decay``.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import datetime, numpy as np
    >>> from annx.collection import Decay
    >>> week = Decay("posted", scale=datetime.timedelta(days=7), origin="2026-01-15")
    >>> posted = datetime.datetime(2026, 1, 8, tzinfo=datetime.timezone.utc)
    >>> week.factors(np.array([posted.timestamp(), np.nan]))
    array([0.5, 1. ])
    """

    field: str
    scale: float | datetime.timedelta
    origin: float | datetime.date | str | None = None
    offset: float | datetime.timedelta = 0.0
    at_scale: float = 0.5
    shape: Literal["exp", "gauss", "linear"] = "exp"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < _seconds(self.scale) < math.inf:
            raise ParameterError(f"expected a scale above 0, got {self.scale!r}")
        if not 0 <= _seconds(self.offset) < math.inf:
            raise ParameterError(f"expected an offset of 0 or more, got {self.offset!r}")
        if not 0 < self.at_scale < 1:
            raise ParameterError(f"expected at_scale between 0 and 1, got {self.at_scale!r}")
        if self.shape not in ("exp", "gauss", "linear"):
            raise ParameterError(f"expected 'exp', 'gauss' or 'linear', got {self.shape!r}")
        _check_weight(self.weight)
        _moment(self.origin)

    def factors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a factor from ``1 - weight`` to 1 for each value."""
        away = np.abs(values - _moment(self.origin)) - _seconds(self.offset)
        steps = np.maximum(away, 0) / _seconds(self.scale)
        if self.shape == "exp":
            decay = self.at_scale**steps
        elif self.shape == "gauss":
            decay = self.at_scale ** (steps * steps)
        else:
            decay = np.maximum(0.0, 1 - steps * (1 - self.at_scale))
        return np.where(np.isnan(values), 1.0, 1 - self.weight + self.weight * decay)


@dataclass(frozen=True, slots=True)
class Popularity:
    """Raise with a number such as clicks or sales, ever less the higher it is.

    The factor is ``1 - weight + weight * value / (value + pivot)``; without a value, or with a
    negative one, that of 0.

    Parameters
    ----------
    field : str
    weight : float
        From 0, no effect, to 1.
    pivot : float, optional
        The value at which half of the effect is reached. By default the median of the candidates'
        values above 0.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import numpy as np
    >>> from annx.collection import Popularity
    >>> Popularity("clicks", weight=0.5, pivot=10).factors(np.array([0.0, 10.0, np.nan]))
    array([0.5 , 0.75, 0.5 ])
    """

    field: str
    weight: float = 0.5
    pivot: float | None = None

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if self.pivot is not None and not 0 < self.pivot < math.inf:
            raise ParameterError(f"expected a pivot above 0, got {self.pivot!r}")

    def factors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a factor from ``1 - weight`` to 1 for each value."""
        known = np.where(values > 0, values, 0.0)
        pivot = self.pivot
        if pivot is None:
            some = known[known > 0]
            pivot = float(np.median(some)) if len(some) else 1.0
        return np.asarray(1 - self.weight + self.weight * known / (known + pivot))


def _check_weight(weight: float) -> None:
    if not 0 <= weight <= 1:
        raise ParameterError(f"expected a weight from 0 to 1, got {weight!r}")


def _seconds(length: float | datetime.timedelta) -> float:
    if isinstance(length, datetime.timedelta):
        return length.total_seconds()
    return float(length)


def _moment(origin: float | datetime.date | str | None) -> float:
    if origin is None:
        return time.time()
    if isinstance(origin, str):
        try:
            origin = datetime.datetime.fromisoformat(origin)
        except ValueError:
            raise ParameterError(f"expected a date in ISO 8601, got {origin!r}") from None
    if isinstance(origin, datetime.date) and not isinstance(origin, datetime.datetime):
        origin = datetime.datetime.combine(origin, datetime.time())
    if isinstance(origin, datetime.datetime):
        if origin.tzinfo is None:
            origin = origin.replace(tzinfo=datetime.UTC)
        return origin.timestamp()
    return float(origin)
