"""The record of a run as JSON lines: written as it happens, read to go on or to report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.comparison import (
    BASELINES,
    Build,
    Comparison,
    Failure,
    Latency,
    Settings,
)
from annx._bench.curves import Point, at_recall
from annx._bench.engines import Setting
from annx._bench.machine import Machine
from annx._bench.plan import Plan
from annx.datasets import Dataset
from annx.errors import FormatError, ParameterError

#: Of the file; a reader refuses what it does not know.
FORMAT = 1


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold; infinity and NaN become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def about(dataset: Dataset) -> dict[str, Any]:
    """Describe the data so that the same data can be told from other."""
    return {
        "name": dataset.name,
        "rows": len(dataset.base),
        "columns": int(dataset.base.shape[1]),
        "dtype": str(dataset.base.dtype),
        "queries": len(dataset.queries),
        "sha256": _digest(dataset.base, dataset.queries),
    }


def _digest(*arrays: NDArray[Any]) -> str:
    out = hashlib.sha256()
    for array in arrays:
        for start in range(0, len(array), 1 << 16):
            out.update(np.ascontiguousarray(array[start : start + (1 << 16)]).data)
    return out.hexdigest()


def _key(setting: Setting) -> str:
    return json.dumps(setting, sort_keys=True)


class Journal:
    """All records of one run so far, in memory and perhaps in a file.

    Parameters
    ----------
    path : Path, optional
        A file of an earlier attempt is read, and goes on.
    emit : callable, optional
        Given every record as soon as it is known, and first those of the file.

    Raises
    ------
    FormatError
        The file is not a journal.
    """

    def __init__(
        self, path: Path | None = None, emit: Callable[[dict[str, Any]], object] | None = None
    ) -> None:
        self.path, self._emit = path, emit
        self.records: list[dict[str, Any]] = []
        self._timed: set[tuple[str, str, int]] = set()
        if path is not None and path.exists():
            for record in read(path):
                self._keep(record)
            # A process that was killed may have left half a line: write whole ones again.
            whole = path.with_name(f"{path.name}.tmp")
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in self.records)
            whole.write_text("".join(lines), encoding="utf-8")
            whole.replace(path)

    def start(self, dataset: dict[str, Any], settings: Settings, machine: Machine) -> None:
        """Begin, or make sure that what is there already belongs to the same run.

        Raises
        ------
        ParameterError
            The file holds a run of other data, settings, machine or versions.
        """
        fresh = plain(
            {"format": FORMAT, "dataset": dataset, "settings": settings, "machine": machine}
        )
        if not self.records:
            self.put("run", fresh)
            return
        first = self.records[0]
        for part in ("dataset", "settings"):
            for name, value in fresh[part].items():
                self._demand(f"{part} {name}", first[part].get(name), value)
        for name in ("cpu", "cores", "versions", "isa", "commit"):
            self._demand(f"machine {name}", first["machine"].get(name), fresh["machine"][name])

    def _demand(self, what: str, old: Any, new: Any) -> None:
        if old != new:
            raise ParameterError(
                f"{self.path}: holds another run ({what} was {old!r}, is {new!r}): "
                "pass another --out, or remove it"
            )

    def put(self, kind: str, record: Any) -> None:
        """Add a record."""
        whole = {"record": kind, **plain(record)}
        self._keep(whole)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(whole, ensure_ascii=False) + "\n")

    def _keep(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        if self._emit is not None:
            self._emit(record)
        if record["record"] == "timing":
            self._timed.add((record["build"], _key(record["setting"]), record["turn"]))

    def of(self, kind: str) -> Iterator[dict[str, Any]]:
        """All records of a kind, without its name."""
        for record in self.records:
            if record["record"] == kind:
                yield {name: value for name, value in record.items() if name != "record"}

    def is_complete(self) -> bool:
        """Whether the run reached its end."""
        return any(record["record"] == "end" for record in self.records)

    def failed(self) -> set[str]:
        """Builds whose library failed."""
        return {record["build"] for record in self.of("failure")}

    def built(self) -> set[str]:
        """Builds whose cost is known."""
        return {record["build"] for record in self.of("build")}

    def points(self, build: str) -> list[Point] | None:
        """Settings whose recall was found, without their times; None if not all were tried."""
        done = next((r for r in self.of("recalls") if r["build"] == build), None)
        if done is None:
            return None
        return [
            Point(done["curve"], build, point["setting"], point["recall"])
            for point in done["points"]
        ]

    def query_seconds(self, build: str) -> list[float]:
        """Seconds of a query with each of these settings."""
        done = next(record for record in self.of("recalls") if record["build"] == build)
        return [point.get("seconds", 0.0) for point in done["points"]]

    def spent(self) -> float:
        """Seconds that earlier attempts took, as far as they had come when they noted it."""
        return math.fsum(record["seconds"] for record in self.of("time"))

    def recall_queries(self) -> int | None:
        """How many queries recall is measured with; None if that is not yet planned."""
        planned = [r["queries"] for r in self.of("plan") if r["step"] == "recall"]
        if not planned and self._is_without_plan():
            return int(self.records[0]["dataset"]["queries"])
        return planned[-1] if planned else None

    def plan(self) -> Plan | None:
        """What is measured after recall; None if that is not yet planned."""
        planned = [record for record in self.of("plan") if record["step"] == "speed"]
        if planned:
            return Plan(planned[-1]["queries"], planned[-1]["rounds"], planned[-1]["calls"])
        if not self._is_without_plan():
            return None
        run = self.records[0]
        queries = int(run["dataset"]["queries"])
        latency = run["settings"].get("latency", True)
        return Plan(queries, int(run["settings"]["rounds"]), queries if latency else 0)

    def _is_without_plan(self) -> bool:
        """Whether it was written when everything was measured with all queries."""
        return any(self.of("recalls")) and not any(self.of("plan"))

    def has_timing(self, build: str, setting: Setting, turn: int) -> bool:
        """Whether a setting was timed in a round."""
        return (build, _key(setting), turn) in self._timed

    def has_calls(self, build: str, turn: int) -> bool:
        """Whether single calls were timed in a round."""
        return any(r["build"] == build and r["turn"] == turn for r in self.of("calls"))

    def comparison(self) -> Comparison:
        """Put the records together.

        Raises
        ------
        FormatError
            Something is missing from a record.
        """
        try:
            return self._comparison()
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise FormatError(f"{self.path}: a record is damaged: {error}") from error

    def _comparison(self) -> Comparison:
        run = self.records[0]
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in run["settings"].items()
        }
        out = Comparison(Machine(**run["machine"]), run["dataset"], Settings(**settings))
        out.builds = [Build(**record) for record in self.of("build")]
        out.failures = [Failure(**record) for record in self.of("failure")]
        out.recall_queries, out.plan = self.recall_queries(), self.plan()
        for spent in self.of("time"):
            out.times[spent["step"]] = out.times.get(spent["step"], 0.0) + spent["seconds"]
        # They were built in the order of their cost.
        out.builds.sort(key=lambda build: out.settings.rank(build.curve))
        failed = {failure.build for failure in out.failures}
        points: dict[tuple[str, str], Point] = {}
        for tried in self.of("recalls"):
            for point in tried["points"]:
                points[tried["build"], _key(point["setting"])] = Point(
                    tried["curve"], tried["build"], point["setting"], point["recall"]
                )
        # A round that was broken off may have been given up for lack of time.
        turns = math.inf if out.plan is None else out.plan.rounds
        for timing in self.of("timing"):
            if timing["turn"] >= turns:
                continue
            point = points[timing["build"], _key(timing["setting"])]
            point.qps.append(timing["qps"])
            point.waited.append(timing["waited"])
        rounds = max((len(point.qps) for point in points.values()), default=0)
        out.points = [
            point
            for point in points.values()
            if point.build not in failed and rounds and len(point.qps) == rounds
        ]
        calls: dict[str, Latency] = {}
        for call in self.of("calls"):
            if call["turn"] >= turns:
                continue
            latency = calls.setdefault(
                call["build"],
                Latency(call["curve"], call["build"], call["setting"], call["recall"]),
            )
            latency.p50.append(call["p50"])
            latency.p99.append(call["p99"])
        out.latencies = [latency for latency in calls.values() if latency.build not in failed]
        out.at_recall = at_recall(out.points, out.settings.targets, BASELINES)
        return out


def load(path: Path) -> Comparison:
    """Read what a run found, whether it reached its end or not.

    Raises
    ------
    FormatError
        It is not a journal, or it is empty or damaged.
    """
    journal = Journal()
    for record in read(path):
        journal.put(record.pop("record"), record)
    if not journal.records:
        raise FormatError(f"{path}: the file is empty")
    return journal.comparison()


def read(path: Path) -> list[dict[str, Any]]:
    """Read the records of a journal; half a line at its end is left out.

    Raises
    ------
    FormatError
        It is not a journal, or of a later format.
    """
    lines = path.read_text("utf-8", "replace").split("\n")
    records = []
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == len(lines) - 1:
                break
            raise FormatError(f"{path}: line {number + 1}: {error}") from error
        if not isinstance(record, dict) or "record" not in record:
            raise FormatError(f"{path}: line {number + 1}: expected a record of a benchmark")
        records.append(record)
    if not records:
        return []
    if records[0]["record"] != "run" or records[0].get("format") != FORMAT:
        raise FormatError(
            f"{path}: expected the journal of a benchmark of format {FORMAT}, "
            f"got {records[0].get('format')!r}"
        )
    return records
