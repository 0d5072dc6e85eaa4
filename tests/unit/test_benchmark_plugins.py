"""The plug-ins for ann-benchmarks and big-ann-benchmarks, driven as these frameworks do."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

yaml = pytest.importorskip("yaml")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
rng = np.random.default_rng(0)


def exact(metric, base, query, count):
    """Row numbers nearest to a query, by brute force in float64."""
    base, query = base.astype(np.float64), query.astype(np.float64)
    if metric == "hamming":
        far = (base != query).sum(axis=1)
    elif metric == "angular":
        far = 1 - base @ query / np.linalg.norm(base, axis=1) / np.linalg.norm(query)
    elif metric == "ip":
        far = -(base @ query)
    else:
        far = ((base - query) ** 2).sum(axis=1)
    return far, np.argsort(far, kind="stable")[:count]


def recall(metric, base, queries, found, allowed=None):
    """Mean share of the results that are no farther than the true k-th."""
    shares = []
    for number, (query, rows) in enumerate(zip(queries, found, strict=True)):
        far, _ = exact(metric, base, query, 1)
        may = np.ones(len(base), bool) if allowed is None else allowed[number]
        want = np.sort(far[may])[: len(rows)]
        rows = rows[rows >= 0]
        assert may[rows].all() and len({*rows}) == len(rows)
        shares.append((far[rows] <= want[-1] + 1e-9).sum() / len(want))
    return np.mean(shares)


@pytest.fixture
def ann_benchmarks(tmp_path, monkeypatch):
    """A tree like ann-benchmarks', with the plug-in in its place."""
    algorithms = tmp_path / "ann_benchmarks" / "algorithms"
    base = algorithms / "base"
    base.mkdir(parents=True)
    (base / "module.py").write_text(
        "class BaseANN:\n"
        "    def done(self): pass\n"
        "    def get_batch_results(self): return self.res\n"
        "    def get_additional(self): return {}\n"
        "    def __str__(self): return self.name\n"
    )
    shutil.copytree(BENCHMARKS / "ann_benchmarks" / "annx", algorithms / "annx")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield algorithms
    for name in [name for name in sys.modules if name.split(".")[0] == "ann_benchmarks"]:
        del sys.modules[name]


def definitions(config, point_type, metric):
    """Constructor arguments and query arguments of every run of a config.yml."""
    groups = config[point_type]
    for algorithm in groups.get("any") or groups[metric]:
        assert {"docker_tag", "module", "constructor", "name", "base_args"} <= algorithm.keys()
        for group in algorithm["run_groups"].values():
            for options in group["arg_groups"]:
                lists = [v if isinstance(v, list) else [v] for v in options.values()]
                for values in itertools.product(*lists):
                    params = dict(zip(options, values, strict=True))
                    asked = list(itertools.product(*group["query_args"]))
                    yield algorithm, [metric, params], asked


@pytest.mark.parametrize(
    "point_type, metric", [("float", "euclidean"), ("float", "angular"), ("bit", "hamming")]
)
def test_ann_benchmarks_plugin(ann_benchmarks, point_type, metric):
    rows = rng.standard_normal((1260, 16)).astype(np.float32)
    if point_type == "bit":
        rows = rng.random((1260, 64)) < 0.5
    base, queries = rows[:1200], rows[1200:]
    config = yaml.safe_load((ann_benchmarks / "annx" / "config.yml").read_text())
    runs = list(definitions(config, point_type, metric))
    assert len(runs) >= 2
    for algorithm, arguments, asked in [runs[0], runs[-1]]:
        module = importlib.import_module(f"{algorithm['module']}.module")
        algo = getattr(module, algorithm["constructor"])(*arguments)
        algo.fit(base)
        names = set()
        for query_arguments in (asked[0], asked[-1]):
            algo.set_query_arguments(*query_arguments)
            names.add(str(algo))
            single = [np.asarray(list(algo.query(query, 10))) for query in queries]
            assert recall(metric, base, queries, single) > (
                0.9 if query_arguments[0] > 400 else 0.3
            )
            algo.batch_query(queries, 10)
            for one, other in zip(single, algo.get_batch_results(), strict=True):
                np.testing.assert_array_equal(one, other)
        assert len(names) == 2, "results are stored by name"
        json.dumps(algo.get_additional())
        algo.done()


class Csr:
    """As much of scipy's CSR matrix as the framework hands over."""

    def __init__(self, rows, columns):
        self.shape = (len(rows), columns)
        self.indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        self.indices = np.array([word for row in rows for word in row], np.int32)


class ToyDataset:
    """The contract of benchmark.datasets.Dataset."""

    nb, d, dtype = 1500, 16, "uint8"

    def __init__(self):
        own = np.random.default_rng(1)
        rows = own.integers(0, 256, (self.nb + 40, self.d)).astype(np.uint8)
        self._base, self._queries = rows[: self.nb], rows[self.nb :]
        # Words of very different frequency, as tags have.
        odds = np.array([0.9, 0.5, 0.2, 0.05, 0.01])
        self.words = own.random((self.nb, 5)) < odds
        self.asked = [[number % 5] if number % 2 else [number % 5, 0] for number in range(40)]
        self.asked = [sorted({*words}) for words in self.asked]

    def get_dataset(self):
        return self._base

    def get_queries(self):
        return self._queries

    def get_dataset_metadata(self):
        return Csr([np.flatnonzero(row) for row in self.words], 5)

    def get_queries_metadata(self):
        return Csr(self.asked, 5)

    def search_type(self):
        return "knn_filtered"


@pytest.fixture
def big_ann(tmp_path, monkeypatch):
    """Load a plug-in's class as the framework does, in a tree like the framework's."""
    bases = {"BaseFilterANN": "filter", "BaseStreamingANN": "streaming"}
    stubs = {"benchmark.datasets": SimpleNamespace(DATASETS={"toy": ToyDataset})}
    for name, track in bases.items():
        stubs[f"neurips23.{track}.base"] = SimpleNamespace(**{name: type(name, (), {})})
    for name in ["benchmark", "neurips23", "neurips23.filter", "neurips23.streaming"]:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, stub in stubs.items():
        module = ModuleType(name)
        vars(module).update(vars(stub))
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)

    def runs(track):
        folder = BENCHMARKS / "big_ann_benchmarks" / track / "annx"
        for dataset in yaml.safe_load((folder / "config.yaml").read_text()).values():
            entry = dataset["annx"]
            assert entry["module"] == f"neurips23.{track}.annx.annx"
            assert entry["base-args"] == ["@metric"]
            place = importlib.util.spec_from_file_location("plugin", folder / "annx.py")
            module = importlib.util.module_from_spec(place)
            place.loader.exec_module(module)
            for group in entry["run-groups"].values():
                for params in json.loads(group["args"]):
                    algo = getattr(module, entry["constructor"])("euclidean", params)
                    yield algo, json.loads(group["query-args"])

    return runs


def test_big_ann_filter_contract(big_ann):
    ds = ToyDataset()
    for algo, asked in big_ann("filter"):
        assert not algo.load_index("toy")
        algo.fit("toy")
        for source in ("built", "loaded"):
            if source == "loaded":
                assert algo.load_index("toy")
            algo.set_query_arguments(asked[-1])
            algo.query(ds.get_queries(), 10)
            assert algo.get_results().shape == (40, 10)
            algo.filtered_query(ds.get_queries(), ds.get_queries_metadata(), 10)
            found = algo.get_results()
            assert found.shape == (40, 10)
            allowed = [ds.words[:, words].all(axis=1) for words in ds.asked]
            assert recall("euclidean", ds.get_dataset(), ds.get_queries(), found, allowed) > 0.95
        str(algo)
        break  # the second has the same name for its file


def test_big_ann_streaming_contract(big_ann):
    ds = ToyDataset()
    data, queries = ds.get_dataset(), ds.get_queries()
    runbook = [
        ("insert", 0, 1000), ("search",), ("delete", 200, 700), ("search",),
        ("insert", 1000, 1500), ("insert", 200, 400), ("search",), ("replace", 300, 900),
        ("delete", 0, 100), ("search",),
    ]  # fmt: skip
    for algo, asked in big_ann("streaming"):
        algo.setup(ds.dtype, ds.nb, ds.d)
        algo.set_query_arguments(asked[-1])
        now = np.zeros(data.shape, data.dtype)
        live = np.zeros(ds.nb, bool)
        searches = 0
        for operation, *ends in runbook:
            if operation == "search":
                algo.query(queries, 10)
                found = algo.get_results()
                assert found.shape == (len(queries), 10)
                rates = recall("euclidean", now, queries, found, [live] * len(queries))
                assert rates > 0.9
                searches += 1
                continue
            ids = np.arange(*ends, dtype=np.uint32)
            if operation == "delete":
                algo.delete(ids)
                live[ids] = False
            elif operation == "insert":
                algo.insert(data[ids], ids)
                now[ids], live[ids] = data[ids], True
            else:
                ids = ids[live[ids]]
                now[ids] = data[ids[::-1]]
                algo.replace(now[ids], ids)
        assert searches == 4
        str(algo)
