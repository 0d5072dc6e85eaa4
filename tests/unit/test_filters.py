"""Expressions: what they mean, how they are written, what is refused."""

from __future__ import annotations

import datetime as dt
import enum
import json
import pickle
from decimal import Decimal

import numpy as np
import pytest
from filter_samples import expressions
from hypothesis import given

from annx.errors import AnnxError, FilterError
from annx.filters import Expression, F, all_of, any_of, at_least, parse
from annx.filters._tree import MAX_CLAUSES, MAX_DEPTH

JOB = {
    "id": "j1",
    "rate": 55.0,
    "level": 3,
    "remote": True,
    "city": "Oslo",
    "skills": ["python", "sql"],
    "scores": [1, 9],
    "posted": "2024-05-01T10:00:00+02:00",
    "meta": {"city": "Bergen", "tags": [{"name": "new"}, {"name": "hot"}]},
    "none": None,
    "empty": [],
    "nothing": {},
    "nan": float("nan"),
    "blank": "",
    "mixed": [1, "1", True, None],
}

MATCHING = [
    {},
    {"city": "Oslo"},
    {"city": "Oslo", "rate": {"$gte": 55, "$lt": 80}},
    {"rate": 55, "level": 3.0},
    {"level": {"$ne": "3"}},
    {"remote": True, "level": {"$ne": True}},
    {"remote": {"$ne": 1}},
    {"skills": "sql"},
    {"skills": {"$in": ["sql", "rust"]}},
    {"skills": {"$any": ["sql", "rust"]}},
    {"skills": {"$all": ["sql", "python"]}},
    {"skills": {"$contains": "python"}},
    {"skills": {"$nin": ["rust"]}},
    {"skills": {"$prefix": "py", "$suffix": "ql"}},
    {"scores": {"$gt": 5, "$lt": 5}},
    {"scores": {"$between": [4, 10]}},
    {"posted": {"$gt": "2024-05-01", "$lt": "2024-05-02"}},
    {"posted": "2024-05-01T08:00:00Z"},
    {"posted": {"$in": ["2024-05-01 08:00"]}},
    {"posted": {"$prefix": "2024-05"}},
    {"posted": {"$gte": "2024"}},
    {"meta.city": "Bergen"},
    {"meta": {"city": "Bergen"}},
    {"meta": {"tags": {"name": {"$all": ["new", "hot"]}}}},
    {"meta": {"$exists": False}, "meta.city": {"$exists": True}},
    {"none": None, "empty": None, "nothing": None, "missing": None},
    {"none": {"$empty": True}, "empty": {"$exists": False}, "nothing": {"$empty": True}},
    {"blank": {"$exists": True}, "nan": {"$exists": True}, "mixed": {"$ne": None}},
    {"missing": {"$ne": 1}, "none": {"$nin": [1, 2]}, "empty": {"$not": {"$lt": 3}}},
    {"missing": {"$in": [None, 1]}},
    {"nan": {"$ne": 1}, "missing": {"$all": []}},
    {"mixed": {"$all": [1, "1", True]}},
    {"city": {"$iequals": "OSLO", "$iprefix": "os", "$isubstring": "SL", "$ilike": "o%O"}},
    {"city": {"$like": "_s%o", "$equals": "Oslo"}},
    {"$or": [{"city": "Bergen"}, {"rate": {"$lt": 60}}]},
    {"$and": [{"city": "Oslo"}, {"$not": {"rate": {"$gt": 60}}}]},
    {"$not": [{"city": "Oslo"}, {"rate": 1}]},
    {"$nor": [{"city": "Bergen"}, {"rate": 1}]},
    {"$atLeast": [2, {"city": "Oslo"}, {"rate": 1}, {"level": 3}]},
    {"$atLeast": [0]},
    {"$and": []},
    {"rate": {"$not": {"$gt": 60}}},
]

NOT_MATCHING = [
    {"city": "oslo"},
    {"rate": "55"},
    {"rate": True},
    {"remote": 1},
    {"level": {"$gt": "2"}},
    {"skills": {"$all": ["sql", "rust"]}},
    {"skills": {"$nin": ["rust", "sql"]}},
    {"skills": {"$ne": "sql"}},
    {"skills": "py"},
    {"missing": {"$lt": 1}},
    {"missing": {"$gte": 1}},
    {"missing": {"$in": []}},
    {"none": {"$exists": True}},
    {"nan": {"$lt": 1}},
    {"nan": {"$gte": 1}},
    {"posted": {"$equals": "2024-05-01T08:00:00Z"}},
    {"posted": {"$lt": "2024"}},
    {"city": {"$gt": "2024-05-01"}},
    {"city": {"$like": "o%"}},
    {"city": {"$like": "Osl"}},
    {"mixed": {"$in": [2, "2", False]}},
    {"$or": []},
    {"$not": {}},
    {"$atLeast": [3, {"city": "Oslo"}, {"rate": 1}, {"level": 3}]},
]


@pytest.mark.parametrize("filter", MATCHING, ids=str)
def test_matches(filter):
    assert parse(filter).matches(JOB)
    assert not (~parse(filter)).matches(JOB)


@pytest.mark.parametrize("filter", NOT_MATCHING, ids=str)
def test_does_not_match(filter):
    assert not parse(filter).matches(JOB)
    assert (~parse(filter)).matches(JOB)


@given(expressions())
def test_the_dict_form_makes_the_same_expression_again(expression):
    again = parse(expression.to_dict())
    assert again == expression
    assert hash(again) == hash(expression)
    assert parse(json.loads(json.dumps(expression.to_dict()))) == expression
    assert pickle.loads(pickle.dumps(expression)) == expression
    assert repr(expression) == f"parse({expression.to_dict()!r})"
    assert parse(expression) is expression


def test_operators_and_dicts_are_two_ways_to_write_one_thing():
    f = F("a")
    for expression, filter in [
        (f == 1, {"a": 1}),
        (f == None, {"a": None}),  # noqa: E711
        (f != None, {"a": {"$ne": None}}),  # noqa: E711
        (f != "x", {"a": {"$ne": "x"}}),
        ((f < 1) | (f >= 2), {"$or": [{"a": {"$lt": 1}}, {"a": {"$gte": 2}}]}),
        ((f <= 1) & (f > 2), {"a": {"$lte": 1, "$gt": 2}}),
        (f.between(1, 2), {"a": {"$between": [1, 2]}}),
        (f.isin([1, 2]), {"a": {"$in": [1, 2]}}),
        (f.isin(range(2)), {"a": {"$any": (0, 1)}}),
        (f.not_in({1}), {"a": {"$nin": [1]}}),
        (f.contains_any([1, None]), {"a": {"$in": [1, None]}}),
        (f.contains_all([1, "x"]), {"a": {"$all": [1, "x"]}}),
        (f.exists(), {"a": {"$exists": True}}),
        (f.is_empty(), {"a": {"$empty": True}}),
        (~(f.prefix("x") & f.suffix("y")), {"$not": {"a": {"$prefix": "x", "$suffix": "y"}}}),
        (f.like("x%", ignore_case=True), {"a": {"$ilike": "x%"}}),
        (at_least(2, [f == 1, f == 2]), {"$atLeast": [2, {"a": 1}, {"a": 2}]}),
        (at_least(1, [f == 1, f == 2]), {"$or": [{"a": 1}, {"a": 2}]}),
        (all_of([]), {}),
        (any_of([]), {"$or": []}),
        (all_of([f == 1]) & all_of([]) & (f == 2), {"$and": [{"a": 1}, {"a": 2}]}),
    ]:
        assert parse(filter) == expression, filter
    assert repr(f) == "F('a')"
    assert len({F("a").name, f.name}) == 1
    assert f in {f: 1}


def test_what_is_equal_in_python_need_not_be_one_condition():
    a = F("a")
    different = [a == 1, a == True, a == "1", a.isin([1]), a.isin([True]), a.prefix("1"), a < 1]  # noqa: E712
    assert len(set(different)) == len(different)
    assert (a == 1) == (a == 1.0)
    assert (a == 1) != 1


class Colour(str, enum.Enum):  # noqa: UP042 (str() of StrEnum is its value)
    RED = "red"


@pytest.mark.parametrize(
    ("value", "operand"),
    [
        (dt.date(2024, 5, 1), "2024-05-01T00:00:00Z"),
        (dt.datetime(2024, 5, 1, 12), dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)),
        (
            dt.datetime(2024, 5, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
            "2024-05-01 17:00Z",
        ),
        ("2024-05-01", np.datetime64("2024-05-01T00:00")),
        (np.datetime64("2024-05-01T00:00:00.5", "ns"), "2024-05-01T00:00:00.500Z"),
        (np.float32(0.5), 0.5),
        (0.5, np.float64(0.5)),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (Colour.RED, "red"),
        (["red"], Colour.RED),
        ((1, 2), 2),
        ({1, 2}, 2),
        (np.str_("x"), "x"),
    ],
)
def test_values_from_python_and_numpy(value, operand):
    assert (F("a") == operand).matches({"a": value})
    assert F("a").isin([operand]).matches({"a": value})


@pytest.mark.parametrize("value", [None, [], {}, [None], [[]], b"x", np.zeros(2), object(), 1j])
def test_what_is_no_value(value):
    assert (F("a") == None).matches({"a": value})  # noqa: E711
    assert not F("a").exists().matches({"a": value})
    assert (F("a") != 1).matches({"a": value})
    assert F("a").not_in(["x"]).matches({"a": value})
    for clause in (F("a") == 0, F("a") < 1, F("a") >= 0, F("a").isin([0, ""]), F("a").prefix("")):
        assert not clause.matches({"a": value})


def test_pandas_missing_time_is_no_value():
    pd = pytest.importorskip("pandas")
    assert F("a").is_empty().matches({"a": pd.NaT})
    assert F("a").is_empty().matches({"a": np.datetime64("NaT")})
    assert (F("a") == "2024-05-01").matches({"a": pd.Timestamp("2024-05-01")})


def test_dotted_keys_and_nested_ones_are_one_field():
    for document in ({"a": {"b": 1}}, {"a.b": 1}, {"a": [{"b": 2}, {"b": 1}]}, {"a": {"b": [1]}}):
        assert (F("a.b") == 1).matches(document)
    assert F("a.b").contains_all([1, 2]).matches({"a": {"b": 1}, "a.b": 2})
    assert (F("a..b") == 1).matches({"a": {"": {"b": 1}}})
    assert not (F("a.b") == 1).matches({"a": {"b": {"c": 1}}, "b": 1})


REFUSED = [
    ({"a": {"$lt": None}}, "the operand of <"),
    ({"a": {"$lt": [1]}}, "got list"),
    ({"a": {"$lt": True}}, "got a bool"),
    ({"a": {"$eq": float("nan")}}, "NaN"),
    ({"a": {"$in": [float("nan")]}}, "NaN"),
    ({"a": Decimal(1)}, "Decimal"),
    ({"a": b"x"}, "bytes"),
    ({"a": np.zeros(2)}, "ndarray"),
    ({"a": [1, 2]}, r"use \$in"),
    ({"a": {}}, "empty dict"),
    ({"a": {"$in": "text"}}, "list for"),
    ({"a": {"$in": 3}}, "list for"),
    ({"a": {"$nin": {"x": 1}}}, "list for"),
    ({"a": {"$in": [[1]]}}, "got list"),
    ({"a": {"$all": [None]}}, "NoneType"),
    ({"a": {"$exists": 1}}, "true or false"),
    ({"a": {"$empty": None}}, "true or false"),
    ({"a": {"$between": [1]}}, "two values"),
    ({"a": {"$prefix": 3}}, "string for prefix"),
    ({"a": {"$like": "x\\"}}, "backslash"),
    ({"a": {"$regex": "(a+)+b"}}, r"got '\$regex'"),
    ({"a": {"$where": "1"}}, r"got '\$where'"),
    ({"a": {1: 2}}, "got 1"),
    ({"$lt": 3}, r"got the operator '\$lt'"),
    ({"$or": {"a": 1}}, "list for"),
    ({"$and": [1]}, "got int"),
    ({"$not": 3}, "got int"),
    ({"$atLeast": []}, "whole number"),
    ({"$atLeast": [True, {"a": 1}]}, "whole number"),
    ({"$atLeast": [-1, {"a": 1}]}, "whole number"),
    ({3: 4}, "name of a field"),
    ([{"a": 1}], "as a dict"),
    ("a = 1", "as a dict"),
    (None, "as a dict"),
]


@pytest.mark.parametrize(("filter", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_filters(filter, message):
    with pytest.raises(FilterError, match=message) as caught:
        parse(filter)
    assert isinstance(caught.value, AnnxError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (F("a") < 1) and (F("b") < 2),
        lambda: 0 < F("a") < 1,
        lambda: not (F("a") < 1),
        lambda: F("a") in [1, 2],
        lambda: bool(F("a")),
        lambda: F("$a"),
        lambda: F(3),
        lambda: F("a").isin("text"),
        lambda: F("a").contains_all(3),
        lambda: all_of([True]),
        lambda: at_least(1.5, []),
    ],
)
def test_refused_operators(make):
    with pytest.raises(FilterError):
        make()


def test_an_expression_combines_with_expressions_alone():
    for combine in (lambda: (F("a") < 1) & 3, lambda: {"a": 1} | (F("a") < 1)):
        with pytest.raises(TypeError):
            combine()


def test_expressions_are_bounded():
    nested = {"a": 1}
    for _ in range(100_000):
        nested = {"$not": nested}
    within = {"a": 1}
    for _ in range(100_000):
        within = {"$not": within}
    deep = {"b": 1}
    for _ in range(100_000):
        deep = {"b": deep}
    for filter in (nested, {"a": {"$not": within}}, deep):
        with pytest.raises(FilterError, match="levels"):
            parse(filter)
    with pytest.raises(FilterError, match="clauses"):
        parse({"$or": [{"a": i} for i in range(MAX_CLAUSES + 1)]})
    with pytest.raises(FilterError, match="clauses"):
        F("a").contains_all(range(MAX_CLAUSES + 1))
    with pytest.raises(FilterError, match="operands"):
        F("a").isin(range(1_000_001))
    expression = F("a") == 1
    with pytest.raises(FilterError, match="depth"):
        for _ in range(MAX_DEPTH + 1):
            expression = ~expression
    wide = all_of(F("a") != i for i in range(MAX_CLAUSES))
    assert (wide.depth, wide.clauses) == (3, MAX_CLAUSES)
    for _ in range(100_000):  # dismantled from inside, which Python does by recursion otherwise
        nested, within, deep = nested["$not"], within["$not"], deep["b"]


def test_a_pattern_takes_no_time_to_fail():
    """A regular expression of as many ``.*`` would not end in a lifetime."""
    pattern = "%a" * 40 + "b"
    assert not F("a").like(pattern).matches({"a": "a" * 20_000})


INJECTIONS = ["'; DROP TABLE t; --", '" OR 1=1', "$where", "a}{", "\\", "%", "_", "\0", "😀", "*"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_is_only_text(text):
    document = {"a": text, f"k{text}": 1}
    for clause in (F("a") == text, F("a").prefix(text), F("a").substring(text), F(f"k{text}") == 1):
        assert clause.matches(document)
        assert parse(json.loads(json.dumps(clause.to_dict()))).matches(document)
    assert not (F("a") == text).matches({"a": "other"})
    escaped = "".join(f"\\{c}" for c in text)
    assert F("a").like(escaped).matches(document)
    assert not F("a").like(escaped).matches({"a": text + "x"})


def test_the_base_cannot_be_made():
    with pytest.raises(TypeError):
        Expression()
