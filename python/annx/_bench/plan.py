"""How many queries and rounds fit into the time that is left after the builds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

#: A shorter measurement is repeated until it lasts this long: clock and scheduler noise.
MIN_SECONDS = 0.1
#: Queries before each measurement: the others' turns emptied the caches.
WARM_QUERIES = 100
#: Queries for a first look at a setting.
LOOK_QUERIES = 200
#: Never fewer for a figure: recall, speed, and the percentiles of single calls.
LEAST_RECALL, LEAST_SPEED, LEAST_CALLS = 1000, 200, 1000
#: Rounds are cut before there are fewer than so many: what they touch stays in the cache until
#: they are repeated, and a fast library repeats them more often (200: up to 9 % faster).
GOOD_SPEED = 500
#: Rounds are never cut below.
LEAST_ROUNDS = 2
#: Share of the time after the builds for finding recalls.
RECALL_SHARE = 0.35
#: What asking a process and writing a record take.
_OVERHEAD = 0.004
#: Seconds before the searches of a build are known: of a setting in all rounds, and of the rest.
_SETTING_SECONDS, _BUILD_SECONDS = LEAST_ROUNDS * 1.2 * MIN_SECONDS, 1.5


@dataclass(frozen=True, slots=True)
class Cost:
    """What the searches of one build take.

    Attributes
    ----------
    queries : tuple of float
        Seconds of a query with each setting.
    call : float
        Seconds of a call for one query, with the setting whose calls are timed.
    """

    queries: tuple[float, ...]
    call: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and so what was cut.

    Attributes
    ----------
    queries, calls : int
        Of a measurement of speed, and of single calls; 0 for none of these.
    rounds : int
    left_out : tuple of str
        Builds for whose searches there is no time.
    """

    queries: int
    rounds: int
    calls: int
    left_out: tuple[str, ...] = ()


def least_searches(settings: int) -> float:
    """Seconds that the searches of a build with so many settings take at least."""
    return settings * _SETTING_SECONDS + _BUILD_SECONDS


def counts(total: int, least: int) -> Iterator[int]:
    """Numbers of queries to choose from, the largest first: all, then round numbers."""
    least = min(least, total)
    yield total
    scale = 10 ** int(math.log10(max(total, 1)))
    while scale >= 1:
        for digits in (80, 60, 50, 40, 30, 25, 20, 15, 10):
            number = digits * scale // 10
            if least <= number < total:
                yield number
        scale //= 10


def recall_queries(per_query: float, total: int, left: float) -> int:
    """How many queries to measure recall with.

    Parameters
    ----------
    per_query : float
        Seconds of one, with every setting of every build, and to find its true neighbours.
    total : int
    left : float
        Seconds for these and for what comes after.
    """
    number = min(LEAST_RECALL, total)
    for number in counts(total, LEAST_RECALL):
        if number * per_query <= RECALL_SHARE * left:
            break
    return number


def measurement(queries: int, per_query: float) -> float:
    """Seconds of one measurement of speed, and of what goes before it."""
    once = queries * per_query
    passes = math.ceil(MIN_SECONDS / once) if 0 < once < MIN_SECONDS else 1
    return passes * once + WARM_QUERIES * per_query + _OVERHEAD


def one_round(costs: Sequence[Cost], queries: int, calls: int) -> float:
    """Seconds of one round."""
    out = 0.0
    for cost in costs:
        out += sum(measurement(queries, seconds) for seconds in cost.queries)
        if calls:
            out += (calls + WARM_QUERIES) * cost.call + _OVERHEAD
    return out


def plan(
    costs: Mapping[str, Cost],
    always: Set[str],
    total: int,
    rounds: int,
    left: float,
    *,
    latency: bool = True,
) -> Plan:
    """Measure as much as fits.

    First there are fewer queries, then fewer rounds; then single calls are not timed, and at
    last the slowest builds are left out.

    Parameters
    ----------
    costs : mapping of str to Cost
        Of each build.
    always : set of str
        Builds that are never left out.
    total : int
        Queries.
    rounds : int
        Asked for.
    left : float
        Seconds.
    latency : bool
        Whether single calls are timed too.
    """

    def fits(names: Sequence[str], queries: int, turns: int, calls: int) -> bool:
        chosen = [costs[name] for name in names]
        return turns * one_round(chosen, queries, calls) <= left

    least = min(rounds, LEAST_ROUNDS)
    names = list(costs)
    for turns in range(rounds, least - 1, -1):
        for queries in counts(total, GOOD_SPEED if turns > least else LEAST_SPEED):
            calls = min(total, max(queries, LEAST_CALLS)) if latency else 0
            if fits(names, queries, turns, calls):
                return Plan(queries, turns, calls)
    queries = min(total, LEAST_SPEED)
    out: list[str] = []
    droppable = sorted(
        (name for name in costs if name not in always),
        key=lambda name: one_round([costs[name]], queries, 0),
    )
    while not fits(names, queries, least, 0) and droppable:
        out.append(droppable.pop())
        names.remove(out[-1])
    return Plan(queries, least, 0, tuple(out))
