"""What fits into the minutes that a benchmark may take: times in, plans out."""

from __future__ import annotations

import math

import pytest

from annx._bench import budget
from annx._bench.clock import Clock
from annx._bench.plan import Cost, Plan, counts, measurement, one_round, plan, recall_queries


class Now:
    """A clock that stands still until it is told."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_a_clock_counts_from_its_beginning_and_what_was_spent_before():
    now = Now()
    clock = Clock(2, now)
    now.seconds += 30
    assert clock.spent() == 30 and clock.lap() == 30 and clock.lap() == 0
    assert 85 < clock.left() < 90
    clock.go_on(100)
    assert clock.spent() == 130 and clock.lap() == 0
    assert clock.left() < 0
    assert Clock(None, now).left() == math.inf


def test_small_builds_foretell_at_least_n_log_n_and_the_growth_they_show():
    logarithmic = budget.foretold([(4000, 1.0)], 100_000)
    assert logarithmic == pytest.approx(25 * math.log(1e5) / math.log(4000))
    # Linear: it shall not be foretold less than a graph takes.
    assert budget.foretold([(1000, 0.25), (4000, 1.0)], 100_000) == pytest.approx(logarithmic)
    steep = budget.foretold([(1000, 0.25), (4000, 1.25)], 100_000)
    assert steep == pytest.approx(1.25 * 25 ** (math.log(5) / math.log(4)))
    # A slow moment in the larger build must not foretell for ever.
    assert budget.foretold([(1000, 0.01), (4000, 1.0)], 100_000) < 80
    assert budget.foretold([(1000, 0.5), (4000, 0.4)], 100_000) == pytest.approx(0.4 * logarithmic)
    assert budget.foretold([(500, 0.5)], 500) == 0.5


@pytest.mark.parametrize("rows", [1, 3, 500, 3000, 100_000, 10_000_000])
def test_small_builds_are_small(rows):
    small, large = budget.rehearsed(rows)
    assert 1 <= small <= large <= min(rows, 20_000)
    assert rows < 50_000 or large <= rows / 25


def test_finished_builds_correct_what_is_foretold_of_the_others():
    assert budget.trend([]) == 1
    assert budget.trend([(10, 15), (20, 30), (1, 9)]) == 1.5
    assert budget.trend([(1, 100)]) == 2, "one that errs wildly is no rule"
    assert budget.trend([(100, 1)]) == pytest.approx(0.67)


def test_cheap_builds_come_first_but_for_those_that_always_come():
    predicted = {"annx": 50.0, "a": 20.0, "b": 10.0, "hnswlib": 60.0, "c": 40.0}
    order = ["annx", "hnswlib", "b", "a", "c"]
    assert budget.in_order(predicted, {"annx", "hnswlib"}) == order


def test_searches_are_kept_free_of_builds():
    assert budget.time_for_builds(600, 0, 40) == pytest.approx(396)
    assert budget.time_for_builds(600, 100, 40) == pytest.approx(296)
    assert budget.time_for_builds(100, 10, 70) == pytest.approx(20), "many searches need more"


def test_a_build_may_take_what_no_other_waits_for():
    # It does not fit.
    assert budget.allowance(30, [], 29, 600) == 0
    # The last one may take all that is left.
    assert budget.allowance(30, [], 200, 600) == 200
    # The others keep theirs: 200 - 40 - 50; what does not fit keeps nothing.
    assert budget.allowance(30, [40, 50], 200, 600) == 110
    assert budget.allowance(30, [40, 300], 200, 600) == 160
    # Even then it may take somewhat longer than foretold, but never more than there is.
    assert budget.allowance(100, [100], 201, 600) == 150
    assert budget.allowance(10, [10], 21, 600) == 21


def build_all(times, predicted, seconds, sure=()):
    """Play the builds by a clock, and tell what was built and how long all took."""
    spent, built = 0.0, []
    names = budget.in_order(predicted, set(sure))
    for number, name in enumerate(names):
        if name in sure:
            spent += times[name]
            built.append(name)
            continue
        left = budget.time_for_builds(seconds, spent, 0)
        others = [predicted[other] for other in names[number + 1 :]]
        allowed = budget.allowance(predicted[name], others, left, seconds)
        spent += min(allowed, times[name])
        if allowed >= times[name]:
            built.append(name)
    return built, spent


def test_a_build_that_overran_is_charged():
    predicted = {"annx": 10.0, "a": 10.0, "b": 20.0, "c": 30.0}
    built, spent = build_all(predicted, predicted, 110, {"annx"})
    assert built == ["annx", "a", "b", "c"] and spent == 70
    times = {**predicted, "a": 500.0}
    built, spent = build_all(times, predicted, 110, {"annx"})
    assert built == ["annx", "b"], "c no longer fits"
    assert spent <= 0.66 * 110
    times = {**predicted, "annx": 60.0}
    assert build_all(times, predicted, 110, {"annx"})[0] == ["annx", "a"]


# Searches


@pytest.mark.parametrize("total", [1, 7, 199, 200, 270, 1000, 1234, 5000, 10_000])
@pytest.mark.parametrize("least", [200, 1000])
def test_queries_are_all_or_a_round_number_and_never_too_few(total, least):
    found = list(counts(total, least))
    assert found[0] == total and found == sorted(found, reverse=True)
    assert min(found) >= min(least, total)
    if total >= 2 * least:
        assert found[-1] == least


def test_recall_takes_fewer_queries_but_never_less_than_a_thousand():
    assert recall_queries(0.01, 5000, math.inf) == 5000
    assert recall_queries(0.01, 5000, 1000) == 5000
    assert recall_queries(0.01, 5000, 60) == 2000
    assert recall_queries(0.01, 5000, 1) == recall_queries(0.01, 5000, -9) == 1000
    assert recall_queries(0.01, 300, 0) == 300


def test_a_measurement_lasts_a_tenth_of_a_second():
    for queries, seconds in [(200, 1e-5), (5000, 1e-5), (200, 1e-2), (200, 1.0)]:
        assert measurement(queries, seconds) >= max(0.1, queries * seconds)
    assert measurement(5000, 1e-3) == pytest.approx(5.1, abs=0.01)


#: Three libraries, each slower than the last by some times, at eight settings.
COSTS = {
    name: Cost(tuple(first * 1.4**step for step in range(8)), 4 * first)
    for name, first in [("annx", 1e-5), ("hnswlib", 6e-5), ("slow", 6e-4)]
}


def planned(left, *, total=5000, rounds=3, latency=True, costs=COSTS):
    return plan(costs, {"annx", "hnswlib"}, total, rounds, left, latency=latency)


def seconds_of(made, costs=COSTS):
    kept = [cost for name, cost in costs.items() if name not in made.left_out]
    return made.rounds * one_round(kept, made.queries, made.calls)


def test_all_is_measured_where_there_is_time():
    assert planned(math.inf) == planned(1e6) == Plan(5000, 3, 5000)
    assert planned(math.inf, latency=False) == Plan(5000, 3, 0)
    assert planned(math.inf, rounds=1).rounds == 1
    assert planned(1e6, total=50) == Plan(50, 3, 50)


def test_what_is_cut_first_are_queries_then_rounds_then_calls_then_curves():
    order, seen = [], None
    for left in range(400, -1, -1):
        made = planned(left)
        what = (made.queries < 5000, made.rounds < 3, made.calls == 0, made.left_out)
        if what != seen:
            order.append(what)
            seen = what
        assert seconds_of(made) <= left or made.left_out == ("slow",)
        assert made.queries >= (500 if made.rounds > 2 else 200) and made.rounds >= 2
        assert made.calls == 0 or made.calls >= 1000
    assert order == [
        (False, False, False, ()),
        (True, False, False, ()),
        (True, True, False, ()),
        (True, True, True, ()),
        (True, True, True, ("slow",)),
    ]


def test_more_time_is_never_spent_worse():
    rounds = [planned(left).rounds for left in range(10, 400)]
    assert rounds == sorted(rounds)
    for turns in (2, 3):
        queries = [p.queries for p in map(planned, range(10, 400)) if p.rounds == turns]
        assert len(queries) > 5


def test_what_is_asked_for_is_no_less_for_a_lack_of_time():
    assert planned(-5, rounds=1) == Plan(200, 1, 0, ("slow",))
    assert planned(-5, rounds=2).rounds == planned(-5, rounds=9).rounds == 2


def test_slowest_curves_are_left_out_first_and_the_sure_ones_never():
    costs = {
        "annx": COSTS["slow"],
        "hnswlib": COSTS["slow"],
        "a": COSTS["annx"],
        "b": COSTS["slow"],
        "c": COSTS["hnswlib"],
    }
    assert planned(0, costs=costs).left_out == ("b", "c", "a")
    least = 2 * one_round([costs[name] for name in ("annx", "hnswlib", "a", "c")], 200, 0)
    assert planned(least, costs=costs).left_out == ("b",)
