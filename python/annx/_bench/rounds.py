"""The last part of a run: speed and single calls, in turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from annx._bench.clock import duration
from annx._bench.crew import Crew
from annx._bench.curves import Point, front
from annx._bench.plan import (
    LEAST_CALLS,
    LEAST_ROUNDS,
    MIN_SECONDS,
    Cost,
    Plan,
    counts,
    one_round,
    plan,
)
from annx._bench.recalls import Tried
from annx._bench.worker import Timed, Worker, WorkerError

#: Recall at which single calls are timed.
LATENCY_RECALL = 0.95
#: A query of its own takes so many times one of a batch, and Python's part of the call.
_CALL_FACTOR, _CALL_SECONDS = 1.3, 2e-5
#: The plan takes this share of the time, or a slow moment would cost the last round.
_PLANNED = 0.9


class Rounds:
    """Times what the plan says, but what the journal knows already.

    Parameters
    ----------
    crew : Crew
    tried : dict of str to list of Tried
        Settings to time, of each build.
    total : int
        Queries.
    """

    def __init__(self, crew: Crew, tried: dict[str, list[Tried]], total: int) -> None:
        self.crew, self.tried, self.total = crew, tried, total

    def plan(self) -> Plan:
        """Divide what time is left over rounds, queries and single calls."""
        crew, settings = self.crew, self.crew.settings
        kept = crew.journal.plan()
        if kept is not None:
            return kept
        costs = {name: self._cost(tried) for name, tried in self.tried.items()}
        made = plan(
            costs,
            crew.sure(),
            self.total,
            settings.rounds,
            _PLANNED * crew.clock.left(),
            latency=settings.latency,
        )
        for name in made.left_out:
            seconds = made.rounds * one_round([costs[name]], made.queries, 0)
            crew.leave_out(
                crew.worker(name),
                f"its searches would take about {duration(seconds)}, and there was no time left: "
                "raise --minutes",
            )
            del self.tried[name]
        made = replace(made, left_out=())
        self._keep(made)
        return made

    def _keep(self, made: Plan) -> None:
        settings = self.crew.settings
        record = {
            "step": "speed",
            "queries": made.queries,
            "calls": made.calls,
            "rounds": made.rounds,
            "of": self.total,
            "of_rounds": settings.rounds,
        }
        self.crew.journal.put("plan", record)

    def _cost(self, tried: list[Tried]) -> Cost:
        chosen = next((t for t in tried if t.point.recall >= LATENCY_RECALL), tried[-1])
        call = _CALL_FACTOR * chosen.seconds + _CALL_SECONDS
        return Cost(tuple(found.seconds for found in tried), call)

    def run(self) -> None:
        """Time batches and single calls as planned; a last round that no longer fits is cut."""
        made = self.plan()
        turn = 0
        while turn < made.rounds:
            begin = self.crew.clock.spent()
            self._round(made, turn)
            self.crew.lap("speed")
            turn += 1
            taken = self.crew.clock.spent() - begin
            after = self._calls_seconds(made)
            late = taken + after > self.crew.clock.left()
            if LEAST_ROUNDS <= turn < made.rounds and late:
                made = replace(made, rounds=turn)
                self._keep(made)
        self.crew.progress("measuring speed", 1, 1)
        if not self.crew.settings.latency:
            return
        made = self._with_fewer_calls(made)
        if made.calls:
            self._time_calls(made)
            self.crew.lap("single calls")

    def _with_fewer_calls(self, made: Plan) -> Plan:
        """Cut single calls where speed has taken longer than was planned."""
        if not made.calls or any(self.crew.journal.of("calls")):
            return made
        left = max(0.0, self.crew.clock.left())
        for calls in counts(made.calls, LEAST_CALLS):
            fewer = replace(made, calls=calls)
            if self._calls_seconds(fewer) <= left:
                break
        else:
            fewer = replace(made, calls=0)
        if fewer != made:
            self._keep(fewer)
        return fewer

    def _calls_seconds(self, made: Plan) -> float:
        calls = sum(self._cost(tried).call for tried in self.tried.values())
        return made.rounds * made.calls * calls

    def _round(self, made: Plan, turn: int) -> None:
        """Let the engines take turns at each step of their ladders."""
        crew = self.crew
        steps = max((len(tried) for tried in self.tried.values()), default=0)
        for step in range(steps):
            crew.progress("measuring speed", turn * steps + step, made.rounds * steps)
            for worker in crew.turned(turn):
                tried = self.tried[worker.spec.name]
                if step < len(tried):
                    self._time(worker, tried[step].point, turn, made.queries)

    def _time(self, worker: Worker, point: Point, turn: int, queries: int) -> None:
        crew = self.crew
        if crew.journal.has_timing(point.build, point.setting, turn):
            return
        try:
            timed: Timed = worker.call("time", point.setting, crew.settings.k, queries, MIN_SECONDS)
        except WorkerError as error:
            crew.fail(worker, "search", error)
            return
        seconds = timed.cpu if crew.settings.clock == "cpu" else timed.wall
        record = {
            "build": point.build,
            "setting": point.setting,
            "turn": turn,
            "qps": queries / seconds,
            "waited": timed.waited,
        }
        crew.journal.put("timing", record)

    def _time_calls(self, made: Plan) -> None:
        """Time single calls where each curve reaches a recall, in turns."""
        crew = self.crew
        measured = crew.journal.comparison()
        chosen: dict[str, Point] = {}
        for curve in measured.curves():
            best = front([point for point in measured.points if point.curve == curve])
            point = next((p for p in best if p.recall >= LATENCY_RECALL), best[-1])
            chosen[point.build] = point
        for turn in range(made.rounds):
            crew.progress("measuring single calls", turn, made.rounds)
            for worker in crew.turned(turn):
                name = worker.spec.name
                if name not in chosen or crew.journal.has_calls(name, turn):
                    continue
                point = chosen[name]
                try:
                    times = worker.call("latencies", point.setting, crew.settings.k, made.calls)
                except WorkerError as error:
                    crew.fail(worker, "single calls", error)
                    continue
                record = {
                    "curve": point.curve,
                    "build": name,
                    "setting": point.setting,
                    "recall": point.recall,
                    "turn": turn,
                    "p50": float(np.percentile(times, 50)),
                    "p99": float(np.percentile(times, 99)),
                }
                crew.journal.put("calls", record)
