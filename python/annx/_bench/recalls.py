"""The second part of a run: find what recall each setting reaches, and what a query takes."""

from __future__ import annotations

from dataclasses import dataclass

from annx._bench.crew import Crew
from annx._bench.curves import Point, front
from annx._bench.engines import Setting
from annx._bench.plan import LOOK_QUERIES, recall_queries
from annx._bench.truth import Truth
from annx._bench.worker import Worker, WorkerError
from annx.datasets import Dataset

#: A setting that another beats by this much in a first look is not measured further.
_HOPELESS = 1.5
#: A first look goes so far beyond the greatest recall that is asked for: it sees few queries.
_MARGIN = 0.005


@dataclass(slots=True)
class Tried:
    """A point, and what a query of it takes."""

    point: Point
    seconds: float


class Recalls:
    """Tries every setting once, but what the journal knows already.

    Parameters
    ----------
    crew : Crew
    dataset : Dataset
        Its queries in the order of the processes: every measurement takes the first ones.
    """

    def __init__(self, crew: Crew, dataset: Dataset) -> None:
        self.crew, self.dataset = crew, dataset
        self.total = len(dataset.queries)
        self.enough = max(crew.settings.targets, default=1.0)
        self.looks: dict[str, list[Tried]] = {}

    def _truth(self, queries: int) -> Truth:
        data, settings = self.dataset, self.crew.settings
        near = None if data.neighbors is None else data.neighbors[:queries]
        return Truth(data.base, data.queries[:queries], settings.k, settings.metric, near)

    def run(self) -> dict[str, list[Tried]]:
        """Go up to the recall that is asked for, with each build."""
        crew = self.crew
        out: dict[str, list[Tried]] = {}
        queries = self._recall_queries()
        crew.progress("finding the true neighbours", 0, 1)
        truth = None
        for done, worker in enumerate(list(crew.workers)):
            crew.progress("measuring recall", done, len(crew.workers))
            name = worker.spec.name
            known = self._known(name)
            if known is None:
                truth = truth or self._truth(queries)
                try:
                    known = self._recalls(worker, truth, queries)
                except WorkerError as error:
                    crew.fail(worker, "search", error)
                    continue
                points = [
                    {"setting": t.point.setting, "recall": t.point.recall, "seconds": t.seconds}
                    for t in known
                ]
                record = {"curve": worker.spec.curve, "build": name, "points": points}
                crew.journal.put("recalls", record)
            out[name] = known
        crew.lap("recall")
        return out

    def _known(self, name: str) -> list[Tried] | None:
        points = self.crew.journal.points(name)
        if points is None:
            return None
        seconds = self.crew.journal.query_seconds(name)
        return [Tried(point, each) for point, each in zip(points, seconds, strict=True)]

    def _recall_queries(self) -> int:
        """Plan from a first look at all settings with few queries."""
        crew = self.crew
        planned = crew.journal.recall_queries()
        waiting = [w for w in crew.workers if crew.journal.points(w.spec.name) is None]
        if not waiting:
            return planned or self.total
        few = min(LOOK_QUERIES, self.total)
        begin = crew.clock.spent()
        truth = self._truth(few)
        per_query = (crew.clock.spent() - begin) / few
        for done, worker in enumerate(waiting):
            crew.progress("having a first look", done, len(waiting))
            try:
                tried = self._look(worker, truth, few)
            except WorkerError as error:
                crew.fail(worker, "search", error)
                continue
            self.looks[worker.spec.name] = tried
            per_query += sum(found.seconds for found in tried)
        crew.lap("first look")
        if planned is None:
            planned = recall_queries(per_query, self.total, crew.clock.left())
            crew.journal.put("plan", {"step": "recall", "queries": planned, "of": self.total})
        return planned

    def _look(self, worker: Worker, truth: Truth, few: int) -> list[Tried]:
        out: list[Tried] = []
        settings = self._settings(worker)
        ladder = _is_ladder(settings)
        for setting in settings:
            found, seconds = worker.call("look", setting, self.crew.settings.k, few)
            begin = self.crew.clock.spent()
            recall = truth.recall(found)
            counting = (self.crew.clock.spent() - begin) / few
            point = Point(worker.spec.curve, worker.spec.name, setting, recall, [1 / seconds])
            out.append(Tried(point, seconds + counting))
            if ladder and recall >= min(1.0, self.enough + _MARGIN):
                break
        if ladder:
            return out
        kept = promising([found.point for found in out], min(1.0, self.enough + _MARGIN))
        by_setting = {id(found.point): found for found in out}
        return [by_setting[id(point)] for point in kept]

    def _settings(self, worker: Worker) -> list[Setting]:
        settings: list[Setting] = worker.call(
            "settings", self.crew.settings.k, self.crew.settings.efs
        )
        return settings

    def _recalls(self, worker: Worker, truth: Truth, queries: int) -> list[Tried]:
        settings = self._settings(worker)
        ladder = _is_ladder(settings)
        if not ladder:
            settings = [found.point.setting for found in self.looks[worker.spec.name]]
        out = []
        for setting in settings:
            found, seconds = worker.call("find", setting, self.crew.settings.k, queries)
            recall = truth.recall(found)
            out.append(Tried(Point(worker.spec.curve, worker.spec.name, setting, recall), seconds))
            if ladder and recall >= self.enough:
                break
        return sorted(out, key=lambda found: found.point.recall) if not ladder else out


def _is_ladder(settings: list[Setting]) -> bool:
    """Whether settings differ in one thing alone, so that each finds more than the last."""
    return all(len(setting) == 1 for setting in settings)


def promising(points: list[Point], enough: float) -> list[Point]:
    """Leave out what others beat by far, and what goes beyond enough; by ascending recall."""
    best = front(points)
    beyond = [point for point in best if point.recall >= enough]
    kept = [
        point
        for point in points
        if not any(
            other.recall >= point.recall and other.qps[0] > _HOPELESS * point.qps[0]
            for other in best
        )
        # Two steps beyond: a first look sees few queries.
        and (len(beyond) < 3 or point.qps[0] >= beyond[2].qps[0])
    ]
    return sorted(kept, key=lambda point: point.recall)
