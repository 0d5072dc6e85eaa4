"""Which builds fit into the time that a run may take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

#: Share of the time for builds; the rest is for searches.
BUILD_SHARE = 0.6


#: What was foretold of a build by that of a few rows may be so many times too low, and the
#: build is always given so many seconds.
PATIENCE, LEAST_SECONDS = 2.0, 30.0


def scaled(seconds: float, few: int, rows: int) -> float:
    """Seconds to build over `rows`, from those over a few: a graph takes n log n."""
    if rows <= few:
        return seconds
    return seconds * rows * math.log(rows) / (few * math.log(few))


def left_out(predicted: Mapping[str, float], always: Set[str], seconds: float) -> list[str]:
    """Builds to leave out, so that the others take no longer than `seconds`.

    Parameters
    ----------
    predicted : mapping of str to float
        Seconds of each build.
    always : set of str
        Builds that stay, whatever they take.
    seconds : float

    Returns
    -------
    list of str
        The longest ones, longest first.
    """
    rest = seconds - sum(predicted[name] for name in predicted if name in always)
    out = []
    for name in sorted(predicted, key=predicted.__getitem__):
        if name in always:
            continue
        rest -= predicted[name]
        if rest < 0:
            out.append(name)
    return out[::-1]


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
