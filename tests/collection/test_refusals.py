"""What means nothing is refused, with an error that says so."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tantivy")

from keyword_index import one

from annx.collection import Decay, Highlight, Popularity, TextField, TextQuery, fuse
from annx.errors import (
    AnnxError,
    DimensionError,
    DocumentError,
    FilterError,
    ParameterError,
    SchemaError,
)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({}, ParameterError),
        ({"vector": [1, 2]}, ParameterError),  # of which field?
        ({"vector": {"no": [1, 2]}}, ParameterError),
        ({"vector": {"vector": [1, 2]}}, DimensionError),
        ({"vector": {"vector": [np.nan] * 8}}, AnnxError),
        ({"vector": "words"}, ParameterError),
        ({"vector": {"vector": "words"}}, ParameterError),
        ({"sparse": "x"}, DocumentError),
        ({"sparse": {"no": {1: 1.0}}}, DocumentError),
        ({"text": 5}, ParameterError),
        ({"text": {"no": "x"}}, ParameterError),
        ({"text": TextQuery("x", fields=["no"])}, ParameterError),
        ({"text": "x", "k": 0}, ParameterError),
        ({"text": "x", "k": 1.5}, ParameterError),
        ({"text": "x", "filter": {"city": {"$no": 1}}}, FilterError),
        ({"text": "x", "filter": 5}, FilterError),
        ({"text": "x", "fusion": "max"}, ParameterError),
        ({"text": "x", "norm": "max"}, ParameterError),
        ({"text": "x", "weights": [1, 2]}, ParameterError),
        ({"text": "x", "weights": {"vector": 1}}, ParameterError),
        ({"text": "x", "weights": [-1]}, ParameterError),
        ({"text": "x", "rank_constant": -1}, ParameterError),
        ({"text": "x", "window": 0}, ParameterError),
        ({"text": "x", "max_per_group": 0}, ParameterError),
        ({"text": "x", "diversity": 2}, ParameterError),
        ({"text": "x", "diversity": 0.5, "diversity_field": "title"}, ParameterError),
        ({"text": "x", "facets": {"city": 0}}, ParameterError),
        ({"text": "x", "facets": "title"}, FilterError),
        ({"text": "x", "facet_scope": "some"}, ParameterError),
        ({"text": "x", "highlight": ["no"]}, ParameterError),
        ({"text": "x", "fusion": "wsum", "norm": "none", "prior": Popularity("a")}, ParameterError),
        ({"text": "\ud800"}, ParameterError),
        # What is of another type is no less a mistake of the caller's than what is out of range.
        ({"text": {}}, ParameterError),
        ({"vector": {"vector": np.empty((0, 8))}}, DimensionError),
        ({"sparse": [1, 2]}, DocumentError),
        ({"text": "x", "weights": "ab"}, ParameterError),
        ({"text": "x", "weights": 2}, ParameterError),
        ({"text": "x", "rank_constant": "60"}, ParameterError),
        ({"text": "x", "window": "5"}, ParameterError),
        ({"text": "x", "prior": 5}, ParameterError),
        ({"text": "x", "prior": [Popularity("clicks")]}, ParameterError),
        ({"text": "x", "group_by": 5}, ParameterError),
        ({"text": "x", "group_by": ["city"]}, ParameterError),
        ({"text": "x", "diversity": "x"}, ParameterError),
        ({"text": "x", "facets": 5}, ParameterError),
        ({"text": "x", "facets": [5]}, ParameterError),
        ({"text": "x", "highlight": 5}, ParameterError),
        ({"text": "x", "features": [5]}, ParameterError),
        ({"text": TextQuery("x", fields={"title": "2"})}, ParameterError),
        ({"text": TextQuery("x", fields=5)}, ParameterError),
        ({"text": "red", "reranker": lambda query, texts: ["a"] * len(texts)}, ParameterError),
    ],
)
def test_refuses_what_means_nothing(jobs, query, error):
    with pytest.raises(error):
        jobs.search(**query)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Decay("x", 0),
        lambda: Decay("x", 1, at_scale=1),
        lambda: Decay("x", 1, shape="cubic"),
        lambda: Decay("x", 1, origin="yesterday"),
        lambda: Decay("x", 1, offset=-1),
        lambda: Decay("x", 1, weight=2),
        lambda: Popularity("x", 2),
        lambda: Popularity("x", pivot=0),
        lambda: Highlight(max_chars=0),
        lambda: Highlight(fields="title"),
        lambda: Highlight(fields=[5]),
        lambda: Highlight(max_chars="80"),
        lambda: Highlight(before=5),
        lambda: fuse(5),
        lambda: fuse([["a", "b"]]),
        lambda: fuse([{"a": "b"}]),
        lambda: fuse([{"a": 1.0}], window="1"),
    ],
)
def test_refuses_settings_that_mean_nothing(make):
    with pytest.raises(ParameterError):
        make()


@pytest.mark.parametrize(
    "options",
    [
        {"match": "some"},
        {"fuzzy": 3},
        {"slop": 1},
        {"match": "phrase", "slop": "2"},
        {"match": "phrase", "slop": 1 << 40},
        {"match": "phrase", "prefix": True},
        {"match": "phrase", "fuzzy": 1},
        {"query_syntax": True, "prefix": True},
    ],
)
def test_refuses_options_that_mean_nothing(options):
    with pytest.raises(ParameterError):
        TextQuery("x", **options)


def test_refuses_what_is_no_query(open_in):
    keywords = one(open_in, "x")
    for query in (5, TextQuery("x", fields=["no"]), TextQuery("x", fields={"t": 0}), "\ud800"):
        with pytest.raises(ParameterError):
            keywords.search(query, 3)
    for settings in ({"language": "klingon"}, {"boost": 0}, {"boost": "2"}):
        with pytest.raises(SchemaError):
            TextField(**settings)
