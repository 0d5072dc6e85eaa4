"""Columns say of every row what `Expression.matches` says of its document."""

from __future__ import annotations

import numpy as np
from filter_samples import documents, expressions
from hypothesis import given, settings
from hypothesis import strategies as st

from annx.filters import Columns


def as_model(model, expression, extent):
    wanted = np.zeros(extent, np.bool_)
    for row, document in model.items():
        wanted[row] = expression.matches(document)
    return wanted


def check(columns, model, tried):
    live = np.zeros(len(columns.live), np.bool_)
    live[list(model)] = True
    assert columns.live.tolist() == live.tolist()
    for expression in tried:
        wanted = as_model(model, expression, len(live))
        assert columns.mask(expression).tolist() == wanted.tolist(), expression
        assert columns.count(expression) == wanted.sum()
        assert columns.select(expression).tolist() == np.flatnonzero(wanted).tolist()


STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 40), documents()), max_size=8),
        st.lists(st.integers(0, 40), max_size=4),
        st.just("bytes"),
    ),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.lists(expressions(), min_size=1, max_size=4))
def test_masks_are_what_matches_says(steps, tried):
    columns, model = Columns(), {}
    for step in steps:
        if step == "bytes":
            columns = Columns.from_bytes(columns.to_bytes())
        elif step and isinstance(step[0], tuple):
            rows, given_documents = zip(*step, strict=True)
            columns.upsert(np.array(rows), given_documents)
            model.update(step)
        else:
            columns.remove(np.array(step, np.int64))
            for row in step:
                model.pop(row, None)
        check(columns, model, tried)
