"""Files of every released format version open in every backend."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from data import all_distances, plain, tolerance

import annx

FOLDER = Path(__file__).parents[1] / "golden"
FILES = sorted(FOLDER.glob("*.annx"))
LOGGED = sorted((FOLDER / "logged").glob("*.annx"))

_spec = importlib.util.spec_from_file_location("golden_make", FOLDER / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


def test_there_is_one_for_each_codec():
    assert {path.stem.split("_", 1)[1] for path in FILES} == set(make.FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file(backend, path):
    _, metric, storage = path.stem.split("_")
    codec = make.FILES[f"{metric}_{storage}"]
    x = make.vectors(codec)
    index = annx.load(path)
    stored = {"turbo": "sq10", "turbo-u8": "u8"}.get(
        storage, storage.removeprefix("wide-").partition("-")[0]
    )
    assert index._config.edge_bits == (2 if storage.startswith("turbo") else 0)
    assert (index.metric, index.codec, index.dim) == (metric, stored, make.DIM)
    assert (index.M, index.ef_construction, index.ef_search, index.seed) == (3, 20, 33, 7)
    assert index.to_bytes() == path.read_bytes() or backend == "reference"
    assert np.array_equal(index.labels, make.labels())
    # Of 8 bits, the last is some 1 / 255 of the largest coordinate, 8; of 10, a quarter.
    close = {"sq8": 0.15, "sq10": 0.04, "sq4": 0.04, "turbo": 0.04}.get(storage, 0)
    np.testing.assert_allclose(index.get(index.labels), x, rtol=1e-6, atol=close)
    hits = index.search(x[:20], k=make.N, ef_search=make.N)
    rows = plain(x, codec)
    want = np.sort(all_distances(metric, rows[:20], rows), axis=1)
    if not close:
        np.testing.assert_allclose(
            hits.distances, want, rtol=2e-5, atol=tolerance(metric, rows[:20], rows)
        )
    assert index.info()["graph"]["twins"] == 10
    assert len(index.add(x[:3], [1, 2, 3])) == 3


@pytest.mark.parametrize("name", ["reference", "native", "numba"])
def test_golden_file_with_removed_rows(use_backend, name):
    use_backend(name)
    path = FOLDER / "removed" / "v1_l2_f32.annx"
    index = annx.load(path)
    kept = np.concatenate([make.labels()[:5], make.labels()[48:]])
    assert sorted(index.labels.tolist()) == sorted([*kept.tolist(), 1, 2, 3])
    x = make.vectors("f32")
    assert np.array_equal(index.get(kept), np.concatenate([x[:5], x[48:]]))
    assert np.array_equal(index.get([1, 2, 3]), x[10:13])
    if name != "reference":
        assert index.to_bytes() == path.read_bytes()
        graph = index.info()["graph"]
        assert graph["dead"] > 0 and graph["free"] > 0
    hits = index.search(x[:5], k=len(index), ef_search=100)
    rows = index.get(index.labels).astype(np.float64)
    want = np.sort(all_distances("l2", x[:5].astype(np.float64), rows), axis=1)
    np.testing.assert_allclose(hits.distances, want, rtol=2e-5, atol=1e-3)


@pytest.mark.parametrize("path", LOGGED, ids=lambda path: path.stem)
def test_golden_file_with_a_log(backend, path):
    name = path.stem.split("_", 1)[1]
    codec = make.FILES[name]
    index = annx.load(path)
    want = dict(zip(make.labels().tolist(), make.vectors(codec), strict=True))
    x = make.vectors(codec)
    want |= dict(zip(make.labels()[:2].tolist(), x[7:9], strict=True))
    want |= dict(zip([-7, 1, 2], x[3:6], strict=True))
    for label in make.labels()[20:40].tolist():
        del want[label]
    assert sorted(index.labels.tolist()) == sorted(want) and index.ef_search == 33
    close = {"cosine_sq8-f32": 1e-6, "l2_turbo": 0.04}.get(name, 0)
    np.testing.assert_allclose(
        index.get([*want]), np.stack([*want.values()]), rtol=1e-6, atol=close
    )


@pytest.mark.parametrize("name", ["native", "numba"])
def test_golden_file_with_seeds(use_backend, name):
    use_backend(name)
    path = FOLDER / "seeds" / "v1_l2_sq10.annx"
    index = annx.load(path)
    assert index.to_bytes() == path.read_bytes()
    # All rows but ten twins: fewer than there may be.
    assert np.array_equal(index._core.export_state().seeds, np.arange(make.N - 10))
    x = make.vectors("f32")
    assert (index.search(x[:50], k=1).labels[:, 0] == make.labels()[:50]).all()
