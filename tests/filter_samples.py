"""Random documents and expressions that have something to say to each other."""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st

from annx.filters import F, all_of, any_of, at_least

FIELDS = ["a", "b", "a.b", "ab", "", "é.x"]
NUMBERS = [
    0, 1, -1, 2, 3, 0.5, 1.0, -0.0, 1e300, float("inf"), float("-inf"),
    2**53, 2**53 + 1, -(2**53) - 1, 2.0**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1,
    2**64 + 1, 2.0**64, 10**400, -(10**400),
]  # fmt: skip
DATES = [
    "2024-02-29", "2024-02-29T00:00:00", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000001",
    "2024-02-29 01:00+01:00", "2024-02-29T00:00:00.000+00:00", "2024-02-28T23:00:00-01:00",
    "0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999-23:59", "2024-02-30", "2024-02-29T24:00:00", "2024", "20240229",
]  # fmt: skip
TEXTS = ["", "a", "A", "ab", "abc", "ß", "SS", "ı", "%", "_", "\\", "\0", "\ud800", "😀", "a\nb"]

numbers = st.sampled_from(NUMBERS)
strings = st.one_of(st.sampled_from(TEXTS + DATES), st.text(max_size=3))
dates = st.sampled_from(
    [
        dt.date(2024, 2, 29),
        dt.datetime(2024, 2, 29),
        dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
        dt.datetime(2024, 2, 29, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        dt.datetime.max,
    ]
)
operands = st.one_of(numbers, st.booleans(), strings, dates)
scalars = st.one_of(operands, st.none(), st.just(float("nan")), st.just(b"bytes"))


def documents():
    values = st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.sampled_from(["a", "b", "x", "", "$eq"]), inner, max_size=3),
        ),
        max_leaves=6,
    )
    return st.dictionaries(st.sampled_from(["a", "b", "a.b", "ab", "", "é", 7]), values, max_size=4)


def clauses():
    fields = st.builds(F, st.sampled_from(FIELDS))
    some = st.lists(operands, max_size=4)
    ordered = st.one_of(numbers, strings, dates)
    return st.one_of(
        st.builds(lambda f, v: f == v, fields, st.one_of(operands, st.none())),
        st.builds(lambda f, v: f != v, fields, st.one_of(operands, st.none())),
        st.builds(lambda f, v: f < v, fields, ordered),
        st.builds(lambda f, v: f <= v, fields, ordered),
        st.builds(lambda f, v: f > v, fields, ordered),
        st.builds(lambda f, v: f >= v, fields, ordered),
        st.builds(lambda f, v: f.isin(v), fields, st.lists(st.one_of(operands, st.none()))),
        st.builds(lambda f, v: f.not_in(v), fields, some),
        st.builds(lambda f, v: f.contains_all(v), fields, some),
        st.builds(lambda f: f.exists(), fields),
        st.builds(lambda f: f.is_empty(), fields),
        st.builds(
            lambda f, how, text, ignore: getattr(f, how)(text, ignore_case=ignore),
            fields,
            st.sampled_from(["equals", "prefix", "suffix", "substring"]),
            strings,
            st.booleans(),
        ),
        st.builds(
            lambda f, text, ignore: f.like(text, ignore_case=ignore),
            fields,
            st.text("a_%bA2-", max_size=4),
            st.booleans(),
        ),
    )


def expressions():
    return st.recursive(
        clauses(),
        lambda inner: st.one_of(
            st.builds(all_of, st.lists(inner, max_size=3)),
            st.builds(any_of, st.lists(inner, max_size=3)),
            st.builds(at_least, st.integers(0, 3), st.lists(inner, max_size=3)),
            st.builds(lambda e: ~e, inner),
        ),
        max_leaves=5,
    )
