"""Which builds fit into the time that a run may take: the cheap ones come first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from statistics import median

#: Share of the time until the last build is done; the rest is for searches.
BUILD_SHARE = 0.66
#: A build that nothing waits for may take all that is left for builds. Any may take so many
#: times what was foretold, and such a share of the whole time: small builds foretell badly.
PATIENCE, LEAST_SHARE = 1.5, 0.05
#: Greatest exponent of a build's growth that a small build is believed to show.
_STEEPEST = 1.35
#: What finished builds may say about the others'.
_TREND_LOW, _TREND_HIGH = 0.67, 2.0
#: Rows of the larger of the two builds that foretell: such a part, within limits; and the
#: fewest of the smaller, as some libraries refuse to learn from less.
_PART, _FEWEST, _MOST, _SMALL = 25, 2000, 20_000, 500


def rehearsed(rows: int) -> tuple[int, int]:
    """How many rows the two small builds take that foretell a build of so many."""
    large = min(rows, max(_FEWEST, min(_MOST, rows // _PART)))
    return min(large, max(_SMALL, large // 4)), large


def foretold(samples: Sequence[tuple[int, float]], rows: int) -> float:
    """Seconds to build over `rows`, from the rows and seconds of small builds.

    A graph takes n log n, and more where its rows no longer fit into a cache: the growth from
    the smaller to the larger build is taken to go on if it was steeper.
    """
    few, seconds = samples[-1]
    if rows <= few or few < 2:
        return seconds
    times = rows / few
    growth = times * math.log(rows) / math.log(few)
    if len(samples) > 1:
        fewer, less = samples[-2]
        if fewer < few and 0 < less < seconds:
            exponent = math.log(seconds / less) / math.log(few / fewer)
            growth = max(growth, times ** min(exponent, _STEEPEST))
    return seconds * growth


def trend(done: Sequence[tuple[float, float]]) -> float:
    """By how much builds still to come may be longer, from those foretold and taken."""
    ratios = [taken / before for before, taken in done if before > 0]
    return min(_TREND_HIGH, max(_TREND_LOW, median(ratios))) if ratios else 1.0


def in_order(predicted: Mapping[str, float], always: Set[str]) -> list[str]:
    """Those that are always built, as they come; then the others, the cheapest first."""
    rest = [name for name in predicted if name not in always]
    return [name for name in predicted if name in always] + sorted(rest, key=predicted.__getitem__)


def time_for_builds(seconds: float, spent: float, searches: float) -> float:
    """What is left of the time for builds, if all that is built needs so long for searches."""
    return min(BUILD_SHARE * seconds, seconds - searches) - spent


def allowance(own: float, others: Sequence[float], left: float, seconds: float) -> float:
    """How long a build may take before it is ended.

    Parameters
    ----------
    own : float
        What it is expected to take.
    others : sequence of float
        What those take that are still to come, and cost more.
    left : float
        Seconds for all of these.
    seconds : float
        Of the whole run.

    Returns
    -------
    float
        0 if it should not begin.
    """
    if own > left:
        return 0.0
    slack = left
    for other in others:
        if slack - other < own:
            break
        slack -= other
    return min(left, max(slack, PATIENCE * own, LEAST_SHARE * seconds))
