"""Columns say of every row what `Expression.matches` says of its document."""

from __future__ import annotations

import math
import threading
from collections import Counter
from contextlib import ExitStack
from unittest.mock import Mock, patch

import numpy as np
import pytest
from filter_samples import DATES, FIELDS, NUMBERS, TEXTS, documents, expressions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annx.errors import CapacityError, FilterError, ParameterError, StorageError
from annx.filters import Columns, F, parse
from annx.filters._column import Column
from annx.filters._values import flatten, kind_of, values_at

#: Bounds that decide when columns reorganise; at these values they do so all the time.
TIGHT = {
    "annx.filters._columns._CACHED_ROWS": 0,
    "annx.filters._fields._PENDING": 3,
    "annx.filters._column._FEW": 1,
    "annx.filters._column._CHANGES": 6,
    "annx.filters._column._RARE": 2,
    "annx.filters._column._COMMON": 1,
    "annx.filters._cells._FEW": 1,
    "annx.filters._dictionary._FEW": 2,
    "annx.filters._evaluate._FEW": 1,
    "annx.filters._cells.SCANNED": 0,
    "annx.filters._cells.MOST": 3,
}

STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 40), documents()), min_size=1, max_size=8),
        st.lists(st.integers(0, 40), max_size=4),
        st.just("bytes"),
    ),
    max_size=5,
)


class Model:
    """Columns beside a dict of documents, changed alike and compared."""

    def __init__(self):
        self.columns = Columns()
        self.documents = {}
        self.extent = 0

    def step(self, step):
        if step == "bytes":
            self.columns = Columns.from_bytes(self.columns.to_bytes())
        elif step and isinstance(step[0], tuple):
            rows, given_documents = zip(*step, strict=True)
            self.columns.upsert(np.array(rows), given_documents)
            self.documents.update(step)
            self.extent = max(self.extent, *(row + 1 for row in rows))
        else:
            self.columns.remove(np.array(step, np.int64))
            for row in step:
                self.documents.pop(row, None)

    def check(self, expression):
        wanted = np.zeros(self.extent, np.bool_)
        for row, document in self.documents.items():
            wanted[row] = expression.matches(document)
        mask = self.columns.mask(expression)
        # Rows of documents that were removed before any look at the columns were never there.
        assert len(mask) <= len(wanted)
        wanted = wanted[: len(mask)]
        assert mask.tolist() == wanted.tolist(), expression
        assert self.columns.count(expression) == wanted.sum()
        assert self.columns.select(expression).tolist() == np.flatnonzero(wanted).tolist()
        assert self.columns.packed(expression).tolist() == np.packbits(wanted).tolist()

    def check_reads(self):
        rows = sorted(self.documents)
        assert np.flatnonzero(self.columns.live).tolist() == rows
        assert len(self.columns) == len(rows)
        for field in FIELDS:
            held = {row: values_at(self.documents[row], field) for row in rows}
            got = self.columns.values(field, np.arange(self.extent))
            for row in range(self.extent):
                assert as_counted(listed(got[row])) == as_counted(held.get(row, [])), field
            wanted = sum((as_counted(values) for values in held.values()), Counter())
            facets = self.columns.facets(field, limit=None)
            assert Counter({key(value): count for value, count in facets}) == wanted
            assert [count for _, count in facets] == sorted(wanted.values(), reverse=True)
            assert self.columns.facets(field, limit=2) == facets[:2] or has_nan(facets[:2])


def key(value):
    return (kind_of(value).__name__, None if value != value else value)


def as_counted(values):
    return Counter({key(value) for value in values})


def has_nan(facets):
    return any(value != value for value, _ in facets)


def listed(value):
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("tight", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.lists(expressions(), min_size=1, max_size=3))
def test_masks_are_what_matches_says(tight, steps, tried):
    with ExitStack() as stack:
        for name, value in TIGHT.items() if tight else ():
            stack.enter_context(patch(name, value))
        model = Model()
        for step in steps:
            model.step(step)
            for expression in tried:
                model.check(expression)
        model.check_reads()
        for expression in tried:
            model.check(expression)


OPERATORS = [
    lambda f, v: f == v,
    lambda f, v: f.isin([v, "none of these"]),
    lambda f, v: f.contains_all([v, v]),
]
ORDERS = [
    lambda f, v: f < v,
    lambda f, v: f <= v,
    lambda f, v: f > v,
    lambda f, v: f >= v,
]
TEXT_OPERATORS = [
    lambda f, v: f.equals(v),
    lambda f, v: f.equals(v, ignore_case=True),
    lambda f, v: f.prefix(v),
    lambda f, v: f.prefix(v, ignore_case=True),
    lambda f, v: f.suffix(v),
    lambda f, v: f.substring(v),
]


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("kinds", [(int,), (int, float), (str,), (int, float, str, bool)])
def test_every_value_against_every_operand(kinds, lists, monkeypatch):
    monkeypatch.setattr("annx.filters._dictionary._FEW", 8)
    everything = [*NUMBERS, *DATES, *TEXTS, True, False]
    values = [value for value in everything if type(value) in kinds]
    columns = Columns()
    held = [[value, values[0]] if lists else value for value in values]
    columns.upsert(np.arange(len(held)), [{"a": value} for value in held])
    # Strings are read as dates before they are put in order, and again after.
    assert columns.mask(F("a") > "2020-01-01").any() == (str in kinds)
    for operand in everything:
        makers = OPERATORS + ([] if isinstance(operand, bool) else ORDERS)
        for make in makers + (TEXT_OPERATORS if isinstance(operand, str) else []):
            expression = make(F("a"), operand)
            wanted = [expression.matches({"a": value}) for value in held]
            assert columns.mask(expression).tolist() == wanted, expression


@given(documents())
def test_flattened_values_are_those_at_their_path(document):
    seen = flatten(document)
    for path in {*FIELDS, *seen}:
        assert as_counted(seen.get(path, [])) == as_counted(values_at(document, path))


@pytest.fixture
def many(monkeypatch):
    """Columns with cached masks, a table of rows, and lists; and their documents."""
    monkeypatch.setattr("annx.filters._columns._CACHED_ROWS", 100)
    monkeypatch.setattr("annx.filters._cells.SCANNED", 100)
    rng = np.random.default_rng(7)
    documents = {}
    for row in range(900):
        document = {"n": int(rng.integers(20)), "x": float(rng.random()), "id": f"doc-{row}"}
        document["tags"] = [f"t{tag}" for tag in rng.integers(0, 12, rng.integers(0, 4))]
        if row % 40 == 0:
            document["rare"] = ["some", row, row + 0.5]
        documents[row] = document
    columns = Columns()
    columns.upsert(np.arange(900), list(documents.values()))
    return columns, documents


SEVERAL = [
    {"n": 7},
    {"$or": [{"n": {"$in": [1, 2, 30]}}, {"x": {"$lt": 0.1}, "tags": {"$any": ["t1", "t2"]}}]},
    {"tags": {"$all": ["t1", "t3"]}, "id": {"$prefix": "doc-1"}},
    {"rare": {"$exists": True}, "n": {"$nin": [3, 4, 5]}},
    {"rare": {"$gt": 500}},
    {"$not": {"rare": "some"}},
    {"id": {"$isuffix": "99"}},
    {"$atLeast": [2, {"n": {"$lt": 5}}, {"tags": "t5"}, {"x": {"$gte": 0.5}}]},
]


@pytest.mark.parametrize("cached", [True, False])
def test_masks_stay_right_while_rows_change(many, cached, monkeypatch):
    if not cached:
        monkeypatch.setattr("annx.filters._columns._CACHED_ROWS", 1 << 31)
    columns, documents = many
    rng = np.random.default_rng(8)
    for change in range(9):
        for filter in SEVERAL:
            expression = parse(filter)
            mask = columns.mask(expression)
            matching = [row for row in sorted(documents) if expression.matches(documents[row])]
            assert np.flatnonzero(mask).tolist() == matching, filter
        rows = np.unique(rng.integers(0, 1200, 3 if change % 3 else 700))
        if change % 4 == 3:
            columns.remove(rows)
            for row in rows.tolist():
                documents.pop(row, None)
        else:
            new = [{**documents.get(row - 1, {}), "id": f"new-{row}"} for row in rows.tolist()]
            columns.upsert(rows, new)
            documents.update(zip(rows.tolist(), new, strict=True))


def test_postings_follow_rows_that_change_one_by_one(monkeypatch):
    monkeypatch.setattr("annx.filters._cells.SCANNED", 100)
    rng = np.random.default_rng(9)
    columns, documents = Columns(), {}
    for step, row in enumerate([*range(400), *rng.integers(0, 400, 60).tolist()]):
        documents[row] = {"tags": [f"t{tag}" for tag in rng.integers(0, 6, 3)]}
        columns.upsert([row], [documents[row]])
        if step < 399:
            continue
        gone = int(rng.integers(400))
        documents.pop(gone, None)
        columns.remove([gone])
        for filter in ({"tags": "t1"}, {"tags": {"$in": ["t0", "t2", "t3"]}}):
            matching = [row for row in documents if parse(filter).matches(documents[row])]
            assert columns.select(filter).tolist() == sorted(matching)


def test_facets_of_some_rows(many):
    columns, documents = many
    mask = columns.mask({"n": {"$lt": 3}})
    wanted = Counter(
        tag for row in np.flatnonzero(mask).tolist() for tag in set(documents[row]["tags"])
    )
    top = sorted(wanted.items(), key=lambda item: (-item[1], item[0]))
    assert columns.facets("tags", mask, limit=None) == top
    assert columns.facets("tags", mask, limit=3) == top[:3]
    assert columns.facets("tags", mask[:0]) == []
    assert columns.facets("tags", np.ones(10_000, np.bool_), 1) == columns.facets("tags", None, 1)
    assert columns.facets("nowhere") == []
    assert columns.facets("tags", limit=0) == []
    with pytest.raises(ParameterError, match="mask of rows"):
        columns.facets("tags", np.arange(3))
    with pytest.raises(ParameterError, match="limit"):
        columns.facets("tags", limit=-1)


def test_numbers_for_features():
    columns = Columns()
    values = [5, 2.5, True, "1970-01-01T00:00:10Z", "1970-01-01 01:00+01:00", "no", None]
    values += [["x", 3], 10**30, 10**400, -(10**400), math.nan]
    columns.upsert(np.arange(len(values)), [{"v": value} for value in values])
    wanted = [5, 2.5, 1, 10, 0, math.nan, math.nan, 3, 1e30, math.inf, -math.inf, math.nan]
    np.testing.assert_array_equal(columns.numbers("v", np.arange(13)), [*wanted, math.nan])
    assert np.isnan(columns.numbers("nowhere", [0, 1])).all()


def test_ten_thousand_fields_take_memory_for_what_they_hold():
    columns = Columns()
    columns.upsert([1, 30_000], [{f"k{i}": i for i in range(10_000)}] * 2)
    columns.upsert(np.arange(2, 30_000), [{"a": 1}] * 29_998)
    assert columns.select({"k77": 77, "k9999": {"$gt": 5}}).tolist() == [1, 30_000]
    assert columns.select({"k77": {"$exists": False}, "a": 1}).tolist() == list(range(2, 30_000))
    # A cell for each row of each field would be 2.7 GB.
    assert columns.nbytes < 32e6


def test_a_filter_fills_the_columns_that_it_asks_for_alone(monkeypatch):
    """Documents may have ten thousand keys, and change between filters."""
    touched = Counter()
    for method in ("put", "clear"):
        whole = getattr(Column, method)

        def counted(self, *arguments, whole=whole, method=method):
            touched[method] += 1
            whole(self, *arguments)

        monkeypatch.setattr(Column, method, counted)
    columns = Columns()
    columns.upsert(np.arange(3), [{f"k{i}": i for i in range(1000)}] * 3)
    assert columns.count({"k1": 1, "k2": 2}) == 3
    assert touched == {"put": 2}
    columns.upsert([1], [{"k1": 5}])
    columns.remove([0])
    for _ in range(3):
        assert columns.select(F("k1") >= 1).tolist() == [1, 2]
        assert columns.select({"k3": 3}).tolist() == [2]
        assert columns.values("k2", [0, 1, 2]) == [None, None, 2]
    # k1: once more. k3: filled for the first time, so there is nothing to clear. k2: cleared.
    assert touched == {"put": 4, "clear": 2}
    assert Columns.from_bytes(columns.to_bytes()).fields == columns.fields == columns.fields


def test_a_call_that_was_broken_off_is_not_built_upon(monkeypatch):
    columns = Columns()
    columns.upsert([0, 1], [{"a": 1}, {"a": 2}])
    with pytest.raises(FilterError):
        columns.mask({"a": {"$no": 1}})
    assert columns.count({"a": 1}) == 1 and not columns.torn
    columns.upsert([2], [{"a": 3}])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Column, "put", Mock(side_effect=KeyboardInterrupt))
        columns.count({"a": 1})
    assert columns.torn
    for call in (lambda: columns.count({"a": 1}), lambda: columns.remove([0]), columns.to_bytes):
        with pytest.raises(StorageError, match="halfway"):
            call()
    columns.clear()
    assert len(columns) == 0 and not columns.torn
    columns.upsert([0], [{"a": 1}])
    assert columns.count({"a": 1}) == 1


def test_notes_that_wait_are_bounded(monkeypatch):
    """By their number and by their values: a document may be large, and change often."""
    monkeypatch.setattr("annx.filters._fields._PENDING", 50)
    monkeypatch.setattr("annx.filters._fields._PENDING_VALUES", 400)
    columns = Columns()
    for row in range(300):
        columns.upsert([row % 7], [{"a": [row, row + 1], "b": "x"}])
        assert len(columns._fields._notes) < 50
    columns.upsert([0], [{"a": list(range(400))}])
    assert not columns._fields._notes
    assert columns.select({"a": 299}).tolist() == [0, 298 % 7, 299 % 7]


def test_values_that_no_row_has_any_more_take_no_memory():
    columns = Columns()
    for start in range(0, 20_000, 2000):
        columns.upsert(np.arange(2000), [{"s": f"{start + i:050}"} for i in range(2000)])
        assert columns.count(F("s") == f"{start:050}") == 1
    assert columns.count(F("s").prefix("0")) == 2000
    assert columns.memory()["s"] < 1e6  # 20,000 strings and their dictionary take 3


def test_a_removed_row_matches_nothing():
    columns = Columns()
    columns.upsert([0, 1], [{"a": 1}, {}])
    columns.remove([0, 5])
    assert columns.mask({}).tolist() == [False, True]
    assert columns.mask({"a": {"$ne": 2}}).tolist() == [False, True]
    assert columns.live.tolist() == [False, True]
    columns.clear()
    assert len(columns) == 0
    assert columns.mask({}).tolist() == []


def test_a_repeated_row_keeps_the_last_document():
    columns = Columns()
    columns.upsert([3, 3], [{"a": 1}, {"b": 1}])
    assert columns.values("a", [3, 9]) == [None, None]
    assert columns.values("b", [3, 9]) == [1, None]


def test_skipped_fields_are_refused():
    columns = Columns(skip=["body", "vector"])
    columns.upsert([0], [{"body": "x" * 1000, "vector": np.zeros(4), "city": "Oslo"}])
    assert columns.fields == ["city"]
    again = Columns.from_bytes(columns.to_bytes())
    for name in ("body", "body.x", "vector"):
        for filter in (F(name).exists(), ~(F("city") == "Oslo") | F(name).prefix("x")):
            with pytest.raises(FilterError, match="not kept for filters"):
                again.mask(filter)
        with pytest.raises(FilterError, match="not kept for filters"):
            columns.facets(name)
        with pytest.raises(FilterError, match="not kept for filters"):
            columns.values(name, [0])


@pytest.mark.parametrize(
    ("rows", "given_documents", "error"),
    [
        ([0, 1], [{"a": 2}], ParameterError),
        ([0, 1], [{"a": 2}, "text"], ParameterError),
        ([0, -1], [{"a": 2}, {}], ParameterError),
        ([0.5], [{}], ParameterError),
        ([[0]], [{}], ParameterError),
        ([True], [{}], ParameterError),
        ([2**31 - 1], [{}], CapacityError),
        ([2**63], [{}], CapacityError),
    ],
)
def test_wrong_rows_change_nothing(rows, given_documents, error):
    columns = Columns()
    columns.upsert([0], [{"a": 1}])
    with pytest.raises(error, match="expected"):
        columns.upsert(rows, given_documents)
    assert columns.values("a", [0]) == [1]
    assert columns.live.tolist() == [True]


def test_documents_that_nest_without_end():
    deep = document = {}
    for _ in range(5000):
        deep["a"] = {"b": 1}
        deep = deep["a"]
    listed_deep = []
    for _ in range(5000):
        listed_deep = [listed_deep, 1]
    columns = Columns()
    columns.upsert([0], [{**document, "list": listed_deep}])
    for filter in ({"a.b": 1}, {"list": 1}, {"a.a.a.b": 1}):
        assert columns.count(filter) == parse(filter).matches({**document, "list": listed_deep})
    assert columns.count({"a.b": 1}) == columns.count({"list": 1}) == 1


def test_readers_and_a_writer_in_threads():
    """Each mask is of some moment between two batches; a batch changes all rows alike."""
    columns = Columns()
    rows = np.arange(5000)
    columns.upsert(rows, [{"n": 0, "tags": ["t0", "x"]}] * 5000)
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            counts = {columns.count({"n": n, "tags": f"t{n}"}) for n in range(8)}
            if not counts <= {0, 5000}:
                wrong.append(counts)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 8):
        columns.upsert(rows, [{"n": n, "tags": [f"t{n}", "x"]}] * 5000)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert columns.count({"n": 7, "tags": "t7"}) == 5000
