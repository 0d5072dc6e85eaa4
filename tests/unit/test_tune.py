"""`tune` and ``search(recall=...)``."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import annx
from annx import _sample, _tune
from annx._tune import Curve, Point

CURVE = Curve(
    10,
    5000,
    (
        Point(10, 0.82, 0.8, 900.0),
        Point(20, 0.92, 0.9, 500.0),
        Point(40, 0.97, 0.95, 300.0),
        Point(80, 1.0, 0.995, 150.0),
    ),
)


def make(rng, n=6000, dim=32, **options):
    index = annx.Index(dim, **options)
    index.add(rng.standard_normal((n, dim), dtype=np.float32))
    return index


def sample(index):
    def near(queries, k):
        return index.search(queries, k).labels

    return _sample.queries(index._config, index.get, near, index.labels, 50)


def recall_of(index, queries, k, **how):
    bound = index.exact_search(queries, k).distances[:, -1:]
    found = index.search(queries, k, **how).distances
    return (found <= bound + 1e-5 * np.abs(bound)).mean()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_held_out_queries_reach_what_was_asked(engine, rng, metric, monkeypatch):
    # However long an exact search takes here, the beam is what is tested.
    real = _tune.Probe.curve
    monkeypatch.setattr(
        _tune.Probe, "curve", lambda self, n, _, goals, poll: real(self, n, 0.0, goals, poll)
    )
    index = make(rng, metric=metric)
    # Recall varies by some 0.16 from query to query: a mean of 3,000 is good to 0.003.
    held_out = rng.standard_normal((3000, 32), dtype=np.float32)
    for given in (None, rng.standard_normal((300, 32), dtype=np.float32)):
        table = index.tune(given, recall=(0.8, 0.95))
        assert table[0.8].ef_search <= table[0.95].ef_search < len(index)
        for goal in (0.8, 0.9, 0.95):
            assert recall_of(index, held_out, 10, recall=goal) >= goal - 0.015


def test_the_table(engine, rng):
    table = make(rng, n=2000).tune(k=5, recall=[0.9, 0.5])
    assert list(table) == [0.5, 0.9] and len(table) == 2 and (table.k, table.n) == (5, 2000)
    entry = table[0.9]
    assert entry.recall >= 0.9 and entry.qps > 0 and type(entry.ef_search) is int
    assert repr(table).startswith("<annx.Tuning k=5 n=2,000\nrecall")
    assert list(make(rng, n=2000).tune(recall=1.0)) == [1.0]


def test_small_indexes_are_searched_exactly(engine, rng):
    index = make(rng, n=300)
    q = rng.standard_normal((20, 32), dtype=np.float32)
    for goal in (0.1, np.float32(0.5), 1):
        assert index.search(q, recall=goal).labels.tolist() == index.exact_search(q).labels.tolist()
    assert index.tune()[0.9][:2] == (300, 1.0)
    assert index._curves == {}


def test_codecs_and_short_results(backend, rng):
    for codec, metric in (("u8", "l2"), ("i8", "cosine"), ("f16", "ip"), ("b1", "hamming")):
        index = annx.Index(16, metric, codec=codec)
        low = 0 if codec in ("u8", "b1") else -9
        high = 2 if codec == "b1" else 10
        rows = rng.integers(low, high, (7, 16)) + (1 if codec == "i8" else 0)
        rows[:, 0] = 1
        index.add(rows.astype(bool) if codec == "b1" else rows)
        assert index.tune(k=10)[0.99].recall == 1.0
        queries = sample(index)
        assert len(queries) == 7 and queries.dtype == index._plain


def test_sampled_queries_are_no_stored_rows(backend, rng):
    index = make(rng, n=100)
    queries = sample(index)
    nearest = index.exact_search(queries, 1).distances
    assert queries.shape == (50, 32) and nearest.min() > 1


def test_an_index_tunes_itself_once(engine, rng, monkeypatch):
    index = make(rng, n=1500)
    calls = []
    real = index._measure
    monkeypatch.setattr(index, "_measure", lambda *args: calls.append(args[1]) or real(*args))
    q = rng.standard_normal((5, 32), dtype=np.float32)
    threads = [
        threading.Thread(target=index.search, args=(q, 10), kwargs={"recall": 0.9})
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    index.search(q, 3, recall=0.9)
    index.search(q, 40, recall=0.95)
    assert calls == [10]
    index.search(q, 2, recall=0.9)
    index.search(q, 200, recall=0.9)
    assert calls == [10, 2, 200]


def test_warns_when_a_fifth_has_changed(engine, rng):
    index = make(rng, n=2000)
    index.tune(recall=0.9)
    index.add(rng.standard_normal((399, 32), dtype=np.float32))
    q = rng.standard_normal(32, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.search(q, recall=0.9)
        index.add(rng.standard_normal((1, 32), dtype=np.float32))
        with pytest.raises(annx.TuningWarning, match="had 2,000 rows .* has 2,400 now"):
            index.search(q, recall=0.9)
        index.tune(recall=0.9)
        index.search(q, recall=0.9)


@pytest.mark.parametrize("recall", [0, -0.1, 1.01, float("nan"), True, "0.9", None, 1j])
def test_bad_goals(use_backend, recall):
    use_backend("reference")
    index = annx.Index(2)
    index.add([[0, 0]])
    with pytest.raises(annx.ParameterError, match="recall"):
        index.tune(recall=recall)
    if recall is not None:
        with pytest.raises(annx.ParameterError, match="recall"):
            index.search([0, 0], recall=recall)


def test_bad_arguments(use_backend):
    use_backend("reference")
    index = annx.Index(2)
    with pytest.raises(annx.ParameterError, match="empty"):
        index.tune()
    index.add([[0, 0]])
    with pytest.raises(annx.ParameterError, match="expected ef_search or recall, got both"):
        index.search([0, 0], ef_search=10, recall=0.9)
    with pytest.raises(annx.ParameterError, match="at least one query"):
        index.tune(np.empty((0, 2)))
    with pytest.raises(annx.ParameterError, match="at least one goal"):
        index.tune(recall=())
    with pytest.raises(annx.DimensionError):
        index.tune([[1, 2, 3]])
    with pytest.raises(annx.ParameterError, match="k must be"):
        index.tune(k=0)


def test_progress(use_backend, rng):
    use_backend("reference")
    index = make(rng, n=30)
    seen = []
    index.tune(progress=lambda done, total: seen.append((done, total)))
    assert seen and seen[-1][0] == seen[-1][1]


def test_width_interpolates():
    assert CURVE.width(0.5) == 10 and CURVE.width(0.8) == 10
    assert CURVE.width(0.9) == 20 and CURVE.width(0.995) == 80
    assert 20 < CURVE.width(0.93) < 40
    assert CURVE.width(0.999) is None
    widths = [CURVE.width(goal) for goal in np.linspace(0.5, 0.995, 200)]
    assert widths == sorted(widths)


def test_the_curve_for_a_k():
    curves = {10: CURVE, 100: CURVE._replace(k=100)}
    for k, used, factor in ((10, 10, 1), (3, 10, 1), (20, 10, 2), (25, 100, 1), (400, 100, 4)):
        assert _tune.covering(curves, k) == (curves[used], factor)
    assert _tune.covering(curves, 2) is None and _tune.covering(curves, 401) is None


def test_arrays_restore_curves():
    curves = {10: CURVE, 3: CURVE._replace(k=3, points=CURVE.points[:2])}
    array = _tune.to_array(curves)
    assert array.dtype == np.float32 and array.shape == (6, 6)
    again = _tune.from_array(array)
    assert again.keys() == curves.keys()
    np.testing.assert_array_equal(_tune.to_array(again), array)
    assert _tune.from_array(_tune.to_array({})) == {}


@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 2), (3, 3), (0, 4), (3, 5)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -7.0])
def test_damaged_arrays(place, value):
    array = _tune.to_array({10: CURVE})
    array[place] = value
    with pytest.raises(annx.FormatError, match="tuning table"):
        _tune.from_array(array)


def test_arrays_out_of_order():
    array = _tune.to_array({10: CURVE})
    with pytest.raises(annx.FormatError, match="out of order"):
        _tune.from_array(array[::-1])
    with pytest.raises(annx.FormatError, match="6 columns"):
        _tune.from_array(array[:, :5])


def test_files_keep_the_tuning(engine, rng):
    index = make(rng, n=2000)
    index.tune(k=5)
    again = annx.Index.from_bytes(index.to_bytes())
    assert again._curves.keys() == {5}
    for goal in (0.5, 0.9, 0.97):
        assert again._width(5, goal, None) == index._width(5, goal, None)
    assert again.to_bytes() == index.to_bytes()


def test_bfloat16_queries_stay_what_they_are(engine, rng):
    index = make(rng, n=1200, dim=4, codec="bf16")
    q = rng.standard_normal((50, 4), dtype=np.float32)
    index.tune(q, k=5)
    assert (
        index.search(q, 5, recall=1.0).labels.tolist() == index.exact_search(q, 5).labels.tolist()
    )
